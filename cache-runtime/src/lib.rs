//! The runtime of the [`redis-cached`](https://docs.rs/redis-cached) crate, which is the one to use.
//!
//! One call runs through these files in this order: `private` (what generated code names) →
//! `lookup` (read, classify, serve, refresh or fill) → `flight` and `lease` (who computes) → `body`
//! (run, encode, commit) → `store` (bytes in, bytes out). `entry`, `key`, `freshness`, `codec` and
//! `fingerprint` are leaves: pure, without I/O and without a clock.

mod body;
mod cache;
mod clock;
mod codec;
mod computation;
mod config;
mod entry;
mod error;
mod fingerprint;
mod flight;
mod freshness;
mod handle;
mod key;
mod lease;
mod lookup;
#[doc(hidden)]
pub mod private;
mod refresh;
mod site;
mod store;
mod sync;
mod telemetry;
mod work;

pub use cache::{Cache, init};
pub use config::Builder;
pub use error::{BuildError, Error, SharedError, ShutdownError};
pub use handle::{Entry, Peek, State};
