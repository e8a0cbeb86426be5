//! Entries that are not used are counted, each by its reason.

use std::time::Duration;

use redis_cached::{Cache, redis_cached};
use redis_cached_tests::RedisServer;
use tokio::time::advance;

use crate::functions::{memory, settle};
use crate::heard::Heard;
use crate::servers::patient;

#[redis_cached(
    key = "judged:{id}", ttl = "1m", jitter = "0%", tags = ["all"], max_age = max_age,
    accept_if = |run| *run >= at_least, cache = cache
)]
async fn judged(cache: &Cache, id: u64, max_age: Duration, at_least: u64) -> u64 {
    settle().await;
    id
}

#[tokio::test(start_paused = true)]
async fn what_a_call_does_not_take_is_counted() {
    let heard = Heard::listen();
    let cache = memory().await;
    let minute = Duration::from_secs(60);
    judged(&cache, 1, minute, 0).await;
    judged(&cache, 1, minute, 0).await;
    heard.counts("rejections", "reason", &[]);
    judged(&cache, 1, minute, 2).await;
    heard.counts("rejections", "reason", &[("not_accepted", 1)]);
    advance(minute / 2).await;
    judged(&cache, 1, minute / 4, 0).await;
    heard.counts("rejections", "reason", &[("not_accepted", 1), ("too_old", 1)]);
    cache.invalidate_tags(["all"]).await.unwrap();
    judged(&cache, 1, minute, 0).await;
    heard.counts("rejections", "reason", &[("not_accepted", 1), ("too_old", 1), ("tag", 1)]);
    // What has ended, or was removed, is not there.
    advance(minute * 2).await;
    judged(&cache, 1, minute, 0).await;
    judged_entry(&cache, 1).invalidate().await.unwrap();
    judged(&cache, 1, minute, 0).await;
    heard.counts("rejections", "reason", &[("not_accepted", 1), ("too_old", 1), ("tag", 1)]);
}

#[redis_cached(key = "stored:{id}", ttl = "5m", cache = cache)]
async fn stored(cache: &Cache, id: u64) -> u64 {
    settle().await;
    id
}

#[redis_cached(key = "stored:{id}", ttl = "5m", cache = cache)]
async fn neighbour(cache: &Cache, id: u64) -> String {
    settle().await;
    id.to_string()
}

#[tokio::test]
async fn c6_what_is_not_as_it_was_written_is_counted_by_its_reason() {
    const KEY: &str = "ns:{stored:42}";
    let heard = Heard::listen();
    let server = RedisServer::start();
    let cache = patient().url(server.url()).build().await.unwrap();
    let mut cli = server.cli().await;
    stored(&cache, 42).await;
    stored(&cache, 43).await;
    let mut get = async |key: &str| -> Vec<u8> {
        redis::cmd("GET").arg(key).query_async(&mut cli).await.unwrap()
    };
    let (mine, anothers) = (get(KEY).await, get("ns:{stored:43}").await);
    let changed = |at: usize, by: u8| {
        let mut bytes = mine.clone();
        bytes[at] ^= by;
        bytes
    };
    let mut cli = server.cli().await;
    let mut expected: Vec<(&str, usize)> = Vec::new();
    for (reason, bytes) in [
        ("magic", b"somebody else's text".to_vec()),
        ("length", mine[..mine.len() - 1].to_vec()),
        ("checksum", changed(mine.len() - 1, 1)),
        ("key", anothers),
        ("format", changed(3, 2)),
        ("fingerprint", changed(40, 1)),
        ("codec", changed(64, 0x80)),
    ] {
        redis::cmd("SET").arg(KEY).arg(bytes).exec_async(&mut cli).await.unwrap();
        assert_eq!(stored(&cache, 42).await, 42);
        expected.push((reason, 1));
        heard.counts("rejections", "reason", &expected);
        redis::cmd("DEL").arg(KEY).exec_async(&mut cli).await.unwrap();
    }
    // Another function under the same key is no damage.
    stored(&cache, 42).await;
    neighbour(&cache, 42).await;
    let of_neighbour = [("function", "neighbour"), ("reason", "fingerprint")];
    assert_eq!(heard.values("rejections", &of_neighbour), [1.0]);
    assert_eq!(heard.values("warnings", &[("warning", "clash")]).len(), 1);
}

#[redis_cached(key = "keyed:{id}", ttl = "5m", cache = cache)]
async fn keyed(cache: &Cache, id: u64) -> u64 {
    settle().await;
    id
}

#[tokio::test]
async fn c6_what_another_has_written_is_counted() {
    let heard = Heard::listen();
    let server = RedisServer::start();
    let without = patient().url(server.url()).build().await.unwrap();
    let secret = "0123456789abcdef0123456789abcdef";
    let with = patient().url(server.url()).integrity_key(secret).build().await.unwrap();
    keyed(&without, 1).await;
    assert_eq!(keyed(&with, 1).await, 1);
    heard.counts("rejections", "reason", &[("unauthenticated", 1)]);
    heard.counts("warnings", "warning", &[("unauthenticated", 1)]);
    heard.counts("calls", "outcome", &[("computed", 2)]);
}
