use redis_cached::redis_cached;

trait Named {
    const NAME: &'static str;
}

struct Table<T> {
    tenant: u64,
    row: T,
}

#[redis_cached::methods]
impl<T: Named + Sync> Table<T> {
    #[redis_cached(key = "row:{self.tenant}:{id}", ttl = "5m")]
    async fn load(&self, id: u64) -> String {
        format!("{}{id}", T::NAME)
    }
}

fn main() {}
