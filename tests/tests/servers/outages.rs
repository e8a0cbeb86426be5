//! C5: whatever happens to the server, reads go on, nothing is held for long, and afterwards the
//! cache works again without a restart of the program.

use std::time::Duration;

use redis::aio::MultiplexedConnection;
use redis_cached::{Cache, State, redis_cached};
use redis_cached_tests::{Gate, RedisServer, Told, eventually, in_time};
use tokio::runtime::Handle;
use tokio::task::{JoinSet, yield_now};
use tokio::time::Instant;

use crate::stage::{connect, connect_hastily, hits, live, live_entry, load, load_entry};

/// Not a promise of speed, only of an end: the deadline of one operation is 250 ms, and a call asks
/// for a value, for a lease, and writes.
pub(crate) const SOON: Duration = Duration::from_secs(5);

pub(crate) async fn order(cli: &mut MultiplexedConnection, command: &str) {
    let mut words = command.split(' ');
    let mut cmd = redis::cmd(words.next().unwrap_or_default());
    words.for_each(|word| {
        cmd.arg(word);
    });
    cmd.exec_async(cli).await.expect("the server is up");
}

pub(crate) async fn works_again(cache: &Cache, gate: &Gate) {
    eventually("a call is answered without a body", async || hits(42, cache, gate).await).await;
    eventually("an invalidation is carried out", async || {
        load_entry(42, cache).invalidate().await.is_ok()
    })
    .await;
    eventually("a call is answered without a body", async || hits(42, cache, gate).await).await;
}

/// Calls return what their bodies do, soon.
async fn runs_without(cache: &Cache, gate: &Gate) {
    for id in [42, 43, 42] {
        let (started, before) = (Instant::now(), gate.runs());
        assert_eq!(load(id, cache, gate).await, before + 1);
        assert!(started.elapsed() < SOON, "{:?}", started.elapsed());
    }
}

async fn refuses_to_invalidate(cache: &Cache) {
    let started = Instant::now();
    let error = load_entry(42, cache).invalidate().await.unwrap_err();
    assert!(error.is_unconfirmed(), "{error}");
    let error = load_entry(42, cache).set(1).await.unwrap_err();
    assert!(error.is_unconfirmed(), "{error}");
    let error = load_entry(42, cache).peek().await.unwrap_err();
    assert!(error.is_unavailable(), "{error}");
    let error = cache.ping().await.unwrap_err();
    assert!(error.is_unavailable(), "{error}");
    assert!(started.elapsed() < SOON, "{:?}", started.elapsed());
}

/// Catalogue 28.
#[tokio::test]
async fn c5_the_server_is_absent_at_start() {
    let mut server = RedisServer::start();
    server.stop();
    let (cache, gate) = (connect_hastily(&server.url()).await, Gate::open());
    runs_without(&cache, &gate).await;
    refuses_to_invalidate(&cache).await;
    server.restart();
    works_again(&cache, &gate).await;
    eventually("the server is told to be there", async || cache.ping().await.is_ok()).await;
}

#[tokio::test]
async fn c5_the_unix_socket_is_absent_at_start() {
    let mut server = RedisServer::start();
    server.stop();
    let (cache, gate) = (connect_hastily(&server.unix_url()).await, Gate::open());
    runs_without(&cache, &gate).await;
    refuses_to_invalidate(&cache).await;
    server.restart();
    works_again(&cache, &gate).await;
}

/// Catalogue 29.
#[tokio::test]
async fn c5_the_server_is_killed_in_between() {
    let mut server = RedisServer::start();
    let (cache, gate) = (connect_hastily(&server.url()).await, Gate::open());
    works_again(&cache, &gate).await;
    server.stop();
    runs_without(&cache, &gate).await;
    refuses_to_invalidate(&cache).await;
    server.restart();
    works_again(&cache, &gate).await;
}

/// Catalogue 29.
#[tokio::test]
async fn c5_the_server_is_killed_during_a_body() {
    let mut server = RedisServer::start();
    let (cache, gate) = (connect_hastily(&server.url()).await, Gate::closed());
    let kill = async {
        gate.started(1).await;
        server.stop();
        gate.let_all_go();
    };
    let (value, ()) =
        in_time("the call returns", async { tokio::join!(load(42, &cache, &gate), kill) }).await;
    assert_eq!(value, 1);
    server.restart();
    works_again(&cache, &gate).await;
}

/// A stopped server still accepts connections, and answers nothing.
/// Catalogue 30.
#[tokio::test]
async fn c5_the_server_is_stopped() {
    let server = RedisServer::start();
    let (cache, gate) = (connect_hastily(&server.url()).await, Gate::open());
    works_again(&cache, &gate).await;
    server.pause();
    runs_without(&cache, &gate).await;
    refuses_to_invalidate(&cache).await;
    server.resume();
    works_again(&cache, &gate).await;
}

/// Calls wait for their deadline a few times, and not all of them whenever somebody tries to connect.
/// Catalogue 30.
#[tokio::test]
async fn c5_a_server_that_does_not_answer_is_left_alone() {
    let server = RedisServer::start();
    let (cache, gate) = (connect_hastily(&server.url()).await, Gate::open());
    works_again(&cache, &gate).await;
    server.pause();
    let told = Told::listen();
    eventually("it is noticed", async || {
        load(42, &cache, &gate).await;
        told.text().contains("the store does not answer")
    })
    .await;
    drop(told);
    let told = Told::listen();
    for round in 0..300 {
        let mut calls = JoinSet::new();
        for id in 0..50 {
            let (cache, gate) = (cache.clone(), gate.clone());
            calls.spawn(async move { load(round * 50 + id, &cache, &gate).await });
        }
        calls.join_all().await;
    }
    let text = told.text();
    drop(told);
    assert!(text.contains("has not answered lately"), "nobody is kept from it");
    let waited =
        text.matches("no answer within").count() + text.matches("not connected within").count();
    assert!(waited < 20, "{waited} of 15,000 calls have waited");
    // An invalidation is tried all the same, of whatever kind, and finds out when it answers again.
    for refused in [
        load_entry(42, &cache).invalidate().await,
        cache.invalidate_tags(["one"]).await,
        cache.expire_tags(["one"]).await,
        cache.clear().await,
    ] {
        let error = refused.unwrap_err();
        assert!(error.is_unconfirmed(), "{error}");
        assert!(!error.to_string().contains("has not answered lately"), "{error}");
    }
    server.resume();
    works_again(&cache, &gate).await;
}

/// Neither tasks nor memory pile up behind calls that the server does not answer.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn c5_a_hundred_thousand_calls_leave_nothing_behind() {
    let server = RedisServer::start();
    let (cache, gate) = (connect_hastily(&server.url()).await, Gate::open());
    works_again(&cache, &gate).await;
    server.pause();
    let tasks = || Handle::current().metrics().num_alive_tasks();
    let (tasks_before, memory_before) = (tasks(), resident_memory());
    for round in 0..100 {
        let mut calls = JoinSet::new();
        for id in 0..1_000 {
            let (cache, gate) = (cache.clone(), gate.clone());
            calls.spawn(async move { load(round * 1_000 + id, &cache, &gate).await });
        }
        in_time("all are answered", calls.join_all()).await;
        // A lease that may have been taken is given back behind the caller, within one deadline.
        eventually("no task is left", async || tasks() < tasks_before + 32).await;
    }
    let grown = resident_memory().saturating_sub(memory_before);
    assert!(grown < 64 << 20, "{grown} bytes");
    server.resume();
    works_again(&cache, &gate).await;
}

fn resident_memory() -> usize {
    let pages = std::fs::read_to_string("/proc/self/statm").expect("this is Linux");
    let resident = pages.split(' ').nth(1).and_then(|pages| pages.parse::<usize>().ok());
    resident.expect("it is the second number") * 4096
}

#[tokio::test]
async fn c5_the_server_is_stopped_at_start() {
    let server = RedisServer::start();
    server.pause();
    let (cache, gate) = (connect_hastily(&server.url()).await, Gate::open());
    runs_without(&cache, &gate).await;
    refuses_to_invalidate(&cache).await;
    server.resume();
    works_again(&cache, &gate).await;
}

#[tokio::test]
async fn c5_the_server_is_stopped_during_a_body() {
    let server = RedisServer::start();
    let (cache, gate) = (connect_hastily(&server.url()).await, Gate::closed());
    let pause = async {
        gate.started(1).await;
        server.pause();
        gate.let_all_go();
    };
    let (value, ()) =
        in_time("the call returns", async { tokio::join!(load(42, &cache, &gate), pause) }).await;
    assert_eq!(value, 1);
    server.resume();
    works_again(&cache, &gate).await;
}

/// A body that waits for something, as every real one does.
#[redis_cached(key = "slow:{id}", ttl = "5m", cache = cache, skip(cache, gate))]
async fn slow(id: u64, cache: &Cache, gate: &Gate) -> usize {
    let run = gate.pass().await;
    yield_now().await;
    run
}

/// Callers of one process share one body also when the server can't be asked.
#[tokio::test(flavor = "current_thread")]
async fn c5_callers_share_a_body_while_the_server_is_away() {
    let mut server = RedisServer::start();
    let builder = Cache::builder().url(server.url()).connections(1);
    let (cache, gate) = (builder.build().await.unwrap(), Gate::closed());
    server.stop();
    let mut calls = JoinSet::new();
    for _ in 0..100 {
        let (cache, gate) = (cache.clone(), gate.clone());
        calls.spawn(async move { slow(42, &cache, &gate).await });
    }
    gate.started(1).await;
    // On the only connection, behind all calls: when this one has failed, they have too, and have
    // joined the flight at their next turn.
    cache.ping().await.unwrap_err();
    for _ in 0..10 {
        yield_now().await;
    }
    gate.let_all_go();
    in_time("everybody returns", calls.join_all()).await;
    // One for those who came before it began, one for all who came after; and some for stragglers.
    assert!(gate.runs() <= 5, "{} bodies", gate.runs());
}

/// A server that was started again knows no script, and no entry.
/// Catalogue 38.
#[tokio::test]
async fn c5_the_server_is_restarted() {
    let mut server = RedisServer::start();
    let (cache, gate) = (connect(&server.url()).await, Gate::open());
    assert_eq!(load(42, &cache, &gate).await, 1);
    server.stop();
    server.restart();
    works_again(&cache, &gate).await;
}

/// Catalogue 38.
#[tokio::test]
async fn c5_the_server_forgets_its_scripts() {
    let server = RedisServer::start();
    let (cache, gate, mut cli) = (connect(&server.url()).await, Gate::closed(), server.cli().await);
    for run in 1..=3 {
        let forget = async {
            gate.started(run).await;
            // Between taking the lease and writing under it.
            order(&mut cli, "SCRIPT FLUSH").await;
            gate.let_go(run);
        };
        let (value, ()) = tokio::join!(load(42, &cache, &gate), forget);
        assert_eq!(value, run);
        order(&mut cli, "SCRIPT FLUSH").await;
        assert!(hits(42, &cache, &gate).await, "it was stored all the same");
        load_entry(42, &cache).invalidate().await.unwrap();
    }
}

/// Everything is gone in the middle of a body, the lease too: no lease, no write.
/// Catalogue 39.
#[tokio::test]
async fn c1_a_flush_during_a_body_refuses_its_commit() {
    let server = RedisServer::start();
    let (cache, gate, mut cli) = (connect(&server.url()).await, Gate::closed(), server.cli().await);
    let flush = async {
        gate.started(1).await;
        order(&mut cli, "FLUSHALL").await;
        gate.let_go(1);
    };
    let (value, ()) = tokio::join!(load(42, &cache, &gate), flush);
    assert_eq!(value, 1);
    assert!(load_entry(42, &cache).peek().await.unwrap().is_none());
    gate.let_all_go();
    works_again(&cache, &gate).await;
}

/// The same behind a stale hit.
/// Catalogue 39.
#[tokio::test]
async fn c1_a_flush_during_a_refresh_refuses_its_commit() {
    let server = RedisServer::start();
    let (cache, gate, mut cli) = (connect(&server.url()).await, Gate::closed(), server.cli().await);
    gate.let_go(1);
    live(42, &cache, &gate).await;
    live_entry(42, &cache).expire().await.unwrap();
    assert_eq!(live(42, &cache, &gate).await, 1);
    gate.started(2).await;
    order(&mut cli, "FLUSHALL").await;
    gate.let_go(2);
    cache.shutdown(Duration::from_secs(20)).await.unwrap();
    assert!(live_entry(42, &cache).peek().await.unwrap().is_none());
}

/// The server throws the lease away to make room: a second body at worst, never an old write.
/// Catalogue 40.
#[tokio::test]
async fn c1_an_evicted_lease_is_no_right_to_write() {
    let server = RedisServer::start();
    let (a, b) = (connect(&server.url()).await, connect(&server.url()).await);
    let (gate, mut cli) = (Gate::closed(), server.cli().await);
    let evict = async {
        gate.started(1).await;
        order(&mut cli, "DEL ns:{user:42}.lease").await;
        gate.let_go(2);
        assert_eq!(load(42, &b, &gate).await, 2);
        gate.let_go(1);
    };
    let (value, ()) = tokio::join!(load(42, &a, &gate), evict);
    assert_eq!(value, 1);
    assert_eq!(load(42, &a, &gate).await, 2, "what came second stays");
}

/// A server that pauses writes holds scripts and deletes back too, but not reads.
/// Catalogue 31.
#[tokio::test]
async fn c5_hits_go_on_while_writes_are_paused() {
    let server = RedisServer::start();
    let (cache, gate, mut cli) =
        (connect_hastily(&server.url()).await, Gate::open(), server.cli().await);
    works_again(&cache, &gate).await;
    let runs = gate.runs();
    order(&mut cli, "CLIENT PAUSE 60000 WRITE").await;
    for _ in 0..20 {
        assert_eq!(load(42, &cache, &gate).await, runs);
    }
    // A miss can't take the lease: its body runs.
    let started = Instant::now();
    assert_eq!(load(1, &cache, &gate).await, runs + 1);
    assert!(load_entry(42, &cache).invalidate().await.unwrap_err().is_unconfirmed());
    assert!(started.elapsed() < SOON, "{:?}", started.elapsed());
    order(&mut cli, "CLIENT UNPAUSE").await;
    works_again(&cache, &gate).await;
}

/// Memory is full and nothing may be evicted: writing is refused, reading and deleting is not.
/// Catalogue 32.
#[tokio::test]
async fn c5_invalidation_works_when_memory_is_full() {
    let server = RedisServer::start_with(&["--maxmemory-policy", "noeviction"]);
    let (cache, gate, mut cli) = (connect(&server.url()).await, Gate::open(), server.cli().await);
    assert_eq!(load(42, &cache, &gate).await, 1);
    assert_eq!(load(43, &cache, &gate).await, 2);
    assert_eq!(live(44, &cache, &gate).await, 3);
    order(&mut cli, "CONFIG SET maxmemory 1").await;
    assert_eq!(load(42, &cache, &gate).await, 1, "hits go on");
    load_entry(42, &cache).invalidate().await.unwrap();
    assert!(load_entry(42, &cache).peek().await.unwrap().is_none());
    live_entry(44, &cache).expire().await.unwrap();
    let seen = live_entry(44, &cache).peek().await.unwrap().expect("it is marked, not removed");
    assert_eq!(seen.state, State::Stale);
    assert_eq!(live(44, &cache, &gate).await, 3, "and served");
    assert_eq!(load(42, &cache, &gate).await, 4, "misses run their bodies");
    assert!(load_entry(42, &cache).peek().await.unwrap().is_none());
    assert_eq!(load(43, &cache, &gate).await, 2);
    let error = load_entry(42, &cache).set(9).await.unwrap_err();
    assert!(error.is_unconfirmed(), "{error}");
    order(&mut cli, "CONFIG SET maxmemory 0").await;
    works_again(&cache, &gate).await;
}

/// All connections are cut: the next call uses new ones.
#[tokio::test]
async fn c5_connections_are_cut() {
    let server = RedisServer::start();
    let (cache, gate, mut cli) = (connect(&server.url()).await, Gate::open(), server.cli().await);
    assert_eq!(load(42, &cache, &gate).await, 1);
    for _ in 0..5 {
        order(&mut cli, "CLIENT KILL TYPE normal SKIPME yes").await;
        assert_eq!(load(42, &cache, &gate).await, 1);
    }
    order(&mut cli, "CLIENT KILL TYPE normal SKIPME yes").await;
    load_entry(42, &cache).invalidate().await.unwrap();
    assert_eq!(load(42, &cache, &gate).await, 2);
}

/// A caller that waits for another process loses its connection, and still gets the value.
#[tokio::test]
async fn c5_connections_are_cut_under_those_who_wait() {
    let server = RedisServer::start();
    let (a, b) = (connect(&server.url()).await, connect(&server.url()).await);
    let (gate, mut cli) = (Gate::closed(), server.cli().await);
    let cut = async {
        gate.started(1).await;
        let waiting = load(42, &b, &gate);
        let cut = async {
            eventually("the other process watches the lease", async || {
                let info: String =
                    redis::cmd("CLIENT").arg("LIST").query_async(&mut cli).await.unwrap();
                info.lines().any(|line| line.contains(" flags=t ") && line.contains(" cmd=get "))
            })
            .await;
            order(&mut cli, "CLIENT KILL TYPE normal SKIPME yes").await;
            gate.let_all_go();
        };
        tokio::join!(waiting, cut).0
    };
    let (first, second) =
        in_time("both return", Box::pin(async { tokio::join!(load(42, &a, &gate), cut) })).await;
    assert_eq!(first, 1);
    assert_eq!(second, gate.runs(), "the value of the last body that ran");
    works_again(&a, &gate).await;
    works_again(&b, &gate).await;
}

#[redis_cached(
    key = "covered:{id}", ttl = "5m", stale_if_error = "1h", max_concurrency = 1, wait = "1m", cache = cache,
    skip(cache, gate)
)]
async fn covered(id: u64, cache: &Cache, gate: &Gate) -> Result<usize, usize> {
    let run = gate.pass().await;
    if run == 3 { Err(run) } else { Ok(run) }
}

#[tokio::test]
async fn c5_what_was_found_before_the_server_went_away_is_served_where_computing_fails() {
    let mut server = RedisServer::start();
    let (cache, gate) = (connect_hastily(&server.url()).await, Gate::closed());
    gate.let_go(1);
    assert_eq!(covered(1, &cache, &gate).await, Ok(1));
    covered_entry(1, &cache).expire().await.unwrap();
    let call = |id| {
        let (cache, gate) = (cache.clone(), gate.clone());
        tokio::spawn(async move { covered(id, &cache, &gate).await })
    };
    let other = call(2);
    gate.started(2).await;
    // It looks, and waits for a place. Of one key replies come in the order of the questions.
    let waiting = call(1);
    yield_now().await;
    covered_entry(1, &cache).ttl().await.unwrap();
    yield_now().await;
    server.stop();
    gate.let_go(2);
    gate.let_go(3);
    assert_eq!(in_time("the one that has a place ends", other).await.unwrap(), Ok(2));
    assert_eq!(in_time("the other one ends", waiting).await.unwrap(), Ok(1));
    assert_eq!(gate.runs(), 3);
}
