//! Calls, bodies, waits, refreshes and commits: on the embedded store, with a paused clock.

use std::sync::Arc;
use std::time::Duration;

use redis_cached::{Cache, TimedOut, redis_cached};
use redis_cached_tests::Gate;
use tokio::time::{advance, sleep};

use crate::heard::Heard;

const SECOND: Duration = Duration::from_secs(1);

pub(crate) async fn memory() -> Cache {
    Cache::builder().url("memory://").build().await.unwrap()
}

/// Lets every task that can run do so. Time does not move.
pub(crate) async fn settle() {
    for _ in 0..50 {
        tokio::task::yield_now().await;
    }
}

#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Failed;

impl From<TimedOut> for Failed {
    fn from(_: TimedOut) -> Self {
        Self
    }
}

#[redis_cached(
    key = "answered:{id}", ttl = "1m", refresh_before = "20s", stale_if_error = "10m", jitter = "0%",
    bypass_if = bypass, skip(fails), cache = cache
)]
async fn answered(cache: &Cache, id: u64, fails: bool, bypass: bool) -> Result<u64, Failed> {
    sleep(SECOND * 2).await;
    if fails { Err(Failed) } else { Ok(id) }
}

#[tokio::test(start_paused = true)]
async fn calls_are_counted_by_how_they_were_answered() {
    let heard = Heard::listen();
    let cache = memory().await;
    answered(&cache, 1, true, false).await.unwrap_err();
    heard.counts("calls", "outcome", &[("error", 1)]);
    heard.counts("body.duration", "result", &[("error", 1)]);
    heard.counts("commits", "result", &[]);

    answered(&cache, 2, false, false).await.unwrap();
    heard.counts("calls", "outcome", &[("error", 1), ("computed", 1)]);
    heard.counts("commits", "result", &[("stored", 1)]);
    assert_eq!(heard.values("body.duration", &[("result", "value")]), [2.0]);
    assert_eq!(heard.values("hit.age", &[]).len(), 0);

    // Two seconds of its life have gone by with the body.
    advance(SECOND * 8).await;
    answered(&cache, 2, false, false).await.unwrap();
    assert_eq!(heard.values("hit.age", &[]), [10.0]);
    answered(&cache, 2, false, true).await.unwrap();
    let counted = [("error", 1), ("computed", 1), ("hit", 1), ("bypassed", 1)];
    heard.counts("calls", "outcome", &counted);

    advance(SECOND * 33).await;
    answered(&cache, 2, false, false).await.unwrap();
    assert_eq!(heard.values("hit.age", &[]), [10.0, 45.0]);
    assert_eq!(heard.sum("calls", &[("outcome", "stale")]), 1);
    sleep(SECOND * 3).await;
    heard.counts("refreshes", "result", &[("computed", 1)]);
    assert_eq!(heard.values("refresh.lag", &[]), [5.0]);
    heard.counts("commits", "result", &[("stored", 2)]);

    sleep(SECOND * 70).await;
    answered(&cache, 2, true, false).await.unwrap();
    let counted =
        [("error", 1), ("computed", 1), ("hit", 1), ("bypassed", 1), ("stale", 1), ("kept", 1)];
    heard.counts("calls", "outcome", &counted);
    heard.counts("body.duration", "result", &[("error", 2), ("value", 3)]);
    let of_function =
        heard.series().into_iter().filter(|(_, labels)| labels[..].iter().any(|l| l.0 == "module"));
    for (_, labels) in of_function {
        assert_eq!(labels[0].1, "answered");
        assert!(labels[1].1.ends_with("::functions"), "{labels:?}");
    }
}

#[redis_cached(key = "timed:{id}", ttl = "1m", timeout = "3s", cache = cache)]
async fn timed(cache: &Cache, id: u64) -> Result<u64, Failed> {
    sleep(Duration::from_secs(id)).await;
    Ok(id)
}

#[tokio::test(start_paused = true)]
async fn bodies_are_counted_by_how_they_ended() {
    let heard = Heard::listen();
    let cache = memory().await;
    timed(&cache, 1).await.unwrap();
    timed(&cache, 5).await.unwrap_err();
    heard.counts("body.duration", "result", &[("value", 1), ("timeout", 1)]);
    assert_eq!(heard.values("body.duration", &[("result", "timeout")]), [3.0]);
    heard.counts("calls", "outcome", &[("computed", 1), ("error", 1)]);
}

#[redis_cached(key = "waited:{id}", ttl = "1m", max_concurrency = 1, skip(gate), cache = cache)]
async fn waited(cache: &Cache, gate: &Gate, id: u64) -> usize {
    gate.pass().await
}

#[tokio::test(start_paused = true)]
async fn waiting_is_measured() {
    let heard = Heard::listen();
    let (cache, gate) = (memory().await, Gate::closed());
    let go = async {
        gate.started(1).await;
        settle().await;
        advance(SECOND * 4).await;
        gate.let_all_go();
    };
    tokio::join!(waited(&cache, &gate, 1), waited(&cache, &gate, 2), go);
    assert_eq!(heard.values("wait.duration", &[("awaited", "place")]), [4.0]);

    let gate = Gate::closed();
    let go = async {
        gate.started(1).await;
        settle().await;
        advance(SECOND * 3).await;
        gate.let_all_go();
    };
    // The one joins before the body begins, which is what it shares.
    tokio::join!(waited(&cache, &gate, 3), waited(&cache, &gate, 3), go);
    heard.counts("wait.duration", "awaited", &[("place", 1), ("flight", 1)]);
    assert_eq!(heard.values("wait.duration", &[("awaited", "flight")]), [3.0]);
    assert_eq!(heard.sum("calls", &[]), 4);
    let answered =
        heard.sum("calls", &[("outcome", "shared")]) + heard.sum("calls", &[("outcome", "hit")]);
    assert_eq!(answered, 1);
}

#[redis_cached(key = "busy:{id}", ttl = "1m", busy = 0, skip(gate), cache = cache)]
async fn busy(cache: &Cache, gate: &Gate, id: u64) -> usize {
    gate.pass().await
}

#[tokio::test(start_paused = true)]
async fn who_does_not_wait_is_counted_as_busy() {
    let heard = Heard::listen();
    let (cache, gate) = (memory().await, Gate::closed());
    let second = async {
        gate.started(1).await;
        assert_eq!(busy(&cache, &gate, 1).await, 0);
        gate.let_all_go();
    };
    tokio::join!(busy(&cache, &gate, 1), second);
    heard.counts("calls", "outcome", &[("computed", 1), ("busy", 1)]);
}

#[redis_cached(key = "shared:{id}", ttl = "1m", cache = cache)]
async fn shared(cache: &Cache, id: u64) -> Result<u64, String> {
    sleep(SECOND).await;
    if id == 0 { Err("none".to_owned()) } else { Ok(id) }
}

#[tokio::test(start_paused = true)]
async fn who_shares_a_body_is_told_apart_from_who_runs_it() {
    let heard = Heard::listen();
    let cache = memory().await;
    let three = async |id| tokio::join!(shared(&cache, id), shared(&cache, id), shared(&cache, id));
    // Of those who came too late for the first body one looks, or runs the next, and the other shares that.
    assert_eq!(three(1).await, (Ok(1), Ok(1), Ok(1)));
    heard.counts("calls", "outcome", &[("computed", 1), ("hit", 1), ("shared", 1)]);
    assert_eq!(heard.values("hit.age", &[]).len(), 2, "what is shared was found stored");
    assert!(three(0).await.2.is_err());
    heard.counts("calls", "outcome", &[("computed", 1), ("hit", 1), ("shared", 1), ("error", 3)]);
    heard.counts("body.duration", "result", &[("value", 1), ("error", 2)]);
}

#[redis_cached(
    key = "written:{id}", ttl = "1m", jitter = "0%", cache_if = |run| *run != 2, skip(gate, takes), cache = cache
)]
async fn written(cache: &Cache, gate: &Gate, takes: Duration, id: u64) -> usize {
    let run = gate.pass().await;
    sleep(takes).await;
    run
}

#[tokio::test(start_paused = true)]
async fn commits_are_counted_by_what_became_of_them() {
    let heard = Heard::listen();
    let (cache, gate) = (memory().await, Gate::closed());
    let invalidated = async {
        gate.started(1).await;
        written_entry(&cache, 1).invalidate().await.unwrap();
        gate.let_all_go();
    };
    tokio::join!(written(&cache, &gate, Duration::ZERO, 1), invalidated);
    heard.counts("commits", "result", &[("refused", 1)]);
    written(&cache, &gate, Duration::ZERO, 1).await;
    heard.counts("commits", "result", &[("refused", 1), ("unwanted", 1)]);
    sleep(SECOND * 10).await;
    for late in 1..=2 {
        written(&cache, &gate, SECOND * 61, 2).await;
        let counted = [("refused", 1), ("unwanted", 1), ("late", late)];
        heard.counts("commits", "result", &counted);
        // Told once, and counted each time.
        heard.counts("warnings", "warning", &[("slower_than_ttl", late)]);
        sleep(SECOND * 10).await;
    }
    written_entry(&cache, 3).set(7).await.unwrap();
    let counted = [("refused", 1), ("unwanted", 1), ("late", 2), ("stored", 1)];
    heard.counts("commits", "result", &counted);
}

#[redis_cached(
    key = "fresh:{id}", ttl = "1m", refresh_before = "30s", jitter = "0%", skip(gate), cache = cache
)]
async fn fresh(cache: &Cache, gate: &Arc<Gate>, id: u64) -> Result<usize, Failed> {
    match gate.pass().await {
        run if run <= 3 => Ok(run),
        _ => Err(Failed),
    }
}

#[tokio::test(start_paused = true)]
async fn refreshes_are_counted_by_what_became_of_them() {
    let heard = Heard::listen();
    let cache = Cache::builder().url("memory://").max_refreshes(1).build().await.unwrap();
    let gate = Arc::new(Gate::closed());
    gate.let_go(1);
    gate.let_go(2);
    fresh(&cache, &gate, 1).await.unwrap();
    fresh(&cache, &gate, 2).await.unwrap();
    sleep(SECOND * 40).await;
    fresh(&cache, &gate, 1).await.unwrap();
    gate.started(3).await;
    fresh(&cache, &gate, 2).await.unwrap();
    heard.counts("refreshes", "result", &[("dropped", 1)]);
    gate.let_all_go();
    settle().await;
    heard.counts("refreshes", "result", &[("dropped", 1), ("computed", 1)]);
    fresh(&cache, &gate, 2).await.unwrap();
    settle().await;
    let counted = [("dropped", 1), ("computed", 1), ("failed", 1)];
    heard.counts("refreshes", "result", &counted);
    // A hit asks once a second, and behind the second failure nobody computes for two.
    for _ in 0..3 {
        advance(Duration::from_millis(1_010)).await;
        fresh(&cache, &gate, 2).await.unwrap();
        settle().await;
    }
    let counted = [("dropped", 1), ("computed", 1), ("failed", 3), ("left", 1)];
    heard.counts("refreshes", "result", &counted);
}
