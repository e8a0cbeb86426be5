//! Processes whose clocks are hours apart: what is served, and for how long, is the server's business.
//!
//! A helper process obeys `read N`, `brief N`, `peek N`, `invalidate N` and `clock`.

use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use redis_cached::{Cache, redis_cached};
use redis_cached_tests::{Helper, RedisServer, eventually, faked_clock, orders, tell};

use crate::stage::patient;

const HOUR: Duration = Duration::from_secs(3600);

/// Says which process has computed it.
#[redis_cached(
    key = "moment:{id}", ttl = "5m", refresh_before = "1m", cache = cache, skip(cache, process)
)]
async fn moment(id: u64, cache: &Cache, process: &Arc<str>) -> String {
    tokio::task::yield_now().await;
    process.to_string()
}

#[redis_cached(key = "brief:{id}", ttl = "1s", jitter = "0%", cache = cache, skip(cache, process))]
async fn brief(id: u64, cache: &Cache, process: &Arc<str>) -> String {
    tokio::task::yield_now().await;
    process.to_string()
}

/// The helper process.
pub(crate) fn play(process: &str) {
    let runtime = tokio::runtime::Runtime::new().expect("a runtime");
    runtime.block_on(async {
        let url = std::env::var("SERVER").expect("the parent says where the server is");
        let cache = patient(&url).build().await.expect("the server is up");
        let process: Arc<str> = process.into();
        let mut orders = orders();
        while let Some(order) = orders.recv().await {
            let (verb, id) = order.split_once(' ').unwrap_or((&order, "0"));
            let id = id.parse().expect("a number");
            let said = match verb {
                "read" => moment(id, &cache, &process).await,
                "brief" => brief(id, &cache, &process).await,
                "peek" => {
                    let seen = moment_entry(id, &cache).peek().await.expect("the server is up");
                    let seen = seen.expect("it is stored");
                    let is_young = seen.age.is_none_or(|age| age < HOUR / 60);
                    format!("{:?}, young: {is_young}", seen.state)
                }
                "invalidate" => {
                    moment_entry(id, &cache).invalidate().await.expect("the server is up");
                    "invalidated".to_owned()
                }
                "clock" => {
                    let now = SystemTime::now().duration_since(UNIX_EPOCH).expect("it is later");
                    now.as_secs().to_string()
                }
                other => panic!("unknown order {other:?}"),
            };
            tell(&said);
        }
    });
    runtime.shutdown_background();
}

/// A process whose clock is off by this.
fn helper(process: &str, off: &str, server: &RedisServer) -> Helper {
    let (url, clock) = (server.url(), faked_clock(off));
    let mut environment = vec![("SERVER", &*url)];
    environment.extend(clock.iter().map(|(name, value)| (*name, &**value)));
    Helper::start(process, &environment)
}

async fn asked(helper: &mut Helper, order: &str) -> String {
    helper.order(order);
    helper.says().await
}

/// Catalogue 63.
#[tokio::test]
async fn c1_clocks_that_are_hours_apart_change_nothing() {
    let server = RedisServer::start();
    let mut ahead = helper("ahead", "+3600s", &server);
    let mut behind = helper("behind", "-3600s", &server);
    let clock = async |helper: &mut Helper| {
        let now = asked(helper, "clock").await.parse().expect("seconds");
        Duration::from_secs(now)
    };
    let apart = clock(&mut ahead).await.checked_sub(clock(&mut behind).await);
    assert!(apart.is_some_and(|apart| apart > HOUR), "the clocks are apart: {apart:?}");
    both_ways(&mut ahead, "ahead", &mut behind, "behind", 1).await;
    both_ways(&mut behind, "behind", &mut ahead, "ahead", 2).await;
    // It ends for all of them when the server says so.
    let cache = patient(&server.url()).build().await.unwrap();
    for id in [1, 2] {
        let order = format!("brief {id}");
        let [first, second] = if id == 1 { ["ahead", "behind"] } else { ["behind", "ahead"] };
        assert_eq!(asked(&mut ahead, &order).await, first);
        eventually("it ends", async || brief_entry(id, &cache).peek().await.unwrap().is_none())
            .await;
        assert_eq!(asked(&mut behind, &order).await, second, "it has ended there too");
        std::mem::swap(&mut ahead, &mut behind);
    }
}

/// What one computes is a fresh hit for the other, and is invalidated by it.
async fn both_ways(one: &mut Helper, its: &str, other: &mut Helper, others: &str, id: u64) {
    let (read, peek) = (format!("read {id}"), format!("peek {id}"));
    assert_eq!(asked(one, &read).await, its);
    for helper in [&mut *one, &mut *other] {
        assert_eq!(asked(helper, &read).await, its, "a hit");
        assert_eq!(asked(helper, &peek).await, "Fresh, young: true");
    }
    assert_eq!(asked(other, &format!("invalidate {id}")).await, "invalidated");
    assert_eq!(asked(other, &read).await, others, "computed anew");
    assert_eq!(asked(one, &read).await, others);
}
