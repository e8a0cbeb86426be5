//! Callers and writers around an injected fault, and what must hold all the while.
//!
//! A trial checks that
//! - every call is answered, with a version that is not older than what was acknowledged before the call began;
//! - no call and no invalidation lasts longer than it may;
//! - nothing that was acknowledged is undone, also when the fault is over;
//! - calls are then answered without bodies again, and invalidations are carried out, without a restart.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use redis_cached::Cache;
use redis_cached_tests::{eventually, in_time};
use tokio::task::JoinSet;
use tokio::time::Instant;

use crate::stage::{Origin, ROWS, live, page, row, row_entry};

/// A deadline for a look, one for all work before the body, one for the commit, and a second of waiting for another
/// process; and as much again, because a busy machine is no fault of the cache. Not a promise of speed, only of an end.
const LONGEST_CALL: Duration = Duration::from_millis(2 * (3 * 250 + 1_000));
/// A deadline, and what a busy machine may take.
const LONGEST_INVALIDATION: Duration = Duration::from_secs(1);
/// For each cache.
const READERS: usize = 6;
const PAUSE: Duration = Duration::from_millis(3);
const BETWEEN_WRITES: Duration = Duration::from_millis(15);

/// What a row is read through, each with promises of its own.
const FUNCTIONS: usize = 3;

pub(crate) struct Trial {
    caches: Vec<Cache>,
    load: Arc<Load>,
    tasks: JoinSet<()>,
}

#[derive(Debug, Default)]
struct Load {
    origin: Origin,
    /// By function and row: the newest version whose invalidation was acknowledged.
    acknowledged: [[AtomicU64; ROWS]; FUNCTIONS],
    /// For each cache.
    counts: Vec<Counts>,
    longest_call_us: AtomicU64,
    longest_invalidation_us: AtomicU64,
    ends: AtomicBool,
}

#[derive(Debug, Default)]
struct Counts {
    calls: AtomicU64,
    acknowledged: AtomicU64,
    unconfirmed: AtomicU64,
}

impl Trial {
    /// Begins: each cache is read through and written through, and stands for a process.
    pub(crate) async fn of(caches: impl IntoIterator<Item = Cache>) -> Self {
        let caches: Vec<Cache> = caches.into_iter().collect();
        let counts = caches.iter().map(|_| Counts::default()).collect();
        let load = Arc::new(Load { counts, ..Load::default() });
        let mut tasks = JoinSet::new();
        for (at, cache) in caches.iter().enumerate() {
            for number in 0..READERS {
                let (cache, load) = (cache.clone(), Arc::clone(&load));
                tasks.spawn(async move { load.reads(at, number, &cache).await });
            }
            let (cache, load) = (cache.clone(), Arc::clone(&load));
            tasks.spawn(async move { load.writes(at, &cache).await });
        }
        let mut trial = Self { caches, load, tasks };
        trial.hits(50).await;
        trial.acknowledges(5).await;
        trial
    }

    /// Waits until every cache has answered so many more calls.
    pub(crate) async fn answers(&mut self, many: u64) {
        self.more("calls are answered", many, |counts| &counts.calls).await;
    }

    /// Waits until so many more calls were answered without a body.
    pub(crate) async fn hits(&mut self, many: u64) {
        let hits = |load: &Load| {
            let calls: u64 = load.counts.iter().map(|of| of.calls.load(Ordering::SeqCst)).sum();
            calls.saturating_sub(load.origin.bodies())
        };
        let before = hits(&self.load);
        let load = Arc::clone(&self.load);
        self.until("calls are answered without bodies", || hits(&load) >= before + many).await;
    }

    /// Waits until every cache has carried out so many more invalidations.
    pub(crate) async fn acknowledges(&mut self, many: u64) {
        self.more("invalidations are acknowledged", many, |counts| &counts.acknowledged).await;
    }

    /// Waits until this cache could not carry out so many more.
    pub(crate) async fn refuses(&mut self, at: usize, many: u64) {
        let load = Arc::clone(&self.load);
        let count = || load.counts[at].unconfirmed.load(Ordering::SeqCst);
        let before = count();
        self.until("invalidations are not confirmed", || count() >= before + many).await;
    }

    /// How many bodies have run.
    pub(crate) fn bodies(&self) -> u64 {
        self.load.origin.bodies()
    }

    /// Ends the load, and checks that all is as it was before the fault.
    pub(crate) async fn recovers(mut self) {
        self.hits(50).await;
        self.acknowledges(10).await;
        self.load.ends.store(true, Ordering::SeqCst);
        while let Some(ended) = in_time("the load ends", self.tasks.join_next()).await {
            ended.expect("what the load checks holds");
        }
        let load = &self.load;
        for cache in &self.caches {
            eventually("it is asked without trouble", async || cache.ping().await.is_ok()).await;
            for id in 0..ROWS {
                for function in 0..FUNCTIONS {
                    load.calls(function, id, cache).await;
                }
                eventually("calls are answered without a body", async || {
                    let before = load.origin.bodies();
                    load.calls(0, id, cache).await;
                    load.calls(1, id, cache).await;
                    load.origin.bodies() == before
                })
                .await;
            }
        }
        let micros = |of: &AtomicU64| Duration::from_micros(of.load(Ordering::SeqCst));
        let (call, invalidation) =
            (micros(&load.longest_call_us), micros(&load.longest_invalidation_us));
        println!("the longest call took {call:?}, the longest invalidation {invalidation:?}");
        println!("{} bodies, {:?}", load.origin.bodies(), load.counts);
        assert!(call < LONGEST_CALL, "a call took {call:?}");
        assert!(invalidation < LONGEST_INVALIDATION, "an invalidation took {invalidation:?}");
    }

    async fn more(&mut self, what: &str, many: u64, count: fn(&Counts) -> &AtomicU64) {
        let load = Arc::clone(&self.load);
        let counts = || load.counts.iter().map(|of| count(of).load(Ordering::SeqCst));
        let due: Vec<u64> = counts().map(|count| count + many).collect();
        self.until(what, || counts().zip(&due).all(|(count, due)| count >= *due)).await;
    }

    /// Looks after the load meanwhile: a task that has ended has found something.
    async fn until(&mut self, what: &str, mut condition: impl FnMut() -> bool) {
        eventually(what, async || {
            if let Some(ended) = self.tasks.try_join_next() {
                ended.expect("what the load checks holds");
            }
            condition()
        })
        .await;
    }
}

impl Load {
    async fn reads(&self, at: usize, number: usize, cache: &Cache) {
        let mut rng = fastrand::Rng::with_seed(number as u64);
        while !self.ends.load(Ordering::SeqCst) {
            self.calls(rng.usize(..FUNCTIONS), rng.usize(..ROWS), cache).await;
            self.counts[at].calls.fetch_add(1, Ordering::SeqCst);
            tokio::time::sleep(PAUSE).await;
        }
    }

    /// # Panics
    ///
    /// When it is answered with what was invalidated before.
    async fn calls(&self, function: usize, id: usize, cache: &Cache) {
        let due = self.acknowledged[function][id].load(Ordering::SeqCst);
        let started = Instant::now();
        let version = match function {
            0 => row(id, cache, &self.origin).await,
            1 => page(id, cache, &self.origin).await,
            _ => live(id, cache, &self.origin).await,
        };
        longer(&self.longest_call_us, started);
        assert!(version >= due, "function {function}, row {id}: {version}, and {due} is due");
    }

    async fn writes(&self, at: usize, cache: &Cache) {
        let mut rng = fastrand::Rng::with_seed(100);
        while !self.ends.load(Ordering::SeqCst) {
            let id = rng.usize(..ROWS);
            let version = self.origin.change(id);
            let started = Instant::now();
            let (functions, invalidated) = if rng.bool() {
                (0..1, row_entry(id, cache).invalidate().await)
            } else {
                (1..3, cache.invalidate_tags([format!("row:{id}")]).await)
            };
            longer(&self.longest_invalidation_us, started);
            let counts = &self.counts[at];
            match invalidated {
                Ok(()) => {
                    for function in functions {
                        self.acknowledged[function][id].fetch_max(version, Ordering::SeqCst);
                    }
                    counts.acknowledged.fetch_add(1, Ordering::SeqCst);
                }
                Err(error) => {
                    assert!(error.is_unconfirmed(), "{error}");
                    counts.unconfirmed.fetch_add(1, Ordering::SeqCst);
                }
            }
            tokio::time::sleep(BETWEEN_WRITES).await;
        }
    }
}

fn longer(longest_us: &AtomicU64, started: Instant) {
    let took = u64::try_from(started.elapsed().as_micros()).unwrap_or(u64::MAX);
    longest_us.fetch_max(took, Ordering::SeqCst);
}
