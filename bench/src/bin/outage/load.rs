//! Callers, a writer, and what each second was for them.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use redis_cached::{Answer, Cache, observe, redis_cached};
use tokio::task::{JoinHandle, yield_now};
use tokio::time::{Instant, sleep};

use crate::{PHASES, Result};

const CALLERS: usize = 16;
const KEYS: u64 = 500;
/// Between two calls of a caller.
const PAUSE: Duration = Duration::from_millis(1);
/// Between two invalidations.
const CHANGES_EVERY: Duration = Duration::from_millis(10);

/// What a second was like.
#[derive(Default)]
pub(crate) struct Second {
    pub(crate) phase: &'static str,
    pub(crate) calls: usize,
    pub(crate) hits: usize,
    pub(crate) bodies: u64,
    pub(crate) failed: usize,
    pub(crate) p50: Duration,
    pub(crate) p99: Duration,
    /// Of the body alone, beside them.
    pub(crate) alone: Duration,
    pub(crate) confirmed: usize,
    pub(crate) unconfirmed: usize,
}

/// Where the rows come from: at once, so that what a call takes is what the cache takes.
struct Origin {
    began: Instant,
    bodies: Vec<AtomicU64>,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Did {
    Hit,
    Else,
    Failed,
    Alone,
    Confirmed,
    Unconfirmed,
}

struct Record {
    second: usize,
    took: Duration,
    did: Did,
}

#[derive(Debug)]
struct Gone;

#[redis_cached(
    key = "row:{id}", ttl = "3s", refresh_before = "1s", skip(cache, origin), cache = cache
)]
async fn row(cache: &Cache, origin: &Arc<Origin>, id: u64) -> std::result::Result<u64, Gone> {
    let _ = cache;
    if let Some(bodies) = origin.bodies.get(origin.second()) {
        bodies.fetch_add(1, Ordering::Relaxed);
    }
    yield_now().await;
    if id < KEYS { Ok(id * 3) } else { Err(Gone) }
}

impl Origin {
    fn second(&self) -> usize {
        usize::try_from(self.began.elapsed().as_secs()).unwrap_or(usize::MAX)
    }
}

pub(crate) struct Load {
    origin: Arc<Origin>,
    ends: Arc<AtomicBool>,
    parties: Vec<JoinHandle<Vec<Record>>>,
}

impl Load {
    pub(crate) async fn start(url: &str) -> Result<Self> {
        let cache = Cache::builder().url(url).namespace("outage").build().await?;
        let seconds: u64 = PHASES.iter().map(|phase| phase.seconds).sum();
        let bodies = (0..seconds).map(|_| AtomicU64::new(0)).collect();
        let origin = Arc::new(Origin { began: Instant::now(), bodies });
        let ends = Arc::new(AtomicBool::new(false));
        let mut parties = Vec::new();
        for _ in 0..CALLERS {
            parties.push(tokio::spawn(call(cache.clone(), Arc::clone(&origin), Arc::clone(&ends))));
        }
        parties.push(tokio::spawn(alone(cache.clone(), Arc::clone(&origin), Arc::clone(&ends))));
        parties.push(tokio::spawn(change(cache, Arc::clone(&origin), Arc::clone(&ends))));
        Ok(Self { origin, ends, parties })
    }

    pub(crate) async fn end(self) -> Vec<Second> {
        self.ends.store(true, Ordering::Relaxed);
        let mut records = Vec::new();
        for party in self.parties {
            records.extend(party.await.expect("a caller has panicked"));
        }
        let phases = PHASES.iter().flat_map(|phase| (0..phase.seconds).map(|_| phase.name));
        phases.enumerate().map(|(at, phase)| second(at, phase, &records, &self.origin)).collect()
    }
}

fn second(at: usize, phase: &'static str, records: &[Record], origin: &Origin) -> Second {
    let of = |dids: &[Did]| {
        let mut took: Vec<Duration> = records
            .iter()
            .filter(|record| record.second == at && dids.contains(&record.did))
            .map(|record| record.took)
            .collect();
        took.sort_unstable();
        took
    };
    let calls = of(&[Did::Hit, Did::Else, Did::Failed]);
    let part = |took: &[Duration], percent: usize| {
        took.get(took.len() * percent / 100).copied().unwrap_or_default()
    };
    Second {
        phase,
        calls: calls.len(),
        hits: of(&[Did::Hit]).len(),
        bodies: origin.bodies[at].load(Ordering::Relaxed),
        failed: of(&[Did::Failed]).len(),
        p50: part(&calls, 50),
        p99: part(&calls, 99),
        alone: part(&of(&[Did::Alone]), 50),
        confirmed: of(&[Did::Confirmed]).len(),
        unconfirmed: of(&[Did::Unconfirmed]).len(),
    }
}

async fn call(cache: Cache, origin: Arc<Origin>, ends: Arc<AtomicBool>) -> Vec<Record> {
    let mut records = Vec::new();
    while !ends.load(Ordering::Relaxed) {
        let id = fastrand::u64(..KEYS);
        let began = Instant::now();
        let (value, observed) = observe(row(&cache, &origin, id)).await;
        let took = began.elapsed();
        let did = match (value, observed.calls[0].answer) {
            (Ok(value), _) if value != id * 3 => Did::Failed,
            (Err(Gone), _) => Did::Failed,
            (Ok(_), Answer::Hit { .. } | Answer::Stale { .. }) => Did::Hit,
            (Ok(_), _) => Did::Else,
        };
        // By when it ended: a call that hangs is seen where it has hung.
        records.push(Record { second: origin.second(), took, did });
        sleep(PAUSE).await;
    }
    records
}

async fn alone(cache: Cache, origin: Arc<Origin>, ends: Arc<AtomicBool>) -> Vec<Record> {
    let beside = Arc::new(Origin { began: origin.began, bodies: Vec::new() });
    let mut records = Vec::new();
    while !ends.load(Ordering::Relaxed) {
        let began = Instant::now();
        let _ = row_uncached(&cache, &beside, fastrand::u64(..KEYS)).await;
        let took = began.elapsed();
        records.push(Record { second: origin.second(), took, did: Did::Alone });
        sleep(PAUSE).await;
    }
    records
}

async fn change(cache: Cache, origin: Arc<Origin>, ends: Arc<AtomicBool>) -> Vec<Record> {
    let mut records = Vec::new();
    while !ends.load(Ordering::Relaxed) {
        let began = Instant::now();
        let done = row_entry(&cache, fastrand::u64(..KEYS)).invalidate().await;
        let did = if done.is_ok() { Did::Confirmed } else { Did::Unconfirmed };
        records.push(Record { second: origin.second(), took: began.elapsed(), did });
        sleep(CHANGES_EVERY).await;
    }
    records
}
