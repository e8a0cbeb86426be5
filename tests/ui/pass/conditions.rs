#![deny(warnings)]
//! `cfg` and `cfg_attr` of functions, methods and blocks.

use redis_cached::redis_cached;

#[redis_cached(key = "conditions:{id}", ttl = "5m")]
#[cfg(not(any()))]
async fn either(id: u64) -> u64 {
    id
}

#[redis_cached(key = "conditions:{id}", ttl = "5m")]
#[cfg(any())]
async fn either(id: Missing) -> Missing {
    id
}

#[cfg(any())]
#[redis_cached(key = "conditions:{idd}")]
async fn gone(id: Missing) -> Missing {
    id
}

#[cfg_attr(all(), redis_cached(key = "conditions:attr:{id}", ttl = "5m"))]
async fn by_condition(id: u64) -> u64 {
    id
}

struct Repo;

impl Repo {
    #[redis_cached(key = "conditions:repo:{id}", ttl = "5m", skip(self))]
    #[cfg_attr(all(), must_use, allow(clippy::all))]
    #[cfg(not(any()))]
    async fn load(&self, id: u64) -> u64 {
        id
    }
}

trait Load {
    async fn load_too(&self, id: u64) -> u64;
}

#[redis_cached::methods]
#[cfg(not(any()))]
impl Load for Repo {
    #[redis_cached(key = "conditions:trait:{id}", ttl = "5m", skip(self))]
    async fn load_too(&self, id: u64) -> u64 {
        id
    }

    #[cfg(any())]
    #[redis_cached(key = "conditions:gone:{id}", ttl = "5m", skip(self))]
    async fn gone(&self, id: Missing) -> Missing {
        id
    }
}

#[redis_cached::methods]
#[cfg(any())]
impl Missing for Missing {
    #[redis_cached(key = "conditions:missing:{id}", ttl = "5m", skip(self))]
    async fn load(&self, id: u64) -> u64 {
        id
    }
}

fn main() {
    let _ = (either_entry(1), either(1), by_condition_entry(1), by_condition(1));
    let _ = (Repo.load(1), Repo::load_entry(1), Repo.load_too(1), Repo::load_too_entry(1));
}
