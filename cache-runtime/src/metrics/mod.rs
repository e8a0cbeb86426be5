//! What happens, for a monitoring system, by the facade `metrics`: names of functions, addresses of servers and fixed
//! words, never a key, an argument or a password.
//!
//! Handles belong to the recorder that is installed when they are made: those of a cache and its servers when that is built,
//! those of a function at its first call.

mod handles;
mod labels;
mod table;
#[cfg(test)]
mod tests;
mod words;

use std::fmt;
use std::sync::atomic::{AtomicBool, AtomicI64, Ordering};
use std::time::Duration;

use ::metrics::{Counter, Gauge, Histogram};
use ::redis::{Arg, Cmd, Value};
use tokio::time::Instant;

use crate::outcome::Outcome;
use crate::rejection::Rejection;
use crate::site::{Site, Warning};
use crate::store::{Commit, StoreError, Touch};
use handles::Family;
use labels::{Address, Called, Committed, Direction, Invalidated, Operation};

pub(crate) use table::describe;
pub(crate) use words::{Access, Awaited, Ran, Refreshed, Subject};

/// How long something takes.
#[derive(Clone, Copy)]
pub(crate) struct Timer(Instant);

impl Timer {
    pub(crate) fn start() -> Self {
        Self(Instant::now())
    }

    fn stop(self, histogram: &Histogram) {
        histogram.record(self.0.elapsed());
    }
}

/// What is counted of one function.
#[derive(Default)]
pub(crate) struct OfFunction {
    calls: Family<Counter, Called>,
    hit_age: Family<Histogram, ()>,
    lookup: Family<Histogram, ()>,
    body: Family<Histogram, Ran>,
    wait: Family<Histogram, Awaited>,
    refreshes: Family<Counter, Refreshed>,
    refresh_lag: Family<Histogram, ()>,
    commits: Family<Counter, Committed>,
    rejections: Family<Counter, Rejection>,
    warnings: Family<Counter, Warning>,
}

impl fmt::Debug for OfFunction {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("OfFunction").finish_non_exhaustive()
    }
}

/// `failed` is whether the call has ended in an error that is a failure.
pub(crate) fn called(site: &Site, outcome: Outcome, failed: impl FnOnce() -> bool) {
    let of = site.metrics();
    let called = Called::of(outcome, failed);
    of.calls.of(&table::CALLS, site, called).increment(1);
    if let Outcome::Hit(served)
    | Outcome::Stale(served)
    | Outcome::Kept(served)
    | Outcome::Shared(Some(served)) = outcome
    {
        of.hit_age.of(&table::HIT_AGE, site, ()).record(served.age());
    }
}

pub(crate) fn looked(site: &Site, timer: Timer) {
    timer.stop(site.metrics().lookup.of(&table::LOOKUP, site, ()));
}

pub(crate) fn ran(site: &Site, timer: Timer, ran: impl FnOnce() -> Ran) {
    timer.stop(site.metrics().body.of(&table::BODY, site, ran()));
}

pub(crate) fn waited(site: &Site, timer: Timer, awaited: Awaited) {
    timer.stop(site.metrics().wait.of(&table::WAIT, site, awaited));
}

pub(crate) fn refreshed(site: &Site, refreshed: Refreshed) {
    site.metrics().refreshes.of(&table::REFRESHES, site, refreshed).increment(1);
}

pub(crate) fn refresh_begins(site: &Site, lag: Duration) {
    site.metrics().refresh_lag.of(&table::REFRESH_LAG, site, ()).record(lag);
}

pub(crate) fn committed(site: &Site, committed: &Result<Commit, StoreError>) {
    site.metrics().commits.of(&table::COMMITS, site, Committed::of(committed)).increment(1);
}

pub(crate) fn rejected(site: &Site, why: Rejection) {
    site.metrics().rejections.of(&table::REJECTIONS, site, why).increment(1);
}

pub(crate) fn warned(site: &Site, warning: Warning) {
    site.metrics().warnings.of(&table::WARNINGS, site, warning).increment(1);
}

/// What is counted of one cache.
pub(crate) struct OfCache {
    invalidations: Family<Counter, Invalidated>,
}

impl OfCache {
    /// All are there from the beginning, at zero: the first one that is unconfirmed is to be an increase.
    pub(crate) fn new() -> Self {
        describe();
        let invalidations = Family::default();
        for invalidated in Invalidated::all() {
            invalidations.of(&table::INVALIDATIONS, &(), invalidated);
        }
        Self { invalidations }
    }

    pub(crate) fn invalidated(
        &self,
        touch: Touch,
        subject: Subject,
        count: usize,
        confirmed: bool,
    ) {
        let invalidated = Invalidated { touch, subject, confirmed };
        self.invalidations.of(&table::INVALIDATIONS, &(), invalidated).increment(count as u64);
    }
}

/// What one cache has left behind its callers.
pub(crate) struct Pending {
    gauge: Gauge,
    lost: Counter,
    /// This cache's part of the gauge, which is of all in the process.
    own: AtomicI64,
}

impl Default for Pending {
    fn default() -> Self {
        let (gauge, lost) = (table::PENDING.handle(&(), &[]), table::LOST.handle(&(), &[]));
        Self { gauge, lost, own: AtomicI64::new(0) }
    }
}

impl Pending {
    /// Told in any order, the changes come to the same.
    pub(crate) fn changed(&self, before: usize, after: usize) {
        let by = after.cast_signed() as i64 - before.cast_signed() as i64;
        self.own.fetch_add(by, Ordering::Relaxed);
        self.add(by);
    }

    pub(crate) fn lost(&self, count: usize) {
        self.lost.increment(count as u64);
    }

    #[expect(clippy::cast_precision_loss, reason = "never more than fit into memory")]
    fn add(&self, by: i64) {
        if by != 0 {
            self.gauge.increment(by as f64);
        }
    }
}

impl Drop for Pending {
    fn drop(&mut self) {
        self.add(-self.own.load(Ordering::Relaxed));
    }
}

/// What is counted of one server.
pub(crate) struct OfServer {
    address: Address,
    operations: Family<Counter, Operation>,
    operation: Family<Histogram, Access>,
    io: Family<Counter, Direction>,
}

impl OfServer {
    /// `address` is what stands in log lines: without user and password.
    pub(crate) fn new(address: &str) -> Self {
        Self {
            address: Address::new(address),
            operations: Family::default(),
            operation: Family::default(),
            io: Family::default(),
        }
    }

    /// It was not asked, since it has not answered lately.
    pub(crate) fn left_alone(&self, access: Access) {
        let operation = Operation::of(access, &Err(StoreError::LeftAlone));
        self.operations.of(&table::OPERATIONS, &self.address, operation).increment(1);
    }

    pub(crate) fn ended(
        &self,
        timer: Timer,
        access: Access,
        cmd: &Cmd,
        reply: &Result<Value, StoreError>,
    ) {
        let operation = Operation::of(access, reply);
        self.operations.of(&table::OPERATIONS, &self.address, operation).increment(1);
        timer.stop(self.operation.of(&table::OPERATION, &self.address, access));
        let sent = cmd.args_iter().map(|arg| match arg {
            Arg::Simple(bytes) => bytes.len() as u64,
            _ => 0,
        });
        self.io.of(&table::IO, &self.address, Direction::Transmit).increment(sent.sum());
        if let Ok(reply) = reply {
            self.io.of(&table::IO, &self.address, Direction::Receive).increment(bytes_of(reply));
        }
    }

    pub(crate) fn breaker(&self, access: Access) -> Open {
        let texts = handles::Words::texts(access);
        let gauge: Gauge = table::BREAKER.handle(&self.address, &texts);
        Open { gauge, is_open: AtomicBool::new(false) }
    }
}

/// Of what commands of this crate are answered with.
fn bytes_of(reply: &Value) -> u64 {
    match reply {
        Value::BulkString(bytes) => bytes.len() as u64,
        Value::SimpleString(text) => text.len() as u64,
        Value::Array(items) => items.iter().map(bytes_of).sum(),
        _ => 0,
    }
}

/// Whether a breaker is open, as a part of a gauge of its server.
#[derive(Debug)]
pub(crate) struct Open {
    gauge: Gauge,
    is_open: AtomicBool,
}

impl Default for Open {
    fn default() -> Self {
        Self { gauge: Gauge::noop(), is_open: AtomicBool::new(false) }
    }
}

impl Open {
    pub(crate) fn set(&self, open: bool) {
        match (self.is_open.swap(open, Ordering::Relaxed), open) {
            (false, true) => self.gauge.increment(1.0),
            (true, false) => self.gauge.decrement(1.0),
            _ => {}
        }
    }
}

impl Drop for Open {
    fn drop(&mut self) {
        self.set(false);
    }
}
