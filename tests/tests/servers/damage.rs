//! C6: stored bytes that are not as they were written are a miss, never a wrong value, never a panic.

use proptest::prelude::*;
use proptest::test_runner::TestRunner;
use redis::aio::MultiplexedConnection;
use redis_cached::{Cache, redis_cached};
use redis_cached_tests::{Gate, RedisServer};
use serde::{Deserialize, Serialize};
use tokio::task::yield_now;

use crate::stage::connect;

const KEY: &str = "ns:{fragile:42}";

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
struct Fragile {
    id: u32,
    names: Vec<String>,
    parent: Option<i8>,
}

fn right() -> Fragile {
    Fragile { id: 7, names: vec!["a".to_owned(), String::new()], parent: Some(-1) }
}

#[redis_cached(key = "fragile:{id}", ttl = "5m", cache = cache, skip(cache, gate))]
async fn fragile(id: u64, cache: &Cache, gate: &Gate) -> Fragile {
    gate.pass().await;
    right()
}

#[redis_cached(
    key = "fragile:{id}", ttl = "5m", cache = cache, same_entries_as = fragile, no_store_if = true, skip(cache, gate)
)]
async fn unrepaired(id: u64, cache: &Cache, gate: &Gate) -> Fragile {
    gate.pass().await;
    right()
}

#[redis_cached(key = "fragile:{id}", ttl = "5m", cache = cache, skip(cache))]
async fn neighbour(id: u64, cache: &Cache) -> String {
    yield_now().await;
    format!("neighbour {id}")
}

struct Bench {
    _server: RedisServer,
    cli: MultiplexedConnection,
    cache: Cache,
    gate: Gate,
}

impl Bench {
    async fn new() -> Self {
        let server = RedisServer::start();
        let (cache, cli) = (connect(&server.url()).await, server.cli().await);
        Self { _server: server, cli, cache, gate: Gate::open() }
    }

    /// The healthy bytes.
    async fn healthy(&mut self) -> Vec<u8> {
        fragile(42, &self.cache, &self.gate).await;
        redis::cmd("GET").arg(KEY).query_async(&mut self.cli).await.unwrap()
    }

    async fn write(&mut self, bytes: &[u8]) {
        redis::cmd("SET")
            .arg(KEY)
            .arg(bytes)
            .arg("KEEPTTL")
            .exec_async(&mut self.cli)
            .await
            .unwrap();
    }

    /// Calls with these bytes stored. Returns whether the body ran.
    async fn misses(&mut self, bytes: &[u8], what: &str) -> bool {
        self.write(bytes).await;
        let before = self.gate.runs();
        assert_eq!(fragile(42, &self.cache, &self.gate).await, right(), "{what}");
        let after = self.gate.runs();
        assert_eq!(fragile(42, &self.cache, &self.gate).await, right(), "{what}");
        assert_eq!(self.gate.runs(), after, "what was damaged has been replaced: {what}");
        after > before
    }
}

/// Catalogue 45.
#[tokio::test]
async fn c6_every_bit_flipped() {
    let mut bench = Bench::new().await;
    let healthy = bench.healthy().await;
    let mut served = Vec::new();
    for bit in 0..healthy.len() * 8 {
        let mut bytes = healthy.clone();
        bytes[bit / 8] ^= 1 << (bit % 8);
        if !bench.misses(&bytes, &format!("bit {bit}")).await {
            served.push(bit / 8);
        }
    }
    // The moment of the refresh is left out of the checksum, so that it can be patched; it decides
    // nothing about the value.
    served.dedup();
    assert!(served.iter().all(|at| (16..24).contains(at)), "flips that went unseen: {served:?}");
}

/// Catalogue 45.
#[tokio::test]
async fn c6_cut_off_everywhere() {
    let mut bench = Bench::new().await;
    let healthy = bench.healthy().await;
    for length in 0..healthy.len() {
        assert!(bench.misses(&healthy[..length], &format!("{length} bytes")).await);
    }
}

#[tokio::test]
async fn who_only_reads_leaves_what_is_damaged() {
    let mut bench = Bench::new().await;
    let healthy = bench.healthy().await;
    assert_eq!(unrepaired(42, &bench.cache, &bench.gate).await, right());
    assert_eq!(bench.gate.runs(), 1, "a hit");
    let damaged = &healthy[..healthy.len() - 1];
    bench.write(damaged).await;
    assert_eq!(unrepaired(42, &bench.cache, &bench.gate).await, right());
    assert_eq!(bench.gate.runs(), 2);
    let stored: Vec<u8> = redis::cmd("GET").arg(KEY).query_async(&mut bench.cli).await.unwrap();
    assert_eq!(stored, damaged);
}

#[tokio::test]
async fn c6_garbage_behind_in_front_and_instead() {
    let mut bench = Bench::new().await;
    let healthy = bench.healthy().await;
    let magic = &healthy[..4];
    for garbage in [&b"x"[..], &[0; 76], &[0xff; 200], magic, &healthy[..40], b"{\"id\":8}"] {
        bench.misses(&[&healthy, garbage].concat(), "behind").await;
        assert!(bench.misses(&[garbage, &healthy].concat(), "in front").await);
        assert!(bench.misses(garbage, "instead").await);
        // A header that promises more than there is, or more than there can be.
        for length in [0, 75, 76, 77, u32::MAX / 2, u32::MAX] {
            let mut lying = healthy.clone();
            lying[4..8].copy_from_slice(&length.to_le_bytes());
            lying.extend_from_slice(garbage);
            assert!(bench.misses(&lying, "a wrong length").await);
        }
    }
}

/// What is not one's own is kept behind what is, and both end at the earlier of their ends.
#[tokio::test]
async fn c6_what_is_another_versions_and_damaged_ends_nothing() {
    let mut bench = Bench::new().await;
    let mut foreign = bench.healthy().await;
    foreign[40] ^= 1;
    foreign[68..76].fill(0);
    assert!(bench.misses(&foreign, "an end before that of its ttl").await);
}

/// A value that strayed under another key, as a reply that reaches the wrong caller would.
/// Catalogue 41.
#[tokio::test]
async fn c6_an_entry_under_another_key() {
    let mut bench = Bench::new().await;
    let healthy = bench.healthy().await;
    let stray = "ns:{fragile:43}";
    redis::cmd("SET").arg(stray).arg(&healthy).exec_async(&mut bench.cli).await.unwrap();
    let before = bench.gate.runs();
    fragile(43, &bench.cache, &bench.gate).await;
    assert_eq!(bench.gate.runs(), before + 1);
}

/// Something that is not a string at all.
#[tokio::test]
async fn c6_another_type_under_the_key() {
    let mut bench = Bench::new().await;
    for command in ["LPUSH", "SADD"] {
        redis::cmd("DEL").arg(KEY).exec_async(&mut bench.cli).await.unwrap();
        redis::cmd(command).arg(KEY).arg("x").exec_async(&mut bench.cli).await.unwrap();
        assert_eq!(fragile(42, &bench.cache, &bench.gate).await, right());
    }
    fragile_entry(42, &bench.cache).invalidate().await.unwrap();
    bench.healthy().await;
    let before = bench.gate.runs();
    fragile(42, &bench.cache, &bench.gate).await;
    assert_eq!(bench.gate.runs(), before);
}

/// Two entries in one string: damage to one does not make the other wrong.
#[tokio::test]
async fn c6_two_entries_and_every_bit_flipped() {
    let mut bench = Bench::new().await;
    let alone = bench.healthy().await;
    neighbour(42, &bench.cache).await;
    let both: Vec<u8> = redis::cmd("GET").arg(KEY).query_async(&mut bench.cli).await.unwrap();
    assert!(both.ends_with(&alone), "the one that was there is kept behind");
    for bit in 0..both.len() * 8 {
        let mut bytes = both.clone();
        bytes[bit / 8] ^= 1 << (bit % 8);
        bench.write(&bytes).await;
        assert_eq!(neighbour(42, &bench.cache).await, "neighbour 42", "bit {bit}");
        bench.misses(&bytes, &format!("bit {bit}")).await;
        assert_eq!(neighbour(42, &bench.cache).await, "neighbour 42", "bit {bit}");
    }
}

#[derive(Clone, Debug)]
enum Damage {
    Flips(Vec<prop::sample::Index>),
    Cut(prop::sample::Index),
    Insert(prop::sample::Index, Vec<u8>),
    Replace(Vec<u8>),
    Twice,
}

impl Damage {
    fn any() -> impl Strategy<Value = Self> {
        let bytes = || prop::collection::vec(any::<u8>(), 1..200);
        prop_oneof![
            prop::collection::vec(any::<prop::sample::Index>(), 1..6).prop_map(Self::Flips),
            any::<prop::sample::Index>().prop_map(Self::Cut),
            (any::<prop::sample::Index>(), bytes()).prop_map(|(at, bytes)| Self::Insert(at, bytes)),
            bytes().prop_map(Self::Replace),
            Just(Self::Twice),
        ]
    }

    fn done_to(&self, healthy: &[u8]) -> Vec<u8> {
        let mut bytes = healthy.to_vec();
        match self {
            Self::Flips(bits) => {
                for bit in bits {
                    let bit = bit.index(bytes.len() * 8);
                    bytes[bit / 8] ^= 1 << (bit % 8);
                }
            }
            Self::Cut(at) => bytes.truncate(at.index(bytes.len())),
            Self::Insert(at, more) => {
                let at = at.index(bytes.len());
                bytes.splice(at..at, more.iter().copied());
            }
            Self::Replace(other) => bytes.clone_from(other),
            Self::Twice => bytes.extend_from_slice(healthy),
        }
        bytes
    }
}

#[test]
fn c6_any_damage() {
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let (bench, healthy) = runtime.block_on(async {
        let mut bench = Bench::new().await;
        let healthy = bench.healthy().await;
        (tokio::sync::Mutex::new(bench), healthy)
    });
    TestRunner::default()
        .run(&Damage::any(), |damage| {
            runtime.block_on(async {
                bench.lock().await.misses(&damage.done_to(&healthy), &format!("{damage:?}")).await
            });
            Ok(())
        })
        .unwrap();
}
