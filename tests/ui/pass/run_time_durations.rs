#![deny(warnings)]

use std::time::Duration;

use redis_cached::redis_cached;

const HOUR: Duration = Duration::from_secs(3600);

#[derive(Clone)]
struct Config {
    ttl: Duration,
}

impl Config {
    fn window(&self) -> Duration {
        self.ttl / 10
    }
}

#[redis_cached(key = "durations:constant:{id}", ttl = HOUR, lock_ttl = Duration::from_secs(3))]
async fn constant(id: u64) -> u64 {
    id
}

#[redis_cached(
    key = "durations:config:{id}",
    ttl = config.ttl,
    refresh_before = config.window(),
    none_ttl = Duration::from_secs(id.min(60)),
    wait = if id == 0 { Duration::ZERO } else { HOUR },
    skip(config)
)]
async fn config(config: &Config, id: u64) -> Option<u64> {
    Some(id)
}

#[derive(Clone)]
struct Repo {
    config: Config,
}

impl Repo {
    #[redis_cached(key = "durations:repo:{id}", ttl = &self.config.ttl, refresh_before = "20%", skip(self))]
    async fn load(&self, id: u64) -> u64 {
        id
    }
}

#[redis_cached(key = "durations:pattern:{id}", ttl = ttl, skip(ttl))]
async fn pattern((id, ttl): (u64, Duration)) -> u64 {
    id
}

fn main() {
    let repo = Repo { config: Config { ttl: HOUR } };
    let _ = (constant(1), config(&repo.config, 1), repo.load(1), pattern((1, HOUR)));
    let _ = (constant_entry(1), config_entry(&repo.config, 1), repo.load_entry(1));
}
