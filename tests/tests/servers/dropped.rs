//! Thousands of calls that are dropped at any moment, in front of a real server.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use redis::aio::MultiplexedConnection;
use redis_cached::{Cache, redis_cached};
use redis_cached_tests::{PATIENCE, RedisServer, eventually, in_time};
use tokio::runtime::Handle;
use tokio::task::JoinSet;
use tokio::time::sleep;

use crate::stage::connect;

const IDS: usize = 20;
/// At once, and how often each of them calls.
const CALLERS: usize = 64;
const CALLS: usize = 80;
const LOCK_TTL: Duration = Duration::from_secs(600);

/// The version of each row, and the newest one whose invalidation was acknowledged.
#[derive(Default)]
pub(crate) struct Rows {
    versions: [AtomicU64; IDS],
    acknowledged: [AtomicU64; IDS],
}

impl Rows {
    async fn read(&self, id: usize, takes: Duration) -> u64 {
        let version = self.versions[id].load(Ordering::SeqCst);
        sleep(takes).await;
        version
    }

    pub(crate) fn acknowledged(&self, id: usize) -> u64 {
        self.acknowledged[id].load(Ordering::SeqCst)
    }

    fn change(&self, id: usize) -> u64 {
        self.versions[id].fetch_add(1, Ordering::SeqCst) + 1
    }

    fn acknowledge(&self, id: usize, version: u64) {
        self.acknowledged[id].fetch_max(version, Ordering::SeqCst);
    }
}

/// A lease that were left behind would stand for longer than a test waits.
#[redis_cached(
    key = "row:{id}", ttl = "300ms", refresh_before = "200ms", lock_ttl = LOCK_TTL, wait = "1m",
    tags = ["row:{id}"], cache = cache, skip(cache, rows, takes)
)]
async fn row(id: usize, cache: &Cache, rows: &Arc<Rows>, takes: Duration) -> u64 {
    rows.read(id, takes).await
}

/// One of all that can be done with a row. Panics where it is served what it must not be.
async fn something(mut rng: fastrand::Rng, cache: Cache, rows: Arc<Rows>) {
    let (id, takes) = (rng.usize(..IDS), Duration::from_millis(rng.u64(..5)));
    let acknowledged = rows.acknowledged(id);
    let version = match rng.u32(..20) {
        0 => row_refresh(id, &cache, &rows, takes).await,
        1 => return row_entry(id, &cache).expire().await.expect("the server is up"),
        changes @ 2..5 => {
            let version = rows.change(id);
            if changes == 2 {
                cache.invalidate_tags([format!("row:{id}")]).await
            } else {
                row_entry(id, &cache).invalidate().await
            }
            .expect("the server is up");
            return rows.acknowledge(id, version);
        }
        _ => row(id, &cache, &rows, takes).await,
    };
    assert!(version >= acknowledged, "{version}, and {acknowledged} was acknowledged before");
}

async fn caller(mut rng: fastrand::Rng, cache: Cache, rows: Arc<Rows>) {
    for _ in 0..CALLS {
        let call = tokio::spawn(something(rng.fork(), cache.clone(), rows.clone()));
        sleep(Duration::from_micros(rng.u64(..8_000))).await;
        call.abort();
        if let Err(error) = call.await {
            assert!(error.is_cancelled(), "{error}");
        }
    }
}

async fn crowd(rng: &mut fastrand::Rng, cache: &Cache, rows: &Arc<Rows>) {
    let mut callers = JoinSet::new();
    for _ in 0..CALLERS {
        callers.spawn(caller(rng.fork(), cache.clone(), rows.clone()));
    }
    in_time("all have been dropped", callers.join_all()).await;
}

/// How long each of the leases that are there has yet, in milliseconds.
pub(crate) async fn leases(cli: &mut MultiplexedConnection) -> Vec<i64> {
    let names: Vec<String> =
        redis::cmd("KEYS").arg("ns:*.lease").query_async(cli).await.expect("the server is up");
    let mut ends = Vec::new();
    for name in names {
        ends.push(redis::cmd("PTTL").arg(name).query_async(cli).await.expect("the server is up"));
    }
    ends
}

/// Catalogue 1.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn c4_thousands_of_calls_dropped_at_random_leave_no_lease_and_no_task() {
    let server = RedisServer::start();
    let (cache, rows, mut cli) =
        (connect(&server.url()).await, Arc::new(Rows::default()), server.cli().await);
    let tasks = || Handle::current().metrics().num_alive_tasks();
    let mut left = async |what| {
        let longest = i64::try_from(LOCK_TTL.as_millis()).expect("ten minutes");
        let ends = leases(&mut cli).await;
        // -2: gone between the two questions.
        assert!(ends.iter().all(|ends| *ends == -2 || (0..longest).contains(ends)), "{ends:?}");
        eventually(what, async || leases(&mut cli).await.is_empty()).await;
        tasks()
    };
    let seed = fastrand::u64(..);
    println!("seed {seed}");
    let mut rng = fastrand::Rng::with_seed(seed);
    // All connections are made, and each has a task.
    crowd(&mut rng, &cache, &rows).await;
    let before = left("the leases of the first are given back").await;
    crowd(&mut rng, &cache, &rows).await;
    left("all leases are given back").await;
    eventually("no task is left", async || tasks() <= before).await;
    const { assert!(PATIENCE.as_secs() < LOCK_TTL.as_secs() / 2, "else the leases just end") };
    for id in 0..IDS {
        let version = rows.change(id);
        row_entry(id, &cache).invalidate().await.unwrap();
        let call = row(id, &cache, &rows, Duration::ZERO);
        assert_eq!(in_time("every key can be computed", call).await, version);
    }
    cache.shutdown(PATIENCE).await.unwrap();
}
