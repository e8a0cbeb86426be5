//! Values past their ttl, where computing fails or takes too long.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use redis_cached::{Answer, Cache, observe, redis_cached};
use redis_cached_tests::{Gate, eventually};
use tokio::time::Instant;

use crate::stage::Stage;

const TTL: Duration = Duration::from_millis(400);
const STALE: Duration = Duration::from_millis(800);

#[derive(Clone, Debug, PartialEq)]
struct Down;

/// An origin that is there or not.
#[derive(Clone, Debug)]
struct Origin {
    gate: Gate,
    is_down: Arc<AtomicBool>,
}

impl Origin {
    fn new() -> Self {
        Self { gate: Gate::open(), is_down: Arc::default() }
    }

    fn is_down(&self, is_down: bool) {
        self.is_down.store(is_down, Ordering::SeqCst);
    }

    async fn read(&self) -> Result<usize, Down> {
        let run = self.gate.pass().await;
        if self.is_down.load(Ordering::SeqCst) { Err(Down) } else { Ok(run) }
    }
}

#[redis_cached(
    key = "short:{id}", ttl = TTL, stale_if_error = STALE, jitter = "0%", cache = cache, skip(cache, origin)
)]
async fn short(id: u64, cache: &Cache, origin: &Origin) -> Result<usize, Down> {
    origin.read().await
}

#[redis_cached(
    key = "long:{id}", ttl = "5m", stale_if_error = "1h", tags = ["long"], cache = cache, skip(cache, origin)
)]
async fn long(id: u64, cache: &Cache, origin: &Origin) -> Result<usize, Down> {
    origin.read().await
}

/// As another version of the program.
#[redis_cached(
    key = "long:{id}", ttl = "5m", stale_if_error = "1h", tags = ["long"], version = 1, cache = cache,
    skip(cache, origin)
)]
async fn longer(id: u64, cache: &Cache, origin: &Origin) -> Result<usize, Down> {
    origin.read().await
}

#[redis_cached(
    key = "answer:{id}", ttl = "5m", stale_if_error = "1h", stale_if = |_| false, cache = cache, skip(cache, origin)
)]
async fn answering(id: u64, cache: &Cache, origin: &Origin) -> Result<usize, Down> {
    origin.read().await
}

#[redis_cached(
    key = "soft:{id}", ttl = "5m", stale_if_error = "1h", soft_timeout = "20ms", cache = cache, skip(cache, origin)
)]
async fn soft(id: u64, cache: &Cache, origin: &Origin) -> Result<usize, Down> {
    origin.read().await
}

fn is_kept(answer: Answer) -> bool {
    matches!(answer, Answer::Kept { .. })
}

pub(super) async fn c3_a_value_past_its_ttl_is_served_to_who_fails_and_not_for_longer(
    stage: Stage,
) {
    let ((a, b), origin) = (stage.two().await, Origin::new());
    assert_eq!(short(1, &a, &origin).await, Ok(1));
    let loaded = Instant::now();
    eventually("its ttl is over", async || short_entry(1, &a).peek().await.unwrap().is_none())
        .await;
    origin.is_down(true);
    let mut kept = 0;
    eventually("its end comes", async || {
        let began = Instant::now();
        let (value, observed) = observe(short(1, &b, &origin)).await;
        if value == Err(Down) {
            return true;
        }
        assert_eq!(value, Ok(1));
        match observed.calls[0].answer {
            // One process's idea of the server's time is ahead of another's, and neither is behind the server.
            Answer::Hit { age } => assert!(age <= TTL, "{age:?}"),
            answer => {
                assert!(is_kept(answer), "{answer:?}");
                kept += 1;
            }
        }
        assert!(began - loaded <= TTL + STALE, "{:?}", began - loaded);
        false
    })
    .await;
    assert!(kept > 0);
    // The second try would have come after 1 s.
    assert!(origin.gate.runs() <= 4, "{} bodies", origin.gate.runs());
}

pub(super) async fn c3_a_slow_body_is_not_stored_though_it_would_be_kept(stage: Stage) {
    let ((a, b), slow) =
        (stage.two().await, Origin { gate: Gate::closed(), is_down: Arc::default() });
    let call = {
        let (cache, slow) = (a.clone(), slow.clone());
        tokio::spawn(async move { short(1, &cache, &slow).await })
    };
    slow.gate.started(1).await;
    tokio::time::sleep(TTL).await;
    slow.gate.let_go(1);
    assert_eq!(call.await.unwrap(), Ok(1));
    assert_eq!(short_entry(1, &b).ttl().await.unwrap(), None);
}

pub(super) async fn a_process_that_has_just_connected_knows_what_is_past_its_ttl(stage: Stage) {
    let origin = Origin::new();
    for _ in 0..10 {
        let cache = stage.cache().await;
        assert_eq!(long(1, &cache, &origin).await, Ok(1));
    }
}

pub(super) async fn a_failure_is_known_to_all_processes(stage: Stage) {
    let ((a, b), origin) = (stage.two().await, Origin::new());
    assert_eq!(long(1, &a, &origin).await, Ok(1));
    long_entry(1, &b).expire().await.unwrap();
    origin.is_down(true);
    assert_eq!(long(1, &a, &origin).await, Ok(1));
    // The marker is set behind the caller.
    eventually("the other one knows", async || {
        let runs = origin.gate.runs();
        assert_eq!(long(1, &b, &origin).await, Ok(1));
        origin.gate.runs() == runs
    })
    .await;
    origin.is_down(false);
    eventually("it is tried again", async || long(1, &b, &origin).await != Ok(1)).await;
}

pub(super) async fn c3_an_answer_is_no_failure_to_any_process(stage: Stage) {
    let ((a, b), origin) = (stage.two().await, Origin::new());
    assert_eq!(answering(1, &a, &origin).await, Ok(1));
    answering_entry(1, &b).expire().await.unwrap();
    origin.is_down(true);
    for cache in [&a, &b].repeat(5) {
        assert_eq!(answering(1, cache, &origin).await, Err(Down));
    }
    // Each has looked itself, most of them behind the marker.
    assert_eq!(origin.gate.runs(), 11);
}

pub(super) async fn c1_what_was_invalidated_by_another_process_is_not_served_to_who_fails(
    stage: Stage,
) {
    let ((a, b), origin) = (stage.two().await, Origin::new());
    for by_tag in [false, true] {
        origin.is_down(false);
        let value = long(1, &a, &origin).await.unwrap();
        long_entry(1, &b).expire().await.unwrap();
        origin.is_down(true);
        assert_eq!(long(1, &a, &origin).await, Ok(value));
        if by_tag {
            b.invalidate_tags(["long"]).await.unwrap();
        } else {
            long_entry(1, &b).invalidate().await.unwrap();
        }
        assert_eq!(long(1, &a, &origin).await, Err(Down));
        long_entry(1, &b).invalidate().await.unwrap();
    }
}

pub(super) async fn what_was_expired_is_served_to_who_fails(stage: Stage) {
    let ((a, b), origin) = (stage.two().await, Origin::new());
    assert_eq!(long(1, &a, &origin).await, Ok(1));
    // Both versions of a program keep theirs.
    assert_eq!(longer(1, &a, &origin).await, Ok(2));
    let left = long_entry(1, &a).ttl().await.unwrap().unwrap();
    assert!(left > Duration::from_secs(3600), "{left:?}");
    b.expire_tags(["long"]).await.unwrap();
    origin.is_down(true);
    for cache in [&a, &b] {
        assert_eq!(long(1, cache, &origin).await, Ok(1));
        assert_eq!(longer(1, cache, &origin).await, Ok(2));
    }
    origin.is_down(false);
    eventually("it is tried again", async || long(1, &b, &origin).await != Ok(1)).await;
    origin.is_down(true);
    assert_eq!(longer(1, &b, &origin).await, Ok(2));
}

pub(super) async fn who_does_not_wait_leaves_a_body_that_stores(stage: Stage) {
    let ((a, b), origin) = (stage.two().await, Origin::new());
    assert_eq!(soft(1, &a, &origin).await, Ok(1));
    soft_entry(1, &a).expire().await.unwrap();
    let slow = Origin { gate: Gate::closed(), is_down: Arc::default() };
    let _ = slow.gate.enter();
    for cache in [&a, &b, &a] {
        let (value, observed) = observe(soft(1, cache, &slow)).await;
        assert_eq!((value, is_kept(observed.calls[0].answer)), (Ok(1), true));
    }
    slow.gate.started(2).await;
    assert_eq!(slow.gate.runs(), 2);
    slow.gate.let_all_go();
    eventually("it is stored", async || {
        soft_entry(1, &b).peek().await.unwrap().is_some_and(|peek| peek.value == 2)
    })
    .await;
}
