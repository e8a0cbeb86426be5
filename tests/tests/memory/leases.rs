//! How long a lease lives, and what becomes of values that took too long.

use std::time::Duration;

use redis_cached::{Cache, redis_cached};

use crate::origin::{Origin, memory, settle};

#[redis_cached(key = "slow:{id}", ttl = "1h", jitter = "0%", skip(origin, time), cache = cache)]
async fn slow(cache: &Cache, origin: &Origin, id: u64, time: Duration) -> usize {
    origin.read_slowly(time).await
}

/// Catalogue 5.
#[tokio::test(start_paused = true)]
async fn a_lease_is_renewed_while_its_body_runs() {
    let (cache, origin) = (memory().await, Origin::open());
    // Eight times the lock_ttl.
    assert_eq!(slow(&cache, &origin, 1, Duration::from_secs(40)).await, 1);
    assert!(slow_entry(&cache, 1).peek().await.unwrap().is_some(), "the lease was not renewed");
}

/// Catalogue 5.
#[tokio::test(start_paused = true)]
async fn past_the_longest_renewal_the_value_is_returned_and_not_stored() {
    let (cache, origin) = (memory().await, Origin::open());
    assert_eq!(slow(&cache, &origin, 1, Duration::from_secs(90)).await, 1);
    assert!(slow_entry(&cache, 1).peek().await.unwrap().is_none());
}

/// A body that blocks its thread is not polled, so nothing renews for it.
/// Catalogue 6.
#[tokio::test(start_paused = true)]
async fn c1_a_holder_that_was_stopped_past_its_lease_is_refused() {
    let (cache, origin) = (memory().await, Origin::open());
    let mut stopped = Box::pin(slow(&cache, &origin, 1, Duration::from_secs(1)));
    tokio::select! {
        biased;
        _ = &mut stopped => panic!("too early"),
        () = origin.body_started() => {}
    }
    // Not polled for longer than its lease lives; meanwhile the value changes and is read anew.
    tokio::time::sleep(Duration::from_secs(6)).await;
    let new = origin.change();
    let other = memory_like_process(&cache, &origin).await;
    assert_eq!(other, new);
    assert_eq!(stopped.await, 1);
    let stored = slow_entry(&cache, 1).peek().await.unwrap().expect("what the other stored");
    assert_eq!(stored.value, new);
}

/// A forced computation joins no flight, as one in another process would not.
async fn memory_like_process(cache: &Cache, origin: &Origin) -> usize {
    slow_refresh(cache, origin, 1, Duration::from_millis(1)).await
}

#[redis_cached(key = "short:{id}", ttl = "1s", skip(origin), cache = cache)]
async fn short(cache: &Cache, origin: &Origin, id: u64) -> usize {
    origin.read_slowly(Duration::from_secs(2)).await
}

#[tokio::test(start_paused = true)]
async fn c3_a_body_slower_than_its_ttl_is_never_stored() {
    let (cache, origin) = (memory().await, Origin::open());
    assert_eq!(short(&cache, &origin, 1).await, 1);
    settle().await;
    assert!(short_entry(&cache, 1).peek().await.unwrap().is_none());
    assert_eq!(short(&cache, &origin, 1).await, 1);
    assert_eq!(origin.bodies(), 2);
}

#[redis_cached(key = "aging:{id}", ttl = "1m", jitter = "0%", skip(origin), cache = cache)]
async fn aging(cache: &Cache, origin: &Origin, id: u64) -> usize {
    origin.read_slowly(Duration::from_secs(20)).await
}

/// The data is as old as the moment its computation began, not as the moment it was stored.
#[tokio::test(start_paused = true)]
async fn c3_ttl_counts_from_the_moment_the_computation_began() {
    let (cache, origin) = (memory().await, Origin::open());
    aging(&cache, &origin, 1).await;
    let left = aging_entry(&cache, 1).ttl().await.unwrap().expect("stored");
    assert_eq!(left, Duration::from_secs(40));
    let age = aging_entry(&cache, 1).peek().await.unwrap().expect("stored").age;
    assert_eq!(age, Some(Duration::from_secs(20)));
}

#[redis_cached(key = "spread:{id}", ttl = "100s", jitter = "10%", skip(origin), cache = cache)]
async fn spread(cache: &Cache, origin: &Origin, id: u64) -> usize {
    origin.read().await
}

/// Catalogue 54.
#[tokio::test(start_paused = true)]
async fn c3_ten_thousand_entries_of_one_moment_do_not_end_at_one_moment() {
    let (cache, origin) = (memory().await, Origin::open());
    let mut by_second = std::collections::BTreeMap::new();
    for id in 0..10_000 {
        spread(&cache, &origin, id).await;
        let ttl = spread_entry(&cache, id).ttl().await.unwrap().expect("stored");
        assert!(ttl <= Duration::from_secs(100), "jitter may only shorten: {ttl:?}");
        assert!(ttl >= Duration::from_secs(90), "jitter took too much: {ttl:?}");
        *by_second.entry(ttl.as_secs()).or_insert(0) += 1;
    }
    assert!(by_second.len() >= 10, "{by_second:?}");
    assert!(by_second.values().all(|entries| *entries < 2_000), "{by_second:?}");
}

#[tokio::test(start_paused = true)]
async fn set_voids_a_running_computation_and_is_what_calls_get() {
    let (cache, origin) = (memory().await, Origin::open());
    let running = {
        let (cache, origin) = (cache.clone(), origin.clone());
        tokio::spawn(async move { slow(&cache, &origin, 1, Duration::from_secs(1)).await })
    };
    origin.body_started().await;
    slow_entry(&cache, 1).set(77).await.unwrap();
    assert_eq!(running.await.unwrap(), 1);
    assert_eq!(slow(&cache, &origin, 1, Duration::ZERO).await, 77);
}

#[tokio::test(start_paused = true)]
async fn c1_refresh_never_returns_what_began_before_it() {
    let (cache, origin) = (memory().await, Origin::open());
    let old = {
        let (cache, origin) = (cache.clone(), origin.clone());
        tokio::spawn(async move { slow(&cache, &origin, 1, Duration::from_secs(1)).await })
    };
    origin.body_started().await;
    let new = origin.change();
    assert_eq!(slow_refresh(&cache, &origin, 1, Duration::from_secs(5)).await, new);
    assert_eq!(old.await.unwrap(), 1);
    assert_eq!(slow(&cache, &origin, 1, Duration::ZERO).await, new);
    assert_eq!(origin.bodies(), 2);
}
