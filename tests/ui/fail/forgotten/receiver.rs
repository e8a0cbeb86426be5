use redis_cached::redis_cached;

struct Repo {
    tenant: u64,
}

impl Repo {
    #[redis_cached(key = "user:{id}", ttl = "5m")]
    async fn load(&self, id: u64) -> u64 {
        self.tenant + id
    }
}

fn main() {}
