#![deny(warnings)]
//! `no_store_if`, `max_age` and `busy`: what says how to call, and is used for nothing else, need not be in the key.

use std::time::Duration;

use redis_cached::redis_cached;

#[derive(Debug)]
struct Busy;

#[derive(Clone, Copy)]
struct Limits {
    age: Duration,
    frozen: bool,
}

struct Extract<T>(T);

#[redis_cached(
    key = "per-call:{id}",
    ttl = "5m",
    refresh_before = "20%",
    no_store_if = read_only,
    max_age = max_age,
    busy = if strict { Err(Busy) } else { Ok(stand_in.len() as u64) }
)]
async fn all(
    id: u64,
    read_only: bool,
    max_age: Option<Duration>,
    strict: bool,
    stand_in: &[u64],
) -> Result<u64, Busy> {
    Ok(id)
}

#[redis_cached(key = "per-call:literal:{id}", ttl = "5m", max_age = "30s")]
async fn literal(id: u64) -> u64 {
    id
}

#[redis_cached(key = "per-call:seconds:{id}", ttl = ttl, max_age = 30, skip(ttl))]
async fn seconds(id: u64, ttl: Duration) -> u64 {
    id
}

// Other ttls are longer.
#[redis_cached(key = "per-call:literal:{id}", ttl = "1m", max_age = "2m", same_entries_as = literal)]
async fn shared(id: u64) -> u64 {
    id
}

#[redis_cached(key = "per-call:reference:{id}", ttl = "5m", max_age = age)]
async fn reference(id: u64, age: &Duration) -> u64 {
    id
}

#[redis_cached(
    key = "per-call:pattern:{id}", ttl = "5m", no_store_if = limits.frozen, max_age = limits.age, busy = id,
    skip(limits)
)]
async fn pattern(Extract(limits): Extract<Limits>, (id, _): (u64, ())) -> u64 {
    id
}

#[redis_cached(key = "per-call:opaque:{id}", ttl = "5m", busy = fallback.to_string())]
async fn opaque(id: u64, fallback: impl ToString + Send + Sync) -> String {
    id.to_string()
}

#[redis_cached(key = "per-call:generic:{id}", ttl = "5m", busy = fallback.clone().into(), skip(fallback, T))]
async fn generic<T: Into<String> + Clone + Send + Sync>(id: u64, fallback: T) -> String {
    id.to_string()
}

struct Repo {
    limits: Limits,
    conn: u64,
}

impl Repo {
    const NOTHING: u64 = 0;

    #[redis_cached(
        key = "per-call:method:{id}", ttl = "5m", no_store_if = self.limits.frozen, max_age = self.limits.age,
        busy = Self::NOTHING, skip(self)
    )]
    async fn method(&self, id: u64) -> u64 {
        id
    }

    #[redis_cached(key = "per-call:exclusive:{id}", ttl = "5m", no_store_if = self.conn == 0, busy = self.conn, skip(self))]
    async fn exclusive(&mut self, id: u64) -> u64 {
        self.conn += 1;
        id
    }
}

trait Users {
    type Error;

    async fn load(&self, id: u64, max_age: Duration) -> Result<u64, Self::Error>;
}

#[redis_cached::methods]
impl Users for Repo {
    type Error = Busy;

    #[redis_cached(
        key = "per-call:trait:{id}", ttl = "5m", max_age = max_age.min(self.limits.age), busy = Err(Busy), skip(self)
    )]
    async fn load(&self, id: u64, max_age: Duration) -> Result<u64, Self::Error> {
        Ok(id)
    }
}

async fn caller() {
    let limits = Limits { age: Duration::ZERO, frozen: true };
    let mut repo = Repo { limits, conn: 0 };
    let _ = all(1, true, None, true, &[]).await;
    let _ = all_refresh(1, true, None, true, &[]).await;
    let _ = (literal(1).await, seconds(1, limits.age).await, shared(1).await, reference(1, &limits.age).await);
    let _ = (pattern(Extract(limits), (1, ())).await, opaque(1, 'a').await, generic(1, "a").await);
    let _ = (repo.method(1).await, repo.exclusive(1).await, repo.load(1, limits.age).await);
    let _ = (all_entry(1), pattern_entry((1, ())), opaque_entry(1), generic_entry(1));
    let _ = (Repo::method_entry(1), Repo::exclusive_entry(1), Repo::load_entry(1));
}

fn main() {
    fn is_send(_: impl Send) {}
    is_send(caller());
}
