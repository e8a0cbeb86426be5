//! Functions that write, in front of a server that does not take their invalidations.

use std::task::Poll;

use redis_cached::{Cache, InvalidateError, redis_cached, redis_invalidate};
use redis_cached_tests::{RedisServer, eventually};
use tokio::task::yield_now;

#[redis_cached(key = "row:{id}", ttl = "1h", cache = cache, skip(cache))]
async fn row(cache: &Cache, id: u64) -> u64 {
    yield_now().await;
    id
}

#[redis_cached(key = "rows", ttl = "1h", tags = ["rows"], cache = cache, skip(cache))]
async fn rows(cache: &Cache) -> u64 {
    yield_now().await;
    1
}

#[redis_invalidate(row(cache, id), tags = ["rows"], cache = cache, on_failure = "retry")]
async fn change(cache: &Cache, id: u64) {
    let _ = (cache, id);
    yield_now().await;
}

#[derive(Debug)]
struct Failed(bool);

impl From<InvalidateError> for Failed {
    fn from(error: InvalidateError) -> Self {
        Self(error.reason().is_unconfirmed())
    }
}

#[redis_invalidate(row(cache, id), tags = ["rows"], cache = cache, on_failure = "error")]
async fn change_or_fail(cache: &Cache, id: u64) -> Result<(), Failed> {
    let _ = (cache, id);
    yield_now().await;
    Ok(())
}

/// A value that is set is as new as the lease that is taken for it, and that is asked for at once.
#[tokio::test]
async fn c1_a_set_that_is_under_way_is_refused_by_an_invalidation() {
    let server = RedisServer::start();
    let cache = Cache::builder().url(server.url()).build().await.unwrap();
    // The server knows all scripts.
    row_entry(&cache, 1).set(1).await.unwrap();
    let entry = row_entry(&cache, 7);
    let mut set = std::pin::pin!(entry.set(1));
    assert!(std::future::poll_fn(|cx| Poll::Ready(set.as_mut().poll(cx))).await.is_pending());
    row_entry(&cache, 7).invalidate().await.unwrap();
    assert!(set.await.is_err_and(|error| error.is_superseded()));
    assert_eq!(row(&cache, 7).await, 7);
}

struct Stage {
    server: RedisServer,
    here: Cache,
    there: Cache,
}

impl Stage {
    async fn new() -> Self {
        let server = RedisServer::start();
        let build = || Cache::builder().url(server.url()).build();
        let (here, there) = (build().await.unwrap(), build().await.unwrap());
        row(&there, 7).await;
        rows(&there).await;
        Self { server, here, there }
    }

    /// Whether the server takes invalidations.
    async fn takes(&self, takes: bool) {
        let mut acl = redis::cmd("ACL");
        acl.arg("SETUSER").arg("default");
        if takes {
            acl.arg("+@all");
        } else {
            acl.arg("-del").arg("-evalsha").arg("-eval");
        }
        acl.exec_async(&mut self.server.cli().await).await.unwrap();
    }

    /// Which of the two there are, to another process.
    async fn stored(&self) -> [bool; 2] {
        [
            row_entry(&self.there, 7).peek().await.unwrap().is_some(),
            rows_entry(&self.there).peek().await.unwrap().is_some(),
        ]
    }
}

#[tokio::test]
async fn c1_what_the_server_did_not_take_is_tried_until_it_does() {
    for fails in [false, true] {
        let stage = Stage::new().await;
        stage.takes(false).await;
        if fails {
            let failed = change_or_fail(&stage.here, 7).await.unwrap_err();
            assert!(failed.0, "it says so");
        } else {
            change(&stage.here, 7).await;
        }
        assert_eq!(stage.stored().await, [true; 2], "nothing has happened yet");
        stage.takes(true).await;
        eventually("both are invalidated", async || stage.stored().await == [false; 2]).await;
    }
}
