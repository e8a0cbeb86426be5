//! Near copies on real servers: whom they answer, and for how long after an invalidation (`c2_`).

mod allocations;
mod calls;
mod faults;
mod stage;
mod writes;
