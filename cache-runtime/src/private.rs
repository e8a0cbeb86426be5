//! All that generated code may name. Not for use by hand: it changes without notice.

use std::fmt::Display;
use std::future::Future;
use std::marker::PhantomData;
use std::sync::Arc;

use crate::cache::{self, Cache};
use crate::computation::{Call, Computation, Detach, Form, detached};
pub use crate::computation::{Returns, Shape, Stored};
use crate::error::SharedError;
pub use crate::handle::Entry;
pub use crate::key::Segment;
use crate::key::{Key, Piece};
use crate::lookup::{self, Request};
use crate::site::Warning;
pub use crate::site::{Policy, Site};
use crate::telemetry::{self, Outcome};

/// The cache that a call uses, or none.
#[derive(Debug)]
pub struct Chosen(Option<Cache>);

/// The cache of the scope, the installed one, or the embedded one.
#[must_use]
pub fn ambient() -> Chosen {
    Chosen(Some(cache::ambient()))
}

/// The cache that the function's `cache` expression names.
pub fn chosen<C: ChooseCache + ?Sized>(cache: &C) -> Chosen {
    Chosen(cache.choose())
}

/// What a `cache` expression may be.
#[diagnostic::on_unimplemented(
    message = "`{Self}` does not name a cache",
    label = "`cache = …` must be a `Cache`, an `Arc` or reference of one, or an `Option` of those"
)]
pub trait ChooseCache {
    /// The cache, or `None` to bypass it.
    fn choose(&self) -> Option<Cache>;
}

impl ChooseCache for Cache {
    fn choose(&self) -> Option<Cache> {
        Some(self.clone())
    }
}

impl<C: ChooseCache + ?Sized> ChooseCache for &C {
    fn choose(&self) -> Option<Cache> {
        (**self).choose()
    }
}

impl<C: ChooseCache + ?Sized> ChooseCache for Arc<C> {
    fn choose(&self) -> Option<Cache> {
        (**self).choose()
    }
}

impl<C: ChooseCache> ChooseCache for Option<C> {
    fn choose(&self) -> Option<Cache> {
        self.as_ref().and_then(ChooseCache::choose)
    }
}

/// Text of the template.
#[must_use]
pub fn literal(text: &'static str) -> Segment<'static> {
    Segment(Piece::Literal(text))
}

/// An argument.
pub fn value<T: KeyValue>(value: &T) -> Segment<'_> {
    Segment(Piece::Value(value))
}

/// What may stand in a key.
#[diagnostic::on_unimplemented(
    message = "`{Self}` can't stand in a cache key",
    label = "an argument in the key must be `Display`, and different values must print differently",
    note = "use a field of it (`{{argument.id}}`), or implement `Display`; `Debug` is refused since it is not stable"
)]
pub trait KeyValue: Display {}

impl<T: Display> KeyValue for T {}

/// A borrowed argument as an owned value, for a refresh behind the caller.
pub fn own_ref<T: Detachable<O> + ?Sized, O>(borrowed: &T) -> O {
    borrowed.detached()
}

/// An argument as a second value, for a refresh behind the caller.
pub fn own<T: Clonable>(argument: &T) -> T {
    argument.clone()
}

/// What may be cloned for a refresh behind the caller, as it is.
#[diagnostic::on_unimplemented(
    message = "`{Self}` can't be cloned for a background refresh",
    label = "with `refresh_before` the body also runs behind the caller, so every argument must be `Clone`",
    note = "derive `Clone`, pass an `Arc`, or leave `refresh_before` out: then the body gets the argument itself"
)]
pub trait Clonable: Clone {}

impl<T: Clone> Clonable for T {}

/// What may be cloned for a refresh behind the caller.
#[diagnostic::on_unimplemented(
    message = "`{Self}` can't be cloned for a background refresh",
    label = "with `refresh_before` the body also runs behind the caller, so every argument must be `Clone`",
    note = "derive `Clone`, pass an `Arc`, or leave `refresh_before` out: then the body only ever borrows"
)]
pub trait Detachable<O> {
    /// The owned value.
    fn detached(&self) -> O;
}

impl<T: ToOwned<Owned = O> + ?Sized, O> Detachable<O> for T {
    fn detached(&self) -> O {
        self.to_owned()
    }
}

/// The value of a fallible function, in the type of its entry handle.
#[diagnostic::on_unimplemented(
    message = "`{Self}` is called a result, but it is not one",
    label = "a return type whose name ends in `Result` must be an alias of `std::result::Result`"
)]
pub trait Fallible {
    /// What is stored.
    type Value;
    /// What is not.
    type Error;
}

impl<T, E> Fallible for Result<T, E> {
    type Value = T;
    type Error = E;
}

/// Finds the [`Shape`] of a return type where it is written, by autoref: the first of four traits
/// that fits decides.
#[derive(Debug)]
pub struct Probe<R>(PhantomData<fn() -> R>);

impl<R> Probe<R> {
    /// A probe for `R`.
    #[must_use]
    #[expect(clippy::new_without_default, reason = "generated code only")]
    pub fn new() -> Self {
        Self(PhantomData)
    }
}

/// The four traits.
pub mod probe {
    use std::convert::Infallible;
    use std::error::Error as StdError;

    use super::{Probe, Shape, SharedError};

    /// `Result` whose error can be cloned.
    pub trait ViaClone<T, E> {
        /// The shape.
        fn shape(&self) -> Shape<T, E, Result<T, E>>;
    }

    impl<T, E: Clone + Send + Sync + 'static> ViaClone<T, E> for &&&Probe<Result<T, E>> {
        fn shape(&self) -> Shape<T, E, Result<T, E>> {
            Shape::by_clone()
        }
    }

    /// `Result` whose error is erased.
    pub trait ViaErasure<T, E> {
        /// The shape.
        fn shape(&self) -> Shape<T, E, Result<T, E>>;
    }

    impl<T, E> ViaErasure<T, E> for &&Probe<Result<T, E>>
    where
        E: From<SharedError> + AsRef<dyn StdError + Send + Sync> + Send + Sync + 'static,
    {
        fn shape(&self) -> Shape<T, E, Result<T, E>> {
            Shape::by_erasure()
        }
    }

    /// Any other `Result`.
    pub trait ViaNothing<T, E> {
        /// The shape.
        fn shape(&self) -> Shape<T, E, Result<T, E>>;
    }

    impl<T, E> ViaNothing<T, E> for &Probe<Result<T, E>> {
        fn shape(&self) -> Shape<T, E, Result<T, E>> {
            Shape::apart()
        }
    }

    /// No `Result`.
    pub trait ViaValue<T> {
        /// The shape.
        fn shape(&self) -> Shape<T, Infallible, T>;
    }

    impl<T> ViaValue<T> for Probe<T> {
        fn shape(&self) -> Shape<T, Infallible, T> {
            Shape::plain()
        }
    }
}

/// Holds the shape of a return type to the value type of its entry handle.
#[must_use]
pub fn agreed<V: Stored, R, E>(shape: Shape<V, E, R>) -> Returns<V, E, R> {
    Returns { shape, form: Form::new() }
}

#[doc(hidden)]
#[macro_export]
macro_rules! __shape {
    ($returned:ty, $value:ty) => {{
        #[allow(unused_imports)]
        use $crate::private::probe::{ViaClone, ViaErasure, ViaNothing, ViaValue};
        $crate::private::agreed::<$value, $returned, _>(
            (&&&&$crate::private::Probe::<$returned>::new()).shape(),
        )
    }};
}
pub use crate::__shape as shape;

/// One function, one cache, one key.
#[derive(Debug)]
pub struct Target {
    pub(crate) site: &'static Site,
    pub(crate) owner: &'static str,
    pub(crate) cache: Option<Cache>,
    pub(crate) key: Option<Key>,
}

impl Target {
    /// Renders the key of a call. `owner` names the type whose method the function is, or one that is
    /// declared beside it.
    #[must_use]
    pub fn new(
        site: &'static Site,
        owner: &'static str,
        chosen: Chosen,
        segments: &[Segment<'_>],
    ) -> Self {
        let cache = chosen.0;
        let key = cache.as_ref().and_then(|cache| {
            let rendered = Key::render(&cache.0.namespace, segments);
            if rendered.is_err() {
                telemetry::warn_once(site, Warning::Key, site.template());
            }
            rendered.ok()
        });
        Self { site, owner, cache, key }
    }

    pub(crate) fn request(&self, fingerprint: u64) -> Option<Request> {
        Some(Request {
            cache: Arc::clone(&self.cache.as_ref()?.0),
            site: self.site,
            key: self.key.clone()?,
            fingerprint,
        })
    }

    fn into_request<T, E, R>(self, returns: &Returns<T, E, R>) -> Option<Request> {
        Some(Request {
            cache: self.cache?.0,
            site: self.site,
            key: self.key?,
            fingerprint: returns.fingerprint(self.site, self.owner),
        })
    }
}

/// A handle to the entry of a call.
#[must_use]
pub fn entry<V>(target: Target) -> Entry<V> {
    Entry::new(target)
}

/// What the caller gets; without a cache or a key, from the body alone.
///
/// A macro, so that no future with more bounds than the caller's own stands between.
macro_rules! returned {
    ($call:ident) => {
        match $call.take_answer() {
            Some(returned) => returned,
            None => match $call.take_body() {
                Some(body) => body.await,
                None => unreachable!("a body that has ended has left an answer"),
            },
        }
    };
}

/// Answers a call from the store, or by its body.
pub async fn read<T, E, R, A, B, Fut>(
    target: Target,
    returns: Returns<T, E, R>,
    args: A,
    body: B,
) -> R
where
    T: Send + 'static,
    E: Send,
    A: Send,
    B: FnOnce(A) -> Fut + Send,
    Fut: Future<Output = R> + Send,
{
    let mut call = Call::new(returns, args, body, None::<Detach<A>>);
    if let Some(request) = target.into_request(&returns) {
        answer(&request, &mut call).await;
    }
    returned!(call)
}

/// Answers a call from the store, or by its body; a stale hit is refreshed behind the caller.
pub async fn read_refreshing<T, E, R, A, B, Fut, F, Fut2>(
    target: Target,
    returns: Returns<T, E, R>,
    args: A,
    body: B,
    clone_into_body: F,
) -> R
where
    T: Send + 'static,
    E: Send + 'static,
    R: 'static,
    A: Send,
    B: FnOnce(A) -> Fut + Send,
    Fut: Future<Output = R> + Send,
    F: FnOnce(&A) -> Fut2 + Send,
    Fut2: Future<Output = R> + Send + 'static,
{
    let detach = move |args: &A| detached(returns, clone_into_body(args));
    let mut call = Call::new(returns, args, body, Some(detach));
    if let Some(request) = target.into_request(&returns) {
        answer(&request, &mut call).await;
    }
    returned!(call)
}

/// Computes now, stores and returns: the lease is taken from whoever holds it.
pub async fn recompute<T, E, R, A, B, Fut>(
    target: Target,
    returns: Returns<T, E, R>,
    args: A,
    body: B,
) -> R
where
    T: Send + 'static,
    E: Send,
    A: Send,
    B: FnOnce(A) -> Fut + Send,
    Fut: Future<Output = R> + Send,
{
    let mut call = Call::new(returns, args, body, None::<Detach<A>>);
    if let Some(request) = target.into_request(&returns) {
        lookup::recompute(&request, &mut call).await;
        telemetry::answered(request.site, &request.key, Outcome::Computed);
    }
    returned!(call)
}

async fn answer(request: &Request, computation: &mut (dyn Computation + '_)) {
    let outcome = lookup::answer(request, computation).await;
    telemetry::answered(request.site, &request.key, outcome);
}
