#![doc = include_str!("../README.md")]
//!
//! # How it is built
//!
//! `handling` takes a request to a response cache through the other files: `asking` (what does it ask for, and may a
//! stored response answer it?) → `resources` (what is known of that URI) → the lookup, which is the runtime's → `stored`
//! (may the response be stored, and as what?) → `answering` (the headers that go out).

mod answering;
mod asking;
mod body;
mod cache;
mod directives;
#[cfg(feature = "__fuzzing")]
#[doc(hidden)]
pub mod fuzzing;
mod handling;
mod names;
mod resources;
mod stored;
mod surrogate;

pub use body::CacheBody;
pub use cache::{ResponseCache, ResponseCacheService};
pub use names::surrogate_key;
pub use surrogate::{SurrogateKeys, SurrogateKeysFuture, SurrogateKeysService};
