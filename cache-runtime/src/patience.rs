//! How long one call waits for others.

use std::time::Duration;

use tokio::time::Instant;

/// How long this call waits for computations of others, all told.
pub(crate) struct Patience {
    wait: Duration,
    until: Option<Instant>,
}

impl Patience {
    pub(crate) fn new(wait: Duration) -> Self {
        Self { wait, until: None }
    }

    /// Until when to wait for another process. Ends before [`Self::for_leader`] does, so that the
    /// waiters of this process see their leader go on, and do not all go on themselves.
    pub(crate) fn until(&mut self) -> Instant {
        let wait = self.wait.mul_f64(0.8 + fastrand::f64() / 10.0);
        *self.until.get_or_insert_with(|| Instant::now() + wait)
    }

    pub(crate) fn for_leader(&self) -> Duration {
        self.wait.mul_f64(0.95 + fastrand::f64() / 20.0)
    }
}
