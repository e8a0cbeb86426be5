//! The server's time, as far as this process can know it.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use tokio::time::Instant;

use crate::freshness::millis;

/// A sample counts this long; an older one says too little about a clock that drifts.
const TRUSTED: Duration = Duration::from_secs(60);
/// Past this age a new sample is asked for, so that a steady stream of hits never loses the time.
const WANTED: Duration = Duration::from_secs(30);

/// The offset between the server's clock and this process's monotonic one.
///
/// A reply that names the server's time was made after its request was sent, so `server time +
/// time since sending` is never behind the server. Of several samples the one that bounds it
/// closest is kept. Readers take no lock: they see an old pair or a new one, and both are right.
#[derive(Debug)]
pub(crate) struct ServerClock {
    started: Instant,
    /// Add this to the milliseconds since `started`; `u64::MAX` while unknown.
    ahead: AtomicU64,
    sampled: AtomicU64,
}

impl ServerClock {
    pub(crate) fn new() -> Self {
        Self {
            started: Instant::now(),
            ahead: AtomicU64::new(u64::MAX),
            sampled: AtomicU64::new(0),
        }
    }

    /// Notes that a reply to a request of `sent` said `server_ms`.
    pub(crate) fn sample(&self, sent: Instant, server_ms: u64) {
        let ahead = server_ms.saturating_sub(self.elapsed(sent)).saturating_add(1);
        let known = self.ahead.load(Ordering::Relaxed);
        let now = Instant::now();
        let age = self.age(now);
        if known == u64::MAX || ahead <= known || age > WANTED {
            self.ahead.store(ahead, Ordering::Relaxed);
            self.sampled.store(self.elapsed(now), Ordering::Relaxed);
        }
    }

    /// The latest that the server's clock may show at this moment, in milliseconds since the epoch.
    pub(crate) fn latest(&self, now: Instant) -> Option<u64> {
        let ahead = self.ahead.load(Ordering::Relaxed);
        let age = self.age(now);
        // Quartz drifts by some 100 ppm; 1,000 is allowed for.
        (ahead != u64::MAX && age <= TRUSTED)
            .then(|| self.elapsed(now) + ahead + millis(age) / 1000)
    }

    pub(crate) fn wants_sample(&self, now: Instant) -> bool {
        self.ahead.load(Ordering::Relaxed) == u64::MAX || self.age(now) > WANTED
    }

    /// Another server may answer after a reconnect: what was known of the old one is void.
    pub(crate) fn forget(&self) {
        self.ahead.store(u64::MAX, Ordering::Relaxed);
    }

    fn age(&self, now: Instant) -> Duration {
        let now = self.elapsed(now);
        Duration::from_millis(now.saturating_sub(self.sampled.load(Ordering::Relaxed)))
    }

    fn elapsed(&self, at: Instant) -> u64 {
        millis(at.saturating_duration_since(self.started))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn the_estimate_is_never_behind_the_server_and_is_given_up_after_a_minute() {
        let clock = ServerClock::new();
        assert_eq!(clock.latest(Instant::now()), None);
        let sent = Instant::now();
        tokio::time::advance(Duration::from_millis(40)).await;
        // The server read its clock at some moment of these 40 ms.
        clock.sample(sent, 1_000_000);
        let latest = clock.latest(Instant::now()).unwrap();
        assert!((1_000_040..1_000_043).contains(&latest), "{latest}");

        tokio::time::advance(Duration::from_secs(10)).await;
        assert!(clock.latest(Instant::now()).unwrap() >= 1_010_040);
        // A tighter sample replaces a wider one.
        clock.sample(Instant::now(), 1_010_005);
        assert!(clock.latest(Instant::now()).unwrap() < 1_010_010);

        tokio::time::advance(Duration::from_secs(31)).await;
        assert!(clock.wants_sample(Instant::now()));
        tokio::time::advance(Duration::from_secs(30)).await;
        assert_eq!(clock.latest(Instant::now()), None);
    }

    #[tokio::test(start_paused = true)]
    async fn a_reconnect_forgets_the_old_server() {
        let clock = ServerClock::new();
        clock.sample(Instant::now(), 5_000);
        clock.forget();
        assert_eq!(clock.latest(Instant::now()), None);
        clock.sample(Instant::now(), 9_000_000);
        assert!(clock.latest(Instant::now()).unwrap() >= 9_000_000);
    }
}
