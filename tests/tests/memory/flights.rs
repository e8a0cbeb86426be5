//! One computation inside one process, and who may share it.

use std::task::{Context, Waker};
use std::time::Duration;

use redis_cached::{Cache, redis_cached};
use tokio::task::JoinSet;
use tokio::time::Instant;

use crate::origin::{Origin, memory, settle};

#[redis_cached(key = "value:{id}", ttl = "1h", wait = "10s", skip(origin), cache = cache)]
async fn value(cache: &Cache, origin: &Origin, id: u64) -> usize {
    origin.read().await
}

fn call(cache: &Cache, origin: &Origin) -> tokio::task::JoinHandle<usize> {
    let (cache, origin) = (cache.clone(), origin.clone());
    tokio::spawn(async move { value(&cache, &origin, 1).await })
}

#[tokio::test(start_paused = true)]
async fn c4_a_thousand_callers_of_a_cold_key_run_one_body() {
    let (cache, origin) = (memory().await, Origin::gated());
    let calls: Vec<_> = (0..1_000).map(|_| call(&cache, &origin)).collect();
    origin.body_started().await;
    settle().await;
    origin.let_through(1);
    for call in calls {
        assert_eq!(call.await.unwrap(), 1);
    }
    assert_eq!(origin.bodies(), 1);
}

/// Whoever joins after the body has started may have been called after an invalidation that the
/// body has not seen.
/// Catalogue 9.
#[tokio::test(start_paused = true)]
async fn c1_a_flight_is_sealed_when_its_body_starts() {
    let (cache, origin) = (memory().await, Origin::gated());
    let before = call(&cache, &origin);
    origin.body_started().await;
    let new = origin.change();
    value_entry(&cache, 1).invalidate().await.unwrap();
    let after = call(&cache, &origin);
    settle().await;
    origin.let_through(2);
    assert_eq!(before.await.unwrap(), 1);
    assert_eq!(after.await.unwrap(), new);
    assert_eq!(call(&cache, &origin).await.unwrap(), new);
    assert_eq!(origin.bodies(), 2);
}

/// Catalogue 13.
#[tokio::test(start_paused = true)]
async fn c1_invalidate_during_a_body_refuses_its_commit() {
    let (cache, origin) = (memory().await, Origin::gated());
    let old = call(&cache, &origin);
    origin.body_started().await;
    let new = origin.change();
    value_entry(&cache, 1).invalidate().await.unwrap();
    origin.let_through(2);
    assert_eq!(old.await.unwrap(), 1);
    assert!(value_entry(&cache, 1).peek().await.unwrap().is_none(), "the late commit was stored");
    assert_eq!(call(&cache, &origin).await.unwrap(), new);
}

/// Catalogue 1.
#[tokio::test(start_paused = true)]
async fn a_cancelled_leader_hands_its_lease_to_a_waiter() {
    let (cache, origin) = (memory().await, Origin::gated());
    let leader = call(&cache, &origin);
    origin.body_started().await;
    let waiters: Vec<_> = (0..3).map(|_| call(&cache, &origin)).collect();
    settle().await;
    leader.abort();
    origin.body_started().await;
    settle().await;
    origin.let_through(1);
    for waiter in waiters {
        assert_eq!(waiter.await.unwrap(), 1);
    }
    assert_eq!(origin.bodies(), 2);
    assert!(
        value_entry(&cache, 1).peek().await.unwrap().is_some(),
        "the lease was lost on the way"
    );
}

#[tokio::test(start_paused = true)]
async fn a_cancelled_leader_without_waiters_gives_its_lease_back_at_once() {
    let (cache, origin) = (memory().await, Origin::gated());
    let leader = call(&cache, &origin);
    origin.body_started().await;
    leader.abort();
    settle().await;
    let start = Instant::now();
    origin.let_through(1);
    assert_eq!(call(&cache, &origin).await.unwrap(), 1);
    assert_eq!(start.elapsed(), Duration::ZERO, "the next caller waited for a dead lease");
    assert!(value_entry(&cache, 1).peek().await.unwrap().is_some());
}

/// A future that is held but not polled any more: `select!` in a caller's loop, a stuck stream.
/// Catalogue 2.
#[tokio::test(start_paused = true)]
async fn waiters_leave_a_leader_that_nobody_polls_within_wait() {
    let (cache, origin) = (memory().await, Origin::gated());
    let mut stuck = Box::pin(value(&cache, &origin, 1));
    tokio::select! {
        biased;
        _ = &mut stuck => panic!("the gate is shut"),
        () = origin.body_started() => {}
    }
    let start = Instant::now();
    let waiters: Vec<_> = (0..20).map(|_| call(&cache, &origin)).collect();
    origin.body_started().await;
    assert!(start.elapsed() <= Duration::from_secs(10), "{:?}", start.elapsed());
    // The first permit goes to the body that nobody polls: it stands first in the queue.
    origin.let_through(2);
    for waiter in waiters {
        assert_eq!(waiter.await.unwrap(), 1);
    }
    assert_eq!(origin.bodies(), 2, "one waiter computes for all");
    assert_eq!(stuck.await, 1);
}

#[redis_cached(key = "panics:{id}", ttl = "1h", skip(origin, panics), cache = cache)]
async fn panicking(cache: &Cache, origin: &Origin, id: u64, panics: bool) -> usize {
    let value = origin.read().await;
    assert!(!panics, "the body's own panic");
    value
}

/// Catalogue 3.
#[tokio::test(start_paused = true)]
async fn a_panic_is_the_leaders_own_and_the_others_go_on() {
    let (cache, origin) = (memory().await, Origin::gated());
    let spawn = |panics| {
        let (cache, origin) = (cache.clone(), origin.clone());
        tokio::spawn(async move { panicking(&cache, &origin, 1, panics).await })
    };
    let leader = spawn(true);
    origin.body_started().await;
    let waiters: Vec<_> = (0..10).map(|_| spawn(false)).collect();
    settle().await;
    origin.let_through(100);
    let start = Instant::now();
    assert!(leader.await.unwrap_err().is_panic());
    for waiter in waiters {
        assert_eq!(waiter.await.unwrap(), 1);
    }
    assert!(start.elapsed() < Duration::from_secs(1), "{:?}", start.elapsed());
    assert_eq!(origin.bodies(), 2);
}

#[redis_cached(key = "countdown:{id}", ttl = "1h", skip(origin, left), cache = cache)]
async fn countdown(cache: &Cache, origin: &Origin, id: u64, left: usize) -> usize {
    origin.read().await;
    if left == 0 { 0 } else { 1 + again(cache, origin, id, left - 1).await }
}

type Boxed<'a> = std::pin::Pin<Box<dyn Future<Output = usize> + Send + 'a>>;

fn again<'a>(cache: &'a Cache, origin: &'a Origin, id: u64, left: usize) -> Boxed<'a> {
    Box::pin(countdown(cache, origin, id, left))
}

/// Catalogue 10.
#[tokio::test(start_paused = true)]
async fn a_body_that_calls_itself_with_its_own_key_computes_inline() {
    let (cache, origin) = (memory().await, Origin::open());
    let start = Instant::now();
    assert_eq!(countdown(&cache, &origin, 1, 3).await, 3);
    assert_eq!(start.elapsed(), Duration::ZERO, "it waited for itself");
    assert_eq!(origin.bodies(), 4);
    assert_eq!(countdown(&cache, &origin, 1, 3).await, 3);
    assert_eq!(origin.bodies(), 4, "the outer value was not stored");
}

#[redis_cached(key = "left:{id}", ttl = "1h", wait = "2s", skip(origin), cache = cache)]
async fn left(cache: &Cache, origin: &Origin, id: u64) -> usize {
    origin.read().await;
    let inner: Boxed<'_> = right_boxed(cache, origin, id);
    inner.await + 1
}

#[redis_cached(key = "right:{id}", ttl = "1h", wait = "2s", skip(origin), cache = cache)]
async fn right(cache: &Cache, origin: &Origin, id: u64) -> usize {
    origin.read().await;
    if id == 0 { 0 } else { left_boxed(cache, origin, id).await + 1 }
}

fn right_boxed<'a>(cache: &'a Cache, origin: &'a Origin, id: u64) -> Boxed<'a> {
    Box::pin(async move {
        // The other side's computation starts meanwhile.
        tokio::time::sleep(Duration::from_millis(10)).await;
        right(cache, origin, id.saturating_sub(1)).await
    })
}

fn left_boxed<'a>(cache: &'a Cache, origin: &'a Origin, id: u64) -> Boxed<'a> {
    Box::pin(async move {
        tokio::time::sleep(Duration::from_millis(10)).await;
        left(cache, origin, id).await
    })
}

/// A waits for B while B waits for A: both get their answers, after `wait`.
/// Catalogue 11.
#[tokio::test(start_paused = true)]
async fn two_bodies_that_wait_for_each_other_both_answer() {
    let (cache, origin) = (memory().await, Origin::open());
    let (a, b) = tokio::join!(left(&cache, &origin, 1), async {
        // `left(1)` asks for `right(0)`; `right(1)` asks for `left(1)`.
        right(&cache, &origin, 1).await
    });
    assert_eq!((a, b), (1, 2));
}

/// Every await of every kind of caller is cut off once; whoever is left still gets an answer.
/// Catalogue 1.
#[tokio::test(start_paused = true)]
async fn callers_dropped_at_any_moment_hang_nobody_and_leave_no_lease() {
    for seed in 0..300u64 {
        let mut random = fastrand_like(seed);
        let (cache, origin) = (memory().await, Origin::open());
        let mut callers = JoinSet::new();
        let mut kept = JoinSet::new();
        for _ in 0..20 {
            let (cache, origin) = (cache.clone(), origin.clone());
            let life = Duration::from_millis(random() % 40);
            let start = Duration::from_millis(random() % 30);
            let keep = random().is_multiple_of(3);
            let caller = async move {
                tokio::time::sleep(start).await;
                let slow = slowly(&cache, &origin, 1);
                if keep { Some(slow.await) } else { tokio::time::timeout(life, slow).await.ok() }
            };
            if keep {
                kept.spawn(caller)
            } else {
                callers.spawn(caller)
            };
        }
        let limit = Duration::from_secs(60);
        let answers = tokio::time::timeout(limit, kept.join_all()).await;
        assert!(answers.is_ok_and(|answers| answers.iter().all(|a| *a == Some(1))), "seed {seed}");
        callers.join_all().await;
        settle().await;
        let start = Instant::now();
        assert_eq!(slowly(&cache, &origin, 1).await, 1);
        assert!(
            start.elapsed() <= Duration::from_millis(25),
            "a lease was left behind, seed {seed}"
        );
    }
}

#[redis_cached(key = "slow:{id}", ttl = "1h", skip(origin), cache = cache)]
async fn slowly(cache: &Cache, origin: &Origin, id: u64) -> usize {
    origin.read_slowly(Duration::from_millis(20)).await
}

/// A small generator, so that a seed names a schedule.
pub(crate) fn fastrand_like(seed: u64) -> impl FnMut() -> u64 {
    let mut state = seed.wrapping_mul(0x9E37_79B9_7F4A_7C15) | 1;
    move || {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        state >> 8
    }
}

/// A caller that comes just when a leader has been dropped inherits its lease, and does not wait
/// for it as if it were another's.
#[tokio::test(start_paused = true)]
async fn a_new_caller_does_not_wait_for_the_lease_that_a_dropped_leader_left() {
    let (cache, origin) = (memory().await, Origin::open());
    let mut context = Context::from_waker(Waker::noop());
    let mut leader = Box::pin(slowly(&cache, &origin, 1));
    assert!(leader.as_mut().poll(&mut context).is_pending());
    let mut waiter = Box::pin(slowly(&cache, &origin, 1));
    assert!(waiter.as_mut().poll(&mut context).is_pending());
    drop(leader);
    let start = Instant::now();
    assert_eq!(slowly(&cache, &origin, 1).await, 1);
    assert_eq!(start.elapsed(), Duration::from_millis(20));
    assert_eq!(waiter.await, 1);
}

#[redis_cached(key = "long:{id}", ttl = "1h", wait = "10s", skip(origin), cache = cache)]
async fn long(cache: &Cache, origin: &Origin, id: u64) -> usize {
    origin.read_slowly(Duration::from_secs(15)).await
}

#[tokio::test(start_paused = true)]
async fn a_body_slower_than_wait_is_no_stampede() {
    let (cache, origin) = (memory().await, Origin::open());
    let mut callers = JoinSet::new();
    for _ in 0..200 {
        let (cache, origin) = (cache.clone(), origin.clone());
        callers.spawn(async move { long(&cache, &origin, 1).await });
    }
    assert!(callers.join_all().await.iter().all(|value| *value == 1));
    assert_eq!(origin.bodies(), 2, "one that led, and one that lost its patience for all");
}
