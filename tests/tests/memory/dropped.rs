//! Thousands of calls that are dropped at any moment: what they leave behind is nothing.

use std::time::Duration;

use redis_cached::{Cache, redis_cached};
use tokio::runtime::Handle;
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep};

use crate::origin::{Origin, memory, settle};

const SEEDS: u64 = 50;
const IDS: u64 = 5;
/// At once, and how often each of them calls.
const CALLERS: u64 = 8;
const CALLS: u64 = 20;

/// A lease that were left behind would be waited for.
#[redis_cached(
    key = "dropped:{id}", ttl = "40ms", refresh_before = "20ms", stale_if_error = "20ms", lock_ttl = "1h",
    wait = "1h", tags = ["all"], cache = cache, skip(cache, origin, takes)
)]
async fn shared(id: u64, cache: &Cache, origin: &Origin, takes: u64) -> Result<usize, String> {
    Ok(origin.read_slowly(Duration::from_millis(takes)).await)
}

#[redis_cached(
    key = "limited:{id}", ttl = "40ms", lock_ttl = "1h", wait = "1h", max_concurrency = 2, cache = cache,
    skip(cache, origin, takes)
)]
async fn limited(id: u64, cache: &Cache, origin: &Origin, takes: u64) -> Result<usize, String> {
    shared(id, cache, origin, takes).await
}

/// One of all that can be done with an entry.
async fn something(mut rng: fastrand::Rng, cache: Cache, origin: Origin) {
    let (id, takes, most) = (rng.u64(..IDS), rng.u64(..8), rng.u64(..10));
    let (cache, origin) = (&cache, &origin);
    // Whatever becomes of it.
    let _ = match most {
        0 => shared_refresh(id, cache, origin, takes).await.is_ok(),
        1 => shared_entry(id, cache).set(0).await.is_ok(),
        2 => shared_entry(id, cache).invalidate().await.is_ok(),
        3 => shared_entry(id, cache).expire().await.is_ok(),
        4 => cache.invalidate_tags(["all"]).await.is_ok(),
        5..8 => limited(id, cache, origin, takes).await.is_ok(),
        _ => shared(id, cache, origin, takes).await.is_ok(),
    };
}

async fn caller(mut rng: fastrand::Rng, cache: Cache, origin: Origin) {
    for _ in 0..CALLS {
        let call = tokio::spawn(something(rng.fork(), cache.clone(), origin.clone()));
        // Time stands still as long as anybody can go on: so a call is also dropped between two of its steps.
        for _ in 0..rng.u32(..12) {
            tokio::task::yield_now().await;
        }
        if rng.bool() {
            sleep(Duration::from_millis(rng.u64(..10))).await;
        }
        call.abort();
    }
}

/// Catalogue 1.
#[tokio::test(start_paused = true)]
async fn c4_calls_that_are_dropped_at_any_moment_leave_no_lease_and_no_task() {
    let tasks = || Handle::current().metrics().num_alive_tasks();
    let before = tasks();
    for seed in 0..SEEDS {
        println!("seed {seed}");
        let (cache, origin) = (memory().await, Origin::open());
        let mut rng = fastrand::Rng::with_seed(seed);
        let mut callers = JoinSet::new();
        for _ in 0..CALLERS {
            callers.spawn(caller(rng.fork(), cache.clone(), origin.clone()));
        }
        callers.join_all().await;
        // Refreshes go on, and have a few milliseconds yet.
        sleep(Duration::from_millis(100)).await;
        settle().await;
        assert_eq!(tasks(), before, "tasks are left");
        let (began, bodies) = (Instant::now(), origin.bodies());
        for id in 0..IDS {
            limited(id, &cache, &origin, 0).await.unwrap();
            shared(id, &cache, &origin, 0).await.unwrap();
        }
        // A paused clock rounds up to a millisecond.
        let waited = began.elapsed();
        assert!(
            waited < Duration::from_millis(50),
            "{waited:?}: somebody has kept a lease, or a place"
        );
        assert_eq!(origin.bodies(), bodies + usize::try_from(IDS).unwrap(), "all is stored again");
        cache.shutdown(Duration::ZERO).await.unwrap();
    }
}
