//! Single-flight: one computation inside one process, with the callers that wait for it.
//!
//! A flight is sealed when its leader starts its body, or looks into the store for all. Who joined
//! before shares the outcome; who comes later may have been called after an invalidation that the
//! leader has not seen. Those who came too late stay together: one of them leads next.
//! This file knows no store and no value: `B` is what a leader that gives up hands to the next one,
//! `O` the outcome that is shared.

use std::collections::HashMap;
use std::hash::Hash;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use tokio::sync::Notify;

use crate::faults::{self, Fault};
use crate::sync::lock;

type Table<K, B, O> = Mutex<HashMap<K, Arc<Flight<B, O>>>>;

/// All flights of one cache.
#[derive(Debug)]
pub(crate) struct Flights<K, B, O>(Arc<Table<K, B, O>>);

#[derive(Debug)]
struct Flight<B, O> {
    state: Mutex<State<B, O>>,
    changed: Notify,
}

#[derive(Debug)]
struct State<B, O> {
    led: bool,
    /// Rises with every new leader; a leader of an older term has been deposed.
    term: u64,
    seals: u64,
    waiters: usize,
    /// Those of the waiters who joined after the last seal.
    late: usize,
    baton: Option<B>,
    ended: bool,
    /// The newest outcome, and which seal it came from.
    outcome: Option<(u64, O)>,
}

/// How a caller takes part.
pub(crate) enum Seat<K: Hash + Eq, B, O> {
    Leader(Leader<K, B, O>),
    Waiter(Waiter<K, B, O>),
}

/// The caller that computes. Dropped without [`end`](Leader::end), it hands over to a waiter.
pub(crate) struct Leader<K: Hash + Eq, B, O> {
    flights: Arc<Table<K, B, O>>,
    flight: Arc<Flight<B, O>>,
    key: K,
    term: u64,
    sealed: u64,
    /// What the next leader gets if this one is dropped.
    pub(crate) baton: Option<B>,
    ended: bool,
}

/// A caller that waits.
pub(crate) struct Waiter<K: Hash + Eq, B, O> {
    flights: Arc<Table<K, B, O>>,
    flight: Arc<Flight<B, O>>,
    key: K,
    /// The seals there were when this caller joined: no outcome of those may answer it.
    joined: u64,
}

/// How waiting ended.
pub(crate) enum Landing<K: Hash + Eq, B, O> {
    Shared(O),
    /// The leader is gone, or has ended with an outcome that began too early for this caller. It
    /// leads now, with what the leader left.
    TookOver(Leader<K, B, O>),
    /// The leader has not come to an end in time; this caller leads now, with nothing.
    Deposed(Leader<K, B, O>),
    /// Nobody has answered this caller in time.
    OutOfPatience,
}

impl<K, B, O> Default for Flights<K, B, O> {
    fn default() -> Self {
        Self(Arc::default())
    }
}

impl<K: Hash + Eq + Clone, B, O: Clone> Flights<K, B, O> {
    pub(crate) fn join(&self, key: &K) -> Seat<K, B, O> {
        let mut flights = lock(&self.0);
        let flight = flights.entry(key.clone()).or_insert_with(|| Arc::new(Flight::new()));
        let flight = Arc::clone(flight);
        let mut state = lock(&flight.state);
        if !state.led {
            let (term, baton) = state.lead();
            drop(state);
            return Seat::Leader(Leader::new(&self.0, flight, key.clone(), term, baton));
        }
        state.waiters += 1;
        state.late += 1;
        let joined = state.seals;
        drop(state);
        Seat::Waiter(Waiter { flights: Arc::clone(&self.0), flight, key: key.clone(), joined })
    }

    #[cfg(test)]
    pub(crate) fn len(&self) -> usize {
        lock(&self.0).len()
    }
}

impl<B, O> Flight<B, O> {
    fn new() -> Self {
        let state = State {
            led: false,
            term: 0,
            seals: 0,
            waiters: 0,
            late: 0,
            baton: None,
            ended: false,
            outcome: None,
        };
        Self { state: Mutex::new(state), changed: Notify::new() }
    }
}

impl<B, O> State<B, O> {
    fn lead(&mut self) -> (u64, Option<B>) {
        self.led = true;
        self.term += 1;
        (self.term, self.baton.take())
    }
}

impl<K: Hash + Eq, B, O> Leader<K, B, O> {
    fn new(
        flights: &Arc<Table<K, B, O>>,
        flight: Arc<Flight<B, O>>,
        key: K,
        term: u64,
        baton: Option<B>,
    ) -> Self {
        Self { flights: Arc::clone(flights), flight, key, term, sealed: 0, baton, ended: false }
    }

    /// To be called when the body starts, and before a look into the store whose finding is to be
    /// shared: from now on nobody joins that outcome.
    pub(crate) fn seal(&mut self) {
        let mut state = lock(&self.flight.state);
        if state.term == self.term {
            state.seals += 1;
            state.late = 0;
            self.sealed = state.seals;
        }
    }

    /// Whether anybody may be waiting whom this leader's outcome would answer.
    pub(crate) fn answers_somebody(&self) -> bool {
        let state = lock(&self.flight.state);
        state.waiters > if state.term == self.term { state.late } else { 0 }
    }

    /// Answers those who joined before the seal, while the others go on waiting.
    ///
    /// Also by a leader that was deposed: its outcome is as good for them as the next one's.
    pub(crate) fn announce(&self, outcome: O) {
        let mut state = lock(&self.flight.state);
        let newer = state.outcome.as_ref().is_none_or(|(sealed, _)| *sealed < self.sealed);
        let unused = if newer { state.outcome.replace((self.sealed, outcome)) } else { None };
        drop(state);
        self.flight.changed.notify_waiters();
        // What is in there is the user's, and so is what its end does: not under the lock.
        drop(unused);
    }

    /// Ends this leader's part. Whom it has not answered is led by the next.
    ///
    /// A leader that was deposed ends nothing: the flight is another's by now.
    pub(crate) fn end(mut self, outcome: Option<O>) {
        if let Some(outcome) = outcome {
            self.announce(outcome);
        }
        self.finish();
    }

    fn finish(&mut self) {
        self.ended = true;
        let mut flights = lock(&self.flights);
        let mut state = lock(&self.flight.state);
        if state.term != self.term {
            return;
        }
        let answered = state.outcome.as_ref().is_some_and(|(sealed, _)| *sealed == self.sealed);
        let unanswered = if answered { state.late } else { state.waiters };
        state.led = false;
        if unanswered == 0 {
            state.ended = true;
            drop(state);
            if flights.get(&self.key).is_some_and(|flight| Arc::ptr_eq(flight, &self.flight)) {
                flights.remove(&self.key);
            }
        }
        drop(flights);
        self.flight.changed.notify_waiters();
    }
}

impl<K: Hash + Eq, B, O> Drop for Leader<K, B, O> {
    fn drop(&mut self) {
        if self.ended || faults::on(Fault::NotHandedOver) {
            return;
        }
        // A panic is the leader's own; its lease is not handed on, but ends.
        if !std::thread::panicking() {
            let mut state = lock(&self.flight.state);
            if state.term == self.term && state.waiters > 0 {
                state.baton = self.baton.take();
            }
        }
        self.finish();
    }
}

impl<K: Hash + Eq + Clone, B, O: Clone> Waiter<K, B, O> {
    /// Waits for the outcome. `patience` is given once, and once more if meanwhile a body has started
    /// or the leader has changed.
    ///
    /// # Cancel safety
    ///
    /// A waiter that is dropped leaves no trace.
    pub(crate) async fn land(&self, patience: Duration) -> Landing<K, B, O> {
        for _ in 0..2 {
            let mut watched = None;
            match tokio::time::timeout(patience, self.next(&mut watched)).await {
                Ok(landing) => return landing,
                Err(_) => {
                    if let Some(leader) = self.depose(watched) {
                        return Landing::Deposed(leader);
                    }
                }
            }
        }
        Landing::OutOfPatience
    }

    async fn next(&self, watched: &mut Option<(u64, u64)>) -> Landing<K, B, O> {
        loop {
            let changed = self.flight.changed.notified();
            tokio::pin!(changed);
            // Listening begins before looking, so that no change falls between the two.
            changed.as_mut().enable();
            {
                let mut state = lock(&self.flight.state);
                if let Some((sealed, outcome)) = &state.outcome
                    && (*sealed > self.joined || faults::on(Fault::Unsealed))
                {
                    return Landing::Shared(outcome.clone());
                }
                if state.ended {
                    return Landing::OutOfPatience;
                }
                if !state.led {
                    let (term, baton) = state.lead();
                    drop(state);
                    return Landing::TookOver(self.leader(term, baton));
                }
                watched.get_or_insert((state.term, state.seals));
            }
            changed.await;
        }
    }

    /// Takes the lead from a leader that got nowhere for the whole of this caller's patience.
    fn depose(&self, watched: Option<(u64, u64)>) -> Option<Leader<K, B, O>> {
        let mut state = lock(&self.flight.state);
        if state.ended || !state.led || Some((state.term, state.seals)) != watched {
            return None;
        }
        let (term, _) = state.lead();
        drop(state);
        Some(self.leader(term, None))
    }

    fn leader(&self, term: u64, baton: Option<B>) -> Leader<K, B, O> {
        Leader::new(&self.flights, Arc::clone(&self.flight), self.key.clone(), term, baton)
    }
}

impl<K: Hash + Eq, B, O> Drop for Waiter<K, B, O> {
    fn drop(&mut self) {
        let mut flights = lock(&self.flights);
        let mut state = lock(&self.flight.state);
        state.waiters -= 1;
        if self.joined == state.seals {
            state.late -= 1;
        }
        // The last waiter of a flight that nobody leads: nobody ever will.
        if state.waiters == 0 && !state.led && !state.ended {
            state.ended = true;
            let baton = state.baton.take();
            drop(state);
            if flights.get(&self.key).is_some_and(|flight| Arc::ptr_eq(flight, &self.flight)) {
                flights.remove(&self.key);
            }
            drop(flights);
            drop(baton);
        }
    }
}

#[cfg(test)]
#[path = "flight_tests.rs"]
mod tests;
