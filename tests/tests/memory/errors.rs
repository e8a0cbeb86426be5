//! What those who waited for a failed computation get, and what a failing origin is spared.

use std::time::Duration;

use redis_cached::{Cache, SharedError, redis_cached};
use tokio::time::Instant;

use crate::origin::{Origin, memory, settle};

#[derive(Clone, Debug, PartialEq)]
enum Typed {
    NotFound,
}

#[redis_cached(key = "typed:{id}", ttl = "1h", skip(origin), cache = cache)]
async fn typed(cache: &Cache, origin: &Origin, id: u64) -> Result<usize, Typed> {
    origin.read().await;
    Err(Typed::NotFound)
}

#[tokio::test(start_paused = true)]
async fn an_error_that_can_be_cloned_reaches_all_who_waited() {
    let (cache, origin) = (memory().await, Origin::gated());
    let calls: Vec<_> = (0..100)
        .map(|_| {
            let (cache, origin) = (cache.clone(), origin.clone());
            tokio::spawn(async move { typed(&cache, &origin, 1).await })
        })
        .collect();
    origin.body_started().await;
    settle().await;
    // Who joined before the body started shares; those who came too late share the next one.
    origin.let_through(2);
    for call in calls {
        assert_eq!(call.await.unwrap(), Err(Typed::NotFound));
    }
    assert_eq!(origin.bodies(), 2);
    assert!(typed_entry(&cache, 1).peek().await.unwrap().is_none(), "an error was stored");
}

#[derive(Debug)]
struct Missing;

impl std::fmt::Display for Missing {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("no such row")
    }
}

impl std::error::Error for Missing {}

/// Those who wait have joined before the body starts only if it is held up by somebody else's
/// lease, so the leader here is one that waits.
macro_rules! erased_error_test {
    ($name:ident, $function:ident, $entry:ident, $error:ty, $chain:expr) => {
        #[redis_cached(key = "erased:{id}", ttl = "1h", skip(origin), cache = cache)]
        async fn $function(cache: &Cache, origin: &Origin, id: u64) -> Result<usize, $error> {
            origin.read().await;
            Err(Missing.into())
        }

        #[tokio::test(start_paused = true)]
        async fn $name() {
            let (cache, origin) = (memory().await, Origin::gated());
            let spawn = || {
                let (cache, origin) = (cache.clone(), origin.clone());
                tokio::spawn(async move { $function(&cache, &origin, 1).await })
            };
            let leader = spawn();
            origin.body_started().await;
            let waiters: Vec<_> = (0..5).map(|_| spawn()).collect();
            settle().await;
            leader.abort();
            // One waiter takes over; the other four joined before its body started.
            origin.body_started().await;
            settle().await;
            origin.let_through(1);
            let mut shared = 0;
            for waiter in waiters {
                let error: $error = waiter.await.unwrap().unwrap_err();
                assert_eq!(error.to_string(), "no such row");
                let chain: fn(&$error) -> bool = $chain;
                assert!(chain(&error), "the original is not in the chain");
                shared += 1;
            }
            assert_eq!((shared, origin.bodies()), (5, 2));
        }
    };
}

erased_error_test!(
    an_anyhow_error_reaches_all_who_waited_with_its_original,
    with_anyhow,
    with_anyhow_entry,
    anyhow::Error,
    |error| error.chain().any(|cause| cause.downcast_ref::<Missing>().is_some())
        && error.downcast_ref::<SharedError>().is_some()
);

erased_error_test!(
    a_boxed_error_reaches_all_who_waited_with_its_original,
    with_box,
    with_box_entry,
    Box<dyn std::error::Error + Send + Sync>,
    |error| error.source().is_some_and(|cause| cause.downcast_ref::<Missing>().is_some())
);

/// Neither `Clone` nor erased; its kind is what callers act on.
#[derive(Debug, PartialEq)]
enum Kind {
    NotFound(&'static str),
    Busy,
}

impl Kind {
    fn copied(&self) -> Self {
        match self {
            Self::NotFound(_) => Self::NotFound("a copy"),
            Self::Busy => Self::Busy,
        }
    }
}

#[redis_cached(key = "by-hand:{id}", ttl = "1h", skip(origin), cache = cache, share_err = Kind::copied)]
async fn by_hand(cache: &Cache, origin: &Origin, id: u64) -> Result<usize, Kind> {
    origin.read().await;
    Err(if id == 1 { Kind::NotFound("the original") } else { Kind::Busy })
}

#[derive(Clone, Debug, PartialEq)]
struct Counted(u32);

#[redis_cached(
    key = "twice:{id}", ttl = "1h", skip(origin), cache = cache, share_err = |error| Counted(error.0 + 1)
)]
async fn twice(cache: &Cache, origin: &Origin, id: u64) -> Result<usize, Counted> {
    origin.read().await;
    Err(Counted(0))
}

macro_rules! led {
    ($function:ident, $id:expr, $waiters:expr) => {{
        let (cache, origin) = (memory().await, Origin::gated());
        let spawn = || {
            let (cache, origin) = (cache.clone(), origin.clone());
            tokio::spawn(async move { $function(&cache, &origin, $id).await })
        };
        let first = spawn();
        origin.body_started().await;
        let waiters: Vec<_> = (0..$waiters).map(|_| spawn()).collect();
        settle().await;
        first.abort();
        // One waiter takes over; the others joined before its body started.
        origin.body_started().await;
        settle().await;
        origin.let_through(10);
        let mut errors = Vec::new();
        for waiter in waiters {
            errors.push(waiter.await.unwrap().unwrap_err());
        }
        assert_eq!(origin.bodies(), 2);
        errors
    }};
}

#[tokio::test(start_paused = true)]
async fn an_error_is_shared_by_the_function_that_says_how() {
    let errors = led!(by_hand, 1, 5);
    let original = |error: &&Kind| **error == Kind::NotFound("the original");
    assert_eq!(errors.iter().filter(original).count(), 1, "the leader's own: {errors:?}");
    let copies = errors.iter().filter(|error| **error == Kind::NotFound("a copy"));
    assert_eq!(copies.count(), 4, "{errors:?}");
    assert!(led!(by_hand, 2, 5).iter().all(|error| *error == Kind::Busy));
}

#[tokio::test(start_paused = true)]
async fn how_an_error_is_shared_comes_before_its_clone() {
    let errors = led!(twice, 1, 5);
    // Once when it is kept, and once for each who gets it.
    assert_eq!(errors.iter().filter(|error| **error == Counted(2)).count(), 4, "{errors:?}");
}

#[redis_cached(key = "lonely:{id}", ttl = "1h", skip(origin), cache = cache)]
async fn lonely(cache: &Cache, origin: &Origin, id: u64) -> Result<usize, Missing> {
    origin.read_slowly(Duration::from_millis(10)).await;
    Err(Missing)
}

/// Neither `Clone` nor erased: nobody gets an error of the wrong kind, and 32 run at a time.
#[tokio::test(start_paused = true)]
async fn an_error_that_cannot_be_shared_makes_each_run_the_body_a_bounded_number_at_a_time() {
    let (cache, origin) = (memory().await, Origin::open());
    let start = Instant::now();
    let calls: Vec<_> = (0..320)
        .map(|_| {
            let (cache, origin) = (cache.clone(), origin.clone());
            tokio::spawn(async move { lonely(&cache, &origin, 1).await })
        })
        .collect();
    for call in calls {
        assert!(matches!(call.await.unwrap(), Err(Missing)));
    }
    assert!(origin.bodies() <= 320);
    assert!(start.elapsed() >= Duration::from_millis(10), "{:?}", start.elapsed());
    assert!(start.elapsed() < Duration::from_secs(2), "a convoy: {:?}", start.elapsed());
}

#[redis_cached(key = "flaky:{id}", ttl = "1h", skip(origin, fails), cache = cache)]
async fn flaky(cache: &Cache, origin: &Origin, id: u64, fails: bool) -> Result<usize, Typed> {
    let value = origin.read_slowly(Duration::from_millis(100)).await;
    if fails { Err(Typed::NotFound) } else { Ok(value) }
}

#[tokio::test(start_paused = true)]
async fn nobody_queues_behind_a_computation_that_failed() {
    let (cache, origin) = (memory().await, Origin::open());
    assert!(flaky(&cache, &origin, 1, true).await.is_err());
    settle().await;
    for _ in 0..5 {
        let start = Instant::now();
        assert_eq!(flaky(&cache, &origin, 1, false).await, Ok(1));
        assert_eq!(start.elapsed(), Duration::from_millis(100));
    }
    assert!(flaky_entry(&cache, 1).peek().await.unwrap().is_none(), "computed without a lease");
    // The marker is over: the next value is stored again.
    tokio::time::sleep(Duration::from_secs(1)).await;
    assert_eq!(flaky(&cache, &origin, 1, false).await, Ok(1));
    assert!(flaky_entry(&cache, 1).peek().await.unwrap().is_some());
}

#[redis_cached(key = "maybe:{id}", ttl = "1h", none_ttl = "1m", jitter = "0%", skip(origin), cache = cache)]
async fn maybe(cache: &Cache, origin: &Origin, id: u64) -> Result<Option<usize>, Typed> {
    let value = origin.read().await;
    Ok((id > 0).then_some(value))
}

#[tokio::test(start_paused = true)]
async fn none_is_stored_for_its_own_time() {
    let (cache, origin) = (memory().await, Origin::open());
    for _ in 0..2 {
        assert_eq!(maybe(&cache, &origin, 0).await, Ok(None));
        assert_eq!(maybe(&cache, &origin, 1).await, Ok(Some(1)));
    }
    assert_eq!(origin.bodies(), 2);
    let minute = Duration::from_secs(60);
    assert_eq!(maybe_entry(&cache, 0).ttl().await.unwrap(), Some(minute));
    assert_eq!(maybe_entry(&cache, 1).ttl().await.unwrap(), Some(minute * 60));
    tokio::time::sleep(minute).await;
    assert_eq!(maybe(&cache, &origin, 0).await, Ok(None));
    assert_eq!(origin.bodies(), 3);
}
