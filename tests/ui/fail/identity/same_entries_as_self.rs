use redis_cached::redis_cached;

struct Repo;

impl Repo {
    #[redis_cached(key = "user:{id}", ttl = "5m", skip(self))]
    async fn load(&self, id: u64) -> u64 {
        id
    }

    #[redis_cached(key = "user:{id}", ttl = "5m", same_entries_as = Self::load, skip(self))]
    async fn again(&self, id: u64) -> u64 {
        id
    }
}

fn main() {}
