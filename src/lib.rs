#![doc = include_str!("../README.md")]
// The names of other caches stand in the pages as their authors write them.
#![allow(clippy::doc_markdown)]

pub use redis_cached_macros::{methods, redis_cached};
#[doc(hidden)]
pub use redis_cached_runtime::private;
pub use redis_cached_runtime::{
    BuildError, Builder, Cache, Codec, CodecError, Entries, Entry, EntryOf, Error, Function, Peek,
    SharedError, ShutdownError, State, init,
};

/// Pages to read beside the front page.
pub mod docs {
    #[doc = include_str!("../docs/choosing-a-key.md")]
    pub mod choosing_a_key {}

    #[doc = include_str!("../docs/coming-from.md")]
    pub mod coming_from {}
}
