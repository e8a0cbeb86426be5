//! How long a function's values live and how its computations are shared.

use std::ops::Deref;
use std::sync::Arc;
use std::time::Duration;

use crate::codec::compression::Compression;
use crate::site::{Site, Warning};
use crate::telemetry;

/// How long before the end of its ttl a hit is stale.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Window {
    Fixed(Duration),
    /// Of the ttl, whatever that is.
    Percent(u8),
}

impl Window {
    /// The window of an entry with this ttl; `None` where it would be stale from its first moment.
    pub(crate) fn of(self, ttl: Duration) -> Option<Duration> {
        match self {
            Self::Fixed(window) => Some(window).filter(|window| *window < ttl),
            // Never nothing: a window of 0 ms would be no refresh at all.
            Self::Percent(percent) => {
                // Divided first: a ttl that a value asks for may be of any length.
                Some((ttl / 100 * u32::from(percent)).max(Duration::from_millis(1)))
                    .filter(|window| *window < ttl)
            }
        }
    }
}

/// How long a function's values live and how its computations are shared.
///
/// Literal durations come in milliseconds: the macro has parsed and checked what the user wrote. What
/// is known only at run time comes as it is, and is checked here.
#[derive(Clone, Copy, Debug)]
pub struct Policy {
    pub(crate) ttl: Duration,
    pub(crate) window: Option<Window>,
    pub(crate) none_ttl: Option<Duration>,
    pub(crate) err_ttl: Option<Duration>,
    pub(crate) lock_ttl: Duration,
    pub(crate) wait: Duration,
    /// How long behind its ttl a value is served if computing a new one fails.
    pub(crate) stale_if_error: Option<Duration>,
    /// How long a body may take, and how long one for which there is such a value.
    pub(crate) timeout: Option<Duration>,
    pub(crate) soft_timeout: Option<Duration>,
    pub(crate) near: Option<Duration>,
    pub(crate) jitter_permille: u16,
    pub(crate) version: u32,
    pub(crate) compression: Compression,
    pub(crate) max_concurrency: Option<u32>,
    /// Whether calls have terms of their own, to be asked for.
    pub(crate) has_terms: bool,
    pub(crate) refuses: Refuses,
}

/// The policy that holds for one call.
#[derive(Clone, Debug)]
pub(crate) enum Holding {
    /// That of the function.
    Constant(&'static Policy),
    /// With what was said of it for the arguments.
    Resolved(Arc<Policy>),
}

impl Deref for Holding {
    type Target = Policy;

    fn deref(&self) -> &Policy {
        match self {
            Self::Constant(policy) => policy,
            Self::Resolved(policy) => policy,
        }
    }
}

/// What a call may refuse that others are served.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Refuses {
    Nothing,
    /// What is stored: it has a `max_age`, or an `accept_if` over its arguments.
    Stored,
    /// Also what another's body gives, which asks the same arguments.
    Bodies,
}

/// What a literal may be at most, and so what a run-time value is clamped to.
const LONGEST: Duration = Duration::from_secs(3650 * 86_400);
/// A lease is renewed for this long and no longer, where its function has no `timeout`: a body that hangs must not hold
/// it for ever.
const LONGEST_LEASE: Duration = Duration::from_secs(60);
/// A lease is renewed every third of it: shorter ones would be lost to an ordinary round trip.
const SHORTEST_LEASE: Duration = Duration::from_millis(100);

macro_rules! durations {
    ($($(#[$doc:meta])* $field:ident / $at_run_time:ident: |$policy:ident, $value:ident| $set:expr;)+) => {$(
        $(#[$doc])*
        #[must_use]
        pub const fn $field(mut self, ms: u64) -> Self {
            let $value = Duration::from_millis(ms);
            let $policy = &mut self;
            $set;
            self
        }

        /// The same, known only at run time.
        #[must_use]
        pub const fn $at_run_time(mut self, $value: Duration) -> Self {
            let $policy = &mut self;
            $set;
            self
        }
    )+};
}

impl Policy {
    /// A policy with this `ttl` and the defaults.
    #[must_use]
    pub const fn new(ttl_ms: u64) -> Self {
        Self {
            ttl: Duration::from_millis(ttl_ms),
            window: None,
            none_ttl: None,
            err_ttl: None,
            lock_ttl: Duration::from_secs(5),
            wait: Duration::from_secs(10),
            stale_if_error: None,
            timeout: None,
            soft_timeout: None,
            near: None,
            jitter_permille: 50,
            version: 0,
            compression: Compression::None,
            max_concurrency: None,
            has_terms: false,
            refuses: Refuses::Nothing,
        }
    }

    durations! {
        /// How long a value may be served.
        ttl / ttl_at_run_time: |policy, value| policy.ttl = value;
        /// The window before the end of `ttl` in which a hit is stale.
        refresh_before / refresh_before_at_run_time:
            |policy, value| policy.window = Some(Window::Fixed(value));
        /// The `ttl` of `None`.
        none_ttl / none_ttl_at_run_time: |policy, value| policy.none_ttl = Some(value);
        /// The `ttl` of an error.
        err_ttl / err_ttl_at_run_time: |policy, value| policy.err_ttl = Some(value);
        /// How long a lease is held without being renewed.
        lock_ttl / lock_ttl_at_run_time: |policy, value| policy.lock_ttl = value;
        /// How long a caller waits for another's computation.
        wait / wait_at_run_time: |policy, value| policy.wait = value;
        /// How long behind its `ttl` a value is served if computing a new one fails.
        stale_if_error / stale_if_error_at_run_time:
            |policy, value| policy.stale_if_error = Some(value);
        /// How long a body may take.
        timeout / timeout_at_run_time: |policy, value| policy.timeout = Some(value);
        /// How long a caller waits for whom there is such a value.
        soft_timeout / soft_timeout_at_run_time:
            |policy, value| policy.soft_timeout = Some(value);
        /// How long a copy is kept in process.
        near / near_at_run_time: |policy, value| policy.near = Some(value);
    }

    /// The window as a part of the ttl.
    #[must_use]
    pub const fn refresh_percent(mut self, percent: u8) -> Self {
        self.window = Some(Window::Percent(percent));
        self
    }

    /// The part of `ttl` that may be taken away at random, in thousandths.
    #[must_use]
    pub const fn jitter_permille(mut self, permille: u16) -> Self {
        self.jitter_permille = permille;
        self
    }

    /// Raised by the user when the meaning of the value changes.
    #[must_use]
    pub const fn version(mut self, version: u32) -> Self {
        self.version = version;
        self
    }

    /// How payloads are compressed.
    #[must_use]
    pub const fn compress(mut self, compression: Compression) -> Self {
        self.compression = compression;
        self
    }

    /// How many bodies may run at once in this process.
    #[must_use]
    pub const fn max_concurrency(mut self, bodies: u32) -> Self {
        self.max_concurrency = Some(bodies);
        self
    }

    /// Has each call asked for its terms.
    #[must_use]
    pub const fn has_terms(mut self) -> Self {
        self.has_terms = true;
        self
    }

    /// Calls judge what another's body gives.
    #[must_use]
    pub const fn judges_bodies(mut self) -> Self {
        self.refuses = Refuses::Bodies;
        self
    }

    /// A call may refuse what others are served.
    #[must_use]
    pub const fn refuses_by_call(mut self) -> Self {
        self.refuses = Refuses::Stored;
        self
    }

    /// The policy of a value that may have a ttl of its own: what the value says comes first.
    pub(crate) fn with_ttl(mut self, none: bool, of_value: Option<Duration>) -> Self {
        let of_none = self.none_ttl.filter(|_| none);
        if let Some(ttl) = of_value.or(of_none) {
            self.ttl = ttl;
            // A window that is not shorter is no mistake here: this value just has none.
            self.window = self.window.filter(|window| window.of(ttl).is_some());
        }
        self
    }

    /// The policy of a value that may have a window of its own.
    pub(crate) fn with_window(mut self, of_value: Option<Duration>) -> Self {
        if let Some(window) = of_value {
            self.window = (!window.is_zero()).then_some(Window::Fixed(window));
        }
        self
    }

    /// The policy of an error: it has no window, and ends before it is computed anew. That the next one fails as well is
    /// no reason to serve it.
    pub(crate) fn of_error(mut self, of_error: Option<Duration>) -> Self {
        self.ttl = of_error.or(self.err_ttl).unwrap_or(self.ttl);
        self.window = None;
        self.stale_if_error = None;
        self
    }

    /// Whether values are kept beyond their ttl, to be served if computing a new one fails.
    pub(crate) fn keeps(&self) -> bool {
        self.stale_if_error.is_some()
    }

    /// How long a body may hold its lease.
    pub(crate) fn longest(&self) -> Duration {
        self.timeout.unwrap_or(LONGEST_LEASE)
    }

    /// How long tags live from the moment that their nonces are captured for an entry: longer than the entry can, so
    /// that no entry dies of a nonce that has merely ended.
    pub(crate) fn life_of_tags(&self) -> Duration {
        2 * self.longest() + self.ttl + self.stale_if_error.unwrap_or_default()
    }

    /// Whether hits are refreshed behind their callers.
    pub(crate) fn refreshes(&self) -> bool {
        self.window.is_some()
    }

    /// The policy with what it says at run time brought into the limits that literals have. The
    /// function's author is told once.
    pub(crate) fn checked(mut self, site: &Site) -> Self {
        let mut wrong = None;
        let mut clamp = |name, value: &mut Duration, least| {
            let clamped = (*value).clamp(least, LONGEST);
            if clamped != *value {
                wrong.get_or_insert((name, clamped));
                *value = clamped;
            }
        };
        let least = Duration::from_millis(1);
        clamp("ttl", &mut self.ttl, least);
        if let Some(none_ttl) = &mut self.none_ttl {
            clamp("none_ttl", none_ttl, least);
        }
        if let Some(err_ttl) = &mut self.err_ttl {
            clamp("err_ttl", err_ttl, least);
        }
        if let Some(Window::Fixed(window)) = &mut self.window {
            clamp("refresh_before", window, least);
        }
        for (name, value) in [
            ("stale_if_error", &mut self.stale_if_error),
            ("timeout", &mut self.timeout),
            ("soft_timeout", &mut self.soft_timeout),
            ("near", &mut self.near),
        ] {
            if let Some(value) = value {
                clamp(name, value, least);
            }
        }
        clamp("lock_ttl", &mut self.lock_ttl, SHORTEST_LEASE);
        clamp("wait", &mut self.wait, Duration::ZERO);
        if let Some((name, taken)) = wrong {
            let detail = format!("`{name}` is outside of them, {taken:?} is taken");
            telemetry::warn_once(site, Warning::Policy, &detail);
        } else if self.window.is_some_and(|window| window.of(self.ttl).is_none()) {
            let detail = "`refresh_before` is not shorter than `ttl`, so nothing is refreshed";
            telemetry::warn_once(site, Warning::Policy, detail);
        }
        self
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_window_is_shorter_than_its_ttl() {
        let ms = Duration::from_millis;
        for (window, ttl, expected) in [
            (Window::Fixed(ms(10)), ms(100), Some(ms(10))),
            (Window::Fixed(ms(100)), ms(100), None),
            (Window::Percent(20), ms(100), Some(ms(20))),
            (Window::Percent(1), ms(10), Some(ms(1))),
            (Window::Percent(99), ms(1), None),
        ] {
            assert_eq!(window.of(ttl), expected, "{window:?} of {ttl:?}");
        }
    }
}
