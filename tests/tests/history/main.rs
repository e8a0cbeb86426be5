//! A fleet under fire: three processes read, write and invalidate, while processes are killed and stopped,
//! connections cut, and the server loses keys, scripts or everything. No call may return what was
//! invalidated before it began (C1), or what is older than its `ttl` (C3).
//!
//! The processes judge nothing: they tell the parent what they did, from when to when, and a checker that knows
//! neither clock nor server judges that, some seconds behind, so that a long history needs no more memory.
//!
//! Seconds and seed come from `HISTORY_SECONDS` (60, and 20 on a cluster) and `HISTORY_SEED` (random). The seed gives the same
//! calls and blows; their timing is the machine's.

mod checker;
mod checker_tests;
mod figures;
mod fleet;
mod functions;
mod overlaps;
mod overtaken;
mod process;
mod record;
mod targets;

use std::time::Duration;

use redis_cached_tests::{Cluster, RedisServer, Service, Setup};
use tokio::sync::Mutex;

use fleet::{Fleet, Servers};

/// Not a test of its own: what the test below runs in other processes.
#[test]
fn helper_process() {
    if let Some(role) = redis_cached_tests::role() {
        process::play(&role);
    }
}

fn number(variable: &str) -> Option<u64> {
    let text = std::env::var(variable).ok()?;
    Some(text.parse().unwrap_or_else(|_| panic!("{variable} is a number, and not {text:?}")))
}

/// Two fleets would take each other's time.
static ONE_AFTER_THE_OTHER: Mutex<()> = Mutex::const_new(());

async fn under_fire(servers: Servers, seconds: u64) {
    let seed = number("HISTORY_SEED").unwrap_or_else(|| fastrand::u64(..));
    let lasts = Duration::from_secs(number("HISTORY_SECONDS").unwrap_or(seconds));
    println!("HISTORY_SEED={seed}");
    let figures = Fleet::start(seed, servers).await.under_fire(lasts).await;
    println!("{figures}");
    figures.check(seed, lasts);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn c1_a_fleet_under_fire() {
    let _alone = ONE_AFTER_THE_OTHER.lock().await;
    under_fire(Servers::One(Box::new(RedisServer::start())), 60).await;
}

/// In the middle of it the replica becomes the master.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn c1_a_fleet_under_fire_and_a_failover() {
    let _alone = ONE_AFTER_THE_OTHER.lock().await;
    // The server is held for longer than half a second now and then, which is no reason for a failover.
    let setup = Setup { down_after_ms: Some(10_000), ..Setup::default() };
    under_fire(Servers::Service(Box::new(Service::start_with(setup).await), 0), 20).await;
}

/// Slots move, masters hand over, and one dies.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn c1_a_fleet_on_a_cluster_under_fire() {
    let _alone = ONE_AFTER_THE_OTHER.lock().await;
    under_fire(Servers::Cluster(Box::new(Cluster::start().await)), 20).await;
}
