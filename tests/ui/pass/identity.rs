#![deny(warnings)]

use redis_cached::redis_cached;

mod users {
    use redis_cached::redis_cached;

    #[redis_cached(key = "identity:{id}", ttl = "5m", name = "users.load:v-2_a", version = 3)]
    pub async fn load(id: u64) -> u64 {
        id
    }
}

#[redis_cached(key = "identity:{id}", ttl = "5m", same_entries_as = users::load)]
async fn again(id: u64) -> u64 {
    id
}

struct Repo;

impl Repo {
    #[redis_cached(key = "identity:repo:{id}", ttl = "5m", skip(self))]
    async fn load(&self, id: u64) -> u64 {
        id
    }

    #[redis_cached(key = "identity:repo:{id}", ttl = "5m", same_entries_as = Repo::load, skip(self))]
    async fn again(&self, id: u64) -> u64 {
        id
    }
}

fn main() {
    let _ = (users::load(1), again(1), Repo.load(1), Repo.again(1));
}
