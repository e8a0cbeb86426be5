//! What a recorded history must satisfy. Pure: it reads no clock and talks to nobody.
//!
//! A read is judged some time after it began (`settle`), when whatever was acknowledged before it has
//! arrived, in whichever order. What arrives later, or never, makes the check weaker and never wrong; what
//! arrives later is counted.

use std::collections::{BTreeMap, VecDeque};
use std::fmt;

use crate::record::{Body, Event, Fault, Function, Read, Write};

/// Longer than a call can take: `wait`, a body, and the time for which its process is stopped.
const KEPT: u64 = 60_000_000_000;
/// Longer than any value lives.
const REMEMBERED: u64 = 20_000_000_000;
/// Above what arrives in that time.
const MOST_EVENTS: usize = 400_000;
const SHOWN: usize = 30;
/// Violations whose history is looked for, each time that is judged.
const TOLD: usize = 3;

/// A register, as one function shows it.
type Cell = (Function, u64);

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Due {
    least: u64,
    how: &'static str,
}

/// By the instant of the acknowledgement, and only those that raise what is due.
type Steps = BTreeMap<u64, Due>;

/// What the acknowledged invalidations of a cell demand of calls that begin later.
#[derive(Debug, Default)]
struct Demands {
    version: Steps,
    /// C1 to the letter: that the body began when the invalidation was issued, or later. It demands more than
    /// the version, which a body may read long after it began; the version is the origin's own word.
    begin: Steps,
}

#[derive(Debug, Default)]
pub(crate) struct Checker {
    demands: BTreeMap<Cell, Demands>,
    pending: Vec<Read>,
    /// What happened lately, for whoever has to understand a violation.
    log: VecDeque<Event>,
    judged: u64,
    /// All reads that began before are judged.
    settled: u64,
    late: u64,
    /// From when to when a failover may lose what is acknowledged.
    failovers: Vec<(u64, u64)>,
    lost: u64,
}

#[derive(Debug)]
pub(crate) struct Violation {
    read: Read,
    broken: Broken,
    history: Vec<Event>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Broken {
    /// C1: this version was acknowledged at that instant.
    Invalidated { version: u64, at: u64, how: &'static str },
    /// C1: an invalidation was issued after the body had begun, and acknowledged at that instant.
    BegunBefore { issued: u64, at: u64, how: &'static str },
    /// C3.
    TooOld { nanoseconds: u64 },
    /// A forced refresh gave a value that was begun before its call.
    NotForced,
}

impl Checker {
    pub(crate) fn add(&mut self, event: Event) {
        match &event {
            Event::Read(read) => self.pending.push(read.clone()),
            Event::Write(write) if write.acknowledged => self.acknowledge(write),
            _ => {}
        }
        self.log.push_back(event);
        if self.log.len() > MOST_EVENTS {
            self.log.pop_front();
        }
    }

    /// From now on nothing counts that is acknowledged: a failover is about to begin.
    pub(crate) fn fails_over(&mut self, from: u64) {
        self.failovers.push((from, u64::MAX));
    }

    /// It is over.
    pub(crate) fn has_failed_over(&mut self, until: u64) {
        if let Some(last) = self.failovers.last_mut() {
            last.1 = until;
        }
    }

    /// How many acknowledgements a failover may have lost.
    pub(crate) fn lost(&self) -> u64 {
        self.lost
    }

    fn acknowledge(&mut self, write: &Write) {
        let meets = |&(from, until): &(u64, u64)| write.end >= from && write.start <= until;
        if self.failovers.iter().any(meets) {
            self.lost += 1;
            return;
        }
        self.late += u64::from(write.end < self.settled);
        for &function in write.functions {
            for &(register, version) in &write.registers {
                let demands = self.demands.entry((function, register)).or_default();
                raise(&mut demands.version, write.end, Due { least: version, how: write.how });
                raise(&mut demands.begin, write.end, Due { least: write.start, how: write.how });
            }
        }
    }

    /// Judges the reads that began before `until`, and forgets what no later read needs.
    pub(crate) fn settle(&mut self, until: u64) -> Vec<Violation> {
        let (due, pending) =
            std::mem::take(&mut self.pending).into_iter().partition(|read| read.start < until);
        self.pending = pending;
        let mut violations = Vec::new();
        for read in due {
            self.judged += 1;
            for broken in self.judge(&read) {
                let told = violations.len() < TOLD;
                let history = if told { self.around(&read) } else { Vec::new() };
                violations.push(Violation { read: read.clone(), broken, history });
            }
        }
        self.settled = until;
        for demands in self.demands.values_mut() {
            forget(&mut demands.version, until.saturating_sub(KEPT));
            forget(&mut demands.begin, until.saturating_sub(KEPT));
        }
        while self.log.front().is_some_and(|event| event.end() + REMEMBERED < until) {
            self.log.pop_front();
        }
        violations
    }

    /// How many reads have been judged.
    pub(crate) fn judged(&self) -> u64 {
        self.judged
    }

    /// How many acknowledgements arrived when reads that they bind may have been judged already.
    pub(crate) fn late(&self) -> u64 {
        self.late
    }

    /// How much is held, to see that it is bounded.
    #[cfg(test)]
    pub(crate) fn held(&self) -> usize {
        let steps = self.demands.values().map(|cell| cell.version.len() + cell.begin.len());
        steps.sum::<usize>() + self.pending.len() + self.log.len()
    }

    fn judge(&self, read: &Read) -> Vec<Broken> {
        let mut broken = Vec::from_iter(self.invalidated(read));
        // As old as it was when it was asked for: the rest is the call's own time.
        let age = read.start.saturating_sub(read.born);
        if age > read.oldest {
            broken.push(Broken::TooOld { nanoseconds: age });
        }
        if read.forced && read.born < read.start {
            broken.push(Broken::NotForced);
        }
        broken
    }

    /// C1. Whatever was acknowledged strictly before the read began is final for it.
    fn invalidated(&self, read: &Read) -> Option<Broken> {
        let demands = self.demands.get(&(read.function, read.register))?;
        let missed = |steps: &Steps, given: u64| {
            let (&at, &due) = steps.range(..read.start).next_back()?;
            (given < due.least).then_some((at, due))
        };
        if let Some((at, Due { least: version, how })) = missed(&demands.version, read.version) {
            return Some(Broken::Invalidated { version, at, how });
        }
        // Of an answer made of others each body counts, its own and theirs.
        let (at, Due { least: issued, how }) = missed(&demands.begin, read.born.min(read.seen))?;
        Some(Broken::BegunBefore { issued, at, how })
    }

    /// The last events of the register until the read had ended.
    fn around(&self, read: &Read) -> Vec<Event> {
        let of_read = |event: &&Event| event.start() <= read.end && concerns(event, read);
        let mut events: Vec<Event> = self.log.iter().filter(of_read).cloned().collect();
        events.sort_by_key(Event::end);
        events.split_off(events.len().saturating_sub(SHOWN))
    }
}

fn raise(steps: &mut Steps, at: u64, step: Due) {
    if steps.range(..=at).next_back().is_some_and(|(_, due)| due.least >= step.least) {
        return;
    }
    let overtaken: Vec<u64> = steps
        .range(at..)
        .take_while(|(_, later)| later.least <= step.least)
        .map(|(&at, _)| at)
        .collect();
    for at in overtaken {
        steps.remove(&at);
    }
    steps.insert(at, step);
}

/// Keeps what a read that begins at `floor` or later has to satisfy.
fn forget(steps: &mut Steps, floor: u64) {
    if let Some((&newest, _)) = steps.range(..floor).next_back() {
        *steps = steps.split_off(&newest);
    }
}

fn concerns(event: &Event, read: &Read) -> bool {
    let same_entry =
        |function, registers: &[u64]| function == read.function && registers == read.registers;
    match event {
        Event::Read(other) => {
            same_entry(other.function, &other.registers) && other.register == read.register
        }
        Event::Body(body) => same_entry(body.function, &body.registers),
        // Also of other functions: an inner one's value is in an outer one's.
        Event::Write(write) => {
            write.registers.iter().any(|&(register, _)| register == read.register)
        }
        Event::Fault(_) => true,
    }
}

impl Violation {
    pub(crate) fn broken(&self) -> &Broken {
        &self.broken
    }

    pub(crate) fn history(&self) -> &[Event] {
        &self.history
    }
}

impl fmt::Display for Violation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { read, broken, history } = self;
        let Read { function, registers, register, .. } = read;
        write!(f, "{function:?}{registers:?} ")?;
        match broken {
            Broken::Invalidated { version, at, how } => write!(
                f,
                "breaks C1: it returned version {} of register {register}, but version {version} was \
                 acknowledged by {how} at {}",
                read.version,
                Since(*at, read.start)
            )?,
            Broken::BegunBefore { issued, at, how } => write!(
                f,
                "breaks C1: it returned what began at {} and {}, but {how} was issued at {} and acknowledged \
                 at {}",
                Since(read.born, read.start),
                Since(read.seen, read.start),
                Since(*issued, read.start),
                Since(*at, read.start)
            )?,
            Broken::TooOld { nanoseconds } => write!(
                f,
                "breaks C3: it returned a value of {} ms; {} ms are allowed",
                nanoseconds / 1_000_000,
                read.oldest / 1_000_000
            )?,
            Broken::NotForced => write!(f, "was forced, and returned what was begun before it")?,
        }
        writeln!(f, "\n  the read: {}", Shown(&Event::Read(read.clone()), read.start))?;
        writeln!(f, "  in milliseconds from its begin, the last {}:", history.len())?;
        for event in history {
            writeln!(f, "  {}", Shown(event, read.start))?;
        }
        Ok(())
    }
}

/// An instant, in milliseconds from another.
struct Since(u64, u64);

impl fmt::Display for Since {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (sign, distance) =
            if self.0 < self.1 { ('-', self.1 - self.0) } else { ('+', self.0 - self.1) };
        write!(f, "{sign}{}.{:03}", distance / 1_000_000, distance / 1_000 % 1_000)
    }
}

struct Shown<'e>(&'e Event, u64);

impl fmt::Display for Shown<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let since = |at: u64| Since(at, self.1);
        write!(f, "{} to {}: ", since(self.0.start()), since(self.0.end()))?;
        match self.0 {
            Event::Read(read) => {
                let Read { function, registers, register, version, process, .. } = read;
                let forced = if read.forced { ", forced" } else { "" };
                let (born, seen) = (since(read.born), since(read.seen));
                write!(
                    f,
                    "{process} read {function:?}{registers:?}, register {register} = {version}, born {born}, \
                     seen {seen}{forced}"
                )
            }
            Event::Body(Body { function, registers, process, .. }) => {
                write!(f, "{process} ran the body of {function:?}{registers:?}")
            }
            Event::Write(Write { how, registers, acknowledged, process, .. }) => {
                let ended = if *acknowledged { "acknowledged" } else { "not acknowledged" };
                write!(f, "{process} wrote {registers:?}, {how}: {ended}")
            }
            Event::Fault(Fault { what, .. }) => write!(f, "{what}"),
        }
    }
}
