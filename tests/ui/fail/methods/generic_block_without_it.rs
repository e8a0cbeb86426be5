use redis_cached::redis_cached;

trait Named {
    const NAME: &'static str;
}

struct Table<T>(T);

impl<T: Named + Sync> Table<T> {
    #[redis_cached(key = "row:{T::NAME}:{id}", ttl = "5m", skip(self))]
    async fn load(&self, id: u64) -> String {
        format!("{}{id}", T::NAME)
    }
}

fn main() {}
