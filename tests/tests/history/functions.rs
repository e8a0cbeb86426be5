//! The functions of the fleet. Each reads a register of the origin, whose versions only grow.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use redis::AsyncCommands;
use redis::aio::MultiplexedConnection;
use redis_cached::{Cache, redis_cached, tag};
use serde::{Deserialize, Serialize};

/// What a process needs: the cache, and the origin.
#[derive(Clone)]
pub(crate) struct Context {
    pub(crate) cache: Cache,
    pub(crate) origin: MultiplexedConnection,
}

/// One version of a register, and when it was read.
#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
pub(crate) struct Reading {
    pub(crate) register: u64,
    pub(crate) version: u64,
    pub(crate) read_ms: u64,
}

pub(crate) fn now_ms() -> u64 {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    u64::try_from(now.as_millis()).unwrap_or(u64::MAX)
}

impl Context {
    /// A body: it reads, and then takes its time.
    async fn read(&self, register: u64) -> Result<Reading, String> {
        let mut origin = self.origin.clone();
        let read_ms = now_ms();
        let version: Option<u64> =
            origin.get(format!("register:{register}")).await.map_err(|error| error.to_string())?;
        let _: u64 = origin.incr("bodies", 1).await.map_err(|error| error.to_string())?;
        tokio::time::sleep(Duration::from_micros(fastrand::u64(..20_000))).await;
        Ok(Reading { register, version: version.unwrap_or(0), read_ms })
    }
}

#[redis_cached(key = "plain:{r}", ttl = "30s", lock_ttl = "1s", cache = context.cache, skip(context))]
pub(crate) async fn plain(r: u64, context: &Context) -> Result<Reading, String> {
    context.read(r).await
}

#[redis_cached(
    key = "cleared:{r}", ttl = "30s", lock_ttl = "1s", clearable, cache = context.cache, skip(context)
)]
pub(crate) async fn cleared(r: u64, context: &Context) -> Result<Reading, String> {
    context.read(r).await
}

#[redis_cached(
    key = "tagged:{r}", ttl = "30s", lock_ttl = "1s", tags = ["register:{r}"], cache = context.cache,
    skip(context)
)]
pub(crate) async fn tagged(r: u64, context: &Context) -> Result<Reading, String> {
    context.read(r).await
}

/// Short-lived, so that it is stale most of the time.
#[redis_cached(
    key = "live:{r}", ttl = "1s", refresh_before = "900ms", lock_ttl = "1s", tags = ["register:{r}"],
    cache = context.cache, skip(context)
)]
pub(crate) async fn live(r: u64, context: Context) -> Result<Reading, String> {
    context.read(r).await
}

#[redis_cached(
    key = "valued:{r}", ttl = "30s", lock_ttl = "1s", tags = ["register:{ret.register}"],
    cache = context.cache, skip(context)
)]
pub(crate) async fn valued(r: u64, context: &Context) -> Result<Reading, String> {
    context.read(r).await
}

#[redis_cached(key = "late:{r}", ttl = "30s", lock_ttl = "1s", cache = context.cache, skip(context))]
pub(crate) async fn late(r: u64, context: &Context) -> Result<Reading, String> {
    tag(format!("register:{r}"));
    context.read(r).await
}

/// Made of two others.
#[redis_cached(key = "outer:{a}:{b}", ttl = "30s", lock_ttl = "1s", cache = context.cache, skip(context))]
pub(crate) async fn outer(a: u64, b: u64, context: &Context) -> Result<(Reading, Reading), String> {
    let first = tagged(a, context).await?;
    Ok((first, late(b, context).await?))
}
