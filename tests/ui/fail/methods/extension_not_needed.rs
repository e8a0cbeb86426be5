use redis_cached::redis_cached;

struct Repo;

#[redis_cached::methods(extension = RepoCached)]
impl Repo {
    #[redis_cached(key = "user:{id}", ttl = "5m", skip(self))]
    async fn load(&self, id: u64) -> u64 {
        id
    }
}

fn main() {}
