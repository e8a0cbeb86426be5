#![deny(warnings)]
//! Which expressions name a cache.

use std::sync::{Arc, OnceLock};

use redis_cached::{Cache, redis_cached};

static CACHE: OnceLock<Cache> = OnceLock::new();

#[derive(Clone)]
struct State {
    cache: Arc<Cache>,
    caches: Vec<Cache>,
}

#[redis_cached(key = "caches:parameter:{id}", ttl = "5m", cache = cache)]
async fn parameter(cache: &Cache, id: u64) -> u64 {
    id
}

#[redis_cached(key = "caches:static:{id}", ttl = "5m", cache = CACHE.get(), clearable)]
async fn of_static(id: u64) -> u64 {
    id
}

#[redis_cached(key = "caches:shard:{id}", ttl = "5m", refresh_before = "10%", cache = state.caches[id as usize % 4], skip(state))]
async fn shard(state: &State, id: u64) -> u64 {
    id
}

#[redis_cached(key = "caches:option:{id}", ttl = "5m", cache = (id > 0).then_some(&state.cache), skip(state))]
async fn option(state: &State, id: u64) -> u64 {
    id
}

struct Extract<T>(T);

// The name of the whole and that of its only part are one.
#[redis_cached(key = "caches:pattern:{id}", ttl = "5m", cache = state.cache, skip(state))]
async fn pattern(Extract(state): Extract<&State>, id: u64) -> u64 {
    id
}

#[redis_cached::methods]
impl State {
    #[redis_cached(key = "caches:self:{id}", ttl = "5m", cache = self.cache, clearable, skip(self))]
    async fn load(&self, id: u64) -> u64 {
        id
    }
}

async fn caller(state: &State) {
    parameter(&state.cache, 1).await;
    of_static(1).await;
    shard(state, 1).await;
    option(state, 1).await;
    pattern(Extract(state), 1).await;
    state.load(1).await;
    let _ = (parameter_entry(&state.cache, 1), of_static_entry(1), shard_entry(state, 1));
    let _ = (option_entry(state, 1), pattern_entry(Extract(state), 1), state.load_entry(1));
    let _ = (of_static_all(), state.load_all());
}

fn main() {
    let _ = caller;
}
