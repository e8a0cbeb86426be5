//! What stands between the lookup, which sees bytes, and one call of a user's function.

use std::any::{Any, type_name};
use std::convert::Infallible;
use std::error::Error as StdError;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::codec::{self, Codec, DecodeError, EncodeError, Encoded};
use crate::error::{AsDynError, SharedError};
use crate::site::Site;

/// How a body ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Finished {
    Value,
    Failed,
}

/// An error that waits for those who share it.
pub(crate) type SharedFailure = Arc<dyn Any + Send + Sync>;

/// One call, without its types. The lookup is compiled once, against this.
pub(crate) trait Computation: Send {
    /// Takes a stored or shared value as the answer.
    fn accept(&mut self, codec: Codec, payload: &[u8]) -> Result<(), DecodeError>;
    /// Builds the body's future, at most once.
    fn start(&mut self);
    /// Polls the body; its result becomes the answer.
    fn poll(&mut self, cx: &mut Context<'_>) -> Poll<Finished>;
    /// The answer as it is stored.
    fn encode(&self) -> Result<Encoded, EncodeError>;
    /// Makes the error that is the answer one that others can have too, if its type allows it.
    fn share_failure(&mut self) -> Option<SharedFailure>;
    /// Takes another's error as the answer.
    fn adopt_failure(&mut self, failure: &SharedFailure) -> bool;
    /// The same computation with arguments of its own, for the background.
    fn detach(&mut self) -> Option<Box<dyn Computation>>;
}

/// A value that can be stored.
#[diagnostic::on_unimplemented(
    message = "`{Self}` can't be stored in the cache",
    label = "the value of a cached function must be `Serialize + DeserializeOwned + Send + 'static`",
    note = "add `#[derive(serde::Serialize, serde::Deserialize)]` to `{Self}`",
    note = "if this is an alias of `Result`, write the `Result` out or give the alias a name that ends in `Result`"
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

/// How a value is stored, as functions: what needs the bound on the type is where the type is
/// written, and a mistake is reported there and nowhere else.
pub(crate) struct Form<T> {
    encode: fn(&T) -> Result<Encoded, EncodeError>,
    decode: fn(Codec, &[u8]) -> Result<T, DecodeError>,
    fingerprint: fn(&Site, &'static str) -> u64,
}

impl<T: Stored> Form<T> {
    pub(crate) fn new() -> Self {
        Self { encode: codec::encode, decode: codec::decode, fingerprint: Site::fingerprint::<T> }
    }
}

/// All that the runtime has to know of a return type.
pub struct Returns<T, E, R> {
    pub(crate) shape: Shape<T, E, R>,
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
    pub(crate) fn fingerprint(&self, site: &Site, owner: &'static str) -> u64 {
        (self.form.fingerprint)(site, owner)
    }
}

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
pub(crate) type Detach<A> = fn(&A) -> Box<dyn Computation>;

/// One call with its types.
pub(crate) struct Call<T, E, R, A, B, Fut, D> {
    returns: Returns<T, E, R>,
    args: Option<A>,
    body: Option<B>,
    running: Option<Pin<Box<Fut>>>,
    answer: Option<Result<T, E>>,
    detach: Option<D>,
}

impl<T, E, R, A, B, Fut, D> Call<T, E, R, A, B, Fut, D>
where
    B: FnOnce(A) -> Fut,
    Fut: Future<Output = R>,
{
    pub(crate) fn new(returns: Returns<T, E, R>, args: A, body: B, detach: Option<D>) -> Self {
        Self { returns, args: Some(args), body: Some(body), running: None, answer: None, detach }
    }

    /// What the caller gets, if something has answered.
    pub(crate) fn take_answer(&mut self) -> Option<R> {
        self.answer.take().map(self.returns.shape.join)
    }

    /// The body, for a call that has no key or no cache.
    pub(crate) fn take_body(&mut self) -> Option<Fut> {
        Some(self.body.take()?(self.args.take()?))
    }
}

/// A call that runs in the background: its arguments are its own.
pub(crate) fn detached<T, E, R, Fut>(returns: Returns<T, E, R>, body: Fut) -> Box<dyn Computation>
where
    T: Send + 'static,
    E: Send + 'static,
    R: 'static,
    Fut: Future<Output = R> + Send + 'static,
{
    Box::new(Call::<T, E, R, (), fn(()) -> Fut, Fut, Detach<()>> {
        returns,
        args: None,
        body: None,
        running: Some(Box::pin(body)),
        answer: None,
        detach: None,
    })
}

impl<T, E, R, A, B, Fut, D> Computation for Call<T, E, R, A, B, Fut, D>
where
    T: Send + 'static,
    E: Send,
    A: Send,
    B: FnOnce(A) -> Fut + Send,
    Fut: Future<Output = R> + Send,
    D: FnOnce(&A) -> Box<dyn Computation> + Send,
{
    fn accept(&mut self, codec: Codec, payload: &[u8]) -> Result<(), DecodeError> {
        self.answer = Some(Ok((self.returns.form.decode)(codec, payload)?));
        Ok(())
    }

    fn start(&mut self) {
        if let (Some(body), Some(args)) = (self.body.take(), self.args.take()) {
            self.running = Some(Box::pin(body(args)));
        }
    }

    fn poll(&mut self, cx: &mut Context<'_>) -> Poll<Finished> {
        if let Some(body) = &mut self.running {
            match body.as_mut().poll(cx) {
                Poll::Pending => return Poll::Pending,
                Poll::Ready(returned) => {
                    self.running = None;
                    self.answer = Some((self.returns.shape.split)(returned));
                }
            }
        }
        Poll::Ready(match self.answer {
            Some(Ok(_)) => Finished::Value,
            _ => Finished::Failed,
        })
    }

    fn encode(&self) -> Result<Encoded, EncodeError> {
        match &self.answer {
            Some(Ok(value)) => (self.returns.form.encode)(value),
            _ => Err(EncodeError::IsError),
        }
    }

    fn share_failure(&mut self) -> Option<SharedFailure> {
        match self.answer.take() {
            Some(Err(error)) => {
                let (mine, shared) = (self.returns.shape.share)(error);
                self.answer = Some(Err(mine));
                shared
            }
            other => {
                self.answer = other;
                None
            }
        }
    }

    fn adopt_failure(&mut self, failure: &SharedFailure) -> bool {
        let adopted = (self.returns.shape.adopt)(failure);
        let known = adopted.is_some();
        if let Some(error) = adopted {
            self.answer = Some(Err(error));
        }
        known
    }

    fn detach(&mut self) -> Option<Box<dyn Computation>> {
        let args = self.args.as_ref()?;
        Some(self.detach.take()?(args))
    }
}
