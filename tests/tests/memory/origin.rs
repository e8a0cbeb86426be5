//! What the cached functions of these tests stand in front of.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use redis_cached::Cache;
use tokio::sync::Semaphore;

/// A data source that counts its bodies and, if gated, lets each end only when told to.
#[derive(Clone, Debug)]
pub(crate) struct Origin(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    started: AtomicUsize,
    ended: AtomicUsize,
    value: AtomicUsize,
    /// A permit for each body that has started, for the test to wait on.
    starts: Semaphore,
    gate: Option<Semaphore>,
}

impl Origin {
    pub(crate) fn open() -> Self {
        Self::new(None)
    }

    pub(crate) fn gated() -> Self {
        Self::new(Some(Semaphore::new(0)))
    }

    fn new(gate: Option<Semaphore>) -> Self {
        Self(Arc::new(Inner {
            started: AtomicUsize::new(0),
            ended: AtomicUsize::new(0),
            value: AtomicUsize::new(1),
            starts: Semaphore::new(0),
            gate,
        }))
    }

    /// A body: reads the value when it starts, and returns it when the gate lets it.
    pub(crate) async fn read(&self) -> usize {
        self.0.started.fetch_add(1, Ordering::SeqCst);
        let value = self.value();
        self.0.starts.add_permits(1);
        if let Some(gate) = &self.0.gate {
            gate.acquire().await.expect("the gate is never closed").forget();
        }
        self.0.ended.fetch_add(1, Ordering::SeqCst);
        value
    }

    pub(crate) async fn read_slowly(&self, time: Duration) -> usize {
        self.0.started.fetch_add(1, Ordering::SeqCst);
        let value = self.value();
        self.0.starts.add_permits(1);
        tokio::time::sleep(time).await;
        self.0.ended.fetch_add(1, Ordering::SeqCst);
        value
    }

    pub(crate) fn value(&self) -> usize {
        self.0.value.load(Ordering::SeqCst)
    }

    pub(crate) fn change(&self) -> usize {
        self.0.value.fetch_add(1, Ordering::SeqCst) + 1
    }

    /// What is read from now on is `usize::MAX`.
    pub(crate) fn break_down(&self) {
        self.0.value.store(usize::MAX, Ordering::SeqCst);
    }

    /// Waits until one more body has started.
    pub(crate) async fn body_started(&self) {
        self.0.starts.acquire().await.expect("never closed").forget();
    }

    /// Lets this many bodies end.
    pub(crate) fn let_through(&self, bodies: usize) {
        self.0.gate.as_ref().expect("a gated origin").add_permits(bodies);
    }

    pub(crate) fn bodies(&self) -> usize {
        self.0.started.load(Ordering::SeqCst)
    }

    pub(crate) fn ended(&self) -> usize {
        self.0.ended.load(Ordering::SeqCst)
    }
}

pub(crate) async fn memory() -> Cache {
    Cache::builder().url("memory://").build().await.expect("a memory cache always builds")
}

/// Lets every task that can run do so. Time does not move.
pub(crate) async fn settle() {
    for _ in 0..50 {
        tokio::task::yield_now().await;
    }
}
