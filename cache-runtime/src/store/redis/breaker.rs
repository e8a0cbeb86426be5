//! Keeps callers from a server that does not answer, and lets one through now and then to see whether it does again.
//!
//! Pure but for its lock: whoever asks brings the time.

use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::time::Duration;

use tokio::time::Instant;

use crate::metrics;
use crate::sync::lock;

/// So many operations in a row that were not answered open it.
const MOST_FAILURES: u32 = 5;
/// How long it is open before one is let through; doubling with each that is not answered.
const FIRST_PAUSE: Duration = Duration::from_millis(500);
const LONGEST_PAUSE: Duration = Duration::from_secs(30);

/// That of one server, for the callers of one runtime.
#[derive(Debug, Default)]
pub(crate) struct Breaker {
    failures: AtomicU32,
    /// What callers look at while all is well.
    is_open: AtomicBool,
    open: Mutex<Option<Open>>,
    told: metrics::Open,
}

#[derive(Debug)]
struct Open {
    /// When the next one is let through.
    until: Instant,
    pause: Duration,
}

/// Whether an operation may be tried.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Admission {
    Admitted,
    /// To see whether the server answers again.
    Probe,
    Refused,
}

/// What an outcome has changed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Changed {
    Opened,
    Closed,
    Nothing,
}

impl Breaker {
    pub(crate) fn told_by(told: metrics::Open) -> Self {
        Self { told, ..Self::default() }
    }

    pub(crate) fn admission(&self, now: impl FnOnce() -> Instant) -> Admission {
        if !self.is_open.load(Ordering::Acquire) {
            return Admission::Admitted;
        }
        let mut open = lock(&self.open);
        let Some(open) = &mut *open else { return Admission::Admitted };
        let now = now();
        if now < open.until {
            return Admission::Refused;
        }
        // One at a time. If its caller is dropped, the next one is let through after the same pause.
        open.until = now + jittered(open.pause);
        Admission::Probe
    }

    /// The server has answered, whatever it said.
    pub(crate) fn answered(&self) -> Changed {
        // No write that all callers would share while all is well.
        if self.failures.load(Ordering::Relaxed) != 0 {
            self.failures.store(0, Ordering::Relaxed);
        }
        if !self.is_open.load(Ordering::Acquire) {
            return Changed::Nothing;
        }
        let mut open = lock(&self.open);
        self.is_open.store(false, Ordering::Release);
        if open.take().is_none() {
            return Changed::Nothing;
        }
        self.told.set(false);
        Changed::Closed
    }

    /// It has not, or there was no connection.
    pub(crate) fn unanswered(&self, admission: Admission, now: Instant) -> Changed {
        let failures = self.failures.fetch_add(1, Ordering::Relaxed).saturating_add(1);
        let mut open = lock(&self.open);
        match &mut *open {
            Some(open) if admission == Admission::Probe => {
                open.pause = (open.pause * 2).min(LONGEST_PAUSE);
                open.until = now + jittered(open.pause);
                Changed::Nothing
            }
            // Under way since before it was opened: that is known by now.
            Some(_) => Changed::Nothing,
            None if failures < MOST_FAILURES => Changed::Nothing,
            None => {
                *open = Some(Open { until: now + jittered(FIRST_PAUSE), pause: FIRST_PAUSE });
                self.is_open.store(true, Ordering::Release);
                self.told.set(true);
                Changed::Opened
            }
        }
    }
}

/// Not all processes at the same moment.
fn jittered(pause: Duration) -> Duration {
    pause.mul_f64(0.75 + fastrand::f64() / 2.0)
}

#[cfg(test)]
mod tests {
    use super::*;
    use Admission::{Admitted, Probe, Refused};

    /// Each pause ends within these bounds.
    const EARLIEST: f64 = 0.74;
    const LATEST: f64 = 1.26;

    fn opened(now: Instant) -> Breaker {
        let breaker = Breaker::default();
        for _ in 1..MOST_FAILURES {
            assert_eq!(breaker.unanswered(Admitted, now), Changed::Nothing);
            assert_eq!(breaker.admission(|| now), Admitted);
        }
        assert_eq!(breaker.unanswered(Admitted, now), Changed::Opened);
        breaker
    }

    #[test]
    fn c5_it_opens_after_five_failures_in_a_row() {
        let now = Instant::now();
        let breaker = Breaker::default();
        for _ in 0..10 {
            for _ in 1..MOST_FAILURES {
                assert_eq!(breaker.unanswered(Admitted, now), Changed::Nothing);
            }
            assert_eq!(breaker.answered(), Changed::Nothing);
        }
        let breaker = opened(now);
        assert_eq!(breaker.admission(|| now + FIRST_PAUSE.mul_f64(EARLIEST)), Refused);
    }

    #[test]
    fn c5_while_it_is_open_one_at_a_time_is_let_through() {
        let mut now = Instant::now();
        let breaker = opened(now);
        let mut pause = FIRST_PAUSE;
        for _ in 0..12 {
            assert_eq!(breaker.admission(|| now + pause.mul_f64(EARLIEST)), Refused);
            now += pause.mul_f64(LATEST);
            assert_eq!(breaker.admission(|| now), Probe);
            assert_eq!(breaker.admission(|| now), Refused);
            // Those from before say nothing.
            assert_eq!(breaker.unanswered(Admitted, now), Changed::Nothing);
            assert_eq!(breaker.unanswered(Probe, now), Changed::Nothing);
            pause = (pause * 2).min(LONGEST_PAUSE);
        }
        assert_eq!(pause, LONGEST_PAUSE);
        now += pause.mul_f64(LATEST);
        assert_eq!(breaker.admission(|| now), Probe);
        assert_eq!(breaker.answered(), Changed::Closed);
        assert_eq!(breaker.admission(|| now), Admitted);
        // And from the beginning.
        assert_eq!(breaker.unanswered(Admitted, now), Changed::Nothing);
    }

    #[test]
    fn c5_a_probe_that_is_dropped_keeps_nobody_out() {
        let now = Instant::now();
        let breaker = opened(now);
        let later = now + FIRST_PAUSE.mul_f64(LATEST);
        assert_eq!(breaker.admission(|| later), Probe);
        assert_eq!(breaker.admission(|| later + FIRST_PAUSE.mul_f64(LATEST)), Probe);
    }
}
