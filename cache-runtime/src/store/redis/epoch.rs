//! Which connections still lead to the server that takes writes: those of the present epoch.
//!
//! One that was made before is not used any more, and what its server says now counts as lost: so no two lanes of
//! a process talk to two servers that both think they are the master.

use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use tokio::time::Instant;

use crate::sync::lock;

/// A server that stays a replica is connected to anew this often at most.
const SHORTEST: Duration = Duration::from_millis(500);

#[derive(Debug, Default)]
pub(super) struct Epoch {
    number: AtomicU64,
    /// When a server last said that it takes no writes.
    refused: Mutex<Option<Instant>>,
}

impl Epoch {
    pub(super) fn current(&self) -> u64 {
        self.number.load(Ordering::Acquire)
    }

    /// Begins another, if this one has not ended yet; whether it was this call.
    pub(super) fn end(&self, epoch: u64) -> bool {
        let next = epoch.wrapping_add(1);
        self.number.compare_exchange(epoch, next, Ordering::AcqRel, Ordering::Acquire).is_ok()
    }

    /// The server of a connection takes no writes.
    pub(super) fn refused(&self, epoch: u64, now: Instant) -> Refused {
        let mut refused = lock(&self.refused);
        if epoch != self.current() {
            return Refused::Over;
        }
        if refused.is_some_and(|last| now < last + SHORTEST) {
            return Refused::Stays;
        }
        *refused = Some(now);
        if self.end(epoch) { Refused::Ended } else { Refused::Over }
    }
}

/// What becomes of an epoch in which a write was refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Refused {
    /// By this refusal.
    Ended,
    /// It had ended before.
    Over,
    /// It began a moment ago, with a connection that led to a replica all the same.
    Stays,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_epoch_ends_once_however_many_are_refused() {
        let (epoch, now) = (Epoch::default(), Instant::now());
        assert_eq!(epoch.refused(0, now), Refused::Ended);
        assert_eq!(epoch.refused(0, now), Refused::Over);
        assert_eq!(epoch.current(), 1);
        assert!(!epoch.end(0) && epoch.end(1));
        assert_eq!(epoch.current(), 2);
    }

    #[test]
    fn a_server_that_stays_a_replica_is_not_connected_to_all_the_time() {
        let (epoch, mut now) = (Epoch::default(), Instant::now());
        assert_eq!(epoch.refused(0, now), Refused::Ended);
        assert_eq!(epoch.refused(1, now + SHORTEST / 2), Refused::Stays);
        now += SHORTEST;
        assert_eq!(epoch.refused(1, now), Refused::Ended);
        assert_eq!(epoch.refused(2, now), Refused::Stays);
    }
}
