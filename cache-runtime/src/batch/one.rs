//! One key of a batch to the lookup: a call like any other, whose body has run somewhere else.

use std::any::Any;
use std::ops::Deref;
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll};
use std::time::Duration;

use crate::body::Ran;
use crate::cache::Cache;
use crate::codec::{DecodeError, EncodeError};
use crate::computation::{Answer, Computation, Offered, Outgoing, SharedFailure, Slot};
use crate::entry::Written;
use crate::error::TimedOut;
use crate::frame::Gathered;
use crate::kept::Kept;
use crate::near;
use crate::policy::Policy;
use crate::priming::Primes;
use crate::private::Target;
use crate::refresh::Stale;
use crate::returns::Returned;
use crate::site::Site;
use crate::sync::lock;
use crate::terms::Terms;

/// What the body of a batch has given for one key.
pub(crate) enum Delivered<R> {
    Answer(R),
    /// Its map lacks the key, and that is not to be remembered.
    Absent,
    /// The error that all of them share, and whether it is a failure.
    Shared(SharedFailure, bool),
    /// An error that another key has, and cannot share.
    Failed,
}

/// What the body has come to besides, for all of its keys.
pub(crate) struct RanTogether {
    touched: Arc<Gathered>,
    /// They are stored once.
    primes: Mutex<Option<Primes>>,
}

impl RanTogether {
    pub(crate) fn new(ran: Ran) -> Arc<Self> {
        Arc::new(Self { touched: ran.touched, primes: Mutex::new(Some(ran.primes)) })
    }

    fn ran(&self) -> Ran {
        let primes = lock(&self.primes).take().unwrap_or_default();
        Ran { touched: Arc::clone(&self.touched), primes }
    }
}

/// Where what the body gives is put for one key.
pub(crate) struct Mail<R>(Mutex<Option<(Delivered<R>, Arc<RanTogether>)>>);

impl<R> Mail<R> {
    pub(crate) fn new() -> Arc<Self> {
        Arc::new(Self(Mutex::new(None)))
    }

    pub(crate) fn put(&self, delivered: Delivered<R>, ran: &Arc<RanTogether>) {
        *lock(&self.0) = Some((delivered, Arc::clone(ran)));
    }
}

/// The computation of one key.
pub(crate) struct One<'c, R, K> {
    slot: Slot<'c, R, K>,
    mail: Arc<Mail<R>>,
    absent: bool,
    ran: Option<Arc<RanTogether>>,
    stale: Option<Stale>,
    /// In whose stead an older value is served: those may need it that have none.
    error: Option<R>,
}

impl<R, K: Deref<Target: Returned<R>>> One<'_, R, K> {
    pub(crate) fn new(returns: K, mail: &Arc<Mail<R>>) -> Self {
        let slot = Slot::new(returns, None);
        Self { slot, mail: Arc::clone(mail), absent: false, ran: None, stale: None, error: None }
    }

    pub(crate) fn is_absent(&self) -> bool {
        self.absent
    }

    /// The answer, if there is one, and an error that it has not answered with.
    pub(crate) fn ended(self) -> (Option<R>, Option<R>) {
        (self.slot.value, self.error)
    }
}

impl<R: Send, K: Deref<Target: Returned<R>> + Send> Computation for One<'_, R, K> {
    fn answer(&mut self) -> &mut dyn Answer {
        self
    }

    // It has a key from the beginning, and so no place for a copy.
    fn target_in(&mut self, _: Cache) -> Option<Target> {
        None
    }

    fn resolve(&mut self, _: &mut Policy) {}

    fn state(&mut self, _: &mut Terms) {}

    fn stand_in(&mut self) -> bool {
        false
    }

    fn start(&mut self) {}

    fn poll(&mut self, _: &mut Context<'_>) -> Poll<()> {
        // Polled again when it is there: see `drive`.
        let Some((delivered, ran)) = lock(&self.mail.0).take() else { return Poll::Pending };
        self.ran = Some(ran);
        self.absent = false;
        match delivered {
            Delivered::Answer(answer) => self.slot.answer_with(Some(answer), None),
            Delivered::Absent => {
                self.absent = true;
                self.slot.answer_with(None, None);
            }
            Delivered::Shared(error, is_failure) => {
                self.slot.adopt_failure(&error, is_failure);
            }
            Delivered::Failed => self.slot.answer_with(None, None),
        }
        Poll::Ready(())
    }

    fn time_out(&mut self, why: TimedOut) {
        self.slot.time_out(why);
    }

    fn detach(&mut self) -> Option<Box<dyn Computation>> {
        None
    }

    fn hand_over(&mut self) {}

    fn ran_together(&mut self) -> Option<Ran> {
        self.ran.take().map(|ran| ran.ran())
    }

    fn put_off(&mut self, stale: Stale) {
        self.stale = Some(stale);
    }

    fn stale(&mut self) -> Option<Stale> {
        self.stale.take()
    }
}

impl<R: Send, K: Deref<Target: Returned<R>> + Send> Answer for One<'_, R, K> {
    fn fingerprint(&self, site: &Site, owner: &'static str) -> u64 {
        self.slot.fingerprint(site, owner)
    }

    fn copy(&mut self) -> Option<near::Value> {
        None
    }

    fn adopt_copy(&mut self, _: &(dyn Any + Send + Sync)) -> bool {
        false
    }

    fn adopt(&mut self, written: Written, payload: &[u8]) -> Result<(), DecodeError> {
        self.absent = false;
        self.slot.adopt(written, payload)
    }

    fn accept(&mut self, written: Written, payload: &[u8]) -> Result<Offered, DecodeError> {
        self.absent = false;
        self.slot.accept(written, payload)
    }

    fn encode(&self) -> Result<Outgoing, EncodeError> {
        if self.absent {
            // As a value that `cache_if` refuses: what is stored is outdated.
            let (ttl, window) = (None, None);
            return Ok(Outgoing { encoded: None, is_error: false, keep: false, ttl, window });
        }
        self.slot.encode()
    }

    fn tag(&self, touched: &mut Gathered) {
        self.slot.tag(touched);
    }

    fn share_failure(&mut self) -> Option<SharedFailure> {
        self.slot.share_failure()
    }

    fn adopt_failure(&mut self, failure: &SharedFailure, is_failure: bool) -> bool {
        self.slot.adopt_failure(failure, is_failure)
    }

    fn is_failure(&mut self) -> bool {
        !self.absent && self.slot.is_failure()
    }

    fn keep(&mut self, kept: Kept, written: Written, payload: &[u8]) {
        self.slot.keep(kept, written, payload);
    }

    fn keeps(&self) -> bool {
        self.slot.keeps()
    }

    fn keeps_for(&self, time: Duration) -> bool {
        self.slot.keeps_for(time)
    }

    fn forget_kept(&mut self) {
        self.slot.forget_kept();
    }

    fn adopt_kept(&mut self) -> Option<Kept> {
        let error = self.slot.value.take();
        let kept = self.slot.adopt_kept();
        if kept.is_some() {
            self.error = error;
        } else {
            self.slot.value = error;
        }
        kept
    }
}
