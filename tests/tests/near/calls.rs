//! Which calls copies answer.

use std::sync::Arc;
use std::time::Duration;

use redis_cached::{Answer, Cache, redis_cached};
use redis_cached_tests::{Gate, RedisServer, eventually};

use crate::stage::{asked, cache, how, is_near, near, patient, patient_cache, row};

#[redis_cached(
    key = "short:{id}", ttl = "30s", refresh_before = "95%", jitter = "0%", near = "30s", cache = cache,
    skip(cache, gate)
)]
async fn short(id: u64, cache: &Cache, gate: &Gate) -> usize {
    gate.pass().await
}

#[tokio::test]
async fn a_copy_that_is_due_is_refreshed_behind_its_callers() {
    let server = RedisServer::start();
    let (here, gate) = (patient_cache(&server.url()).await, Gate::open());
    eventually("a copy answers", async || is_near(how(short(1, &here, &gate)).await.1)).await;
    assert_eq!(gate.runs(), 1);
    // Nobody but a copy answers until it has been computed anew.
    eventually("it is computed anew", async || {
        let (_, answer) = how(short(1, &here, &gate)).await;
        assert!(is_near(answer) || gate.runs() > 1, "{answer:?}");
        gate.runs() > 1
    })
    .await;
    eventually("the new one is served", async || short(1, &here, &gate).await == 2).await;
}

#[redis_cached(key = "outer:{id}", ttl = "1h", cache = cache, skip(cache, gate))]
async fn outer(id: u64, cache: &Cache, gate: &Gate) -> bool {
    is_near(asked(cache, gate).await.1)
}

#[tokio::test]
async fn c1_a_body_is_not_made_of_copies() {
    let server = RedisServer::start();
    let (here, gate) = (cache(&server.url()).await, Gate::open());
    near(&here, &gate).await;
    assert!(!outer(1, &here, &gate).await);
    assert!(is_near(asked(&here, &gate).await.1));
}

/// What prolongs the life of a tag at each computation would be told to all who have copies with it.
#[tokio::test]
async fn a_computation_voids_no_copies_of_entries_with_the_same_tag() {
    let server = RedisServer::start();
    let (here, there) = (patient_cache(&server.url()).await, cache(&server.url()).await);
    let gate = Gate::open();
    near(&here, &gate).await;
    row(2, 1, &there, &gate).await;
    row(3, 1, &here, &gate).await;
    assert!(is_near(asked(&here, &gate).await.1));
}

#[redis_cached(
    key = "asked:{id}", ttl = "1h", near = "30m", cache = cache, max_age = max_age, accept_if = |run| *run >= least,
    refresh_if = anew, no_store_if = reads, bypass_if = past, skip(cache, gate, least)
)]
#[expect(clippy::too_many_arguments, reason = "all that a call can say")]
async fn choosy(
    id: u64,
    max_age: Option<Duration>,
    least: usize,
    anew: bool,
    reads: bool,
    past: bool,
    cache: &Cache,
    gate: &Gate,
) -> usize {
    gate.pass().await
}

#[tokio::test]
async fn calls_say_what_they_take() {
    let server = RedisServer::start();
    let (here, gate) = (cache(&server.url()).await, Gate::open());
    let any = async || how(choosy(1, None, 0, false, false, false, &here, &gate)).await;
    let is_kept = async || is_near(any().await.1);
    eventually("a copy answers", is_kept).await;
    tokio::time::sleep(Duration::from_millis(5)).await;
    let ms = Duration::from_millis;
    let hour = Some(ms(3_600_000));
    assert!(is_near(how(choosy(1, hour, 1, false, true, false, &here, &gate)).await.1));
    let past = choosy(1, None, 0, false, false, true, &here, &gate);
    assert_eq!(how(past).await, (2, Answer::Bypassed));
    let too_old = choosy(1, Some(ms(0)), 0, false, true, false, &here, &gate);
    assert_eq!(how(too_old).await.0, 3);
    assert!(is_near(any().await.1), "the others still take it");
    let not_accepted = choosy(1, None, 2, false, false, false, &here, &gate);
    assert_eq!(how(not_accepted).await, (4, Answer::Computed { stored: true }));
    assert_eq!(any().await.0, 4);
    let anew = choosy(1, None, 0, true, false, false, &here, &gate);
    assert_eq!(how(anew).await, (5, Answer::Computed { stored: true }));
    assert_eq!(any().await.0, 5);
}

#[redis_cached(
    key = "found:{id}", ttl = "1h", none_ttl = "1h", near = near, cache_err_if = |_| true, err_ttl = "1h",
    cache = cache, skip(cache, near)
)]
async fn found(id: u64, near: Duration, cache: &Cache) -> Result<Option<Arc<str>>, String> {
    match id {
        0 => Ok(None),
        1 => Ok(Some("one".into())),
        _ => Err("no".to_owned()),
    }
}

#[tokio::test]
async fn values_and_none_are_kept_and_errors_are_not() {
    let server = RedisServer::start();
    let here = cache(&server.url()).await;
    let near = Duration::from_secs(600);
    for id in [0, 1] {
        let is_kept = async || is_near(how(found(id, near, &here)).await.1);
        eventually("a copy answers", is_kept).await;
    }
    assert_eq!(found(1, near, &here).await, Ok(Some("one".into())));
    for _ in 0..5 {
        assert!(!is_near(how(found(2, near, &here)).await.1));
    }
}

#[redis_cached(key = "team:{id}", ttl = "1h", near = "30m", tags = ["org:{org}"], cache = cache, skip(cache))]
async fn team(id: u64, org: u64, cache: &Cache) -> u64 {
    org
}

#[tokio::test]
async fn what_differs_in_a_tag_is_another_copy() {
    let server = RedisServer::start();
    let here = cache(&server.url()).await;
    eventually("a copy answers", async || is_near(how(team(1, 1, &here)).await.1)).await;
    assert_eq!(team(1, 2, &here).await, 2);
    assert_eq!(team(1, 1, &here).await, 1);
}

#[tokio::test]
async fn without_room_and_on_the_embedded_store_there_are_no_copies() {
    let server = RedisServer::start();
    let without_room = patient(&server.url()).near_capacity(0).build().await.unwrap();
    let embedded = Cache::builder().url("memory://").build().await.unwrap();
    for cache in [without_room, embedded] {
        let gate = Gate::open();
        for _ in 0..10 {
            assert!(!is_near(asked(&cache, &gate).await.1));
        }
        assert_eq!(gate.runs(), 1);
    }
}

#[tokio::test]
async fn a_bound_is_between_50_ms_and_a_minute() {
    for bound in [Duration::from_millis(49), Duration::from_secs(61)] {
        let built = Cache::builder().url("memory://").near_bound(bound).build().await;
        assert!(built.unwrap_err().to_string().contains("near_bound"));
    }
}
