//! What has happened, in numbers.

use std::collections::BTreeMap;
use std::fmt;
use std::time::Duration;

use crate::checker::Checker;
use crate::fleet::{Blow, PROCESSES};
use crate::overlaps::Overlaps;
use crate::process::{COUNTED, KEPT, OVERTAKEN, TASKS};
use crate::record::{Event, Function, Told};

/// With the record itself.
#[derive(Debug, Default)]
pub(crate) struct Figures {
    checker: Checker,
    overlaps: Overlaps,
    counted: [u64; COUNTED.len()],
    /// What is wrong, in words.
    wrong: Vec<String>,
    pub(crate) blows: BTreeMap<Blow, u64>,
    /// What is to have happened in a long history.
    pub(crate) expected: &'static [Blow],
    /// Masters that were killed, and replaced.
    pub(crate) failovers: u64,
    pub(crate) evicted: u64,
    acknowledged: u64,
    unconfirmed: u64,
    /// In milliseconds.
    oldest: BTreeMap<Function, u64>,
    seconds: u64,
}

impl Figures {
    pub(crate) fn note(&mut self, told: Told) {
        match told {
            Told::Count { what, times } => self.counted[what] += times,
            Told::Wrong(what) => self.wrong.push(what),
            Told::Event(event) => self.record(event),
        }
    }

    pub(crate) fn record(&mut self, event: Event) {
        match &event {
            Event::Read(read) => {
                let age = read.start.saturating_sub(read.born) / 1_000_000;
                let oldest = self.oldest.entry(read.function).or_default();
                *oldest = age.max(*oldest);
            }
            Event::Write(write) if write.acknowledged => self.acknowledged += 1,
            Event::Write(_) => self.unconfirmed += 1,
            Event::Body(body) => self.overlaps.add(body.clone()),
            Event::Fault(_) => {}
        }
        self.checker.add(event);
    }

    pub(crate) fn fails_over(&mut self, from: u64) {
        self.checker.fails_over(from);
    }

    pub(crate) fn has_failed_over(&mut self, until: u64) {
        self.checker.has_failed_over(until);
    }

    /// Judges what began before `until`.
    pub(crate) fn settle(&mut self, until: u64) {
        self.overlaps.settle(until);
        let violations = self.checker.settle(until);
        self.wrong.extend(violations.iter().map(ToString::to_string));
    }

    pub(crate) fn is_sound(&self) -> bool {
        self.wrong.is_empty()
    }

    pub(crate) fn check(&self, seed: u64, lasts: Duration) {
        let shown = self.wrong[..self.wrong.len().min(3)].join("\n");
        let all = self.wrong.len();
        assert!(
            self.is_sound(),
            "HISTORY_SEED={seed}: {all} violations, the first of them:\n{shown}\n{self}"
        );
        // Else it would prove nothing.
        assert!(self.checker.judged() > 1_000 && self.acknowledged > 100, "{self}");
        if lasts >= Duration::from_secs(30) {
            let each = self.expected.iter().all(|blow| self.blows.contains_key(blow));
            let special =
                if self.expected.contains(&Blow::Evict) { self.evicted } else { self.failovers };
            assert!(each && special > 0 && self.counted[OVERTAKEN] > 10, "{self}");
            assert!(self.counted[KEPT] > 100, "{self}");
        }
    }

    /// Under which a body ran to its end: a lease is for one. Off by what a killed process had not counted aloud.
    fn leases(&self) -> u64 {
        let [_, _, _, _, _, _, _, unleased, bypassed, ..] = self.counted;
        self.overlaps.bodies.saturating_sub(unleased + bypassed)
    }

    pub(crate) fn last(&mut self, lasted: Duration) {
        self.seconds = lasted.as_secs();
    }
}

impl fmt::Display for Figures {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { acknowledged, unconfirmed, evicted, failovers, seconds, .. } = self;
        writeln!(f, "{PROCESSES} processes, {TASKS} tasks, {seconds} s")?;
        for (name, count) in COUNTED.iter().zip(self.counted) {
            writeln!(f, "  {name}: {count}")?;
        }
        writeln!(f, "  readings judged: {}", self.checker.judged())?;
        writeln!(
            f,
            "  invalidations acknowledged: {acknowledged}, failed or dropped: {unconfirmed}"
        )?;
        writeln!(f, "  acknowledged too late to be counted on: {}", self.checker.late())?;
        writeln!(f, "  acknowledged during a failover: {}", self.checker.lost())?;
        let Overlaps { bodies, concurrent, .. } = self.overlaps;
        let leases = self.leases();
        write!(f, "  C4: {bodies} bodies, {leases} of them under a lease, ")?;
        let thousandths = bodies * 1_000 / leases.max(1);
        writeln!(f, "{}.{:03} bodies for each", thousandths / 1_000, thousandths % 1_000)?;
        writeln!(f, "  {concurrent} bodies began while another of their key ran")?;
        writeln!(f, "  violations: {}", self.wrong.len())?;
        writeln!(f, "  C3: oldest served, in ms: {:?}", self.oldest)?;
        write!(f, "  blows: {:?}, evicted keys: {evicted}, failovers: {failovers}", self.blows)
    }
}
