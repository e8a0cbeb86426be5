#![deny(warnings)]
//! The crate under another name, as a framework would export it.

mod framework {
    pub use redis_cached as cached;
    pub use redis_cached::{methods, redis_cached};
}

#[framework::redis_cached(key = "path:{id}", ttl = "5m", refresh_before = "10%", crate = crate::framework::cached)]
async fn load(id: u64) -> u64 {
    id
}

struct Repo;

trait Load {
    async fn load(&self, id: u64) -> u64;
}

#[framework::methods]
impl Load for Repo {
    #[framework::redis_cached(key = "path:repo:{id}", ttl = "5m", crate = crate::framework::cached, skip(self))]
    async fn load(&self, id: u64) -> u64 {
        id
    }
}

fn main() {
    let _ = (load(1), Repo.load(1));
}
