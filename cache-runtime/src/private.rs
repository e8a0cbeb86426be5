//! All that generated code may name. Not for use by hand: it changes without notice.

use std::fmt::{self, Display};
use std::future::Future;
use std::marker::PhantomData;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use serde::Serialize;

pub use crate::answering::{Answering, answer, answer_told};
pub use crate::batch::{
    Again, BatchBody, BatchCall, BatchCalling, BatchOf, Batched, ErrorsOfEach, Parts, Repeating,
    batch_call,
};
use crate::cache::{self, Cache};
use crate::codec::Format;
pub use crate::computation::{Call, Calling};
pub use crate::converting::{
    Converted, Keepable, Loader, Saver, given, kept, kept_ref, loaded, loader, saver,
};
pub use crate::entries::Entries;
pub use crate::erring::{Erring, Fallible, FromTimedOut, SharableError, StoredError, erring};
use crate::error::SharedError;
pub use crate::gathering::{Gathering, tag_name};
pub use crate::handle::Entry;
pub use crate::in_arc::InArc;
use crate::key::Piece;
pub use crate::key::Segment;
use crate::key_hash::key_hash;
pub use crate::outcome::{Outcome, Served};
pub use crate::policy::Policy;
pub use crate::returns::{
    Coding, Formed, Handled, Optional, Returns, Said, Says, Shape, Stored, Tagging,
};
pub use crate::site::{Extras, Site};
pub use crate::target::Target;
pub use crate::terms::Terms;
pub use crate::writing::{
    AskedBehind, CanFail, Ended, EndedWell, FromInvalidateError, Invalidated, PutInto, Writing,
    kept_for_target, unreported, unwritten,
};

/// The cache that a call uses, or none.
#[derive(Debug)]
pub struct Chosen {
    pub(crate) cache: Option<Cache>,
    /// Whether a copy may answer, for which no key is rendered.
    pub(crate) is_near: bool,
}

impl Chosen {
    /// A key is rendered.
    pub(crate) fn far(cache: Option<Cache>) -> Self {
        Self { cache, is_near: false }
    }
}

/// The cache of the scope, the installed one, or the embedded one.
#[must_use]
pub fn ambient() -> Chosen {
    Chosen::far(Some(cache::ambient()))
}

/// The cache that the function's `cache` expression names.
pub fn chosen<C: ChooseCache + ?Sized>(cache: &C) -> Chosen {
    Chosen::far(cache.choose())
}

/// No cache: the body runs and nothing is touched.
#[must_use]
pub fn bypassed() -> Chosen {
    Chosen::far(None)
}

/// Which cache a call uses.
pub trait Choice: Send {
    /// To be asked once.
    fn made(&mut self) -> Chosen;
}

impl Choice for Chosen {
    fn made(&mut self) -> Chosen {
        Self { cache: self.cache.take(), is_near: self.is_near }
    }
}

/// [`ambient`], where the key is rendered: nothing that each function would have to store and to drop.
#[derive(Debug)]
pub struct Ambient;

impl Choice for Ambient {
    fn made(&mut self) -> Chosen {
        ambient()
    }
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

/// `{id}`.
pub fn value<T: KeyValue>(value: &T) -> Segment<'_> {
    Segment(Piece::Value(value))
}

/// `{region?}`.
pub fn optional<T: KeyOption>(value: &T) -> Segment<'_> {
    value.segment()
}

/// What stands in a key for an argument without a text of its own.
#[derive(Debug)]
pub struct Hashed(Option<[u8; 32]>);

impl Display for Hashed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // An argument that can't be serialized has no key, as one that can't be written.
        let hash = self.0.ok_or(fmt::Error)?;
        hash.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

/// `{filter:hash}`.
pub fn hashed<T: KeyHash + ?Sized>(value: &T) -> Hashed {
    Hashed(key_hash(value).ok())
}

/// What may stand in a key as `{filter:hash}`.
#[diagnostic::on_unimplemented(
    message = "`{Self}` can't stand in a cache key as `{{..:hash}}`",
    label = "what is written with `:hash` in the key must be `Serialize`",
    note = "add `#[derive(serde::Serialize)]` to `{Self}`, or name a part of it that is `Display` (`{{argument.id}}`)"
)]
pub trait KeyHash: Serialize {}

impl<T: Serialize + ?Sized> KeyHash for T {}

/// What may stand in a key.
#[diagnostic::on_unimplemented(
    message = "`{Self}` can't stand in a cache key as `{{..}}`",
    label = "an argument in the key must be `Display`, and different values must print differently",
    note = "name a field or a method of it (`{{argument.id}}`, `{{argument.as_str()}}`), write `{{argument?}}` for an \
            `Option`, `{{argument:hash}}` for what is `Serialize` only, or implement `Display`; `Debug` is refused \
            since it is not stable"
)]
pub trait KeyValue: Display {}

impl<T: Display> KeyValue for T {}

/// What may stand in a key as `{region?}`.
#[diagnostic::on_unimplemented(
    message = "`{Self}` can't stand in a cache key as `{{..?}}`",
    label = "what is written with a `?` in the key must be an `Option` of something that is `Display`",
    note = "write `{{argument}}` for what is not an `Option`, and `{{argument:hash}}` for what is not `Display`"
)]
pub trait KeyOption {
    #[doc(hidden)]
    fn segment(&self) -> Segment<'_>;
}

impl<T: Display> KeyOption for Option<T> {
    fn segment(&self) -> Segment<'_> {
        Segment(self.as_ref().map_or(Piece::Absent, |value| Piece::Value(value)))
    }
}

impl<T: KeyOption + ?Sized> KeyOption for &T {
    fn segment(&self) -> Segment<'_> {
        (**self).segment()
    }
}

/// What may be kept in process, with `near`.
#[diagnostic::on_unimplemented(
    message = "`{Self}` can't be kept in the near cache",
    label = "with `near` a value is shared by the calls of this process, so it must be `Clone + Send + Sync + 'static`",
    note = "derive `Clone`, return an `Arc` of it (which costs nothing to clone), or leave `near` out"
)]
pub trait NearValue: Clone + Send + Sync + 'static {}

// The message above says what to do about it.
#[diagnostic::do_not_recommend]
impl<T: Clone + Send + Sync + 'static> NearValue for T {}

/// A borrowed argument as an owned value, for a refresh behind the caller.
pub fn own_ref<T: Detachable<O> + ?Sized, O>(borrowed: &T) -> O {
    borrowed.detached()
}

/// An argument as a second value, for a refresh behind the caller.
pub fn own<T: Clonable<T>>(argument: &T) -> T {
    argument.clone()
}

/// What may be cloned for a refresh behind the caller, as it is. `O` is the type itself: of a borrow of it
/// that does not hold, and so the compiler does not propose to borrow.
#[diagnostic::on_unimplemented(
    message = "`{Self}` can't be cloned for a body in the background",
    label = "with `refresh_before` or `soft_timeout` the body also runs behind the caller, so every argument must be `Clone`",
    note = "derive `Clone`, pass an `Arc`, say how it gets one of its own, as in \
            `refresh_with(conn = self.pool.acquire().await?)`, or leave them out: then the body gets the \
            argument itself"
)]
pub trait Clonable<O>: Clone {}

impl<T: Clone> Clonable<T> for T {}

/// What a body of a batch is to compute.
pub type Ids<K> = Vec<K>;

/// The elements of the list of a batch.
pub fn ids<K: Clone>(ids: &[K]) -> Vec<K> {
    ids.to_vec()
}

/// An argument for one body of a batch, of which there may be more.
pub fn once_more<T: Repeatable>(argument: &T) -> T {
    argument.clone()
}

/// What may be passed to each of the bodies of a batch.
#[diagnostic::on_unimplemented(
    message = "`{Self}` can't be cloned for the bodies of a batch",
    label = "the body of a batch may run more than once in a call, so an argument that it takes must be `Clone`",
    note = "derive `Clone`, pass an `Arc`, or take a reference, `&` or `&mut`: that is lent to each"
)]
pub trait Repeatable: Clone {}

impl<T: Clone> Repeatable for T {}

/// Compiles where each key of a batch may have an error of its own.
pub fn errors_of_each<R: ErrorsOfEach>() {}

/// Answers a call of a batch.
pub fn answer_batch<C: BatchCalling>(call: &mut C) -> BatchBody<'_, C::Output> {
    call.answered()
}

/// What may be cloned for a refresh behind the caller.
#[diagnostic::on_unimplemented(
    message = "`{Self}` can't be cloned for a body in the background",
    label = "with `refresh_before` or `soft_timeout` the body also runs behind the caller, so every argument must be `Clone`",
    note = "derive `Clone`, pass an `Arc`, say how it gets one of its own, as in \
            `refresh_with(conn = self.pool.acquire().await?)`, or leave them out: then the body only ever \
            borrows"
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

/// Finds the [`Shape`] of a return type where it is written, by autoref: the first of four traits
/// that fits decides. Its method, as all that are found so, has a name that no trait of the user's has: one that is
/// implemented for all types would fit, too.
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
    use std::error::Error as StdError;

    use super::{Probe, Shape, SharedError};

    /// `Result` whose error can be cloned.
    pub trait ViaClone<T, E> {
        /// The shape.
        fn __redis_cached_shape(&self) -> fn() -> Shape<T, Result<T, E>>;
    }

    impl<T, E: Clone + Send + Sync + 'static> ViaClone<T, E> for &&&Probe<Result<T, E>> {
        fn __redis_cached_shape(&self) -> fn() -> Shape<T, Result<T, E>> {
            Shape::by_clone
        }
    }

    /// `Result` whose error is erased.
    pub trait ViaErasure<T, E> {
        /// The shape.
        fn __redis_cached_shape(&self) -> fn() -> Shape<T, Result<T, E>>;
    }

    impl<T, E> ViaErasure<T, E> for &&Probe<Result<T, E>>
    where
        E: From<SharedError> + AsRef<dyn StdError + Send + Sync> + Send + Sync + 'static,
    {
        fn __redis_cached_shape(&self) -> fn() -> Shape<T, Result<T, E>> {
            Shape::by_erasure
        }
    }

    /// Any other `Result`.
    pub trait ViaNothing<T, E> {
        /// The shape.
        fn __redis_cached_shape(&self) -> fn() -> Shape<T, Result<T, E>>;
    }

    impl<T, E> ViaNothing<T, E> for &Probe<Result<T, E>> {
        fn __redis_cached_shape(&self) -> fn() -> Shape<T, Result<T, E>> {
            Shape::apart
        }
    }

    /// No `Result`.
    pub trait ViaValue<T> {
        /// The shape.
        fn __redis_cached_shape(&self) -> fn() -> Shape<T, T>;
    }

    impl<T> ViaValue<T> for Probe<T> {
        fn __redis_cached_shape(&self) -> fn() -> Shape<T, T> {
            Shape::plain
        }
    }
}

/// Finds the [`Way`] of a value type, by autoref as well: of an `Arc` what is in it is stored.
#[derive(Debug)]
pub struct Value<T>(PhantomData<fn() -> T>);

/// The value that a return type has.
#[must_use]
pub fn value_of<T, R>(_: fn() -> Shape<T, R>) -> Value<T> {
    Value(PhantomData)
}

/// The three traits.
pub mod coding {
    use std::sync::Arc;

    use super::{InArc, InsideArc, InsideOptionalArc, Itself, Value};

    /// An `Arc`.
    pub trait ViaArc {
        /// The way.
        fn __redis_cached_way(&self) -> InsideArc {
            InsideArc
        }
    }

    impl<T: InArc + ?Sized> ViaArc for &&Value<Arc<T>> {}

    /// An `Option` of an `Arc`.
    pub trait ViaOptionalArc {
        /// The way.
        fn __redis_cached_way(&self) -> InsideOptionalArc {
            InsideOptionalArc
        }
    }

    impl<T: InArc + ?Sized> ViaOptionalArc for &Value<Option<Arc<T>>> {}

    /// Any other value.
    pub trait ViaItself {
        /// The way.
        fn __redis_cached_way(&self) -> Itself {
            Itself
        }
    }

    impl<T> ViaItself for Value<T> {}
}

/// How values of a type are stored.
#[diagnostic::on_unimplemented(
    message = "`{T}` can't be stored in the cache",
    label = "the value of a cached function must be `Serialize + DeserializeOwned + Send + 'static`",
    note = "a type of your own needs `#[derive(serde::Serialize, serde::Deserialize)]`, and so does what is in an \
            `Arc`; a type parameter needs the bounds `Serialize + DeserializeOwned + Send + 'static`, a type of another \
            crate a feature (of serde `rc`, for an `Arc` deeper inside); or store something else that it can be made \
            of, as in `stored = String, save = |regex| regex.as_str().to_owned(), load = |text| Regex::new(&text)`"
)]
pub trait Way<T> {
    /// The coding.
    fn coding<F: Format>() -> Coding<T>;
}

/// As they are.
#[derive(Debug)]
pub struct Itself;

/// As what is in their `Arc`.
#[derive(Debug)]
pub struct InsideArc;

/// As what is in their `Arc`, if there is one.
#[derive(Debug)]
pub struct InsideOptionalArc;

// The message above says more than what is missing of serde in what is in a `Vec`.
#[diagnostic::do_not_recommend]
impl<T: Stored> Way<T> for Itself {
    fn coding<F: Format>() -> Coding<T> {
        Coding::plain::<F>()
    }
}

impl<T: InArc + ?Sized> Way<Arc<T>> for InsideArc {
    fn coding<F: Format>() -> Coding<Arc<T>> {
        Coding::in_arc::<F>()
    }
}

impl<T: InArc + ?Sized> Way<Option<Arc<T>>> for InsideOptionalArc {
    fn coding<F: Format>() -> Coding<Option<Arc<T>>> {
        Coding::in_optional_arc::<F>()
    }
}

/// All that the runtime has to know of a return type.
#[must_use]
pub fn returns<F: Format, T, R, W: Way<T>>(shape: fn() -> Shape<T, R>, _: W) -> Returns<T, R> {
    Returns::new(shape, W::coding::<F>)
}

/// The same, where another type is stored.
#[must_use]
pub fn returns_stored<S: Stored, F: Format, T: 'static, R>(
    shape: fn() -> Shape<T, R>,
) -> Returns<T, R> {
    Returns::new(shape, Coding::converted::<S, F>)
}

#[doc(hidden)]
#[macro_export]
macro_rules! __shape {
    ($returned:ty) => {{
        // Without their names, which a type of the user's may have.
        #[allow(unused_imports)]
        use $crate::private::probe::{
            ViaClone as _, ViaErasure as _, ViaNothing as _, ViaValue as _,
        };
        (&&&&$crate::private::Probe::<$returned>::new()).__redis_cached_shape()
    }};
}
pub use crate::__shape as shape;

#[doc(hidden)]
#[macro_export]
macro_rules! __returns {
    ($returned:ty) => {
        $crate::private::returns!($returned, $crate::private::codec::Bincode)
    };
    ($returned:ty, $codec:ty) => {{
        #[allow(unused_imports)]
        use $crate::private::coding::{ViaArc as _, ViaItself as _, ViaOptionalArc as _};
        let shape = $crate::private::shape!($returned);
        let way = (&&&$crate::private::value_of(shape)).__redis_cached_way();
        $crate::private::returns::<$codec, _, _, _>(shape, way)
    }};
    ($returned:ty, $codec:ty, stored = $stored:ty) => {
        $crate::private::returns_stored::<$stored, $codec, _, _>($crate::private::shape!($returned))
    };
}
pub use crate::__returns as returns;

/// A duration that is known only at run time.
#[diagnostic::on_unimplemented(
    message = "`{Self}` is not a duration",
    label = "a duration is a literal (`\"5m\"`, whole seconds) or an expression that gives a `std::time::Duration`"
)]
pub trait Span {
    #[doc(hidden)]
    fn span(self) -> Duration;
}

impl Span for Duration {
    fn span(self) -> Duration {
        self
    }
}

impl Span for &Duration {
    fn span(self) -> Duration {
        *self
    }
}

/// See [`Span`].
pub fn span(span: impl Span) -> Duration {
    span.span()
}

/// How old a value may be that one call takes.
#[diagnostic::on_unimplemented(
    message = "`{Self}` is not an age",
    label = "`max_age` is a literal (`\"30s\"`, whole seconds) or an expression that gives a `std::time::Duration`, or an \
             `Option` of one, of which `None` is any age"
)]
pub trait MaxAge {
    #[doc(hidden)]
    fn max_age(self) -> Option<Duration>;
}

impl MaxAge for Duration {
    fn max_age(self) -> Option<Duration> {
        Some(self)
    }
}

impl MaxAge for Option<Duration> {
    fn max_age(self) -> Option<Duration> {
        self
    }
}

impl<T: MaxAge + Copy> MaxAge for &T {
    fn max_age(self) -> Option<Duration> {
        (*self).max_age()
    }
}

/// An argument as an expression sees it that is evaluated later: by value where it is `Copy`, and
/// borrowed where it is not. By autoref.
#[derive(Clone, Copy, Debug)]
pub struct Lent<'a, T>(pub &'a T);

impl<T: Copy> Lent<'_, T> {
    /// The value.
    #[must_use]
    pub fn __redis_cached_lent(self) -> T {
        *self.0
    }
}

/// The other half of [`Lent`].
pub trait LentByReference<'a> {
    /// What is lent.
    type Target;
    /// The reference.
    fn __redis_cached_lent(&self) -> &'a Self::Target;
}

impl<'a, T> LentByReference<'a> for Lent<'a, T> {
    type Target = T;

    fn __redis_cached_lent(&self) -> &'a T {
        self.0
    }
}

/// The tags that a closure makes of a value.
pub fn tagged_with<'v, V, I>(value: &'v V, tags: &mut Tagging<'_>, of: impl FnOnce(&'v V) -> I)
where
    I: IntoIterator<Item: AsRef<str>>,
{
    tags.extend(of(value));
}

/// A value as the templates of its tags see it: what is in an `Option`, if there is something. By autoref.
#[derive(Clone, Copy, Debug)]
pub struct Told<'a, T>(pub &'a T);

impl<'a, T> Told<'a, Option<T>> {
    /// The value.
    #[must_use]
    pub fn __redis_cached_told(self) -> Option<&'a T> {
        self.0.as_ref()
    }
}

/// The other half of [`Told`].
pub trait ToldAsItIs<'a> {
    /// What is told of.
    type Target;
    /// The value.
    fn __redis_cached_told(&self) -> Option<&'a Self::Target>;
}

impl<'a, T> ToldAsItIs<'a> for Told<'a, T> {
    type Target = T;

    fn __redis_cached_told(&self) -> Option<&'a T> {
        Some(self.0)
    }
}

/// A normalized argument in the type that the function takes.
pub fn normalized<T: ?Sized, N: std::borrow::Borrow<T> + ?Sized>(value: &N) -> &T {
    value.borrow()
}

/// The place of a function whose type says where it is.
#[must_use]
pub fn nowhere() -> &'static str {
    ""
}

/// A future on the heap, for a function that returns a `BoxFuture`.
pub fn boxed<F: Future>(future: F) -> Pin<Box<F>> {
    Box::pin(future)
}

/// What `codec = …` and `compress = …` may name.
pub mod codec {
    pub use crate::codec::compression::{Compression, lz4, zstd};
    pub use crate::codec::{Bincode, Custom, Format, Json, MsgPack, Postcard};
}

/// A handle to all entries of a clearable function.
#[must_use]
pub fn all(site: &'static Site, chosen: Chosen) -> Entries {
    Entries::new(site, chosen.cache)
}

/// A handle to the entry of a call.
#[must_use]
#[expect(
    clippy::needless_pass_by_value,
    reason = "a reference to what is made for it says nothing"
)]
pub fn entry<T: 'static, R>(target: Target, returns: impl Formed<T, R>) -> Entry<R> {
    Entry::new(target, returns.handled())
}

/// A handle to the entry of a call of a function that has another type stored than it returns.
#[must_use]
#[expect(
    clippy::needless_pass_by_value,
    reason = "a reference to what is made for it says nothing"
)]
pub fn entry_converting<T: 'static, R>(
    target: Target,
    returns: impl Formed<T, R>,
    save: Saver<T>,
    load: Loader<T>,
) -> Entry<R> {
    Entry::new(target, Handled { converting: Some((save, load)), ..returns.handled() })
}

/// One call: its entry is named by `target`, and `body` runs with `args` if it has to, or if `forced`.
pub fn call<K, A, C, N, F, Fut>(
    forced: bool,
    chosen: C,
    returns: K,
    args: A,
    target: N,
    body: F,
) -> Call<K, A, C, N, F, Fut>
where
    N: Fn(&A, Chosen) -> Target,
    F: Fn(A) -> Fut,
{
    Call::new(forced, chosen, returns, args, target, body)
}
