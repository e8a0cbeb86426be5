#![doc = include_str!("../README.md")]
// The names of other caches stand in the pages as their authors write them.
#![allow(clippy::doc_markdown)]

pub use redis_cached_macros::{methods, redis_cached, redis_invalidate, redis_put};
#[doc(hidden)]
pub use redis_cached_runtime::private;
pub use redis_cached_runtime::{
    Answer, BuildError, Builder, ByTag, Cache, Codec, CodecError, Entries, Entry, EntryOf, Error,
    Function, InvalidateError, Invalidated, Invalidation, Observed, ObservedCall, Peek,
    SharedError, ShutdownError, State, TagScope, TimedOut, expire_tags, init, invalidate_many,
    invalidate_tags, invalidate_tags_after_commit, observe, tag,
};

#[cfg(feature = "tower")]
#[doc(inline)]
pub use redis_cached_tower as tower;

/// Pages to read beside the front page.
pub mod docs {
    #[doc = include_str!("../docs/choosing-a-key.md")]
    pub mod choosing_a_key {}

    #[doc = include_str!("../docs/coming-from.md")]
    pub mod coming_from {}

    #[doc = include_str!("../docs/from-hand-written.md")]
    pub mod from_hand_written {}

    #[doc = include_str!("../docs/operations.md")]
    pub mod operations {}

    #[doc = include_str!("../docs/promises.md")]
    pub mod promises {}
}
