//! The functions of the fleet. Each reads registers of the origin, whose versions only grow.

use std::time::Duration;

use redis::AsyncCommands;
use redis::aio::MultiplexedConnection;
use redis_cached::{Cache, InvalidateError, redis_cached, redis_put, tag};
use redis_cached_tests::tell;
use serde::{Deserialize, Serialize};

use crate::record::{Function, line, now};

pub(crate) const REGISTERS: u64 = 16;
/// Registers that one tag covers.
pub(crate) const GROUP: u64 = 4;

/// What a process needs: the cache, and the origin.
#[derive(Clone)]
pub(crate) struct Context {
    pub(crate) cache: Cache,
    pub(crate) origin: MultiplexedConnection,
}

/// One version of a register, and when it was about to be read.
#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
pub(crate) struct Reading {
    pub(crate) register: u64,
    pub(crate) version: u64,
    pub(crate) born: u64,
}

impl Reading {
    fn group(&self) -> u64 {
        self.register / GROUP
    }
}

/// What is made of two others, and when that began.
#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
pub(crate) struct Pair {
    pub(crate) readings: [Reading; 2],
    pub(crate) born: u64,
}

impl Context {
    /// A body: it reads, and then takes its time, or fails.
    async fn read(&self, function: Function, register: u64) -> Result<Reading, String> {
        let mut origin = self.origin.clone();
        let born = now();
        let version: Option<u64> =
            origin.get(format!("register:{register}")).await.map_err(|error| error.to_string())?;
        rest().await;
        ended(function, born, &[register]);
        if fastrand::u16(..500) == 0 {
            return Err("the origin is moody".to_owned());
        }
        Ok(Reading { register, version: version.unwrap_or(0), born })
    }
}

/// Mostly short; sometimes longer than a lease is given for.
async fn rest() {
    let longest = if fastrand::u8(..100) == 0 { 1_200_000 } else { 20_000 };
    tokio::time::sleep(Duration::from_micros(fastrand::u64(..longest))).await;
}

fn ended(function: Function, start: u64, registers: &[u64]) {
    tell(&line("b", &[&[start, now(), function as u64], registers].concat()));
}

#[redis_cached(key = "plain:{r}", ttl = "3s", lock_ttl = "500ms", cache = context.cache, skip(context))]
pub(crate) async fn plain(r: u64, context: &Context) -> Result<Reading, String> {
    context.read(Function::Plain, r).await
}

/// Short-lived, so that it is stale most of the time.
#[redis_cached(
    key = "brisk:{r}", ttl = "1s", refresh_before = "900ms", lock_ttl = "500ms", cache = context.cache,
    skip(context)
)]
pub(crate) async fn brisk(r: u64, context: Context) -> Result<Reading, String> {
    context.read(Function::Brisk, r).await
}

#[redis_cached(
    key = "cleared:{r}", ttl = "3s", refresh_before = "2s", lock_ttl = "500ms", clearable,
    cache = context.cache, skip(context)
)]
pub(crate) async fn cleared(r: u64, context: Context) -> Result<Reading, String> {
    context.read(Function::Cleared, r).await
}

#[redis_cached(
    key = "put:{r}", ttl = "3s", refresh_before = "1s", lock_ttl = "1s", tags = ["put:{r}"],
    cache = context.cache, skip(context)
)]
pub(crate) async fn put(r: u64, context: Context) -> Result<Reading, String> {
    context.read(Function::Put, r).await
}

#[redis_cached(
    key = "tagged:{r}", ttl = "3s", lock_ttl = "500ms", tags = ["register:{r}", "group:{group}"],
    cache = context.cache, skip(context)
)]
pub(crate) async fn tagged(r: u64, group: u64, context: &Context) -> Result<Reading, String> {
    let _ = group;
    context.read(Function::Tagged, r).await
}

#[redis_cached(
    key = "live:{r}", ttl = "1s", refresh_before = "900ms", lock_ttl = "500ms",
    tags = ["register:{r}", "group:{group}"], cache = context.cache, skip(context)
)]
pub(crate) async fn live(r: u64, group: u64, context: Context) -> Result<Reading, String> {
    let _ = group;
    context.read(Function::Live, r).await
}

#[redis_cached(
    key = "valued:{r}", ttl = "3s", lock_ttl = "1s",
    tags = ["register:{ret.register}", "group:{ret.group()}"], cache = context.cache, skip(context)
)]
pub(crate) async fn valued(r: u64, context: &Context) -> Result<Reading, String> {
    context.read(Function::Valued, r).await
}

#[redis_cached(key = "late:{r}", ttl = "3s", lock_ttl = "500ms", cache = context.cache, skip(context))]
pub(crate) async fn late(r: u64, context: &Context) -> Result<Reading, String> {
    tag(format!("register:{r}"));
    let reading = context.read(Function::Late, r).await?;
    tag(format!("group:{}", reading.group()));
    Ok(reading)
}

/// Past its ttl most of the time, when a third of its bodies fail and others take too long.
#[redis_cached(
    key = "kept:{r}", ttl = "500ms", stale_if_error = "2500ms", soft_timeout = "10ms", lock_ttl = "500ms",
    tags = ["register:{r}", "group:{group}"], cache = context.cache, skip(context)
)]
pub(crate) async fn kept(r: u64, group: u64, context: Context) -> Result<Reading, String> {
    let _ = group;
    let reading = context.read(Function::Kept, r).await?;
    if fastrand::u8(..3) == 0 { Err("the origin is away".to_owned()) } else { Ok(reading) }
}

/// Which `listed` has at hand, and `change` puts.
#[redis_cached(
    key = "member:{r}", ttl = "3s", refresh_before = "1s", lock_ttl = "500ms",
    tags = ["member:{r}", "members:{ret.group()}"], cache = context.cache, skip(context)
)]
pub(crate) async fn member(r: u64, context: Context) -> Result<Reading, String> {
    context.read(Function::Member, r).await
}

#[redis_cached(
    key = "listed:{a}:{b}", ttl = "1s", refresh_before = "500ms", lock_ttl = "500ms",
    cache = context.cache, skip(context)
)]
pub(crate) async fn listed(a: u64, b: u64, context: Context) -> Result<Pair, String> {
    let born = now();
    let readings =
        [context.read(Function::Listed, a).await?, context.read(Function::Listed, b).await?];
    for reading in &readings {
        member_entry(reading.register, context.clone()).prime(reading);
    }
    rest().await;
    Ok(Pair { readings, born })
}

/// Why it is not known whether a register was changed, or what shows it invalidated.
#[derive(Debug)]
pub(crate) struct Unchanged;

impl From<InvalidateError> for Unchanged {
    fn from(_: InvalidateError) -> Self {
        Self
    }
}

/// Changes a register, as one who writes and puts what was written.
#[redis_put(member(r, context.clone()), cache = context.cache, on_failure = "error")]
pub(crate) async fn change(r: u64, context: &Context) -> Result<Reading, Unchanged> {
    let born = now();
    let mut origin = context.origin.clone();
    let version = origin.incr(format!("register:{r}"), 1).await.map_err(|_| Unchanged)?;
    // Others write meanwhile.
    tokio::time::sleep(Duration::from_micros(fastrand::u64(..5_000))).await;
    Ok(Reading { register: r, version, born })
}

/// Made of two others.
#[redis_cached(key = "outer:{a}:{b}", ttl = "3s", lock_ttl = "1s", cache = context.cache, skip(context))]
pub(crate) async fn outer(a: u64, b: u64, context: &Context) -> Result<Pair, String> {
    let born = now();
    let readings = [tagged(a, a / GROUP, context).await?, late(b, context).await?];
    ended(Function::Outer, born, &[a, b]);
    Ok(Pair { readings, born })
}

/// The same, where an inner value may be stale, and so may the outer.
#[redis_cached(
    key = "mixed:{a}:{b}", ttl = "1s", refresh_before = "700ms", lock_ttl = "500ms",
    cache = context.cache, skip(context)
)]
pub(crate) async fn mixed(a: u64, b: u64, context: Context) -> Result<Pair, String> {
    let born = now();
    let readings = [live(a, a / GROUP, context.clone()).await?, valued(b, &context).await?];
    rest().await;
    ended(Function::Mixed, born, &[a, b]);
    Ok(Pair { readings, born })
}
