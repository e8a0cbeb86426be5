//! Computes: as the leader of a flight, by force, or for one caller alone.
//!
//! Each gives a boxed future, as those of the lookup do that lead here. Bodies call cached functions, whose bodies call
//! others: what a poll has on the stack for each level is what bounds how deep that goes, and a future that is awaited in
//! place has its room there, next to that of all others which might have been.

use std::sync::Arc;

use tokio::runtime::Handle;
use tokio::sync::oneshot;
use tokio::time::Instant;

use crate::body::{self, Product};
use crate::by_hand::Boxed;
use crate::computation::Computation;
use crate::faults::{self, Fault};
use crate::frame;
use crate::lease;
use crate::outcome::Outcome;
use crate::places::{self, Place};
use crate::request::{Landed, Lead, Request, Shared};
use crate::site::Warning;
use crate::store::{Commit, Old};
use crate::telemetry;

/// Runs the body as the leader of a flight, under the lease in its baton if there is one. `deadline` is
/// for what the store is asked before.
pub(crate) fn compute<'c>(
    request: &'c Request,
    computation: &'c mut (dyn Computation + 'c),
    mut leader: Lead,
    place: Place,
    deadline: Instant,
) -> Boxed<'c, Outcome> {
    Box::pin(async move {
        // Also under a lease that another left: between its capture and this body may be an invalidation.
        if let Some(lease) = &mut leader.baton
            && !body::capture(request, lease, deadline).await
        {
            leader.baton = None;
        }
        // Behind the capture: who joins while it is under way is answered by a body that begins after its
        // call, whatever became of the tags meanwhile. Stamps are for those who read the entry later.
        if leader.baton.is_some() || !faults::on(Fault::SealedWithLeaseOnly) {
            leader.seal();
        }
        let touched = body::run(request, computation, leader.baton.as_ref()).await;
        drop(place);
        if leader.baton.is_none() && faults::on(Fault::SealedWithLeaseOnly) {
            leader.seal();
        }
        if leader.baton.is_some() || !faults::on(Fault::UnstampedIgnored) {
            frame::hand_on(Some(&request.cache), &touched);
        }
        let shared = leader.answers_somebody();
        let leased = leader.baton.is_some();
        if !leased && !shared {
            leader.end(None);
            return Outcome::Unleased;
        }
        let product = body::encode(request, computation);
        // As it is, where it can be had so: what its `Serialize` leaves out is there, too.
        let failure = if shared { computation.answer().share_failure() } else { None };
        let shared = match (failure, &product) {
            (Some(failure), _) => Shared::Failed(failure),
            (None, Some(Product { written, payload: Some(payload), .. })) => {
                Shared::Stored(*written, Arc::clone(payload))
            }
            (None, _) => Shared::Nothing,
        };
        let landed = Landed { shared, touched, served: None };
        let stored = if let Some(product) = product {
            publish(request, leader, product, landed).await
        } else {
            fail(request, leader, landed);
            false
        };
        if leased { Outcome::Computed { stored } } else { Outcome::Unleased }
    })
}

/// Answers those who share the product, commits it, and ends the flight for those who came too late:
/// they find it stored. Goes on if the caller is dropped meanwhile. Says whether it was stored.
fn publish(
    request: &Request,
    mut leader: Lead,
    product: Product,
    landed: Landed,
) -> Boxed<'_, bool> {
    Box::pin(async move {
        let touched = Arc::clone(&landed.touched);
        leader.announce(landed);
        let Some(lease) = leader.baton.take() else {
            leader.end(None);
            return false;
        };
        let (done, wait) = oneshot::channel();
        let request = request.clone();
        let work = request.cache.work.clone();
        work.spawn_errand(async move {
            // What went wrong has been told; the value is returned all the same.
            let committed = body::commit(&request, lease, &product, &touched).await;
            leader.end(None);
            // The caller may be gone.
            let _ = done.send(matches!(committed, Ok(Commit::Stored)));
        });
        wait.await.unwrap_or(false)
    })
}

/// Ends a flight that produced nothing to store: first the marker, then the waiters go on.
fn fail(request: &Request, mut leader: Lead, landed: Landed) {
    let Some(lease) = leader.baton.take() else {
        leader.end(Some(landed));
        return;
    };
    request.cache.work.spawn_errand(async move {
        // What went wrong has been told, and the lease ends by itself.
        let _ = lease.fail(Old::Stays).await;
        leader.end(Some(landed));
    });
}

/// Computes now, whatever is stored and whoever computes.
///
/// Not a flight: nobody may be given, or give, a result that began before its call.
pub(crate) fn recompute<'c>(
    request: &'c Request,
    computation: &'c mut (dyn Computation + 'c),
) -> Boxed<'c, Outcome> {
    Box::pin(async move {
        let request = &request.resolved(computation);
        if Handle::try_current().is_err() {
            telemetry::warn_once(request.site, Warning::Runtime, "");
            return alone(request, computation).await;
        }
        let place = places::wait(request).await;
        let lock_ttl = request.policy.lock_ttl;
        let deadline = request.cache.deadline();
        let lease = match lease::seize(&request.cache, &request.key, lock_ttl, None, deadline).await
        {
            Ok(Some(mut lease)) => {
                body::capture(request, &mut lease, deadline).await.then_some(lease)
            }
            Ok(None) => None,
            Err(error) => {
                telemetry::store_trouble(request.site, &request.key, &error);
                None
            }
        };
        let touched = body::run(request, computation, lease.as_ref()).await;
        drop(place);
        frame::hand_on(Some(&request.cache), &touched);
        let Some(lease) = lease else { return Outcome::Unleased };
        let product = body::encode(request, computation);
        let request = request.clone();
        let (done, wait) = oneshot::channel();
        request.cache.work.clone().spawn_errand(async move {
            // What went wrong has been told; the value is returned all the same.
            let stored = if let Some(product) = product {
                let committed = body::commit(&request, lease, &product, &touched).await;
                matches!(committed, Ok(Commit::Stored))
            } else {
                drop(lease.fail(Old::Stays).await);
                false
            };
            // The caller may be gone.
            let _ = done.send(stored);
        });
        Outcome::Computed { stored: wait.await.unwrap_or(false) }
    })
}

/// Runs the body for this caller only, without lease and without writing.
///
/// A bounded number at a time. Not so inside another body, which holds a place already and would
/// wait for itself; nor after the function's `wait`, since waiting must end.
pub(crate) fn alone<'c>(
    request: &'c Request,
    computation: &'c mut (dyn Computation + 'c),
) -> Boxed<'c, Outcome> {
    Box::pin(async move {
        let _place = places::wait(request).await;
        let limited = !frame::inside_body() && Handle::try_current().is_ok();
        let _alone = if limited {
            tokio::time::timeout(request.policy.wait, request.cache.alone.acquire()).await.ok()
        } else {
            None
        };
        let touched = body::run(request, computation, None).await;
        frame::hand_on(Some(&request.cache), &touched);
        Outcome::Bypassed
    })
}
