//! One cache, used from several tokio runtimes, from one that is gone, and from none.

use std::future::Future;
use std::pin::pin;
use std::sync::Arc;
use std::task::{Context, Poll, Wake, Waker};
use std::thread::{self, Thread};

use redis_cached::Cache;
use redis_cached_tests::{Gate, RedisServer, in_time};
use tokio::runtime::{Builder, Runtime};

use crate::stage::{connect, load, load_entry};

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
