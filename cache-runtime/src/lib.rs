//! The runtime of the [`redis-cached`](https://docs.rs/redis-cached) crate, which is the one to use.
//!
//! One call runs through these files in this order: `private` (what generated code names) →
//! `lookup` (read, classify, serve, refresh or fill) → `flight` and `lease` (who computes) → `body`
//! (run, encode, commit) → `store` (bytes in, bytes out). `entry`, `key`, `freshness`, `codec` and
//! `fingerprint` are leaves: pure, without I/O and without a clock.

mod after_commit;
mod answering;
mod batch;
mod body;
mod by_hand;
mod cache;
mod clock;
mod codec;
mod computation;
mod compute;
mod config;
mod converting;
mod digest;
mod entries;
mod entry;
mod erased;
mod erring;
mod error;
mod faults;
mod feature;
mod fingerprint;
mod flight;
mod frame;
mod freshness;
mod functions;
#[cfg(feature = "__fuzzing")]
#[doc(hidden)]
pub mod fuzzing;
mod gathering;
mod handle;
mod in_arc;
mod integrity;
mod invalidate;
mod journal;
mod kept;
mod key;
mod key_hash;
mod lease;
mod left_behind;
mod lookup;
#[cfg(feature = "metrics")]
mod metrics;
#[cfg(not(feature = "metrics"))]
#[path = "metrics/off.rs"]
mod metrics;
mod near;
mod observe;
mod outcome;
mod patience;
mod places;
mod policy;
mod priming;
#[doc(hidden)]
pub mod private;
mod refresh;
mod rejection;
mod request;
mod returns;
mod seen;
mod site;
mod stamping;
mod steps;
mod store;
mod sync;
mod tag_scope;
mod tags;
mod target;
mod telemetry;
mod terms;
mod together;
mod work;
mod writing;

pub use after_commit::{Invalidation, invalidate_tags_after_commit};
pub use cache::{Cache, init};
pub use codec::{Codec, CodecError};
pub use config::Builder;
pub use entries::Entries;
pub use error::{BuildError, Error, InvalidateError, SharedError, ShutdownError, TimedOut};
pub use functions::Function;
pub use handle::{Entry, EntryOf, Peek, State};
pub use invalidate::{expire_tags, invalidate_many, invalidate_tags};
pub use observe::{Answer, Observed, ObservedCall, observe};
pub use tag_scope::{TagScope, tag};
pub use writing::{ByTag, Invalidated};

#[cfg(test)]
mod clearing_tests;
#[cfg(test)]
mod integrity_tests;
#[cfg(test)]
mod model;
