#![deny(warnings)]
//! `bypass_if` and `refresh_if`: flags that are used for nothing else need not be in the key.

use redis_cached::redis_cached;

struct Request {
    id: u64,
    no_cache: bool,
}

#[redis_cached(key = "call:all:{id}", ttl = "5m", refresh_if = force, bypass_if = dry_run, no_store_if = !stored)]
async fn all_flags(id: u64, force: bool, dry_run: bool, stored: bool) -> u64 {
    id
}

#[redis_cached(key = "call:{id}", ttl = "5m", refresh_if = force, bypass_if = dry_run)]
async fn flags(id: u64, force: bool, dry_run: bool) -> u64 {
    id
}

#[redis_cached(key = "call:request:{request.id}", ttl = "5m", bypass_if = request.no_cache || request.id == 0)]
async fn expressions(request: &Request) -> u64 {
    request.id
}

#[redis_cached(key = "call:skipped:{id}", ttl = "5m", refresh_if = headers.contains(&"no-cache"), skip(headers))]
async fn headers(id: u64, headers: &[&str]) -> u64 {
    id
}

#[redis_cached(key = "call:pattern:{id}", ttl = "5m", refresh_if = force)]
async fn pattern((id, _): (u64, ()), force: bool) -> u64 {
    id
}

struct Repo {
    frozen: bool,
}

impl Repo {
    #[redis_cached(key = "call:repo:{id}", ttl = "5m", bypass_if = self.frozen, skip(self))]
    async fn load(&self, id: u64) -> u64 {
        id
    }
}

fn main() {
    let request = Request { id: 1, no_cache: false };
    let _ = (flags(1, true, false), expressions(&request), headers(1, &[]), pattern((1, ()), true));
    let _ = (flags_entry(1), Repo { frozen: false }.load(1));
}
