use redis_cached::redis_cached;

trait Load {
    async fn load(&self, id: u64) -> u64;
}

struct Repo;

impl Load for Repo {
    #[redis_cached(key = "user:{id}", ttl = "5m", skip(self))]
    async fn load(&self, id: u64) -> u64 {
        id
    }
}

fn main() {}
