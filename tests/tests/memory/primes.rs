//! `Entry::prime`: values that a body has at hand for the entries of other functions.

use std::future::{Future, poll_fn};
use std::panic::AssertUnwindSafe;
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::task::Poll;
use std::time::Duration;

use redis_cached::{Cache, State, TagScope, invalidate_many, redis_cached, redis_invalidate, tag};
use redis_cached_tests::Told;
use serde::{Deserialize, Serialize};
use tokio::time::Instant;

use crate::origin::{Origin, memory, settle};

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
struct User {
    id: u64,
    /// What its origin had when it was read.
    read: usize,
}

/// With everything by which it can be invalidated.
#[redis_cached(
    key = "user:{id}", ttl = "5m", refresh_before = "1m", jitter = "0%", clearable, tags = ["team:{team}", "read:{ret.read}"],
    skip(origin)
)]
async fn user(origin: &Origin, team: u32, id: u64) -> User {
    User { id, read: origin.read().await }
}

/// Of three users. The tag of its own is none of theirs.
#[redis_cached(
    key = "users:{first}", ttl = "1m", jitter = "0%", tags = ["lists", "lists:{ret}"], skip(origin)
)]
async fn users(origin: &Origin, first: u64) -> usize {
    tag("database");
    let read = origin.read().await;
    for id in first..first + 3 {
        user_entry(1, id).prime(User { id, read });
    }
    read
}

async fn in_memory<F: Future>(test: F) -> F::Output {
    memory().await.scope(test).await
}

/// What is stored for a user.
async fn stored(id: u64) -> Option<usize> {
    user_entry(1, id).peek().await.unwrap().map(|peek| peek.value.read)
}

/// Does something between the begin and the end of a body that reads this origin.
async fn during<T>(origin: &Origin, call: impl Future<Output = T>, act: impl Future) -> T {
    let between = async {
        origin.body_started().await;
        act.await;
        origin.let_through(1);
    };
    tokio::join!(call, between).0
}

#[redis_cached(key = "first", ttl = "1h", skip(origin))]
async fn first_of_all(origin: &Origin) -> Result<Vec<User>, String> {
    let users: Vec<User> = (1..=3).map(|id| User { id, read: origin.value() }).collect();
    origin.read().await;
    for user in &users {
        user_entry(1, user.id).prime(user);
    }
    Ok(users)
}

#[tokio::test(start_paused = true)]
async fn c4_a_list_primes_its_users_from_its_very_first_body_on() {
    in_memory(async {
        let (lists, users) = (Origin::open(), Origin::open());
        let listed = first_of_all(&lists).await.unwrap();
        for one in &listed {
            assert_eq!(&user(&users, 1, one.id).await, one);
        }
        assert_eq!((lists.bodies(), users.bodies()), (1, 0));
        assert_eq!(user_entry(1, 1).peek().await.unwrap().unwrap().state, State::Fresh);
        // Who is not in the list has its own body.
        user(&users, 1, 4).await;
        assert_eq!(users.bodies(), 1);
    })
    .await;
}

/// What becomes of user 2, of whom nothing was stored or something old, when `act` is done while a list is read.
async fn primed_beside<F: Future>(act: impl Fn(Cache) -> F) -> [Option<usize>; 2] {
    let mut outcomes = [None; 2];
    for (there, outcome) in [false, true].into_iter().zip(&mut outcomes) {
        for clearable in [false, true] {
            let cache = Cache::builder().url("memory://");
            let cache = if clearable { cache.clearable() } else { cache };
            let cache = cache.build().await.unwrap();
            let after = cache
                .scope(async {
                    let (lists, users_origin) = (Origin::gated(), Origin::open());
                    if there {
                        user(&users_origin, 1, 2).await;
                        tokio::time::advance(Duration::from_secs(1)).await;
                    }
                    lists.change();
                    during(&lists, users(&lists, 1), act(cache.clone())).await;
                    assert_eq!(stored(9).await, None);
                    stored(2).await
                })
                .await;
            assert!(!clearable || *outcome == after, "{after:?} in a clearable cache");
            *outcome = after;
        }
    }
    outcomes
}

#[redis_invalidate(user(1, 2), on_failure = "retry")]
async fn changes(fails: bool) -> Result<(), String> {
    tokio::task::yield_now().await;
    if fails { Err("no".to_owned()) } else { Ok(()) }
}

#[tokio::test(start_paused = true)]
async fn c1_whatever_invalidates_it_during_the_body_keeps_a_prime_away() {
    const GONE: [Option<usize>; 2] = [None, None];
    // What is not invalidated is stored, and takes the place of what is older.
    assert_eq!(primed_beside(async |_| ()).await, [Some(2); 2]);
    let other = async |_| user_entry(1, 4).invalidate().await.unwrap();
    assert_eq!(primed_beside(other).await, [Some(2); 2], "another user");
    let by_key = async |_| user_entry(1, 2).invalidate().await.unwrap();
    assert_eq!(primed_beside(by_key).await, GONE, "by key");
    let by_many = async |_| invalidate_many([user_entry(1, 2)]).await.unwrap();
    assert_eq!(primed_beside(by_many).await, GONE, "as one of many");
    let by_tag = async |cache: Cache| cache.invalidate_tags(["team:1"]).await.unwrap();
    assert_eq!(primed_beside(by_tag).await, GONE, "by its function's tag");
    let by_body = async |cache: Cache| cache.invalidate_tags(["database"]).await.unwrap();
    assert_eq!(primed_beside(by_body).await, [None, Some(1)], "by what the body is tagged with");
    let by_value = async |cache: Cache| cache.invalidate_tags(["read:2"]).await.unwrap();
    assert_eq!(primed_beside(by_value).await, [None, Some(1)], "by what its value is tagged with");
    let all = async |_| user_all().invalidate().await.unwrap();
    assert_eq!(primed_beside(all).await, GONE, "all of its function");
    let clear = async |cache: Cache| cache.clear().await.unwrap();
    assert_eq!(primed_beside(clear).await, GONE, "everything");
    let expire = async |_| user_entry(1, 2).expire().await.unwrap();
    assert_eq!(primed_beside(expire).await, [None, Some(1)], "what is due stays as it is");
    let expire_tag = async |cache: Cache| cache.expire_tags(["team:1"]).await.unwrap();
    assert_eq!(primed_beside(expire_tag).await, [None, Some(1)], "due by a tag");
    let set = async |_| user_entry(1, 2).set(User { id: 2, read: 99 }).await.unwrap();
    assert_eq!(primed_beside(set).await, [Some(99); 2], "what was set is newer");
    let versioned =
        async |_| user_entry(1, 2).set_versioned(User { id: 2, read: 99 }, 1).await.unwrap();
    assert_eq!(primed_beside(versioned).await, [Some(99); 2], "with a version too");
    let refresh = async |_| user_refresh(&Origin::open(), 1, 2).await;
    assert_eq!(primed_beside(refresh).await, [Some(1); 2], "what was computed by force is newer");
    let written = async |_| changes(false).await.unwrap();
    assert_eq!(primed_beside(written).await, GONE, "by a function that writes");
    let failed = async |_| changes(true).await.unwrap_err();
    assert_eq!(primed_beside(failed).await, GONE, "by one that has failed");
    let set_and_gone = async |_| {
        user_entry(1, 2).set(User { id: 2, read: 99 }).await.unwrap();
        user_entry(1, 2).invalidate().await.unwrap();
    };
    assert_eq!(primed_beside(set_and_gone).await, GONE, "what was set is gone too");
}

/// Also where the body has ended, and what it has at hand is on its way.
#[tokio::test(start_paused = true)]
async fn c1_an_invalidation_at_any_turn_behind_the_body_keeps_a_prime_away() {
    for way in ["key", "tag", "all", "clear", "expire", "set"] {
        for turns in 0..12 {
            let cache = memory().await;
            let test = async {
                let lists = Origin::gated();
                lists.let_through(1);
                let mut call = pin!(users(&lists, 1));
                // The body ends in this one; what it has at hand goes on behind, turn by turn.
                let ended = poll_fn(|cx| Poll::Ready(call.as_mut().poll(cx).is_ready())).await;
                assert!(!ended && lists.ended() == 1, "a call waits for what it primes");
                for _ in 0..turns {
                    tokio::task::yield_now().await;
                }
                let entry = user_entry(1, 2);
                match way {
                    "key" => entry.invalidate().await,
                    "tag" => redis_cached::invalidate_tags(["team:1"]).await,
                    "all" => user_all().invalidate().await,
                    "clear" => cache.clear().await,
                    "expire" => entry.expire().await,
                    _ => entry.set(User { id: 2, read: 99 }).await,
                }
                .unwrap();
                call.await;
                settle().await;
                match (way, entry.peek().await.unwrap()) {
                    ("set", seen) => assert_eq!(seen.map(|peek| peek.value.read), Some(99)),
                    // Stored before, and due since.
                    ("expire", Some(peek)) => assert_eq!(peek.state, State::Stale),
                    (_, seen) => assert!(seen.is_none(), "{way} after {turns} turns"),
                }
            };
            cache.scope(test).await;
        }
    }
}

/// More keys than a journal remembers: what is forgotten was perhaps this one.
#[tokio::test(start_paused = true)]
async fn c1_more_invalidations_than_are_remembered_keep_a_prime_away() {
    let others = async |_| {
        user_entry(1, 2).invalidate().await.unwrap();
        for from in (0..9_000).step_by(1_000) {
            let some = (from..from + 1_000).map(one_of_entry);
            invalidate_many(some).await.unwrap();
        }
    };
    assert_eq!(primed_beside(others).await, [None, None]);
}

/// The same, before the body: what it reads is newer.
#[tokio::test(start_paused = true)]
async fn what_was_invalidated_before_the_body_is_primed() {
    in_memory(async {
        let lists = Origin::open();
        users(&lists, 10).await; // the journals are there
        user_entry(1, 2).set(User { id: 2, read: 99 }).await.unwrap();
        user_entry(1, 2).invalidate().await.unwrap();
        user_all().invalidate().await.unwrap();
        redis_cached::invalidate_tags(["team:1", "database"]).await.unwrap();
        users(&lists, 1).await;
        assert_eq!(stored(2).await, Some(1));
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn c1_a_prime_takes_no_newer_values_place() {
    in_memory(async {
        let (lists, origin) = (Origin::gated(), Origin::open());
        origin.change();
        let newer = async {
            tokio::time::advance(Duration::from_millis(1)).await;
            user(&origin, 1, 2).await;
        };
        during(&lists, users(&lists, 1), newer).await;
        assert_eq!((stored(1).await, stored(2).await), (Some(1), Some(2)));
        // And of two lists the one that has begun last, in whatever order they end.
        let (old, new) = (Origin::gated(), Origin::gated());
        new.change();
        let newer = async {
            tokio::time::advance(Duration::from_millis(1)).await;
            new.let_through(1);
            users(&new, 3).await; // 3, 4 and 5
        };
        during(&old, other_users(&old, 2), newer).await; // 2, 3 and 4
        assert_eq!(stored(3).await, Some(2));
        assert_eq!(stored(4).await, Some(2));
    })
    .await;
}

#[redis_cached(key = "others:{first}", ttl = "1m", jitter = "0%", skip(origin))]
async fn other_users(origin: &Origin, first: u64) -> usize {
    let read = origin.read().await;
    for id in first..first + 3 {
        user_entry(1, id).prime(User { id, read });
    }
    read
}

#[tokio::test(start_paused = true)]
async fn c1_a_prime_is_left_to_whoever_computes_the_entry() {
    in_memory(async {
        let (lists, origin) = (Origin::gated(), Origin::gated());
        let computing = during(&origin, user(&origin, 1, 2), async {
            let start = Instant::now();
            lists.let_through(1);
            users(&lists, 1).await;
            assert_eq!(start.elapsed(), Duration::ZERO, "the list waits for nobody");
            assert_eq!((stored(1).await, stored(2).await), (Some(1), None));
            origin.change();
        });
        assert_eq!(computing.await.read, 1);
        assert_eq!(stored(2).await, Some(1), "its own body is stored");
        // Stale, and refreshed by somebody: the same.
        let (lists, origin) = (Origin::gated(), Origin::gated());
        lists.change();
        tokio::time::sleep(Duration::from_secs(241)).await;
        user(&origin, 1, 2).await;
        origin.body_started().await;
        lists.let_through(1);
        users(&lists, 2).await;
        assert_eq!((stored(2).await, stored(4).await), (Some(1), Some(2)));
        origin.change();
        origin.let_through(1);
        settle().await;
        assert_eq!(user_entry(1, 2).peek().await.unwrap().unwrap().state, State::Fresh);
    })
    .await;
}

#[redis_cached(key = "slow:{id}", ttl = "10m", jitter = "0%", skip(origin))]
async fn slow(origin: &Origin, id: u64) -> usize {
    let read = origin.read_slowly(Duration::from_secs(50)).await;
    user_entry(1, id).prime(User { id, read });
    brief_entry(id).prime(read);
    read
}

#[redis_cached(key = "brief:{id}", ttl = "30s", jitter = "0%", skip(origin))]
async fn brief(origin: &Origin, id: u64) -> usize {
    origin.read().await
}

#[tokio::test(start_paused = true)]
async fn c3_a_prime_is_as_old_as_the_body_that_has_read_it() {
    in_memory(async {
        let origin = Origin::open();
        slow(&origin, 1).await;
        let peek = user_entry(1, 1).peek().await.unwrap().expect("it is stored");
        assert_eq!(peek.age, Some(Duration::from_secs(50)));
        assert_eq!(peek.state, State::Fresh);
        assert_eq!(user_entry(1, 1).ttl().await.unwrap(), Some(Duration::from_secs(250)));
        // Due one minute before the end.
        tokio::time::sleep(Duration::from_secs(191)).await;
        assert_eq!(user_entry(1, 1).peek().await.unwrap().unwrap().state, State::Stale);
        tokio::time::sleep(Duration::from_secs(60)).await;
        assert_eq!(stored(1).await, None, "one ttl after the body has begun");
        // One whose ttl is over by then is not stored at all, and nobody waits for it.
        assert!(brief_entry(1).peek().await.unwrap().is_none());
        let start = Instant::now();
        assert_eq!(brief(&origin, 1).await, 1);
        assert!(brief_entry(1).peek().await.unwrap().is_some(), "no marker keeps it away");
        assert_eq!(start.elapsed(), Duration::ZERO);
    })
    .await;
}

#[redis_cached(key = "briefer:{id}", ttl = "30s", jitter = "0%", skip(origin))]
async fn briefer(origin: &Origin, id: u64) -> usize {
    origin.read().await
}

#[redis_cached(key = "slower:{id}", ttl = "10m", jitter = "0%", skip(origin))]
async fn slower(origin: &Origin, id: u64) -> usize {
    let read = origin.read_slowly(Duration::from_secs(50)).await;
    briefer_entry(id).prime(read);
    read
}

/// Whose body was too slow, and whose ttl is too short?
#[tokio::test(start_paused = true)]
async fn a_function_that_has_had_no_body_is_not_told_that_it_is_too_slow() {
    in_memory(async {
        let told = Told::listen();
        slower(&Origin::open(), 1).await;
        let text = told.text();
        let wrong = |line: &&str| line.contains("briefer") && line.contains("the body took longer");
        assert_eq!(text.lines().find(wrong), None);
    })
    .await;
}

#[redis_cached(key = "long:{id}", ttl = "1h", jitter = "0%", skip(origin))]
async fn longer_than_a_lease(origin: &Origin, id: u64) -> usize {
    let read = origin.read_slowly(Duration::from_secs(90)).await;
    user_entry(1, id).prime(User { id, read });
    read
}

/// The lease of the list is lost by then, and says nothing of the entries that it primes.
#[tokio::test(start_paused = true)]
async fn a_body_slower_than_a_lease_is_renewed_primes() {
    in_memory(async {
        longer_than_a_lease(&Origin::open(), 1).await;
        assert!(longer_than_a_lease_entry(1).peek().await.unwrap().is_none());
        assert_eq!(stored(1).await, Some(1));
    })
    .await;
}

#[redis_cached(key = "section:{id}", ttl = "1h", tags = ["section:{id}", "seen:{ret}"], skip(origin))]
async fn section(origin: &Origin, id: u64) -> usize {
    tag("from the section");
    origin.read().await
}

#[redis_cached(key = "page:{id}", ttl = "1h", tags = ["pages", "page-with:{ret}"], skip(origin))]
async fn page(origin: &Origin, id: u64) -> usize {
    tag("from the page");
    let read = section(origin, id).await;
    user_entry(1, id).prime(User { id, read });
    read
}

#[tokio::test(start_paused = true)]
async fn c1_a_prime_has_the_tags_of_its_function_of_its_value_and_of_the_body() {
    for (tag, reaches) in [
        ("team:1", true),
        ("read:1", true),
        ("from the page", true),
        ("from the section", true),
        ("section:1", true),
        ("seen:1", true),
        ("pages", false),
        ("page-with:1", false),
        ("team:2", false),
    ] {
        in_memory(async {
            let origin = Origin::open();
            page(&origin, 1).await;
            assert_eq!(stored(1).await, Some(1));
            redis_cached::invalidate_tags([tag]).await.unwrap();
            assert_eq!(stored(1).await.is_none(), reaches, "{tag}");
            assert_eq!(origin.bodies(), 1);
        })
        .await;
    }
}

/// A value inside that was invalidated behind the inner call, and is old in the primed one.
#[tokio::test(start_paused = true)]
async fn c1_a_prime_hands_on_the_stamps_of_what_its_body_was_served() {
    #[redis_cached(key = "gated-page:{id}", ttl = "1h", skip(origin, inner))]
    async fn gated_page(origin: &Origin, inner: &Origin, id: u64) -> usize {
        let read = section(inner, id).await;
        origin.read().await;
        user_entry(1, id).prime(User { id, read });
        read
    }
    for inner_is_a_hit in [false, true] {
        in_memory(async {
            let (origin, inner) = (Origin::gated(), Origin::open());
            if inner_is_a_hit {
                section(&inner, 1).await;
            }
            let invalidate = async {
                redis_cached::invalidate_tags(["section:1"]).await.unwrap();
                // The nonce is there again, a new one.
                inner.change();
                section(&inner, 1).await;
            };
            during(&origin, gated_page(&origin, &inner, 1), invalidate).await;
            assert_eq!(stored(1).await, None, "hit: {inner_is_a_hit}");
        })
        .await;
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum End {
    Well,
    Refused,
    Unstorable,
    Badly,
    BadlyStored,
    Panicking,
}

/// More than is ever stored.
const TOO_LARGE: usize = 16 * 1024 * 1024 + 1;

#[redis_cached(
    key = "ending:{id}", ttl = "1h", skip(how, bypassed, only_reads, origin), bypass_if = bypassed,
    no_store_if = only_reads, cache_if = |bytes| bytes.len() != 7, cache_err_if = |error| error == "stored", err_ttl = "1m"
)]
async fn ending(
    origin: &Origin,
    how: End,
    bypassed: bool,
    only_reads: bool,
    id: u64,
) -> Result<Vec<u8>, String> {
    let read = origin.read().await;
    user_entry(1, id).prime(User { id, read });
    tokio::task::yield_now().await;
    match how {
        End::Well => Ok(vec![]),
        End::Refused => Ok(vec![0; 7]),
        End::Unstorable => {
            let mut random = fastrand::Rng::with_seed(1);
            Ok((0..TOO_LARGE).map(|_| random.u8(..)).collect())
        }
        End::Badly => Err("no".to_owned()),
        End::BadlyStored => Err("stored".to_owned()),
        End::Panicking => panic!("the body panics"),
    }
}

async fn catching<F: Future>(future: F) -> Option<F::Output> {
    let mut future = pin!(future);
    poll_fn(|cx| match std::panic::catch_unwind(AssertUnwindSafe(|| future.as_mut().poll(cx))) {
        Ok(Poll::Pending) => Poll::Pending,
        Ok(Poll::Ready(output)) => Poll::Ready(Some(output)),
        Err(_) => Poll::Ready(None),
    })
    .await
}

#[tokio::test(start_paused = true)]
async fn a_body_primes_when_it_has_ended_in_a_value() {
    for (how, primes) in [
        (End::Well, true),
        (End::Refused, true),
        (End::Badly, false),
        (End::BadlyStored, false),
        (End::Panicking, false),
    ] {
        in_memory(async {
            let _ = catching(ending(&Origin::open(), how, false, false, 1)).await;
            settle().await;
            assert_eq!(stored(1).await.is_some(), primes, "{how:?}");
        })
        .await;
    }
}

/// The list is too large for an entry, its users are not: it has ended in a value.
#[tokio::test(start_paused = true)]
async fn a_body_whose_own_value_cannot_be_stored_primes_all_the_same() {
    in_memory(async {
        let returned = ending(&Origin::open(), End::Unstorable, false, false, 1).await.unwrap();
        assert_eq!(returned.len(), TOO_LARGE);
        settle().await;
        assert_eq!(stored(1).await, Some(1));
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn who_stores_nothing_primes_nothing() {
    for (bypassed, only_reads) in [(true, false), (false, true), (true, true)] {
        in_memory(async {
            let origin = Origin::open();
            ending(&origin, End::Well, bypassed, only_reads, 1).await.unwrap();
            ending_uncached(&origin, End::Well, bypassed, only_reads, 2).await.unwrap();
            settle().await;
            assert_eq!((stored(1).await, stored(2).await), (None, None));
        })
        .await;
    }
}

/// Dropped after each number of polls: until the body has ended there is nothing, and from then on it goes on behind.
#[tokio::test(start_paused = true)]
async fn a_caller_that_is_dropped_primes_only_if_its_body_had_ended() {
    for polls in 0..20 {
        let (ended, body_ended) = in_memory(async {
            let origin = Origin::gated();
            origin.let_through(1);
            let mut ended = false;
            {
                let mut call = pin!(ending(&origin, End::Well, false, false, 1));
                for _ in 0..polls {
                    ended = poll_fn(|cx| Poll::Ready(call.as_mut().poll(cx))).await.is_ready();
                    if ended {
                        break;
                    }
                    tokio::task::yield_now().await;
                }
            }
            settle().await;
            let list_is_stored = ending_entry(1).peek().await.unwrap().is_some();
            assert_eq!(stored(1).await.is_some(), list_is_stored, "after {polls} polls");
            // Neither leaves a lease behind: the next call computes at once.
            let start = Instant::now();
            ending(&Origin::open(), End::Well, false, false, 1).await.unwrap();
            user(&Origin::open(), 1, 1).await;
            assert_eq!(start.elapsed(), Duration::ZERO);
            (ended, list_is_stored)
        })
        .await;
        if ended {
            assert!(body_ended && polls > 1);
            return;
        }
    }
    panic!("it never ends");
}

#[tokio::test(start_paused = true)]
async fn c4_who_shares_an_answer_primes_once_and_who_hits_not_at_all() {
    in_memory(async {
        let lists = Origin::gated();
        let crowd = async { tokio::join!(users(&lists, 1), users(&lists, 1), users(&lists, 1)) };
        let (a, b, c) = during(&lists, crowd, settle()).await;
        assert_eq!(([a, b, c], lists.bodies()), ([1; 3], 1));
        settle().await;
        assert_eq!(stored(1).await, Some(1));
        user_entry(1, 1).invalidate().await.unwrap();
        users(&lists, 1).await;
        settle().await;
        assert_eq!((stored(1).await, lists.bodies()), (None, 1), "a hit brings nothing back");
    })
    .await;
}

#[redis_cached(
    key = "active:{id}", ttl = "1h", cache_if = |read| *read < 100, skip(origin), ttl_with = |read| Duration::from_secs(*read as u64)
)]
async fn active(origin: &Origin, id: u64) -> usize {
    origin.read().await
}

#[redis_cached(key = "actives:{read}", ttl = "1h")]
async fn actives(read: usize) -> usize {
    active_entry(1).prime(read);
    tokio::task::yield_now().await;
    read
}

#[tokio::test(start_paused = true)]
async fn a_prime_is_judged_by_its_own_functions_conditions() {
    in_memory(async {
        actives(100).await;
        assert!(active_entry(1).peek().await.unwrap().is_none(), "`cache_if` says no");
        let start = Instant::now();
        assert_eq!(active(&Origin::open(), 1).await, 1, "and no marker is left");
        assert_eq!(start.elapsed(), Duration::ZERO);
        tokio::time::sleep(Duration::from_secs(2)).await;
        actives(60).await;
        let left = active_entry(1).ttl().await.unwrap().expect("it is stored");
        assert!(left <= Duration::from_secs(60) && left > Duration::from_secs(50), "{left:?}");
    })
    .await;
}

#[redis_cached(key = "gated-actives:{read}", ttl = "1h", skip(origin))]
async fn gated_actives(origin: &Origin, read: usize) -> usize {
    origin.read().await;
    active_entry(1).prime(read);
    read
}

/// What is newer is known of, also when it has ended by itself, or was thrown away.
#[tokio::test(start_paused = true)]
async fn c1_a_prime_is_older_than_what_was_set_and_has_ended_since() {
    for by_force in [false, true] {
        in_memory(async {
            let (lists, origin) = (Origin::gated(), Origin::open());
            origin.change();
            let newer = async {
                if by_force {
                    assert_eq!(active_refresh(&origin, 1).await, 2);
                } else {
                    active_entry(1).set(2).await.unwrap();
                }
                assert!(active_entry(1).peek().await.unwrap().is_some());
                tokio::time::sleep(Duration::from_secs(3)).await;
                assert!(active_entry(1).peek().await.unwrap().is_none(), "two seconds are over");
            };
            during(&lists, gated_actives(&lists, 60), newer).await;
            assert!(active_entry(1).peek().await.unwrap().is_none(), "by force: {by_force}");
        })
        .await;
    }
}

/// Of what is stored, the length.
#[derive(Debug, PartialEq, Eq)]
struct Pattern(usize);

#[redis_cached(
    key = "pattern:{id}", ttl = "1h", stored = String, save = |pattern| "x".repeat(pattern.0),
    load = |text| Pattern(text.len()), skip(origin)
)]
async fn pattern(origin: &Origin, id: u64) -> Pattern {
    Pattern(origin.read().await)
}

#[redis_cached(key = "shared:{id}", ttl = "1h", skip(origin))]
async fn shared(origin: &Origin, id: u64) -> Arc<User> {
    Arc::new(User { id, read: origin.read().await })
}

#[redis_cached(key = "maybe:{id}", ttl = "1h", none_ttl = "1m", jitter = "0%", skip(origin))]
async fn maybe(origin: &Origin, id: u64) -> Result<Option<User>, String> {
    Ok(Some(User { id, read: origin.read().await }))
}

#[redis_cached(key = "text:{id}", ttl = "1h", skip(origin))]
async fn text(origin: &Origin, id: u64) -> Arc<str> {
    origin.read().await.to_string().into()
}

#[redis_cached(key = "kinds", ttl = "1h")]
async fn kinds() -> u64 {
    let one = User { id: 1, read: 7 };
    pattern_entry(1).prime(Pattern(7));
    let of_list = Pattern(8);
    pattern_entry(2).prime(&of_list);
    let arc = Arc::new(one.clone());
    shared_entry(1).prime(&arc);
    shared_entry(2).prime(Arc::clone(&arc));
    maybe_entry(1).prime(Some(one.clone()));
    maybe_entry(2).prime(None);
    let found = Some(one);
    maybe_entry(3).of_value().prime(&found);
    text_entry(1).prime(Arc::<str>::from("seven"));
    // What is in an `Arc` is a value for who wants one.
    user_entry(1, 1).prime(arc);
    tokio::task::yield_now().await;
    1
}

#[tokio::test(start_paused = true)]
async fn c6_a_prime_is_read_back_as_what_its_function_returns() {
    in_memory(async {
        kinds().await;
        let (never, one) = (Origin::open(), User { id: 1, read: 7 });
        assert_eq!(pattern(&never, 1).await, Pattern(7));
        assert_eq!(pattern(&never, 2).await, Pattern(8));
        assert_eq!(*shared(&never, 1).await, one);
        assert_eq!(*shared(&never, 2).await, one);
        assert_eq!(maybe(&never, 1).await, Ok(Some(one.clone())));
        assert_eq!(maybe(&never, 2).await, Ok(None));
        assert_eq!(maybe(&never, 3).await, Ok(Some(one.clone())));
        assert_eq!(&*text(&never, 1).await, "seven");
        assert_eq!(user(&never, 1, 1).await, one);
        assert_eq!(never.bodies(), 0);
        assert_eq!(maybe_entry(2).ttl().await.unwrap(), Some(Duration::from_secs(60)));
    })
    .await;
}

#[redis_cached(key = "spawning:{awaits}", ttl = "1h", cache = cache, skip(origin))]
async fn spawning(cache: &Cache, origin: &Origin, awaits: bool) -> usize {
    let scope = TagScope::current();
    let entry = at_entry(cache, 1);
    let origin = origin.clone();
    let (second, task_origin) = (at_entry(cache, 2), origin.clone());
    let task = tokio::spawn(scope.clone().run(async move {
        entry.prime(task_origin.read().await);
    }));
    // Outside of the scope it is outside of the body.
    tokio::spawn(async move { second.prime(1) }).await.unwrap();
    if awaits {
        task.await.unwrap();
        // And a scope inside a scope.
        let nested = at_entry(cache, 3);
        tokio::spawn(scope.run(async move {
            let scope = TagScope::current();
            tokio::spawn(scope.run(async move { nested.prime(3) })).await.unwrap();
        }))
        .await
        .unwrap();
    }
    1
}

#[redis_cached(key = "at:{id}", ttl = "1h", cache = cache, skip(cache))]
async fn at(cache: &Cache, id: u64) -> usize {
    let _ = cache;
    tokio::task::yield_now().await;
    usize::try_from(id).unwrap()
}

#[tokio::test(start_paused = true)]
async fn tasks_of_a_body_prime_inside_its_scope_while_it_runs() {
    let (cache, origin) = (memory().await, Origin::gated());
    let at_stored = async |id| at_entry(&cache, id).peek().await.unwrap().map(|peek| peek.value);
    origin.let_through(1);
    spawning(&cache, &origin, true).await;
    assert_eq!(at_stored(1).await, Some(1));
    assert_eq!(at_stored(2).await, None, "outside of the scope");
    assert_eq!(at_stored(3).await, Some(3));
    at_entry(&cache, 1).invalidate().await.unwrap();
    // A task that goes on behind its body primes nothing, and nothing breaks.
    spawning(&cache, &origin, false).await;
    origin.let_through(1);
    settle().await;
    assert_eq!(at_stored(1).await, None, "behind the body");
}

#[redis_cached(key = "lonely:{id}", ttl = "1h", skip(origin))]
async fn lonely(origin: &Origin, id: u64) -> usize {
    origin.read().await
}

#[tokio::test(start_paused = true)]
async fn outside_of_a_body_nothing_is_primed_and_that_is_told_once() {
    in_memory(async {
        let told = Told::listen();
        for id in 0..3 {
            lonely_entry(id).prime(1);
            assert!(lonely_entry(id).peek().await.unwrap().is_none());
        }
        let (text, warned) = (told.text(), "a value that `prime` was called with is not stored");
        assert_eq!(text.matches(warned).count(), 1, "{text}");
        assert!(text.contains("outside of any cached function's body"), "{text}");
        assert!(text.contains("lonely"), "the function is named: {text}");
        // Around a request, and inside a scope of tags, there is no body either.
        TagScope::current().run(async { lonely_entry(7).prime(1) }).await;
        assert!(lonely_entry(7).peek().await.unwrap().is_none());
    })
    .await;
}

#[redis_cached(key = "one-of:{id}", ttl = "1h", skip(origin))]
async fn one_of(origin: &Origin, id: u64) -> usize {
    origin.read().await
}

#[redis_cached(key = "many:{count}", ttl = "1h")]
async fn many(count: u64) -> u64 {
    for id in 0..count {
        one_of_entry(id).prime(1);
    }
    tokio::task::yield_now().await;
    count
}

#[tokio::test(start_paused = true)]
async fn of_one_body_a_thousand_are_primed_and_more_is_told() {
    in_memory(async {
        let told = Told::listen();
        many(1_000).await;
        for id in 0..1_000 {
            assert!(one_of_entry(id).peek().await.unwrap().is_some(), "{id}");
        }
        assert!(!told.text().contains("WARN"), "{}", told.text());
        many(1_002).await;
        assert!(one_of_entry(999).peek().await.unwrap().is_some());
        assert!(one_of_entry(1_000).peek().await.unwrap().is_none());
        let (text, warned) = (told.text(), "a value that `prime` was called with is not stored");
        assert_eq!(text.matches(warned).count(), 1, "{text}");
        assert!(text.contains("1,000"), "{text}");
    })
    .await;
}

#[redis_cached(key = "blob:{id}", ttl = "1h", skip(origin))]
async fn blob(origin: &Origin, id: u64) -> Vec<u8> {
    let _ = id;
    vec![0; origin.read().await]
}

#[redis_cached(key = "blobs", ttl = "1h")]
async fn blobs() -> u64 {
    // Of six megabytes two are kept; what is small still has room.
    for id in 0..3 {
        blob_entry(id).prime(vec![1; 6 << 20]);
    }
    blob_entry(3).prime(vec![1; 1 << 20]);
    tokio::task::yield_now().await;
    1
}

#[tokio::test(start_paused = true)]
async fn of_one_body_sixteen_megabytes_are_primed() {
    in_memory(async {
        blobs().await;
        let mut there = Vec::new();
        for id in 0..4 {
            there.push(blob_entry(id).peek().await.unwrap().is_some());
        }
        assert_eq!(there, [true, true, false, true]);
    })
    .await;
}

#[redis_cached(key = "foreign:{id}", ttl = "1h", cache = cache, skip(cache))]
async fn foreign(cache: &Cache, id: u64) -> usize {
    let _ = cache;
    tokio::task::yield_now().await;
    usize::try_from(id).unwrap()
}

#[redis_cached(key = "across", ttl = "1h", cache = cache, skip(cache, other, none))]
async fn across(cache: &Cache, other: &Cache, none: Option<&Cache>) -> usize {
    let _ = cache;
    foreign_entry(other, 1).prime(1);
    optional_entry(none, 1).prime(1);
    tokio::task::yield_now().await;
    1
}

#[redis_cached(key = "optional:{id}", ttl = "1h", cache = cache, skip(cache))]
async fn optional(cache: Option<&Cache>, id: u64) -> usize {
    let _ = cache;
    tokio::task::yield_now().await;
    usize::try_from(id).unwrap()
}

#[tokio::test(start_paused = true)]
async fn c1_what_is_of_another_cache_is_not_primed_and_told() {
    let (told, one, other) = (Told::listen(), memory().await, memory().await);
    across(&one, &other, None).await;
    for cache in [&one, &other] {
        assert!(foreign_entry(cache, 1).peek().await.unwrap().is_none());
    }
    let text = told.text();
    assert_eq!(text.matches("is of another cache than that of the body").count(), 1, "{text}");
    // Within one it is as any other.
    across(&other, &other, None).await;
    assert!(foreign_entry(&other, 1).peek().await.unwrap().is_some());
}

#[redis_cached(
    key = "dawning:{id}",
    ttl = "1m",
    refresh_before = "20s",
    jitter = "0%",
    skip(origin)
)]
async fn dawning(origin: &Origin, id: u64) -> usize {
    let read = origin.read().await;
    user_entry(1, id).prime(User { id, read });
    read
}

#[tokio::test(start_paused = true)]
async fn a_background_refresh_primes_too() {
    in_memory(async {
        let origin = Origin::gated();
        origin.let_through(1);
        dawning(&origin, 1).await;
        origin.body_started().await;
        tokio::time::sleep(Duration::from_secs(41)).await;
        let new = origin.change();
        dawning(&origin, 1).await;
        origin.body_started().await;
        assert_eq!(stored(1).await, Some(1));
        origin.let_through(1);
        settle().await;
        assert_eq!(stored(1).await, Some(new));
        // And c1 there.
        tokio::time::sleep(Duration::from_secs(41)).await;
        origin.change();
        dawning(&origin, 1).await;
        origin.body_started().await;
        user_entry(1, 1).invalidate().await.unwrap();
        origin.let_through(1);
        settle().await;
        assert_eq!(stored(1).await, None);
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn a_forced_computation_primes_too() {
    in_memory(async {
        let origin = Origin::gated();
        origin.let_through(1);
        dawning(&origin, 1).await;
        origin.body_started().await;
        tokio::time::advance(Duration::from_secs(1)).await;
        let new = origin.change();
        during(&origin, dawning_refresh(&origin, 1), async {}).await;
        assert_eq!(stored(1).await, Some(new));
        origin.change();
        let invalidate = async { user_entry(1, 1).invalidate().await.unwrap() };
        during(&origin, dawning_refresh(&origin, 1), invalidate).await;
        assert_eq!(stored(1).await, None);
    })
    .await;
}

#[redis_cached(key = "own:{id}", ttl = "1h", skip(origin, refuses), cache_if = |value| *value != 5)]
async fn own(origin: &Origin, id: u64, refuses: bool) -> usize {
    own_entry(id).prime(77);
    own_entry(id + 1).prime(78);
    let read = origin.read().await;
    if refuses { 5 } else { read }
}

/// Of its own entry a body says what it returns.
#[tokio::test(start_paused = true)]
async fn a_prime_of_the_bodys_own_entry_is_not_in_its_way() {
    in_memory(async {
        let origin = Origin::open();
        let own_stored = async |id| own_entry(id).peek().await.unwrap().map(|peek| peek.value);
        let start = Instant::now();
        assert_eq!(own(&origin, 1, false).await, 1);
        settle().await;
        assert_eq!((own_stored(1).await, own_stored(2).await), (Some(1), Some(78)));
        assert_eq!(own_refresh(&origin, 1, false).await, 1);
        settle().await;
        assert_eq!(own_stored(1).await, Some(1));
        own_refresh(&origin, 1, true).await;
        settle().await;
        assert_eq!(own_stored(1).await, None, "it says that it has none");
        assert_eq!(start.elapsed(), Duration::ZERO);
        // Invalidated meanwhile: neither is stored.
        let origin = Origin::gated();
        let invalidate = async { own_entry(8).invalidate().await.unwrap() };
        during(&origin, own(&origin, 8, false), invalidate).await;
        settle().await;
        assert_eq!(own_stored(8).await, None);
    })
    .await;
}

#[redis_cached(key = "heads:{id}", ttl = "1h", skip(origin))]
async fn heads(origin: &Origin, id: u64) -> usize {
    let read = origin.read().await;
    tails_entry(id).prime(read + 100);
    read
}

#[redis_cached(key = "tails:{id}", ttl = "1h", skip(origin))]
async fn tails(origin: &Origin, id: u64) -> usize {
    let read = origin.read().await;
    heads_entry(id).prime(read + 200);
    read
}

#[tokio::test(start_paused = true)]
async fn two_functions_prime_each_other_and_hold_up_neither() {
    in_memory(async {
        let one_stored = async |id| {
            let heads = heads_entry(id).peek().await.unwrap().map(|peek| peek.value);
            (heads, tails_entry(id).peek().await.unwrap().map(|peek| peek.value))
        };
        let (a, b) = (Origin::open(), Origin::open());
        heads(&a, 1).await;
        assert_eq!(tails(&b, 1).await, 101);
        tails(&b, 2).await;
        assert_eq!(heads(&a, 2).await, 201);
        assert_eq!((a.bodies(), b.bodies()), (1, 1));
        // At once, in both orders of their ends.
        for (id, first) in [(3, true), (4, false)] {
            let (a, b, start) = (Origin::gated(), Origin::gated(), Instant::now());
            let ends = async {
                a.body_started().await;
                b.body_started().await;
                let (one, two) = if first { (&a, &b) } else { (&b, &a) };
                one.let_through(1);
                settle().await;
                two.let_through(1);
            };
            let (heads, tails, ()) = tokio::join!(heads(&a, id), tails(&b, id), ends);
            assert_eq!((heads, tails, start.elapsed()), (1, 1, Duration::ZERO));
            settle().await;
            let (heads, tails) = one_stored(id).await;
            assert!(heads.is_some() && tails.is_some(), "{heads:?} {tails:?}");
        }
    })
    .await;
}

#[redis_cached(key = "sixth:{run}", ttl = "1h")]
async fn primes_late(run: u64) -> u64 {
    if run >= 6 {
        user_entry(1, run).prime(User { id: run, read: 6 });
    }
    tokio::task::yield_now().await;
    run
}

/// The first one is not stored, and all that come later are; its own value is.
#[tokio::test(start_paused = true)]
async fn a_body_that_primes_only_in_its_sixth_run_does_so_from_the_seventh_on() {
    in_memory(async {
        let told = Told::listen();
        for run in 1..=8 {
            primes_late(run).await;
            assert!(primes_late_entry(run).peek().await.unwrap().is_some(), "{run}");
            assert_eq!(stored(run).await, (run > 6).then_some(6), "{run}");
        }
        assert!(!told.text().contains("WARN"), "{}", told.text());
    })
    .await;
}

#[redis_cached(key = "within:{id}", ttl = "1h", skip(origin))]
async fn within(origin: &Origin, id: u64) -> usize {
    let read = origin.read().await;
    user_entry(1, id).prime(User { id, read });
    read
}

#[redis_cached(key = "around:{id}", ttl = "1h", skip(origin, inner))]
async fn around(origin: &Origin, inner: &Origin, id: u64) -> Result<usize, String> {
    tag("around");
    let read = within(inner, id).await;
    // Stored already: the body within has ended.
    assert_eq!(stored(id).await, Some(read));
    origin.read().await;
    Err("the body around fails".to_owned())
}

#[tokio::test(start_paused = true)]
async fn c1_a_prime_counts_for_the_innermost_body() {
    in_memory(async {
        let (origin, inner) = (Origin::gated(), Origin::open());
        // What is invalidated between the two ends is gone, whatever comes behind.
        let invalidate = async { user_entry(1, 1).invalidate().await.unwrap() };
        during(&origin, around(&origin, &inner, 1), invalidate).await.unwrap_err();
        settle().await;
        assert_eq!(stored(1).await, None, "nothing brings it back");
        origin.let_through(1);
        around(&origin, &inner, 2).await.unwrap_err();
        assert_eq!(stored(2).await, Some(1), "whatever becomes of the body around");
        redis_cached::invalidate_tags(["around"]).await.unwrap();
        assert_eq!(stored(2).await, Some(1), "whose tags are none of its");
    })
    .await;
}

#[redis_cached(key = "torn:{id}", ttl = "1h", skip(origin, inner))]
async fn torn(origin: &Origin, inner: &Origin, id: u64) -> usize {
    let read = section(inner, id).await;
    origin.read().await;
    let again = section(inner, id).await;
    user_entry(1, id).prime(User { id, read });
    read + again
}

/// Two states of one tag were used.
#[tokio::test(start_paused = true)]
async fn c1_a_torn_body_primes_nothing() {
    in_memory(async {
        let (origin, inner) = (Origin::gated(), Origin::open());
        section(&inner, 1).await;
        let invalidate = async {
            redis_cached::invalidate_tags(["section:1"]).await.unwrap();
            inner.change();
            section(&inner, 1).await;
        };
        during(&origin, torn(&origin, &inner, 1), invalidate).await;
        assert_eq!(stored(1).await, None);
    })
    .await;
}

#[redis_cached(key = "tagged-much:{id}", ttl = "1h", tags = ["x", "y"], skip(origin))]
async fn tagged_much(origin: &Origin, id: u64) -> usize {
    origin.read().await
}

#[redis_cached(key = "tagging-much:{count}", ttl = "1h")]
async fn tagging_much(count: u64) -> u64 {
    (0..count).for_each(|n| tag(n.to_string()));
    tagged_much_entry(count).prime(1);
    tokio::task::yield_now().await;
    count
}

#[tokio::test(start_paused = true)]
async fn c1_a_prime_has_at_most_32_tags_and_more_is_told() {
    in_memory(async {
        let told = Told::listen();
        for (count, stored) in [(30, true), (31, false), (32, false)] {
            tagging_much(count).await;
            let peek = tagged_much_entry(count).peek().await.unwrap();
            assert_eq!(peek.is_some(), stored, "{count}");
            assert!(tagging_much_entry(count).peek().await.unwrap().is_some(), "{count}");
        }
        let (text, warned) = (told.text(), "a value that `prime` was called with is not stored");
        assert_eq!(text.matches(warned).count(), 1, "{text}");
    })
    .await;
}

#[redis_cached(key = "erring:{id}", ttl = "1h", cache_err_if = |_| true, err_ttl = "1m", skip(fails, origin))]
async fn erring(origin: &Origin, id: u64, fails: bool) -> Result<usize, String> {
    let read = origin.read().await;
    if fails { Err("no such row".to_owned()) } else { Ok(read) }
}

#[redis_cached(key = "erring-list:{first}", ttl = "1h", skip(origin))]
async fn erring_list(origin: &Origin, first: u64) -> usize {
    let read = origin.read().await;
    erring_entry(first).prime(read);
    read
}

#[tokio::test(start_paused = true)]
async fn c1_a_prime_takes_the_place_of_an_older_error_and_not_of_a_newer_one() {
    in_memory(async {
        let (lists, origin) = (Origin::gated(), Origin::open());
        erring(&origin, 1, true).await.unwrap_err();
        tokio::time::advance(Duration::from_millis(1)).await;
        during(&lists, erring_list(&lists, 1), async {}).await;
        assert_eq!(erring(&origin, 1, true).await, Ok(1));
        let newer = async {
            tokio::time::advance(Duration::from_millis(1)).await;
            erring(&origin, 2, true).await.unwrap_err();
        };
        during(&lists, erring_list(&lists, 2), newer).await;
        erring(&origin, 2, false).await.unwrap_err();
        assert_eq!(origin.bodies(), 2);
    })
    .await;
}

/// Functions that nobody has called are not there yet, and generic ones have many entries.
#[redis_cached(key = "generic:{id}", ttl = "1h", skip(value, T))]
async fn generic<T>(id: u64, value: T) -> T
where
    T: Clone + PartialEq + Serialize + serde::de::DeserializeOwned + Send + Sync + 'static,
{
    let _ = id;
    tokio::task::yield_now().await;
    value
}

#[redis_cached(key = "generics", ttl = "1h")]
fn generics() -> Pin<Box<dyn Future<Output = u64> + Send>> {
    Box::pin(async {
        generic_entry::<u64>(1).prime(7);
        generic_entry::<String>(2).prime("seven".to_owned());
        1
    })
}

#[tokio::test(start_paused = true)]
async fn c6_of_a_generic_function_each_type_is_primed_apart() {
    in_memory(async {
        generics().await;
        assert_eq!(generic(1, 0_u64).await, 7);
        assert_eq!(generic(2, String::new()).await, "seven");
        assert_eq!(generic(1, String::new()).await, "");
    })
    .await;
}

#[redis_cached(key = "twice:{id}", ttl = "1h", skip(origin))]
async fn twice(origin: &Origin, id: u64) -> usize {
    origin.read().await
}

#[redis_cached(key = "twice-list:{id}", ttl = "1h")]
async fn twice_list(id: u64) -> u64 {
    twice_entry(id).prime(1);
    tokio::task::yield_now().await;
    // Read again, later.
    twice_entry(id).prime(2);
    id
}

/// As of two puts, the one that was said last.
#[tokio::test(start_paused = true)]
async fn of_two_primes_of_one_entry_the_last_is_stored() {
    in_memory(async {
        twice_list(1).await;
        settle().await;
        let peek = twice_entry(1).peek().await.unwrap().expect("it is stored");
        assert_eq!(peek.value, 2);
    })
    .await;
}

#[redis_cached(key = "served:{first}", ttl = "1h", skip(origin))]
async fn served(origin: &Origin, first: u64) -> usize {
    origin.read().await
}

#[redis_cached(key = "from-a-hit:{first}", ttl = "1h", skip(origin))]
async fn from_a_hit(origin: &Origin, first: u64) -> usize {
    let read = served(origin, first).await;
    user_entry(1, first).prime(User { id: first, read });
    read
}

/// What a body is served is older than the body.
#[tokio::test(start_paused = true)]
async fn c1_a_prime_of_what_was_served_brings_nothing_back_that_was_invalidated_before() {
    in_memory(async {
        let origin = Origin::open();
        served(&origin, 1).await;
        tokio::time::advance(Duration::from_secs(600)).await;
        user_entry(1, 1).invalidate().await.unwrap();
        origin.change();
        from_a_hit(&origin, 1).await;
        assert_eq!(user(&origin, 1, 1).await.read, 2);
    })
    .await;
}

#[redis_cached(key = "around-a-hit:{first}", ttl = "1h", skip(origin))]
async fn around_a_hit(origin: &Origin, first: u64) -> usize {
    let read = origin.read().await;
    user_entry(1, first).prime(User { id: first, read });
    served(origin, first).await;
    user_entry(1, first + 1).prime(User { id: first + 1, read });
    read
}

/// What it has read before it was served something, and where that is as young as itself.
#[tokio::test(start_paused = true)]
async fn what_a_body_has_read_itself_is_primed_beside_what_it_was_served() {
    for old in [false, true] {
        in_memory(async {
            let origin = Origin::open();
            if old {
                served(&origin, 1).await;
                tokio::time::advance(Duration::from_secs(1)).await;
            }
            around_a_hit(&origin, 1).await;
            assert!(stored(1).await.is_some());
            assert_eq!(stored(2).await.is_some(), !old);
        })
        .await;
    }
}
