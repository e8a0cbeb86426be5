#![deny(warnings)]
//! A trait that is implemented for all types has methods of the names that generated code calls.

use std::sync::Arc;
use std::time::Duration;

use redis_cached::{redis_cached, redis_invalidate, redis_put};

macro_rules! blanket {
    ($($method:ident)*) => {
        #[allow(dead_code)]
        trait Blanket {
            $(fn $method(&self) -> u8 {
                1
            })*
        }

        impl<T: ?Sized> Blanket for T {}
    };
}

blanket!(
    value told lent shape way
    add tag join joins_later only_if refused sent retried put_by
    cache_if accept_if ttl_with tags with_none refreshing policy terms busy accepting converting
    cache_err_if err_ttl_with share_err accept_by_arguments
    ttl_at_run_time read_only max_age max_age_at_run_time resolved clearable extend
);

#[derive(Clone, Copy)]
struct Settings {
    ttl: Duration,
    busy: bool,
}

#[redis_cached(
    key = "blanket:{id}",
    ttl = settings.ttl,
    max_age = settings.ttl,
    no_store_if = settings.busy,
    busy = Err("busy".to_owned()),
    tags = ["a:{ret}"],
    tags_with = |id| [id.to_string()],
    cache_if = |id| *id > 0,
    accept_if = |id| *id > least,
    refresh_before = "1s",
    cache_err_if = |_| true,
    err_ttl_with = |_| Duration::from_secs(1),
    share_err = |error| error.clone(),
    skip(settings),
    clearable
)]
async fn cached(id: u64, least: u64, settings: Settings) -> Result<u64, String> {
    Ok(id)
}

#[redis_cached(
    key = "blanket:arc:{id}", ttl = "5m", none_ttl = "1s", refresh_before = "1s", max_age = "1m",
    no_store_if = id == 0
)]
async fn in_arc(id: u64) -> Option<Arc<u64>> {
    Some(Arc::new(id))
}

#[redis_cached(
    key = "blanket:stored:{id}", ttl = "5m", stored = u64, save = |id| *id + more, load = |id| id - more,
    skip(more)
)]
async fn converted(id: u64, more: u64) -> u64 {
    id + more
}

#[redis_cached(key = "blanket:plain:{id}", ttl = "5m")]
async fn plain(id: u64) -> u64 {
    id
}

#[redis_invalidate(
    plain(id), plain(ret), cached(..), tags = ["a:{id}", "a:{ret}"], when = ret > 0, on_failure = "retry"
)]
async fn invalidated(id: u64) -> Result<u64, String> {
    Ok(id)
}

#[redis_invalidate(plain(id), when = id > 0, after_commit, on_failure = "error")]
async fn invalidated_later(id: u64) -> Result<u64, redis_cached::InvalidateError> {
    Ok(id)
}

#[redis_invalidate(plain(id), when = ret > 0, after_commit, on_failure = "error")]
async fn perhaps_later(id: u64) -> Result<u64, redis_cached::InvalidateError> {
    Ok(id)
}

#[redis_put(plain(id), plain(ret) = ret, on_failure = "retry")]
async fn put(id: u64) -> Option<u64> {
    Some(id)
}

fn main() {}
