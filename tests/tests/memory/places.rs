//! How many bodies of one function run at once, and what waits for a place.

use crate::origin::{Origin, memory, settle};
use redis_cached::{Cache, redis_cached};
use redis_cached_tests::Told;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;
use tokio::sync::Notify;
use tokio::time::Instant;

#[redis_cached(key = "places:1:{id}", ttl = "1h", max_concurrency = 1, skip(go, started), cache = cache)]
async fn tree(cache: &Cache, go: &Arc<Notify>, started: &Arc<Notify>, id: u64) -> u64 {
    if id == 100 {
        started.notify_one();
        go.notified().await;
        return tree_boxed(cache.clone(), go.clone(), started.clone(), 2).await + 100;
    }
    id
}
fn tree_boxed(
    cache: Cache,
    go: Arc<Notify>,
    started: Arc<Notify>,
    id: u64,
) -> Pin<Box<dyn Future<Output = u64> + Send>> {
    Box::pin(async move { tree(&cache, &go, &started, id).await })
}
#[tokio::test(start_paused = true)]
async fn a_nested_call_does_not_wait_for_a_leader_that_waits_for_its_place() {
    let (cache, go, started) = (memory().await, Arc::new(Notify::new()), Arc::new(Notify::new()));
    let outer = tokio::spawn(tree_boxed(cache.clone(), go.clone(), started.clone(), 100));
    started.notified().await;
    let inner = tokio::spawn(tree_boxed(cache.clone(), go.clone(), started.clone(), 2));
    settle().await;
    let start = Instant::now();
    go.notify_one();
    assert_eq!(outer.await.unwrap(), 102);
    assert_eq!(inner.await.unwrap(), 2);
    assert_eq!(start.elapsed(), Duration::ZERO);
}

#[redis_cached(key = "places:2:{id}", ttl = "1h", max_concurrency = 2, skip(origin), cache = cache)]
async fn paired(cache: &Cache, origin: &Origin, id: u64) -> usize {
    if id == 1 { origin.read().await } else { 7 }
}
#[tokio::test(start_paused = true)]
async fn who_waits_for_anothers_lease_keeps_no_place() {
    let (cache, origin) = (memory().await, Origin::gated());
    let (c, o) = (cache.clone(), origin.clone());
    let other = tokio::spawn(async move { paired_refresh(&c, &o, 1).await });
    origin.body_started().await;
    let (c, o) = (cache.clone(), origin.clone());
    let waiting = tokio::spawn(async move { paired(&c, &o, 1).await });
    settle().await;
    let start = Instant::now();
    paired(&cache, &origin, 2).await;
    assert_eq!(start.elapsed(), Duration::ZERO, "one body runs, and paired may");
    origin.let_through(9);
    other.await.unwrap();
    waiting.await.unwrap();
}

static NOW3: AtomicUsize = AtomicUsize::new(0);
static MOST3: AtomicUsize = AtomicUsize::new(0);
#[redis_cached(key = "places:3:{id}", ttl = "1h", refresh_before = "10m", jitter = "0%", max_concurrency = 1, cache = cache)]
async fn refreshing(cache: &Cache, id: u64) -> u64 {
    if id == 100 {
        for id in 0..8 {
            refreshing_boxed(cache.clone(), id).await;
        }
        return 0;
    }
    MOST3.fetch_max(NOW3.fetch_add(1, Ordering::SeqCst) + 1, Ordering::SeqCst);
    tokio::time::sleep(Duration::from_millis(10)).await;
    NOW3.fetch_sub(1, Ordering::SeqCst);
    id
}
fn refreshing_boxed(cache: Cache, id: u64) -> Pin<Box<dyn Future<Output = u64> + Send>> {
    Box::pin(async move { refreshing(&cache, id).await })
}
#[tokio::test(start_paused = true)]
async fn refreshes_begun_inside_a_body_are_bounded_too() {
    let cache = memory().await;
    for id in 0..8 {
        refreshing(&cache, id).await;
    }
    assert_eq!(MOST3.load(Ordering::SeqCst), 1);
    tokio::time::sleep(Duration::from_secs(51 * 60)).await;
    refreshing(&cache, 100).await;
    tokio::time::sleep(Duration::from_secs(1)).await;
    assert_eq!(MOST3.load(Ordering::SeqCst), 1, "bodies at once");
}

#[redis_cached(key = "places:7:{id}", ttl = "1h", max_concurrency = 1, skip(origin, slow), cache = cache)]
async fn handed_on(cache: &Cache, origin: &Origin, slow: Duration, id: u64) -> usize {
    origin.read_slowly(slow).await
}
#[tokio::test(start_paused = true)]
async fn a_lease_that_was_left_does_not_wait_for_a_place() {
    let (cache, origin) = (memory().await, Origin::open());
    let call = |id, secs| {
        let (cache, origin) = (cache.clone(), origin.clone());
        tokio::spawn(async move { handed_on(&cache, &origin, Duration::from_secs(secs), id).await })
    };
    let leader = call(1, 1);
    settle().await;
    let other = call(2, 6);
    settle().await;
    let waiter = call(1, 1);
    settle().await;
    leader.abort();
    waiter.await.unwrap();
    other.await.unwrap();
    let bodies = origin.bodies();
    assert!(
        handed_on_entry(&cache, 1).peek().await.unwrap().is_some(),
        "computed ({bodies} bodies), and not stored"
    );
}

static NOW8: AtomicUsize = AtomicUsize::new(0);
static MOST8: AtomicUsize = AtomicUsize::new(0);
#[redis_cached(key = "places:8:{id}", ttl = "1h", max_concurrency = 2, cache = cache)]
async fn slow(cache: &Cache, id: u64) -> u64 {
    MOST8.fetch_max(NOW8.fetch_add(1, Ordering::SeqCst) + 1, Ordering::SeqCst);
    tokio::time::sleep(Duration::from_secs(1)).await;
    NOW8.fetch_sub(1, Ordering::SeqCst);
    id
}
/// Catalogue 55.
#[tokio::test(start_paused = true)]
async fn the_limit_holds_under_load() {
    let (told, cache) = (Told::listen(), memory().await);
    let calls: Vec<_> = (0..100)
        .map(|id| {
            let cache = cache.clone();
            tokio::spawn(async move { slow(&cache, id).await })
        })
        .collect();
    for call in calls {
        call.await.unwrap();
    }
    println!("TOLD {}", told.text());
    assert_eq!(MOST8.load(Ordering::SeqCst), 2, "bodies that take 1 s and end");
}

#[redis_cached(key = "places:15:{id}", ttl = "1h", max_concurrency = 1, clearable, refresh_before = "10m", skip(origin), cache = cache)]
async fn mixed(cache: &Cache, origin: &Origin, id: u64) -> usize {
    origin.read_slowly(Duration::from_millis(scattered(id))).await
}
fn scattered(id: u64) -> u64 {
    use std::hash::{BuildHasher, Hasher};
    let mut h = std::collections::hash_map::RandomState::new().build_hasher();
    h.write_u64(id);
    h.finish() % 7000
}
#[tokio::test(start_paused = true)]
async fn c1_with_places_clears_cancellation_and_time() {
    for _ in 0..40 {
        let (cache, origin) = (memory().await, Origin::open());
        let mut calls = Vec::new();
        for _ in 0..60 {
            for id in 0..2 {
                let (cache, origin) = (cache.clone(), origin.clone());
                calls.push(tokio::spawn(async move {
                    let at_least = origin.value();
                    let got = match scattered(9) % 5 {
                        0 => tokio::time::timeout(
                            Duration::from_millis(scattered(1)),
                            mixed(&cache, &origin, id),
                        )
                        .await
                        .ok(),
                        1 => Some(mixed_refresh(&cache, &origin, id).await),
                        _ => Some(mixed(&cache, &origin, id).await),
                    };
                    if let Some(got) = got {
                        assert!(got >= at_least, "c1: {got} < {at_least}");
                    }
                }));
            }
            match scattered(2) % 4 {
                0 => {
                    let to = origin.value() + 1;
                    mixed_all(&cache).invalidate().await.unwrap();
                    let _ = to;
                }
                1 => {
                    // change, then invalidate; the value counts only once acknowledged.
                    origin.change();
                    mixed_all(&cache).invalidate().await.unwrap();
                }
                2 => {
                    origin.change();
                    mixed_entry(&cache, 0).invalidate().await.unwrap();
                    mixed_entry(&cache, 1).invalidate().await.unwrap();
                }
                _ => {}
            }
            tokio::time::sleep(Duration::from_millis(scattered(3) % 400)).await;
        }
        for call in calls {
            call.await.unwrap();
        }
    }
}

#[redis_cached(key = "hot:{id}", ttl = "1m", refresh_before = "30s", jitter = "0%", max_concurrency = 1, skip(origin), cache = cache)]
async fn hot(cache: &Cache, origin: &Origin, id: u64) -> usize {
    origin.read_slowly(Duration::from_secs(if id == 0 { 0 } else { 2 })).await
}
#[tokio::test(start_paused = true)]
async fn a_hot_key_is_refreshed_under_load() {
    let (cache, origin) = (memory().await, Origin::open());
    hot(&cache, &origin, 0).await;
    let mut others = Vec::new();
    for id in 1..80 {
        let (cache, origin) = (cache.clone(), origin.clone());
        others.push(tokio::spawn(async move {
            // Three at a time, so nobody waits for longer than `wait`.
            tokio::time::sleep(Duration::from_secs((id - 1) / 3 * 6)).await;
            hot(&cache, &origin, id).await;
        }));
    }
    let mut slowest = Duration::ZERO;
    for _ in 0..1200 {
        tokio::time::sleep(Duration::from_millis(101)).await;
        let start = Instant::now();
        hot(&cache, &origin, 0).await;
        slowest = slowest.max(start.elapsed());
    }
    assert_eq!(slowest, Duration::ZERO, "a key that is asked for ten times a second ran cold");
}

#[tokio::test(start_paused = true)]
async fn a_look_needs_no_place() {
    let (cache, origin) = (memory().await, Origin::open());
    let call = |id, secs| {
        let (cache, origin) = (cache.clone(), origin.clone());
        tokio::spawn(async move { looked_up(&cache, &origin, Duration::from_secs(secs), id).await })
    };
    let start = Instant::now();
    let first = call(1, 1);
    settle().await; // its body has begun, its flight is sealed
    let other = call(2, 6);
    settle().await;
    let late = call(1, 1);
    late.await.unwrap();
    assert_eq!(start.elapsed(), Duration::from_secs(1), "it was stored by then");
    first.await.unwrap();
    other.await.unwrap();
}
#[redis_cached(key = "places:20:{id}", ttl = "1h", max_concurrency = 1, skip(origin, slow), cache = cache)]
async fn looked_up(cache: &Cache, origin: &Origin, slow: Duration, id: u64) -> usize {
    origin.read_slowly(slow).await
}
