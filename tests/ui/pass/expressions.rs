#![deny(warnings)]
//! What only an expression of the attribute uses is used.

use std::time::Duration;

use redis_cached::{Cache, redis_cached};

struct Config {
    ttl: Duration,
}

impl Config {
    fn cleaned(&self, name: &str) -> String {
        name.trim().to_owned()
    }
}

struct Extract<T>(T);

#[redis_cached(
    key = "expressions:{name}",
    ttl = "5m",
    normalize(name = config.cleaned(&name)),
    skip(config)
)]
async fn normalized(config: &Config, name: String) -> String {
    name
}

#[redis_cached(key = "expressions:ttl:{id}", ttl = config.ttl, skip(config))]
async fn timed(config: &Config, id: u64) -> u64 {
    id
}

// The whole and its only part have one name.
#[redis_cached(
    key = "expressions:part:{id}",
    ttl = config.ttl,
    cache = cache,
    bypass_if = config.ttl.is_zero(),
    refresh_if = config.ttl.is_zero(),
    skip(config)
)]
async fn part(cache: Option<&Cache>, Extract(config): Extract<&Config>, id: u64) -> u64 {
    id
}

// A text asks by name.
#[redis_cached(
    key = "expressions:text:{id}",
    ttl = Duration::from_secs(format!("{id}").len() as u64),
    refresh_before = "1s",
    no_store_if = format!("{id}").is_empty(),
    max_age = Duration::from_secs(format!("{id:>limit$}").len() as u64),
    accept_if = |value| format!("{value}").len() > format!("{least}").len(),
    refresh_with(name = format!("of {id}")),
    skip(name, limit),
    busy = Err(format!("busy with {id}"))
)]
async fn texts(id: u64, limit: usize, least: u64, name: String) -> Result<u64, String> {
    let _ = name;
    Ok(id)
}

#[redis_cached(
    key = "expressions:texts:{id}",
    ttl = "5m",
    bypass_if = format!("{id}").is_empty(),
    refresh_if = format!("{id}").is_empty()
)]
async fn texts_of_a_pattern((id, _): (u64, ())) -> u64 {
    id
}

async fn caller(config: &Config) {
    normalized(config, String::new()).await;
    timed(config, 1).await;
    part(None, Extract(config), 1).await;
    part_refresh(None, Extract(config), 1).await;
    texts(1, 1, 1, String::new()).await.unwrap();
    texts_of_a_pattern((1, ())).await;
    let _ = normalized_entry(config, String::new());
    let _ = (timed_entry(config, 1), part_entry(None, Extract(config), 1));
}

fn main() {
    let _ = caller(&Config { ttl: Duration::ZERO });
}
