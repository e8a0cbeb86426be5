//! What stands between the lookup, which sees bytes, and one call of a user's function.

use std::any::{Any, type_name};
use std::convert::Infallible;
use std::error::Error as StdError;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::codec::{self, DecodeError, EncodeError, Encoded, Format};
use crate::error::{AsDynError, SharedError};
use crate::site::{Policy, Site};

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

/// A value that can be stored.
#[diagnostic::on_unimplemented(
    message = "`{Self}` can't be stored in the cache",
    label = "the value of a cached function must be `Serialize + DeserializeOwned + Send + 'static`",
    note = "a type of your own needs `#[derive(serde::Serialize, serde::Deserialize)]`, a type parameter the bounds \
            `Serialize + DeserializeOwned + Send + 'static`, an `Arc` or a type of another crate a feature (`rc` of \
            serde)"
)]
pub trait Stored: Serialize + DeserializeOwned + Send + 'static {}

impl<T: Serialize + DeserializeOwned + Send + 'static> Stored for T {}

/// How a return type `R` divides into a value that is stored and an error that is not, and how that
/// error reaches those who waited.
///
/// Functions, not a trait on the types: a bound on `E` would have to hold again, with its lifetimes
/// erased, wherever a caller's future must be `Send`, and for `Box<dyn Error>` it then does not.
pub struct Shape<T, E, R> {
    split: fn(R) -> Result<T, E>,
    join: fn(Result<T, E>) -> R,
    share: fn(E) -> (E, Option<SharedFailure>),
    adopt: fn(&SharedFailure) -> Option<E>,
}

impl<T, E, R> Clone for Shape<T, E, R> {
    fn clone(&self) -> Self {
        *self
    }
}

impl<T, E, R> Copy for Shape<T, E, R> {}

#[expect(clippy::mismatching_type_param_order, reason = "the value is what is returned")]
impl<T> Shape<T, Infallible, T> {
    /// Every value is stored: the function can't fail.
    pub(crate) fn plain() -> Self {
        Self {
            split: Ok,
            join: |result| match result {
                Ok(value) => value,
                Err(never) => match never {},
            },
            share: |never| match never {},
            adopt: |_| None,
        }
    }
}

impl<T, E> Shape<T, E, Result<T, E>> {
    /// Whoever waited runs the body.
    pub(crate) fn apart() -> Self {
        Self {
            split: |returned| returned,
            join: |result| result,
            share: |error| (error, None),
            adopt: |_| None,
        }
    }

    /// All have an equal error.
    pub(crate) fn by_clone() -> Self
    where
        E: Clone + Send + Sync + 'static,
    {
        Self {
            share: |error| {
                let shared = error.clone();
                (error, Some(Arc::new(shared)))
            },
            adopt: |failure| failure.downcast_ref::<E>().cloned(),
            ..Self::apart()
        }
    }

    /// All hold the same original.
    pub(crate) fn by_erasure() -> Self
    where
        E: From<SharedError> + AsRef<dyn StdError + Send + Sync> + Send + Sync + 'static,
    {
        if !is_erased::<E>() {
            return Self::apart();
        }
        Self {
            share: |error| {
                let original: Arc<dyn AsDynError> = Arc::new(Erased(error));
                (E::from(SharedError(Arc::clone(&original))), Some(Arc::new(original)))
            },
            adopt: |failure| {
                let original = failure.downcast_ref::<Arc<dyn AsDynError>>()?;
                Some(E::from(SharedError(Arc::clone(original))))
            },
            ..Self::apart()
        }
    }
}

/// How a value is stored, and what its function asks of it, as functions: what needs the bound on the
/// type is where the type is written, and a mistake is reported there and nowhere else.
pub(crate) struct Form<T> {
    coding: fn() -> Coding<T>,
    cache_if: Option<fn(&T) -> bool>,
    accept_if: Option<fn(&T) -> bool>,
    ttl_with: Option<fn(&T) -> Duration>,
}

/// How a value is written and read.
struct Coding<T> {
    encode: fn(&T) -> Result<Encoded, EncodeError>,
    decode: fn(codec::Id, &[u8]) -> Result<T, DecodeError>,
    fingerprint: fn(&Site, &'static str) -> u64,
}

impl<T: Stored> Coding<T> {
    fn new<F: Format>() -> Self {
        Self {
            encode: codec::encode::<T, F>,
            decode: codec::decode::<T, F>,
            fingerprint: Site::fingerprint::<T, F>,
        }
    }
}

impl<T: Stored> Form<T> {
    pub(crate) fn new<F: Format>() -> Self {
        Self { coding: Coding::new::<F>, cache_if: None, accept_if: None, ttl_with: None }
    }
}

impl<T> Form<T> {
    pub(crate) fn fingerprint(&self, site: &Site, owner: &'static str) -> u64 {
        ((self.coding)().fingerprint)(site, owner)
    }

    pub(crate) fn decode(&self, codec: codec::Id, payload: &[u8]) -> Result<T, DecodeError> {
        ((self.coding)().decode)(codec, payload)
    }

    pub(crate) fn outgoing(&self, value: &T) -> Result<Outgoing, EncodeError> {
        let ttl = self.ttl_with.map(|ttl_with| ttl_with(value));
        let keep =
            self.cache_if.is_none_or(|cache_if| cache_if(value)) && ttl != Some(Duration::ZERO);
        Ok(Outgoing { encoded: ((self.coding)().encode)(value)?, keep, ttl })
    }

    pub(crate) fn accepts(&self, value: &T) -> bool {
        self.accept_if.is_none_or(|accept_if| accept_if(value))
    }
}

/// All that the runtime has to know of a return type, and of what the function says of its values.
pub struct Returns<T, E, R> {
    /// Made where it is needed, like the form's coding: each call would build all of it.
    pub(crate) shape: fn() -> Shape<T, E, R>,
    pub(crate) form: Form<T>,
}

impl<T, E, R> Clone for Returns<T, E, R> {
    fn clone(&self) -> Self {
        *self
    }
}

impl<T, E, R> Copy for Returns<T, E, R> {}

impl<T> Clone for Form<T> {
    fn clone(&self) -> Self {
        *self
    }
}

impl<T> Copy for Form<T> {}

impl<T, E, R> Returns<T, E, R> {
    /// Which values may be stored.
    #[must_use]
    pub fn cache_if(mut self, cache_if: fn(&T) -> bool) -> Self {
        self.form.cache_if = Some(cache_if);
        self
    }

    /// Which stored values may be served.
    #[must_use]
    pub fn accept_if(mut self, accept_if: fn(&T) -> bool) -> Self {
        self.form.accept_if = Some(accept_if);
        self
    }

    /// How long a value may be served.
    #[must_use]
    pub fn ttl_with(mut self, ttl_with: fn(&T) -> Duration) -> Self {
        self.form.ttl_with = Some(ttl_with);
        self
    }

    /// Says that the value can be a `None`, which the compiler then checks.
    #[must_use]
    pub fn with_none(self) -> Self
    where
        T: Optional,
    {
        self
    }
}

/// What can be a `None`.
#[diagnostic::on_unimplemented(
    message = "`none_ttl` is the ttl of a stored `None`, but `{Self}` is not an `Option`",
    label = "the value of this function is never `None`",
    note = "drop `none_ttl`, or return an `Option`"
)]
pub trait Optional {}

impl<T> Optional for Option<T> {}

/// A blanket `From` is not enough: it would turn a user's typed error into an unknown one.
fn is_erased<E>() -> bool {
    const ERASED: [&str; 3] = [
        "anyhow::Error",
        "eyre::Report",
        "alloc::boxed::Box<dyn core::error::Error + core::marker::Send + core::marker::Sync>",
    ];
    ERASED.contains(&type_name::<E>())
}

struct Erased<E>(E);

impl<E> AsDynError for Erased<E>
where
    E: AsRef<dyn StdError + Send + Sync> + Send + Sync + 'static,
{
    fn as_dyn(&self) -> &(dyn StdError + 'static) {
        self.0.as_ref()
    }
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
