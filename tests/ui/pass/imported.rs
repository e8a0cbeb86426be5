#![deny(warnings)]
//! The attribute may be imported for functions that `methods` takes it from.

use redis_cached::redis_cached;

struct Repo;

trait Load {
    async fn load(&self, id: u64) -> u64;
}

#[redis_cached::methods]
impl Load for Repo {
    #[redis_cached(key = "imported:{id}", ttl = "5m", skip(self))]
    async fn load(&self, id: u64) -> u64 {
        id
    }
}

mod not_imported {
    pub(super) struct Repo;

    #[redis_cached::methods]
    impl Repo {
        #[redis_cached(key = "imported:not:{id}", ttl = "5m", skip(self))]
        pub(super) async fn load(&self, id: u64) -> u64 {
            id
        }
    }
}

fn main() {
    let _ = (Repo.load(1), not_imported::Repo.load(1));
}
