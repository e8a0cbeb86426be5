//! Errors that are stored.

use std::time::Duration;

use redis_cached::{Cache, State, invalidate_tags, redis_cached};
use redis_cached_tests::Gate;
use serde::{Deserialize, Serialize};

use crate::stage::Stage;

/// Not `Clone`, so that no other way than its bytes leads to others.
#[derive(Debug, PartialEq, Serialize, Deserialize)]
enum Failed {
    NotFound { run: usize, near: Vec<String> },
    RateLimited { retry_after: Duration },
}

impl Failed {
    fn lives(&self) -> Duration {
        match self {
            Self::NotFound { .. } => Duration::from_secs(60),
            Self::RateLimited { retry_after } => *retry_after,
        }
    }
}

fn not_found(run: usize) -> Result<usize, Failed> {
    Err(Failed::NotFound { run, near: vec!["naïve".to_owned()] })
}

/// Fails with `NotFound` where there is no row, and from `fails_from` on.
#[redis_cached(
    key = "row:{id}", ttl = "5m", refresh_before = "1m", wait = "1m", tags = ["rows:{id}"], cache = cache,
    skip(cache, gate, fails_from), cache_err_if = |_| true, err_ttl_with = Failed::lives
)]
async fn row(id: u64, cache: &Cache, gate: &Gate, fails_from: usize) -> Result<usize, Failed> {
    let run = gate.pass().await;
    if run < fails_from { Ok(run) } else { not_found(run) }
}

#[redis_cached(
    key = "limited:{id}", ttl = "5m", jitter = "0%", cache = cache, skip(cache, gate), cache_err_if = |_| true,
    err_ttl_with = Failed::lives
)]
async fn limited(id: u64, cache: &Cache, gate: &Gate) -> Result<usize, Failed> {
    gate.pass().await;
    Err(Failed::RateLimited { retry_after: Duration::from_millis(300) })
}

pub(super) async fn a_stored_error_is_read_back_in_another_process(stage: Stage) {
    let ((a, b), gate) = (stage.two().await, Gate::open());
    assert_eq!(row(1, &a, &gate, 0).await, not_found(1));
    for cache in [&b, &a, &b] {
        assert_eq!(row(1, cache, &gate, 0).await, not_found(1));
        assert!(row_entry(1, cache).peek().await.unwrap().is_none(), "it is no value");
        let left = row_entry(1, cache).ttl().await.unwrap().expect("it is stored");
        assert!(left <= Duration::from_secs(60), "{left:?}");
    }
    assert_eq!(gate.runs(), 1);
    assert_eq!(row_refresh(1, &b, &gate, 3).await, Ok(2));
    assert_eq!(row(1, &a, &gate, 0).await, Ok(2));
    assert_eq!(row_refresh(1, &a, &gate, 0).await, not_found(3));
    assert_eq!(row(1, &b, &gate, 9).await, not_found(3), "which the forced one has seen");
}

pub(super) async fn c3_a_stored_error_ends_at_its_own_ttl(stage: Stage) {
    let ((a, b), gate) = (stage.two().await, Gate::open());
    assert!(limited(1, &a, &gate).await.is_err());
    let left = limited_entry(1, &b).ttl().await.unwrap();
    assert!(left.is_none_or(|left| left <= Duration::from_millis(300)), "{left:?}");
    // The time is what is tested: it began before the call returned.
    tokio::time::sleep(Duration::from_millis(310)).await;
    assert_eq!(limited_entry(1, &b).ttl().await.unwrap(), None);
    assert!(limited(1, &b, &gate).await.is_err());
    assert_eq!(gate.runs(), 2);
}

pub(super) async fn c1_a_stored_error_is_invalidated_by_another_process(stage: Stage) {
    let ((a, b), gate) = (stage.two().await, Gate::open());
    for expire in [false, true] {
        let run = gate.runs() + 1;
        assert_eq!(row(1, &a, &gate, run).await, not_found(run));
        // It has no window in which it might be served on.
        let entry = row_entry(1, &b);
        if expire {
            entry.expire().await.unwrap();
        } else {
            entry.invalidate().await.unwrap();
        }
        assert_eq!(row(1, &a, &gate, run + 2).await, Ok(run + 1));
        entry.invalidate().await.unwrap();
    }
}

pub(super) async fn c1_a_stored_error_is_invalidated_by_its_tag(stage: Stage) {
    let ((a, b), gate) = (stage.two().await, Gate::open());
    assert_eq!(row(1, &a, &gate, 0).await, not_found(1));
    assert_eq!(row(2, &a, &gate, 0).await, not_found(2));
    b.scope(async { invalidate_tags(["rows:1"]).await }).await.unwrap();
    assert_eq!(row(1, &a, &gate, 9).await, Ok(3));
    assert_eq!(row(2, &b, &gate, 9).await, not_found(2));
}

pub(super) async fn c1_an_invalidation_during_a_body_refuses_its_error(stage: Stage) {
    let ((a, b), gate) = (stage.two().await, Gate::closed());
    let during = async {
        gate.started(1).await;
        row_entry(1, &b).invalidate().await.unwrap();
        gate.let_all_go();
    };
    let (old, ()) = tokio::join!(row(1, &a, &gate, 0), during);
    assert_eq!(old, not_found(1));
    assert_eq!(row_entry(1, &b).ttl().await.unwrap(), None);
    assert_eq!(row(1, &a, &gate, 9).await, Ok(2));
}

pub(super) async fn a_refresh_that_ends_in_a_stored_error_keeps_the_old_value(stage: Stage) {
    let (cache, gate) = (stage.cache().await, Gate::open());
    assert_eq!(row(1, &cache, &gate, 2).await, Ok(1));
    row_entry(1, &cache).expire().await.unwrap();
    assert_eq!(row(1, &cache, &gate, 2).await, Ok(1));
    gate.started(2).await;
    cache.shutdown(Duration::from_secs(20)).await.unwrap();
    let seen = row_entry(1, &cache).peek().await.unwrap().expect("it is still stored");
    assert_eq!((seen.value, seen.state), (1, State::Stale));
}

pub(super) async fn a_caller_that_waits_gets_the_other_processs_error(stage: Stage) {
    let ((a, b), gate) = (stage.two().await, Gate::closed());
    let other = async {
        gate.started(1).await;
        let waits = row(1, &b, &gate, 0);
        let goes = async {
            tokio::time::sleep(Duration::from_millis(50)).await;
            gate.let_go(1);
        };
        tokio::join!(waits, goes).0
    };
    let (own, other) = tokio::join!(row(1, &a, &gate, 0), other);
    assert_eq!((own, other), (not_found(1), not_found(1)));
    assert_eq!(gate.runs(), 1);
}
