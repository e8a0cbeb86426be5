//! One call of a batch with its types.

use std::collections::{HashMap, HashSet};
use std::future::{Future, poll_fn};
use std::marker::PhantomData;
use std::pin::Pin;
use std::sync::Arc;

use super::answer::answer;
use super::drive::{Bodies, Detached};
use super::one::{Delivered, Mail, One, RanTogether};
use super::returned::{BatchOf, Parts};
use crate::by_hand::Boxed;
use crate::computation::{Computation, Giving, Rare, Said, Stated};
use crate::frame::{self, Gathered};
use crate::metrics::Timer;
use crate::policy::Policy;
use crate::private::{Choice, Chosen, Target};
use crate::request::{Asked, FlightKey, Request, Unasked};
use crate::returns::{Formed, Returned};
use crate::site::Site;
use crate::telemetry;
use crate::terms::Terms;

/// So many keys are looked up at once; what one call asks for beyond that, one such part behind the other.
const MOST: usize = 10_000;

/// A body that runs for some keys.
pub type BatchBody<'b, R> = Pin<Box<dyn Future<Output = R> + Send + 'b>>;

/// One call of a batch, with the types of an id, of what is returned, and of what is for one id.
pub struct BatchCall<K, A, C, T, L, N, F, X = (), G = ()> {
    forced: bool,
    chosen: C,
    returns: K,
    args: A,
    types: PhantomData<fn() -> T>,
    list: L,
    target: N,
    body: F,
    rare: X,
    again: G,
}

/// One call of a batch: `list` gives the ids, `target` names the entry of one, and `body` runs for those that are missing.
pub fn batch_call<K, A, C, I, R, T, O, L, N, F>(
    forced: bool,
    chosen: C,
    returns: K,
    args: A,
    list: L,
    target: N,
    body: F,
) -> BatchCall<K, A, C, (I, R, O), L, N, F>
where
    K: Formed<T, O>,
    R: BatchOf<O, Id = I>,
    L: Fn(&A) -> Vec<I>,
    N: Fn(&A, &I, Chosen) -> Target,
    F: for<'b> Fn(&'b mut A, Vec<I>) -> BatchBody<'b, R>,
{
    let (types, rare, again) = (PhantomData, (), ());
    BatchCall { forced, chosen, returns, args, types, list, target, body, rare, again }
}

impl<K, A, C, T, L, N, F, X, G> BatchCall<K, A, C, T, L, N, F, X, G> {
    /// Policy that depends on the arguments: asked when a body is about to run.
    #[must_use]
    pub fn policy(self, say: fn(&A, &mut Policy)) -> BatchCall<K, A, C, T, L, N, F, Said<A, X>, G> {
        let Self { forced, chosen, returns, args, types, list, target, body, rare, again } = self;
        let rare = Said { say, rest: rare };
        BatchCall { forced, chosen, returns, args, types, list, target, body, rare, again }
    }

    /// What the call says of itself: asked at once, where the policy says that there is something.
    #[must_use]
    pub fn terms(
        self,
        state: fn(&A, &mut Terms),
    ) -> BatchCall<K, A, C, T, L, N, F, Stated<A, X>, G> {
        let Self { forced, chosen, returns, args, types, list, target, body, rare, again } = self;
        let rare = Stated { state, rest: rare };
        BatchCall { forced, chosen, returns, args, types, list, target, body, rare, again }
    }

    #[expect(clippy::type_complexity, reason = "generated code never writes it")]
    /// Has stale hits refreshed behind the caller, by one body with clones of the arguments.
    #[must_use]
    pub fn refreshing<B>(
        self,
        clone: fn(&A) -> B,
    ) -> BatchCall<K, A, C, T, L, N, F, X, Repeating<K, A, B>>
    where
        K: Copy,
    {
        let Self { forced, chosen, returns, args, types, list, target, body, rare, .. } = self;
        let again = Repeating { returns, clone };
        BatchCall { forced, chosen, returns, args, types, list, target, body, rare, again }
    }
}

/// How a body comes to run behind the caller, if it does.
pub trait Again<A, I, R, O>: Send {
    #[doc(hidden)]
    fn again(&self, args: &A, ids: Vec<I>) -> Option<Behind>;
}

/// A batch behind its caller.
pub struct Behind(Detached);

impl<A, I, R, O> Again<A, I, R, O> for () {
    fn again(&self, _: &A, _: Vec<I>) -> Option<Behind> {
        None
    }
}

/// The function that clones the arguments for a body of their own.
pub struct Repeating<K, A, B> {
    returns: K,
    clone: fn(&A) -> B,
}

impl<K, A, I, R, O, B, Fut> Again<A, I, R, O> for Repeating<K, A, B>
where
    K: Returned<O> + Copy + 'static,
    I: Clone + Send + Sync + 'static,
    R: BatchOf<O, Id = I> + Send + 'static,
    O: Send + 'static,
    B: FnOnce(Vec<I>) -> Fut + Send + 'static,
    Fut: Future<Output = R> + Send + 'static,
{
    fn again(&self, args: &A, ids: Vec<I>) -> Option<Behind> {
        let returns: Arc<dyn Returned<O>> = Arc::new(self.returns);
        let run = (self.clone)(args);
        let run: RunBehind<I, R> = Box::new(move |ids| Box::pin(run(ids)));
        let given = Given::new(ids.len());
        let one = |mail: &Arc<Mail<O>>| -> Box<dyn Computation> {
            Box::new(One::new(Arc::clone(&returns), mail))
        };
        let computations = given.mails.iter().map(one).collect();
        let bodies = Box::new(BodyBehind { ids, run: Some(run), returns, given });
        Some(Behind(Detached { computations, bodies }))
    }
}

/// What bodies have given, and where it is to be put.
struct Given<O> {
    mails: Vec<Arc<Mail<O>>>,
    of_place: HashMap<usize, Delivered<O>>,
    has_failed: bool,
}

impl<O: Send> Given<O> {
    fn new(keys: usize) -> Self {
        Self {
            mails: (0..keys).map(|_| Mail::new()).collect(),
            of_place: HashMap::new(),
            has_failed: false,
        }
    }

    fn give<R: BatchOf<O>>(
        &mut self,
        returned: R,
        ids: &[R::Id],
        places: &[usize],
        error_goes_to: usize,
        returns: &dyn Returned<O>,
    ) {
        self.has_failed = false;
        match returned.parted(ids) {
            Parts::Each(each) => {
                let delivered = |one: Option<O>| one.map_or(Delivered::Absent, Delivered::Answer);
                self.of_place =
                    places.iter().copied().zip(each.into_iter().map(delivered)).collect();
            }
            Parts::Failed(error) => {
                let is_failure = returns.is_failure(&error);
                self.has_failed = is_failure;
                let mut error = Some(error);
                let shared = returns.share_failure(&mut error);
                let delivered = |at: &usize| {
                    let own = (*at == error_goes_to).then(|| error.take()).flatten();
                    let delivered = match (own, &shared) {
                        (Some(error), _) => Delivered::Answer(error),
                        (None, Some(shared)) => Delivered::Shared(Arc::clone(shared), is_failure),
                        (None, None) => Delivered::Failed,
                    };
                    (*at, delivered)
                };
                self.of_place = places.iter().map(delivered).collect();
            }
        }
    }

    fn deliver(&mut self, place: usize, ran: &Arc<RanTogether>) {
        let delivered = self.of_place.remove(&place).unwrap_or(Delivered::Failed);
        self.mails[place].put(delivered, ran);
    }
}

type RunBehind<I, R> = Box<dyn FnOnce(Vec<I>) -> BatchBody<'static, R> + Send>;

/// The one body that runs behind a caller.
struct BodyBehind<I, R, O> {
    ids: Vec<I>,
    run: Option<RunBehind<I, R>>,
    returns: Arc<dyn Returned<O>>,
    given: Given<O>,
}

impl<I, R, O> Bodies for BodyBehind<I, R, O>
where
    I: Clone + Send + Sync,
    R: BatchOf<O, Id = I> + Send,
    O: Send,
{
    fn run<'b>(&'b mut self, places: &'b [usize], error_goes_to: usize) -> Boxed<'b, ()> {
        let ids: Vec<I> = places.iter().map(|at| self.ids[*at].clone()).collect();
        Box::pin(async move {
            // All that are to be refreshed have come before it begins: there is no second one.
            let Some(run) = self.run.take() else { return };
            let returned = run(ids.clone()).await;
            self.given.give(returned, &ids, places, error_goes_to, &*self.returns);
        })
    }

    fn deliver(&mut self, place: usize, ran: &Arc<RanTogether>) {
        self.given.deliver(place, ran);
    }

    fn has_failed(&self) -> bool {
        self.given.has_failed
    }

    fn resolve(&self, _: &mut Policy) {}

    fn detach(&self, _: &[usize]) -> Option<Detached> {
        None
    }
}

/// The bodies that a call waits for.
struct BodiesOfCall<'c, A, I, R, O, F, X, G> {
    args: &'c mut A,
    ids: &'c [I],
    body: &'c F,
    rare: &'c X,
    again: &'c G,
    returns: &'c dyn Returned<O>,
    given: Given<O>,
    returned: PhantomData<fn() -> R>,
}

impl<A, I, R, O, F, X, G> Bodies for BodiesOfCall<'_, A, I, R, O, F, X, G>
where
    A: Send,
    I: Clone + Send + Sync,
    R: BatchOf<O, Id = I> + Send,
    O: Send,
    F: for<'b> Fn(&'b mut A, Vec<I>) -> BatchBody<'b, R> + Sync,
    X: Giving<A, O> + Sync,
    G: Again<A, I, R, O> + Sync,
{
    fn run<'b>(&'b mut self, places: &'b [usize], error_goes_to: usize) -> Boxed<'b, ()> {
        let ids: Vec<I> = places.iter().map(|at| self.ids[*at].clone()).collect();
        Box::pin(async move {
            let returned = (self.body)(self.args, ids.clone()).await;
            self.given.give(returned, &ids, places, error_goes_to, self.returns);
        })
    }

    fn deliver(&mut self, place: usize, ran: &Arc<RanTogether>) {
        self.given.deliver(place, ran);
    }

    fn has_failed(&self) -> bool {
        self.given.has_failed
    }

    fn resolve(&self, policy: &mut Policy) {
        self.rare.answer(self.args, &mut Rare::Policy(policy));
    }

    fn detach(&self, places: &[usize]) -> Option<Detached> {
        let ids = places.iter().map(|at| self.ids[*at].clone()).collect();
        self.again.again(self.args, ids).map(|behind| behind.0)
    }
}

/// A call of a batch, to those that make it.
pub trait BatchCalling {
    /// What the function returns.
    type Output;

    /// Answers the call from the store, and by bodies for what is not there.
    fn answered(&mut self) -> BatchBody<'_, Self::Output>;
}

impl<K, A, C, I, R, O, L, N, F, X, G> BatchCalling for BatchCall<K, A, C, (I, R, O), L, N, F, X, G>
where
    K: Returned<O>,
    A: Send,
    C: Choice,
    I: Clone + Send + Sync,
    R: BatchOf<O, Id = I> + Send,
    O: Send,
    L: Fn(&A) -> Vec<I> + Send,
    N: Fn(&A, &I, Chosen) -> Target + Send,
    F: for<'b> Fn(&'b mut A, Vec<I>) -> BatchBody<'b, R> + Send + Sync,
    X: Giving<A, O> + Sync,
    G: Again<A, I, R, O> + Sync,
{
    type Output = R;

    fn answered(&mut self) -> BatchBody<'_, R> {
        Box::pin(async move {
            let ids = (self.list)(&self.args);
            let (site, tags, mut keys) = match self.keys(&ids) {
                Keys::None => return R::joined(Vec::new()),
                Keys::Each(keys) => (None, Gathered::for_entry(), keys),
                Keys::Bypassed(site, tags) => (Some(site), tags, Vec::new()),
            };
            if let Some(site) = site {
                return self.bypass(site, tags, ids).await;
            }
            let mut parts = Vec::with_capacity(keys.len());
            while !keys.is_empty() {
                let rest = keys.split_off(keys.len().min(MOST));
                self.answer(keys, &mut parts).await;
                keys = rest;
            }
            R::joined(parts)
        })
    }
}

/// What a call asks for.
enum Keys<I> {
    None,
    /// Each another.
    Each(Vec<(I, Request)>),
    Bypassed(&'static Site, Gathered),
}

#[expect(private_bounds, reason = "not for those who make the call")]
impl<K, A, C, I, R, O, L, N, F, X, G> BatchCall<K, A, C, (I, R, O), L, N, F, X, G>
where
    K: Returned<O>,
    A: Send,
    C: Choice,
    I: Clone + Send + Sync,
    R: BatchOf<O, Id = I> + Send,
    O: Send,
    N: Fn(&A, &I, Chosen) -> Target,
    F: for<'b> Fn(&'b mut A, Vec<I>) -> BatchBody<'b, R> + Send + Sync,
    X: Giving<A, O> + Sync,
    G: Again<A, I, R, O> + Sync,
{
    fn keys(&mut self, ids: &[I]) -> Keys<I> {
        if ids.is_empty() {
            return Keys::None;
        }
        let Chosen { cache, .. } = self.chosen.made();
        let mut known: HashSet<FlightKey> = HashSet::with_capacity(ids.len());
        let mut keys = Vec::with_capacity(ids.len());
        let (mut bypassed, mut tags) = (None, Gathered::for_entry());
        for id in ids {
            let target =
                (self.target)(&self.args, id, Chosen { cache: cache.clone(), is_near: false });
            let (site, owner) = (target.site, target.owner);
            match target.asked(self.returns.fingerprint(site, owner), self.forced) {
                Ok(Asked { request, .. }) => {
                    if known.insert(request.flight_key()) {
                        keys.push((id.clone(), request));
                    }
                }
                Err(Unasked { tags: of_key, .. }) => {
                    bypassed = Some(site);
                    tags.absorb(&of_key);
                }
            }
        }
        if let Some(site) = bypassed {
            return Keys::Bypassed(site, tags);
        }
        if keys.first().is_some_and(|(_, request)| request.policy.has_terms) {
            let mut terms = Terms::default();
            self.rare.answer(&self.args, &mut Rare::Terms(&mut terms));
            for (_, request) in &mut keys {
                request.terms = terms;
            }
        }
        Keys::Each(keys)
    }

    /// Without a cache, or without a key for one of the ids: the body runs for all.
    async fn bypass(&mut self, site: &'static Site, mut tags: Gathered, ids: Vec<I>) -> R {
        let timer = Timer::start();
        let returned = {
            let mut body = frame::bypass(|| (self.body)(&mut self.args, ids.clone()));
            poll_fn(|cx| frame::bypass(|| body.as_mut().poll(cx))).await
        };
        // Whether it has failed nobody knows whom it is not parted for.
        telemetry::bypassed(site, timer, || false);
        if !frame::gathers() {
            return returned;
        }
        // To a body around it the function is code like any other, that says what it reads.
        let parts: Vec<(I, O)> = match returned.parted(&ids) {
            Parts::Each(each) => {
                ids.into_iter().zip(each).filter_map(|(id, one)| Some((id, one?))).collect()
            }
            Parts::Failed(error) => ids.into_iter().zip([error]).collect(),
        };
        for (_, one) in &parts {
            self.returns.tag(one, &mut tags);
        }
        frame::hand_on(None, &tags);
        R::joined(parts)
    }

    async fn answer(&mut self, keys: Vec<(I, Request)>, parts: &mut Vec<(I, O)>) {
        let (ids, requests): (Vec<I>, Vec<Request>) = keys.into_iter().unzip();
        let returns: &dyn Returned<O> = &self.returns;
        let given = Given::new(ids.len());
        let mut ones: Vec<_> = given.mails.iter().map(|mail| One::new(returns, mail)).collect();
        {
            let computations = ones.iter_mut().map(|one| one as &mut dyn Computation).collect();
            let mut bodies = BodiesOfCall {
                args: &mut self.args,
                ids: &ids,
                body: &self.body,
                rare: &self.rare,
                again: &self.again,
                returns,
                given,
                returned: PhantomData::<fn() -> R>,
            };
            answer(requests, computations, &mut bodies, self.forced).await;
        }
        let (mut others_error, mut failed) = (None, None);
        for (id, one) in ids.into_iter().zip(ones) {
            let absent = one.is_absent();
            match one.ended() {
                (Some(answer), error) => {
                    parts.push((id, answer));
                    others_error = others_error.or(error);
                }
                (None, _) if absent => {}
                (None, _) => failed = Some(id),
            }
        }
        // It shares the error of another, which may have been answered with an older value instead.
        if let (Some(id), Some(error)) = (failed, others_error) {
            parts.push((id, error));
        }
    }
}
