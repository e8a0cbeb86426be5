#![doc = include_str!("../README.md")]

pub use redis_cached_macros::redis_cached;
#[doc(hidden)]
pub use redis_cached_runtime::private;
pub use redis_cached_runtime::{
    BuildError, Builder, Cache, Entry, Error, Peek, SharedError, ShutdownError, State, init,
};
