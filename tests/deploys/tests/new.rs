//! The build that takes its place, and the test of both: a rolling deploy.

#[path = "../src/program.rs"]
mod program;

mod product {
    #[derive(Debug, PartialEq, serde::Serialize, serde::Deserialize)]
    pub(crate) struct Product {
        pub(crate) version: u64,
        /// Before the name: what the other build has stored could be read as one, with another meaning.
        pub(crate) color: Option<u8>,
        name: String,
    }

    impl Product {
        pub(crate) fn of(id: u64, version: u64) -> Self {
            Self { version, color: Some(7), name: format!("product {id}") }
        }
    }
}

use redis::AsyncCommands;
use redis_cached_tests::{Helper, RedisServer, eventually, in_time};
use tokio::time::Instant;

use program::{Origin, PRODUCTS, TTL, connect, product, product_entry};

/// In ttls: so long nothing changes, then everything does at once, and then nothing for as long again.
const QUIET: u32 = 3;
/// Each product this often.
const CHANGES: u64 = 3;

/// Not a test of its own: the new build, in a process of its own.
#[tokio::test]
async fn helper_process() {
    if redis_cached_tests::role().is_some() {
        program::run().await;
    }
}

/// How often the processes have called, and how many bodies have run.
#[derive(Clone, Copy, Default)]
struct Count {
    calls: u64,
    bodies: u64,
}

async fn count(fleet: &mut [Helper]) -> Vec<Count> {
    let mut counts = Vec::new();
    for process in fleet {
        process.order("count");
        let said = process.says().await;
        let numbers = said.split_once(' ').and_then(|(calls, bodies)| {
            Some(Count { calls: calls.parse().ok()?, bodies: bodies.parse().ok()? })
        });
        counts.push(numbers.unwrap_or_else(|| panic!("{said}")));
    }
    counts
}

/// Catalogue 43.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn c4_two_builds_keep_their_hits_and_an_invalidation_reaches_both() {
    let server = RedisServer::start();
    let url = server.url();
    let environment = [("SERVER", &*url)];
    let old = || Helper::program(env!("CARGO_BIN_EXE_storefront"), &environment);
    let new = || Helper::start("new", &environment);
    let mut fleet = [old(), new(), old(), new()];
    for process in &mut fleet {
        // Else they would have nothing to do with each other.
        process.must_say("storefront::program::product").await;
    }
    let began = Instant::now();
    let quiet = async |what| {
        let since = Instant::now();
        eventually(what, async || since.elapsed() > QUIET * TTL).await;
    };
    quiet("some ttls are over").await;
    in_time("products change", change_all(&mut fleet, &url)).await;
    quiet("some more ttls are over").await;
    let lasted = began.elapsed();
    let counts = count(&mut fleet).await;
    // A ttl is shortened by 5 % at most.
    let ttls = lasted.as_secs_f64() / (TTL.as_secs_f64() * 0.95) + 1.0;
    let bodies: u64 = counts.iter().map(|count| count.bodies).sum();
    #[expect(clippy::cast_precision_loss, reason = "a few hundred")]
    let (for_each, changes) = (bodies as f64 / PRODUCTS as f64, CHANGES as f64);
    println!(
        "{for_each:.1} bodies for each key in {lasted:?}, in which each changed {CHANGES} times"
    );
    assert!(for_each <= 2.0 * (ttls + changes), "{for_each} for each in {ttls} ttls");
    for Count { calls, bodies } in counts {
        println!("{calls} calls, {bodies} bodies");
        assert!(calls > 3 * bodies, "{bodies} bodies for {calls} calls");
    }
}

/// One after the other, each by another process; the processes and this one are never served what was before.
async fn change_all(fleet: &mut [Helper], url: &str) {
    let (cache, mut origin) = (connect(url).await, Origin::at(url).await);
    for change in 0..CHANGES * PRODUCTS {
        let id = change % PRODUCTS;
        let version: u64 = origin.redis.hincr("products", id, 1).await.expect("it is there");
        // One more than there are: this one.
        let by = usize::try_from(change + change / PRODUCTS).expect("few") % (fleet.len() + 1);
        match fleet.get_mut(by) {
            Some(process) => {
                process.order(&format!("invalidate {id}"));
                process.must_say("invalidated").await;
            }
            None => product_entry(id, &cache).invalidate().await.expect("the server is there"),
        }
        let () = origin.redis.hset("acknowledged", id, version).await.expect("it is there");
        assert_eq!(product(id, &cache, &origin).await.version, version);
    }
}
