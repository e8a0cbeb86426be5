//! One decoded value in this process, and what decides whether it is still served.

use std::any::Any;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use tokio::time::Instant;

use super::channel::Told;
use crate::entry::{Judged, Life};
use crate::freshness::millis;
use crate::tags::Standing;

/// A value without its type.
pub(crate) type Value = Arc<dyn Any + Send + Sync>;

/// While it is due it asks for a refresh this often.
const ASK_EVERY: Duration = Duration::from_secs(1);

/// A copy of what a call was served by the store.
#[derive(Debug)]
pub(crate) struct Copy {
    pub(crate) value: Value,
    pub(crate) life: Life,
    pub(crate) standing: Standing,
    pub(crate) judged: Judged,
    pub(crate) weight: u64,
    made: Instant,
    /// The latest that the server's clock could show then.
    server_made: u64,
    /// The end of `near`.
    until: Instant,
    told: Told,
    /// When it may ask for a refresh again, in milliseconds since it was made.
    asks: AtomicU64,
}

impl Copy {
    /// What a read has found that was answered a moment ago.
    pub(crate) fn new(
        value: Value,
        weight: u64,
        (life, standing, judged): (Life, Standing, Judged),
        near: Duration,
        (now, server_now): (Instant, u64),
        told: Told,
    ) -> Self {
        Self {
            value,
            life,
            standing,
            judged,
            weight,
            made: now,
            server_made: server_now,
            until: now + near,
            told,
            asks: AtomicU64::new(0),
        }
    }

    /// The latest that the server's clock may show: quartz drifts by some 100 ppm, and 1,000 is allowed for.
    pub(crate) fn server_now(&self, now: Instant) -> u64 {
        let elapsed = millis(now.saturating_duration_since(self.made));
        self.server_made.saturating_add(elapsed).saturating_add(elapsed / 1000).saturating_add(1)
    }

    /// Whether its time has not come yet, neither that of `near` nor that of the entry.
    fn lives(&self, now: Instant) -> bool {
        now < self.until && self.server_now(now) < self.life.ttl_end
    }

    /// Whether it is what every invalidation has left that was acknowledged longer than `bound` ago.
    pub(crate) fn may_be_served(&self, now: Instant, bound: Duration) -> bool {
        self.lives(now) && self.told.channel.vouches_for(&self.told.marked, now, bound)
    }

    /// Whether it will never be served again.
    pub(crate) fn is_void(&self, now: Instant) -> bool {
        !self.lives(now) || self.told.channel.has_voided(&self.told.marked)
    }

    /// Whether a call that is served it while it is due is to ask for a refresh.
    pub(crate) fn asks_for_refresh(&self, now: Instant) -> bool {
        let elapsed = millis(now.saturating_duration_since(self.made));
        let next = self.asks.load(Ordering::Relaxed);
        let then = elapsed + millis(ASK_EVERY);
        elapsed >= next
            && self.asks.compare_exchange(next, then, Ordering::Relaxed, Ordering::Relaxed).is_ok()
    }
}
