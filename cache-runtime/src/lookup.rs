//! The read path, top to bottom: read, classify, then serve, refresh or fill.
//!
//! Compiled once: it sees bytes and, on a miss, a body without its type.

use std::ops::Range;
use std::sync::Arc;
use std::time::Duration;

use tokio::runtime::Handle;
use tokio::sync::oneshot;
use tokio::time::Instant;

use crate::body::{self, Product};
use crate::cache::Inner;
use crate::codec::Codec;
use crate::computation::{Computation, Finished, SharedFailure};
use crate::entry::{self, Found, Judged};
use crate::flight::{Landing, Leader, Seat, Waiter};
use crate::freshness::{self, Freshness};
use crate::key::Key;
use crate::lease::{self, Asked, Lease};
use crate::refresh;
use crate::site::{Site, Warning};
use crate::store::Waited;
use crate::telemetry::{self, Outcome};

/// How often one call looks up again before it computes on its own.
const MOST_ROUNDS: usize = 4;

/// What one call asks for.
#[derive(Clone)]
pub(crate) struct Request {
    pub(crate) cache: Arc<Inner>,
    pub(crate) site: &'static Site,
    pub(crate) key: Key,
    pub(crate) fingerprint: u64,
}

/// Which computations are one flight: those of one function, value type and key.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) struct FlightKey {
    fingerprint: u64,
    key: Arc<str>,
}

/// What those who share a flight get.
#[derive(Clone)]
pub(crate) enum Landed {
    Value {
        codec: Codec,
        payload: Arc<[u8]>,
    },
    Failed(SharedFailure),
    /// Neither the value nor the error can be had by others.
    Unshared,
}

type Lead = Leader<FlightKey, Lease, Landed>;
type Wait = Waiter<FlightKey, Lease, Landed>;

impl Request {
    pub(crate) fn flight_key(&self) -> FlightKey {
        FlightKey { fingerprint: self.fingerprint, key: self.key.name().into() }
    }
}

/// What a look at the store came to.
enum Read {
    Answered(Outcome, Shareable),
    Miss(Judged),
    /// The store can't be asked, so no lease will be asked for either.
    Unknown,
}

/// The stored bytes of a hit, and where in them the payload is.
struct Shareable {
    codec: Codec,
    stored: Vec<u8>,
    payload: Range<usize>,
}

impl Shareable {
    fn landed(&self) -> Landed {
        Landed::Value { codec: self.codec, payload: self.stored[self.payload.clone()].into() }
    }
}

/// Answers the call: afterwards the computation holds what the caller gets.
///
/// Every future in here may be dropped at any await. A leader hands over to a waiter or gives its
/// lease back; a commit that has begun goes on behind the caller.
pub(crate) async fn answer(request: &Request, computation: &mut dyn Computation) -> Outcome {
    let deadline = request.cache.deadline();
    let judged = match read(request, computation, deadline).await {
        Read::Answered(outcome, _) => return outcome,
        Read::Miss(judged) => Some((judged, deadline)),
        Read::Unknown => None,
    };
    // Boxed, so that a call that hits, as most do, is a small future.
    Box::pin(fill(request, computation, judged)).await
}

/// Answers a call that has missed. `seen` is what it found; `None` where the store can't be asked.
async fn fill(
    request: &Request,
    computation: &mut dyn Computation,
    seen: Option<(Judged, Instant)>,
) -> Outcome {
    if body::inside_itself(request) {
        telemetry::warn_once(request.site, Warning::Recursion, "");
        return alone(request, computation).await;
    }
    if Handle::try_current().is_err() {
        telemetry::warn_once(request.site, Warning::Runtime, "");
        return alone(request, computation).await;
    }
    match request.cache.flights.join(&request.flight_key()) {
        Seat::Waiter(waiter) => wait(request, computation, waiter, seen.is_some()).await,
        // A dropped leader may have left its lease: to ask for another would be to wait for it.
        Seat::Leader(leader) if seen.is_none() || leader.baton.is_some() => {
            compute(request, computation, leader).await
        }
        Seat::Leader(leader) => lead(request, computation, leader, seen).await,
    }
}

/// How long this call waits for computations of others, all told.
struct Patience {
    wait: Duration,
    until: Option<Instant>,
}

impl Patience {
    fn new(wait: Duration) -> Self {
        Self { wait, until: None }
    }

    /// Until when to wait for another process. Ends before [`Self::for_leader`] does, so that the
    /// waiters of this process see their leader go on, and do not all go on themselves.
    fn until(&mut self) -> Instant {
        let wait = self.wait.mul_f64(0.8 + fastrand::f64() / 10.0);
        *self.until.get_or_insert_with(|| Instant::now() + wait)
    }

    fn for_leader(&self) -> Duration {
        self.wait.mul_f64(0.95 + fastrand::f64() / 20.0)
    }
}

async fn read(request: &Request, computation: &mut dyn Computation, deadline: Instant) -> Read {
    let stored = match request.cache.store.get(&request.key, deadline).await {
        Ok(stored) => stored,
        Err(error) => {
            telemetry::store_trouble(request.site, &request.key, &error);
            return Read::Unknown;
        }
    };
    if stored.is_empty() {
        return Read::Miss(Judged::ABSENT);
    }
    let judged = Judged::of(&stored);
    let found = match entry::find(&stored, request.fingerprint, request.key.digest()) {
        Found::Usable(found) => found,
        Found::Foreign => {
            telemetry::step(request.site, &request.key, "entry of another function or type");
            return Read::Miss(judged);
        }
        Found::Damaged => return remove_damaged(request, judged, deadline).await,
    };
    let now = request.cache.store.latest_now(&request.key);
    let refreshes = request.site.policy.refresh_before.is_some();
    let freshness = freshness::judge(&found.life, now, refreshes);
    if freshness == Freshness::Expired {
        return Read::Miss(judged);
    }
    if computation.accept(found.codec, found.payload).is_err() {
        return remove_damaged(request, judged, deadline).await;
    }
    let outcome = if freshness == Freshness::Stale {
        refresh::consider(request, computation, judged, found.life);
        Outcome::Stale
    } else {
        Outcome::Hit
    };
    let (codec, payload) = (found.codec, found.place);
    Read::Answered(outcome, Shareable { codec, stored, payload })
}

async fn remove_damaged(request: &Request, judged: Judged, deadline: Instant) -> Read {
    telemetry::step(request.site, &request.key, "damaged entry");
    match request.cache.store.remove(&request.key, &judged, deadline).await {
        Ok(()) => Read::Miss(Judged::ABSENT),
        Err(_) => Read::Miss(judged),
    }
}

/// Leads a flight: looks, asks for the lease, waits for another process, until there is a value or
/// it is this caller's to compute. `seen` is what the caller has found already, if it is still news.
async fn lead(
    request: &Request,
    computation: &mut dyn Computation,
    mut leader: Lead,
    mut seen: Option<(Judged, Instant)>,
) -> Outcome {
    let mut patience = Patience::new(request.site.policy.wait);
    for _ in 0..MOST_ROUNDS {
        let (judged, deadline) = if let Some(seen) = seen.take() {
            seen
        } else {
            let deadline = request.cache.deadline();
            match look_for_all(request, computation, &mut leader, deadline).await {
                Read::Answered(outcome, hit) => return share(leader, outcome, &hit),
                Read::Miss(judged) => (judged, deadline),
                Read::Unknown => break,
            }
        };
        let lock_ttl = request.site.policy.lock_ttl;
        match lease::take(&request.cache, &request.key, &judged, lock_ttl, deadline).await {
            Asked::Granted(lease) => {
                leader.baton = Some(lease);
                break;
            }
            Asked::Pass => {
                telemetry::step(request.site, &request.key, "a computation failed just now");
                break;
            }
            Asked::Unknown(error) => {
                telemetry::store_trouble(request.site, &request.key, &error);
                break;
            }
            Asked::Changed => {}
            Asked::Held(content) => {
                telemetry::step(request.site, &request.key, "another process computes");
                let until = patience.until();
                let waited = request.cache.store.wait_for_lease(&request.key, &content, until);
                match waited.await {
                    Ok(Waited::Ended) => {}
                    Ok(Waited::TimedOut) => break,
                    Err(error) => {
                        telemetry::store_trouble(request.site, &request.key, &error);
                        break;
                    }
                }
            }
        }
    }
    compute(request, computation, leader).await
}

/// Looks into the store for all who have joined until now: the look is sent after all their calls.
async fn look_for_all(
    request: &Request,
    computation: &mut dyn Computation,
    leader: &mut Lead,
    deadline: Instant,
) -> Read {
    leader.seal();
    read(request, computation, deadline).await
}

fn share(leader: Lead, outcome: Outcome, hit: &Shareable) -> Outcome {
    let landed = leader.answers_somebody().then(|| hit.landed());
    leader.end(landed);
    outcome
}

/// Waits for the flight's leader. `reachable` is whether this caller has found the store so.
async fn wait(
    request: &Request,
    computation: &mut dyn Computation,
    waiter: Wait,
    reachable: bool,
) -> Outcome {
    let landing = waiter.land(Patience::new(request.site.policy.wait).for_leader()).await;
    drop(waiter);
    match landing {
        Landing::Shared(landed) => {
            let adopted = match &landed {
                Landed::Value { codec, payload } => computation.accept(*codec, payload).is_ok(),
                Landed::Failed(failure) => computation.adopt_failure(failure),
                Landed::Unshared => false,
            };
            if adopted { Outcome::Shared } else { alone(request, computation).await }
        }
        Landing::TookOver(leader) if leader.baton.is_none() && reachable => {
            lead(request, computation, leader, None).await
        }
        Landing::TookOver(leader) => compute(request, computation, leader).await,
        Landing::Deposed(mut leader) => {
            // The other one was slow, or is at it still; what it computes may be stored by now.
            let deadline = request.cache.deadline();
            match look_for_all(request, computation, &mut leader, deadline).await {
                Read::Answered(outcome, hit) => share(leader, outcome, &hit),
                Read::Miss(_) | Read::Unknown => compute(request, computation, leader).await,
            }
        }
        Landing::OutOfPatience => {
            // Somebody may have stored a value meanwhile, in this process or in another.
            match read(request, computation, request.cache.deadline()).await {
                Read::Answered(outcome, _) => outcome,
                Read::Miss(_) | Read::Unknown => alone(request, computation).await,
            }
        }
    }
}

/// Runs the body as the leader of a flight, under the lease in its baton if there is one.
async fn compute(
    request: &Request,
    computation: &mut dyn Computation,
    mut leader: Lead,
) -> Outcome {
    leader.seal();
    let finished = body::run(request, computation, leader.baton.as_ref()).await;
    let shared = leader.answers_somebody();
    let outcome = if leader.baton.is_some() { Outcome::Computed } else { Outcome::Unleased };
    match finished {
        Finished::Failed => {
            let failure = if shared { computation.share_failure() } else { None };
            fail(request, leader, failure.map_or(Landed::Unshared, Landed::Failed));
        }
        Finished::Value if leader.baton.is_some() || shared => {
            match body::encode(request, computation) {
                Some(product) => publish(request, leader, product).await,
                None => fail(request, leader, Landed::Unshared),
            }
        }
        Finished::Value => leader.end(None),
    }
    outcome
}

/// Answers those who share the value, commits it, and ends the flight for those who came too late:
/// they find it stored. Goes on if the caller is dropped meanwhile.
async fn publish(request: &Request, mut leader: Lead, product: Product) {
    let landed = Landed::Value { codec: product.codec, payload: Arc::clone(&product.payload) };
    leader.announce(landed);
    let Some(lease) = leader.baton.take() else {
        leader.end(None);
        return;
    };
    let (done, wait) = oneshot::channel::<()>();
    let request = request.clone();
    let work = request.cache.work.clone();
    work.spawn_errand(async move {
        // What went wrong has been told; the value is returned all the same.
        let _ = body::commit(&request, lease, &product).await;
        leader.end(None);
        drop(done);
    });
    // The sender never sends: it is dropped at the end of the errand.
    let _ = wait.await;
}

/// Ends a flight that produced nothing to store: first the marker, then the waiters go on.
fn fail(request: &Request, mut leader: Lead, landed: Landed) {
    let Some(lease) = leader.baton.take() else {
        leader.end(Some(landed));
        return;
    };
    request.cache.work.spawn_errand(async move {
        lease.fail().await;
        leader.end(Some(landed));
    });
}

/// Computes now, whatever is stored and whoever computes.
///
/// Not a flight: nobody may be given, or give, a result that began before its call.
pub(crate) async fn recompute(request: &Request, computation: &mut dyn Computation) {
    if Handle::try_current().is_err() {
        telemetry::warn_once(request.site, Warning::Runtime, "");
        alone(request, computation).await;
        return;
    }
    let lock_ttl = request.site.policy.lock_ttl;
    let deadline = request.cache.deadline();
    let lease = match lease::seize(&request.cache, &request.key, lock_ttl, deadline).await {
        Ok(lease) => Some(lease),
        Err(error) => {
            telemetry::store_trouble(request.site, &request.key, &error);
            None
        }
    };
    let finished = body::run(request, computation, lease.as_ref()).await;
    let Some(lease) = lease else { return };
    let product = match finished {
        Finished::Value => body::encode(request, computation),
        Finished::Failed => None,
    };
    let request = request.clone();
    let (done, wait) = oneshot::channel::<()>();
    request.cache.work.clone().spawn_errand(async move {
        // What went wrong has been told; the value is returned all the same.
        match product {
            Some(product) => drop(body::commit(&request, lease, &product).await),
            None => lease.fail().await,
        }
        drop(done);
    });
    let _ = wait.await;
}

/// Runs the body for this caller only, without lease and without writing.
///
/// A bounded number at a time. Not so inside another body, which holds a place already and would
/// wait for itself; nor after the function's `wait`, since waiting must end.
async fn alone(request: &Request, computation: &mut dyn Computation) -> Outcome {
    let limited = !body::inside_any() && Handle::try_current().is_ok();
    let _place = if limited {
        tokio::time::timeout(request.site.policy.wait, request.cache.alone.acquire()).await.ok()
    } else {
        None
    };
    body::run(request, computation, None).await;
    Outcome::Bypassed
}
