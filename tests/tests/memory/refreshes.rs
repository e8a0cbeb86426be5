//! Stale hits and what happens behind them.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;

use redis_cached::{Cache, State, redis_cached};
use tokio::time::Instant;

use crate::origin::{Origin, memory, settle};

#[redis_cached(key = "rate:{id}", ttl = "1m", refresh_before = "20s", jitter = "0%", skip(origin), cache = cache)]
async fn rate(cache: &Cache, origin: &Origin, id: u64) -> usize {
    origin.read().await
}

/// Fills the entry and moves time into its refresh window.
async fn stale(cache: &Cache, origin: &Origin) {
    origin.let_through(1);
    assert_eq!(rate(cache, origin, 1).await, 1);
    origin.body_started().await;
    tokio::time::sleep(Duration::from_secs(41)).await;
    let peek = rate_entry(cache, 1).peek().await.unwrap().expect("stored");
    assert_eq!(peek.state, State::Stale);
}

#[tokio::test(start_paused = true)]
async fn a_stale_hit_does_not_wait_and_one_refresh_runs_behind_many() {
    let (cache, origin) = (memory().await, Origin::gated());
    stale(&cache, &origin).await;
    let new = origin.change();
    let start = Instant::now();
    for _ in 0..100 {
        assert_eq!(rate(&cache, &origin, 1).await, 1);
    }
    assert_eq!(start.elapsed(), Duration::ZERO);
    origin.body_started().await;
    origin.let_through(1);
    settle().await;
    assert_eq!(rate(&cache, &origin, 1).await, new);
    assert_eq!(origin.bodies(), 2);
    assert_eq!(rate_entry(&cache, 1).peek().await.unwrap().unwrap().state, State::Fresh);
}

#[tokio::test(start_paused = true)]
async fn c1_invalidate_during_a_background_refresh_refuses_its_commit() {
    let (cache, origin) = (memory().await, Origin::gated());
    stale(&cache, &origin).await;
    rate(&cache, &origin, 1).await;
    origin.body_started().await;
    let new = origin.change();
    rate_entry(&cache, 1).invalidate().await.unwrap();
    origin.let_through(1);
    settle().await;
    assert!(rate_entry(&cache, 1).peek().await.unwrap().is_none(), "the refresh was stored");
    origin.let_through(1);
    assert_eq!(rate(&cache, &origin, 1).await, new);
}

#[redis_cached(key = "flaky:{id}", ttl = "10m", refresh_before = "9m", jitter = "0%", skip(origin, fails), cache = cache)]
async fn flaky(cache: &Cache, origin: &Origin, id: u64, fails: bool) -> Result<usize, String> {
    let value = origin.read().await;
    if fails { Err("the origin is down".to_owned()) } else { Ok(value) }
}

/// Catalogue 60.
#[tokio::test(start_paused = true)]
async fn a_failing_refresh_keeps_the_old_value_and_is_tried_at_growing_intervals() {
    let (cache, origin) = (memory().await, Origin::open());
    assert_eq!(flaky(&cache, &origin, 1, false).await, Ok(1));
    tokio::time::sleep(Duration::from_secs(61)).await;
    // A hit every 100 ms for a minute.
    for _ in 0..600 {
        assert_eq!(flaky(&cache, &origin, 1, true).await, Ok(1));
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    // After 1 s, 2 s, 4 s and then every 5 s: one more for the first, a few less for the edges.
    let tries = origin.bodies() - 1;
    assert!((8..=16).contains(&tries), "{tries} tries in a minute");
    // To the end of its ttl, and not longer.
    tokio::time::sleep(Duration::from_secs(10 * 60)).await;
    assert!(flaky(&cache, &origin, 1, true).await.is_err());
}

/// Catalogue 56.
#[tokio::test(start_paused = true)]
async fn refreshes_beyond_the_limit_are_dropped_and_asked_for_again() {
    let cache = Cache::builder().url("memory://").max_refreshes(2).build().await.unwrap();
    let origin = Origin::gated();
    origin.let_through(5);
    for id in 0..5 {
        rate(&cache, &origin, id).await;
        origin.body_started().await;
    }
    tokio::time::sleep(Duration::from_secs(45)).await;
    for id in 0..5 {
        rate(&cache, &origin, id).await;
    }
    settle().await;
    assert_eq!(origin.bodies(), 7, "two of five have a place");
    origin.let_through(2);
    settle().await;
    for id in 0..5 {
        rate(&cache, &origin, id).await;
    }
    settle().await;
    assert_eq!(origin.bodies(), 9, "a place is free again");
    origin.let_through(2);
    settle().await;
}

/// Catalogue 57.
#[tokio::test(start_paused = true)]
async fn shutdown_waits_for_refreshes_and_starts_no_more() {
    let (cache, origin) = (memory().await, Origin::gated());
    stale(&cache, &origin).await;
    rate(&cache, &origin, 1).await;
    origin.body_started().await;
    let draining = {
        let cache = cache.clone();
        tokio::spawn(async move { cache.shutdown(Duration::from_secs(5)).await })
    };
    settle().await;
    assert!(!draining.is_finished());
    origin.let_through(1);
    draining.await.unwrap().unwrap();
    assert_eq!(origin.ended(), 2);
    tokio::time::sleep(Duration::from_secs(45)).await;
    assert_eq!(rate(&cache, &origin, 1).await, 1);
    settle().await;
    assert_eq!(origin.bodies(), 2, "a refresh started after shutdown");
}

/// Catalogue 57.
#[tokio::test(start_paused = true)]
async fn shutdown_drops_what_does_not_end_and_gives_its_lease_back() {
    let (cache, origin) = (memory().await, Origin::gated());
    stale(&cache, &origin).await;
    rate(&cache, &origin, 1).await;
    origin.body_started().await;
    let error = cache.shutdown(Duration::from_secs(5)).await.unwrap_err();
    assert_eq!(error.unfinished(), 1);
    assert_eq!(origin.ended(), 1);
    // The lease is free: a call on the emptied key computes at once.
    rate_entry(&cache, 1).expire().await.unwrap();
    tokio::time::sleep(Duration::from_secs(20)).await;
    let start = Instant::now();
    origin.let_through(1);
    rate(&cache, &origin, 1).await;
    assert_eq!(start.elapsed(), Duration::ZERO);
}

#[tokio::test(start_paused = true)]
async fn expire_makes_an_entry_stale_at_once_and_not_absent() {
    let (cache, origin) = (memory().await, Origin::gated());
    origin.let_through(1);
    rate(&cache, &origin, 1).await;
    origin.body_started().await;
    rate_entry(&cache, 1).expire().await.unwrap();
    let new = origin.change();
    assert_eq!(rate(&cache, &origin, 1).await, 1);
    origin.body_started().await;
    origin.let_through(1);
    settle().await;
    assert_eq!(rate(&cache, &origin, 1).await, new);
}

/// Arguments that are cloned tell of it: on a fresh hit nobody is.
#[derive(Debug)]
struct Tattling(std::sync::Arc<std::sync::atomic::AtomicUsize>);

impl Clone for Tattling {
    fn clone(&self) -> Self {
        self.0.fetch_add(1, std::sync::atomic::Ordering::SeqCst);
        Self(self.0.clone())
    }
}

#[redis_cached(key = "quiet:{id}", ttl = "1m", refresh_before = "20s", jitter = "0%", skip(origin, tattling), cache = cache)]
async fn quiet(cache: &Cache, origin: &Origin, tattling: &Tattling, id: &str) -> usize {
    assert!(!id.is_empty());
    let _ = tattling;
    origin.read().await
}

#[tokio::test(start_paused = true)]
async fn arguments_are_cloned_for_a_refresh_only() {
    let (cache, origin) = (memory().await, Origin::gated());
    origin.let_through(1);
    let tattling = Tattling(std::sync::Arc::default());
    let clones = || tattling.0.load(std::sync::atomic::Ordering::SeqCst);
    for _ in 0..10 {
        quiet(&cache, &origin, &tattling, "a").await;
    }
    assert_eq!((clones(), origin.bodies()), (0, 1), "a miss or a hit cloned an argument");
    tokio::time::sleep(Duration::from_secs(45)).await;
    for _ in 0..100 {
        quiet(&cache, &origin, &tattling, "a").await;
        settle().await;
    }
    assert_eq!((clones(), origin.bodies()), (1, 2), "each stale hit asked for the lease");
    origin.let_through(1);
    settle().await;
}

#[redis_cached(key = "rate:{id}", ttl = "1m", jitter = "0%", skip(origin), cache = cache)]
async fn unrefreshed(cache: &Cache, origin: &Origin, id: u64) -> usize {
    origin.read().await
}

/// `expire` reaches all entries under a key; where nobody would refresh one, it is a miss.
#[tokio::test(start_paused = true)]
async fn expire_by_one_function_does_not_leave_the_entry_of_another_stale_to_its_end() {
    let (cache, origin) = (memory().await, Origin::gated());
    origin.let_through(4);
    rate(&cache, &origin, 1).await;
    unrefreshed(&cache, &origin, 1).await;
    assert!(rate_entry(&cache, 1).peek().await.unwrap().is_some(), "both stand in one string");
    let new = origin.change();
    rate_entry(&cache, 1).expire().await.unwrap();
    assert!(unrefreshed_entry(&cache, 1).peek().await.unwrap().is_none());
    assert_eq!(unrefreshed(&cache, &origin, 1).await, new);
}

#[redis_cached(key = "half:{id}", ttl = "60s", refresh_before = "30s", jitter = "0%", skip(origin), cache = cache)]
async fn old_half(cache: &Cache, origin: &Origin, id: u64) -> usize {
    origin.read().await
}

#[redis_cached(key = "half:{id}", ttl = "60s", refresh_before = "30s", jitter = "0%", version = 1, skip(origin), cache = cache)]
async fn new_half(cache: &Cache, origin: &Origin, id: u64) -> usize {
    origin.read().await
}

/// Each half keeps the other's entry behind its own, and is bound by that entry's end only: not by
/// the end of what it has just replaced.
#[tokio::test(start_paused = true)]
async fn in_a_rolling_deploy_both_halves_are_refreshed_and_never_run_cold() {
    let (cache, origin) = (memory().await, Origin::open());
    old_half(&cache, &origin, 1).await;
    new_half(&cache, &origin, 1).await;
    for second in 0..600 {
        tokio::time::sleep(Duration::from_secs(1)).await;
        let warm = old_half_entry(&cache, 1).peek().await.unwrap().is_some()
            && new_half_entry(&cache, 1).peek().await.unwrap().is_some();
        assert!(warm, "cold after {second} s");
        old_half(&cache, &origin, 1).await;
        new_half(&cache, &origin, 1).await;
        settle().await;
    }
    assert!(origin.bodies() <= 2 * 21, "{} bodies", origin.bodies());
}

/// As of a database: not to be cloned, and lent by a pool.
struct Conn {
    of: u64,
    used: usize,
}

#[derive(Clone)]
struct Pool {
    lent: Arc<AtomicUsize>,
    broken: Arc<AtomicBool>,
}

impl Pool {
    fn new() -> Self {
        Self { lent: Arc::default(), broken: Arc::default() }
    }

    async fn acquire(&self, of: u64) -> Result<Conn, String> {
        tokio::time::sleep(Duration::from_secs(1)).await;
        if self.broken.load(Ordering::SeqCst) {
            return Err("the pool is broken".to_owned());
        }
        self.lent.fetch_add(1, Ordering::SeqCst);
        Ok(Conn { of, used: 0 })
    }
}

#[redis_cached(
    key = "connected:{id}", ttl = "1m", refresh_before = "20s", jitter = "0%", skip(conn, pool, origin), cache = cache,
    refresh_with(conn = pool.acquire(id).await?)
)]
async fn connected(
    cache: &Cache,
    origin: &Origin,
    pool: &Pool,
    conn: &mut Conn,
    id: u64,
) -> Result<(u64, usize), String> {
    conn.used += 1;
    Ok((conn.of, origin.read().await))
}

#[tokio::test(start_paused = true)]
async fn a_refresh_makes_itself_what_cannot_be_cloned() {
    let (cache, origin, pool) = (memory().await, Origin::open(), Pool::new());
    let mut conn = Conn { of: 1, used: 0 };
    for _ in 0..3 {
        assert_eq!(connected(&cache, &origin, &pool, &mut conn, 7).await, Ok((1, 1)));
    }
    tokio::time::sleep(Duration::from_secs(45)).await;
    let new = origin.change();
    let start = Instant::now();
    assert_eq!(connected(&cache, &origin, &pool, &mut conn, 7).await, Ok((1, 1)));
    assert_eq!(start.elapsed(), Duration::ZERO, "a hit waited for a connection");
    assert_eq!(pool.lent.load(Ordering::SeqCst), 0);
    tokio::time::sleep(Duration::from_secs(2)).await;
    assert_eq!(pool.lent.load(Ordering::SeqCst), 1);
    assert_eq!(connected(&cache, &origin, &pool, &mut conn, 7).await, Ok((7, new)));
    assert_eq!((conn.used, origin.bodies()), (1, 2), "the caller's is for the caller's body");
}

#[tokio::test(start_paused = true)]
async fn a_refresh_that_cannot_make_its_arguments_has_failed() {
    let (cache, origin, pool) = (memory().await, Origin::open(), Pool::new());
    let mut conn = Conn { of: 1, used: 0 };
    assert_eq!(connected(&cache, &origin, &pool, &mut conn, 7).await, Ok((1, 1)));
    tokio::time::sleep(Duration::from_secs(45)).await;
    pool.broken.store(true, Ordering::SeqCst);
    for _ in 0..30 {
        assert_eq!(connected(&cache, &origin, &pool, &mut conn, 7).await, Ok((1, 1)));
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    assert_eq!(origin.bodies(), 1);
    pool.broken.store(false, Ordering::SeqCst);
    tokio::time::sleep(Duration::from_secs(5)).await;
    connected(&cache, &origin, &pool, &mut conn, 7).await.unwrap();
    tokio::time::sleep(Duration::from_secs(2)).await;
    assert_eq!(connected(&cache, &origin, &pool, &mut conn, 7).await, Ok((7, 1)));
    assert_eq!((origin.bodies(), conn.used), (2, 1));
}
