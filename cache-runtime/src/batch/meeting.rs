//! Where the keys of one batch stand, so that what they have in common is done once.

use std::collections::HashMap;
use std::future::poll_fn;
use std::sync::{Arc, Mutex};
use std::task::Poll;

use tokio::time::Instant;

use crate::journal::Position;
use crate::store::StoreError;
use crate::sync::lock;
use crate::tags::{Nonce, Tag};

/// Where one key stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
enum Stand {
    /// It will come to one of the others by itself, and soon.
    UnderWay,
    /// Somebody else computes it.
    Waits,
    /// It has a lease, and the nonces of its tags are to be captured.
    AtCapture,
    /// It has the right to compute.
    AtBody,
    InBody,
    Ended,
}

/// What was captured for all that were about to compute.
#[derive(Clone)]
pub(crate) struct Together {
    pub(crate) nonces: Arc<HashMap<String, Nonce>>,
    pub(crate) tags: Option<Position>,
    pub(crate) keys: Option<Position>,
}

impl Together {
    pub(crate) fn nonces_of(&self, tags: &[Tag]) -> Result<Vec<Nonce>, StoreError> {
        let nonce = |tag: &Tag| self.nonces.get(tag.name()).cloned();
        let nonces: Option<Vec<Nonce>> = tags.iter().map(nonce).collect();
        nonces.ok_or_else(|| StoreError::Server("a nonce is missing in the reply".to_owned()))
    }
}

/// One key of a batch.
struct One {
    stand: Stand,
    captured: Option<Result<Together, StoreError>>,
    /// Until when its capture is waited for.
    deadline: Option<Instant>,
    /// Since when, by the server's time, the journal of keys tells what was touched.
    takes_primes: Option<u64>,
    /// It has an older value for the case that the body fails.
    keeps: bool,
    /// It computes for itself alone, and of those a number is limited.
    alone: bool,
}

/// All keys of one batch.
pub(crate) struct Meeting(Mutex<All>);

struct All {
    keys: Vec<One>,
    under_way: usize,
    in_body: usize,
}

impl All {
    fn set(&mut self, at: usize, stand: Stand) {
        let before = std::mem::replace(&mut self.keys[at].stand, stand);
        for (counted, number) in
            [(Stand::UnderWay, &mut self.under_way), (Stand::InBody, &mut self.in_body)]
        {
            *number += usize::from(stand == counted);
            *number -= usize::from(before == counted);
        }
    }
}

/// One key of a batch, as its lookup knows it.
#[derive(Clone)]
pub(crate) struct Part {
    meeting: Arc<Meeting>,
    at: usize,
}

/// What is to be done now, since no key is under way any more.
pub(crate) enum Next {
    Capture {
        places: Vec<usize>,
        deadline: Instant,
    },
    Body(Round),
    /// All that are left are computed by others.
    Wait,
    End,
}

/// The keys that one body computes.
pub(crate) struct Round {
    pub(crate) places: Vec<usize>,
    pub(crate) takes_primes: Option<u64>,
    /// The one that gets the error, where only one can have it: nothing older is served in its stead.
    pub(crate) error_goes_to: usize,
    pub(crate) alone: bool,
}

impl Meeting {
    pub(crate) fn new(keys: usize) -> Arc<Self> {
        let one = || One {
            stand: Stand::UnderWay,
            captured: None,
            deadline: None,
            takes_primes: None,
            keeps: false,
            alone: false,
        };
        let all = All { keys: (0..keys).map(|_| one()).collect(), under_way: keys, in_body: 0 };
        Arc::new(Self(Mutex::new(all)))
    }

    pub(crate) fn part(self: &Arc<Self>, at: usize) -> Part {
        Part { meeting: Arc::clone(self), at }
    }

    fn set(&self, at: usize, stand: Stand) {
        lock(&self.0).set(at, stand);
    }

    pub(crate) fn ended(&self, at: usize) {
        self.set(at, Stand::Ended);
    }

    pub(crate) fn under_way(&self, at: usize) {
        self.set(at, Stand::UnderWay);
    }

    pub(crate) fn number_under_way(&self) -> usize {
        lock(&self.0).under_way
    }

    pub(crate) fn is_in_body(&self, at: usize) -> bool {
        lock(&self.0).keys[at].stand == Stand::InBody
    }

    /// Whether anybody is left who waits for the body.
    pub(crate) fn is_any_in_body(&self) -> bool {
        lock(&self.0).in_body > 0
    }

    pub(crate) fn captured(&self, at: usize, captured: Result<Together, StoreError>) {
        let mut all = lock(&self.0);
        all.keys[at].captured = Some(captured);
        all.set(at, Stand::UnderWay);
    }

    /// Captures come first: whoever has got its lease is to have a part in the next body.
    pub(crate) fn next(&self) -> Next {
        let mut all = lock(&self.0);
        let keys = &all.keys;
        let at = |stand| -> Vec<usize> {
            let keys = keys.iter().enumerate();
            keys.filter(|(_, one)| one.stand == stand).map(|(at, _)| at).collect()
        };
        let places = at(Stand::AtCapture);
        if !places.is_empty() {
            let deadline = places.iter().filter_map(|at| keys[*at].deadline).max();
            return Next::Capture { places, deadline: deadline.unwrap_or_else(Instant::now) };
        }
        let places = at(Stand::AtBody);
        let Some(first) = places.first() else {
            let is_over = keys.iter().all(|one| one.stand == Stand::Ended);
            return if is_over { Next::End } else { Next::Wait };
        };
        let round = Round {
            takes_primes: places.iter().find_map(|at| keys[*at].takes_primes),
            error_goes_to: *places.iter().find(|at| !keys[**at].keeps).unwrap_or(first),
            alone: places.iter().any(|at| keys[*at].alone),
            places,
        };
        for at in &round.places {
            all.set(*at, Stand::InBody);
        }
        Next::Body(round)
    }
}

impl Part {
    fn change(&self, change: impl FnOnce(&mut One)) {
        change(&mut lock(&self.meeting.0).keys[self.at]);
    }

    pub(crate) fn waits(&self) {
        self.meeting.set(self.at, Stand::Waits);
    }

    pub(crate) fn goes_on(&self) {
        self.meeting.set(self.at, Stand::UnderWay);
    }

    pub(crate) fn goes_alone(&self, limited: bool) {
        self.change(|one| one.alone = limited);
    }

    /// What was captured for all, which is waited for until others have their leases.
    pub(crate) async fn captured(&self, deadline: Instant) -> Result<Together, StoreError> {
        self.change(|one| {
            one.deadline = Some(deadline);
            one.captured = None;
        });
        self.meeting.set(self.at, Stand::AtCapture);
        // Polled again when it is there: see `drive`.
        poll_fn(|_| {
            let captured = lock(&self.meeting.0).keys[self.at].captured.take();
            captured.map_or(Poll::Pending, Poll::Ready)
        })
        .await
    }

    pub(crate) fn at_body(&self, takes_primes: Option<u64>, keeps: bool) {
        self.change(|one| {
            one.takes_primes = takes_primes;
            one.keeps = keeps;
        });
        self.meeting.set(self.at, Stand::AtBody);
    }
}
