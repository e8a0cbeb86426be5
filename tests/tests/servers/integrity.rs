//! C6 with `integrity_key`: what somebody else writes to the server on purpose is a miss.

use std::time::Duration;

use redis::aio::MultiplexedConnection;
use redis_cached::{Builder, Cache, State, redis_cached};
use redis_cached_tests::{Gate, RedisServer, Told, eventually};

use crate::stage::patient;

const SECRET: &str = "8c1f0b6a5e4d3c2b1a0f9e8d7c6b5a49";
const OTHER: &str = "00112233445566778899aabbccddeeff";

#[redis_cached(key = "held:{id}", ttl = "5m", refresh_before = "1m", cache = cache, skip(cache, gate))]
async fn held(id: u64, cache: &Cache, gate: &Gate) -> usize {
    gate.pass().await
}

/// Under the same keys, and with another fingerprint.
#[redis_cached(key = "held:{id}", ttl = "5m", cache = cache, skip(cache))]
async fn neighbour(id: u64, cache: &Cache) -> String {
    tokio::task::yield_now().await;
    format!("neighbour {id}")
}

#[redis_cached(key = "short:{id}", ttl = "700ms", jitter = "0%", cache = cache, skip(cache, gate))]
async fn short(id: u64, cache: &Cache, gate: &Gate) -> usize {
    gate.pass().await
}

#[redis_cached(key = "tagged:{id}", ttl = "5m", tags = ["team:{id}"], cache = cache, skip(cache, gate))]
async fn tagged(id: u64, cache: &Cache, gate: &Gate) -> usize {
    gate.pass().await
}

struct Bench {
    server: RedisServer,
    cli: MultiplexedConnection,
    cache: Cache,
    gate: Gate,
}

impl Bench {
    async fn new() -> Self {
        let server = RedisServer::start();
        let cli = server.cli().await;
        let cache = built(patient().integrity_key(SECRET), &server).await;
        Self { server, cli, cache, gate: Gate::open() }
    }

    async fn get(&mut self, key: &str) -> Vec<u8> {
        redis::cmd("GET").arg(key).query_async(&mut self.cli).await.unwrap()
    }

    async fn run(&mut self, command: &str, arguments: &[&[u8]]) {
        redis::cmd(command).arg(arguments).exec_async(&mut self.cli).await.unwrap();
    }

    /// Calls twice. Returns whether the first one ran a body; the second never does.
    async fn misses(&self, id: u64, what: &str) -> bool {
        let before = self.gate.runs();
        held(id, &self.cache, &self.gate).await;
        let after = self.gate.runs();
        held(id, &self.cache, &self.gate).await;
        assert_eq!(self.gate.runs(), after, "what was planted has been replaced: {what}");
        after > before
    }
}

async fn built(builder: Builder, server: &RedisServer) -> Cache {
    builder.url(server.url()).build().await.expect("the server is up")
}

/// Catalogue 52.
#[tokio::test]
async fn c6_another_keys_entry_is_not_served_however_it_got_there() {
    let mut bench = Bench::new().await;
    for command in ["RENAME", "COPY", "SET"] {
        held(1, &bench.cache, &bench.gate).await;
        held(2, &bench.cache, &bench.gate).await;
        let entry = bench.get("ns:{held:2}").await;
        match command {
            "COPY" => bench.run("COPY", &[b"ns:{held:2}", b"ns:{held:1}", b"REPLACE"]).await,
            "SET" => bench.run("SET", &[b"ns:{held:1}", &entry]).await,
            _ => bench.run("RENAME", &[b"ns:{held:2}", b"ns:{held:1}"]).await,
        }
        assert!(bench.misses(1, command).await, "{command}");
    }
}

/// Catalogue 52.
#[tokio::test]
async fn c6_an_entry_without_the_secret_is_not_served_and_told_of_once() {
    let mut bench = Bench::new().await;
    let told = Told::listen();
    for (who, builder) in [("without", patient()), ("another", patient().integrity_key(OTHER))] {
        // Somebody who knows the program, the format and the checksum.
        let forger = built(builder, &bench.server).await;
        held_entry(1, &forger).set(666).await.unwrap();
        let planted = bench.get("ns:{held:1}").await;
        assert!(held_entry(1, &bench.cache).peek().await.unwrap().is_none(), "{who}");
        assert_ne!(held(1, &bench.cache, &bench.gate).await, 666, "{who}");
        assert_ne!(bench.get("ns:{held:1}").await, planted, "{who}");
        bench.run("SET", &[b"ns:{held:1}", &planted]).await;
        assert!(bench.misses(1, who).await);
    }
    let text = told.text();
    assert_eq!(text.matches("is not one that a cache with this `integrity_key`").count(), 1);
    assert!(!text.contains(SECRET) && !text.contains("held:1"), "{text}");
}

/// Catalogue 52.
#[tokio::test]
async fn c6_behind_another_entry_a_forged_one_is_no_better() {
    let mut bench = Bench::new().await;
    let forger = built(patient(), &bench.server).await;
    held_entry(1, &forger).set(666).await.unwrap();
    let planted = bench.get("ns:{held:1}").await;
    bench.run("DEL", &[b"ns:{held:1}"]).await;
    assert_eq!(neighbour(1, &bench.cache).await, "neighbour 1");
    let authentic = bench.get("ns:{held:1}").await;
    bench.run("SET", &[b"ns:{held:1}", &[&*authentic, &planted].concat()]).await;
    assert!(bench.misses(1, "behind").await);

    // An authentic one in the same place is served, and each function finds its own.
    assert_eq!(neighbour(1, &bench.cache).await, "neighbour 1");
    let both = bench.get("ns:{held:1}").await;
    assert!(both.starts_with(&authentic[..8]) && both.len() > authentic.len());
    assert!(!bench.misses(1, "its own").await);
}

/// Catalogue 52. Redis was told to remove it at its end; somebody has told it otherwise.
#[tokio::test]
async fn c3_what_somebody_lets_outlive_its_end_is_not_served() {
    let mut bench = Bench::new().await;
    let first = short(1, &bench.cache, &bench.gate).await;
    let entry = bench.get("ns:{short:1}").await;
    bench.run("PERSIST", &[b"ns:{short:1}"]).await;
    eventually("a body has run again", async || short(1, &bench.cache, &bench.gate).await > first)
        .await;
    bench.run("SET", &[b"ns:{short:1}", &entry]).await;
    assert!(short(1, &bench.cache, &bench.gate).await > first);
}

#[tokio::test]
async fn an_entry_whose_due_at_the_script_has_patched_is_authentic() {
    let bench = Bench::new().await;
    let first = held(1, &bench.cache, &bench.gate).await;
    let entry = held_entry(1, &bench.cache);
    entry.expire().await.unwrap();
    let peeked = entry.peek().await.unwrap().expect("it is authentic");
    assert_eq!((peeked.value, peeked.state), (first, State::Stale));
    assert_eq!(held(1, &bench.cache, &bench.gate).await, first, "served, and refreshed behind");
}

#[tokio::test]
async fn tags_work_as_ever_on_authentic_entries() {
    let bench = Bench::new().await;
    let beside = built(patient().integrity_key(SECRET), &bench.server).await;
    assert_eq!(tagged(1, &bench.cache, &bench.gate).await, 1);
    assert_eq!(tagged(1, &beside, &bench.gate).await, 1);
    beside.scope(redis_cached::invalidate_tags(["team:1"])).await.unwrap();
    assert_eq!(tagged(1, &bench.cache, &bench.gate).await, 2);
}

/// What is not known of the time must not make entries that are there cold: it is asked for.
#[tokio::test]
async fn after_a_reconnect_an_authentic_entry_is_a_hit() {
    let mut bench = Bench::new().await;
    held(1, &bench.cache, &bench.gate).await;
    bench.run("CLIENT", &[b"KILL", b"TYPE", b"NORMAL", b"SKIPME", b"YES"]).await;
    tokio::time::timeout(Duration::from_secs(60), bench.cache.ping()).await.unwrap().unwrap();
    assert!(!bench.misses(1, "after a reconnect").await);
}
