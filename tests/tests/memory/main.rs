//! Everything that is a matter of time or of order: on the embedded store, with a paused clock.

mod errors;
mod flights;
mod history;
mod leases;
mod origin;
mod refreshes;
mod scopes;
