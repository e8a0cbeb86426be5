//! The scripts, and the names under which a server remembers them.

use std::sync::LazyLock;

use ::redis::Value;

use super::connection::{May, Purpose, Sending};

/// From so many bytes on an argument takes its time.
const LARGE: usize = 64 << 10;

pub(crate) struct Script {
    pub(crate) source: &'static str,
    pub(crate) hash: String,
    /// Whether a second run says the same as the first. A commit that ran and whose reply was lost
    /// would say "refused".
    pub(crate) repeatable: bool,
    says: Says,
}

/// What is answered. Anything else is the answer to another request.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Says {
    /// Who has sent it looks for itself.
    Anything,
    /// A string, or nothing.
    Value,
    /// 1.
    Done,
    Number,
    Text,
    List,
    /// So many strings, or nothings.
    Values(usize),
}

impl Says {
    pub(super) fn is_said_by(self, reply: &Value) -> bool {
        match self {
            Self::Anything => true,
            Self::Value => matches!(reply, Value::BulkString(_) | Value::Nil),
            Self::Done => *reply == Value::Int(1),
            Self::Number => matches!(reply, Value::Int(_)),
            Self::Text => matches!(reply, Value::BulkString(_)),
            Self::List => matches!(reply, Value::Array(_)),
            Self::Values(count) => matches!(
                reply,
                Value::Array(values)
                    if values.len() == count && values.iter().all(|value| Self::Value.is_said_by(value))
            ),
        }
    }
}

impl Script {
    fn new(source: &'static str, repeatable: bool, says: Says) -> Self {
        let hash = ::redis::Script::new(source).get_hash().to_owned();
        Self { source, hash, repeatable, says }
    }

    pub(super) fn sending(&self, args: &[&[u8]]) -> Sending {
        let invalidates =
            [&*NOTE, &*INVALIDATE, &*EXPIRE, &*TAGS].iter().any(|one| std::ptr::eq(*one, self));
        Sending {
            repeatable: self.repeatable,
            may: May::Write,
            purpose: if invalidates { Purpose::Invalidation } else { Purpose::Ordinary },
            says: self.says,
            large: args.iter().any(|arg| arg.len() > LARGE),
        }
    }
}

/// Sent as a text: it goes out behind another, before the server has said whether it knows it.
pub(crate) const MARK: &str = include_str!("scripts/mark.lua");

macro_rules! scripts {
    ($($name:ident = $($file:literal)+, repeatable: $repeatable:literal, says: $says:ident;)*) => {
        $(pub(crate) static $name: LazyLock<Script> = LazyLock::new(|| {
            let source = concat!($(include_str!(concat!("scripts/", $file))),+);
            Script::new(source, $repeatable, Says::$says)
        });)*
    };
}

scripts! {
    TAKE = "take.lua", repeatable: true, says: List;
    SEIZE = "note.lua" "seize.lua", repeatable: true, says: List;
    RENEW = "renew.lua", repeatable: true, says: Number;
    COMMIT = "commit.lua", repeatable: false, says: Text;
    PASS = "pass.lua", repeatable: true, says: Number;
    RELEASE = "release.lua", repeatable: true, says: Number;
    REMOVE = "remove.lua", repeatable: true, says: Number;
    INVALIDATE = "note.lua" "invalidate.lua", repeatable: true, says: Done;
    EXPIRE = "note.lua" "expire.lua", repeatable: true, says: Done;
    CAPTURE = "capture.lua", repeatable: true, says: List;
    POSITION = "position.lua", repeatable: true, says: List;
    CLEAN = "note.lua" "clean.lua", repeatable: true, says: Number;
    CLEAN_AND_NOTE = "note.lua" "clean.lua", repeatable: false, says: Number;
    TAGS = "note.lua" "tags.lua", repeatable: true, says: Done;
    NOTE = "note.lua" "noted.lua", repeatable: true, says: Done;
}
