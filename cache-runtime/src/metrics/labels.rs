//! Which label of which metric has which words.

use std::sync::Arc;

use ::metrics::Label;
use ::redis::Value;

use super::handles::{Whose, Words};
use super::words::{Access, Awaited, Ran, Refreshed, Subject};
use crate::outcome::Outcome;
use crate::rejection::Rejection;
use crate::site::{Site, Warning};
use crate::store::{Commit, StoreError, Touch};

impl Whose for Site {
    fn labels(&self) -> Vec<Label> {
        vec![Label::new("function", self.function()), Label::new("module", self.module())]
    }
}

/// That of a server, without user and password.
pub(super) struct Address(Arc<str>);

impl Address {
    pub(super) fn new(text: &str) -> Self {
        Self(text.into())
    }
}

impl Whose for Address {
    fn labels(&self) -> Vec<Label> {
        vec![Label::new("server", Arc::clone(&self.0))]
    }
}

macro_rules! words {
    ($type:ty { $($variant:ident => $text:expr),* $(,)? }) => {
        #[cfg(test)]
        impl $type {
            pub(super) const ALL: [Self; <Self as Words>::COUNT] = [$(Self::$variant),*];
        }

        impl Words for $type {
            const COUNT: usize = [$(stringify!($variant)),*].len();

            fn index(self) -> usize {
                self as usize
            }

            fn texts(self) -> Vec<&'static str> {
                vec![match self { $(Self::$variant => $text),* }]
            }
        }
    };
}

/// How a call was answered.
#[derive(Clone, Copy)]
pub(super) enum Called {
    Hit,
    Near,
    Stale,
    Kept,
    Computed,
    Shared,
    Unleased,
    Bypassed,
    Busy,
    /// By an error that is a failure: its own body's, or that of another which it has shared.
    Error,
}

impl Called {
    pub(super) fn of(outcome: Outcome, failed: impl FnOnce() -> bool) -> Self {
        let called = match outcome {
            Outcome::Hit(_) => return Self::Hit,
            Outcome::Near(_) => return Self::Near,
            Outcome::Stale(_) => return Self::Stale,
            Outcome::Kept(_) => return Self::Kept,
            Outcome::Busy => return Self::Busy,
            Outcome::Computed { .. } => Self::Computed,
            Outcome::Shared(_) => Self::Shared,
            Outcome::Unleased => Self::Unleased,
            Outcome::Bypassed => Self::Bypassed,
        };
        if failed() { Self::Error } else { called }
    }
}

words!(Called {
    Hit => "hit",
    Near => "near_hit",
    Stale => "stale",
    Kept => "kept",
    Computed => "computed",
    Shared => "shared",
    Unleased => "unleased",
    Bypassed => "bypassed",
    Busy => "busy",
    Error => "error",
});

words!(Ran { Value => "value", Error => "error", TimedOut => "timeout" });

words!(Awaited { Lease => "lease", Flight => "flight", Place => "place" });

words!(Refreshed {
    Computed => "computed",
    Failed => "failed",
    Left => "left",
    NotDue => "not_due",
    Unreachable => "unreachable",
    Dropped => "dropped",
});

words!(Access { Read => "read", Write => "write" });

words!(Subject { Key => "key", Tag => "tag", All => "all" });

/// What became of a value on its way into the store.
#[derive(Clone, Copy)]
pub(super) enum Committed {
    Stored,
    Refused,
    Late,
    Unwanted,
    Unknown,
}

impl Committed {
    pub(super) fn of(committed: &Result<Commit, StoreError>) -> Self {
        match committed {
            Ok(Commit::Stored) => Self::Stored,
            Ok(Commit::Refused) => Self::Refused,
            Ok(Commit::Late) => Self::Late,
            Ok(Commit::Unwanted) => Self::Unwanted,
            Err(_) => Self::Unknown,
        }
    }
}

words!(Committed {
    Stored => "stored",
    Refused => "refused",
    Late => "late",
    Unwanted => "unwanted",
    Unknown => "unknown",
});

words!(Rejection {
    Magic => Self::Magic.reason(),
    Length => Self::Length.reason(),
    Checksum => Self::Checksum.reason(),
    Key => Self::Key.reason(),
    Layout => Self::Layout.reason(),
    Undecodable => Self::Undecodable.reason(),
    Unauthenticated => Self::Unauthenticated.reason(),
    Format => Self::Format.reason(),
    Fingerprint => Self::Fingerprint.reason(),
    Codec => Self::Codec.reason(),
    Ended => Self::Ended.reason(),
    Tag => Self::Tag.reason(),
    TooOld => Self::TooOld.reason(),
    NotAccepted => Self::NotAccepted.reason(),
    NotLoaded => Self::NotLoaded.reason(),
});

words!(Warning {
    SlowerThanTtl => "slower_than_ttl",
    SlowerThanLease => "slower_than_lease",
    Fallback => "fallback",
    NotStorable => "not_storable",
    NotLoaded => "not_loaded",
    ErrorNotStorable => "error_not_storable",
    Recursion => "recursion",
    Key => "key",
    Runtime => "runtime",
    Server => "server",
    Primed => "primed",
    Put => "put",
    Policy => "policy",
    Overdue => "overdue",
    Clash => "clash",
    Tags => "tags",
    Unauthenticated => "unauthenticated",
    Near => "near",
});

/// How one invalidation has ended, or one expiry.
#[derive(Clone, Copy)]
pub(super) struct Invalidated {
    pub(super) touch: Touch,
    pub(super) subject: Subject,
    pub(super) confirmed: bool,
}

impl Invalidated {
    /// All that there are: not everything can be expired.
    pub(super) fn all() -> impl Iterator<Item = Self> {
        let subjects = [Subject::Key, Subject::Tag, Subject::All];
        let both =
            |touch, subject| [true, false].map(|confirmed| Self { touch, subject, confirmed });
        let invalidated = subjects.into_iter().flat_map(move |it| both(Touch::Invalidate, it));
        invalidated.chain(subjects.into_iter().take(2).flat_map(move |it| both(Touch::Expire, it)))
    }
}

impl Words for Invalidated {
    const COUNT: usize = 2 * Subject::COUNT * 2;

    fn index(self) -> usize {
        let touch = usize::from(self.touch == Touch::Expire);
        (touch * Subject::COUNT + self.subject.index()) * 2 + usize::from(self.confirmed)
    }

    fn texts(self) -> Vec<&'static str> {
        let operation = match self.touch {
            Touch::Invalidate => "invalidate",
            Touch::Expire => "expire",
        };
        let result = if self.confirmed { "confirmed" } else { "unconfirmed" };
        [vec![operation], self.subject.texts(), vec![result]].concat()
    }
}

/// How one operation on a server has ended.
#[derive(Clone, Copy)]
pub(super) struct Operation {
    access: Access,
    ended: Ended,
}

#[derive(Clone, Copy)]
enum Ended {
    Ok,
    Deadline,
    Unconnected,
    LeftAlone,
    Refused,
    Unreplicated,
}

words!(Ended {
    Ok => "ok",
    Deadline => "deadline",
    Unconnected => "unconnected",
    LeftAlone => "left_alone",
    Refused => "refused",
    Unreplicated => "unreplicated",
});

impl Operation {
    pub(super) fn of(access: Access, reply: &Result<Value, StoreError>) -> Self {
        let ended = match reply {
            Ok(_) => Ended::Ok,
            Err(StoreError::Deadline(_)) => Ended::Deadline,
            Err(StoreError::Unconnected(_)) => Ended::Unconnected,
            Err(StoreError::LeftAlone) => Ended::LeftAlone,
            Err(StoreError::Server(_) | StoreError::Moving) => Ended::Refused,
            Err(StoreError::Replicas { .. }) => Ended::Unreplicated,
        };
        Self { access, ended }
    }

    #[cfg(test)]
    pub(super) fn all() -> impl Iterator<Item = Self> {
        let ended = |access| Ended::ALL.map(|ended| Self { access, ended });
        Access::ALL.into_iter().flat_map(ended)
    }
}

impl Words for Operation {
    const COUNT: usize = Access::COUNT * Ended::COUNT;

    fn index(self) -> usize {
        self.access.index() * Ended::COUNT + self.ended.index()
    }

    fn texts(self) -> Vec<&'static str> {
        [self.access.texts(), self.ended.texts()].concat()
    }
}

/// To the server, or from it.
#[derive(Clone, Copy)]
pub(super) enum Direction {
    Transmit,
    Receive,
}

words!(Direction { Transmit => "transmit", Receive => "receive" });
