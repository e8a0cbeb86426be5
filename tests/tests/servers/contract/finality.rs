//! C1: once an invalidation has returned `Ok`, no call that starts afterwards sees what it removed.

use std::time::Duration;

use redis_cached::Cache;
use redis_cached_tests::{Gate, in_time};
use tokio::task::{JoinHandle, yield_now};

use crate::stage::{Stage, live, live_entry, load, load_entry, load_refresh};

const DRAIN: Duration = Duration::from_secs(20);

/// A call whose body has started and is held.
async fn running(cache: &Cache, gate: &Gate, run: usize) -> JoinHandle<usize> {
    let (cache, gate) = (cache.clone(), gate.clone());
    let started = gate.clone();
    let call = tokio::spawn(async move { load(42, &cache, &gate).await });
    started.started(run).await;
    call
}

async fn returned(call: JoinHandle<usize>) -> usize {
    in_time("the call returns", call).await.expect("the body does not panic")
}

async fn stored(cache: &Cache) -> Option<usize> {
    load_entry(42, cache).peek().await.unwrap().map(|seen| seen.value)
}

/// Catalogue 13.
pub(super) async fn c1_invalidate_during_a_foreground_body(stage: Stage) {
    let (cache, gate) = (stage.cache().await, Gate::closed());
    let old = running(&cache, &gate, 1).await;
    load_entry(42, &cache).invalidate().await.unwrap();
    gate.let_go(1);
    assert_eq!(returned(old).await, 1, "who called before gets the old value");
    assert_eq!(stored(&cache).await, None, "but it is not stored");
    gate.let_go(2);
    assert_eq!(load(42, &cache, &gate).await, 2);
    assert_eq!(stored(&cache).await, Some(2));
}

/// Catalogue 13.
pub(super) async fn c1_invalidate_by_another_process(stage: Stage) {
    let ((a, b), gate) = (stage.two().await, Gate::closed());
    let old = running(&a, &gate, 1).await;
    load_entry(42, &b).invalidate().await.unwrap();
    // In the other process nobody waits for the old body, and what comes first is stored.
    let new = {
        let (b, gate) = (b.clone(), gate.clone());
        tokio::spawn(async move { load(42, &b, &gate).await })
    };
    if matches!(stage.backend, crate::stage::Backend::Memory) {
        gate.let_go(1);
    }
    gate.started(2).await;
    gate.let_go(2);
    assert_eq!(returned(new).await, 2);
    gate.let_go(1);
    assert_eq!(returned(old).await, 1);
    for cache in [&a, &b] {
        assert_eq!(stored(cache).await, Some(2), "the late commit was refused");
        assert_eq!(load(42, cache, &gate).await, 2);
    }
}

/// Catalogue 13.
pub(super) async fn c1_invalidate_during_a_background_refresh(stage: Stage) {
    let ((a, b), gate) = (stage.two().await, Gate::closed());
    gate.let_go(1);
    live(42, &a, &gate).await;
    live_entry(42, &a).expire().await.unwrap();
    assert_eq!(live(42, &a, &gate).await, 1);
    gate.started(2).await;
    live_entry(42, &b).invalidate().await.unwrap();
    gate.let_go(2);
    // Returns when the refresh has ended.
    a.shutdown(DRAIN).await.unwrap();
    assert!(live_entry(42, &a).peek().await.unwrap().is_none(), "the refresh was refused");
    gate.let_go(3);
    assert_eq!(live(42, &a, &gate).await, 3);
}

pub(super) async fn c1_a_call_after_the_acknowledgement_does_not_wait_for_the_old_refresh(
    stage: Stage,
) {
    let ((a, b), gate) = (stage.two().await, Gate::closed());
    gate.let_go(1);
    live(42, &a, &gate).await;
    live_entry(42, &a).expire().await.unwrap();
    assert_eq!(live(42, &a, &gate).await, 1);
    gate.started(2).await;
    live_entry(42, &b).invalidate().await.unwrap();
    gate.let_go(3);
    for cache in [&a, &b] {
        let new = in_time("a call beside the old refresh", live(42, cache, &gate)).await;
        assert_eq!(new, 3);
    }
    gate.let_go(2);
    a.shutdown(DRAIN).await.unwrap();
    for cache in [&a, &b] {
        assert_eq!(live(42, cache, &gate).await, 3, "the late refresh was refused");
    }
}

/// Catalogue 9.
pub(super) async fn c1_a_caller_that_joined_the_old_flight_after_the_acknowledgement_gets_a_new_value(
    stage: Stage,
) {
    let (cache, gate) = (stage.cache().await, Gate::closed());
    let old = running(&cache, &gate, 1).await;
    let entry = load_entry(42, &cache);
    entry.invalidate().await.unwrap();
    gate.let_go(2);
    let let_old_go = async {
        // Behind the late caller's question on the same connection: when this one is answered, that
        // one has been, and the late caller has joined the flight at its next turn.
        assert!(entry.peek().await.unwrap().is_none());
        for _ in 0..3 {
            yield_now().await;
        }
        assert_eq!(gate.runs(), 1, "the late caller waits");
        gate.let_go(1);
    };
    let (late, ()) = tokio::join!(biased; load(42, &cache, &gate), let_old_go);
    assert_eq!(late, 2);
    assert_eq!(returned(old).await, 1);
    assert_eq!(stored(&cache).await, Some(2));
}

pub(super) async fn c1_expire_voids_a_running_computation(stage: Stage) {
    let ((a, b), gate) = (stage.two().await, Gate::closed());
    gate.let_go(1);
    live(42, &a, &gate).await;
    live_entry(42, &a).expire().await.unwrap();
    live(42, &a, &gate).await;
    gate.started(2).await;
    live_entry(42, &b).expire().await.unwrap();
    gate.let_go(2);
    a.shutdown(DRAIN).await.unwrap();
    let seen = live_entry(42, &b).peek().await.unwrap().expect("the old value is kept");
    assert_eq!(seen.value, 1, "the refresh that began before was refused");
}

/// Catalogue 19.
pub(super) async fn c1_set_voids_a_running_computation(stage: Stage) {
    let ((a, b), gate) = (stage.two().await, Gate::closed());
    let old = running(&a, &gate, 1).await;
    load_entry(42, &b).set(99).await.unwrap();
    gate.let_go(1);
    assert_eq!(returned(old).await, 1);
    for cache in [&a, &b] {
        assert_eq!(load(42, cache, &gate).await, 99);
    }
    assert_eq!(gate.runs(), 1);
}

pub(super) async fn c1_refresh_does_not_return_a_result_begun_before_it(stage: Stage) {
    let ((a, b), gate) = (stage.two().await, Gate::closed());
    let old = running(&a, &gate, 1).await;
    gate.let_go(2);
    let forced = in_time("the forced refresh returns", load_refresh(42, &b, &gate)).await;
    assert_eq!(forced, 2);
    gate.let_go(1);
    assert_eq!(returned(old).await, 1);
    assert_eq!(stored(&a).await, Some(2), "the late commit was refused");
}

pub(super) async fn c1_two_invalidations_during_two_bodies(stage: Stage) {
    let ((a, b), gate) = (stage.two().await, Gate::closed());
    let first = running(&a, &gate, 1).await;
    load_entry(42, &b).invalidate().await.unwrap();
    let second = {
        let (b, gate) = (b.clone(), gate.clone());
        tokio::spawn(async move { load_refresh(42, &b, &gate).await })
    };
    gate.started(2).await;
    load_entry(42, &a).invalidate().await.unwrap();
    gate.let_all_go();
    assert_eq!(returned(first).await, 1);
    assert_eq!(returned(second).await, 2);
    assert_eq!(stored(&a).await, None, "both began before the second invalidation");
    assert_eq!(load(42, &b, &gate).await, 3);
}
