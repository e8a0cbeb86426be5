//! Drives the lookups of a batch side by side, and runs one body for all those that have to compute.

use std::collections::{BTreeMap, VecDeque};
use std::future::{Future, poll_fn};
use std::pin::pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use tokio::time::{Instant, timeout};

use super::lookups::{Lookup, Lookups};
use super::meeting::{Meeting, Next, Round, Together};
use super::one::RanTogether;
use crate::body;
use crate::by_hand::Boxed;
use crate::computation::Computation;
use crate::frame::Frame;
use crate::journal::Of;
use crate::metrics::{self, Timer};
use crate::places::{self, Place};
use crate::policy::Policy;
use crate::request::Request;
use crate::store::StoreError;
use crate::tags::Tag;
use crate::telemetry;

/// So many keys ask for their leases at once, and so many values are on their way to the store.
const AT_ONCE: usize = 256;
/// Tags that are captured by one request.
const TAGS_AT_ONCE: usize = 1_000;

/// The bodies of a batch, one after the other, without their types.
pub(crate) trait Bodies: Send {
    /// Runs the body for the keys at these places. Where its error is one for all and can't be shared, one of them gets
    /// it.
    fn run<'b>(&'b mut self, places: &'b [usize], error_goes_to: usize) -> Boxed<'b, ()>;
    /// Hands over what it has given for one of them.
    fn deliver(&mut self, place: usize, ran: &Arc<RanTogether>);
    /// Whether the last one has come to one failure for all of them.
    fn has_failed(&self) -> bool;
    /// What was said of how long values live.
    fn resolve(&self, policy: &mut Policy);
    /// The same for the keys at these places, with arguments of their own.
    fn detach(&self, places: &[usize]) -> Option<Detached>;
}

/// A batch behind its caller.
pub(crate) struct Detached {
    pub(crate) computations: Vec<Box<dyn Computation>>,
    pub(crate) bodies: Box<dyn Bodies>,
}

/// Drives the lookups of these requests to their ends. The place is for the first body.
pub(crate) fn drive<'c>(
    requests: &'c [Request],
    meeting: &'c Meeting,
    lookups: Vec<Option<Lookup<'c>>>,
    bodies: &'c mut dyn Bodies,
    place: Place,
) -> Boxed<'c, ()> {
    let (mut unstarted, mut ended) = (VecDeque::new(), Vec::new());
    for (at, lookup) in lookups.iter().enumerate() {
        if lookup.is_some() { unstarted.push_back(at) } else { ended.push(at) }
    }
    for at in ended {
        meeting.ended(at);
    }
    let lookups = Lookups::new(lookups);
    let driver = Driver { requests, meeting, lookups, unstarted, given: None };
    Box::pin(driver.run(bodies, place))
}

struct Driver<'c> {
    requests: &'c [Request],
    meeting: &'c Meeting,
    lookups: Lookups<'c>,
    unstarted: VecDeque<usize>,
    /// What a body has given, and for whom it is yet.
    given: Option<(Arc<RanTogether>, VecDeque<usize>)>,
}

impl Driver<'_> {
    async fn run(mut self, bodies: &mut dyn Bodies, place: Place) {
        let mut place = Some(place);
        let mut waits = false;
        loop {
            let next = poll_fn(|cx| {
                self.advance(cx, Some(bodies));
                if !self.is_quiet() {
                    return Poll::Pending;
                }
                match self.meeting.next() {
                    Next::Wait if waits => Poll::Pending,
                    next => Poll::Ready(next),
                }
            });
            let next = next.await;
            waits = matches!(next, Next::Wait);
            match next {
                Next::End => return,
                // No body runs meanwhile.
                Next::Wait => place = None,
                Next::Capture { places, deadline } => {
                    let capture =
                        self.beside(Box::pin(capture(self.requests, &places, deadline)), |_| true);
                    let Some(captured) = capture.await else { return };
                    for at in places {
                        self.meeting.captured(at, captured.clone());
                        self.lookups.wake(at);
                    }
                }
                Next::Body(round) => self.run_body(bodies, &round, place.take()).await,
            }
        }
    }

    async fn run_body(&mut self, bodies: &mut dyn Bodies, round: &Round, place: Option<Place>) {
        let mut keys = round.places.iter().map(|at| &self.requests[*at]);
        let Some(first) = keys.next() else { return };
        let others = keys.map(Request::flight_key).collect();
        let whole = Request { part: None, ..first.clone() };
        let _place = match place {
            Some(place) => Some(place),
            None => self.beside(places::wait(&whole), Meeting::is_any_in_body).await,
        };
        let _alone = if round.alone {
            let place = timeout(whole.policy.wait, whole.cache.alone.acquire());
            self.beside(place, Meeting::is_any_in_body).await
        } else {
            None
        };
        let frame = Frame::of_batch(&whole, others, round.takes_primes);
        let timer = Timer::start();
        let mut body = bodies.run(&round.places, round.error_goes_to);
        let running = poll_fn(|cx| frame.within(|| body.as_mut().poll(cx)));
        let has_ended = self.beside(running, Meeting::is_any_in_body).await.is_some();
        drop(body);
        metrics::ran(whole.site, timer, || match has_ended {
            false => metrics::Ran::TimedOut,
            true if bodies.has_failed() => metrics::Ran::Error,
            true => metrics::Ran::Value,
        });
        if has_ended {
            let ran = RanTogether::new(body::ended(whole.site, &frame));
            self.given = Some((ran, round.places.iter().copied().collect()));
        }
    }

    /// Goes on with the lookups while something else is done for them; `None` where that is not wanted any more.
    async fn beside<T>(
        &mut self,
        done: impl Future<Output = T>,
        is_wanted: fn(&Meeting) -> bool,
    ) -> Option<T> {
        let mut done = pin!(done);
        poll_fn(|cx| {
            if let Poll::Ready(done) = done.as_mut().poll(cx) {
                return Poll::Ready(Some(done));
            }
            self.advance(cx, None);
            if is_wanted(self.meeting) { Poll::Pending } else { Poll::Ready(None) }
        })
        .await
    }

    /// Polls those that can go on. Values are handed over, and leases asked for, only so many at once.
    fn advance(&mut self, cx: &Context<'_>, mut bodies: Option<&mut dyn Bodies>) {
        loop {
            while self.number_under_way() < AT_ONCE {
                if let (Some(bodies), Some((ran, places))) = (&mut bodies, &mut self.given)
                    && let Some(at) = places.pop_front()
                {
                    // One whose time was over has left.
                    if self.meeting.is_in_body(at) {
                        bodies.deliver(at, ran);
                        self.meeting.under_way(at);
                        self.lookups.wake(at);
                    }
                } else if let Some(at) = self.unstarted.pop_front() {
                    self.lookups.wake(at);
                } else {
                    break;
                }
            }
            self.lookups.poll(cx, |at, outcome| {
                self.meeting.ended(at);
                let request = &self.requests[at];
                if let Some((outcome, failed)) = outcome {
                    telemetry::answered(request.site, &request.key, outcome, || failed);
                }
            });
            // Once a body runs, or a capture, all have begun.
            if bodies.is_none() || self.has_begun_all() || self.number_under_way() >= AT_ONCE {
                return;
            }
        }
    }

    /// Of those that have begun.
    fn number_under_way(&self) -> usize {
        self.meeting.number_under_way() - self.unstarted.len()
    }

    fn has_begun_all(&self) -> bool {
        self.unstarted.is_empty() && self.given.as_ref().is_none_or(|(_, places)| places.is_empty())
    }

    fn is_quiet(&self) -> bool {
        self.has_begun_all() && self.number_under_way() == 0
    }
}

/// Captures the nonces of all tags of those that have their leases, and where the journals are.
async fn capture(
    requests: &[Request],
    places: &[usize],
    deadline: Instant,
) -> Result<Together, StoreError> {
    let request = &requests[places[0]];
    let (cache, journals) = (&request.cache, request.site.journals());
    let life = request.policy.life_of_tags();
    let tags = places.iter().flat_map(|at| &requests[*at].tags);
    let tags: BTreeMap<&str, &Tag> = tags.map(|tag| (tag.name(), tag)).collect();
    let tags: Vec<Tag> = tags.into_values().cloned().collect();
    let nonces = async {
        let mut nonces = Vec::with_capacity(tags.len());
        for tags in tags.chunks(TAGS_AT_ONCE) {
            nonces.extend(cache.store.capture(tags, life, deadline).await?);
        }
        Ok(nonces)
    };
    let position = async |of, asked: bool| {
        if !asked {
            return Ok(None);
        }
        cache.store.position(of, &cache.namespace, deadline).await.map(Some)
    };
    // All go out at once, and all are older than the body.
    let (nonces, of_tags, of_keys) = tokio::try_join!(
        nonces,
        position(Of::Tags, journals.tags),
        position(Of::Keys, journals.keys)
    )?;
    let nonces = tags.iter().map(|tag| tag.name().to_owned()).zip(nonces).collect();
    Ok(Together { nonces: Arc::new(nonces), tags: of_tags, keys: of_keys })
}
