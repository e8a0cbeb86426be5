//! Small services, each with one difficulty that real ones have, on the embedded store and on Redis.
//!
//! What keeps a promise is named after it, as in the other tests.

mod arcs;
mod errors;
mod executors;
mod fills;
mod keys;
mod loaded;
mod per_call;
mod pools;
mod recursion;
mod shapes;
mod stage;
mod table;
mod tags;
mod tokens;
mod traits;
