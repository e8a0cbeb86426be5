//! What one call asks for, and what those who share its answer get.

use std::sync::Arc;

use tokio::sync::Notify;

use crate::batch::Part;
use crate::cache::Inner;
use crate::computation::{Computation, SharedFailure};
use crate::entry::Written;
use crate::flight::{Leader, Waiter};
use crate::frame::Gathered;
use crate::key::Key;
use crate::lease::Lease;
use crate::near::Place;
use crate::outcome::Served;
use crate::policy::Holding;
use crate::site::Site;
use crate::tags::Tag;
use crate::terms::Terms;

/// What one call asks for.
#[derive(Clone)]
pub(crate) struct Request {
    pub(crate) cache: Arc<Inner>,
    pub(crate) site: &'static Site,
    pub(crate) key: Key,
    pub(crate) fingerprint: u64,
    /// What its entry is invalidated with besides its key, known before the body. Most have none.
    pub(crate) tags: Vec<Tag>,
    /// The site's, and from the moment that a body may run what was said of it for the arguments.
    pub(crate) policy: Holding,
    pub(crate) terms: Terms,
    /// Where a copy of what is read may be kept.
    pub(crate) place: Option<Place>,
    /// To be told when the call begins to wait for a computation, its own or another's, where it will not do so for long.
    pub(crate) waits: Option<Arc<Notify>>,
    /// Where it is one key of a batch.
    pub(crate) part: Option<Part>,
}

/// A request and how it is to be answered.
pub(crate) struct Asked {
    pub(crate) request: Request,
    /// Compute now, whatever is stored.
    pub(crate) forced: bool,
}

/// A call without a cache or a key: its body runs.
pub(crate) struct Unasked {
    pub(crate) site: Option<&'static Site>,
    /// Those of its arguments.
    pub(crate) tags: Gathered,
}

/// Which computations are one flight: those of one function, value type and key.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) struct FlightKey {
    fingerprint: u64,
    key: Arc<str>,
}

/// What those who share a flight get, and what it depends on.
#[derive(Clone)]
pub(crate) struct Landed {
    pub(crate) shared: Shared,
    pub(crate) touched: Arc<Gathered>,
    /// Where it was found stored.
    pub(crate) served: Option<Served>,
}

#[derive(Clone)]
pub(crate) enum Shared {
    /// A value, or an error of those that are stored.
    Stored(Written, Arc<[u8]>),
    /// An error, and whether it is a failure, in place of which an old value may be served.
    Failed(SharedFailure, bool),
    /// It has failed, or did a moment ago, and others can't have the error.
    Failing,
    /// Neither the value nor the error can be had by others.
    Nothing,
}

pub(crate) type Lead = Leader<FlightKey, Lease, Landed>;
pub(crate) type Wait = Waiter<FlightKey, Lease, Landed>;

impl Landed {
    pub(crate) fn failing() -> Self {
        Self { shared: Shared::Failing, touched: Arc::default(), served: None }
    }
}

impl FlightKey {
    pub(crate) fn is_of(&self, key: &Key) -> bool {
        *self.key == *key.name()
    }
}

impl Request {
    /// The same with the policy that holds for the arguments.
    pub(crate) fn resolved(&self, computation: &mut dyn Computation) -> Self {
        let mut request = self.clone();
        let mut policy = *self.policy;
        computation.resolve(&mut policy);
        request.policy = Holding::Resolved(Arc::new(policy.checked(self.site)));
        request
    }

    /// The same, which tells when it begins to wait.
    pub(crate) fn telling(&self) -> (Self, Arc<Notify>) {
        let waits = Arc::new(Notify::new());
        (Self { waits: Some(Arc::clone(&waits)), ..self.clone() }, waits)
    }

    /// What the store is asked before is bounded by its own deadline, and does not count.
    pub(crate) fn begins_to_wait(&self) {
        if let Some(waits) = &self.waits {
            waits.notify_one();
        }
        if let Some(part) = &self.part {
            part.waits();
        }
    }

    /// What it has waited for has ended.
    pub(crate) fn goes_on(&self) {
        if let Some(part) = &self.part {
            part.goes_on();
        }
    }

    pub(crate) fn flight_key(&self) -> FlightKey {
        FlightKey { fingerprint: self.fingerprint, key: self.key.name().into() }
    }
}
