//! A rolling deploy: processes of two versions of a program, whose types differ, on the same keys.

use std::time::Duration;

use redis::AsyncCommands;
use redis::aio::MultiplexedConnection;
use redis_cached::{Cache, redis_cached};
use redis_cached_tests::{Helper, RedisServer, eventually, in_time, orders, tell};
use tokio::task::JoinSet;
use tokio::time::Instant;

use crate::stage::connect;

const KEYS: u64 = 20;
const TTL: Duration = Duration::from_secs(1);
const CALLERS: usize = 8;
const CHANGES: usize = 200;

/// One version of the program: its type, and the function that loads it.
macro_rules! version {
    ($version:ident { $($field:ident: $ty:ty),* }) => {
        mod $version {
            use super::*;

            #[derive(Debug, Default, PartialEq, serde::Serialize, serde::Deserialize)]
            pub(super) struct Row {
                pub(super) version: u64,
                $($field: $ty,)*
            }

            #[redis_cached(
                key = "row:{id}", ttl = TTL, name = "deploys.row", cache = cache, skip(cache, origin)
            )]
            pub(super) async fn row(id: u64, cache: &Cache, origin: &MultiplexedConnection) -> Row {
                let mut origin = origin.clone();
                let field = format!("{}:{id}", stringify!($version));
                let (version,): (Option<u64>,) = redis::pipe()
                    .hget("origin", id)
                    .hincr("bodies", field, 1)
                    .ignore()
                    .query_async(&mut origin)
                    .await
                    .expect("the origin is there");
                Row { version: version.unwrap_or(0), ..Row::default() }
            }
        }
    };
}

version!(old { name: String });
version!(new { name: String, color: Option<u8> });

/// A helper process: calls without a pause until it is told to stop.
pub(crate) async fn play(version: &str) {
    let url = std::env::var("SERVER").expect("the parent says where the server is");
    let (cache, origin) = (connect(&url).await, connection(&url).await);
    let mut callers = JoinSet::new();
    for _ in 0..CALLERS {
        let (cache, origin, is_new) = (cache.clone(), origin.clone(), version == "new");
        callers.spawn(async move {
            loop {
                let id = fastrand::u64(..KEYS);
                if is_new {
                    new::row(id, &cache, &origin).await;
                } else {
                    old::row(id, &cache, &origin).await;
                }
                tokio::time::sleep(Duration::from_millis(2)).await;
            }
        });
    }
    let mut orders = orders();
    tell("ready");
    // Until the parent ends.
    while orders.recv().await.is_some() {}
}

async fn connection(url: &str) -> MultiplexedConnection {
    let client = redis::Client::open(url).expect("a url");
    client.get_multiplexed_async_connection().await.expect("the server is there")
}

async fn bodies(origin: &mut MultiplexedConnection) -> u64 {
    let counts: Vec<u64> = origin.hvals("bodies").await.expect("the origin is there");
    counts.iter().sum()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn c4_both_versions_keep_their_hits_and_an_invalidation_reaches_both() {
    let server = RedisServer::start();
    let url = server.url();
    let (cache, mut origin) = (connect(&url).await, connection(&url).await);
    let began = Instant::now();
    let mut fleet = Vec::new();
    for version in ["old", "new", "old", "new"] {
        let mut process = Helper::start(&format!("deploy {version}"), &[("SERVER", &url)]);
        process.must_say("ready").await;
        fleet.push(process);
    }
    in_time("rows change, and both versions see it", async {
        for round in 0..CHANGES {
            let id = fastrand::u64(..KEYS);
            let version: u64 = origin.hincr("origin", id, 1).await.unwrap();
            if round % 2 == 0 {
                old::row_entry(id, &cache).invalidate().await.unwrap();
            } else {
                new::row_entry(id, &cache).invalidate().await.unwrap();
            }
            assert!(old::row(id, &cache, &origin).await.version >= version);
            assert!(new::row(id, &cache, &origin).await.version >= version);
        }
    })
    .await;
    // For some ttls nothing changes.
    let (since, before) = (Instant::now(), bodies(&mut origin).await);
    eventually("some ttls are over", async || since.elapsed() > 5 * TTL).await;
    let all = bodies(&mut origin).await;
    let lasted = since.elapsed();
    drop(fleet);
    // A ttl is shortened by 5 % at most.
    let ttls = lasted.as_secs_f64() / (TTL.as_secs_f64() * 0.95) + 1.0;
    println!(
        "{} bodies in {lasted:?}; {all} in {:?} with {CHANGES} changes",
        all - before,
        began.elapsed()
    );
    #[expect(clippy::cast_precision_loss, reason = "a few hundred")]
    let for_each = (all - before) as f64 / KEYS as f64;
    assert!(for_each <= 2.0 * ttls, "{for_each} bodies for each key in {ttls} ttls");
}
