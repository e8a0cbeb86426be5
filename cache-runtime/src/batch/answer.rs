//! Answers a batch: one read for all of its keys, one body for those that have to compute, one refresh for those that are
//! stale.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;

use tokio::runtime::Handle;
use tokio::sync::OwnedSemaphorePermit;

use super::drive::{Bodies, Detached, drive};
use super::lookups::Lookup;
use super::meeting::Meeting;
use crate::by_hand::Boxed;
use crate::computation::Computation;
use crate::compute::{alone, recompute};
use crate::lookup::{self, Looked};
use crate::metrics::Refreshed;
use crate::places;
use crate::policy::Holding;
use crate::refresh::{self, Stale};
use crate::request::Request;
use crate::seen;
use crate::telemetry;

type Computations<'c> = Vec<&'c mut (dyn Computation + 'c)>;

/// Answers all keys of a batch, each of which is another.
pub(crate) fn answer<'c>(
    mut requests: Vec<Request>,
    mut computations: Computations<'c>,
    bodies: &'c mut dyn Bodies,
    forced: bool,
) -> Boxed<'c, ()> {
    Box::pin(async move {
        let Some(whole) = requests.first().cloned() else { return };
        let meeting = Meeting::new(requests.len());
        for (at, request) in requests.iter_mut().enumerate() {
            request.part = Some(meeting.part(at));
        }
        let mut missed = Vec::new();
        if !forced {
            missed = look(&requests, &mut computations, (0..requests.len()).collect()).await;
            refresh_stale(&requests, &mut computations, bodies);
            if missed.is_empty() {
                return;
            }
        }
        let policy = resolved(&whole, bodies);
        for request in &mut requests {
            request.policy = policy.clone();
        }
        // Before the leases, as that of a single call.
        let place = places::wait(&Request { policy, ..whole }).await;
        if !forced && place.was_waited_for {
            let places = missed.into_iter().map(|(at, _)| at).collect();
            missed = look(&requests, &mut computations, places).await;
        }
        let mut lookups: Vec<Option<Lookup<'_>>> = Vec::new();
        let mut missed = missed.into_iter().peekable();
        for (at, (request, computation)) in requests.iter().zip(&mut computations).enumerate() {
            let computation: &mut dyn Computation = &mut **computation;
            let looked = missed.next_if(|(missed, _)| *missed == at);
            if looked.is_none() && !forced {
                lookups.push(None);
                continue;
            }
            lookups.push(Some(Box::pin(async move {
                let outcome = match looked {
                    Some((_, looked)) => lookup::go_on(request, computation, looked).await,
                    None if request.terms.reads_only => alone(request, computation).await,
                    None => recompute(request, computation).await,
                };
                Some((outcome, computation.answer().is_failure()))
            })));
        }
        drive(&requests, &meeting, lookups, bodies, place).await;
        refresh_stale(&requests, &mut computations, bodies);
    })
}

fn resolved(whole: &Request, bodies: &dyn Bodies) -> Holding {
    let mut policy = *whole.policy;
    bodies.resolve(&mut policy);
    Holding::Resolved(Arc::new(policy.checked(whole.site)))
}

/// Answers those of the keys at these places that can be from the store, and says what the others have come to.
async fn look(
    requests: &[Request],
    computations: &mut Computations<'_>,
    places: Vec<usize>,
) -> Vec<(usize, Looked)> {
    let wanted: Vec<&Request> = places.iter().map(|at| &requests[*at]).collect();
    let Some(first) = wanted.first() else { return Vec::new() };
    let all = seen::see_all(&wanted, first.cache.deadline()).await;
    let mut missed = Vec::new();
    for (at, seen) in places.into_iter().zip(all) {
        let request = &requests[at];
        match lookup::looked(request, computations[at], seen) {
            Looked::Answered(outcome) => {
                telemetry::answered(request.site, &request.key, outcome, || false);
            }
            looked => missed.push((at, looked)),
        }
    }
    missed
}

/// Starts one refresh for all that were found stale, unless one is not wanted now. Never waits.
fn refresh_stale(requests: &[Request], computations: &mut Computations<'_>, bodies: &dyn Bodies) {
    let stale = computations.iter_mut().enumerate();
    let mut stale: Vec<(usize, Stale)> =
        stale.filter_map(|(at, computation)| Some((at, computation.stale()?))).collect();
    // Without a runtime there is no background; a hit inside one will ask again.
    if stale.is_empty() || Handle::try_current().is_err() {
        return;
    }
    let cache = &requests[0].cache;
    let Some(place) = cache.refreshes.room() else {
        if !cache.refreshes.is_closed() {
            for request in stale.iter().map(|(at, _)| &requests[*at]) {
                telemetry::refreshed(request.site, &request.key, Refreshed::Dropped);
            }
        }
        return;
    };
    stale.retain(|(at, _)| cache.refreshes.asks_for(requests[*at].flight_key()));
    let Some((first, _)) = stale.first() else { return };
    let first = &requests[*first];
    let places: Vec<usize> = stale.iter().map(|(at, _)| *at).collect();
    // The hits are decided: a panic of the user's run-time ttl or `Clone` is not to fail them.
    let prepared =
        catch_unwind(AssertUnwindSafe(|| Some((resolved(first, bodies), bodies.detach(&places)?))));
    let Ok(Some((policy, detached))) = prepared else { return };
    let meeting = Meeting::new(stale.len());
    let of_place = |(at, place): (usize, &usize)| {
        let (part, policy) = (Some(meeting.part(at)), policy.clone());
        Request { policy, part, ..requests[*place].clone() }
    };
    let requests: Vec<Request> = places.iter().enumerate().map(of_place).collect();
    let stale = stale.into_iter().map(|(_, stale)| stale).collect();
    let work = cache.work.clone();
    refresh::behind(&work, refresh_all(requests, meeting, detached, stale, place));
}

async fn refresh_all(
    requests: Vec<Request>,
    meeting: Arc<Meeting>,
    detached: Detached,
    stale: Vec<Stale>,
    _room: OwnedSemaphorePermit,
) {
    let Detached { mut computations, mut bodies } = detached;
    let Some(whole) = requests.first() else { return };
    let place = places::wait(&Request { part: None, ..whole.clone() }).await;
    let each = requests.iter().zip(&mut computations).zip(&stale);
    let lookups = each.map(|((request, computation), stale)| -> Option<Lookup<'_>> {
        Some(Box::pin(async move {
            let refreshed = refresh::run(request, &mut **computation, stale).await;
            telemetry::refreshed(request.site, &request.key, refreshed);
            None
        }))
    });
    let lookups = lookups.collect();
    drive(&requests, &meeting, lookups, &mut *bodies, place).await;
}
