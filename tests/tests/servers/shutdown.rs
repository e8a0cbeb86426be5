//! The end of a program: a refresh that does not end, a lease that is held, an invalidation that is not confirmed.

use std::time::Duration;

use redis_cached::{Cache, Invalidation, ShutdownError, redis_cached};
use redis_cached_tests::{Gate, RedisServer, eventually};
use tokio::time::Instant;

use crate::dropped::leases;
use crate::outages::SOON;
use crate::stage::{connect_hastily, hits, load, load_entry};

const LIMIT: Duration = Duration::from_millis(100);

/// A lease that were not given back would stand for longer than a test waits.
#[redis_cached(
    key = "rate:{id}", ttl = "5m", refresh_before = "1m", lock_ttl = "10m", cache = cache, skip(cache, gate)
)]
async fn rate(id: u64, cache: &Cache, gate: &Gate) -> usize {
    gate.pass().await
}

/// A value that is to be invalidated, and a refresh of another one under way that does not end.
struct Scene {
    server: RedisServer,
    cache: Cache,
    gate: Gate,
}

impl Scene {
    async fn set() -> Self {
        let server = RedisServer::start();
        let (cache, gate) = (connect_hastily(&server.url()).await, Gate::closed());
        gate.let_go(1);
        eventually("a value is stored", async || {
            rate(1, &cache, &gate).await;
            rate_entry(1, &cache).expire().await.is_ok()
        })
        .await;
        assert_eq!(rate(1, &cache, &gate).await, 1);
        gate.started(2).await;
        eventually("another one is", async || hits(42, &cache, &Gate::open()).await).await;
        Self { server, cache, gate }
    }

    /// Of a caller who has gone before its transaction was over.
    async fn leave_an_invalidation(&self) {
        let transaction = async { load_entry(42, &self.cache).invalidate_after_commit() };
        let (gathered, invalidation) = Invalidation::collect(transaction).await;
        gathered.expect("it is gathered");
        drop(invalidation);
    }

    async fn is_shut_down(&self) -> ShutdownError {
        let began = Instant::now();
        let error = self.cache.shutdown(LIMIT).await.expect_err("the refresh does not end");
        assert!(began.elapsed() < SOON, "{:?}", began.elapsed());
        error
    }

    /// For another program.
    async fn all_is_free(&self) {
        let (cache, mut cli) = (connect_hastily(&self.server.url()).await, self.server.cli().await);
        eventually("the lease is given back", async || leases(&mut cli).await.is_empty()).await;
        rate_entry(1, &cache).invalidate().await.unwrap();
        self.gate.let_all_go();
        for before in [rate(1, &cache, &self.gate).await, rate(1, &cache, &self.gate).await] {
            assert_eq!(before, self.gate.runs());
        }
    }
}

/// The lease is given back at once, and what was left behind is sent for the last time.
/// Catalogue 57.
#[tokio::test]
async fn c5_a_shutdown_gives_back_and_sends_what_is_left() {
    let scene = Scene::set().await;
    scene.leave_an_invalidation().await;
    let open = Gate::open();
    eventually("it was sent once", async || scene.cache.unconfirmed_invalidations() == 0).await;
    // Somebody has read before the COMMIT, which is late.
    load(42, &scene.cache, &open).await;
    let error = scene.is_shut_down().await;
    assert_eq!((error.unfinished(), error.unconfirmed_invalidations()), (1, 0), "{error}");
    assert!(load_entry(42, &scene.cache).peek().await.unwrap().is_none());
    assert!(leases(&mut scene.server.cli().await).await.is_empty());
    scene.all_is_free().await;
}

/// Catalogue 57.
#[tokio::test]
async fn c5_a_shutdown_while_the_server_is_away_says_what_is_left() {
    let mut scene = Scene::set().await;
    scene.server.stop();
    scene.leave_an_invalidation().await;
    let error = scene.is_shut_down().await;
    assert_eq!(error.unconfirmed_invalidations(), 1, "{error}");
    assert!(error.unfinished() >= 1, "{error}");
    scene.server.restart();
    scene.all_is_free().await;
}

/// Catalogue 57.
#[tokio::test]
async fn c5_a_shutdown_while_the_server_does_not_answer_says_what_is_left() {
    let scene = Scene::set().await;
    scene.server.pause();
    scene.leave_an_invalidation().await;
    let error = scene.is_shut_down().await;
    assert_eq!(error.unconfirmed_invalidations(), 1, "{error}");
    assert!(error.unfinished() >= 1, "{error}");
    scene.server.resume();
    scene.all_is_free().await;
}
