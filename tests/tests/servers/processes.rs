//! Real processes that are killed, stopped and resumed while they hold the lease.
//!
//! A helper process obeys these lines: `call`, `go N` (lets its body N end), `crowd N` (N calls at
//! once), `drain`. It says `body N` when one starts and `returned V` when a call ends.

use std::sync::Arc;

use redis_cached::{Cache, redis_cached};
use redis_cached_tests::{Gate, Helper, RedisServer, eventually, in_time, orders, tell};
use tokio::task::JoinSet;
use tokio::time::Instant;

use crate::stage::connect;

/// Where values come from: each names the process that computed it.
#[derive(Clone)]
struct Origin {
    process: Arc<str>,
    gate: Gate,
}

impl Origin {
    fn new(process: &str) -> Self {
        Self { process: process.into(), gate: Gate::closed() }
    }
}

#[redis_cached(
    key = "job:{id}", ttl = "5m", refresh_before = "1m", lock_ttl = "1s", wait = "1m",
    cache = cache, skip(cache, origin)
)]
async fn job(id: u64, cache: &Cache, origin: &Origin) -> String {
    let run = origin.gate.enter();
    tell(&format!("body {run}"));
    origin.gate.permission(run).await;
    format!("{}{run}", origin.process)
}

/// The helper process.
pub(crate) fn play(process: &str) {
    let runtime = tokio::runtime::Runtime::new().expect("a runtime");
    runtime.block_on(async {
        let url = std::env::var("SERVER").expect("the parent says where the server is");
        let (cache, origin) = (connect(&url).await, Origin::new(process));
        let mut orders = orders();
        tell("ready");
        while let Some(order) = orders.recv().await {
            obey(&order, &cache, &origin).await;
        }
    });
    runtime.shutdown_background();
}

async fn obey(order: &str, cache: &Cache, origin: &Origin) {
    let (verb, number) = order.split_once(' ').unwrap_or((order, "0"));
    let number: usize = number.parse().expect("a number");
    let (cache, origin) = (cache.clone(), origin.clone());
    match verb {
        "call" => {
            tokio::spawn(
                async move { tell(&format!("returned {}", job(42, &cache, &origin).await)) },
            );
        }
        "go" => origin.gate.let_go(number),
        "crowd" => {
            let mut crowd = JoinSet::new();
            for _ in 0..number {
                let (cache, origin) = (cache.clone(), origin.clone());
                crowd.spawn(async move { job(42, &cache, &origin).await });
            }
            tokio::spawn(async move {
                let mut values = crowd.join_all().await;
                values.sort();
                values.dedup();
                tell(&format!("crowd {}", values.join(" ")));
            });
        }
        "drain" => {
            let drained = cache.shutdown(redis_cached_tests::PATIENCE).await;
            tell(if drained.is_ok() { "drained" } else { "not drained" });
        }
        other => panic!("unknown order {other:?}"),
    }
}

async fn helper(process: &str, server: &RedisServer) -> Helper {
    let mut helper = Helper::start(process, &[("SERVER", &server.url())]);
    helper.must_say("ready").await;
    helper
}

async fn stored(cache: &Cache) -> Option<String> {
    job_entry(42, cache).peek().await.unwrap().map(|seen| seen.value)
}

/// The process that holds the lease is killed in mid-body: another one takes over when the lease
/// ends, which its server sees to.
/// Catalogue 4.
#[tokio::test]
async fn c4_another_process_takes_over_from_a_killed_one() {
    let server = RedisServer::start();
    let (mut a, mut b) = (helper("a", &server).await, helper("b", &server).await);
    a.order("call");
    a.must_say("body 1").await;
    b.order("call");
    a.kill();
    let killed = Instant::now();
    b.must_say("body 1").await;
    println!("taken over {:?} after the kill; lock_ttl is 1 s", killed.elapsed());
    b.order("go 1");
    b.must_say("returned b1").await;
    assert_eq!(stored(&connect(&server.url()).await).await.as_deref(), Some("b1"));
}

/// The holder is stopped for longer than its lease, somebody else computes, the holder goes on: it
/// returns what it has, and what the other wrote stays.
/// Catalogue 6.
#[tokio::test]
async fn c1_a_stopped_holder_does_not_overwrite_its_successor() {
    let server = RedisServer::start();
    let (mut a, mut b) = (helper("a", &server).await, helper("b", &server).await);
    let cache = connect(&server.url()).await;
    a.order("call");
    a.must_say("body 1").await;
    a.pause();
    b.order("call");
    b.must_say("body 1").await;
    b.order("go 1");
    b.must_say("returned b1").await;
    a.resume();
    a.order("go 1");
    a.must_say("returned a1").await;
    assert_eq!(stored(&cache).await.as_deref(), Some("b1"));
}

/// The same, where nobody has taken the lease meanwhile: a lease that has ended is no right to write.
/// Catalogue 6.
#[tokio::test]
async fn c1_a_lapsed_lease_is_no_right_to_write() {
    let server = RedisServer::start();
    let mut a = helper("a", &server).await;
    let (cache, mut cli) = (connect(&server.url()).await, server.cli().await);
    a.order("call");
    a.must_say("body 1").await;
    a.pause();
    eventually("the lease ends", async || {
        let there: bool =
            redis::cmd("EXISTS").arg("ns:{job:42}.lease").query_async(&mut cli).await.unwrap();
        !there
    })
    .await;
    // Before it runs again, so that there is nothing left to wait for.
    a.order("go 1");
    a.resume();
    a.must_say("returned a1").await;
    assert_eq!(stored(&cache).await, None);
}

/// An invalidation is acknowledged in one process while another one computes: the late commit is
/// refused, and a second call there, which joins the old computation, does not get its value.
/// Catalogue 9, 13.
#[tokio::test]
async fn c1_invalidate_in_another_process_during_a_body() {
    let server = RedisServer::start();
    let mut a = helper("a", &server).await;
    let cache = connect(&server.url()).await;
    a.order("call");
    a.must_say("body 1").await;
    job_entry(42, &cache).invalidate().await.unwrap();
    a.order("call");
    a.order("go 1");
    // The two callers have no order: the late one may compute before or after the old one returns.
    let mut said = [a.says().await, a.says().await];
    said.sort();
    assert_eq!(said, ["body 2", "returned a1"]);
    assert_eq!(stored(&cache).await, None, "the late commit was refused");
    a.order("go 2");
    a.must_say("returned a2").await;
    assert_eq!(stored(&cache).await.as_deref(), Some("a2"));
}

#[tokio::test]
async fn c4_500_callers_in_each_of_two_processes_share_one_body() {
    let server = RedisServer::start();
    let (mut a, mut b) = (helper("a", &server).await, helper("b", &server).await);
    a.order("crowd 500");
    b.order("crowd 500");
    let first = tokio::select! { line = a.says() => ("a", line), line = b.says() => ("b", line) };
    assert_eq!(first.1, "body 1");
    let (leader, other) = if first.0 == "a" { (&mut a, &mut b) } else { (&mut b, &mut a) };
    leader.order("go 1");
    // What each says next is the end of its crowd: no second body has started anywhere.
    let all = format!("crowd {}1", first.0);
    leader.must_say(&all).await;
    other.must_say(&all).await;
}

#[tokio::test]
async fn c4_exactly_one_of_three_processes_refreshes() {
    let server = RedisServer::start();
    let cache = connect(&server.url()).await;
    let mut helpers =
        [helper("a", &server).await, helper("b", &server).await, helper("c", &server).await];
    job_entry(42, &cache).set("old".to_owned()).await.unwrap();
    job_entry(42, &cache).expire().await.unwrap();
    let mut bodies = 0;
    for helper in &mut helpers {
        helper.order("go 1");
        helper.order("call");
        loop {
            match helper.says().await.as_str() {
                "body 1" => bodies += 1,
                "returned old" => break,
                // A refresh that is over already.
                line if line.starts_with("returned ") && bodies == 1 => break,
                other => panic!("{other}"),
            }
        }
        helper.order("drain");
        loop {
            match helper.says().await.as_str() {
                "body 1" => bodies += 1,
                "drained" => break,
                other => panic!("{other}"),
            }
        }
    }
    assert_eq!(bodies, 1);
    assert_eq!(stored(&cache).await.as_deref(), Some("a1"));
}

/// The lease of a living process is renewed for as long as its body runs.
#[tokio::test]
async fn a_body_longer_than_its_lease_keeps_it() {
    let server = RedisServer::start();
    let mut a = helper("a", &server).await;
    let cache = connect(&server.url()).await;
    a.order("call");
    a.must_say("body 1").await;
    // Twice the lease's life: the time itself is what is tested.
    tokio::time::sleep(std::time::Duration::from_secs(2)).await;
    a.order("go 1");
    in_time("the call returns", a.must_say("returned a1")).await;
    assert_eq!(stored(&cache).await.as_deref(), Some("a1"), "the lease was still held");
}
