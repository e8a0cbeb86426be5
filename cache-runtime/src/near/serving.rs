//! From a call to the copy of its value, and from a hit to a copy.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::time::Duration;

use tokio::time::Instant;

use super::{Copy, Near, Place};
use crate::cache::Cache;
use crate::computation::Computation;
use crate::entry::{Judged, Life};
use crate::freshness::{self, Freshness};
use crate::outcome::{Outcome, Served};
use crate::refresh;
use crate::request::{Asked, Request};
use crate::site::Site;
use crate::store::redis::Telling;
use crate::tags::Standing;
use crate::telemetry;
use crate::terms::Terms;

/// Answers a call with a copy, if there is one that it takes.
pub(crate) fn serve(
    cache: &Cache,
    site: &'static Site,
    place: Place,
    terms: &Terms,
    computation: &mut dyn Computation,
) -> Option<Outcome> {
    let now = Instant::now();
    let copy = cache.0.near.find(place, now)?;
    let server_now = Some(copy.server_now(now));
    if terms.refuse(&copy.life, server_now) {
        return None;
    }
    let refreshes = site.policy.refreshes();
    let freshness = freshness::judge(&copy.life, copy.standing, server_now, refreshes);
    if !matches!(freshness, Freshness::Fresh | Freshness::Stale) {
        return None;
    }
    if !computation.answer().adopt_copy(&*copy.value) {
        return None;
    }
    if freshness == Freshness::Stale && !terms.reads_only && copy.asks_for_refresh(now) {
        consider_refresh(cache, &copy, computation);
    }
    let outcome = Outcome::Near(Served::new(copy.life, server_now));
    telemetry::answered_near(site, outcome);
    Some(outcome)
}

/// Now the key is needed, for which the call was not asked.
#[cold]
fn consider_refresh(cache: &Cache, copy: &Copy, computation: &mut dyn Computation) {
    let Some(target) = computation.target_in(cache.clone()) else { return };
    let fingerprint = computation.answer().fingerprint(target.site, target.owner);
    if let Ok(Asked { request, .. }) = target.asked(fingerprint, false) {
        refresh::consider(&request, computation, copy.judged, copy.life, copy.standing);
    }
}

/// Keeps what a call was served a moment ago, if the server tells of it.
pub(crate) fn keep(
    request: &Request,
    computation: &mut dyn Computation,
    telling: Telling,
    found: (Life, Standing, Judged),
    bytes: usize,
    server_now: Option<u64>,
) {
    // Without the server's time its end is not known.
    let (Some(place), Some(server_now)) = (request.place, server_now) else { return };
    // The hit is decided: a panic of the user's `Clone` or run-time duration is not to fail it.
    let made = catch_unwind(AssertUnwindSafe(|| {
        let near = length(request, computation)?;
        Some((near, computation.answer().copy()?))
    }));
    let Ok(Some((near, value))) = made else { return };
    let (cache, now) = (&request.cache, Instant::now());
    telling.attend(now + near, cache.near.bound());
    let times = (now, server_now);
    let copy = Copy::new(value, Near::weight(bytes), found, near, times, telling.told);
    cache.near.keep(place, copy, now);
}

/// How long it is kept.
fn length(request: &Request, computation: &mut dyn Computation) -> Option<Duration> {
    let near = request.policy.near?;
    if near.is_zero() {
        // Known only at run time: the policy has no more than that there is one.
        return request.resolved(computation).policy.near;
    }
    Some(near)
}
