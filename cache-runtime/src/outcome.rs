//! How a call was answered, for those who have to tell: an HTTP cache does.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use crate::entry::Life;
use crate::freshness::millis;

/// How one call was answered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// From the store.
    Hit(Served),
    /// From a copy in this process.
    Near(Served),
    /// From the store, and a refresh is under way or about to be.
    Stale(Served),
    /// From the store, past its ttl, since computing a new value fails or takes too long.
    Kept(Served),
    /// By its own body.
    Computed {
        /// Whether the store has taken the value.
        stored: bool,
    },
    /// By what another call of this process has computed, or found stored.
    Shared(Option<Served>),
    /// By its own body, that had no lease and so could not write.
    Unleased,
    /// By its own body, that nobody shares.
    Bypassed,
    /// By what the function says instead of waiting for another's computation.
    Busy,
}

/// What is known of the life of a value that was found stored.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Served {
    life: Life,
    /// By the server's clock, where that is known.
    now: Option<u64>,
}

impl Served {
    pub(crate) fn new(life: Life, now: Option<u64>) -> Self {
        Self { life, now }
    }

    pub(crate) fn life(&self) -> &Life {
        &self.life
    }

    /// By this machine's clock where the server's is not known: it is told, and decides nothing.
    fn now(&self) -> u64 {
        let of_this_machine =
            || SystemTime::now().duration_since(UNIX_EPOCH).map_or(self.life.born_at, millis);
        self.now.unwrap_or_else(of_this_machine)
    }

    /// How long ago its computation began.
    #[must_use]
    pub fn age(&self) -> Duration {
        Duration::from_millis(self.now().saturating_sub(self.life.born_at))
    }

    /// How long it may be served yet, refreshed or not.
    #[must_use]
    pub fn rest(&self) -> Duration {
        Duration::from_millis(self.life.ttl_end.saturating_sub(self.now()))
    }
}

impl Outcome {
    pub(crate) fn text(self) -> &'static str {
        match self {
            Self::Hit(_) => "hit",
            Self::Near(_) => "near hit",
            Self::Stale(_) => "stale",
            Self::Kept(_) => "kept",
            Self::Computed { stored: true } => "computed",
            Self::Computed { stored: false } => "computed, not stored",
            Self::Shared(_) => "shared",
            Self::Unleased => "computed without a lease",
            Self::Bypassed => "bypassed",
            Self::Busy => "busy",
        }
    }
}
