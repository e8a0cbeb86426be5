//! The scripts, and the names under which a server remembers them.

use std::sync::LazyLock;

use super::connection::Sending;

/// From so many bytes on an argument takes its time.
const LARGE: usize = 64 << 10;

pub(crate) struct Script {
    pub(crate) source: &'static str,
    pub(crate) hash: String,
    /// Whether a second run says the same as the first. A commit that ran and whose reply was lost
    /// would say "refused".
    pub(crate) repeatable: bool,
}

impl Script {
    fn new(source: &'static str, repeatable: bool) -> Self {
        Self { source, repeatable, hash: ::redis::Script::new(source).get_hash().to_owned() }
    }

    pub(super) fn sending(&self, args: &[&[u8]]) -> Sending {
        let invalidates =
            [&*NOTE, &*INVALIDATE, &*EXPIRE, &*TAGS].iter().any(|one| std::ptr::eq(*one, self));
        Sending {
            repeatable: self.repeatable,
            unrefused: invalidates,
            large: args.iter().any(|arg| arg.len() > LARGE),
        }
    }
}

macro_rules! scripts {
    ($($name:ident = $($file:literal)+, repeatable: $repeatable:literal;)*) => {
        $(pub(crate) static $name: LazyLock<Script> = LazyLock::new(|| {
            Script::new(concat!($(include_str!(concat!("scripts/", $file))),+), $repeatable)
        });)*
    };
}

scripts! {
    TAKE = "take.lua", repeatable: true;
    SEIZE = "note.lua" "seize.lua", repeatable: true;
    RENEW = "renew.lua", repeatable: true;
    COMMIT = "commit.lua", repeatable: false;
    PASS = "pass.lua", repeatable: true;
    RELEASE = "release.lua", repeatable: true;
    REMOVE = "remove.lua", repeatable: true;
    INVALIDATE = "note.lua" "invalidate.lua", repeatable: true;
    EXPIRE = "note.lua" "expire.lua", repeatable: true;
    CAPTURE = "capture.lua", repeatable: true;
    POSITION = "position.lua", repeatable: true;
    CLEAN = "note.lua" "clean.lua", repeatable: true;
    CLEAN_AND_NOTE = "note.lua" "clean.lua", repeatable: false;
    TAGS = "note.lua" "tags.lua", repeatable: true;
    NOTE = "note.lua" "noted.lua", repeatable: true;
}
