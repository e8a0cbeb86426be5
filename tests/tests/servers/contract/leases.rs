//! What the end of one computation does to a lease: to its own, and not to another's.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use redis_cached::{Cache, redis_cached};
use redis_cached_tests::Gate;
use tokio::time::Instant;

use crate::stage::{Stage, load, load_entry, load_refresh};

/// Within this the errands behind a caller have been run.
const DRAIN: Duration = Duration::from_secs(20);

#[redis_cached(key = "frail:{id}", ttl = "5m", cache = cache, skip(gate, broken))]
async fn frail(cache: &Cache, gate: &Gate, broken: &AtomicBool, id: u64) -> Result<usize, String> {
    let run = gate.pass().await;
    if broken.load(Ordering::SeqCst) { Err(format!("run {run}")) } else { Ok(run) }
}

/// Who meets the marker of a failure computes at once and does not write.
pub(super) async fn c1_after_a_failure_calls_compute_without_writing(stage: Stage) {
    let (cache, gate, broken) = (stage.cache().await, Gate::open(), AtomicBool::new(true));
    for id in 0..20 {
        let start = Instant::now();
        broken.store(true, Ordering::SeqCst);
        frail(&cache, &gate, &broken, id).await.unwrap_err();
        broken.store(false, Ordering::SeqCst);
        frail(&cache, &gate, &broken, id).await.unwrap();
        let stored = frail_entry(&cache, id).peek().await.unwrap();
        // The marker lives for a second; on a machine that was busy for so long it says nothing.
        if start.elapsed() < Duration::from_secs(1) {
            assert!(stored.is_none(), "computed under a lease, right after a failure");
            return;
        }
    }
    panic!("this machine takes a second for three calls");
}

/// Catalogue 7.
pub(super) async fn c1_a_failure_does_not_mark_the_lease_of_another(stage: Stage) {
    let ((a, b), gate) = (stage.two().await, Gate::closed());
    let broken = Arc::new(AtomicBool::new(true));
    let call = |cache: &Cache, force: bool| {
        let (cache, gate, broken) = (cache.clone(), gate.clone(), Arc::clone(&broken));
        tokio::spawn(async move {
            if force {
                frail_refresh(&cache, &gate, &broken, 1).await
            } else {
                frail(&cache, &gate, &broken, 1).await
            }
        })
    };
    let failing = call(&a, false);
    gate.started(1).await;
    let other = call(&b, true);
    gate.started(2).await;
    gate.let_go(1);
    failing.await.unwrap().unwrap_err();
    a.shutdown(DRAIN).await.unwrap();
    broken.store(false, Ordering::SeqCst);
    gate.let_go(2);
    assert_eq!(other.await.unwrap(), Ok(2));
    let stored = frail_entry(&b, 1).peek().await.unwrap();
    assert_eq!(stored.map(|peek| peek.value), Some(2), "the other's lease was taken away");
}

/// Catalogue 7.
pub(super) async fn c1_a_dropped_caller_does_not_give_back_the_lease_of_another(stage: Stage) {
    let ((a, b), gate) = (stage.two().await, Gate::closed());
    let call = |cache: &Cache, force: bool| {
        let (cache, gate) = (cache.clone(), gate.clone());
        tokio::spawn(async move {
            if force { load_refresh(1, &cache, &gate).await } else { load(1, &cache, &gate).await }
        })
    };
    let dropped = call(&a, false);
    gate.started(1).await;
    let other = call(&b, true);
    gate.started(2).await;
    dropped.abort();
    assert!(dropped.await.unwrap_err().is_cancelled());
    a.shutdown(DRAIN).await.unwrap();
    gate.let_go(2);
    assert_eq!(other.await.unwrap(), 2);
    let stored = load_entry(1, &b).peek().await.unwrap();
    assert_eq!(stored.map(|peek| peek.value), Some(2), "the other's lease was taken away");
}
