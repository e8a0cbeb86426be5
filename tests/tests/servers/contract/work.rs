//! C4: one computation for all who ask at the same time; and refreshes behind the callers.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use redis_cached::{Cache, redis_cached};
use redis_cached_tests::{Gate, eventually, in_time};
use tokio::task::{JoinSet, yield_now};
use tokio::time::Instant;

use crate::stage::{Stage, live, live_entry, load, load_entry};

const DRAIN: Duration = Duration::from_secs(20);

#[derive(Clone, Debug, PartialEq)]
struct Refused(usize);

#[redis_cached(
    key = "frail:{id}", ttl = "5m", refresh_before = "1m", cache = cache, skip(cache, gate, broken)
)]
async fn frail(
    id: u64,
    cache: &Cache,
    gate: &Gate,
    broken: &Arc<AtomicBool>,
) -> Result<usize, Refused> {
    let run = gate.pass().await;
    if broken.load(Ordering::SeqCst) { Err(Refused(run)) } else { Ok(run) }
}

fn call(crowd: &mut JoinSet<usize>, callers: usize, cache: &Cache, gate: &Gate) {
    for _ in 0..callers {
        let (cache, gate) = (cache.clone(), gate.clone());
        crowd.spawn(async move { load(42, &cache, &gate).await });
    }
}

async fn all_got_the_first(crowd: JoinSet<usize>) -> usize {
    let values = in_time("everybody returns", crowd.join_all()).await;
    assert!(values.iter().all(|&value| value == 1));
    values.len()
}

pub(super) async fn c4_one_body_for_1000_callers(stage: Stage) {
    let (cache, gate) = (stage.cache().await, Gate::closed());
    let mut crowd = JoinSet::new();
    call(&mut crowd, 1000, &cache, &gate);
    gate.started(1).await;
    gate.let_all_go();
    assert_eq!(all_got_the_first(crowd).await, 1000);
    assert_eq!(gate.runs(), 1);
}

pub(super) async fn c4_two_caches_500_each(stage: Stage) {
    let ((a, b), gate) = (stage.two().await, Gate::closed());
    let mut crowd = JoinSet::new();
    call(&mut crowd, 500, &a, &gate);
    call(&mut crowd, 500, &b, &gate);
    gate.started(1).await;
    gate.let_all_go();
    assert_eq!(all_got_the_first(crowd).await, 1000);
    assert_eq!(gate.runs(), 1);
}

pub(super) async fn c4_exactly_one_of_three_caches_refreshes(stage: Stage) {
    let caches = [stage.cache().await, stage.cache().await, stage.cache().await];
    let gate = Gate::closed();
    gate.let_go(1);
    live(42, &caches[0], &gate).await;
    live_entry(42, &caches[0]).expire().await.unwrap();
    let hits = tokio::join!(
        live(42, &caches[0], &gate),
        live(42, &caches[1], &gate),
        live(42, &caches[2], &gate),
    );
    assert_eq!(hits, (1, 1, 1), "nobody waits");
    gate.started(2).await;
    gate.let_all_go();
    for cache in &caches {
        // Returns when whatever this cache does behind its callers has ended.
        cache.shutdown(DRAIN).await.unwrap();
    }
    assert_eq!(gate.runs(), 2);
    for cache in &caches {
        assert_eq!(live(42, cache, &gate).await, 2);
    }
}

pub(super) async fn a_stale_hit_returns_while_its_refresh_runs(stage: Stage) {
    let (cache, gate) = (stage.cache().await, Gate::closed());
    gate.let_go(1);
    live(42, &cache, &gate).await;
    live_entry(42, &cache).expire().await.unwrap();
    for _ in 0..20 {
        let hit = in_time("a stale hit", live(42, &cache, &gate)).await;
        assert_eq!(hit, 1);
    }
    gate.started(2).await;
    assert_eq!(in_time("a stale hit", live(42, &cache, &gate)).await, 1);
    gate.let_go(2);
    eventually("the refreshed value is served", async || live(42, &cache, &gate).await == 2).await;
    assert_eq!(gate.runs(), 2);
}

pub(super) async fn a_failing_refresh_keeps_the_old_value_and_is_not_retried_by_every_hit(
    stage: Stage,
) {
    let ((a, b), gate) = (stage.two().await, Gate::open());
    let broken = Arc::new(AtomicBool::new(false));
    assert_eq!(frail(42, &a, &gate, &broken).await, Ok(1));
    frail_entry(42, &a).expire().await.unwrap();
    broken.store(true, Ordering::SeqCst);
    let started = Instant::now();
    for _ in 0..200 {
        assert_eq!(frail(42, &a, &gate, &broken).await, Ok(1));
        assert_eq!(frail(42, &b, &gate, &broken).await, Ok(1));
    }
    gate.started(2).await;
    // One try, and at most one more for each whole second that this took.
    let most = 2 + usize::try_from(started.elapsed().as_secs()).unwrap();
    assert!(gate.runs() <= most, "{} bodies", gate.runs());
    for cache in [&a, &b] {
        cache.shutdown(DRAIN).await.unwrap();
        assert_eq!(frail(42, cache, &gate, &broken).await, Ok(1));
    }
    assert_eq!(frail_entry(42, &a).peek().await.unwrap().expect("it is stored").value, 1);
}

pub(super) async fn a_caller_that_waits_gets_the_other_processs_value(stage: Stage) {
    let ((a, b), gate) = (stage.two().await, Gate::closed());
    let mut crowd = JoinSet::new();
    call(&mut crowd, 1, &a, &gate);
    gate.started(1).await;
    call(&mut crowd, 3, &b, &gate);
    yield_now().await;
    gate.let_go(1);
    assert_eq!(all_got_the_first(crowd).await, 4);
    assert_eq!(gate.runs(), 1);
}

pub(super) async fn a_dropped_caller_leaves_no_lease_behind(stage: Stage) {
    let ((a, b), gate) = (stage.two().await, Gate::closed());
    let mut crowd = JoinSet::new();
    call(&mut crowd, 1, &a, &gate);
    gate.started(1).await;
    crowd.shutdown().await;
    gate.let_go(2);
    // Far sooner than the lease of 5 s would end: it was given back.
    let started = Instant::now();
    assert_eq!(in_time("another computes", load(42, &b, &gate)).await, 2);
    assert!(started.elapsed() < Duration::from_secs(4), "{:?}", started.elapsed());
    assert_eq!(load_entry(42, &a).peek().await.unwrap().expect("it is stored").value, 2);
}
