//! Invalidations that wait for a transaction to end: sent, discarded, or left behind.

use std::future::{Future, poll_fn};
use std::pin::pin;
use std::task::Poll;
use std::time::Duration;

use redis_cached::{Cache, Error, Invalidation, invalidate_tags_after_commit, redis_cached};
use redis_cached_tests::{Told, eventually};
use tokio::runtime::{Builder, Handle};
use tokio::task::yield_now;
use tokio::time::Instant;

use crate::origin::{Origin, memory, settle};

#[redis_cached(key = "row:{id}", ttl = "1h", tags = ["rows"])]
async fn row(id: u64) -> u64 {
    settle().await;
    id
}

#[redis_cached(key = "count", ttl = "1h", clearable)]
async fn count() -> u64 {
    settle().await;
    1
}

#[redis_cached(key = "elsewhere", ttl = "1h", cache = cache)]
async fn elsewhere(cache: &Cache) -> u64 {
    settle().await;
    1
}

/// A cache whose server is not there: nothing listens on this port.
async fn nowhere() -> Cache {
    Cache::builder().url("redis://127.0.0.1:1/").build().await.expect("a server may come later")
}

async fn fill() {
    row(1).await;
    row(2).await;
    count().await;
}

/// Which of `row(1)`, `row(2)` and `count()` are stored.
async fn stored() -> [bool; 3] {
    [
        row_entry(1).peek().await.unwrap().is_some(),
        row_entry(2).peek().await.unwrap().is_some(),
        count_entry().peek().await.unwrap().is_some(),
    ]
}

/// Writes, three calls deeper, with an await on each side of each.
async fn write() -> Result<(), Error> {
    yield_now().await;
    row_entry(1).invalidate_after_commit()?;
    yield_now().await;
    count_all().invalidate_after_commit()?;
    // Once more, as two writes of one row do.
    row_entry(1).invalidate_after_commit()?;
    yield_now().await;
    Ok(())
}

/// Catalogue 20.
#[tokio::test(start_paused = true)]
async fn c1_what_a_transaction_has_gathered_is_sent_when_it_has_committed() {
    let test = async {
        fill().await;
        let (written, mut invalidation) = Invalidation::collect(write()).await;
        written.unwrap();
        assert_eq!(stored().await, [true; 3], "nothing is sent before");
        assert_eq!((invalidation.len(), invalidation.is_empty()), (2, false));
        invalidation.send().await.unwrap();
        assert_eq!(stored().await, [false, true, false]);
        assert!(invalidation.is_empty());
        fill().await;
        invalidation.send().await.unwrap();
        drop(invalidation);
        settle().await;
        assert_eq!(stored().await, [true; 3], "and once");
    };
    memory().await.scope(test).await;
}

/// Catalogue 20.
#[tokio::test(start_paused = true)]
async fn what_was_rolled_back_invalidates_nothing() {
    let test = async {
        fill().await;
        let (_, invalidation) = Invalidation::collect(write()).await;
        invalidation.discard();
        settle().await;
        assert_eq!(stored().await, [true; 3]);
    };
    memory().await.scope(test).await;
}

#[tokio::test(start_paused = true)]
async fn c1_what_is_left_behind_is_sent() {
    let test = async {
        fill().await;
        drop(Invalidation::collect(write()).await);
        settle().await;
        assert_eq!(stored().await, [false, true, false]);
    };
    memory().await.scope(test).await;
}

/// Its COMMIT may be on its way: an invalidation that overtakes it would be none.
#[tokio::test(start_paused = true)]
async fn c1_what_is_left_behind_is_sent_again_for_a_while() {
    let test = async {
        drop(Invalidation::collect(write()).await);
        settle().await;
        for _ in 0..3 {
            fill().await;
            assert_eq!(stored().await, [true; 3]);
            tokio::time::sleep(Duration::from_secs(3)).await;
            assert_eq!(stored().await, [false, true, false]);
        }
        tokio::time::sleep(Duration::from_secs(10)).await;
        fill().await;
        tokio::time::sleep(Duration::from_secs(600)).await;
        assert_eq!(stored().await, [true; 3], "but not for ever");
    };
    memory().await.scope(test).await;
}

/// Whether the transaction has committed is not known.
#[tokio::test(start_paused = true)]
async fn c1_a_future_that_is_dropped_at_any_await_sends_what_it_has_gathered() {
    let test = async {
        // As many polls as it has awaits.
        for polls in 0..4 {
            fill().await;
            {
                let mut collecting = pin!(Invalidation::collect(write()));
                for _ in 0..polls {
                    let polled = poll_fn(|cx| Poll::Ready(collecting.as_mut().poll(cx))).await;
                    assert!(polled.is_pending(), "{polls}");
                }
            }
            settle().await;
            assert_eq!(stored().await, [polls < 2, true, polls < 3], "after {polls} polls");
        }
    };
    memory().await.scope(test).await;
}

#[tokio::test(start_paused = true)]
async fn c1_a_transaction_that_panics_sends_what_it_has_gathered() {
    let cache = memory().await;
    cache.scope(fill()).await;
    let panics = cache.scope(Invalidation::collect(async {
        write().await.unwrap();
        panic!("as chosen");
    }));
    assert!(tokio::spawn(panics).await.is_err_and(|error| error.is_panic()));
    settle().await;
    assert_eq!(cache.scope(stored()).await, [false, true, false]);
}

#[tokio::test(start_paused = true)]
async fn with_nothing_around_it_is_an_error_that_says_what_to_do() {
    let test = async {
        let refused = [
            row_entry(1).invalidate_after_commit(),
            count_all().invalidate_after_commit(),
            invalidate_tags_after_commit(["rows"]),
        ];
        for error in refused.map(Result::unwrap_err) {
            assert!(error.is_ungathered(), "{error}");
            assert!(error.to_string().contains("Invalidation::collect"), "{error}");
        }
    };
    memory().await.scope(test).await;
}

#[tokio::test(start_paused = true)]
async fn c1_one_inside_another_gathers_for_itself() {
    let test = async {
        fill().await;
        let ((), mut outer) = Invalidation::collect(async {
            let (_, inner) = Invalidation::collect(write()).await;
            inner.discard();
            invalidate_tags_after_commit(["rows"]).unwrap();
        })
        .await;
        assert_eq!(outer.len(), 1);
        outer.send().await.unwrap();
        assert_eq!(stored().await, [false, false, true]);
    };
    memory().await.scope(test).await;
}

#[tokio::test(start_paused = true)]
async fn c1_several_caches_in_one_transaction() {
    let (one, other) = (memory().await, memory().await);
    let test = async {
        fill().await;
        elsewhere(&other).await;
        let (written, mut invalidation) = Invalidation::collect(async {
            elsewhere_entry(&other).invalidate_after_commit()?;
            other.invalidate_tags_after_commit(["rows"])?;
            write().await
        })
        .await;
        written.unwrap();
        assert_eq!(invalidation.len(), 4);
        invalidation.send().await.unwrap();
        assert!(elsewhere_entry(&other).peek().await.unwrap().is_none());
        assert_eq!(stored().await, [false, true, false], "the tag was the other cache's");
    };
    one.scope(test).await;
}

#[tokio::test(start_paused = true)]
async fn so_many_that_a_tag_is_meant_are_refused_and_the_others_are_kept() {
    let test = async {
        let (refused, invalidation) = Invalidation::collect(async {
            let tags = (0..70_000).map(|n| n.to_string());
            invalidate_tags_after_commit(tags)
        })
        .await;
        assert!(refused.is_err_and(|error| !error.is_ungathered()));
        assert_eq!(invalidation.len(), 65_536);
        invalidation.discard();
    };
    memory().await.scope(test).await;
}

/// A client that has gone shortly before the program ends.
#[tokio::test(start_paused = true)]
async fn c1_a_shutdown_sends_what_is_left_behind_for_the_last_time() {
    let cache = memory().await;
    let test = async {
        drop(Invalidation::collect(write()).await);
        settle().await;
        fill().await;
        let began = Instant::now();
        cache.shutdown(Duration::from_millis(20)).await.unwrap();
        assert!(began.elapsed() < Duration::from_millis(40), "{:?}", began.elapsed());
        assert_eq!(stored().await, [false, true, false]);
    };
    cache.scope(test).await;
}

#[tokio::test(start_paused = true)]
async fn a_shutdown_with_time_enough_lets_it_be_repeated() {
    let cache = memory().await;
    let test = async {
        drop(Invalidation::collect(write()).await);
        cache.shutdown(Duration::from_secs(30)).await.unwrap();
    };
    let began = Instant::now();
    cache.scope(test).await;
    assert!(began.elapsed() >= Duration::from_secs(10), "{:?}", began.elapsed());
    assert!(began.elapsed() < Duration::from_secs(20), "{:?}", began.elapsed());
}

#[tokio::test(start_paused = true)]
async fn one_task_sees_to_all_that_is_left_behind() {
    let test = async {
        let before = Handle::current().metrics().num_alive_tasks();
        for _ in 0..1000 {
            drop(Invalidation::collect(write()).await);
        }
        settle().await;
        assert_eq!(Handle::current().metrics().num_alive_tasks(), before + 1);
        fill().await;
        drop(Invalidation::collect(write()).await);
        settle().await;
        assert_eq!(stored().await, [false, true, false], "at once, also where one is at work");
        tokio::time::sleep(Duration::from_secs(20)).await;
        assert_eq!(Handle::current().metrics().num_alive_tasks(), before);
    };
    memory().await.scope(test).await;
}

/// Nobody drives the runtime on which the first was left.
#[test]
fn c1_a_runtime_that_stands_still_holds_up_no_other() {
    let runtime = || Builder::new_current_thread().enable_all().build().unwrap();
    let (still, other) = (runtime(), runtime());
    let cache = other.block_on(memory());
    still.block_on(cache.scope(async {
        drop(Invalidation::collect(write()).await);
    }));
    other.block_on(cache.scope(async {
        fill().await;
        drop(Invalidation::collect(write()).await);
        settle().await;
        assert_eq!(stored().await, [false, true, false]);
    }));
    drop(still);
}

#[test]
fn c1_what_is_left_where_no_runtime_is_is_told_and_goes_with_what_comes_next() {
    let runtime = || Builder::new_current_thread().enable_all().build().unwrap();
    let told = Told::listen();
    let (first, second) = (runtime(), runtime());
    let cache = first.block_on(memory());
    let left = first.block_on(cache.scope(async {
        fill().await;
        Invalidation::collect(write()).await.1
    }));
    drop(first);
    drop(left);
    let text = told.text();
    assert!(text.contains("ERROR") && text.contains("no tokio runtime"), "{text}");
    second.block_on(cache.scope(async {
        assert_eq!(stored().await, [true; 3]);
        let one_more = Invalidation::collect(async { invalidate_tags_after_commit(["rows"]) });
        drop(one_more.await);
        settle().await;
        assert_eq!(stored().await, [false; 3]);
    }));
}

/// It was sent once, before its COMMIT, and then its runtime has ended, or nobody drives it any more.
#[test]
fn c1_a_shutdown_sends_what_was_left_on_a_runtime_that_does_nothing_more() {
    let runtime = || Builder::new_current_thread().enable_all().build().unwrap();
    for ends in [true, false] {
        let (first, second) = (runtime(), runtime());
        let cache = first.block_on(memory());
        first.block_on(cache.scope(async {
            drop(Invalidation::collect(write()).await);
            settle().await;
            assert_eq!(cache.unconfirmed_invalidations(), 0);
            fill().await;
        }));
        let still = (!ends).then_some(first);
        second.block_on(cache.scope(async {
            assert_eq!(stored().await, [true; 3]);
            let shut_down = cache.shutdown(Duration::from_millis(20)).await;
            assert_eq!(shut_down.is_ok(), ends, "a task that stands still is told: {shut_down:?}");
            assert_eq!(stored().await, [false, true, false], "ends: {ends}");
        }));
        drop(still);
    }
}

/// Its runtime ends before the server is there.
#[test]
fn what_could_not_be_sent_before_its_runtime_ended_is_told() {
    let told = Told::listen();
    let runtime = Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(async {
        let cache = nowhere().await;
        cache.scope(async { drop(Invalidation::collect(write()).await) }).await;
        let drained = cache.shutdown(Duration::from_millis(20)).await;
        assert_eq!(drained.unwrap_err().unfinished(), 1);
    });
    assert!(!told.text().contains("no tokio runtime"), "{}", told.text());
    drop(runtime);
    assert!(told.text().contains("no tokio runtime"), "{}", told.text());
}

#[tokio::test(start_paused = true)]
async fn what_can_not_be_sent_for_five_minutes_is_given_up_with_one_event() {
    let told = Told::listen();
    let cache = nowhere().await;
    cache.scope(async { drop(Invalidation::collect(write()).await) }).await;
    tokio::time::sleep(Duration::from_secs(290)).await;
    assert!(!told.text().contains("given up"), "{}", told.text());
    tokio::time::sleep(Duration::from_secs(60)).await;
    assert_eq!(told.text().matches("given up").count(), 1, "{}", told.text());
    assert!(told.text().contains("lost=2"), "{}", told.text());
}

#[tokio::test(start_paused = true)]
async fn a_server_that_is_away_holds_up_no_other_cache() {
    let (one, other) = (memory().await, nowhere().await);
    let test = async {
        fill().await;
        let (written, mut invalidation) = Invalidation::collect(async {
            other.invalidate_tags_after_commit(["rows"])?;
            write().await
        })
        .await;
        written.unwrap();
        {
            let mut sending = pin!(invalidation.send());
            let polled = poll_fn(|cx| Poll::Ready(sending.as_mut().poll(cx))).await;
            assert!(polled.is_pending());
        }
        assert_eq!(stored().await, [false, true, false]);
        assert_eq!(
            invalidation.len(),
            1,
            "of a `send` that was dropped, too, only what is not confirmed stays"
        );
        let error = invalidation.send().await.unwrap_err();
        assert!(error.is_unconfirmed() && error.to_string().contains("whether 1 of"), "{error}");
        invalidation.discard();
    };
    one.scope(test).await;
}

#[tokio::test(start_paused = true)]
async fn what_is_gathered_already_needs_no_place() {
    let test = async {
        let ((), invalidation) = Invalidation::collect(async {
            invalidate_tags_after_commit((0..65_536).map(|n| n.to_string())).unwrap();
            invalidate_tags_after_commit(["7"]).unwrap();
        })
        .await;
        invalidation.discard();
    };
    memory().await.scope(test).await;
}

#[redis_cached(key = "late:{id}", ttl = "1h", jitter = "0%", skip(origin))]
async fn late(origin: &Origin, id: u64) -> usize {
    origin.read().await
}

/// What is read until then is stored again.
#[tokio::test(start_paused = true)]
async fn c1_a_commit_that_arrives_late_is_seen_half_a_second_later() {
    memory()
        .await
        .scope(async {
            for millis in [0, 60, 700, 1_000, 1_600, 3_200, 6_500, 9_400] {
                let origin = Origin::open();
                let (gathered, invalidation) =
                    Invalidation::collect(async { late_entry(millis).invalidate_after_commit() })
                        .await;
                gathered.unwrap();
                drop(invalidation);
                let commit = Instant::now() + Duration::from_millis(millis);
                while Instant::now() < commit {
                    late(&origin, millis).await;
                    tokio::time::sleep(Duration::from_millis(10)).await;
                }
                late(&origin, millis).await;
                let new = origin.change();
                tokio::time::sleep(Duration::from_millis(501)).await;
                assert_eq!(late(&origin, millis).await, new, "{millis} ms late");
            }
        })
        .await;
}

#[tokio::test]
async fn c5_what_the_server_has_not_confirmed_is_counted() {
    let (nowhere, there) = (nowhere().await, memory().await);
    for cache in [&nowhere, &there] {
        let (gathered, invalidation) =
            Invalidation::collect(async { cache.invalidate_tags_after_commit(["a", "b"]) }).await;
        gathered.unwrap();
        assert_eq!(cache.unconfirmed_invalidations(), 0, "its transaction has not ended");
        drop(invalidation);
        assert_eq!(cache.unconfirmed_invalidations(), 2);
    }
    // Repeated for a while, and confirmed by the first attempt.
    eventually("they are confirmed", async || there.unconfirmed_invalidations() == 0).await;
    assert_eq!(nowhere.unconfirmed_invalidations(), 2);
    let error = nowhere.shutdown(Duration::from_millis(50)).await.unwrap_err();
    assert_eq!(error.unconfirmed_invalidations(), 2, "{error}");
    assert!(error.to_string().contains("2 invalidations are not confirmed"), "{error}");
}

/// Dropped on a thread that nothing drives: `shutdown` is the last who can send it, or say that it is lost.
#[test]
fn c5_what_was_left_where_no_runtime_is_is_sent_by_shutdown_or_told() {
    let runtime = || Builder::new_current_thread().enable_all().build().unwrap();
    let (nowhere, there) = runtime().block_on(async { (nowhere().await, memory().await) });
    for cache in [&nowhere, &there] {
        let ((), invalidation) = runtime().block_on(Invalidation::collect(async {
            cache.invalidate_tags_after_commit(["a", "b"]).unwrap();
        }));
        drop(invalidation);
        assert_eq!(cache.unconfirmed_invalidations(), 2);
    }
    runtime().block_on(async {
        let limit = Duration::from_millis(50);
        assert_eq!(nowhere.shutdown(limit).await.unwrap_err().unconfirmed_invalidations(), 2);
        there.shutdown(limit).await.unwrap();
        assert_eq!(there.unconfirmed_invalidations(), 0);
    });
}
