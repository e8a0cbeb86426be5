//! What the processes tell, line by line, on one clock for all of them.

use crate::fleet::LONGEST_STOP_MS;
use crate::targets::WRITERS;

/// A server ends values by its wall clock, to the millisecond, and that may be slewed meanwhile.
const SLACK_MS: u64 = 20;

/// The functions under test.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Function {
    Plain,
    Brisk,
    Cleared,
    Put,
    Tagged,
    Live,
    Valued,
    Late,
    Outer,
    Mixed,
    Member,
    Listed,
    Kept,
}

impl Function {
    pub(crate) const ALL: [Self; 13] = [
        Self::Plain,
        Self::Brisk,
        Self::Cleared,
        Self::Put,
        Self::Tagged,
        Self::Live,
        Self::Valued,
        Self::Late,
        Self::Outer,
        Self::Mixed,
        Self::Member,
        Self::Listed,
        Self::Kept,
    ];

    /// The greatest age, in nanoseconds, that a value may have when it is asked for: the `ttl`, and `stale_if_error`, which
    /// are counted from before the body began.
    fn oldest(self) -> u64 {
        let ttl = match self {
            Self::Brisk | Self::Live | Self::Mixed => 1_000,
            // A `set` counts from the moment it arrives; its process may have been stopped before.
            Self::Put => 3_000 + LONGEST_STOP_MS,
            _ => 3_000,
        };
        (ttl + SLACK_MS) * 1_000_000
    }
}

#[derive(Clone, Debug)]
pub(crate) enum Event {
    Read(Read),
    Write(Write),
    Body(Body),
    Fault(Fault),
}

/// A register of one answer. `start` is from before the call, `end` from after it.
#[derive(Clone, Debug)]
pub(crate) struct Read {
    pub(crate) process: usize,
    pub(crate) start: u64,
    pub(crate) end: u64,
    pub(crate) function: Function,
    /// The call's arguments, `register` among them.
    pub(crate) registers: Vec<u64>,
    pub(crate) register: u64,
    pub(crate) version: u64,
    /// When the body of the answer began.
    pub(crate) born: u64,
    /// When the body began that read this register, which may be another's, inside of it.
    pub(crate) seen: u64,
    pub(crate) forced: bool,
    /// In nanoseconds.
    pub(crate) oldest: u64,
}

/// An invalidation behind a change of registers. `start` is from before it was issued, and after the change;
/// `end` is from after its `Ok`.
#[derive(Clone, Debug)]
pub(crate) struct Write {
    pub(crate) process: usize,
    pub(crate) start: u64,
    pub(crate) end: u64,
    pub(crate) how: &'static str,
    /// For which functions it is final.
    pub(crate) functions: &'static [Function],
    /// With their new versions.
    pub(crate) registers: Vec<(u64, u64)>,
    pub(crate) acknowledged: bool,
}

/// One run of a body to its end.
#[derive(Clone, Debug)]
pub(crate) struct Body {
    pub(crate) process: usize,
    pub(crate) start: u64,
    pub(crate) end: u64,
    pub(crate) function: Function,
    pub(crate) registers: Vec<u64>,
}

#[derive(Clone, Debug)]
pub(crate) struct Fault {
    pub(crate) start: u64,
    pub(crate) end: u64,
    pub(crate) what: String,
}

impl Event {
    pub(crate) fn start(&self) -> u64 {
        match self {
            Self::Read(Read { start, .. })
            | Self::Write(Write { start, .. })
            | Self::Body(Body { start, .. })
            | Self::Fault(Fault { start, .. }) => *start,
        }
    }

    pub(crate) fn end(&self) -> u64 {
        match self {
            Self::Read(Read { end, .. })
            | Self::Write(Write { end, .. })
            | Self::Body(Body { end, .. })
            | Self::Fault(Fault { end, .. }) => *end,
        }
    }
}

/// Nanoseconds of `CLOCK_MONOTONIC`, which all processes of this machine share and nobody sets. Never compared
/// with a clock of another machine: the fleet, its servers and who judges it are on one.
pub(crate) fn now() -> u64 {
    let now = rustix::time::clock_gettime(rustix::time::ClockId::Monotonic);
    let parts = u64::try_from(now.tv_sec).ok().zip(u64::try_from(now.tv_nsec).ok());
    let (seconds, nanoseconds) = parts.expect("it starts at zero and grows");
    seconds * 1_000_000_000 + nanoseconds
}

/// What a process tells.
#[derive(Debug)]
pub(crate) enum Told {
    Event(Event),
    /// That something happened this many times since it told last.
    Count {
        what: usize,
        times: u64,
    },
    /// What it must never see.
    Wrong(String),
}

/// Ends each line, so that one which a killed process leaves behind unfinished is not misread: half a number is
/// one too.
const END: &str = " .";

pub(crate) fn line(kind: &str, numbers: &[u64]) -> String {
    let mut line = kind.to_owned();
    for number in numbers {
        line.push(' ');
        line.push_str(&number.to_string());
    }
    line + END
}

/// `None`: the line is not finished.
pub(crate) fn parse(process: usize, line: &str) -> Option<Told> {
    let (kind, rest) = line.split_once(' ')?;
    if kind == "wrong" {
        return Some(Told::Wrong(rest.to_owned()));
    }
    let numbers = rest.strip_suffix(END)?.split(' ').map(|number| number.parse().ok());
    let numbers: Vec<u64> = numbers.collect::<Option<_>>()?;
    let function = |at: u64| Function::ALL.get(usize::try_from(at).ok()?).copied();
    let event = match (kind, &*numbers) {
        ("count", &[what, times]) => {
            return Some(Told::Count { what: usize::try_from(what).ok()?, times });
        }
        ("r", &[start, end, of, born, seen, forced, register, version, ref registers @ ..]) => {
            let function = function(of)?;
            let (forced, oldest) = (forced == 1, function.oldest());
            Event::Read(Read {
                process,
                start,
                end,
                function,
                registers: registers.to_vec(),
                register,
                version,
                born,
                seen,
                forced,
                oldest,
            })
        }
        ("w", &[start, end, writer, acknowledged, first, ref versions @ ..]) => {
            let writer = WRITERS.get(usize::try_from(writer).ok()?)?;
            let registers = (first..).zip(versions.iter().copied()).collect();
            let (how, functions, acknowledged) = (writer.name, writer.functions, acknowledged == 1);
            Event::Write(Write { process, start, end, how, functions, registers, acknowledged })
        }
        ("b", &[start, end, of, ref registers @ ..]) => {
            let (function, registers) = (function(of)?, registers.to_vec());
            Event::Body(Body { process, start, end, function, registers })
        }
        _ => return None,
    };
    Some(Told::Event(event))
}
