//! Reads of concurrent callers, gathered so that one command carries many of them.
//!
//! Who waits for what, without the connection: see `reads.rs`. A caller may join a batch until that is frozen, which it is
//! before it is written. So whatever a caller is told was asked for when its call had begun.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, OnceLock};

use bytes::Bytes;
use tokio::sync::Notify;
use tokio::time::Instant;
use xxhash_rust::xxh3::xxh3_64;

use crate::sync::lock;

/// While one is answered, the callers use what the other has brought. With more, each would be smaller.
const MOST_UNDER_WAY: usize = 2;
/// Of those that are full, so many on each lane.
const MOST_ON_A_LANE: usize = 2;
/// Names that are read together, but for what the last caller has brought.
const MOST_NAMES: usize = 128;
/// And so many bytes, as far as the size of what is stored can be known from what was read before.
const MOST_BYTES: usize = 1 << 20;
/// As many are read together however large they are: what is large itself is read by itself.
const LEAST_NAMES: usize = 4;

/// What is read together: over some lanes of a pool, one batch after the other on another lane.
#[derive(Debug)]
pub(super) struct Gathering {
    /// The last one can be joined, those before it are full.
    open: VecDeque<Open>,
    /// With those that are about to freeze a batch.
    under_way: usize,
    /// So many drivers are about to freeze a batch.
    ready: usize,
    /// Whether the last batch was of several callers. Where callers come one by one, none waits for others.
    crowded: bool,
    /// Of a value, lately.
    bytes: usize,
    /// The batches that are under way on each of them.
    lanes: Vec<Lane>,
    /// The lane that the last batch took.
    last: usize,
}

#[derive(Debug)]
struct Lane {
    number: usize,
    under_way: usize,
}

/// What is stored under a name, and under those that were asked for with it.
pub(super) type Values = (Option<Bytes>, Vec<Option<Bytes>>);

/// What a read has come to.
#[derive(Debug)]
pub(super) enum Joined {
    /// It is to be sent at once, by its caller, and nobody else shares it.
    Alone,
    Shared(Ticket),
    /// The same, and somebody has to drive.
    Led(Ticket),
}

#[derive(Debug)]
struct Open {
    batch: Arc<Batch>,
    names: Names,
    callers: usize,
    until: Instant,
}

/// What is sent: nobody joins it any more. Those who wait are told also if it is dropped.
#[derive(Debug)]
pub(super) struct Frozen {
    batch: Arc<Batch>,
    pub(super) names: Names,
    /// When the last of those who wait has no more time.
    pub(super) until: Instant,
}

/// What those who share a batch wait for.
#[derive(Debug, Default)]
struct Batch {
    /// Over which it was sent.
    lane: OnceLock<usize>,
    done: Notify,
    outcome: OnceLock<Outcome>,
}

#[derive(Debug)]
enum Outcome {
    Read(Mutex<Vec<Slot>>),
    Failed(Failed),
}

/// Why nothing was read, to all who wait.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Failed {
    /// The server was not reached, or did not answer over a connection that is gone.
    Unanswered(String),
    /// It refuses, which may concern one of them: each asks for itself.
    Refused,
    /// Nobody has time any more.
    Late,
}

/// A value, until the last one has taken it.
#[derive(Debug)]
struct Slot {
    value: Option<Bytes>,
    callers: usize,
}

/// A place in a batch.
#[derive(Debug)]
pub(super) struct Ticket {
    batch: Arc<Batch>,
    first: usize,
    more: Vec<usize>,
}

/// What is asked for, every name once.
#[derive(Debug, Default)]
pub(super) struct Names {
    text: String,
    /// Where each ends in it, its hash, and how many want to know.
    names: Vec<Name>,
}

#[derive(Debug)]
struct Name {
    hash: u64,
    end: usize,
    callers: usize,
}

pub(super) fn hash_of(name: &str) -> u64 {
    xxh3_64(name.as_bytes())
}

impl Gathering {
    pub(super) fn over(lanes: impl Iterator<Item = usize>) -> Self {
        Self {
            open: VecDeque::new(),
            under_way: 0,
            ready: 0,
            crowded: false,
            bytes: 0,
            lanes: lanes.map(|number| Lane { number, under_way: 0 }).collect(),
            last: 0,
        }
    }

    /// Has these names read, of which the first one has this hash.
    pub(super) fn join(
        &mut self,
        hash: u64,
        name: &str,
        more: &[&str],
        deadline: Instant,
    ) -> Joined {
        if self.open.is_empty() && self.under_way < MOST_UNDER_WAY && !self.crowded {
            self.under_way += 1;
            return Joined::Alone;
        }
        let most = self.most_names();
        if self.open.back().is_none_or(|open| open.names.names.len() >= most) {
            self.open.push_back(Open {
                batch: Arc::default(),
                names: Names::default(),
                callers: 0,
                until: deadline,
            });
        }
        let last = self.open.len() - 1;
        let open = &mut self.open[last];
        open.callers += 1;
        open.until = open.until.max(deadline);
        let first = open.names.add(hash, name);
        let more = more.iter().map(|name| open.names.add(hash_of(name), name)).collect();
        let ticket = Ticket { batch: Arc::clone(&open.batch), first, more };
        if self.wants_driver() { Joined::Led(ticket) } else { Joined::Shared(ticket) }
    }

    /// Whether one more has to drive; if so it counts as under way.
    fn wants_driver(&mut self) -> bool {
        // Those before the last are full.
        let most = match self.open.len() {
            0 | 1 => MOST_UNDER_WAY,
            _ => MOST_UNDER_WAY.max(MOST_ON_A_LANE * self.lanes.len()),
        };
        let wants = self.open.len() > self.ready && self.under_way < most;
        if wants {
            self.under_way += 1;
            self.ready += 1;
        }
        wants
    }

    fn most_names(&self) -> usize {
        (MOST_BYTES / self.bytes.max(1)).clamp(LEAST_NAMES, MOST_NAMES)
    }

    /// What a driver is to send, and over which lane. With `None` it has ended.
    pub(super) fn freeze(&mut self) -> Option<(usize, Frozen)> {
        self.ready -= 1;
        let Some(open) = self.open.pop_front() else {
            self.under_way -= 1;
            return None;
        };
        self.crowded = open.callers > 1;
        let lane = self.next_lane();
        let _ = open.batch.lane.set(lane);
        Some((lane, open.freeze()))
    }

    /// The next one of those with the fewest batches, so that one that does not answer has few of them.
    fn next_lane(&mut self) -> usize {
        let count = self.lanes.len();
        let behind = (1..=count).map(|step| (self.last + step) % count);
        self.last = behind.min_by_key(|&at| self.lanes[at].under_way).unwrap_or(0);
        let lane = &mut self.lanes[self.last];
        lane.under_way += 1;
        lane.number
    }

    fn leave(&mut self, lane: usize) {
        if let Some(lane) = self.lanes.iter_mut().find(|one| one.number == lane) {
            lane.under_way -= 1;
        }
    }

    /// A driver has had its batch answered, and will look for another.
    pub(super) fn again(&mut self, lane: usize) {
        self.leave(lane);
        self.ready += 1;
    }

    /// A read of one caller is gone; whether somebody has to drive.
    pub(super) fn end(&mut self) -> bool {
        self.under_way -= 1;
        self.wants_driver()
    }

    /// A driver is gone in the middle, and takes with it whom it was to answer.
    pub(super) fn abandon(&mut self, lane: Option<usize>) -> Vec<Frozen> {
        self.under_way -= 1;
        match lane {
            Some(lane) => self.leave(lane),
            None => self.ready -= 1,
        }
        self.open.drain(..).map(Open::freeze).collect()
    }

    /// Notes how large a value was, on the average of what was read together.
    pub(super) fn note_bytes(&mut self, bytes: usize) {
        self.bytes = (self.bytes * 3 + bytes) / 4;
    }
}

impl Open {
    fn freeze(self) -> Frozen {
        let Self { batch, names, until, .. } = self;
        Frozen { batch, names, until }
    }
}

impl Names {
    fn add(&mut self, hash: u64, name: &str) -> usize {
        let known =
            (0..self.names.len()).find(|&at| self.names[at].hash == hash && self.at(at) == name);
        if let Some(at) = known {
            self.names[at].callers += 1;
            return at;
        }
        self.text.push_str(name);
        self.names.push(Name { hash, end: self.text.len(), callers: 1 });
        self.names.len() - 1
    }

    fn at(&self, at: usize) -> &str {
        let start = if at == 0 { 0 } else { self.names[at - 1].end };
        &self.text[start..self.names[at].end]
    }

    pub(super) fn len(&self) -> usize {
        self.names.len()
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = &str> {
        (0..self.names.len()).map(|at| self.at(at))
    }

    pub(super) fn hashes(&self) -> impl Iterator<Item = u64> {
        self.names.iter().map(|name| name.hash)
    }
}

impl Frozen {
    /// Tells those who wait what was read, in the order of the names.
    pub(super) fn read(&self, values: impl Iterator<Item = Option<Bytes>>) {
        let callers = self.names.names.iter().map(|name| name.callers);
        let slots = values.zip(callers).map(|(value, callers)| Slot { value, callers });
        self.batch.end(Outcome::Read(Mutex::new(slots.collect())));
    }

    pub(super) fn failed(&self, why: Failed) {
        self.batch.end(Outcome::Failed(why));
    }
}

impl Drop for Frozen {
    fn drop(&mut self) {
        if self.batch.outcome.get().is_none() {
            let why = "the runtime that was reading has ended".to_owned();
            self.batch.end(Outcome::Failed(Failed::Unanswered(why)));
        }
    }
}

impl Batch {
    fn end(&self, outcome: Outcome) {
        let _ = self.outcome.set(outcome);
        self.done.notify_waiters();
    }
}

impl Ticket {
    /// By which it was sent, if it was.
    pub(super) fn lane(&self) -> Option<usize> {
        self.batch.lane.get().copied()
    }

    /// What was read under the first name, and under the others.
    pub(super) async fn wait(&self) -> Result<Values, Failed> {
        let outcome = loop {
            let done = self.batch.done.notified();
            if let Some(outcome) = self.batch.outcome.get() {
                break outcome;
            }
            done.await;
        };
        match outcome {
            Outcome::Read(slots) => {
                let mut slots = lock(slots);
                let first = slots[self.first].take();
                Ok((first, self.more.iter().map(|&at| slots[at].take()).collect()))
            }
            Outcome::Failed(why) => Err(why.clone()),
        }
    }
}

impl Slot {
    /// The last one takes it with it: what is read is kept no longer than somebody wants it.
    fn take(&mut self) -> Option<Bytes> {
        self.callers -= 1;
        if self.callers == 0 { self.value.take() } else { self.value.clone() }
    }
}

#[cfg(test)]
#[path = "batch_tests.rs"]
mod tests;
