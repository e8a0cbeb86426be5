//! Near copies on real servers: whom they answer, and for how long after an invalidation (`c2_`).

#![expect(clippy::unused_async, reason = "a cached function is async, whatever its body does")]

mod allocations;
mod calls;
mod faults;
mod stage;
mod writes;
