//! What stands between the lookup, which sees bytes, and one call of a user's function.

use std::any::Any;
use std::future::{Future, ready};
use std::marker::PhantomData;
use std::ops::Deref;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use tokio::sync::oneshot;

use crate::body::Ran;
use crate::cache::Cache;
use crate::codec::{self, DecodeError, EncodeError, Encoded, Format};
use crate::converting::Saver;
use crate::entry::Written;
use crate::error::TimedOut;
use crate::frame::Gathered;
use crate::kept::Kept;
use crate::near;
use crate::policy::Policy;
use crate::private::{Choice, Chosen, NearValue, Target};
use crate::refresh::Stale;
use crate::returns::{Returned, Shape, Stored};
use crate::site::Site;
use crate::terms::Terms;

/// What became of a stored value that was offered as the answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Offered {
    Accepted,
    /// The function's `accept_if` says no.
    Refused,
    /// The function's `load` gives nothing.
    NotLoaded,
}

/// An error that waits for those who share it.
pub(crate) type SharedFailure = Arc<dyn Any + Send + Sync>;

/// One call, without its types. The lookup is compiled once, against this.
pub(crate) trait Computation: Send {
    /// The entry of the call in this cache, with its key: until the body has the arguments.
    fn target_in(&mut self, cache: Cache) -> Option<Target>;
    /// Where the answer is put.
    fn answer(&mut self) -> &mut dyn Answer;
    /// What was said of how long values live, for these arguments.
    fn resolve(&mut self, policy: &mut Policy);
    /// What the call says of itself.
    fn state(&mut self, terms: &mut Terms);
    /// Has `poll` give what the function answers with instead of waiting, if it has anything.
    fn stand_in(&mut self) -> bool;
    /// Builds the body's future, at most once. Apart from `poll`, in which the compiler would lay out the
    /// whole body twice.
    fn start(&mut self);
    /// Polls the body that was started; what it returns becomes the answer.
    fn poll(&mut self, cx: &mut Context<'_>) -> Poll<()>;
    /// Drops the body that was started; that it took too long becomes the answer.
    fn time_out(&mut self, why: TimedOut);
    /// The same computation with arguments of its own, for the background. What is polled from then on is whether that
    /// has handed its answer over.
    fn detach(&mut self) -> Option<Box<dyn Computation>>;
    /// Gives the answer to the one that this was detached from, if anybody waits there.
    fn hand_over(&mut self);
    /// What the body has come to that has computed this among others, if it was such a one.
    fn ran_together(&mut self) -> Option<Ran> {
        None
    }
    /// Has its refresh wait for those of the others.
    fn put_off(&mut self, _: Stale) {}
    /// The refresh that waits, to be done now.
    fn stale(&mut self) -> Option<Stale> {
        None
    }
}

/// The answer of a call, without its type. Functions of one return type share its code.
pub(crate) trait Answer: Send {
    /// Tells entries of this function and this type from all others.
    fn fingerprint(&self, site: &Site, owner: &'static str) -> u64;
    /// Takes what was computed by another as the answer.
    fn adopt(&mut self, written: Written, payload: &[u8]) -> Result<(), DecodeError>;
    /// Takes what is stored as the answer, if the function accepts it.
    fn accept(&mut self, written: Written, payload: &[u8]) -> Result<Offered, DecodeError>;
    /// The answer as it is kept in this process, if it is a value.
    fn copy(&mut self) -> Option<near::Value>;
    /// Takes such a copy as the answer, if the function accepts it.
    fn adopt_copy(&mut self, copy: &(dyn Any + Send + Sync)) -> bool;
    /// The answer as it is stored; an error, if it is not one of those that are.
    fn encode(&self) -> Result<Outgoing, EncodeError>;
    /// Adds the tags that the answer itself tells of.
    fn tag(&self, touched: &mut Gathered);
    /// Makes the error that is the answer one that others can have too, if its type allows it.
    fn share_failure(&mut self) -> Option<SharedFailure>;
    /// Takes another's error as the answer, and its word for what that is.
    fn adopt_failure(&mut self, failure: &SharedFailure, is_failure: bool) -> bool;
    /// Whether there is no answer, or an error in place of which an old value may be served.
    fn is_failure(&mut self) -> bool;
    /// Keeps what is stored, if the function accepts it, as what the answer may be should computing fail. Now, since a
    /// body takes the arguments, and with them what may be needed to read it.
    fn keep(&mut self, kept: Kept, written: Written, payload: &[u8]);
    fn keeps(&self) -> bool;
    /// Whether the end of that comes later than this.
    fn keeps_for(&self, time: Duration) -> bool;
    fn forget_kept(&mut self);
    /// Makes what was kept the answer, unless its end has come.
    fn adopt_kept(&mut self) -> Option<Kept>;
}

/// An encoded value or error, and what its function says of it.
pub(crate) struct Outgoing {
    /// `None` where it is not to be stored, and could not be.
    pub(crate) encoded: Option<Encoded>,
    pub(crate) is_error: bool,
    /// `false` where `cache_if` says no: it is answered with, and not stored.
    pub(crate) keep: bool,
    /// What `ttl_with` or `err_ttl_with` says.
    pub(crate) ttl: Option<Duration>,
    /// What `window_with` says.
    pub(crate) window: Option<Duration>,
}

/// What only its own function can do for a call.
///
/// Two methods, and not one for each thing that may be wanted: every function has a copy of them.
pub(crate) trait Source<R>: Send {
    fn give(&mut self, wanted: Wanted) -> Given<'_, R>;
    /// What is asked for is put where the question says: to end with nothing then takes no code of each return type.
    fn ask(&mut self, rare: &mut Rare<'_, R>);
}

/// A body that runs.
pub(crate) type Body<'b, R> = Pin<Box<dyn Future<Output = R> + Send + 'b>>;

/// What is wanted of a function.
pub(crate) enum Wanted {
    /// For a function with copies where that of the call may be, for all others its entry.
    Target,
    /// Its entry in this cache.
    TargetIn(Cache),
    Body,
}

/// What most functions have nothing to say of, and so no code.
pub enum Rare<'w, R> {
    /// The same call with arguments of its own.
    Background(&'w mut Option<Background<R>>),
    /// What was said of how long values live, for these arguments.
    Policy(&'w mut Policy),
    /// What the call says of itself.
    Terms(&'w mut Terms),
    /// The answer for who would have to wait, as a body that has ended.
    StandIn(&'w mut Option<Body<'static, R>>),
    /// What is returned, of what is stored as another type.
    Load(Payload<'w>, &'w mut Loaded<R>),
    /// Whether the call takes what is stored, where that depends on the arguments.
    Accept(&'w R, &'w mut bool),
    /// The answer as it is kept in this process.
    Copy(&'w R, &'w mut Option<near::Value>),
    /// What is returned, of such a copy.
    OfCopy(&'w (dyn Any + Send + Sync), &'w mut Option<R>),
    /// What writes the answer, where it is stored as another type.
    Saver(&'w mut Option<Saver<R>>),
}

pub(crate) enum Given<'b, R> {
    Nothing,
    Target(Target),
    Body(Body<'b, R>),
}

/// What is stored, before it is read.
#[derive(Clone, Copy)]
pub struct Payload<'w> {
    codec: codec::Id,
    bytes: &'w [u8],
}

/// What `load` has come to.
pub struct Loaded<R>(Result<R, DecodeError>);

/// What is returned, of what is stored as another type: by the function, as long as it has the arguments.
#[cold]
pub(crate) fn load<R>(
    source: Option<&mut (dyn Source<R> + '_)>,
    codec: codec::Id,
    bytes: &[u8],
) -> Result<R, DecodeError> {
    let mut loaded = Loaded(Err(DecodeError::NotLoaded));
    if let Some(source) = source {
        source.ask(&mut Rare::Load(Payload { codec, bytes }, &mut loaded));
    }
    loaded.0
}

/// A computation that is on its own, and what it will hand over.
pub struct Background<R> {
    detached: Box<dyn Computation>,
    answer: oneshot::Receiver<(R, bool)>,
}

/// What a function has to give besides a target and a body: one thing after the other, each with the `rest` behind it.
pub trait Giving<A, R>: Send {
    #[doc(hidden)]
    fn answer(&self, args: &A, rare: &mut Rare<'_, R>);
}

impl<A, R> Giving<A, R> for () {
    fn answer(&self, _: &A, _: &mut Rare<'_, R>) {}
}

/// What the arguments say of how long values live.
pub struct Said<A, X> {
    pub(crate) say: fn(&A, &mut Policy),
    pub(crate) rest: X,
}

impl<A, R, X: Giving<A, R>> Giving<A, R> for Said<A, X> {
    fn answer(&self, args: &A, rare: &mut Rare<'_, R>) {
        match rare {
            Rare::Policy(policy) => (self.say)(args, policy),
            rare => self.rest.answer(args, rare),
        }
    }
}

/// What the arguments say of the call.
pub struct Stated<A, X> {
    pub(crate) state: fn(&A, &mut Terms),
    pub(crate) rest: X,
}

impl<A, R, X: Giving<A, R>> Giving<A, R> for Stated<A, X> {
    fn answer(&self, args: &A, rare: &mut Rare<'_, R>) {
        match rare {
            Rare::Terms(terms) => (self.state)(args, terms),
            rare => self.rest.answer(args, rare),
        }
    }
}

/// What is answered instead of waiting.
pub struct StandIn<A, R, X> {
    make: fn(&A) -> R,
    rest: X,
}

impl<A, R: Send + 'static, X: Giving<A, R>> Giving<A, R> for StandIn<A, R, X> {
    fn answer(&self, args: &A, rare: &mut Rare<'_, R>) {
        match rare {
            Rare::StandIn(answer) => **answer = Some(Box::pin(ready((self.make)(args)))),
            rare => self.rest.answer(args, rare),
        }
    }
}

/// Which stored values a call takes.
pub struct Accepting<A, T, R, X> {
    shape: fn() -> Shape<T, R>,
    accept: fn(&A, &T) -> bool,
    rest: X,
}

impl<A, T, R, X: Giving<A, R>> Giving<A, R> for Accepting<A, T, R, X> {
    fn answer(&self, args: &A, rare: &mut Rare<'_, R>) {
        match rare {
            Rare::Accept(returned, accepted) => {
                let value = (self.shape)().value(returned);
                **accepted = value.is_some_and(|value| (self.accept)(args, value));
            }
            rare => self.rest.answer(args, rare),
        }
    }
}

/// How what is returned becomes what is kept in this process, and the other way round.
pub struct Nearing<T, R, X> {
    shape: fn() -> Shape<T, R>,
    rest: X,
}

impl<A, T: NearValue, R, X: Giving<A, R>> Giving<A, R> for Nearing<T, R, X> {
    fn answer(&self, args: &A, rare: &mut Rare<'_, R>) {
        match rare {
            Rare::Copy(returned, copy) => {
                let value = (self.shape)().value(returned);
                **copy = value.map(|value| Arc::new(value.clone()) as near::Value);
            }
            Rare::OfCopy(copy, returned) => {
                let value = copy.downcast_ref::<T>();
                **returned = value.map(|value| (self.shape)().of_value(value.clone()));
            }
            rare => self.rest.answer(args, rare),
        }
    }
}

/// How what is returned becomes what is stored, and the other way round.
pub struct Converting<A, T, S, R, X> {
    shape: fn() -> Shape<T, R>,
    save: fn(&A) -> Saver<T>,
    decode: fn(codec::Id, &[u8]) -> Result<S, DecodeError>,
    load: fn(&A, S) -> Option<T>,
    rest: X,
}

impl<A, T: 'static, S, R: 'static, X: Giving<A, R>> Giving<A, R> for Converting<A, T, S, R, X> {
    fn answer(&self, args: &A, rare: &mut Rare<'_, R>) {
        match rare {
            Rare::Load(Payload { codec, bytes }, loaded) => {
                loaded.0 = (self.decode)(*codec, bytes).and_then(|stored| {
                    let value = (self.load)(args, stored).ok_or(DecodeError::NotLoaded)?;
                    Ok((self.shape)().of_value(value))
                });
            }
            Rare::Saver(saver) => **saver = Some((self.save)(args).returning(self.shape)),
            rare => self.rest.answer(args, rare),
        }
    }
}

/// The function that clones the arguments into a body of their own.
pub struct Cloning<K, A, Fut, X> {
    returns: K,
    clone: fn(&A) -> Fut,
    rest: X,
}

impl<K, R, A, Fut, X> Giving<A, R> for Cloning<K, A, Fut, X>
where
    K: Returned<R> + Copy + 'static,
    R: Send + 'static,
    Fut: Future<Output = R> + Send + 'static,
    X: Giving<A, R>,
{
    fn answer(&self, args: &A, rare: &mut Rare<'_, R>) {
        match rare {
            Rare::Background(background) => {
                let mut slot: Slot<'static, R, Box<dyn Returned<R>>> =
                    Slot::new(Box::new(self.returns), None);
                self.rest.answer(args, &mut Rare::Saver(&mut slot.saver));
                let running: Body<'static, R> = Box::pin((self.clone)(args));
                let (caller, answer) = oneshot::channel();
                let detached = Detached { running: Some(running), slot, caller: Some(caller) };
                **background = Some(Background { detached: Box::new(detached), answer });
            }
            rare => self.rest.answer(args, rare),
        }
    }
}

/// The answer of a call, once there is one.
pub(crate) struct Slot<'c, R, K> {
    returns: K,
    pub(crate) value: Option<R>,
    /// What [`Answer::is_failure`] has said of it: an error that is shared may not tell any more.
    is_failure: Option<bool>,
    /// Until it has given its body: then the arguments are gone.
    source: Option<&'c mut (dyn Source<R> + 'c)>,
    /// Where it is stored as another type: from the moment that a body runs.
    saver: Option<Saver<R>>,
    /// What the answer may be should computing fail.
    kept: Option<Box<(Kept, R)>>,
}

impl<R: Send, K: Deref<Target: Returned<R>> + Send> Answer for Slot<'_, R, K> {
    fn fingerprint(&self, site: &Site, owner: &'static str) -> u64 {
        self.returns.fingerprint(site, owner)
    }

    fn adopt(&mut self, written: Written, payload: &[u8]) -> Result<(), DecodeError> {
        let value = self.decode(written, payload)?;
        self.answer_with(Some(value), None);
        Ok(())
    }

    fn accept(&mut self, written: Written, payload: &[u8]) -> Result<Offered, DecodeError> {
        let value = match self.decode(written, payload) {
            Err(DecodeError::NotLoaded) => return Ok(Offered::NotLoaded),
            decoded => decoded?,
        };
        if !self.accepts(&value) {
            return Ok(Offered::Refused);
        }
        self.answer_with(Some(value), None);
        Ok(Offered::Accepted)
    }

    fn copy(&mut self) -> Option<near::Value> {
        let (source, value) = (self.source.as_mut()?, self.value.as_ref()?);
        let mut copy = None;
        source.ask(&mut Rare::Copy(value, &mut copy));
        copy
    }

    fn adopt_copy(&mut self, copy: &(dyn Any + Send + Sync)) -> bool {
        let mut value = None;
        self.ask(&mut Rare::OfCopy(copy, &mut value));
        let Some(value) = value.filter(|value| self.accepts(value)) else { return false };
        self.answer_with(Some(value), None);
        true
    }

    fn encode(&self) -> Result<Outgoing, EncodeError> {
        let returned = self.value.as_ref().ok_or(EncodeError::IsError)?;
        self.returns.encode(returned, self.saver.as_ref())
    }

    fn tag(&self, touched: &mut Gathered) {
        if let Some(returned) = &self.value {
            self.returns.tag(returned, touched);
        }
    }

    fn share_failure(&mut self) -> Option<SharedFailure> {
        self.returns.share_failure(&mut self.value)
    }

    fn adopt_failure(&mut self, failure: &SharedFailure, is_failure: bool) -> bool {
        let adopted = self.returns.adopt_failure(failure);
        let known = adopted.is_some();
        if known {
            self.answer_with(adopted, Some(is_failure));
        }
        known
    }

    fn is_failure(&mut self) -> bool {
        let Some(returned) = &self.value else { return true };
        *self.is_failure.get_or_insert_with(|| self.returns.is_failure(returned))
    }

    fn keep(&mut self, kept: Kept, written: Written, payload: &[u8]) {
        let Ok(value) = self.decode(written, payload) else { return };
        if self.accepts(&value) {
            self.kept = Some(Box::new((kept, value)));
        }
    }

    fn keeps(&self) -> bool {
        self.kept.is_some()
    }

    fn keeps_for(&self, time: Duration) -> bool {
        self.kept.as_ref().is_some_and(|kept| kept.0.outlives(time))
    }

    fn forget_kept(&mut self) {
        self.kept = None;
    }

    fn adopt_kept(&mut self) -> Option<Kept> {
        let (kept, value) = *self.kept.take()?;
        if kept.is_over() {
            return None;
        }
        self.answer_with(Some(value), None);
        Some(kept)
    }
}

impl<'c, R, K: Deref<Target: Returned<R>>> Slot<'c, R, K> {
    pub(crate) fn new(returns: K, source: Option<&'c mut (dyn Source<R> + 'c)>) -> Self {
        Self { returns, value: None, is_failure: None, source, saver: None, kept: None }
    }

    pub(crate) fn answer_with(&mut self, value: Option<R>, is_failure: Option<bool>) {
        self.value = value;
        self.is_failure = is_failure;
    }

    fn decode(&mut self, written: Written, payload: &[u8]) -> Result<R, DecodeError> {
        let source = self.source.as_mut().map(|source| &mut **source as _);
        self.returns.decode(written, payload, source)
    }

    fn accepts(&mut self, value: &R) -> bool {
        self.returns.accepts(value).unwrap_or_else(|| {
            let mut accepted = false;
            self.ask(&mut Rare::Accept(value, &mut accepted));
            accepted
        })
    }

    /// What is asked of the function, as long as it has the arguments.
    fn ask(&mut self, rare: &mut Rare<'_, R>) {
        if let Some(source) = &mut self.source {
            source.ask(rare);
        }
    }

    pub(crate) fn time_out(&mut self, why: TimedOut) {
        // Whatever is said of the error that is made of it.
        self.answer_with(self.returns.timed_out(why), Some(true));
    }

    /// Polls a body; what it returns becomes the answer.
    fn poll(&mut self, body: Option<&mut Body<'_, R>>, cx: &mut Context<'_>) -> Poll<()> {
        if let Some(body) = body {
            match body.as_mut().poll(cx) {
                Poll::Pending => return Poll::Pending,
                Poll::Ready(returned) => self.answer_with(Some(returned), None),
            }
        }
        Poll::Ready(())
    }
}

/// A call in the background runs already, with arguments of its own.
struct Detached<R: 'static> {
    running: Option<Body<'static, R>>,
    slot: Slot<'static, R, Box<dyn Returned<R>>>,
    /// Gets the answer, and whether that is a failure.
    caller: Option<oneshot::Sender<(R, bool)>>,
}

impl<R: Send + 'static> Computation for Detached<R> {
    fn target_in(&mut self, _: Cache) -> Option<Target> {
        None
    }

    fn answer(&mut self) -> &mut dyn Answer {
        &mut self.slot
    }

    fn resolve(&mut self, _: &mut Policy) {}

    fn state(&mut self, _: &mut Terms) {}

    fn stand_in(&mut self) -> bool {
        false
    }

    fn start(&mut self) {}

    fn poll(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        self.slot.poll(self.running.as_mut(), cx)
    }

    fn time_out(&mut self, why: TimedOut) {
        self.running = None;
        self.slot.time_out(why);
    }

    fn detach(&mut self) -> Option<Box<dyn Computation>> {
        None
    }

    fn hand_over(&mut self) {
        let is_failure = self.slot.is_failure();
        if let (Some(caller), Some(value)) = (self.caller.take(), self.slot.value.take()) {
            // It may be gone, with an older value.
            let _ = caller.send((value, is_failure));
        }
    }
}

/// One call with its types.
pub struct Call<K, A, C, N, F, Fut, X = ()> {
    forced: bool,
    returns: K,
    own: Own<A, C, N, F, Fut, X>,
}

/// What of a call is its function's own.
struct Own<A, C, N, F, Fut, X> {
    args: Option<A>,
    chosen: C,
    target: N,
    body: F,
    future: PhantomData<fn() -> Fut>,
    rare: X,
}

impl<K, A, C, N, F, Fut> Call<K, A, C, N, F, Fut> {
    pub(crate) fn new(forced: bool, chosen: C, returns: K, args: A, target: N, body: F) -> Self {
        let args = Some(args);
        let own = Own { args, chosen, target, body, future: PhantomData, rare: () };
        Self { forced, returns, own }
    }
}

/// Each as a whole, and not by one that they share: in a build without optimization every function has its copies.
#[expect(clippy::type_complexity, reason = "generated code never writes it")]
impl<K, A, C, N, F, Fut, X> Call<K, A, C, N, F, Fut, X> {
    /// Policy that depends on the arguments: asked when a body is about to run.
    #[must_use]
    pub fn policy(self, say: fn(&A, &mut Policy)) -> Call<K, A, C, N, F, Fut, Said<A, X>> {
        let Self { forced, returns, own } = self;
        let Own { args, chosen, target, body, future, rare: rest } = own;
        let rare = Said { say, rest };
        Call { forced, returns, own: Own { args, chosen, target, body, future, rare } }
    }

    /// What the call says of itself: asked at once, where the policy says that there is something.
    #[must_use]
    pub fn terms(self, state: fn(&A, &mut Terms)) -> Call<K, A, C, N, F, Fut, Stated<A, X>> {
        let Self { forced, returns, own } = self;
        let Own { args, chosen, target, body, future, rare: rest } = own;
        let rare = Stated { state, rest };
        Call { forced, returns, own: Own { args, chosen, target, body, future, rare } }
    }

    /// What is answered where the call would wait for another's computation.
    #[must_use]
    pub fn busy<R>(self, make: fn(&A) -> R) -> Call<K, A, C, N, F, Fut, StandIn<A, R, X>> {
        let Self { forced, returns, own } = self;
        let Own { args, chosen, target, body, future, rare: rest } = own;
        let rare = StandIn { make, rest };
        Call { forced, returns, own: Own { args, chosen, target, body, future, rare } }
    }

    /// Says which stored values this call takes.
    #[must_use]
    pub fn accepting<T, R>(
        self,
        shape: fn() -> Shape<T, R>,
        accept: fn(&A, &T) -> bool,
    ) -> Call<K, A, C, N, F, Fut, Accepting<A, T, R, X>> {
        let Self { forced, returns, own } = self;
        let Own { args, chosen, target, body, future, rare: rest } = own;
        let rare = Accepting { shape, accept, rest };
        Call { forced, returns, own: Own { args, chosen, target, body, future, rare } }
    }

    /// Has values kept in this process.
    #[must_use]
    pub fn near<T: NearValue, R>(
        self,
        shape: fn() -> Shape<T, R>,
    ) -> Call<K, A, C, N, F, Fut, Nearing<T, R, X>> {
        let Self { forced, returns, own } = self;
        let Own { args, chosen, target, body, future, rare: rest } = own;
        let rare = Nearing { shape, rest };
        Call { forced, returns, own: Own { args, chosen, target, body, future, rare } }
    }

    /// Has another type stored than is returned.
    #[must_use]
    pub fn converting<S: Stored, G: Format, T, R>(
        self,
        shape: fn() -> Shape<T, R>,
        save: fn(&A) -> Saver<T>,
        load: fn(&A, S) -> Option<T>,
    ) -> Call<K, A, C, N, F, Fut, Converting<A, T, S, R, X>> {
        let Self { forced, returns, own } = self;
        let Own { args, chosen, target, body, future, rare: rest } = own;
        let rare = Converting { shape, save, decode: codec::decode::<S, G>, load, rest };
        Call { forced, returns, own: Own { args, chosen, target, body, future, rare } }
    }

    /// Has a stale hit refreshed behind the caller, by a body with clones of the arguments.
    #[must_use]
    pub fn refreshing<Fut2>(
        self,
        clone: fn(&A) -> Fut2,
    ) -> Call<K, A, C, N, F, Fut, Cloning<K, A, Fut2, X>>
    where
        K: Copy,
    {
        let Self { forced, returns, own } = self;
        let Own { args, chosen, target, body, future, rare: rest } = own;
        let rare = Cloning { returns, clone, rest };
        Call { forced, returns, own: Own { args, chosen, target, body, future, rare } }
    }
}

/// A call, to those that make it.
pub trait Calling {
    /// What the function returns.
    type Output;

    /// The call without its types, to be answered.
    fn asked(&mut self) -> Asking<'_, Self::Output>;
}

/// A call without its types, that asks to be answered.
pub struct Asking<'c, R> {
    /// Compute now, whatever is stored.
    pub(crate) forced: bool,
    pub(crate) returns: &'c dyn Returned<R>,
    pub(crate) source: &'c mut (dyn Source<R> + 'c),
}

impl<K, R, A, C, N, F, Fut, X> Calling for Call<K, A, C, N, F, Fut, X>
where
    K: Returned<R>,
    R: Send,
    A: Send,
    C: Choice,
    N: Fn(&A, Chosen) -> Target + Send,
    F: Fn(A) -> Fut + Send,
    Fut: Future<Output = R> + Send,
    X: Giving<A, R>,
{
    type Output = R;

    fn asked(&mut self) -> Asking<'_, R> {
        Asking { forced: self.forced, returns: &self.returns, source: &mut self.own }
    }
}

impl<R, A, C, N, F, Fut, X> Source<R> for Own<A, C, N, F, Fut, X>
where
    A: Send,
    C: Choice,
    N: Fn(&A, Chosen) -> Target + Send,
    F: Fn(A) -> Fut + Send,
    Fut: Future<Output = R> + Send,
    X: Giving<A, R>,
{
    fn give(&mut self, wanted: Wanted) -> Given<'_, R> {
        let Some(args) = &self.args else { return Given::Nothing };
        let chosen = match wanted {
            Wanted::Target => Chosen { is_near: true, ..self.chosen.made() },
            Wanted::TargetIn(cache) => Chosen::far(Some(cache)),
            Wanted::Body => {
                return match self.args.take() {
                    Some(args) => Given::Body(Box::pin((self.body)(args))),
                    None => Given::Nothing,
                };
            }
        };
        Given::Target((self.target)(args, chosen))
    }

    fn ask(&mut self, rare: &mut Rare<'_, R>) {
        if let Some(args) = &self.args {
            self.rare.answer(args, rare);
        }
    }
}

/// A call that is being answered, without the types of its function.
pub(crate) struct Running<'c, R> {
    slot: Slot<'c, R, &'c dyn Returned<R>>,
    body: Option<Body<'c, R>>,
    /// What is computed in the background instead.
    detached: Option<oneshot::Receiver<(R, bool)>>,
}

impl<'c, R> Running<'c, R> {
    pub(crate) fn new(returns: &'c dyn Returned<R>, source: &'c mut (dyn Source<R> + 'c)) -> Self {
        Self { slot: Slot::new(returns, Some(source)), body: None, detached: None }
    }

    /// What the caller gets.
    pub(crate) fn returned(&mut self) -> R {
        match self.slot.value.take() {
            Some(answer) => answer,
            None => unreachable!("a call that was answered has an answer"),
        }
    }

    pub(crate) fn target(&mut self) -> Option<Target> {
        self.give_target(Wanted::Target)
    }

    fn give_target(&mut self, wanted: Wanted) -> Option<Target> {
        match self.slot.source.as_mut()?.give(wanted) {
            Given::Target(target) => Some(target),
            _ => None,
        }
    }
}

impl<R: Send> Computation for Running<'_, R> {
    fn target_in(&mut self, cache: Cache) -> Option<Target> {
        self.give_target(Wanted::TargetIn(cache))
    }

    fn answer(&mut self) -> &mut dyn Answer {
        &mut self.slot
    }

    fn resolve(&mut self, policy: &mut Policy) {
        self.slot.ask(&mut Rare::Policy(policy));
    }

    fn state(&mut self, terms: &mut Terms) {
        self.slot.ask(&mut Rare::Terms(terms));
    }

    fn stand_in(&mut self) -> bool {
        let mut body = None;
        self.slot.ask(&mut Rare::StandIn(&mut body));
        if body.is_some() {
            self.body = body;
            self.detached = None;
        }
        self.body.is_some()
    }

    fn start(&mut self) {
        self.detached = None;
        if let Some(source) = self.slot.source.take() {
            source.ask(&mut Rare::Saver(&mut self.slot.saver));
            if let Given::Body(body) = source.give(Wanted::Body) {
                self.body = Some(body);
            }
        }
    }

    fn poll(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        if let Some(detached) = &mut self.detached {
            // That it has ended without an answer has been told where that was.
            return Pin::new(detached).poll(cx).map(|answer| {
                let (value, is_failure) = answer.ok().unzip();
                self.slot.answer_with(value, is_failure);
            });
        }
        let polled = self.slot.poll(self.body.as_mut(), cx);
        if polled.is_ready() {
            self.body = None;
        }
        polled
    }

    fn detach(&mut self) -> Option<Box<dyn Computation>> {
        let mut background = None;
        self.slot.ask(&mut Rare::Background(&mut background));
        let Background { detached, answer } = background?;
        self.detached = Some(answer);
        Some(detached)
    }

    fn time_out(&mut self, why: TimedOut) {
        self.body = None;
        self.slot.time_out(why);
    }

    fn hand_over(&mut self) {}
}
