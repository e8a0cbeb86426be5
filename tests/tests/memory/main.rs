//! Everything that is a matter of time or of order: on the embedded store, with a paused clock.

mod after_commit;
mod arguments;
mod at_hand;
mod batches;
mod dropped;
mod errors;
mod flights;
mod history;
mod leases;
mod mistakes;
mod nesting;
mod observed;
mod origin;
mod per_call;
mod places;
mod primes;
mod puts;
mod refreshes;
mod scopes;
mod stale_on_error;
mod stored_as;
mod stored_errors;
mod tags;
mod transactions;
mod writes;
