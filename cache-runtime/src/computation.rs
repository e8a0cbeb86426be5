//! What stands between the lookup, which sees bytes, and one call of a user's function.

use std::any::Any;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use crate::codec::{self, DecodeError, EncodeError, Encoded};
use crate::frame::Gathered;
use crate::policy::Policy;
use crate::returns::Returns;
use crate::site::Site;

/// How a body ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Finished {
    Value,
    Failed,
}

/// What became of a stored value that was offered as the answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Offered {
    Accepted,
    /// The function's `accept_if` says no.
    Refused,
}

/// An error that waits for those who share it.
pub(crate) type SharedFailure = Arc<dyn Any + Send + Sync>;

/// One call, without its types. The lookup is compiled once, against this.
pub(crate) trait Computation: Send {
    /// Where the answer is put.
    fn answer(&mut self) -> &mut dyn Answer;
    /// What was said of how long values live, for these arguments.
    fn resolve(&self, policy: &mut Policy);
    /// Builds the body's future, at most once. Apart from `poll`, in which the compiler would lay out the
    /// whole body twice.
    fn start(&mut self);
    /// Polls the body that was started; what it returns becomes the answer.
    fn poll(&mut self, cx: &mut Context<'_>) -> Poll<Finished>;
    /// The same computation with arguments of its own, for the background.
    fn detach(&mut self) -> Option<Box<dyn Computation>>;
}

/// The answer of a call, without its type. Functions of one return type share its code.
pub(crate) trait Answer: Send {
    /// Tells entries of this function and this type from all others.
    fn fingerprint(&self, site: &Site, owner: &'static str) -> u64;
    /// Takes a value that was computed by another as the answer.
    fn adopt(&mut self, codec: codec::Id, payload: &[u8]) -> Result<(), DecodeError>;
    /// Takes a stored value as the answer, if the function accepts it.
    fn accept(&mut self, codec: codec::Id, payload: &[u8]) -> Result<Offered, DecodeError>;
    /// The answer as it is stored.
    fn encode(&self) -> Result<Outgoing, EncodeError>;
    /// Adds the tags that the answer itself tells of.
    fn tag(&self, touched: &mut Gathered);
    /// Makes the error that is the answer one that others can have too, if its type allows it.
    fn share_failure(&mut self) -> Option<SharedFailure>;
    /// Takes another's error as the answer.
    fn adopt_failure(&mut self, failure: &SharedFailure) -> bool;
}

/// An encoded value, and what its function says of it.
pub(crate) struct Outgoing {
    pub(crate) encoded: Encoded,
    /// `false` where `cache_if` says no: it is answered with, and not stored.
    pub(crate) keep: bool,
    /// What `ttl_with` says.
    pub(crate) ttl: Option<Duration>,
}

/// Makes a copy of a call for the background, from its arguments.
pub trait Detach<A>: Send {
    #[doc(hidden)]
    fn detach(&self, args: Option<&A>) -> Option<Background>;
}

/// A computation that is on its own.
pub struct Background(Box<dyn Computation>);

impl<A> Detach<A> for () {
    fn detach(&self, _: Option<&A>) -> Option<Background> {
        None
    }
}

/// The function that clones the arguments into a body of their own.
pub struct Cloning<T, E, R, A, Fut> {
    returns: Returns<T, E, R>,
    clone: fn(&A) -> Fut,
}

impl<T, E, R, A, Fut> Detach<A> for Cloning<T, E, R, A, Fut>
where
    T: Send + 'static,
    E: Send + 'static,
    R: 'static,
    Fut: Future<Output = R> + Send + 'static,
{
    fn detach(&self, args: Option<&A>) -> Option<Background> {
        let running: Pin<Box<dyn Future<Output = R> + Send>> = Box::pin((self.clone)(args?));
        Some(Background(Box::new(Detached { running, slot: Slot::new(self.returns) })))
    }
}

/// The answer of a call, once there is one.
struct Slot<T, E, R> {
    returns: Returns<T, E, R>,
    value: Option<Result<T, E>>,
}

impl<T: Send, E: Send, R> Answer for Slot<T, E, R> {
    fn fingerprint(&self, site: &Site, owner: &'static str) -> u64 {
        self.returns.form.fingerprint(site, owner)
    }

    fn adopt(&mut self, codec: codec::Id, payload: &[u8]) -> Result<(), DecodeError> {
        self.value = Some(Ok(self.returns.form.decode(codec, payload)?));
        Ok(())
    }

    fn accept(&mut self, codec: codec::Id, payload: &[u8]) -> Result<Offered, DecodeError> {
        let value = self.returns.form.decode(codec, payload)?;
        if !self.returns.form.accepts(&value) {
            return Ok(Offered::Refused);
        }
        self.value = Some(Ok(value));
        Ok(Offered::Accepted)
    }

    fn encode(&self) -> Result<Outgoing, EncodeError> {
        match &self.value {
            Some(Ok(value)) => self.returns.form.outgoing(value),
            _ => Err(EncodeError::IsError),
        }
    }

    fn tag(&self, touched: &mut Gathered) {
        if let Some(Ok(value)) = &self.value {
            self.returns.form.tag(value, touched);
        }
    }

    fn share_failure(&mut self) -> Option<SharedFailure> {
        match self.value.take() {
            Some(Err(error)) => {
                let (mine, shared) = ((self.returns.shape)().share)(error);
                self.value = Some(Err(mine));
                shared
            }
            other => {
                self.value = other;
                None
            }
        }
    }

    fn adopt_failure(&mut self, failure: &SharedFailure) -> bool {
        let adopted = ((self.returns.shape)().adopt)(failure);
        let known = adopted.is_some();
        if let Some(error) = adopted {
            self.value = Some(Err(error));
        }
        known
    }
}

impl<T, E, R> Slot<T, E, R> {
    fn new(returns: Returns<T, E, R>) -> Self {
        Self { returns, value: None }
    }

    /// Polls a body; what it returns becomes the answer.
    ///
    /// Without the type of its future, so that functions of one return type share this.
    #[inline(never)]
    fn poll(
        &mut self,
        body: Option<Pin<&mut (dyn Future<Output = R> + Send + '_)>>,
        cx: &mut Context<'_>,
    ) -> Poll<Finished> {
        if let Some(body) = body {
            match body.poll(cx) {
                Poll::Pending => return Poll::Pending,
                Poll::Ready(returned) => {
                    self.value = Some(((self.returns.shape)().split)(returned));
                }
            }
        }
        Poll::Ready(match self.value {
            Some(Ok(_)) => Finished::Value,
            _ => Finished::Failed,
        })
    }

    /// Not inlined: it is the same for all functions of one return type.
    #[inline(never)]
    fn returned(&mut self) -> R {
        match self.value.take() {
            Some(answer) => ((self.returns.shape)().join)(answer),
            None => unreachable!("a call that was answered has an answer, and gives it once"),
        }
    }
}

/// A call in the background runs already, with arguments of its own.
struct Detached<T, E, R> {
    running: Pin<Box<dyn Future<Output = R> + Send>>,
    slot: Slot<T, E, R>,
}

impl<T: Send, E: Send, R> Computation for Detached<T, E, R> {
    fn answer(&mut self) -> &mut dyn Answer {
        &mut self.slot
    }

    fn resolve(&self, _: &mut Policy) {}

    fn start(&mut self) {}

    fn poll(&mut self, cx: &mut Context<'_>) -> Poll<Finished> {
        self.slot.poll(Some(self.running.as_mut()), cx)
    }

    fn detach(&mut self) -> Option<Box<dyn Computation>> {
        None
    }
}

/// One call with its types.
pub struct Call<T, E, R, A, Fut, D> {
    slot: Slot<T, E, R>,
    args: Option<A>,
    body: fn(A) -> Fut,
    running: Option<Pin<Box<Fut>>>,
    policy: Option<fn(&A, &mut Policy)>,
    detach: D,
    forced: bool,
}

impl<T, E, R, A, Fut> Call<T, E, R, A, Fut, ()> {
    pub(crate) fn new(
        forced: bool,
        returns: Returns<T, E, R>,
        args: A,
        body: fn(A) -> Fut,
    ) -> Self {
        Self {
            forced,
            slot: Slot::new(returns),
            args: Some(args),
            body,
            running: None,
            policy: None,
            detach: (),
        }
    }
}

impl<T, E, R, A, Fut> Call<T, E, R, A, Fut, ()> {
    /// Has a stale hit refreshed behind the caller, by a body with clones of the arguments.
    #[expect(clippy::type_complexity, reason = "generated code never writes it")]
    pub fn refreshing<Fut2>(
        self,
        clone: fn(&A) -> Fut2,
    ) -> Call<T, E, R, A, Fut, Cloning<T, E, R, A, Fut2>> {
        let detach = Cloning { returns: self.slot.returns, clone };
        let Self { slot, args, body, running, policy, detach: (), forced } = self;
        Call { slot, args, body, running, policy, detach, forced }
    }
}

impl<T, E, R, A, Fut, D> Call<T, E, R, A, Fut, D> {
    /// Policy that depends on the arguments: asked when a body is about to run.
    #[must_use]
    pub fn policy(mut self, policy: fn(&A, &mut Policy)) -> Self {
        self.policy = Some(policy);
        self
    }
}

/// A call, to those that make it.
pub trait Calling {
    /// What the function returns.
    type Output;

    /// The call without its types, to be answered.
    fn asked(&mut self) -> Asking<'_>;

    /// What the caller gets.
    ///
    /// # Panics
    ///
    /// Before the call has been answered, and a second time.
    fn returned(&mut self) -> Self::Output;
}

/// A call without its types, that asks to be answered.
pub struct Asking<'c> {
    pub(crate) computation: &'c mut (dyn Computation + 'c),
    /// Compute now, whatever is stored.
    pub(crate) forced: bool,
}

impl<T, E, R, A, Fut, D> Calling for Call<T, E, R, A, Fut, D>
where
    T: Send,
    E: Send,
    A: Send,
    Fut: Future<Output = R> + Send,
    D: Detach<A>,
{
    type Output = R;

    fn asked(&mut self) -> Asking<'_> {
        Asking { forced: self.forced, computation: self }
    }

    fn returned(&mut self) -> R {
        self.slot.returned()
    }
}

impl<T, E, R, A, Fut, D> Computation for Call<T, E, R, A, Fut, D>
where
    T: Send,
    E: Send,
    A: Send,
    Fut: Future<Output = R> + Send,
    D: Detach<A>,
{
    fn answer(&mut self) -> &mut dyn Answer {
        &mut self.slot
    }

    fn resolve(&self, policy: &mut Policy) {
        if let (Some(resolve), Some(args)) = (self.policy, &self.args) {
            resolve(args, policy);
        }
    }

    fn start(&mut self) {
        if let Some(args) = self.args.take() {
            self.running = Some(Box::pin((self.body)(args)));
        }
    }

    fn poll(&mut self, cx: &mut Context<'_>) -> Poll<Finished> {
        let body = self
            .running
            .as_mut()
            .map(|body| body.as_mut() as Pin<&mut (dyn Future<Output = R> + Send)>);
        let polled = self.slot.poll(body, cx);
        if polled.is_ready() {
            self.running = None;
        }
        polled
    }

    fn detach(&mut self) -> Option<Box<dyn Computation>> {
        self.detach.detach(self.args.as_ref()).map(|background| background.0)
    }
}
