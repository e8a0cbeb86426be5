//! `clearable`: all entries of a function are invalidated at once, and as finally as one (C1).

use std::time::Duration;

use redis::aio::MultiplexedConnection;
use redis_cached::{Cache, redis_cached};
use redis_cached_tests::{Gate, RedisServer, in_time};
use tokio::task::{JoinHandle, yield_now};

use crate::stage::{Stage, connect, load, load_entry};

const DRAIN: Duration = Duration::from_secs(20);

/// Returns the number of the run, from 1.
#[redis_cached(
    key = "cleared:{id}", ttl = "5m", refresh_before = "1m", wait = "1m", clearable, cache = cache,
    skip(cache, gate)
)]
async fn cleared(id: u64, cache: &Cache, gate: &Gate) -> usize {
    gate.pass().await
}

/// As [`cleared`], with a tag of its own.
#[redis_cached(
    key = "beside:{id}", ttl = "5m", wait = "1m", clearable, cache = cache, skip(cache, gate)
)]
async fn beside(id: u64, cache: &Cache, gate: &Gate) -> usize {
    gate.pass().await
}

/// A call of a task of its own.
fn calling(cache: &Cache, gate: &Gate) -> JoinHandle<usize> {
    let (cache, gate) = (cache.clone(), gate.clone());
    tokio::spawn(async move { cleared(42, &cache, &gate).await })
}

async fn returned(call: JoinHandle<usize>) -> usize {
    in_time("the call returns", call).await.expect("the body does not panic")
}

async fn stored(id: u64, cache: &Cache) -> Option<usize> {
    cleared_entry(id, cache).peek().await.unwrap().map(|seen| seen.value)
}

async fn clear(cache: &Cache) {
    cleared_all(cache).invalidate().await.unwrap();
}

pub(super) async fn c1_clearing_reaches_every_entry_of_the_function_and_no_other(stage: Stage) {
    let ((a, b), gate) = (stage.two().await, Gate::open());
    for id in 0..20 {
        cleared(id, &a, &gate).await;
    }
    assert_eq!(beside(1, &a, &gate).await, 21);
    assert_eq!(load(1, &a, &gate).await, 22);
    clear(&b).await;
    for id in 0..20 {
        assert_eq!(stored(id, &a).await, None, "entry {id}");
    }
    assert_eq!(cleared(7, &a, &gate).await, 23);
    assert_eq!(cleared(7, &b, &gate).await, 23);
    for cache in [&a, &b] {
        assert_eq!(beside(1, cache, &gate).await, 21);
        assert_eq!(load(1, cache, &gate).await, 22);
    }
    // Where nothing is left to clear, and once more.
    for _ in 0..2 {
        clear(&a).await;
    }
    assert_eq!(cleared(7, &b, &gate).await, 24);
}

pub(super) async fn c1_clearing_during_a_foreground_body(stage: Stage) {
    let (cache, gate) = (stage.cache().await, Gate::closed());
    let old = calling(&cache, &gate);
    gate.started(1).await;
    clear(&cache).await;
    gate.let_go(1);
    assert_eq!(returned(old).await, 1, "who called before gets the old value");
    assert_eq!(stored(42, &cache).await, None, "but nobody else does");
    gate.let_go(2);
    assert_eq!(cleared(42, &cache, &gate).await, 2);
    assert_eq!(stored(42, &cache).await, Some(2));
}

pub(super) async fn c1_clearing_by_another_process_during_a_body(stage: Stage) {
    let ((a, b), gate) = (stage.two().await, Gate::closed());
    let old = calling(&a, &gate);
    gate.started(1).await;
    clear(&b).await;
    // The old computation still holds its lease: the new call waits for its end, and takes nothing
    // from it.
    let new = calling(&b, &gate);
    gate.let_go(1);
    assert_eq!(returned(old).await, 1);
    gate.let_go(2);
    assert_eq!(returned(new).await, 2);
    for cache in [&a, &b] {
        assert_eq!(stored(42, cache).await, Some(2));
        assert_eq!(cleared(42, cache, &gate).await, 2);
    }
    assert_eq!(gate.runs(), 2);
}

pub(super) async fn c1_a_caller_that_joined_the_old_flight_after_clearing_gets_a_new_value(
    stage: Stage,
) {
    let (cache, gate) = (stage.cache().await, Gate::closed());
    let old = calling(&cache, &gate);
    gate.started(1).await;
    clear(&cache).await;
    gate.let_go(2);
    let let_old_go = async {
        // Behind the late caller's question on the same connection: when this one is answered, that
        // one has been, and the late caller has joined the flight at its next turn.
        assert_eq!(stored(42, &cache).await, None);
        for _ in 0..3 {
            yield_now().await;
        }
        assert_eq!(gate.runs(), 1, "the late caller waits");
        gate.let_go(1);
    };
    let (late, ()) = tokio::join!(biased; cleared(42, &cache, &gate), let_old_go);
    assert_eq!(late, 2);
    assert_eq!(returned(old).await, 1);
    assert_eq!(stored(42, &cache).await, Some(2));
}

pub(super) async fn c1_clearing_during_a_background_refresh(stage: Stage) {
    let ((a, b), gate) = (stage.two().await, Gate::closed());
    gate.let_go(1);
    cleared(42, &a, &gate).await;
    cleared_entry(42, &a).expire().await.unwrap();
    assert_eq!(cleared(42, &a, &gate).await, 1);
    gate.started(2).await;
    clear(&b).await;
    gate.let_go(2);
    // Returns when the refresh has ended.
    a.shutdown(DRAIN).await.unwrap();
    for cache in [&a, &b] {
        assert_eq!(
            stored(42, cache).await,
            None,
            "what the refresh has stored is served to nobody"
        );
    }
    gate.let_go(3);
    assert_eq!(cleared(42, &a, &gate).await, 3);
    assert_eq!(cleared(42, &b, &gate).await, 3);
}

pub(super) async fn what_a_background_refresh_of_a_clearable_function_stores_is_served(
    stage: Stage,
) {
    let ((a, b), gate) = (stage.two().await, Gate::open());
    cleared(42, &a, &gate).await;
    cleared_entry(42, &a).expire().await.unwrap();
    assert_eq!(cleared(42, &a, &gate).await, 1);
    gate.started(2).await;
    a.shutdown(DRAIN).await.unwrap();
    assert_eq!(stored(42, &b).await, Some(2));
    assert_eq!(cleared(42, &b, &gate).await, 2);
}

/// Due entries are served at once, but not when they have been cleared.
pub(super) async fn c1_a_stale_entry_that_was_cleared_is_not_served(stage: Stage) {
    let ((a, b), gate) = (stage.two().await, Gate::open());
    cleared(42, &a, &gate).await;
    cleared_entry(42, &a).expire().await.unwrap();
    clear(&b).await;
    assert_eq!(cleared(42, &a, &gate).await, 2);
    assert_eq!(cleared(42, &b, &gate).await, 2);
}

pub(super) async fn c1_clearing_during_a_forced_refresh(stage: Stage) {
    let ((a, b), gate) = (stage.two().await, Gate::closed());
    let forced = {
        let (a, gate) = (a.clone(), gate.clone());
        tokio::spawn(async move { cleared_refresh(42, &a, &gate).await })
    };
    gate.started(1).await;
    clear(&b).await;
    gate.let_all_go();
    assert_eq!(returned(forced).await, 1);
    assert_eq!(stored(42, &a).await, None);
    assert_eq!(cleared_refresh(42, &a, &gate).await, 2);
    assert_eq!(cleared(42, &b, &gate).await, 2, "what it stores is served");
}

pub(super) async fn c1_a_value_is_set_after_clearing_and_cleared_again(stage: Stage) {
    let ((a, b), gate) = (stage.two().await, Gate::open());
    cleared(42, &a, &gate).await;
    clear(&a).await;
    cleared_entry(42, &b).set(99).await.unwrap();
    for cache in [&a, &b] {
        assert_eq!(stored(42, cache).await, Some(99));
        assert_eq!(cleared(42, cache, &gate).await, 99);
    }
    clear(&b).await;
    assert_eq!(cleared(42, &a, &gate).await, 2);
}

async fn order(cli: &mut MultiplexedConnection, words: &str) {
    let mut words = words.split(' ');
    let mut cmd = redis::cmd(words.next().unwrap_or_default());
    cmd.arg(words.collect::<Vec<_>>()).exec_async(cli).await.unwrap();
}

async fn bytes(cli: &mut MultiplexedConnection, key: &str) -> Vec<u8> {
    redis::cmd("GET").arg(key).query_async(cli).await.unwrap()
}

async fn tags(cli: &mut MultiplexedConnection) -> Vec<String> {
    redis::cmd("KEYS").arg("ns.tag:*").query_async(cli).await.unwrap()
}

/// As an eviction does, at any moment.
#[tokio::test]
async fn c1_a_tag_that_was_evicted_is_a_miss() {
    let server = RedisServer::start();
    let (a, b) = (connect(&server.url()).await, connect(&server.url()).await);
    let (gate, mut cli) = (Gate::closed(), server.cli().await);
    gate.let_go(1);
    cleared(1, &a, &gate).await;
    let known = tags(&mut cli).await;
    assert_eq!(known.len(), 1, "{known:?}");
    redis::cmd("DEL").arg(&known).exec_async(&mut cli).await.unwrap();
    for cache in [&a, &b] {
        assert_eq!(stored(1, cache).await, None);
    }
    // While a body runs, and somebody clears and computes meanwhile.
    let old = calling(&a, &gate);
    gate.started(2).await;
    assert_eq!(tags(&mut cli).await, known);
    redis::cmd("DEL").arg(&known).exec_async(&mut cli).await.unwrap();
    clear(&b).await;
    gate.let_go(3);
    assert_eq!(cleared(1, &b, &gate).await, 3);
    assert_eq!(tags(&mut cli).await, known, "made anew");
    gate.let_go(2);
    assert_eq!(returned(old).await, 2);
    assert_eq!(stored(42, &b).await, None, "the old value carries a nonce that never comes back");
    gate.let_go(4);
    assert_eq!(cleared(42, &b, &gate).await, 4);
    assert_eq!(cleared(1, &a, &gate).await, 3);
}

#[tokio::test]
async fn c1_a_tag_lives_longer_than_its_entries() {
    let server = RedisServer::start();
    let (cache, gate, mut cli) = (connect(&server.url()).await, Gate::open(), server.cli().await);
    for id in [1, 2] {
        cleared(id, &cache, &gate).await;
    }
    let tag = tags(&mut cli).await.remove(0);
    let lives: u64 = redis::cmd("PTTL").arg(&tag).query_async(&mut cli).await.unwrap();
    // A quarter more than is needed: it is not written anew by each computation.
    assert!((420_000..=525_000).contains(&lives), "{lives} ms");
    // A shorter one is not what another asked for: it is extended by the next computation.
    redis::cmd("PEXPIRE").arg(&tag).arg(100_000).exec_async(&mut cli).await.unwrap();
    assert_eq!(cleared(1, &cache, &gate).await, 1);
    cleared(3, &cache, &gate).await;
    let lives: u64 = redis::cmd("PTTL").arg(&tag).query_async(&mut cli).await.unwrap();
    assert!(lives > 300_000, "{lives} ms");
    assert_eq!(cleared(1, &cache, &gate).await, 1, "and is the same");
}

/// What takes the place of a nonce, by whomever, is none.
#[tokio::test]
async fn c5_something_else_under_a_tags_key_is_a_miss_and_bodies_run() {
    let server = RedisServer::start();
    let (cache, gate, mut cli) = (connect(&server.url()).await, Gate::open(), server.cli().await);
    cleared(1, &cache, &gate).await;
    let tag = tags(&mut cli).await.remove(0);
    for (run, words) in
        [(2, format!("SET {tag} {}", "x".repeat(1000))), (3, format!("LPUSH {tag} x"))]
    {
        order(&mut cli, &format!("DEL {tag}")).await;
        order(&mut cli, &words).await;
        assert_eq!(cleared(1, &cache, &gate).await, run);
        assert_eq!(stored(1, &cache).await, None);
    }
    clear(&cache).await;
    assert_eq!(cleared(1, &cache, &gate).await, 4);
    assert_eq!(cleared(1, &cache, &gate).await, 4);
}

#[tokio::test]
async fn c1_flushall_between_the_body_and_its_commit() {
    let server = RedisServer::start();
    let (a, b) = (connect(&server.url()).await, connect(&server.url()).await);
    let (gate, mut cli) = (Gate::closed(), server.cli().await);
    let old = calling(&a, &gate);
    gate.started(1).await;
    order(&mut cli, "FLUSHALL").await;
    clear(&b).await;
    gate.let_go(1);
    assert_eq!(returned(old).await, 1);
    assert_eq!(stored(42, &a).await, None);
    gate.let_go(2);
    assert_eq!(cleared(42, &b, &gate).await, 2);
    // And over an entry that is stored.
    order(&mut cli, "FLUSHALL").await;
    assert_eq!(stored(42, &a).await, None);
    gate.let_go(3);
    assert_eq!(cleared(42, &a, &gate).await, 3);
    assert_eq!(cleared(42, &b, &gate).await, 3);
}

/// Memory is full and nothing may be evicted: writing is refused, clearing is not.
#[tokio::test]
async fn c5_clearing_works_when_memory_is_full() {
    let server = RedisServer::start_with(&["--maxmemory-policy", "noeviction"]);
    let (cache, gate, mut cli) = (connect(&server.url()).await, Gate::open(), server.cli().await);
    assert_eq!(cleared(1, &cache, &gate).await, 1);
    assert_eq!(load(1, &cache, &gate).await, 2);
    order(&mut cli, "CONFIG SET maxmemory 1").await;
    assert_eq!(cleared(1, &cache, &gate).await, 1, "hits go on");
    clear(&cache).await;
    assert_eq!(stored(1, &cache).await, None);
    assert_eq!(cleared(1, &cache, &gate).await, 3, "misses run their bodies");
    assert_eq!(stored(1, &cache).await, None, "without writing");
    assert!(cleared_entry(1, &cache).set(9).await.unwrap_err().is_unconfirmed());
    assert_eq!(load(1, &cache, &gate).await, 2, "others are untouched");
    order(&mut cli, "CONFIG SET maxmemory 0").await;
    assert_eq!(cleared(1, &cache, &gate).await, 4);
    assert_eq!(cleared(1, &cache, &gate).await, 4);
    assert!(load_entry(1, &cache).peek().await.unwrap().is_some());
}

/// Only the capture is refused: the lease is given back, the body runs, and nothing is written.
#[tokio::test]
async fn c5_without_a_capture_the_body_runs_and_its_lease_is_given_back() {
    let server = RedisServer::start();
    let mut cli = server.cli().await;
    order(&mut cli, "ACL SETUSER app on >pw ~* &* +@all").await;
    let (cache, gate) = (connect(&server.url_as("app:pw")).await, Gate::open());
    assert_eq!(cleared(1, &cache, &gate).await, 1);
    // From now on the user may read tags, and not write them.
    order(&mut cli, "ACL SETUSER app resetkeys ~ns:* %R~ns.tag:*").await;
    clear(&connect(&server.url()).await).await;
    let before = bytes(&mut cli, "ns:{cleared:1}").await;
    for run in 2..4 {
        let answered = in_time("a call", cleared(1, &cache, &gate)).await;
        assert_eq!(answered, run);
        assert_eq!(stored(1, &cache).await, None);
        // Given back behind the caller.
        let gone = async {
            while !bytes(&mut cli, "ns:{cleared:1}.lease").await.is_empty() {
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
        };
        in_time("the lease ends", gone).await;
        assert_eq!(bytes(&mut cli, "ns:{cleared:1}").await, before, "nothing is written");
    }
    assert!(cleared_entry(1, &cache).set(9).await.unwrap_err().is_unconfirmed());
    assert!(cleared_all(&cache).invalidate().await.unwrap_err().is_unconfirmed());
    order(&mut cli, "ACL SETUSER app allkeys").await;
    assert_eq!(cleared(1, &cache, &gate).await, 4);
    assert_eq!(cleared(1, &cache, &gate).await, 4);
}

/// A hit is one round trip, also with a tag; functions without one send what they always sent.
#[tokio::test]
async fn a_hit_with_a_tag_is_one_command() {
    let server = RedisServer::start();
    let (cache, gate, mut cli) = (connect(&server.url()).await, Gate::open(), server.cli().await);
    cleared(1, &cache, &gate).await;
    load(1, &cache, &gate).await;
    order(&mut cli, "CONFIG RESETSTAT").await;
    for _ in 0..10 {
        cleared(1, &cache, &gate).await;
        load(1, &cache, &gate).await;
    }
    let stats: String = redis::cmd("INFO").arg("commandstats").query_async(&mut cli).await.unwrap();
    assert!(stats.contains("cmdstat_mget:calls=10,"), "{stats}");
    assert!(stats.contains("cmdstat_get:calls=10,"), "{stats}");
    assert!(!stats.contains("cmdstat_evalsha"), "{stats}");
}
