//! Errors that are stored, and errors that are shared by hand.

#![deny(warnings)]

use std::time::Duration;

use redis_cached::redis_cached;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

#[derive(Debug, Serialize, Deserialize)]
enum Failed {
    NotFound,
    RateLimited { retry_after: Duration },
}

impl Failed {
    fn is_not_found(&self) -> bool {
        matches!(self, Self::NotFound)
    }

    fn copied(&self) -> Self {
        match self {
            Self::NotFound => Self::NotFound,
            Self::RateLimited { retry_after } => Self::RateLimited { retry_after: *retry_after },
        }
    }
}

mod answers {
    pub type Answer<T> = Result<T, super::Failed>;
    pub type Numbers = Answer<Vec<u64>>;
}

#[derive(Clone)]
struct Config {
    patience: Duration,
}

#[redis_cached(key = "stored:path:{id}", ttl = "5m", cache_err_if = Failed::is_not_found, err_ttl = "10s")]
async fn by_path(id: u64) -> answers::Answer<u64> {
    Ok(id)
}

#[redis_cached(
    key = "stored:with:{id}", ttl = "5m", refresh_before = "1m", cache_err_if = |_| true, share_err = Failed::copied,
    err_ttl_with = |error| match error {
        Failed::NotFound => Duration::from_secs(10),
        Failed::RateLimited { retry_after } => *retry_after,
    }
)]
async fn by_error(id: u64) -> answers::Numbers {
    Ok(vec![id])
}

#[redis_cached(
    key = "stored:argument:{id}", ttl = "5m", skip(config), cache_err_if = |error| error.is_not_found(),
    err_ttl = config.patience / 2, cache_if = Option::is_some, none_ttl = 5, codec = msgpack
)]
async fn by_argument(config: &Config, id: u64) -> answers::Answer<Option<u64>> {
    let _ = config;
    Ok(Some(id))
}

#[redis_cached(key = "stored:generic:{id}", ttl = "5m", skip(E), cache_err_if = |_: &E| true, err_ttl = 10)]
async fn generic<E>(id: u64) -> Result<u64, E>
where
    E: Serialize + DeserializeOwned + Send + 'static,
{
    Ok(id)
}

#[redis_cached(key = "stored:shared:{id}", ttl = "5m", share_err = |error| Failed::copied(error))]
async fn shared(id: u64) -> Result<u64, Failed> {
    Ok(id)
}

struct Repo {
    tenant: u32,
}

impl Repo {
    const PATIENCE: Duration = Duration::from_secs(3);

    fn is_final(_: &Failed) -> bool {
        true
    }

    #[redis_cached(
        key = "stored:method:{self.tenant}:{id}", ttl = "5m", cache_err_if = Self::is_final, err_ttl = Self::PATIENCE
    )]
    async fn load(&self, id: u64) -> Result<u64, Failed> {
        Ok(id)
    }
}

trait Rows {
    type Error;
    async fn find(&self, id: u64) -> Result<u64, Self::Error>;
}

#[redis_cached::methods]
impl Rows for Repo {
    type Error = Failed;

    #[redis_cached(
        key = "stored:find:{self.tenant}:{id}", ttl = "5m", cache_err_if = |error| error.is_not_found(), err_ttl = "1s"
    )]
    async fn find(&self, id: u64) -> Result<u64, Self::Error> {
        Ok(id)
    }
}

fn is_send(_: impl Send) {}

fn main() {
    let config = Config { patience: Duration::from_secs(1) };
    let repo = Repo { tenant: 1 };
    is_send(by_path(1));
    is_send(by_error(1));
    is_send(by_argument(&config, 1));
    is_send(generic::<u8>(1));
    is_send(shared_refresh(1));
    is_send(repo.load(1));
    is_send(repo.find(1));
    is_send(by_error_entry(1).peek());
    let _ = (by_path_entry(1), by_argument_entry(&config, 1), generic_entry::<u8>(1));
    let _ = (shared_entry(1).of_value(), repo.load_entry(1), repo.find_entry(1));
}
