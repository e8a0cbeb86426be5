#![deny(warnings, unused)]
//! What is generated and not used is nobody's fault.

use redis_cached::redis_cached;

struct Db;

#[redis_cached(key = "unused:{id}", ttl = "5m", refresh_if = force, skip(_db), clearable)]
async fn function(_db: &Db, id: u64, force: bool) -> u64 {
    1
}

#[redis_cached(key = "unused:must:{id}", ttl = "5m")]
#[must_use]
async fn must(id: u64) -> u64 {
    id
}

struct Repo;

impl Repo {
    #[redis_cached(key = "unused:repo:{id}", ttl = "5m", skip(self), clearable)]
    async fn load(&self, id: u64) -> u64 {
        id
    }
}

trait Load {
    async fn load(&self, id: u64) -> u64;
}

struct Other;

#[redis_cached::methods]
impl Load for Other {
    #[redis_cached(key = "unused:other:{id}", ttl = "5m", skip(self), clearable)]
    async fn load(&self, id: u64) -> u64 {
        id
    }
}

#[redis_cached::methods]
trait Provided: Sync {
    #[redis_cached(key = "unused:provided:{id}", ttl = "5m", skip(self, Self), clearable)]
    fn provided(&self, id: u64) -> impl Future<Output = u64> + Send {
        async move { id }
    }
}

impl Provided for Other {}

fn main() {
    let _ = (function(&Db, 1, true), must(1), Repo.load(1), Other.load(1), Other.provided(1));
}
