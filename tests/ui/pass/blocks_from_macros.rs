#![deny(warnings)]

use redis_cached::redis_cached;

macro_rules! repo {
    ($vis:vis $name:ident, $id:ty => $row:ty, $prefix:literal, $ttl:expr) => {
        $vis struct $name {
            tenant: u32,
        }

        impl $name {
            #[redis_cached(key = $prefix, ttl = $ttl)]
            $vis async fn load(&self, id: $id) -> Option<$row> {
                let _ = (self.tenant, id);
                None
            }
        }

        #[redis_cached::methods]
        impl Load<$id> for $name {
            type Row = $row;

            #[redis_cached(key = "blocks:trait:{id}", ttl = $ttl, skip(self))]
            async fn load_by(&self, id: $id) -> Option<Self::Row> {
                let _ = id;
                None
            }
        }
    };
}

trait Load<I> {
    type Row;

    fn load_by(&self, id: I) -> impl Future<Output = Option<Self::Row>> + Send;
}

repo!(pub(crate) Users, u64 => String, "blocks:users:{self.tenant}:{id}", "5m");
repo!(Teams, u32 => Vec<u8>, "blocks:teams:{self.tenant}:{id}", 60);

fn main() {
    let users = Users { tenant: 1 };
    let teams = Teams { tenant: 1 };
    let _ = (users.load(1), users.load_entry(1), users.load_by(1), Users::load_by_entry(1));
    let _ = (teams.load(1), teams.load_by(1));
}
