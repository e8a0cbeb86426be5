//! Callers who read at the same time, and share what is sent.

use std::collections::HashMap;
use std::time::Duration;

use fastrand::Rng;
use redis_cached::{Cache, redis_cached};
use redis_cached_tests::{Gate, Monitor, Proxy, RedisServer};
use tokio::task::{JoinSet, yield_now};

use crate::stage::{connect, load, load_entry, patient};

#[redis_cached(
    key = "tagged:{id}", tags = ["all", "half:{half}"], ttl = "5m", cache = cache, skip(cache, gate)
)]
async fn tagged(id: u64, half: u64, cache: &Cache, gate: &Gate) -> usize {
    gate.pass().await
}

/// The number of the run that each key has its value of.
async fn stored(keys: u64, cache: &Cache, gate: &Gate) -> HashMap<u64, usize> {
    let mut runs = HashMap::new();
    for id in 0..keys {
        runs.insert(id, load(id, cache, gate).await);
    }
    runs
}

fn reads(seen: &[Vec<String>]) -> Vec<&[String]> {
    seen.iter()
        .filter(|words| ["GET", "MGET"].contains(&&*words[0]))
        .map(|words| &words[1..])
        .collect()
}

#[tokio::test]
async fn five_hundred_hits_at_once_are_a_handful_of_commands() {
    const KEYS: u64 = 100;
    let server = RedisServer::start();
    let (cache, gate) = (connect(&server.url()).await, Gate::open());
    let runs = stored(KEYS, &cache, &gate).await;
    let mut monitor = Monitor::start(&server).await;
    let mut callers = JoinSet::new();
    for caller in 0..500 {
        let (cache, gate) = (cache.clone(), gate.clone());
        callers.spawn(async move { (caller % KEYS, load(caller % KEYS, &cache, &gate).await) });
    }
    for (id, run) in callers.join_all().await {
        assert_eq!(run, runs[&id]);
    }
    let seen = monitor.seen().await;
    let reads = reads(&seen);
    assert!(reads.len() <= 10, "{} commands", reads.len());
    for names in reads {
        let mut once = names.to_vec();
        once.sort();
        once.dedup();
        assert_eq!(once.len(), names.len(), "every key once: {names:?}");
    }
}

#[tokio::test]
async fn what_many_entries_are_tagged_with_is_read_once() {
    let server = RedisServer::start();
    let (cache, gate) = (connect(&server.url()).await, Gate::open());
    for id in 0..60 {
        tagged(id, id % 2, &cache, &gate).await;
    }
    let mut monitor = Monitor::start(&server).await;
    let mut callers = JoinSet::new();
    for id in 0..60 {
        let (cache, gate) = (cache.clone(), gate.clone());
        callers.spawn(async move { tagged(id, id % 2, &cache, &gate).await });
    }
    callers.join_all().await;
    assert_eq!(gate.runs(), 60, "all of them are hits");
    let seen = monitor.seen().await;
    let reads = reads(&seen);
    let names: usize = reads.iter().map(|names| names.len()).sum();
    assert!(names <= 60 + 3 * reads.len(), "{names} names in {} commands", reads.len());
    assert!(reads.len() <= 6, "{} commands", reads.len());
    cache.invalidate_tags(["half:1"]).await.unwrap();
    let mut callers = JoinSet::new();
    for id in 0..60 {
        let (cache, gate) = (cache.clone(), gate.clone());
        callers.spawn(async move { tagged(id, id % 2, &cache, &gate).await });
    }
    callers.join_all().await;
    assert_eq!(gate.runs(), 90, "each is judged by its own tags");
}

/// The server has answered, and that has not arrived, when an invalidation is acknowledged.
#[tokio::test]
async fn c1_nobody_joins_a_batch_that_was_sent() {
    let server = RedisServer::start();
    let proxy = Proxy::before(&server).await;
    let behind =
        patient().url(proxy.url()).deadline(Duration::from_secs(60)).build().await.unwrap();
    let (writer, gate) = (connect(&server.url()).await, Gate::open());
    let runs = stored(8, &behind, &gate).await;
    let mut monitor = Monitor::start(&server).await;
    let late = proxy.when("MGET").delay_reply(Duration::from_secs(2));
    let mut early = JoinSet::new();
    for id in 0..8 {
        let (behind, gate) = (behind.clone(), gate.clone());
        early.spawn(async move { (id, load(id, &behind, &gate).await) });
    }
    // Two of them come alone. Which of the others' keys the server has read is known from itself.
    let mut read = Vec::new();
    while read.is_empty() {
        yield_now().await;
        let seen = monitor.seen().await;
        let mget = seen.into_iter().find(|words| words[0] == "MGET");
        read = mget.map_or_else(Vec::new, |words| words[1..].to_vec());
    }
    let id = (0..8).find(|id| read[0] == format!("ns:{{user:{id}}}")).expect("it is one of them");
    load_entry(id, &writer).invalidate().await.unwrap();
    let run = load(id, &behind, &gate).await;
    assert!(run > runs.len(), "a call that begins behind the invalidation gets a new value: {run}");
    while let Some(told) = early.join_next().await {
        let (other, run) = told.unwrap();
        assert!(run == runs[&other] || other == id, "{other} is not {run}");
    }
    late.end();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn callers_who_leave_take_nobody_with_them() {
    const KEYS: u64 = 10;
    let server = RedisServer::start();
    let (cache, gate) = (connect(&server.url()).await, Gate::open());
    let runs = stored(KEYS, &cache, &gate).await;
    for seed in 0..100 {
        let mut random = Rng::with_seed(seed);
        let mut callers: Vec<_> = (0..60)
            .map(|_| {
                let (id, cache, gate) = (random.u64(0..KEYS), cache.clone(), gate.clone());
                tokio::spawn(async move { (id, load(id, &cache, &gate).await) })
            })
            .collect();
        random.shuffle(&mut callers);
        for caller in callers.drain(..30) {
            for _ in 0..random.usize(0..4) {
                yield_now().await;
            }
            caller.abort();
        }
        for caller in callers {
            let (id, run) = caller.await.expect("nobody else is told to leave");
            assert_eq!(run, runs[&id], "seed {seed}");
        }
    }
    assert_eq!(gate.runs(), runs.len(), "all were hits");
}

/// A value that would hold the others up is read by itself, once it is known to be large.
#[tokio::test]
async fn what_is_large_is_read_by_itself() {
    #[redis_cached(key = "text:{id}", ttl = "5m", cache = cache, skip(cache))]
    async fn text(id: u64, cache: &Cache) -> String {
        yield_now().await;
        "x".repeat(if id == 0 { 200_000 } else { 10 })
    }
    let server = RedisServer::start();
    let cache = connect(&server.url()).await;
    for _ in 0..2 {
        for id in 0..50 {
            text(id, &cache).await;
        }
    }
    let mut monitor = Monitor::start(&server).await;
    for _ in 0..3 {
        let mut callers = JoinSet::new();
        for id in (1..50).chain([0]) {
            let cache = cache.clone();
            callers.spawn(async move { text(id, &cache).await.len() });
        }
        assert_eq!(callers.join_all().await.iter().filter(|length| **length == 200_000).count(), 1);
    }
    let seen = monitor.seen().await;
    let with_it: Vec<_> = reads(&seen)
        .into_iter()
        .filter(|names| names.contains(&"ns:{text:0}".to_owned()))
        .collect();
    assert_eq!(with_it, [["ns:{text:0}"]; 3]);
}

/// Where another type stands a list says nothing, and a read of one key an error: both are a miss.
#[tokio::test]
async fn c6_what_is_no_string_is_a_miss_to_its_own_callers_only() {
    let server = RedisServer::start();
    let (cache, gate) = (connect(&server.url()).await, Gate::open());
    let runs = stored(20, &cache, &gate).await;
    let mut cli = server.cli().await;
    redis::cmd("DEL").arg("ns:{user:7}").exec_async(&mut cli).await.unwrap();
    redis::cmd("HSET").arg(&["ns:{user:7}", "a", "b"]).exec_async(&mut cli).await.unwrap();
    for _ in 0..3 {
        let before = gate.runs();
        let mut callers = JoinSet::new();
        for id in 0..20 {
            let (cache, gate) = (cache.clone(), gate.clone());
            callers.spawn(async move { (id, load(id, &cache, &gate).await) });
        }
        for (id, run) in callers.join_all().await {
            assert!(run == runs[&id] || id == 7, "{id}");
        }
        assert_eq!(gate.runs(), before + 1);
    }
}
