use redis_cached::redis_cached;

#[redis_cached::methods]
trait Load {
    #[redis_cached(key = "user:{id}", ttl = "5m", skip(self))]
    async fn load(&self, id: u64) -> u64;
}

fn main() {}
