//! The scripts, and the names under which a server remembers them.

use std::sync::LazyLock;

pub(crate) struct Script {
    pub(crate) source: &'static str,
    pub(crate) hash: String,
}

impl Script {
    fn new(source: &'static str) -> Self {
        Self { source, hash: ::redis::Script::new(source).get_hash().to_owned() }
    }
}

macro_rules! scripts {
    ($($name:ident = $file:literal;)*) => {
        $(pub(crate) static $name: LazyLock<Script> =
            LazyLock::new(|| Script::new(include_str!(concat!("scripts/", $file))));)*
    };
}

scripts! {
    TAKE = "take.lua";
    SEIZE = "seize.lua";
    RENEW = "renew.lua";
    COMMIT = "commit.lua";
    PASS = "pass.lua";
    RELEASE = "release.lua";
    REMOVE = "remove.lua";
    EXPIRE = "expire.lua";
}
