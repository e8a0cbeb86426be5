//! `Entry::prime`: what a body has at hand for other entries, in front of other processes.

use std::time::Duration;

use redis_cached::{Cache, Entry, invalidate_many, redis_cached, redis_invalidate, tag};
use redis_cached_tests::{Gate, in_time};
use tokio::task::{JoinHandle, yield_now};

use crate::stage::Stage;

#[redis_cached(
    key = "primed:{id}", ttl = "5m", refresh_before = "1m", wait = "1m", jitter = "0%", tags = ["primed-team:{team}"],
    clearable, cache = cache, skip(cache, gate)
)]
async fn user(team: u32, id: u64, cache: &Cache, gate: &Gate) -> usize {
    1_000 + gate.pass().await
}

/// Of as many users as there are.
#[redis_cached(
    key = "primes:{first}:{count}", ttl = "5m", wait = "1m", tags = ["primes"], cache = cache, skip(cache, gate)
)]
async fn users(first: u64, count: u64, cache: &Cache, gate: &Gate) -> usize {
    tag("primed-rows");
    let run = gate.pass().await;
    for id in first..first + count {
        user_entry(1, id, cache).prime(run);
    }
    run
}

#[redis_invalidate(user(1, 2, cache), on_failure = "retry")]
async fn changes(cache: &Cache) {
    let _ = cache;
    yield_now().await;
}

fn two(cache: &Cache) -> Entry<usize> {
    user_entry(1, 2, cache)
}

async fn stored(id: u64, cache: &Cache) -> Option<usize> {
    user_entry(1, id, cache).peek().await.unwrap().map(|seen| seen.value)
}

/// A call of the list whose body has started and is held.
async fn reading(cache: &Cache, gate: &Gate) -> JoinHandle<usize> {
    let (cache, own) = (cache.clone(), gate.clone());
    let call = tokio::spawn(async move { users(1, 3, &cache, &own).await });
    gate.started(1).await;
    call
}

/// Lets it end.
async fn read(call: JoinHandle<usize>, gate: &Gate) {
    gate.let_all_go();
    assert_eq!(in_time("the list returns", call).await.expect("it does not panic"), 1);
}

pub(super) async fn c4_a_list_primes_its_users_for_every_process(stage: Stage) {
    let ((a, b), lists, own) = (stage.two().await, Gate::open(), Gate::open());
    users(1, 3, &a, &lists).await;
    for cache in [&b, &a] {
        for id in 1..=3 {
            assert_eq!(user(1, id, cache, &own).await, 1);
        }
    }
    assert_eq!(own.runs(), 0);
    assert_eq!(user(1, 4, &b, &own).await, 1_001);
}

pub(super) async fn c1_what_another_process_touches_during_the_body_is_not_primed(stage: Stage) {
    // Whether anything was stored before; what is done; whether what was stored is still there; or what is there then.
    for there in [false, true] {
        for act in 0..11 {
            let ((a, b), lists, own) = (stage.two().await, Gate::closed(), Gate::open());
            users_entry(1, 3, &a).invalidate().await.unwrap();
            for id in 1..=3 {
                user_entry(1, id, &a).invalidate().await.unwrap();
            }
            if there {
                user(1, 2, &b, &own).await;
                // A clock of whole milliseconds has to tell the two.
                tokio::time::sleep(Duration::from_millis(3)).await;
            }
            let call = reading(&a, &lists).await;
            let (old, new) = (there.then_some(1_001), there.then_some(1_002).or(Some(1_001)));
            let (what, expected) = match act {
                0 => ("nothing", Some(1)),
                1 => {
                    user_entry(1, 4, &b).invalidate().await.unwrap();
                    b.invalidate_tags(["primed-team:2", "primes"]).await.unwrap();
                    ("others", Some(1))
                }
                2 => {
                    two(&b).invalidate().await.unwrap();
                    ("key", None)
                }
                3 => {
                    invalidate_many([two(&b)]).await.unwrap();
                    ("many", None)
                }
                4 => {
                    b.invalidate_tags(["primed-team:1"]).await.unwrap();
                    ("tag", None)
                }
                5 => {
                    b.invalidate_tags(["primed-rows"]).await.unwrap();
                    ("tag of the body", old)
                }
                6 => {
                    user_all(&b).invalidate().await.unwrap();
                    ("all", None)
                }
                7 => {
                    two(&b).expire().await.unwrap();
                    ("expire", old)
                }
                8 => {
                    two(&b).set(99).await.unwrap();
                    ("set", Some(99))
                }
                9 => {
                    user_refresh(1, 2, &b, &own).await;
                    ("refresh", new)
                }
                _ => {
                    changes(&b).await;
                    ("a function that writes", None)
                }
            };
            // Another leader asks for the journals meanwhile.
            users(7, 1, &b, &Gate::open()).await;
            read(call, &lists).await;
            for cache in [&a, &b] {
                assert_eq!(stored(2, cache).await, expected, "{what}, there: {there}");
            }
        }
    }
}

pub(super) async fn c1_clearing_during_the_body_keeps_primes_away(stage: Stage) {
    for clearable in [false, true] {
        let (a, b) = if clearable { stage.two_clearable().await } else { stage.two().await };
        for recreated in [false, true] {
            let lists = Gate::closed();
            let call = reading(&a, &lists).await;
            b.clear().await.unwrap();
            if recreated {
                users(7, 1, &b, &Gate::open()).await;
            }
            read(call, &lists).await;
            assert_eq!(stored(1, &b).await, None, "{clearable} {recreated}");
            b.clear().await.unwrap();
        }
    }
}

pub(super) async fn c1_a_prime_is_left_to_the_process_that_computes(stage: Stage) {
    let ((a, b), lists, own) = (stage.two().await, Gate::open(), Gate::closed());
    let computing = {
        let (b, own) = (b.clone(), own.clone());
        tokio::spawn(async move { user(1, 2, &b, &own).await })
    };
    own.started(1).await;
    in_time("the list waits for nobody", users(1, 3, &a, &lists)).await;
    assert_eq!((stored(1, &a).await, stored(2, &a).await), (Some(1), None));
    own.let_all_go();
    assert_eq!(in_time("the call returns", computing).await.unwrap(), 1_001);
    assert_eq!(stored(2, &a).await, Some(1_001), "its lease was left alone");
}

pub(super) async fn c1_a_prime_takes_no_newer_values_place(stage: Stage) {
    let ((a, b), lists, own) = (stage.two().await, Gate::closed(), Gate::open());
    let call = reading(&a, &lists).await;
    // A clock of whole milliseconds has to tell the two.
    tokio::time::sleep(Duration::from_millis(3)).await;
    assert_eq!(user(1, 2, &b, &own).await, 1_001);
    read(call, &lists).await;
    assert_eq!((stored(1, &b).await, stored(2, &b).await), (Some(1), Some(1_001)));
}

pub(super) async fn c1_a_prime_has_the_tags_of_both(stage: Stage) {
    let ((a, b), lists) = (stage.two().await, Gate::open());
    for (tag, reaches) in [("primed-team:1", true), ("primed-rows", true), ("primes", false)] {
        // A clock of whole milliseconds has to tell it from the last one.
        tokio::time::sleep(Duration::from_millis(3)).await;
        users_refresh(1, 3, &a, &lists).await;
        assert!(stored(2, &b).await.is_some(), "{tag}");
        b.invalidate_tags([tag]).await.unwrap();
        for cache in [&a, &b] {
            assert_eq!(stored(2, cache).await.is_none(), reaches, "{tag}");
        }
    }
}

pub(super) async fn c3_a_prime_is_as_old_as_its_body(stage: Stage) {
    let ((a, b), lists) = (stage.two().await, Gate::closed());
    let call = reading(&a, &lists).await;
    // It is the time that must pass.
    let held = Duration::from_millis(80);
    tokio::time::sleep(held).await;
    read(call, &lists).await;
    let left = user_entry(1, 2, &b).ttl().await.unwrap().expect("it is stored");
    assert!(left + held <= Duration::from_secs(300), "{left:?}");
    let age = user_entry(1, 2, &b).peek().await.unwrap().unwrap().age;
    assert!(age.is_none_or(|age| age + Duration::from_millis(20) >= held), "{age:?}");
}

pub(super) async fn two_hundred_are_primed_at_once(stage: Stage) {
    let ((a, b), lists, own) = (stage.two().await, Gate::open(), Gate::open());
    users(1, 200, &a, &lists).await;
    for id in 1..=200 {
        assert_eq!(user(1, id, &b, &own).await, 1, "{id}");
    }
    assert_eq!(own.runs(), 0);
}
