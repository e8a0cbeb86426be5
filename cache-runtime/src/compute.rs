//! Computes: as the leader of a flight, by force, or for one caller alone.
//!
//! Each gives a boxed future, as those of the lookup do that lead here. Bodies call cached functions, whose bodies call
//! others: what a poll has on the stack for each level is what bounds how deep that goes, and a future that is awaited in
//! place has its room there, next to that of all others which might have been.

use std::future::{pending, poll_fn, ready};
use std::sync::Arc;
use std::time::Duration;

use tokio::runtime::Handle;
use tokio::sync::oneshot;
use tokio::time::{Instant, timeout_at};

use crate::body::{self, Ended, Product, Ran};
use crate::by_hand::Boxed;
use crate::computation::Computation;
use crate::entry::Found;
use crate::faults::{self, Fault};
use crate::frame::{self, Frame};
use crate::freshness::{self, Freshness};
use crate::kept;
use crate::lease::{self, Lease};
use crate::observe;
use crate::outcome::Outcome;
use crate::places::{self, Place};
use crate::policy::Refuses;
use crate::priming::Primes;
use crate::request::{Landed, Lead, Request, Shared};
use crate::seen;
use crate::site::Warning;
use crate::store::{Commit, Old, Seize};
use crate::tags::{self, Standing};
use crate::telemetry;

/// How long the call waits, if it has a value for the case that it does. Inside another body it waits for its own: what is
/// computed in the background is inside of none.
pub(crate) fn softly(request: &Request) -> Option<Duration> {
    let waits = frame::inside_body() || Handle::try_current().is_err();
    request.policy.soft_timeout.filter(|_| !waits)
}

/// Computes as the leader of a flight, under the lease in its baton if there is one. `deadline` is for what the store is
/// asked before.
///
/// In the background where the call may be answered before that ends.
pub(crate) fn compute<'c>(
    request: &'c Request,
    computation: &'c mut (dyn Computation + 'c),
    leader: Lead,
    place: Place,
    deadline: Instant,
) -> Boxed<'c, Outcome> {
    let keeps = computation.answer().keeps();
    let stays = !keeps || softly(request).is_none() || request.cache.refreshes.is_closed();
    let detached = if stays { None } else { computation.detach() };
    let Some(mut detached) = detached else {
        return lead(request, computation, leader, place, deadline, keeps);
    };
    Box::pin(async move {
        let (request_behind, gathering) = (request.clone(), Frame::of_most(tags::MOST + 1));
        let gathered = Arc::clone(&gathering);
        let (mut done, wait) = oneshot::channel();
        let behind = async move {
            let mut led = lead(&request_behind, &mut *detached, leader, place, deadline, keeps);
            let outcome = tokio::select! {
                biased;
                outcome = poll_fn(|cx| gathering.within(|| led.as_mut().poll(cx))) => outcome,
                () = crowded_out(&request_behind, &mut done) => return,
            };
            drop(led);
            // Before the value: who has that waits for nothing. The caller may be gone, with an older value.
            let _ = done.send(outcome);
            detached.hand_over();
        };
        let behind = observe::carried(behind);
        match crate::cache::scope_of_task() {
            Some(cache) => request.cache.work.spawn_body(cache.scope(behind)),
            None => request.cache.work.spawn_body(behind),
        }
        request.begins_to_wait();
        poll_fn(|cx| computation.poll(cx)).await;
        match wait.await {
            Ok(outcome) => {
                frame::hand_on(Some(&request.cache), &gathered.close());
                outcome
            }
            // It has panicked, or its runtime ends.
            Err(_) => match kept::serve(request, computation) {
                Some(kept) => kept,
                None => alone(request, computation).await,
            },
        }
    })
}

/// Ends when the caller of a body has left and so many go on behind theirs already. A body whose caller waits for it needs no
/// room: it is no more than one that runs in its caller's task.
async fn crowded_out(request: &Request, caller: &mut oneshot::Sender<Outcome>) {
    caller.closed().await;
    if let Some(_room) = request.cache.refreshes.room() {
        pending::<()>().await;
    }
    telemetry::step(request.site, &request.key, "too many bodies in the background");
}

/// Runs the body as the leader of a flight. `keeps` is whether the call has something older in its stead.
fn lead<'c>(
    request: &'c Request,
    computation: &'c mut (dyn Computation + 'c),
    mut leader: Lead,
    place: Place,
    deadline: Instant,
    keeps: bool,
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
        let Ran { touched, primes } = body::run(request, computation, leader.baton.as_ref()).await;
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
        let Ended { product, in_value } = body::encode(request, computation);
        let others = store_primes(request, primes, in_value, leader.baton.as_ref());
        // As it is, where it can be had so: what its `Serialize` leaves out is there, too.
        let fails = computation.answer().is_failure();
        let failure = if shared { computation.answer().share_failure() } else { None };
        let shared = match (failure, &product) {
            (Some(failure), _) => Shared::Failed(failure, fails),
            (None, Some(Product { written, payload: Some(payload), .. })) => {
                Shared::Stored(*written, Arc::clone(payload))
            }
            (None, _) if fails => Shared::Failing,
            (None, _) => Shared::Nothing,
        };
        #[cfg(test)]
        let shared = match fails.then(|| faults::kept_for_all(request, computation)).flatten() {
            Some(kept) => kept,
            None => shared,
        };
        let landed = Landed { shared, touched, served: None };
        let product = match product {
            // What is served in its stead is not to be driven out by it.
            Some(product) if keeps && fails && product.written.is_error => None,
            Some(product) if replaces_a_value(request, &product, fails).await => None,
            product => product,
        };
        let stored = if let Some(product) = product {
            publish(request, leader, product, landed).await
        } else {
            fail(request, leader, landed, Old::of_failure(fails));
            false
        };
        others.await;
        if leased { Outcome::Computed { stored } } else { Outcome::Unleased }
    })
}

/// Whether it is an error, and there is a value that calls with other terms may be served, be it only as it is a failure.
async fn replaces_a_value(request: &Request, product: &Product, fails: bool) -> bool {
    if !product.written.is_error || request.policy.refuses == Refuses::Nothing {
        return false;
    }
    let Ok(seen) = seen::see(request, request.cache.deadline()).await else { return true };
    let Found::Usable(found) = seen.find(request) else { return false };
    let now = request.cache.store.latest_now(&request.key);
    let standing = seen.standing(request, &found);
    let refreshes = request.policy.refreshes();
    let may_be_served = match freshness::judge(&found.life, standing, now, refreshes) {
        Freshness::Fresh | Freshness::Stale => true,
        Freshness::Expired | Freshness::Past => {
            fails && request.policy.keeps() && found.life.is_kept()
        }
    };
    !found.written.is_error && standing != Standing::Void && may_be_served
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

/// Stores what the body has had at hand for other entries, if it has ended in a value. Who waits for it does so for as long
/// as for one operation on the store; what takes longer goes on behind.
pub(crate) fn store_primes(
    request: &Request,
    primes: Primes,
    in_value: bool,
    lease: Option<&Lease>,
) -> Boxed<'static, ()> {
    let Some(lease) = lease.filter(|_| in_value && !primes.is_empty()) else {
        return Box::pin(ready(()));
    };
    let (done, wait) = oneshot::channel();
    let stored = primes.stored(lease.began().clone());
    request.cache.work.spawn_errand(async move {
        stored.await;
        // Nobody may be waiting any more.
        let _ = done.send(());
    });
    let deadline = request.cache.deadline();
    Box::pin(async move {
        // Whatever becomes of it has been told.
        let _ = timeout_at(deadline, wait).await;
    })
}

/// Ends a flight that produced nothing to store: first the marker, then the waiters go on.
fn fail(request: &Request, mut leader: Lead, landed: Landed, old: Old) {
    let Some(lease) = leader.baton.take() else {
        leader.end(Some(landed));
        return;
    };
    request.cache.work.spawn_errand(async move {
        // What went wrong has been told, and the lease ends by itself.
        let _ = lease.fail(old).await;
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
        let deadline = request.cache.deadline();
        let lease = match lease::seize(
            &request.cache,
            &request.key,
            &request.policy,
            Seize::Newer(None),
            deadline,
        )
        .await
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
        let Ran { touched, primes } = body::run(request, computation, lease.as_ref()).await;
        drop(place);
        frame::hand_on(Some(&request.cache), &touched);
        let Some(lease) = lease else { return Outcome::Unleased };
        let Ended { product, in_value } = body::encode(request, computation);
        let others = store_primes(request, primes, in_value, Some(&lease));
        let old = Old::of_failure(computation.answer().is_failure());
        let request = request.clone();
        let (done, wait) = oneshot::channel();
        request.cache.work.clone().spawn_errand(async move {
            // What went wrong has been told; the value is returned all the same.
            let stored = if let Some(product) = product {
                let committed = body::commit(&request, lease, &product, &touched).await;
                matches!(committed, Ok(Commit::Stored))
            } else {
                drop(lease.fail(old).await);
                false
            };
            // The caller may be gone.
            let _ = done.send(stored);
        });
        let stored = wait.await.unwrap_or(false);
        others.await;
        Outcome::Computed { stored }
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
        if let Some(part) = &request.part {
            part.goes_alone(limited);
        }
        let limited = limited && request.part.is_none();
        let _alone = if limited {
            tokio::time::timeout(request.policy.wait, request.cache.alone.acquire()).await.ok()
        } else {
            None
        };
        if request.part.is_none() {
            request.begins_to_wait();
        }
        let Ran { touched, .. } = body::run(request, computation, None).await;
        frame::hand_on(Some(&request.cache), &touched);
        Outcome::Bypassed
    })
}
