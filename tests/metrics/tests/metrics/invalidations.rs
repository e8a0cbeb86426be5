//! Invalidations, and those that wait for a server.

use redis_cached::{Cache, Invalidation, invalidate_many, redis_cached, redis_invalidate};
use redis_cached_tests::{RedisServer, eventually};

use crate::functions::{memory, settle};
use crate::heard::Heard;

#[redis_cached(
    key = "row:{id}", ttl = "5m", refresh_before = "1m", tags = ["rows"], clearable, cache = cache
)]
async fn row(cache: &Cache, id: u64) -> u64 {
    settle().await;
    id
}

#[redis_invalidate(row(cache, id), tags = ["rows"], cache = cache, on_failure = "retry")]
async fn change(cache: &Cache, id: u64) {
    let _ = (cache, id);
    settle().await;
}

fn told(heard: &Heard, operation: &str, subject: &str, result: &str) -> i64 {
    let labels = [("operation", operation), ("subject", subject), ("result", result)];
    heard.sum("invalidations", &labels)
}

#[tokio::test]
async fn invalidations_are_counted_by_what_they_are_of() {
    let heard = Heard::listen();
    let cache = memory().await;
    assert_eq!(heard.registered("invalidations"), 10, "they are there from the beginning");
    row_entry(&cache, 1).invalidate().await.unwrap();
    row_entry(&cache, 1).expire().await.unwrap();
    cache.invalidate_tags(["one", "two", "three"]).await.unwrap();
    cache.expire_tags(["one", "two"]).await.unwrap();
    row_all(&cache).invalidate().await.unwrap();
    cache.clear().await.unwrap();
    invalidate_many((0..5).map(|id| row_entry(&cache, id))).await.unwrap();
    change(&cache, 7).await;
    for (operation, subject, count) in [
        ("invalidate", "key", 7),
        ("expire", "key", 1),
        ("invalidate", "tag", 5),
        ("expire", "tag", 2),
        ("invalidate", "all", 1),
    ] {
        assert_eq!(told(&heard, operation, subject, "confirmed"), count, "{operation} {subject}");
        assert_eq!(told(&heard, operation, subject, "unconfirmed"), 0);
    }
    let clearable = Cache::builder().url("memory://").clearable().build().await.unwrap();
    clearable.clear().await.unwrap();
    assert_eq!(told(&heard, "invalidate", "all", "confirmed"), 2);
    assert_eq!(told(&heard, "invalidate", "tag", "confirmed"), 5);
}

#[tokio::test]
async fn c5_what_a_server_has_not_confirmed_is_pending_until_it_has() {
    let heard = Heard::listen();
    let mut server = RedisServer::start();
    let cache = Cache::builder().url(server.url()).namespace("ns").build().await.unwrap();
    let pending = || heard.sum("invalidations_pending", &[]);
    change(&cache, 1).await;
    assert_eq!(pending(), 0);
    server.stop();
    change(&cache, 1).await;
    assert_eq!(pending(), 2, "a key and a tag");
    change(&cache, 1).await;
    assert_eq!(pending(), 2, "the same");
    change(&cache, 2).await;
    assert_eq!(pending(), 3);
    assert_eq!(cache.unconfirmed_invalidations(), 3);
    assert!(told(&heard, "invalidate", "key", "unconfirmed") > 0);
    assert!(told(&heard, "invalidate", "tag", "unconfirmed") > 0);
    server.restart();
    eventually("all are confirmed", async || pending() == 0).await;
    assert_eq!(cache.unconfirmed_invalidations(), 0);
    assert_eq!(heard.sum("invalidations_lost", &[]), 0);
}

#[tokio::test]
async fn what_finds_no_room_is_counted_as_lost() {
    let heard = Heard::listen();
    let cache = memory().await;
    let leave = async |tags: std::ops::Range<usize>| {
        let gather = async { cache.invalidate_tags_after_commit(tags.map(|tag| tag.to_string())) };
        let (gathered, invalidation) = Invalidation::collect(gather).await;
        gathered.unwrap();
        drop(invalidation);
    };
    leave(0..40_000).await;
    leave(40_000..80_000).await;
    assert_eq!(heard.sum("invalidations_lost", &[]), 14464);
    assert_eq!(heard.sum("invalidations_pending", &[]), 65536);
    eventually("the rest is sent", async || heard.sum("invalidations_pending", &[]) == 0).await;
}

/// Several caches share the gauge, and none leaves its part behind.
#[test]
fn what_is_pending_ends_with_its_cache() {
    let heard = Heard::listen();
    let pending = || heard.sum("invalidations_pending", &[]);
    let runtime =
        || tokio::runtime::Builder::new_current_thread().enable_all().build().expect("one starts");
    let mut server = RedisServer::start();
    let (first, second) = (runtime(), runtime());
    let build = async || Cache::builder().url(server.url()).namespace("ns").build().await.unwrap();
    let (one, other) = (first.block_on(build()), second.block_on(build()));
    server.stop();
    first.block_on(change(&one, 1));
    second.block_on(change(&other, 1));
    assert_eq!(pending(), 4);
    drop((first, one));
    assert_eq!(pending(), 2);
    drop((second, other));
    assert_eq!(pending(), 0);
}
