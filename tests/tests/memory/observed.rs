//! What one future did to the cache.

use std::time::Duration;

use redis_cached::{Answer, Cache, Observed, observe, redis_cached};

use crate::origin::{Origin, memory, settle};

const SECOND: Duration = Duration::from_secs(1);

#[redis_cached(key = "seen:{id}", ttl = "1m", refresh_before = "20s", jitter = "0%", skip(origin), bypass_if = bypass)]
async fn seen(origin: &Origin, id: u64, bypass: bool) -> Result<usize, String> {
    let value = origin.read().await;
    if id == 0 { Err("none".to_owned()) } else { Ok(value) }
}

#[redis_cached(key = "outer:{id}", ttl = "1m", skip(origin))]
async fn outer(origin: &Origin, id: u64) -> Result<usize, String> {
    seen(origin, id, false).await
}

fn answers(observed: &Observed) -> Vec<(&str, Answer)> {
    observed.calls.iter().map(|call| (call.function, call.answer)).collect()
}

#[tokio::test(start_paused = true)]
async fn each_way_to_be_answered_is_told() {
    memory()
        .await
        .scope(async {
            let origin = Origin::open();
            let computed = Answer::Computed { stored: true };
            let (_, observed) = observe(outer(&origin, 1)).await;
            assert_eq!(answers(&observed), [("seen", computed), ("outer", computed)]);
            assert!(observed.calls[0].module.ends_with("observed"));

            tokio::time::advance(SECOND * 30).await;
            let calls = async {
                seen(&origin, 1, false).await.unwrap();
                tokio::time::advance(SECOND * 15).await;
                seen(&origin, 1, false).await.unwrap();
                seen(&origin, 1, true).await.unwrap();
                seen(&origin, 0, false).await.unwrap_err();
            };
            let ((), observed) = observe(calls).await;
            let expected = [
                Answer::Hit { age: SECOND * 30 },
                Answer::Stale { age: SECOND * 45 },
                Answer::Bypassed,
                Answer::Computed { stored: false },
            ];
            assert_eq!(observed.calls.iter().map(|call| call.answer).collect::<Vec<_>>(), expected);
            assert_eq!((observed.hits(), observed.bodies()), (2, 2));
        })
        .await;
}

#[tokio::test(start_paused = true)]
async fn those_who_share_and_those_of_other_tasks_are_told_apart() {
    let (cache, origin) = (memory().await, Origin::gated());
    let call = |cache: Cache, origin: Origin| async move {
        cache.scope(observe(async { seen(&origin, 2, false).await.unwrap() })).await.1
    };
    let opened = async {
        origin.body_started().await;
        settle().await;
        origin.let_through(1);
    };
    let own = || call(cache.clone(), origin.clone());
    let all = observe(async {
        let other = tokio::spawn(own());
        tokio::join!(own(), own(), other, opened)
    });
    let ((one, two, other, ()), around) = all.await;
    let inside = [one, two].map(|observed| observed.calls).concat();
    assert!(
        inside.iter().all(|call| around.calls.contains(call)),
        "both see what the inner one does"
    );
    assert_eq!(around.calls.len(), 2, "and nobody what another task does");
    let mut answers: Vec<_> =
        inside.iter().chain(&other.unwrap().calls).map(|call| call.answer).collect();
    // The first has the body; of those who came too late for it one has looked for both.
    answers.sort_by_key(|answer| format!("{answer:?}"));
    let hit = Answer::Hit { age: Duration::ZERO };
    assert_eq!(answers, [Answer::Computed { stored: true }, hit, Answer::Shared]);
}

#[tokio::test(start_paused = true)]
async fn a_refresh_in_the_background_is_not_the_futures_own() {
    memory()
        .await
        .scope(async {
            let origin = Origin::open();
            seen(&origin, 3, false).await.unwrap();
            tokio::time::advance(SECOND * 45).await;
            let calls = async {
                seen(&origin, 3, false).await.unwrap();
                settle().await;
            };
            let ((), observed) = observe(calls).await;
            assert_eq!(origin.bodies(), 2);
            assert_eq!(answers(&observed), [("seen", Answer::Stale { age: SECOND * 45 })]);
        })
        .await;
}

#[tokio::test(start_paused = true)]
async fn what_is_kept_of_many_calls_is_bounded() {
    memory()
        .await
        .scope(async {
            let origin = Origin::open();
            let calls = async {
                for _ in 0..300 {
                    seen(&origin, 4, false).await.unwrap();
                }
            };
            let ((), observed) = observe(calls).await;
            assert_eq!((observed.calls.len(), observed.more), (256, 44));
            assert_eq!((observed.hits(), observed.bodies()), (299, 1), "all are counted");
        })
        .await;
}
