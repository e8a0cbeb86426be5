//! The read path, top to bottom: read, classify, then serve, refresh or fill.
//!
//! Compiled once: it sees bytes and, on a miss, a body without its type.

use std::borrow::Cow;
use std::future::{poll_fn, ready};
use std::ops::Range;
use std::sync::Arc;

use bytes::Bytes;
use tokio::runtime::Handle;
use tokio::time::{Instant, sleep};

use crate::by_hand::Boxed;
use crate::codec::compression::expand;
use crate::computation::{Computation, Offered};
use crate::compute::{self, alone, compute, recompute};
use crate::entry::{Found, Judged, Written};
use crate::faults::{self, Fault};
use crate::flight::{Landing, Seat};
use crate::frame::{self, Gathered};
use crate::freshness::{self, Freshness};
use crate::kept::{self, Kept};
use crate::lease::{self, Taken};
use crate::metrics::{self, Awaited, Timer};
use crate::near;
use crate::outcome::{Outcome, Served};
use crate::patience::Patience;
use crate::places::{self, Place};
use crate::policy::Refuses;
use crate::private::Target;
use crate::refresh;
use crate::rejection::Rejection;
use crate::request::{Asked, Landed, Lead, Request, Shared, Unasked, Wait};
use crate::seen::{self, Seen};
use crate::site::Warning;
use crate::store::{Old, StoreError, Waited};
use crate::tags::Standing;
use crate::telemetry;
use crate::terms::Terms;

/// How often one call looks up again before it computes on its own.
const MOST_ROUNDS: usize = 4;

/// What a look at the store came to.
enum Read {
    Answered(Outcome, Shareable),
    Miss(Judged),
    /// The store can't be asked, so no lease will be asked for either.
    Unknown,
}

/// The bytes of a hit, and where in them the payload is, expanded.
struct Shareable {
    written: Written,
    bytes: Bytes,
    payload: Range<usize>,
    touched: Option<Gathered>,
    served: Served,
}

impl Shareable {
    fn landed(&self) -> Landed {
        let payload = self.bytes[self.payload.clone()].into();
        let touched = Arc::new(self.touched.clone().unwrap_or_default());
        let shared = Shared::Stored(self.written, payload);
        Landed { shared, touched, served: Some(self.served) }
    }
}

/// Answers the call, and says how: afterwards the computation holds what the caller gets. Without a cache
/// or a key that is what the body gives.
///
/// The future is boxed: the compiler makes a copy of an `async fn` in every crate that awaits it, with
/// all that it awaits itself, and of a `dyn Future` it makes none.
///
/// Every future in here may be dropped at any await. A leader hands over to a waiter or gives its
/// lease back; a commit that has begun goes on behind the caller.
pub(crate) fn answer<'c>(
    asked: Result<Asked, Unasked>,
    computation: &'c mut (dyn Computation + 'c),
) -> Boxed<'c, Outcome> {
    let Asked { request, forced } = match asked {
        Ok(asked) => asked,
        Err(Unasked { site, mut tags }) => {
            return Box::pin(async move {
                let timer = Timer::start();
                frame::bypass(|| computation.start());
                poll_fn(|cx| frame::bypass(|| computation.poll(cx))).await;
                // To a body around it the function is code like any other, that says what it reads.
                computation.answer().tag(&mut tags);
                frame::hand_on(None, &tags);
                if let Some(site) = site {
                    telemetry::bypassed(site, timer, || computation.answer().is_failure());
                }
                Outcome::Bypassed
            });
        }
    };
    Box::pin(async move {
        let outcome = if forced && request.terms.reads_only {
            alone(&request.resolved(computation), computation).await
        } else if forced {
            recompute(&request, computation).await
        } else {
            let deadline = request.cache.deadline();
            match read(&request, computation, deadline, Whose::Own).await {
                Read::Answered(outcome, _) => outcome,
                Read::Miss(judged) => {
                    let seen = Some((judged, deadline));
                    miss(&request.resolved(computation), computation, seen).await
                }
                Read::Unknown => fill(&request.resolved(computation), computation, None).await,
            }
        };
        let failed = || computation.answer().is_failure();
        telemetry::answered(request.site, &request.key, outcome, failed);
        outcome
    })
}

/// What a call has come to before it waits for anything.
pub(crate) enum Begun {
    Answered(Outcome),
    /// What to go on with: without a cache or a key only the tags of what the body will give.
    Unanswered(Result<Asked, Unasked>),
}

/// Answers a hit that needs no waiting, and so no future.
pub(crate) fn begin(
    mut target: Option<Target>,
    forced: bool,
    computation: &mut dyn Computation,
) -> Begun {
    let mut terms = None;
    if let Some(outcome) = answer_near(&mut target, &mut terms, forced, computation) {
        return Begun::Answered(outcome);
    }
    let mut asked = target.map_or_else(
        || Err(Unasked { site: None, tags: Gathered::for_entry() }),
        |target| {
            let fingerprint = computation.answer().fingerprint(target.site, target.owner);
            target.asked(fingerprint, forced)
        },
    );
    if let Ok(Asked { request, .. }) = &mut asked
        && request.policy.has_terms
    {
        match terms {
            Some(terms) => request.terms = terms,
            None => computation.state(&mut request.terms),
        }
    }
    if !forced
        && let Ok(Asked { request, .. }) = &asked
        && let Some(outcome) = read_at_once(request, computation)
    {
        telemetry::answered(request.site, &request.key, outcome, || false);
        return Begun::Answered(outcome);
    }
    Begun::Unanswered(asked)
}

/// Answers with a copy that is near. Otherwise sees to it that the target has its key, and to the terms, which are asked once.
fn answer_near(
    target: &mut Option<Target>,
    terms: &mut Option<Terms>,
    forced: bool,
    computation: &mut dyn Computation,
) -> Option<Outcome> {
    let Some(Target { key: None, cache: Some(cache), site, place, .. }) = target else {
        return None;
    };
    site.policy.near?;
    let place = place.filter(|_| !forced);
    let terms = terms.insert(Terms::default());
    if site.policy.has_terms {
        computation.state(terms);
    }
    let cache = cache.clone();
    let answered = place.and_then(|place| near::serve(&cache, site, place, terms, computation));
    if answered.is_none() {
        *target = computation.target_in(cache);
        if let Some(target) = target {
            target.place = place;
        }
    }
    answered
}

/// Answers a hit on a store that need not be waited for.
fn read_at_once(request: &Request, computation: &mut dyn Computation) -> Option<Outcome> {
    match classify(request, computation, seen::see_at_once(request)?, Whose::Own) {
        Classified::Answered(outcome, _) => Some(outcome),
        // Which is looked at again.
        Classified::Miss(..) | Classified::Damaged(..) => None,
    }
}

/// Answers a call that has missed; should computing fail, or take too long, with what it has found past its ttl.
fn miss<'c>(
    request: &'c Request,
    computation: &'c mut (dyn Computation + 'c),
    seen: Option<(Judged, Instant)>,
) -> Boxed<'c, Outcome> {
    // As few levels as there can be: see `compute.rs`.
    if !computation.answer().keeps() {
        return fill(request, computation, seen);
    }
    Box::pin(async move {
        // Where it ends before, there is nothing to leave with.
        let softly =
            compute::softly(request).filter(|limit| computation.answer().keeps_for(*limit));
        let outcome = match softly {
            Some(limit) => {
                let (request, waits) = request.telling();
                let too_long = async {
                    waits.notified().await;
                    sleep(limit).await;
                };
                tokio::select! {
                    biased;
                    outcome = fill(&request, computation, seen) => Some(outcome),
                    () = too_long => None,
                }
            }
            None => Some(fill(request, computation, seen).await),
        };
        // What is answered instead of waiting is no failure.
        let failed = outcome != Some(Outcome::Busy) && computation.answer().is_failure();
        if failed && let Some(kept) = kept::serve(request, computation) {
            return kept;
        }
        if let Some(outcome) = outcome {
            return outcome;
        }
        // Its end has come that very moment.
        let seen = seen.map(|(judged, _)| (judged, request.cache.deadline()));
        fill(request, computation, seen).await
    })
}

/// Answers a call that has missed. `seen` is what it found; `None` where the store can't be asked.
fn fill<'c>(
    request: &'c Request,
    computation: &'c mut (dyn Computation + 'c),
    mut seen: Option<(Judged, Instant)>,
) -> Boxed<'c, Outcome> {
    Box::pin(async move {
        if frame::inside_itself(request) {
            telemetry::warn_once(request.site, Warning::Recursion, "");
            return alone(request, computation).await;
        }
        if Handle::try_current().is_err() {
            telemetry::warn_once(request.site, Warning::Runtime, "");
            return alone(request, computation).await;
        }
        if request.terms.reads_only {
            return alone(request, computation).await;
        }
        let reachable = seen.is_some();
        for _ in 0..MOST_ROUNDS {
            let waiter = match request.cache.flights.join(&request.flight_key()) {
                Seat::Waiter(waiter) => waiter,
                // A dropped leader may have left its lease: to ask for another would be to wait for it.
                Seat::Leader(leader) if !reachable || leader.baton.is_some() => {
                    return take_over(request, computation, leader, reachable).await;
                }
                Seat::Leader(leader) => return lead(request, computation, leader, seen).await,
            };
            // Its leader may be waiting for the place that this task has.
            if places::inside(request) {
                break;
            }
            if stands_in(request, computation).await {
                return Outcome::Busy;
            }
            if let Some(outcome) = wait(request, computation, waiter, reachable).await {
                return outcome;
            }
            // What was seen before the flight is old news.
            seen = None;
        }
        alone(request, computation).await
    })
}

/// Answers with what the function says instead of waiting, if it says anything.
async fn stands_in(request: &Request, computation: &mut dyn Computation) -> bool {
    if !computation.stand_in() {
        return false;
    }
    poll_fn(|cx| computation.poll(cx)).await;
    // What a body around it makes of this is to end when what it stands for does.
    let mut tags = Gathered::for_entry();
    for tag in &request.tags {
        tags.add(tag.name());
    }
    frame::hand_on(Some(&request.cache), &tags);
    true
}

async fn read(
    request: &Request,
    computation: &mut dyn Computation,
    deadline: Instant,
    whose: Whose,
) -> Read {
    let timer = Timer::start();
    let seen = seen::see(request, deadline).await;
    metrics::looked(request.site, timer);
    let seen = match seen {
        Ok(seen) => {
            // Nothing is kept by most, and they need not ask.
            if request.policy.keeps() || request.site.policy.keeps() {
                computation.answer().forget_kept();
            }
            seen
        }
        Err(error) => {
            telemetry::store_trouble(request.site, &request.key, &error);
            return Read::Unknown;
        }
    };
    match classify(request, computation, seen, whose) {
        Classified::Answered(outcome, hit) => Read::Answered(outcome, hit),
        Classified::Miss(judged, why) => {
            if let Some(why) = why {
                telemetry::rejected(request.site, &request.key, why);
            }
            Read::Miss(judged)
        }
        Classified::Damaged(judged, why) => {
            telemetry::rejected(request.site, &request.key, why);
            // Boxed: whoever reads need not have room for what hardly ever happens.
            Read::Miss(Box::pin(remove_damaged(request, judged, deadline)).await)
        }
    }
}

/// What the call judges instead.
async fn remove_damaged(request: &Request, judged: Judged, deadline: Instant) -> Judged {
    if request.terms.reads_only {
        return judged;
    }
    match request.cache.store.remove(&request.key, &judged, deadline).await {
        Ok(()) => Judged::ABSENT,
        Err(_) => judged,
    }
}

/// What one of several keys has come to that were looked for together.
#[derive(Clone, Copy)]
pub(crate) enum Looked {
    Answered(Outcome),
    Missed(Judged),
    Damaged(Judged),
    /// The store can't be asked.
    Unknown,
}

/// Answers a call by what was read for it among others, if that will do.
pub(crate) fn looked(
    request: &Request,
    computation: &mut dyn Computation,
    seen: Result<Seen<'_>, StoreError>,
) -> Looked {
    match seen {
        Ok(seen) => match classify(request, computation, seen, Whose::Own) {
            Classified::Answered(outcome, _) => Looked::Answered(outcome),
            Classified::Miss(judged, why) => {
                if let Some(why) = why {
                    telemetry::rejected(request.site, &request.key, why);
                }
                Looked::Missed(judged)
            }
            Classified::Damaged(judged, why) => {
                telemetry::rejected(request.site, &request.key, why);
                Looked::Damaged(judged)
            }
        },
        Err(error) => {
            telemetry::store_trouble(request.site, &request.key, &error);
            Looked::Unknown
        }
    }
}

/// Answers a call that this has not answered.
pub(crate) fn go_on<'c>(
    request: &'c Request,
    computation: &'c mut (dyn Computation + 'c),
    looked: Looked,
) -> Boxed<'c, Outcome> {
    let judged = match looked {
        Looked::Answered(outcome) => return Box::pin(ready(outcome)),
        Looked::Unknown => return fill(request, computation, None),
        Looked::Missed(judged) => Ok(judged),
        Looked::Damaged(judged) => Err(judged),
    };
    Box::pin(async move {
        // Of many, some come to this only when others have.
        let deadline = request.cache.deadline();
        let judged = match judged {
            Ok(judged) => judged,
            Err(damaged) => remove_damaged(request, damaged, deadline).await,
        };
        miss(request, computation, Some((judged, deadline))).await
    })
}

/// Whom a look answers.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Whose {
    Own,
    /// Those who share a flight as well.
    All,
}

/// What stored bytes are to this call.
enum Classified {
    Answered(Outcome, Shareable),
    /// For a reason, where it is not its age alone.
    Miss(Judged, Option<Rejection>),
    /// To be removed.
    Damaged(Judged, Rejection),
}

fn classify(
    request: &Request,
    computation: &mut dyn Computation,
    mut seen: Seen<'_>,
    whose: Whose,
) -> Classified {
    let telling = seen.telling.take();
    if seen.stored.is_empty() {
        return Classified::Miss(Judged::ABSENT, None);
    }
    let judged = Judged::of(&seen.stored);
    let miss = |why| Classified::Miss(judged, Some(why));
    let found = match seen.find(request) {
        Found::Usable(found) => found,
        Found::Foreign(why) => {
            if let Some(fingerprint) = judged.fingerprint() {
                request.cache.functions.found(request.site, fingerprint);
            }
            return miss(why);
        }
        Found::Ended => return miss(Rejection::Ended),
        Found::Unauthenticated => return Classified::Damaged(judged, Rejection::Unauthenticated),
        Found::Damaged(why) => return Classified::Damaged(judged, why),
    };
    let standing = seen.standing(request, &found);
    let is_void = standing == Standing::Void;
    if is_void && !(faults::on(Fault::KeptThoughVoid) && request.policy.keeps()) {
        return miss(Rejection::Tag);
    }
    let now = request.cache.store.latest_now(&request.key);
    let refreshes = request.policy.refreshes() && !found.written.is_error;
    let freshness = freshness::judge(&found.life, standing, now, refreshes);
    let is_over = is_void || matches!(freshness, Freshness::Expired | Freshness::Past);
    if is_over && !(request.policy.keeps() && found.life.is_kept()) {
        return Classified::Miss(judged, None);
    }
    if request.terms.refuse(&found.life, now) {
        return miss(Rejection::TooOld);
    }
    let Ok(payload) = expand(found.compressed, found.payload) else {
        return Classified::Damaged(judged, Rejection::Undecodable);
    };
    // To nobody else it says anything.
    let asks = whose == Whose::All || frame::gathers();
    let touched = asks.then(|| frame::inherited(found.stamps.clone(), found.life.born_at));
    if is_over {
        if let Some(kept) = Kept::new(found.life, &request.terms, now, touched) {
            computation.answer().keep(kept, found.written, &payload);
        }
        return Classified::Miss(judged, None);
    }
    match computation.answer().accept(found.written, &payload) {
        Ok(Offered::Accepted) => {}
        Ok(Offered::Refused) => return miss(Rejection::NotAccepted),
        Ok(Offered::NotLoaded) => return miss(Rejection::NotLoaded),
        Err(_) => return Classified::Damaged(judged, Rejection::Undecodable),
    }
    let served = Served::new(found.life, now);
    let outcome = if freshness == Freshness::Stale {
        if !request.terms.reads_only {
            refresh::consider(request, computation, judged, found.life, standing);
        }
        Outcome::Stale(served)
    } else {
        Outcome::Hit(served)
    };
    let written = found.written;
    // An error that is stored is asked for each time: it ends soon, and is no value.
    if let Some(telling) = telling
        && !written.is_error
    {
        let found = (found.life, standing, judged);
        near::keep(request, computation, telling, found, payload.len(), now);
    }
    if let Some(touched) = &touched {
        frame::hand_on(Some(&request.cache), touched);
    }
    let hit = match payload {
        Cow::Owned(bytes) => {
            Shareable { written, payload: 0..bytes.len(), bytes: bytes.into(), touched, served }
        }
        Cow::Borrowed(_) => {
            Shareable { written, payload: found.place, bytes: seen.stored, touched, served }
        }
    };
    Classified::Answered(outcome, hit)
}

/// Leads a flight, until there is a value. `seen` is what the caller has found already, if it is still news.
fn lead<'c>(
    request: &'c Request,
    computation: &'c mut (dyn Computation + 'c),
    leader: Lead,
    seen: Option<(Judged, Instant)>,
) -> Boxed<'c, Outcome> {
    Box::pin(async move {
        match seek(request, computation, leader, seen).await {
            Sought::Answered(outcome) => outcome,
            Sought::Ours { leader, place, deadline } => {
                compute(request, computation, leader, place, deadline).await
            }
        }
    })
}

/// What a leader has come to before its body.
#[expect(clippy::large_enum_variant, reason = "one for each miss, and not kept")]
enum Sought {
    Answered(Outcome),
    Ours { leader: Lead, place: Place, deadline: Instant },
}

/// Looks, asks for the lease, waits for another process, until there is a value or it is this caller's to compute.
fn seek<'c>(
    request: &'c Request,
    computation: &'c mut (dyn Computation + 'c),
    mut leader: Lead,
    mut seen: Option<(Judged, Instant)>,
) -> Boxed<'c, Sought> {
    Box::pin(async move {
        let mut patience = Patience::new(request.policy.wait);
        let mut place = None;
        let mut deadline = request.cache.deadline();
        for _ in 0..MOST_ROUNDS {
            let judged = if let Some(seen) = seen.take() {
                deadline = seen.1;
                seen.0
            } else {
                deadline = request.cache.deadline();
                match look_for_all(request, computation, &mut leader, deadline).await {
                    Read::Answered(outcome, hit) => {
                        return Sought::Answered(share(leader, outcome, &hit));
                    }
                    Read::Miss(judged) => judged,
                    Read::Unknown => break,
                }
            };
            // Before the lease: a lease that waits for a place keeps the whole fleet from computing.
            if place.is_none() {
                let found = places::wait(request).await;
                let was_waited_for = found.was_waited_for;
                place = Some(found);
                if was_waited_for {
                    continue;
                }
            }
            let policy = &request.policy;
            match lease::take(&request.cache, &request.key, &judged, policy, deadline).await {
                Taken::Granted(lease) => {
                    leader.baton = Some(*lease);
                    break;
                }
                Taken::Pass(old) => {
                    telemetry::step(
                        request.site,
                        &request.key,
                        "a computation ended without a value just now",
                    );
                    if old == Old::Serves
                        && let Some(kept) = kept::serve(request, computation)
                    {
                        leader.seal();
                        leader.end(Some(Landed::failing()));
                        return Sought::Answered(kept);
                    }
                    if faults::on(Fault::PassIsWaitedFor) {
                        tokio::time::sleep(request.policy.wait).await;
                    }
                    break;
                }
                Taken::Unknown(error) => {
                    telemetry::store_trouble(request.site, &request.key, &error);
                    break;
                }
                Taken::Changed => {}
                Taken::Held(content) => {
                    telemetry::step(request.site, &request.key, "another process computes");
                    if stands_in(request, computation).await {
                        return Sought::Answered(Outcome::Busy);
                    }
                    // No body of this function runs meanwhile.
                    place = None;
                    let until = patience.until();
                    request.begins_to_wait();
                    let timer = Timer::start();
                    let waited = request.cache.store.wait_for_lease(&request.key, &content, until);
                    let waited = waited.await;
                    metrics::waited(request.site, timer, Awaited::Lease);
                    request.goes_on();
                    match waited {
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
        let place = match place {
            Some(place) => place,
            None => places::wait(request).await,
        };
        Sought::Ours { leader, place, deadline }
    })
}

/// Goes on for a leader that is gone, with the lease it may have left, or without one where the store
/// can't be asked.
fn take_over<'c>(
    request: &'c Request,
    computation: &'c mut (dyn Computation + 'c),
    mut leader: Lead,
    reachable: bool,
) -> Boxed<'c, Outcome> {
    Box::pin(async move {
        let place = match places::now(request) {
            Ok(place) => place,
            // Nobody works under the lease meanwhile: it is given back, to ask again in time.
            Err(_) if leader.baton.take().is_some() && reachable => {
                return lead(request, computation, leader, None).await;
            }
            Err(_) => places::wait(request).await,
        };
        compute(request, computation, leader, place, request.cache.deadline()).await
    })
}

/// Looks into the store for all who have joined until now: the look is sent after all their calls.
async fn look_for_all(
    request: &Request,
    computation: &mut dyn Computation,
    leader: &mut Lead,
    deadline: Instant,
) -> Read {
    if faults::on(Fault::LookUnsealed) {
        let read = read(request, computation, deadline, Whose::All).await;
        leader.seal();
        return read;
    }
    leader.seal();
    read(request, computation, deadline, Whose::All).await
}

fn share(leader: Lead, outcome: Outcome, hit: &Shareable) -> Outcome {
    let landed = leader.answers_somebody().then(|| hit.landed());
    leader.end(landed);
    outcome
}

/// Waits for the flight's leader. `reachable` is whether this caller has found the store so. `None`: the leader has
/// found something stored that is too old for this call.
fn wait<'c>(
    request: &'c Request,
    computation: &'c mut (dyn Computation + 'c),
    waiter: Wait,
    reachable: bool,
) -> Boxed<'c, Option<Outcome>> {
    Box::pin(async move {
        request.begins_to_wait();
        let timer = Timer::start();
        let landing = waiter.land(Patience::new(request.policy.wait).for_leader()).await;
        metrics::waited(request.site, timer, Awaited::Flight);
        drop(waiter);
        request.goes_on();
        Some(match landing {
            Landing::Shared(Landed { served: Some(served), .. })
                if request
                    .terms
                    .refuse(served.life(), request.cache.store.latest_now(&request.key)) =>
            {
                return None;
            }
            Landing::Shared(landed) => {
                let adopted = match &landed.shared {
                    // What is found stored is for each call to accept.
                    Shared::Stored(written, payload)
                        if landed.served.is_some() || request.policy.refuses == Refuses::Bodies =>
                    {
                        match computation.answer().accept(*written, payload) {
                            Ok(Offered::Accepted) => true,
                            Ok(Offered::Refused | Offered::NotLoaded) => return None,
                            Err(_) => false,
                        }
                    }
                    Shared::Stored(written, payload) => {
                        computation.answer().adopt(*written, payload).is_ok()
                    }
                    Shared::Failed(failure, is_failure) => {
                        computation.answer().adopt_failure(failure, *is_failure)
                    }
                    Shared::Failing => {
                        if let Some(kept) = kept::serve(request, computation) {
                            return Some(kept);
                        }
                        false
                    }
                    Shared::Nothing => false,
                };
                if !adopted {
                    return Some(alone(request, computation).await);
                }
                frame::hand_on(Some(&request.cache), &landed.touched);
                Outcome::Shared(landed.served)
            }
            Landing::TookOver(leader) if leader.baton.is_none() && reachable => {
                lead(request, computation, leader, None).await
            }
            Landing::TookOver(leader) => take_over(request, computation, leader, reachable).await,
            Landing::Deposed(mut leader) => {
                // The other one was slow, or is at it still; what it computes may be stored by now.
                let deadline = request.cache.deadline();
                match look_for_all(request, computation, &mut leader, deadline).await {
                    Read::Answered(outcome, hit) => share(leader, outcome, &hit),
                    Read::Miss(_) | Read::Unknown => {
                        let place = places::wait(request).await;
                        compute(request, computation, leader, place, deadline).await
                    }
                }
            }
            Landing::OutOfPatience => {
                // Somebody may have stored a value meanwhile, in this process or in another.
                match read(request, computation, request.cache.deadline(), Whose::Own).await {
                    Read::Answered(outcome, _) => outcome,
                    Read::Miss(_) | Read::Unknown => alone(request, computation).await,
                }
            }
        })
    })
}
