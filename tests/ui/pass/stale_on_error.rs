#![deny(warnings)]

use std::time::Duration;

use redis_cached::{TimedOut, redis_cached};

#[derive(Clone, Debug)]
pub enum Problem {
    Down,
    TooSlow(TimedOut),
}

impl From<TimedOut> for Problem {
    fn from(why: TimedOut) -> Self {
        Self::TooSlow(why)
    }
}

impl Problem {
    fn is_down(&self) -> bool {
        matches!(self, Self::Down)
    }
}

#[derive(Clone)]
pub struct Config {
    stale: Duration,
    limit: Duration,
}

#[redis_cached(
    key = "stale:all:{id}",
    ttl = "5m",
    stale_if_error = "1h",
    stale_if = Problem::is_down,
    timeout = "2s",
    soft_timeout = "100ms"
)]
pub async fn all(id: u64) -> Result<u64, Problem> {
    if id == 0 { Err(Problem::Down) } else { Ok(id) }
}

/// What borrows needs no clone where no body outlives its call.
#[redis_cached(key = "stale:borrowing:{id}", ttl = "5m", stale_if_error = "1h", timeout = "2s", skip(buffer))]
pub async fn borrowing(buffer: &mut Vec<u64>, id: u64) -> Result<u64, anyhow::Error> {
    buffer.push(id);
    Ok(id)
}

#[redis_cached(key = "stale:boxed:{id}", ttl = "5m", timeout = "2s")]
pub async fn boxed(id: u64) -> Result<u64, Box<dyn std::error::Error + Send + Sync>> {
    Ok(id)
}

/// A function that can't fail may still be slow.
#[redis_cached(key = "stale:plain:{id}", ttl = "5m", stale_if_error = "1h", soft_timeout = "100ms")]
pub async fn plain(id: u64) -> Option<u64> {
    Some(id)
}

#[redis_cached(
    key = "stale:config:{id}",
    ttl = "5m",
    stale_if_error = config.stale,
    timeout = config.limit,
    soft_timeout = config.limit / 2,
    skip(config)
)]
pub async fn configured(config: &Config, id: u64) -> Result<u64, Problem> {
    Ok(id)
}

#[redis_cached(
    key = "stale:made:{id}",
    ttl = "5m",
    stale_if_error = "1h",
    soft_timeout = "100ms",
    skip(buffer),
    refresh_with(buffer = Vec::new())
)]
pub async fn made(buffer: &mut Vec<u64>, id: u64) -> Result<u64, Problem> {
    buffer.push(id);
    Ok(id)
}

pub struct Repo;

pub trait Load {
    fn limit(&self) -> Duration;
}

impl Repo {
    #[redis_cached(
        key = "stale:repo:{id}",
        ttl = "5m",
        stale_if_error = "1h",
        stale_if = |error| error.is_down(),
        timeout = self.limit(),
        skip(self)
    )]
    pub async fn load(&self, id: u64) -> Result<Option<u64>, Problem> {
        Ok(Some(id))
    }
}

impl Load for Repo {
    fn limit(&self) -> Duration {
        Duration::from_secs(1)
    }
}

fn main() {
    let config = Config { stale: Duration::from_secs(1), limit: Duration::from_secs(1) };
    // A handle runs no body, and asks nothing of how long one may take.
    let _ = (all_entry(1), configured_entry(&config, 1), Repo::load_entry(1), made_entry(1));
    let _ = (all(1), configured(&config, 1), boxed(1), plain(1));
}
