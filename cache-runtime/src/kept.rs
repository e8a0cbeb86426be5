//! A value past its ttl, kept to be served if computing a new one fails (`stale_if_error`, RFC 5861).
//!
//! It is served to nobody but the call whose own look has found it: that look was sent after the call began, and so
//! what it found has outlived every invalidation that was acknowledged before.

use std::time::Duration;

use tokio::time::Instant;

use crate::computation::Computation;
use crate::entry::Life;
use crate::frame::{self, Gathered, Spoiled};
use crate::freshness::millis;
use crate::outcome::{Outcome, Served};
use crate::request::Request;
use crate::telemetry;
use crate::terms::Terms;

/// What is known of such a value.
pub(crate) struct Kept {
    life: Life,
    /// When it ends for the call, by the server's clock and by this process's own: the store may be out of reach when it is
    /// needed.
    end: u64,
    until: Instant,
    /// What it carries, where there is anybody around the call to know.
    touched: Option<Gathered>,
}

impl Kept {
    /// `None` where its end has come, or may have. `now` is the latest that the server's clock may show.
    pub(crate) fn new(
        life: Life,
        terms: &Terms,
        now: Option<u64>,
        touched: Option<Gathered>,
    ) -> Option<Self> {
        // While the body runs it may get too old for the call.
        let end = life.end.min(terms.end_of(&life));
        let rest = end.checked_sub(now?).filter(|rest| *rest > 0)?;
        let until = Instant::now() + Duration::from_millis(rest);
        Some(Self { life, end, until, touched })
    }

    pub(crate) fn is_over(&self) -> bool {
        Instant::now() >= self.until
    }

    pub(crate) fn outlives(&self, time: Duration) -> bool {
        Instant::now() + time < self.until
    }

    /// As old as it is by now.
    fn served(&self) -> Served {
        let rest = self.until.saturating_duration_since(Instant::now());
        Served::new(self.life, Some(self.end.saturating_sub(millis(rest))))
    }
}

/// Answers with the value that the call has found past its ttl, if it has and the end of that has not come.
pub(crate) fn serve(request: &Request, computation: &mut dyn Computation) -> Option<Outcome> {
    let kept = computation.answer().adopt_kept()?;
    let served = kept.served();
    telemetry::kept_served(request.site);
    if let Some(mut touched) = kept.touched {
        touched.spoil(Spoiled::Past);
        frame::hand_on(Some(&request.cache), &touched);
    }
    Some(Outcome::Kept(served))
}
