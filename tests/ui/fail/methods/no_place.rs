use redis_cached::redis_cached;

trait Load {
    async fn load(&self, id: u64) -> u64;
}

#[redis_cached::methods]
impl Load for (u64, u64) {
    #[redis_cached(key = "user:{self.0}:{id}", ttl = "5m")]
    async fn load(&self, id: u64) -> u64 {
        id
    }
}

fn main() {}
