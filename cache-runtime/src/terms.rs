//! What one call says of itself, apart from what holds for its function.

use std::time::Duration;

use crate::entry::Life;
use crate::freshness;
use crate::private::MaxAge;

/// What one call says of itself.
#[derive(Clone, Copy, Debug, Default)]
pub struct Terms {
    /// It takes what is stored and changes nothing there.
    pub(crate) reads_only: bool,
    max_age: Option<Duration>,
}

impl Terms {
    /// The call only reads.
    pub fn read_only(&mut self) {
        self.reads_only = true;
    }

    /// How old a value may be that it takes.
    pub fn max_age(&mut self, ms: u64) {
        self.max_age = Some(Duration::from_millis(ms));
    }

    /// The same, known only at run time.
    pub fn max_age_at_run_time(&mut self, max_age: impl MaxAge) {
        self.max_age = max_age.max_age();
    }

    /// Whether a stored value is too old for the call. `now` is the latest that the server's clock may show.
    pub(crate) fn refuse(&self, life: &Life, now: Option<u64>) -> bool {
        self.max_age.is_some_and(|max_age| freshness::is_older(life, max_age, now))
    }

    /// From when on it is too old, by the server's clock.
    pub(crate) fn end_of(&self, life: &Life) -> u64 {
        let end =
            |max_age| life.born_at.saturating_add(freshness::millis(max_age)).saturating_add(1);
        self.max_age.map_or(u64::MAX, end)
    }
}
