//! What is counted of servers: real ones, that are killed and come back.

use std::time::Duration;

use redis_cached::{Builder, Cache, redis_cached};
use redis_cached_tests::{Gate, RedisServer, eventually, in_time};

use crate::functions::settle;
use crate::heard::Heard;

/// A busy machine is not what is tested.
pub(crate) fn patient() -> Builder {
    let long = Duration::from_secs(20);
    Cache::builder().namespace("ns").deadline(long).connect_timeout(long)
}

#[redis_cached(key = "sized:{id}", ttl = "5m", cache = cache)]
async fn sized(cache: &Cache, id: u64) -> String {
    settle().await;
    "x".repeat(10_000)
}

#[tokio::test]
async fn operations_and_their_bytes_are_counted() {
    let heard = Heard::listen();
    let server = RedisServer::start();
    let cache = patient().url(server.url()).build().await.unwrap();
    let address = format!("127.0.0.1:{}", server.port());
    let of = |direction| heard.sum("store.io", &[("direction", direction)]);
    let before = of("transmit");
    sized(&cache, 1).await;
    let (sent, received) = (of("transmit") - before, of("receive"));
    assert!((10_000..11_000).contains(&sent), "{sent} bytes");
    let reads = heard.sum("store.operations", &[("access", "read")]);
    sized(&cache, 1).await;
    let got = of("receive") - received;
    assert!((10_000..10_500).contains(&got), "{got} bytes");
    let read = [("server", &*address), ("access", "read"), ("result", "ok")];
    let now = heard.sum("store.operations", &read);
    assert_eq!(now - reads, 1, "a hit is one");
    for access in ["read", "write"] {
        let timed = heard.values("store.operation.duration", &[("access", access)]).len();
        let counted = heard.sum("store.operations", &[("access", access)]);
        assert_eq!(usize::try_from(counted), Ok(timed));
    }
    assert_eq!(heard.registered("store.breaker"), 2, "they are there from the beginning");
    heard.counts("store.breaker", "access", &[]);
    assert_eq!(heard.values("lookup.duration", &[]).len(), 2);
}

#[redis_cached(key = "outage:{id}", ttl = "5m", cache = cache)]
async fn in_outage(cache: &Cache, id: u64) -> u64 {
    settle().await;
    id
}

#[tokio::test]
async fn c5_a_server_that_is_left_alone_and_comes_back_is_seen() {
    let heard = Heard::listen();
    let mut server = RedisServer::start();
    let cache = Cache::builder().url(server.url()).namespace("ns").build().await.unwrap();
    in_outage(&cache, 1).await;
    server.stop();
    let open = |access| heard.sum("store.breaker", &[("access", access)]) > 0;
    eventually("the server is left alone", async || {
        in_outage(&cache, 1).await;
        in_outage(&cache, 2).await;
        open("read") && heard.sum("store.operations", &[("result", "left_alone")]) > 0
    })
    .await;
    assert!(heard.sum("store.operations", &[("result", "unconnected")]) > 0);
    assert!(heard.sum("calls", &[("outcome", "unleased")]) > 0);
    server.restart();
    eventually("it is asked again", async || {
        in_outage(&cache, 1).await;
        in_outage(&cache, 2).await;
        !open("read") && !open("write")
    })
    .await;
    heard.counts("store.breaker", "access", &[]);
}

/// Counted with whoever else leaves it alone, and no longer when it is gone.
#[test]
fn what_a_runtime_has_known_of_a_server_ends_with_it() {
    #[redis_cached(key = "ended:{id}", ttl = "5m", cache = cache)]
    async fn ended(cache: &Cache, id: u64) -> u64 {
        settle().await;
        id
    }
    let heard = Heard::listen();
    let runtime =
        || tokio::runtime::Builder::new_current_thread().enable_all().build().expect("one starts");
    let (first, mut server) = (runtime(), RedisServer::start());
    let open = || heard.sum("store.breaker", &[("access", "read")]) > 0;
    let cache = first.block_on(async {
        let cache = Cache::builder().url(server.url()).namespace("ns").build().await.unwrap();
        server.stop();
        eventually("the server is left alone", async || {
            ended(&cache, 1).await;
            open()
        })
        .await;
        cache
    });
    drop((first, cache));
    assert!(!open());
}

#[redis_cached(key = "slow:{id}", ttl = "5m", cache = cache)]
async fn slow(cache: &Cache, id: u64) -> u64 {
    settle().await;
    id
}

#[tokio::test]
async fn c5_a_server_that_does_not_answer_in_time_is_seen() {
    let heard = Heard::listen();
    let server = RedisServer::start();
    let cache = Cache::builder().url(server.url()).namespace("ns").build().await.unwrap();
    slow(&cache, 1).await;
    server.pause();
    slow(&cache, 1).await;
    server.resume();
    assert!(heard.sum("store.operations", &[("result", "deadline")]) > 0);
    let longest = heard.values("lookup.duration", &[]).into_iter().fold(0.0, f64::max);
    assert!(longest > 0.2, "{longest} s");
}

#[redis_cached(key = "refused:{id}", ttl = "5m", cache = cache)]
async fn refused(cache: &Cache, id: u64) -> u64 {
    settle().await;
    id
}

#[tokio::test]
async fn c5_what_a_server_refuses_is_counted() {
    let heard = Heard::listen();
    let server = RedisServer::start_with(&["--maxmemory-policy", "noeviction"]);
    let cache = patient().url(server.url()).build().await.unwrap();
    let mut cli = server.cli().await;
    let set = redis::cmd("CONFIG").arg("SET").arg("maxmemory").arg(1).clone();
    set.exec_async(&mut cli).await.unwrap();
    refused(&cache, 1).await;
    assert!(heard.sum("store.operations", &[("access", "write"), ("result", "refused")]) > 0);
    assert!(heard.sum("warnings", &[("warning", "server")]) > 0);
    heard.counts("calls", "outcome", &[("unleased", 1)]);
}

#[redis_cached(key = "leased:{id}", ttl = "5m", wait = "1m", skip(gate), cache = cache)]
async fn leased(cache: &Cache, gate: &Gate, id: u64) -> usize {
    gate.pass().await
}

#[tokio::test]
async fn waiting_for_another_process_is_measured() {
    let heard = Heard::listen();
    let server = RedisServer::start();
    let one = patient().url(server.url()).build().await.unwrap();
    let other = patient().url(server.url()).build().await.unwrap();
    let gate = Gate::closed();
    let written = || heard.sum("store.operations", &[("access", "write"), ("result", "ok")]);
    let second = async {
        gate.started(1).await;
        let before = written();
        let go = async {
            // What it asks for is the lease, and that is another's: from that moment it waits.
            eventually("it has asked", async || written() > before).await;
            gate.let_all_go();
        };
        tokio::join!(leased(&other, &gate, 1), go).0
    };
    let (first, second) =
        in_time("both return", async { tokio::join!(leased(&one, &gate, 1), second) }).await;
    assert_eq!((first, second), (1, 1));
    assert!(!heard.values("wait.duration", &[("awaited", "lease")]).is_empty());
    heard.counts("calls", "outcome", &[("computed", 1), ("hit", 1)]);
}
