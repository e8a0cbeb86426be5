use redis_cached::redis_cached;

#[derive(Clone)]
struct Repo {
    tenant: u64,
}

impl Repo {
    #[redis_cached(key = "user:{self.tenant}:{id}", ttl = "5m", normalize(self = self))]
    async fn load(&self, id: u64) -> u64 {
        self.tenant + id
    }
}

fn main() {}
