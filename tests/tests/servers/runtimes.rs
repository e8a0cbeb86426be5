//! One cache, used from several tokio runtimes, from one that is gone, and from none.

use std::future::Future;
use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::task::{Context, Poll, Wake, Waker};
use std::thread::{self, Thread};
use std::time::Duration;

use redis_cached::{Cache, Invalidation, State, redis_cached};
use redis_cached_tests::{Gate, PATIENCE, RedisServer, eventually, in_time};
use tokio::runtime::{Builder, Runtime};
use tokio::sync::oneshot;
use tokio::task::JoinSet;
use tokio::time::sleep;

use crate::dropped::leases;
use crate::stage::{connect, load, load_entry, patient};

fn current_thread() -> Runtime {
    Builder::new_current_thread().enable_all().build().expect("a runtime")
}

fn multi_thread() -> Runtime {
    Builder::new_multi_thread().worker_threads(2).enable_all().build().expect("a runtime")
}

/// As simple an executor as can be: no timer, no sockets, no tokio.
fn block_on<F: Future>(future: F) -> F::Output {
    struct Unpark(Thread);
    impl Wake for Unpark {
        fn wake(self: Arc<Self>) {
            self.0.unpark();
        }
    }
    let waker = Waker::from(Arc::new(Unpark(thread::current())));
    let mut future = pin!(future);
    loop {
        match future.as_mut().poll(&mut Context::from_waker(&waker)) {
            Poll::Ready(output) => return output,
            Poll::Pending => thread::park(),
        }
    }
}

fn cache_of_a_runtime_that_is_gone(server: &RedisServer) -> Cache {
    let runtime = multi_thread();
    runtime.block_on(connect(&server.url()))
}

/// A connection's driver dies with the runtime that made it: every `#[tokio::test]` makes one.
/// Catalogue 58.
#[test]
fn c5_the_runtime_that_built_the_cache_is_gone() {
    let server = RedisServer::start();
    let (cache, gate) = (cache_of_a_runtime_that_is_gone(&server), Gate::open());
    for (id, runtime) in [(1, current_thread()), (2, multi_thread()), (3, current_thread())] {
        runtime.block_on(async {
            let before = gate.runs();
            load(id, &cache, &gate).await;
            load(id, &cache, &gate).await;
            assert_eq!(
                gate.runs(),
                before + 1,
                "stored at once, on this runtime's own connections"
            );
            load_entry(id, &cache).invalidate().await.unwrap();
            load(id, &cache, &gate).await;
            assert_eq!(gate.runs(), before + 2);
        });
    }
}

/// Catalogue 58.
#[test]
fn c5_two_living_runtimes_share_a_cache() {
    let server = RedisServer::start();
    let (cache, gate) = (cache_of_a_runtime_that_is_gone(&server), Gate::open());
    let (one, other) = (current_thread(), multi_thread());
    for round in 1..=20 {
        // The first runtime stands still between its turns; the other does not need it.
        assert_eq!(one.block_on(load(42, &cache, &gate)), round);
        assert_eq!(other.block_on(load(42, &cache, &gate)), round);
        other.block_on(load_entry(42, &cache).invalidate()).unwrap();
    }
}

/// A leader on one runtime, a waiter on another; also where the leader's runtime ends in mid-body.
#[test]
fn c5_a_flight_outlives_the_runtime_of_its_leader() {
    let server = RedisServer::start();
    let (cache, gate) = (cache_of_a_runtime_that_is_gone(&server), Gate::closed());
    let (doomed, other) = (multi_thread(), multi_thread());
    let spawn = |runtime: &Runtime| {
        let (cache, gate) = (cache.clone(), gate.clone());
        runtime.spawn(async move { load(42, &cache, &gate).await })
    };
    let lost = spawn(&doomed);
    other.block_on(gate.started(1));
    let waiting = spawn(&other);
    doomed.shutdown_background();
    let dropped = in_time("the leader is dropped with its runtime", lost);
    assert!(other.block_on(dropped).unwrap_err().is_cancelled());
    gate.let_all_go();
    let value = other.block_on(in_time("the other caller computes", waiting)).unwrap();
    assert_eq!((value, gate.runs()), (2, 2));
}

/// There is no way to wait for a server: the body runs, and nothing panics.
/// Catalogue 59.
#[test]
fn c5_called_outside_tokio() {
    let server = RedisServer::start();
    let (cache, gate) = (cache_of_a_runtime_that_is_gone(&server), Gate::open());
    for run in 1..=3 {
        assert_eq!(block_on(load(42, &cache, &gate)), run);
    }
    assert!(block_on(load_entry(42, &cache).invalidate()).unwrap_err().is_unconfirmed());
    assert!(block_on(load_entry(42, &cache).peek()).unwrap_err().is_unavailable());
    assert!(block_on(cache.ping()).is_err());
    let inside = current_thread();
    assert_eq!(inside.block_on(load(42, &cache, &gate)), 4);
    assert_eq!(inside.block_on(load(42, &cache, &gate)), 4);
    assert_eq!(block_on(load(42, &cache, &gate)), 5);
}

/// The embedded store can be read by anybody.
#[test]
fn c5_the_embedded_store_outside_tokio() {
    let gate = Gate::open();
    let cache = block_on(Cache::builder().url("memory://").build()).unwrap();
    assert_eq!(block_on(load(42, &cache, &gate)), 1);
    assert_eq!(current_thread().block_on(load(42, &cache, &gate)), 2);
    assert_eq!(block_on(load(42, &cache, &gate)), 2, "a hit");
}

/// The version of each row, and the newest one whose invalidation was acknowledged.
#[derive(Default)]
struct Rows([(AtomicU64, AtomicU64); 8]);

/// Whose lease, if its runtime ends, is over soon.
#[redis_cached(
    key = "row:{id}", ttl = "1s", refresh_before = "900ms", lock_ttl = "500ms", wait = "1m", cache = cache,
    skip(cache, rows)
)]
async fn row(id: usize, cache: &Cache, rows: &Arc<Rows>) -> u64 {
    let version = rows.0[id].0.load(Ordering::SeqCst);
    sleep(Duration::from_millis(fastrand::u64(..4))).await;
    version
}

impl Rows {
    /// Calls, and changes now and then, until it is over. Says how many calls were answered.
    async fn used(self: Arc<Self>, cache: Cache, over: Arc<AtomicBool>) -> u64 {
        let mut calls = 0;
        while !over.load(Ordering::Relaxed) {
            let id = fastrand::usize(..self.0.len());
            let (version, acknowledged) = &self.0[id];
            if fastrand::u8(..4) == 0 {
                let changed = version.fetch_add(1, Ordering::SeqCst) + 1;
                row_entry(id, &cache).invalidate().await.expect("the server is up");
                acknowledged.fetch_max(changed, Ordering::SeqCst);
                continue;
            }
            let least = acknowledged.load(Ordering::SeqCst);
            let read = in_time("a call is answered", row(id, &cache, &self)).await;
            assert!(read >= least, "{read}, and {least} was acknowledged before");
            calls += 1;
        }
        calls
    }

    fn users(self: &Arc<Self>, cache: &Cache, over: &Arc<AtomicBool>) -> JoinSet<u64> {
        (0..8).map(|_| Arc::clone(self).used(cache.clone(), Arc::clone(over))).collect()
    }
}

/// A runtime on a thread of its own, with users that end when it does.
struct Doomed {
    end: oneshot::Sender<()>,
    thread: thread::JoinHandle<()>,
}

impl Doomed {
    fn start(runtime: Runtime, rows: &Arc<Rows>, cache: &Cache) -> Self {
        let (rows, cache) = (Arc::clone(rows), cache.clone());
        let (end, ends) = oneshot::channel();
        let thread = thread::spawn(move || {
            runtime.block_on(async {
                let _users = rows.users(&cache, &Arc::default());
                let _ = ends.await;
                // What it has not driven to its end goes with it.
            });
            runtime.shutdown_background();
        });
        Self { end, thread }
    }

    fn end(self) {
        self.end.send(()).expect("it runs");
        self.thread.join().expect("it does not panic");
    }
}

/// Leaders, those who wait for them, refreshes and commits go with their runtimes, again and again; on two others calls go on.
/// Catalogue 58.
#[test]
fn c5_runtimes_end_in_the_middle_of_calls_that_others_wait_for() {
    let server = RedisServer::start();
    let (cache, rows) = (cache_of_a_runtime_that_is_gone(&server), Arc::new(Rows::default()));
    let (one, other, over) = (current_thread(), multi_thread(), Arc::default());
    let (mut users, mut others) = {
        let _inside = one.enter();
        let users = rows.users(&cache, &over);
        let _inside = other.enter();
        (users, rows.users(&cache, &over))
    };
    one.block_on(async {
        for round in 0..20 {
            let runtime = if round % 2 == 0 { current_thread() } else { multi_thread() };
            let doomed = Doomed::start(runtime, &rows, &cache);
            sleep(Duration::from_millis(fastrand::u64(10..60))).await;
            doomed.end();
        }
        over.store(true, Ordering::Relaxed);
        for users in [&mut users, &mut others] {
            while let Some(calls) = in_time("they end", users.join_next()).await {
                assert!(calls.expect("no call panics") > 0);
            }
        }
        let mut cli = server.cli().await;
        eventually("no lease is left", async || leases(&mut cli).await.is_empty()).await;
        for id in 0..rows.0.len() {
            row_entry(id, &cache).invalidate().await.unwrap();
            let version = rows.0[id].0.load(Ordering::SeqCst);
            assert_eq!(in_time("it is computed", row(id, &cache, &rows)).await, version);
        }
        cache.shutdown(PATIENCE).await.expect("no task is left that a runtime has taken along");
    });
}

/// One place for bodies, so that it shows where that is kept.
#[redis_cached(
    key = "single:{id}", ttl = "5m", refresh_before = "1m", lock_ttl = "500ms", wait = "1m",
    max_concurrency = 1, cache = cache, skip(cache, gate)
)]
async fn single(id: u64, cache: &Cache, gate: &Gate) -> usize {
    gate.pass().await
}

/// Whose lease nobody can give back.
#[redis_cached(key = "held:{id}", ttl = "5m", lock_ttl = "500ms", cache = cache, skip(cache, gate))]
async fn held(id: u64, cache: &Cache, gate: &Gate) -> usize {
    gate.pass().await
}

/// A body, one that waits for it, one that waits for a place, one that waits for another process, a refresh, and an
/// invalidation that is left: all of that goes with its runtime, and nothing of it is in the way on the next one.
/// Catalogue 58.
#[test]
fn c5_a_runtime_ends_with_everything_under_way() {
    for doomed in [current_thread, multi_thread] {
        let server = RedisServer::start();
        let next = current_thread();
        let cache = next.block_on(async {
            let builder = patient().url(server.url()).max_refreshes(1);
            builder.build().await.expect("the server is up")
        });
        let another = next.block_on(connect(&server.url()));
        let (gate, open) = (Gate::closed(), Gate::open());
        next.block_on(async {
            single(1, &another, &open).await;
            single_entry(1, &another).expire().await.unwrap();
        });
        // A lease that the other process has.
        let closed = gate.clone();
        let elsewhere = next.spawn(async move { load(7, &another, &closed).await });
        next.block_on(gate.started(1));
        let doomed = doomed();
        doomed.block_on(async {
            let call = |id| {
                let (cache, gate) = (cache.clone(), gate.clone());
                tokio::spawn(async move { single(id, &cache, &gate).await })
            };
            assert_eq!(single(1, &cache, &gate).await, 1, "a stale hit");
            gate.started(2).await;
            call(2);
            call(2);
            call(3);
            let (own, closed) = (cache.clone(), gate.clone());
            tokio::spawn(async move { load(7, &own, &closed).await });
            let (own, closed) = (cache.clone(), gate.clone());
            tokio::spawn(async move { held(1, &own, &closed).await });
            gate.started(3).await;
            let left = async { load_entry(9, &cache).invalidate_after_commit() };
            let (gathered, invalidation) = Invalidation::collect(left).await;
            gathered.unwrap();
            drop(invalidation);
            // They wait by now, for whatever it is.
            sleep(Duration::from_millis(50)).await;
        });
        doomed.shutdown_background();
        gate.let_all_go();
        next.block_on(async {
            let calls = async {
                assert_eq!(elsewhere.await.unwrap(), 1);
                assert_eq!(load(7, &cache, &gate).await, 1, "what the other process has computed");
                for id in [2, 3] {
                    let run = single(id, &cache, &gate).await;
                    assert_eq!(single(id, &cache, &gate).await, run, "a hit");
                }
                held(1, &cache, &gate).await;
            };
            in_time("all is computed", calls).await;
            eventually("it is refreshed", async || {
                single(1, &cache, &gate).await;
                let seen = single_entry(1, &cache).peek().await.unwrap();
                seen.is_some_and(|seen| seen.state == State::Fresh && seen.value > 1)
            })
            .await;
            cache.shutdown(PATIENCE).await.expect("nothing is left");
        });
    }
}
