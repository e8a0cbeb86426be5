use redis_cached::redis_cached;

#[derive(Clone)]
struct Repo;

impl Repo {
    #[redis_cached(key = "user:{id}", ttl = "5m", refresh_before = "30s", skip(self))]
    async fn load(&mut self, id: u64) -> u64 {
        id
    }
}

fn main() {}
