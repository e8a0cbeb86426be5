#![deny(warnings)]
//! With `tracing::instrument`, on either side.

use redis_cached::redis_cached;

#[redis_cached(key = "instrumented:below:{id}", ttl = "5m", refresh_before = "10%")]
#[tracing::instrument(level = "debug", fields(extra = 1), err(Debug), ret)]
async fn below(id: u64) -> Result<u64, String> {
    Ok(id)
}

#[tracing::instrument(skip_all, fields(%id))]
#[redis_cached(key = "instrumented:above:{id}", ttl = "5m")]
async fn above(id: u64) -> u64 {
    id
}

#[derive(Debug)]
struct Repo;

impl Repo {
    #[redis_cached(key = "instrumented:method:{id}", ttl = "5m", skip(self))]
    #[tracing::instrument]
    async fn load(&self, id: u64) -> u64 {
        id
    }
}

trait Load {
    async fn load_too(&self, id: u64) -> u64;
}

#[redis_cached::methods]
impl Load for Repo {
    #[redis_cached(key = "instrumented:trait:{id}", ttl = "5m", skip(self))]
    #[tracing::instrument(skip(self))]
    async fn load_too(&self, id: u64) -> u64 {
        id
    }
}

fn main() {
    let _ = (below(1), above(1), Repo.load(1), Repo.load_too(1));
}
