//! Values for entries of other functions, in front of a server that forgets, is full, or is not there.

use std::time::Duration;

use redis::aio::MultiplexedConnection;
use redis_cached::{Cache, InvalidateError, redis_cached, redis_put};
use redis_cached_tests::{Gate, RedisServer, eventually, in_time};
use tokio::task::JoinHandle;
use tokio::time::Instant;

use crate::stage::{connect, connect_hastily};

#[redis_cached(key = "one:{id}", ttl = "5m", cache = cache, skip(cache))]
async fn one(id: u64, cache: &Cache) -> usize {
    let _ = (id, cache);
    tokio::task::yield_now().await;
    0
}

#[redis_cached(key = "ones:{first}", ttl = "5m", wait = "1m", cache = cache, skip(cache, gate))]
async fn ones(first: u64, cache: &Cache, gate: &Gate) -> usize {
    let run = gate.pass().await;
    for id in first..first + 3 {
        one_entry(id, cache).prime(run);
    }
    run
}

#[derive(Debug)]
struct Failed(bool);

impl From<InvalidateError> for Failed {
    fn from(error: InvalidateError) -> Self {
        Self(error.reason().is_unconfirmed())
    }
}

#[redis_put(one(1, cache), cache = cache, on_failure = "retry")]
async fn write(cache: &Cache, gate: &Gate) -> usize {
    let _ = cache;
    gate.pass().await
}

#[redis_put(one(1, cache), cache = cache, on_failure = "error")]
async fn write_or_fail(cache: &Cache, gate: &Gate) -> Result<usize, Failed> {
    let _ = cache;
    Ok(gate.pass().await)
}

async fn order(cli: &mut MultiplexedConnection, command: &str) {
    let mut words = command.split(' ');
    let mut cmd = redis::cmd(words.next().unwrap_or_default());
    cmd.arg(words.collect::<Vec<_>>());
    cmd.exec_async(cli).await.expect("the server is up");
}

async fn exists(cli: &mut MultiplexedConnection, key: &str) -> bool {
    redis::cmd("EXISTS").arg(key).query_async(cli).await.expect("the server is up")
}

async fn stored(cache: &Cache) -> Option<usize> {
    one_entry(1, cache).peek().await.unwrap().map(|seen| seen.value)
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Part {
    Primes,
    Puts,
}

const PARTS: [Part; 2] = [Part::Primes, Part::Puts];

/// A body that has read, or written, and is held.
async fn held(part: Part, cache: &Cache, gate: &Gate) -> JoinHandle<usize> {
    let (own_cache, own) = (cache.clone(), gate.clone());
    let call = tokio::spawn(async move {
        match part {
            Part::Primes => ones(1, &own_cache, &own).await,
            Part::Puts => write(&own_cache, &own).await,
        }
    });
    gate.started(1).await;
    call
}

async fn ended(call: JoinHandle<usize>, gate: &Gate) {
    gate.let_all_go();
    assert_eq!(in_time("it returns", call).await.expect("it does not panic"), 1);
}

#[tokio::test]
async fn c1_the_journals_are_lost_during_a_body() {
    let server = RedisServer::start();
    let (a, b, mut cli) =
        (connect(&server.url()).await, connect(&server.url()).await, server.cli().await);
    for part in PARTS {
        for loss in ["DEL ns.journal.keys", "FLUSHALL", "SET ns.journal.keys x", "FLUSHDB ASYNC"] {
            for recreated in [false, true] {
                let gate = Gate::closed();
                let call = held(part, &a, &gate).await;
                order(&mut cli, loss).await;
                one_entry(1, &b).invalidate().await.unwrap();
                if recreated {
                    // Another leader makes a new one meanwhile.
                    ones(10, &b, &Gate::open()).await;
                }
                ended(call, &gate).await;
                assert_eq!(stored(&b).await, None, "{part:?} {loss} {recreated}");
                // And it works on.
                order(&mut cli, "FLUSHALL").await;
                let gate = Gate::closed();
                let call = held(part, &a, &gate).await;
                ended(call, &gate).await;
                assert_eq!(stored(&b).await, Some(1), "{part:?} {loss} {recreated}");
                order(&mut cli, "FLUSHALL").await;
            }
        }
    }
}

/// Without tags nothing asks for the other journal, and nothing depends on it.
#[tokio::test]
async fn the_journal_of_tags_is_none_of_the_business_of_what_has_none() {
    let server = RedisServer::start();
    let (cache, mut cli) = (connect(&server.url()).await, server.cli().await);
    for part in PARTS {
        let gate = Gate::closed();
        let call = held(part, &cache, &gate).await;
        order(&mut cli, "DEL ns.journal").await;
        ended(call, &gate).await;
        assert_eq!(stored(&cache).await, Some(1), "{part:?}");
        order(&mut cli, "FLUSHALL").await;
    }
}

#[tokio::test]
async fn c1_more_keys_are_invalidated_during_a_body_than_the_journal_holds() {
    let server = RedisServer::start();
    let (cache, mut cli) = (connect(&server.url()).await, server.cli().await);
    for part in PARTS {
        let gate = Gate::closed();
        let call = held(part, &cache, &gate).await;
        one_entry(1, &cache).invalidate().await.unwrap();
        let noise = (100..20_100).map(|id| one_entry(id, &cache));
        redis_cached::invalidate_many(noise).await.unwrap();
        let kept: u64 =
            redis::cmd("ZCARD").arg("ns.journal.keys").query_async(&mut cli).await.unwrap();
        assert!((100..=8195).contains(&kept), "{kept}");
        ended(call, &gate).await;
        assert_eq!(stored(&cache).await, None, "{part:?}");
        ones_entry(1, &cache).invalidate().await.unwrap();
        let gate = Gate::closed();
        let call = held(part, &cache, &gate).await;
        ended(call, &gate).await;
        assert_eq!(stored(&cache).await, Some(1), "the journal works on");
        order(&mut cli, "FLUSHALL").await;
    }
}

/// Memory is full and nothing may be evicted: what can't be noted removes the journal.
#[tokio::test]
async fn c5_without_memory_entries_are_invalidated_and_nothing_is_primed_or_put() {
    for part in PARTS {
        for expires in [false, true] {
            let server = RedisServer::start_with(&["--maxmemory-policy", "noeviction"]);
            let (cache, mut cli) = (connect(&server.url()).await, server.cli().await);
            one_entry(1, &cache).set(9).await.unwrap();
            let gate = Gate::closed();
            let call = held(part, &cache, &gate).await;
            assert!(exists(&mut cli, "ns.journal.keys").await);
            order(&mut cli, "CONFIG SET maxmemory 1").await;
            assert_eq!(stored(&cache).await, Some(9), "hits go on");
            if expires {
                one_entry(1, &cache).expire().await.unwrap();
            } else {
                one_entry(1, &cache).invalidate().await.unwrap();
            }
            assert!(!exists(&mut cli, "ns.journal.keys").await, "it can't be added to, so it goes");
            assert_eq!(stored(&cache).await, None);
            order(&mut cli, "CONFIG SET maxmemory 0").await;
            ended(call, &gate).await;
            assert_eq!(stored(&cache).await, None, "{part:?}");
        }
    }
}

/// The same at the end of the body.
#[tokio::test]
async fn c5_a_put_without_memory_is_an_invalidation() {
    let server = RedisServer::start_with(&["--maxmemory-policy", "noeviction"]);
    let (cache, mut cli) = (connect(&server.url()).await, server.cli().await);
    one_entry(1, &cache).set(9).await.unwrap();
    let gate = Gate::closed();
    let call = held(Part::Puts, &cache, &gate).await;
    order(&mut cli, "CONFIG SET maxmemory 1").await;
    ended(call, &gate).await;
    assert_eq!(stored(&cache).await, None);
    assert_eq!(write_or_fail(&cache, &gate).await.expect("it is invalidated"), 2);
    order(&mut cli, "CONFIG SET maxmemory 0").await;
    write(&cache, &gate).await;
    assert_eq!(stored(&cache).await, Some(3), "and it works on");
    // A prime is a hint, and a body without it is as any other.
    order(&mut cli, "CONFIG SET maxmemory 1").await;
    assert_eq!(ones(1, &cache, &gate).await, 4);
    assert_eq!(stored(&cache).await, Some(3));
}

/// It forgets its scripts between any two.
#[tokio::test]
async fn c5_the_server_forgets_its_scripts_during_a_body() {
    let server = RedisServer::start();
    let (cache, mut cli) = (connect(&server.url()).await, server.cli().await);
    for part in PARTS {
        order(&mut cli, "SCRIPT FLUSH").await;
        let gate = Gate::closed();
        let call = held(part, &cache, &gate).await;
        order(&mut cli, "SCRIPT FLUSH").await;
        ended(call, &gate).await;
        assert_eq!(stored(&cache).await, Some(1), "{part:?}");
        one_entry(1, &cache).invalidate().await.unwrap();
    }
}

#[tokio::test]
async fn c5_the_server_dies_while_a_function_writes() {
    let mut server = RedisServer::start();
    let cache = connect_hastily(&server.url()).await;
    // Killed: it is empty when it is back.
    let gate = Gate::closed();
    let call = held(Part::Puts, &cache, &gate).await;
    server.stop();
    let started = Instant::now();
    ended(call, &gate).await;
    assert!(started.elapsed() < Duration::from_secs(5), "{:?}", started.elapsed());
    let error = write_or_fail(&cache, &gate).await.unwrap_err();
    assert!(error.0, "it says so");
    assert!(cache.unconfirmed_invalidations() > 0);
    server.restart();
    eventually("it is sent", async || cache.unconfirmed_invalidations() == 0).await;
    eventually("and puts again", async || {
        let value = write(&cache, &gate).await;
        one_entry(1, &cache)
            .peek()
            .await
            .is_ok_and(|seen| seen.is_some_and(|seen| seen.value == value))
    })
    .await;
}

/// Stopped, it has the old value yet when it goes on.
#[tokio::test]
async fn c1_the_server_stops_while_a_function_writes_and_the_old_value_goes_later() {
    for fails in [false, true] {
        let server = RedisServer::start();
        let (here, there) = (connect_hastily(&server.url()).await, connect(&server.url()).await);
        one_entry(1, &there).set(9).await.unwrap();
        let gate = Gate::closed();
        let call = {
            let (cache, gate) = (here.clone(), gate.clone());
            tokio::spawn(async move {
                if fails {
                    write_or_fail(&cache, &gate).await.map_err(|error| error.0)
                } else {
                    Ok(write(&cache, &gate).await)
                }
            })
        };
        gate.started(1).await;
        server.pause();
        gate.let_all_go();
        let expected = if fails { Err(true) } else { Ok(1) };
        assert_eq!(in_time("it returns", call).await.unwrap(), expected);
        server.resume();
        eventually("the old value goes", async || stored(&there).await != Some(9)).await;
    }
}

/// Stopped before the body and back behind it: where that began is not known, so nothing can be put.
#[tokio::test]
async fn c1_a_function_that_could_not_ask_before_it_wrote_invalidates() {
    let server = RedisServer::start();
    let (here, there) = (connect_hastily(&server.url()).await, connect(&server.url()).await);
    one_entry(1, &there).set(9).await.unwrap();
    let gate = Gate::closed();
    server.pause();
    let started = Instant::now();
    let call = held(Part::Puts, &here, &gate).await;
    assert!(started.elapsed() < Duration::from_secs(5), "{:?}", started.elapsed());
    server.resume();
    eventually("it answers", async || here.ping().await.is_ok()).await;
    ended(call, &gate).await;
    assert_eq!(stored(&there).await, None);
    assert_eq!(here.unconfirmed_invalidations(), 0);
}

#[redis_put(for id in 0..count => one(id, cache) = 7, cache = cache, on_failure = "retry")]
async fn write_many(count: u64, cache: &Cache, gate: &Gate) {
    let _ = (count, cache);
    gate.pass().await;
}

/// A function that writes is held by a server that does not answer as long as by any other question to it, however much it
/// has to put.
#[tokio::test]
async fn c5_a_function_that_puts_much_is_not_held_by_a_server_that_hangs() {
    let server = RedisServer::start();
    let cache = connect_hastily(&server.url()).await;
    for count in [1, 1_000] {
        let gate = Gate::closed();
        let call = {
            let (cache, gate) = (cache.clone(), gate.clone());
            tokio::spawn(async move { write_many(count, &cache, &gate).await })
        };
        gate.started(1).await;
        server.pause();
        let started = Instant::now();
        gate.let_all_go();
        in_time("it returns", call).await.unwrap();
        let held = started.elapsed();
        server.resume();
        eventually("it answers", async || cache.ping().await.is_ok()).await;
        println!("{count} are put in {held:?}");
        assert!(held < Duration::from_secs(2), "{count} in {held:?}");
    }
}

/// The same of a list, which primes a thousand users.
#[tokio::test]
async fn c5_a_body_that_primes_much_is_not_held_by_a_server_that_hangs() {
    #[redis_cached(key = "much", ttl = "5m", cache = cache, skip(cache, gate))]
    async fn much(cache: &Cache, gate: &Gate) -> u64 {
        for id in 0..1_000 {
            one_entry(id, cache).prime(7);
        }
        gate.pass().await;
        1
    }
    let server = RedisServer::start();
    let cache = connect_hastily(&server.url()).await;
    let gate = Gate::closed();
    let call = {
        let (cache, gate) = (cache.clone(), gate.clone());
        tokio::spawn(async move { much(&cache, &gate).await })
    };
    gate.started(1).await;
    server.pause();
    let started = Instant::now();
    gate.let_all_go();
    in_time("it returns", call).await.unwrap();
    assert!(started.elapsed() < Duration::from_secs(2), "{:?}", started.elapsed());
    // What goes on behind it ends too.
    let started = Instant::now();
    cache.shutdown(Duration::from_secs(60)).await.ok();
    println!("behind it for {:?}", started.elapsed());
    assert!(started.elapsed() < Duration::from_secs(5), "{:?}", started.elapsed());
}
