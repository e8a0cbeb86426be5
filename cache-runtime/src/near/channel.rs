//! What is known of one tracking connection: whether whatever was invalidated before some moment has been told by it.

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use tokio::time::Instant;

use super::marks::{Marked, Marks};

/// One tracking connection.
///
/// Replies and pushes come in one stream, in the order in which the server has made them, and a push is applied before
/// what stands behind it is even given to who waits for it. So a reply to whatever was sent at a moment says that all
/// that was invalidated before that moment has been applied: without any clock but this process's own.
pub(crate) struct Channel {
    marks: Arc<Marks>,
    ended: Arc<AtomicBool>,
    /// Whether it still leads to the server that takes writes.
    is_present: Box<dyn Fn() -> bool + Send + Sync>,
    started: Instant,
    /// When that was sent which was answered and sent last; in microseconds since the start, and one more.
    proven: AtomicU64,
    /// Until when there is a copy for which it is to be asked.
    needed: AtomicU64,
    attended: AtomicBool,
}

impl Channel {
    pub(crate) fn new(
        marks: Arc<Marks>,
        ended: Arc<AtomicBool>,
        is_present: impl Fn() -> bool + Send + Sync + 'static,
    ) -> Self {
        Self {
            marks,
            ended,
            is_present: Box::new(is_present),
            started: Instant::now(),
            proven: AtomicU64::new(0),
            needed: AtomicU64::new(0),
            attended: AtomicBool::new(false),
        }
    }

    /// Whatever was sent then has been answered.
    pub(crate) fn prove(&self, sent: Instant) {
        self.proven.fetch_max(self.micros(sent) + 1, Ordering::AcqRel);
    }

    /// No copy that was read by it is served any more.
    pub(crate) fn end(&self) {
        self.ended.store(true, Ordering::Release);
    }

    pub(crate) fn has_ended(&self) -> bool {
        self.ended.load(Ordering::Acquire) || !(self.is_present)()
    }

    /// Whether what was read by it is still what every invalidation has left that was acknowledged longer than `bound`
    /// ago.
    pub(crate) fn vouches_for(&self, marked: &Marked, now: Instant, bound: Duration) -> bool {
        // In this order: what comes in behind the proof has touched the marks before.
        self.is_proven(now, bound) && !self.has_ended() && self.marks.are_still(marked)
    }

    fn is_proven(&self, now: Instant, bound: Duration) -> bool {
        let proven = self.proven.load(Ordering::Acquire);
        proven > 0 && u128::from(self.micros(now).saturating_sub(proven - 1)) < bound.as_micros()
    }

    /// Whether what was read by it will never be served again.
    pub(crate) fn has_voided(&self, marked: &Marked) -> bool {
        self.has_ended() || !self.marks.are_still(marked)
    }

    /// There is a copy until then. Whether the caller has to see to it that the channel is asked.
    pub(crate) fn need(&self, until: Instant) -> bool {
        self.needed.fetch_max(self.micros(until), Ordering::AcqRel);
        !self.attended.swap(true, Ordering::AcqRel)
    }

    /// Whether whoever sees to it may stop, since no copy is left.
    pub(crate) fn is_needless(&self, now: Instant) -> bool {
        if self.micros(now) < self.needed.load(Ordering::Acquire) {
            return false;
        }
        self.attended.store(false, Ordering::Release);
        // Somebody may have needed it between the two, and found it attended.
        self.micros(now) >= self.needed.load(Ordering::Acquire)
            || self.attended.swap(true, Ordering::AcqRel)
    }

    fn micros(&self, at: Instant) -> u64 {
        u64::try_from(at.saturating_duration_since(self.started).as_micros())
            .unwrap_or(u64::MAX - 1)
    }
}

impl fmt::Debug for Channel {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Channel").field("ended", &self.has_ended()).finish_non_exhaustive()
    }
}

/// What was read by a tracking connection, as far as its copies are concerned.
#[derive(Debug)]
pub(crate) struct Told {
    pub(crate) channel: Arc<Channel>,
    pub(crate) marked: Marked,
}
