//! Random histories of readers and writers on the real lookup code, checked against the promises.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use redis_cached::{Cache, redis_cached};
use tokio::task::JoinSet;

use crate::flights::fastrand_like;
use crate::origin::{Origin, memory};

#[redis_cached(key = "register:{id}", ttl = "300ms", refresh_before = "150ms", skip(origin, time), cache = cache)]
async fn register(cache: &Cache, origin: &Origin, id: u64, time: u64) -> usize {
    origin.read_slowly(Duration::from_millis(time)).await
}

/// The newest value whose invalidation has been acknowledged.
type Acknowledged = Arc<Mutex<usize>>;

fn newest(acknowledged: &Acknowledged) -> usize {
    *acknowledged.lock().unwrap()
}

async fn reader(cache: Cache, origin: Origin, acknowledged: Acknowledged, seed: u64) {
    let mut random = fastrand_like(seed);
    for _ in 0..30 {
        tokio::time::sleep(Duration::from_millis(random() % 40)).await;
        let time = random() % 30;
        let must = newest(&acknowledged);
        let call = register(&cache, &origin, 1, time);
        let got = match random() % 8 {
            // Dropped in the middle.
            0 => match tokio::time::timeout(Duration::from_millis(random() % 30), call).await {
                Ok(got) => got,
                Err(_) => continue,
            },
            1 => register_refresh(&cache, &origin, 1, time).await,
            _ => call.await,
        };
        assert!(
            got >= must,
            "C1: got {got}, but {must} was acknowledged before the call; seed {seed}"
        );
    }
}

async fn writer(cache: Cache, origin: Origin, acknowledged: Acknowledged, seed: u64) {
    let mut random = fastrand_like(seed);
    for _ in 0..15 {
        tokio::time::sleep(Duration::from_millis(random() % 60)).await;
        match random() % 6 {
            0 => register_entry(&cache, 1).expire().await.unwrap(),
            1 => {
                // A `set` of what was read before it may meet an invalidation; then it is refused.
                let value = origin.value();
                tokio::time::sleep(Duration::ZERO).await;
                let _ = register_entry(&cache, 1).set(value).await;
            }
            _ => {
                let new = origin.change();
                register_entry(&cache, 1).invalidate().await.unwrap();
                let mut acknowledged = acknowledged.lock().unwrap();
                *acknowledged = new.max(*acknowledged);
            }
        }
    }
}

#[tokio::test(start_paused = true)]
async fn c1_random_histories_never_show_what_was_invalidated() {
    for seed in 0..200 {
        let (cache, origin) = (memory().await, Origin::open());
        let acknowledged = Acknowledged::default();
        let mut tasks = JoinSet::new();
        for task in 0..6 {
            let seed = seed * 100 + task;
            tasks.spawn(reader(cache.clone(), origin.clone(), acknowledged.clone(), seed));
        }
        for task in 0..2 {
            let seed = seed * 100 + 50 + task;
            tasks.spawn(writer(cache.clone(), origin.clone(), acknowledged.clone(), seed));
        }
        while let Some(task) = tasks.join_next().await {
            task.unwrap_or_else(|error| panic!("history of seed {seed}: {error}"));
        }
    }
}

/// A key that is invalidated all the time: every reader is answered, and no stampede breaks loose.
/// Catalogue 12.
#[tokio::test(start_paused = true)]
async fn a_key_that_is_invalidated_all_the_time_is_still_answered_without_a_stampede() {
    let (cache, origin) = (memory().await, Origin::open());
    let invalidating = {
        let cache = cache.clone();
        tokio::spawn(async move {
            loop {
                register_entry(&cache, 1).invalidate().await.unwrap();
                tokio::time::sleep(Duration::from_millis(3)).await;
            }
        })
    };
    let mut readers = JoinSet::new();
    for _ in 0..200 {
        let (cache, origin) = (cache.clone(), origin.clone());
        readers.spawn(async move { register(&cache, &origin, 1, 20).await });
    }
    let answered = tokio::time::timeout(Duration::from_secs(5), readers.join_all()).await;
    assert_eq!(answered.expect("readers hang").len(), 200);
    assert!(origin.bodies() <= 100, "{} bodies for 200 readers", origin.bodies());
    invalidating.abort();
}
