//! What the cache does, told in a table. `cargo run --example quickstart` needs no server; with
//! `REDIS_URL` set it runs on Redis, and two of them started together share one computation.

use std::error::Error;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use redis_cached::{Cache, State, redis_cached};
use serde::{Deserialize, Serialize};
use tokio::task::JoinSet;

const CALLERS: usize = 1_000;

#[derive(Clone, Debug, Serialize, Deserialize)]
struct Report {
    rows: u64,
}

#[derive(Clone, Debug)]
struct NoSuchReport;

/// How often the body of this process has run.
static BODIES: AtomicUsize = AtomicUsize::new(0);

#[redis_cached(key = "report:{run}:{id}", ttl = "1m", refresh_before = "10s")]
async fn report(run: u64, id: u64) -> Result<Report, NoSuchReport> {
    BODIES.fetch_add(1, Ordering::Relaxed);
    tokio::time::sleep(Duration::from_millis(100)).await; // a slow query
    if id == 404 { Err(NoSuchReport) } else { Ok(Report { rows: id * 1_000 }) }
}

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let url = std::env::var("REDIS_URL").ok();
    let shared = url.is_some();
    let url = url.unwrap_or_else(|| "memory://".to_owned());
    let cache = Cache::builder().url(url).namespace("quickstart").build().await?;
    if shared {
        cache.ping().await?;
    }
    redis_cached::init(cache.clone())?;
    println!(
        "on {}\n\n{:<44} {:>6}  {:>10}",
        if shared { "Redis" } else { "the embedded store" },
        "what happens",
        "bodies",
        "time"
    );

    // Each run tells its story on keys of its own.
    let run = (u64::from(std::process::id()) << 32) | u64::from(since_epoch().subsec_nanos());
    tell("a miss: the body runs", async { report(run, 1).await.map(drop) }).await;
    tell("a hit", async { report(run, 1).await.map(drop) }).await;

    cold_key(shared).await;

    report_entry(run, 1).expire().await?;
    let (bodies, start) = (BODIES.load(Ordering::Relaxed), Instant::now());
    report(run, 1).await.expect("this report exists");
    row("a stale hit, served at once", "", start.elapsed());
    fresh_again(run).await.expect("the refresh ends");
    let bodies = BODIES.load(Ordering::Relaxed) - bodies;
    row("  … and refreshed behind the caller", &bodies.to_string(), start.elapsed());

    report_entry(run, 1).invalidate().await?;
    tell("after an invalidation: the body runs", async { report(run, 1).await.map(drop) }).await;

    tell("an error", async { report(run, 404).await.map(drop).or(Ok(())) }).await;
    tell("  … is not cached: the body runs again", async {
        report(run, 404).await.map(drop).or(Ok(()))
    })
    .await;

    cache.shutdown(Duration::from_secs(1)).await?;
    Ok(())
}

/// Runs one step and prints how many bodies it took, and how long.
async fn tell(what: &str, step: impl Future<Output = Result<(), NoSuchReport>>) {
    let bodies = BODIES.load(Ordering::Relaxed);
    let start = Instant::now();
    step.await.expect("this report exists");
    let time = start.elapsed();
    row(what, &(BODIES.load(Ordering::Relaxed) - bodies).to_string(), time);
}

fn row(what: &str, bodies: &str, time: Duration) {
    println!("{what:<44} {bodies:>6}  {:>10}", format!("{time:.1?}"));
}

/// A thousand callers of one cold key; on Redis, of a key that other quickstarts ask for as well.
async fn cold_key(shared: bool) {
    let mut name = "1,000 callers of a cold key: the slowest";
    if shared {
        // Those who start together meet at the next even second, on a key named after it.
        let since = since_epoch();
        let next = Duration::from_secs(since.as_secs() / 2 * 2 + 2);
        tokio::time::sleep(next.saturating_sub(since)).await;
        name = "1,000 callers here, shared with all others";
    }
    let slot = since_epoch().as_secs() / 2;
    let bodies = BODIES.load(Ordering::Relaxed);
    let mut callers = JoinSet::new();
    for _ in 0..CALLERS {
        callers.spawn(async move {
            let start = Instant::now();
            report(slot, 7).await.expect("this report exists");
            start.elapsed()
        });
    }
    let slowest = callers.join_all().await.into_iter().max().unwrap_or_default();
    row(name, &(BODIES.load(Ordering::Relaxed) - bodies).to_string(), slowest);
}

/// Waits until the background refresh has stored a fresh value.
async fn fresh_again(run: u64) -> Result<(), NoSuchReport> {
    for _ in 0..1_000 {
        if let Ok(Some(peek)) = report_entry(run, 1).peek().await
            && peek.state == State::Fresh
        {
            return Ok(());
        }
        tokio::time::sleep(Duration::from_millis(2)).await;
    }
    Err(NoSuchReport)
}

fn since_epoch() -> Duration {
    SystemTime::now().duration_since(UNIX_EPOCH).expect("the clock is past 1970")
}
