//! What the runtime has to know of a return type: its value, its error, and how either reaches others.

use std::any::type_name;
use std::convert::Infallible;
use std::error::Error as StdError;
use std::sync::Arc;
use std::time::Duration;

use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::codec::{self, DecodeError, EncodeError, Encoded, Format};
use crate::computation::{Outgoing, SharedFailure};
use crate::error::{AsDynError, SharedError};
use crate::frame::Gathered;
use crate::key::Segment;
use crate::site::Site;
use crate::tags;

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
    pub(crate) split: fn(R) -> Result<T, E>,
    pub(crate) join: fn(Result<T, E>) -> R,
    pub(crate) share: fn(E) -> (E, Option<SharedFailure>),
    pub(crate) adopt: fn(&SharedFailure) -> Option<E>,
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
            Err(_) => self.0.torn = true,
        }
    }

    /// Any number of tags.
    pub fn extend<T: AsRef<str>>(&mut self, texts: impl IntoIterator<Item = T>) {
        for text in texts {
            self.0.add(&tags::name(text.as_ref()));
        }
    }
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
        Self {
            coding: Coding::new::<F>,
            cache_if: None,
            accept_if: None,
            ttl_with: None,
            tags: None,
        }
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

    /// Adds the tags that a value tells of.
    pub(crate) fn tag(&self, value: &T, touched: &mut Gathered) {
        if let Some(tags) = self.tags {
            tags(value, &mut Tagging(touched));
        }
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

    /// Which tags a value tells of.
    #[must_use]
    pub fn tags(mut self, tags: fn(&T, &mut Tagging<'_>)) -> Self {
        self.form.tags = Some(tags);
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
