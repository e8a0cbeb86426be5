//! The embedded store's steps, one at a time: in tests a scheduler chooses their order.

#[cfg(not(test))]
use crate::store::StoreError;

/// Carries out one step of the protocol.
#[cfg(not(test))]
pub(crate) async fn step<R>(_name: &'static str, run: impl FnOnce() -> R) -> Result<R, StoreError> {
    Ok(run())
}

/// Whether every step has to wait for its turn.
#[cfg(not(test))]
pub(crate) const fn are_scheduled() -> bool {
    false
}

/// What a task does that goes on behind the one which spawns it: in tests it is the same party's.
#[cfg(not(test))]
pub(crate) fn behind<F>(errand: F) -> F {
    errand
}

#[cfg(test)]
pub(crate) use crate::model::scheduler::{are_scheduled, behind, step};
