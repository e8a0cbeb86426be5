//! What the runtime has to know of a return type: its value, its error, and how either reaches others.

use std::any::type_name;
use std::error::Error as StdError;
use std::sync::Arc;
use std::time::Duration;

use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::codec::{self, DecodeError, EncodeError, Encoded, Format};
use crate::computation::{self, Outgoing, SharedFailure, Source};
use crate::converting::{Loader, Saver};
use crate::entry::Written;
use crate::error::{AsDynError, SharedError, TimedOut};
use crate::frame::{Gathered, Spoiled};
use crate::in_arc::{Held, InArc};
use crate::key::Segment;
use crate::site::{Kind, Site};
use crate::tags;

/// A value that can be stored.
#[diagnostic::on_unimplemented(
    message = "`{Self}` can't be stored in the cache",
    label = "what is stored must be `Serialize + DeserializeOwned + Send + 'static`",
    note = "a type of your own needs `#[derive(serde::Serialize, serde::Deserialize)]`"
)]
pub trait Stored: Serialize + DeserializeOwned + Send + 'static {}

impl<T: Serialize + DeserializeOwned + Send + 'static> Stored for T {}

/// Where a return type `R` has its value, which is stored, and how its error, which is not, reaches those
/// who waited.
///
/// Functions, not a trait on the types: a bound on an error would have to hold again, with its lifetimes
/// erased, wherever a caller's future must be `Send`, and for `Box<dyn Error>` it then does not.
pub struct Shape<T, R> {
    value: fn(&R) -> Option<&T>,
    of_value: fn(T) -> R,
    share: fn(&mut Option<R>) -> Option<SharedFailure>,
    adopt: fn(&SharedFailure) -> Option<R>,
}

impl<T, R> Shape<T, R> {
    pub(crate) fn value<'r>(&self, returned: &'r R) -> Option<&'r T> {
        (self.value)(returned)
    }

    pub(crate) fn of_value(&self, value: T) -> R {
        (self.of_value)(value)
    }
}

#[expect(clippy::mismatching_type_param_order, reason = "the value is what is returned")]
impl<T> Shape<T, T> {
    /// Every value is stored: the function can't fail.
    pub(crate) fn plain() -> Self {
        Self {
            value: |returned| Some(returned),
            of_value: |value| value,
            share: |_| None,
            adopt: |_| None,
        }
    }
}

impl<T, E> Shape<T, Result<T, E>> {
    /// Whoever waited runs the body.
    pub(crate) fn apart() -> Self {
        Self {
            value: |returned| returned.as_ref().ok(),
            of_value: Ok,
            share: |_| None,
            adopt: |_| None,
        }
    }

    /// All have an equal error.
    pub(crate) fn by_clone() -> Self
    where
        E: Clone + Send + Sync + 'static,
    {
        Self { share: share_clone::<T, E>, adopt: adopt_clone::<T, E>, ..Self::apart() }
    }

    /// All hold the same original.
    pub(crate) fn by_erasure() -> Self
    where
        E: From<SharedError> + AsRef<dyn StdError + Send + Sync> + Send + Sync + 'static,
    {
        if !is_erased::<E>() {
            return Self::apart();
        }
        Self { share: share_erased::<T, E>, adopt: adopt_erased::<T, E>, ..Self::apart() }
    }
}

// Not closures, of which every codegen unit would have a copy.

#[inline(never)]
fn share_clone<T, E>(returned: &mut Option<Result<T, E>>) -> Option<SharedFailure>
where
    E: Clone + Send + Sync + 'static,
{
    match returned {
        Some(Err(error)) => Some(Arc::new(error.clone())),
        _ => None,
    }
}

#[inline(never)]
fn adopt_clone<T, E: Clone + 'static>(failure: &SharedFailure) -> Option<Result<T, E>> {
    failure.downcast_ref::<E>().cloned().map(Err)
}

#[inline(never)]
fn share_erased<T, E>(returned: &mut Option<Result<T, E>>) -> Option<SharedFailure>
where
    E: From<SharedError> + AsRef<dyn StdError + Send + Sync> + Send + Sync + 'static,
{
    match returned.take() {
        Some(Err(error)) => {
            let original: Arc<dyn AsDynError> = Arc::new(Erased(error));
            *returned = Some(Err(E::from(SharedError(Arc::clone(&original)))));
            Some(Arc::new(original))
        }
        other => {
            *returned = other;
            None
        }
    }
}

#[inline(never)]
fn adopt_erased<T, E: From<SharedError>>(failure: &SharedFailure) -> Option<Result<T, E>> {
    let original = failure.downcast_ref::<Arc<dyn AsDynError>>()?;
    Some(Err(E::from(SharedError(Arc::clone(original)))))
}

/// How a value is stored, and what its function asks of it, as functions: what needs the bound on the
/// type is where the type is written, and a mistake is reported there and nowhere else.
pub(crate) struct Form<T> {
    coding: fn() -> Coding<T>,
    /// Of what is stored beside values.
    errors: Option<fn() -> Kind>,
    said: Said<T>,
}

/// What a function says of its values.
pub struct Said<T> {
    cache_if: Option<fn(&T) -> bool>,
    accept_if: Option<fn(&T) -> bool>,
    accepts_by_arguments: bool,
    /// Where what is stored does not say it.
    is_none: Option<fn(&T) -> bool>,
    ttl_with: Option<fn(&T) -> Duration>,
    window_with: Option<fn(&T) -> Duration>,
    tags: Option<fn(&T, &mut Tagging<'_>)>,
}

/// Where a value's tags are put.
pub struct Tagging<'g>(&'g mut Gathered);

impl Tagging<'_> {
    /// A tag by its template.
    pub fn add(&mut self, segments: &[Segment<'_>]) {
        match tags::text(segments) {
            Ok(Some(text)) => self.0.add(&tags::name(&text)),
            Ok(None) => {}
            // Without one of its tags it could not be invalidated.
            Err(_) => self.0.spoil(Spoiled::Unwritten),
        }
    }

    /// Any number of tags.
    pub fn extend<T: AsRef<str>>(&mut self, texts: impl IntoIterator<Item = T>) {
        for text in texts {
            self.0.add(&tags::name(text.as_ref()));
        }
    }
}

impl<T> Said<T> {
    const NOTHING: Self = Self {
        cache_if: None,
        accept_if: None,
        accepts_by_arguments: false,
        is_none: None,
        ttl_with: None,
        window_with: None,
        tags: None,
    };
}

/// [`Said`], or `()`, which takes no room in a call.
pub trait Says<T>: Copy + Send + Sync {
    #[doc(hidden)]
    fn said(self) -> Said<T>;
}

impl<T> Says<T> for () {
    fn said(self) -> Said<T> {
        Said::NOTHING
    }
}

impl<T> Says<T> for Said<T> {
    fn said(self) -> Self {
        self
    }
}

/// How a value is written and read, and as what.
pub struct Coding<T> {
    code: Code<T>,
    kind: Kind,
}

enum Code<T> {
    OfValue {
        encode: fn(&T) -> Result<Encoded, EncodeError>,
        decode: fn(codec::Id, &[u8]) -> Result<T, DecodeError>,
    },
    /// By what `save` and `load` say, which may ask for the arguments.
    ByArguments,
}

impl<T> Coding<T> {
    /// As it is.
    pub(crate) fn plain<F: Format>() -> Self
    where
        T: Stored,
    {
        let code = Code::OfValue { encode: codec::encode::<T, F>, decode: codec::decode::<T, F> };
        Self { code, kind: Kind::of::<T, F>() }
    }

    /// As another type.
    pub(crate) fn converted<S: Stored, F: Format>() -> Self
    where
        T: 'static,
    {
        Self { code: Code::ByArguments, kind: Kind::of::<S, F>().made_into::<T>() }
    }
}

impl<T: InArc + ?Sized> Coding<Arc<T>> {
    /// As what is in the `Arc`.
    pub(crate) fn in_arc<F: Format>() -> Self {
        let code = Code::OfValue {
            encode: |value| codec::encode::<Held<T>, F>(&Held(Arc::clone(value))),
            decode: |id, payload| Ok(codec::decode::<Held<T>, F>(id, payload)?.0),
        };
        Self { code, kind: Kind::of::<T::Owned, F>() }
    }
}

impl<T: InArc + ?Sized> Coding<Option<Arc<T>>> {
    /// As what is in the `Arc`, if there is one.
    pub(crate) fn in_optional_arc<F: Format>() -> Self {
        let code = Code::OfValue {
            encode: |value: &Option<Arc<T>>| {
                codec::encode::<Option<Held<T>>, F>(&value.clone().map(Held))
            },
            decode: |id, payload| {
                let held = codec::decode::<Option<Held<T>>, F>(id, payload)?;
                Ok(held.map(|held| held.0))
            },
        };
        Self { code, kind: Kind::of::<Option<T::Owned>, F>() }
    }
}

impl<T> Form<T> {
    pub(crate) fn fingerprint(&self, site: &Site, owner: &'static str) -> u64 {
        let errors = self.errors.map(|errors| errors());
        site.fingerprint(&(self.coding)().kind, errors.as_ref(), owner)
    }

    pub(crate) fn decode(
        &self,
        codec: codec::Id,
        payload: &[u8],
        load: impl FnOnce(codec::Id, &[u8]) -> Result<T, DecodeError>,
    ) -> Result<T, DecodeError> {
        match (self.coding)().code {
            Code::OfValue { decode, .. } => decode(codec, payload),
            Code::ByArguments => load(codec, payload),
        }
    }

    pub(crate) fn outgoing(
        &self,
        value: &T,
        save: impl FnOnce() -> Result<Encoded, EncodeError>,
    ) -> Result<Outgoing, EncodeError> {
        let ttl = self.said.ttl_with.map(|ttl_with| ttl_with(value));
        let window = self.said.window_with.map(|window_with| window_with(value));
        let keep = self.said.cache_if.is_none_or(|cache_if| cache_if(value))
            && ttl != Some(Duration::ZERO);
        let encoded = match (self.coding)().code {
            Code::OfValue { encode, .. } => encode(value),
            Code::ByArguments => save(),
        };
        let encoded = match (encoded, self.said.is_none) {
            (Ok(encoded), Some(is_none)) => Some(Encoded { none: is_none(value), ..encoded }),
            (Ok(encoded), None) => Some(encoded),
            // It is not to be stored anyway; that it drives out the old value does not ask whether it could be.
            (Err(_), _) if !keep => None,
            (Err(why), _) => return Err(why),
        };
        Ok(Outgoing { encoded, is_error: false, keep, ttl, window })
    }

    /// Has errors stored, too.
    pub(crate) fn beside(self, errors: fn() -> Kind) -> Self {
        Self { errors: Some(errors), ..self }
    }

    /// Adds the tags that a value tells of.
    pub(crate) fn tag(&self, value: &T, touched: &mut Gathered) {
        if let Some(tags) = self.said.tags {
            tags(value, &mut Tagging(touched));
        }
    }

    pub(crate) fn accepts(&self, value: &T) -> bool {
        self.said.accept_if.is_none_or(|accept_if| accept_if(value))
    }
}

/// All that the runtime has to know of a return type, and of what the function says of its values.
pub struct Returns<T, R, X = ()> {
    /// Made where they are needed: each call would build all of them.
    shape: fn() -> Shape<T, R>,
    coding: fn() -> Coding<T>,
    said: X,
}

impl<T, R> Returns<T, R> {
    pub(crate) fn new(shape: fn() -> Shape<T, R>, coding: fn() -> Coding<T>) -> Self {
        Self { shape, coding, said: () }
    }
}

impl<T, R, X: Copy> Clone for Returns<T, R, X> {
    fn clone(&self) -> Self {
        *self
    }
}

impl<T, R, X: Copy> Copy for Returns<T, R, X> {}

/// [`Returns`] or [`Erring`](crate::erring::Erring), without the type of the value.
pub(crate) trait Returned<R>: Send + Sync {
    fn fingerprint(&self, site: &Site, owner: &'static str) -> u64;
    /// The source is for what is stored as another type.
    fn decode(
        &self,
        written: Written,
        payload: &[u8],
        source: Option<&mut (dyn Source<R> + '_)>,
    ) -> Result<R, DecodeError>;
    /// What the function's `accept_if` says; `None` where it asks for the arguments.
    fn accepts(&self, returned: &R) -> Option<bool>;
    /// `saver` is for what is stored as another type.
    fn encode(&self, returned: &R, saver: Option<&Saver<R>>) -> Result<Outgoing, EncodeError>;
    /// Adds the tags that a value tells of.
    fn tag(&self, returned: &R, touched: &mut Gathered);
    /// Makes an error one that others can have too, if its type allows it.
    fn share_failure(&self, returned: &mut Option<R>) -> Option<SharedFailure>;
    fn adopt_failure(&self, failure: &SharedFailure) -> Option<R>;
    /// Whether it is an error in place of which an old value may be served.
    fn is_failure(&self, returned: &R) -> bool;
    /// What is returned when the body took too long, where its function says how long it may.
    fn timed_out(&self, why: TimedOut) -> Option<R>;
}

impl<T, R, X: Says<T>> Returned<R> for Returns<T, R, X> {
    fn fingerprint(&self, site: &Site, owner: &'static str) -> u64 {
        self.form().fingerprint(site, owner)
    }

    fn decode(
        &self,
        written: Written,
        payload: &[u8],
        source: Option<&mut (dyn Source<R> + '_)>,
    ) -> Result<R, DecodeError> {
        if written.is_error {
            return Err(DecodeError::Malformed);
        }
        match (self.coding)().code {
            Code::OfValue { decode, .. } => {
                Ok((self.shape)().of_value(decode(written.codec, payload)?))
            }
            Code::ByArguments => computation::load(source, written.codec, payload),
        }
    }

    fn accepts(&self, returned: &R) -> Option<bool> {
        let Some(value) = (self.shape)().value(returned) else { return Some(false) };
        let form = self.form();
        (!form.said.accepts_by_arguments).then(|| form.accepts(value))
    }

    fn encode(&self, returned: &R, saver: Option<&Saver<R>>) -> Result<Outgoing, EncodeError> {
        let value = (self.shape)().value(returned).ok_or(EncodeError::IsError)?;
        self.form().outgoing(value, || saver.ok_or(EncodeError::NotSaved)?.save(returned))
    }

    fn tag(&self, returned: &R, touched: &mut Gathered) {
        if let Some(value) = (self.shape)().value(returned) {
            self.form().tag(value, touched);
        }
    }

    fn share_failure(&self, returned: &mut Option<R>) -> Option<SharedFailure> {
        ((self.shape)().share)(returned)
    }

    fn adopt_failure(&self, failure: &SharedFailure) -> Option<R> {
        ((self.shape)().adopt)(failure)
    }

    fn is_failure(&self, returned: &R) -> bool {
        (self.shape)().value(returned).is_none()
    }

    fn timed_out(&self, _: TimedOut) -> Option<R> {
        None
    }
}

impl<T> Clone for Form<T> {
    fn clone(&self) -> Self {
        *self
    }
}

impl<T> Copy for Form<T> {}

impl<T> Clone for Said<T> {
    fn clone(&self) -> Self {
        *self
    }
}

impl<T> Copy for Said<T> {}

/// [`Returns`] or [`Erring`](crate::erring::Erring), as a handle asks for them.
pub trait Formed<T, R> {
    #[doc(hidden)]
    fn handled(&self) -> Handled<T>;
}

/// What a handle has to know of the values of its entry.
pub struct Handled<T> {
    pub(crate) form: Form<T>,
    pub(crate) converting: Option<(Saver<T>, Loader<T>)>,
}

impl<T, R, X: Says<T>> Formed<T, R> for Returns<T, R, X> {
    fn handled(&self) -> Handled<T> {
        Handled { form: self.form(), converting: None }
    }
}

impl<T, R, X: Says<T>> Returns<T, R, X> {
    pub(crate) fn form(&self) -> Form<T> {
        Form { coding: self.coding, errors: None, said: self.said.said() }
    }

    fn saying(self, say: impl FnOnce(&mut Said<T>)) -> Returns<T, R, Said<T>> {
        let Self { shape, coding, said } = self;
        let mut said = said.said();
        say(&mut said);
        Returns { shape, coding, said }
    }

    /// Which values may be stored.
    #[must_use]
    pub fn cache_if(self, cache_if: fn(&T) -> bool) -> Returns<T, R, Said<T>> {
        self.saying(|said| said.cache_if = Some(cache_if))
    }

    /// Which stored values may be served.
    #[must_use]
    pub fn accept_if(self, accept_if: fn(&T) -> bool) -> Returns<T, R, Said<T>> {
        self.saying(|said| said.accept_if = Some(accept_if))
    }

    /// That each call says by its arguments which stored values it takes.
    #[must_use]
    pub fn accept_by_arguments(self) -> Returns<T, R, Said<T>> {
        self.saying(|said| said.accepts_by_arguments = true)
    }

    /// How long a value may be served.
    #[must_use]
    pub fn ttl_with(self, ttl_with: fn(&T) -> Duration) -> Returns<T, R, Said<T>> {
        self.saying(|said| said.ttl_with = Some(ttl_with))
    }

    /// How long before its end a value is stale; of nothing, never.
    #[must_use]
    pub fn window_with(self, window_with: fn(&T) -> Duration) -> Returns<T, R, Said<T>> {
        self.saying(|said| said.window_with = Some(window_with))
    }

    /// Which tags a value tells of.
    #[must_use]
    pub fn tags(self, tags: fn(&T, &mut Tagging<'_>)) -> Returns<T, R, Said<T>> {
        self.saying(|said| said.tags = Some(tags))
    }

    /// Says that the value can be a `None`, which is asked of the value and not of what is stored.
    #[must_use]
    pub fn with_none_of_value(self) -> Returns<T, R, Said<T>>
    where
        T: Optional,
    {
        self.saying(|said| said.is_none = Some(T::is_none))
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
pub trait Optional {
    #[doc(hidden)]
    fn is_none(&self) -> bool;
}

impl<T> Optional for Option<T> {
    fn is_none(&self) -> bool {
        self.is_none()
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
