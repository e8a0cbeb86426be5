//! The runtime of the [`redis-cached`](https://docs.rs/redis-cached) crate, which is the one to use.
//!
//! One call runs through these files in this order: `private` (what generated code names) →
//! `lookup` (read, classify, serve, refresh or fill) → `flight` and `lease` (who computes) → `body`
//! (run, encode, commit) → `store` (bytes in, bytes out). `entry`, `key`, `freshness`, `codec` and
//! `fingerprint` are leaves: pure, without I/O and without a clock.

mod body;
mod by_hand;
mod cache;
mod clock;
mod codec;
mod computation;
mod compute;
mod config;
mod digest;
mod entries;
mod entry;
mod erased;
mod error;
mod feature;
mod fingerprint;
mod flight;
mod freshness;
mod functions;
mod handle;
mod key;
mod key_hash;
mod lease;
mod lookup;
mod places;
mod policy;
#[doc(hidden)]
pub mod private;
mod refresh;
mod returns;
mod site;
mod store;
mod sync;
mod tags;
mod telemetry;
mod work;

pub use cache::{Cache, init};
pub use codec::{Codec, CodecError};
pub use config::Builder;
pub use entries::Entries;
pub use error::{BuildError, Error, SharedError, ShutdownError};
pub use functions::Function;
pub use handle::{Entry, EntryOf, Peek, State};

#[cfg(test)]
mod clearing_tests;
