//! The origin of all values, and the functions that cache what it has.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use redis::aio::MultiplexedConnection;
use redis_cached::{Builder, Cache, redis_cached};

/// How many rows there are.
pub(crate) const ROWS: usize = 12;
/// How long a body takes: whatever can happen in the middle of one does.
const BODY: Duration = Duration::from_millis(2);
/// Of the functions here: how long another computes at most without a sign of life, and is waited for.
pub(crate) const LOCK: Duration = Duration::from_secs(1);

/// Rows that have versions.
#[derive(Clone, Debug, Default)]
pub(crate) struct Origin(Arc<Inner>);

#[derive(Debug, Default)]
struct Inner {
    versions: [AtomicU64; ROWS],
    bodies: AtomicU64,
}

impl Origin {
    /// What a body does: it reads at once, and returns later.
    pub(crate) async fn read(&self, id: usize) -> u64 {
        self.0.bodies.fetch_add(1, Ordering::SeqCst);
        let version = self.version(id);
        tokio::time::sleep(BODY).await;
        version
    }

    pub(crate) fn version(&self, id: usize) -> u64 {
        self.0.versions[id].load(Ordering::SeqCst)
    }

    /// Changes a row, and returns its new version.
    pub(crate) fn change(&self, id: usize) -> u64 {
        self.0.versions[id].fetch_add(1, Ordering::SeqCst) + 1
    }

    /// How many bodies have run.
    pub(crate) fn bodies(&self) -> u64 {
        self.0.bodies.load(Ordering::SeqCst)
    }
}

/// By its key.
#[redis_cached(
    key = "row:{id}", ttl = "5m", lock_ttl = "1s", wait = "1s", cache = cache, skip(cache, origin)
)]
pub(crate) async fn row(id: usize, cache: &Cache, origin: &Origin) -> u64 {
    origin.read(id).await
}

/// By a tag that is known before the body.
#[redis_cached(
    key = "page:{id}", ttl = "5m", tags = ["row:{id}"], lock_ttl = "1s", wait = "1s", cache = cache,
    skip(cache, origin)
)]
pub(crate) async fn page(id: usize, cache: &Cache, origin: &Origin) -> u64 {
    origin.read(id).await
}

/// Stale nearly always, by a tag that is known behind the body, and in the journal.
#[redis_cached(
    key = "live:{id}", ttl = "5m", refresh_before = "299s", jitter = "0%", lock_ttl = "1s", wait = "1s",
    cache = cache, skip(cache, origin)
)]
pub(crate) async fn live(id: usize, cache: &Cache, origin: &Origin) -> u64 {
    redis_cached::tag(format!("row:{id}"));
    origin.read(id).await
}

/// Where deadlines are not what is tested: a busy machine must not fail a test.
pub(crate) fn patient(url: &str) -> Builder {
    builder(url).deadline(Duration::from_secs(20)).connect_timeout(Duration::from_secs(20))
}

/// As users have it: the default deadlines are what is tested.
pub(crate) fn builder(url: &str) -> Builder {
    Cache::builder().url(url).namespace("ns")
}

pub(crate) async fn cache(url: &str) -> Cache {
    builder(url).build().await.expect("the server is up")
}

/// On one connection, so that the order of replies is known.
pub(crate) async fn cache_on_one_connection(url: &str) -> Cache {
    builder(url).connections(1).build().await.expect("the server is up")
}

pub(crate) async fn order(cli: &mut MultiplexedConnection, command: &str) {
    let mut words = command.split(' ');
    let mut cmd = redis::cmd(words.next().unwrap_or_default());
    cmd.arg(words.collect::<Vec<_>>());
    cmd.exec_async(cli).await.expect("the server is up");
}
