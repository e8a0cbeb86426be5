//! What a function says of its errors: which are stored, for how long, and how others get them.

use std::sync::Arc;
use std::time::Duration;

use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::codec::{self, DecodeError, EncodeError, Encoded, Format};
use crate::computation::{Outgoing, SharedFailure, Source};
use crate::converting::Saver;
use crate::entry::Written;
use crate::error::TimedOut;
use crate::frame::Gathered;
use crate::returns::{Form, Formed, Handled, Returned, Returns, Says};
use crate::site::{Kind, Site};

/// A return type that has an error beside the value `T`.
#[diagnostic::on_unimplemented(
    message = "`{Self}` is not a `Result`, so there is no error that something could be said of",
    label = "`cache_err_if`, `share_err`, `stale_if` and `timeout` are for functions that return a `Result`",
    note = "return a `Result`, or drop them"
)]
pub trait Fallible<T> {
    /// The error.
    type Error;
    #[doc(hidden)]
    fn error(&self) -> Option<&Self::Error>;
    #[doc(hidden)]
    fn of_error(error: Self::Error) -> Self;
}

impl<T, E> Fallible<T> for Result<T, E> {
    type Error = E;

    fn error(&self) -> Option<&E> {
        self.as_ref().err()
    }

    fn of_error(error: E) -> Self {
        Err(error)
    }
}

/// An error that can be stored.
#[diagnostic::on_unimplemented(
    message = "the error `{Self}` can't be stored in the cache",
    label = "with `cache_err_if` the error must be `Serialize + DeserializeOwned + Send + 'static`",
    note = "an error of your own needs `#[derive(serde::Serialize, serde::Deserialize)]`, a type parameter the bounds \
            `Serialize + DeserializeOwned + Send + 'static`; `anyhow::Error` and `Box<dyn Error>` can't have it, nor can \
            what holds an `io::Error`: return an `enum` of your own, of texts and numbers"
)]
pub trait StoredError: Serialize + DeserializeOwned + Send + 'static {}

// The message above says more than what is missing of serde in what is in a `Box`.
#[diagnostic::do_not_recommend]
impl<E: Serialize + DeserializeOwned + Send + 'static> StoredError for E {}

/// An error that can say that the body took too long.
#[diagnostic::on_unimplemented(
    message = "the error `{Self}` can't say that the body took too long",
    label = "with `timeout` the error must be `From<redis_cached::TimedOut>`",
    note = "implement `From<redis_cached::TimedOut>` for it, as by `#[from]` of thiserror; `anyhow::Error` and \
            `Box<dyn Error + Send + Sync>` have it"
)]
pub trait FromTimedOut {
    #[doc(hidden)]
    fn from_timed_out(why: TimedOut) -> Self;
}

#[diagnostic::do_not_recommend]
impl<E: From<TimedOut>> FromTimedOut for E {
    fn from_timed_out(why: TimedOut) -> Self {
        why.into()
    }
}

/// An error that is kept for those who waited.
#[diagnostic::on_unimplemented(
    message = "the error `{Self}` can't be shared with those who wait in other tasks",
    label = "with `share_err` the error must be `Send + Sync + 'static`",
    note = "what holds a `Cell`, an `Rc` or a `dyn Error` without `Send + Sync` is not; drop `share_err`, and those who \
            waited run the body themselves"
)]
pub trait SharableError: Send + Sync + 'static {}

#[diagnostic::do_not_recommend]
impl<E: Send + Sync + 'static> SharableError for E {}

/// [`Returns`] of a function that says something of its errors.
///
/// Functions instead of bounds, for the reason that [`Shape`](crate::returns::Shape) gives.
pub struct Erring<T, R, E, X = ()> {
    values: Returns<T, R, X>,
    error: fn(&R) -> Option<&E>,
    of_error: fn(E) -> R,
    storing: Option<Storing<E>>,
    sharing: Option<Sharing<E>>,
    stale_if: Option<fn(&E) -> bool>,
    timed_out: Option<fn(TimedOut) -> E>,
}

struct Storing<E> {
    kind: fn() -> Kind,
    encode: fn(&E) -> Result<Encoded, EncodeError>,
    decode: fn(codec::Id, &[u8]) -> Result<E, DecodeError>,
    cache_err_if: fn(&E) -> bool,
    err_ttl_with: Option<fn(&E) -> Duration>,
}

struct Sharing<E> {
    share_err: fn(&E) -> E,
    keep: fn(E) -> SharedFailure,
    kept: fn(&SharedFailure) -> Option<&E>,
}

/// To say something of the errors.
pub fn erring<T, R: Fallible<T>, X>(values: Returns<T, R, X>) -> Erring<T, R, R::Error, X> {
    Erring {
        values,
        error: R::error,
        of_error: R::of_error,
        storing: None,
        sharing: None,
        stale_if: None,
        timed_out: None,
    }
}

impl<T, R, E, X: Says<T>> Erring<T, R, E, X> {
    /// Which errors are stored, in the format of the values.
    #[must_use]
    pub fn cache_err_if<F: Format>(self, cache_err_if: fn(&E) -> bool) -> Self
    where
        E: StoredError,
    {
        let storing = Storing {
            kind: Kind::of::<E, F>,
            encode: codec::encode::<E, F>,
            decode: codec::decode::<E, F>,
            cache_err_if,
            err_ttl_with: None,
        };
        Self { storing: Some(storing), ..self }
    }

    /// How long an error may be served; of nothing, it is not stored.
    #[must_use]
    pub fn err_ttl_with(mut self, err_ttl_with: fn(&E) -> Duration) -> Self {
        if let Some(storing) = &mut self.storing {
            storing.err_ttl_with = Some(err_ttl_with);
        }
        self
    }

    /// How those who waited get an error.
    #[must_use]
    pub fn share_err(self, share_err: fn(&E) -> E) -> Self
    where
        E: SharableError,
    {
        let sharing = Sharing {
            share_err,
            keep: |error| Arc::new(error),
            kept: |failure| failure.downcast_ref(),
        };
        Self { sharing: Some(sharing), ..self }
    }

    /// In place of which errors an old value may be served.
    #[must_use]
    pub fn stale_if(self, stale_if: fn(&E) -> bool) -> Self {
        Self { stale_if: Some(stale_if), ..self }
    }

    /// What is returned when the body took too long.
    #[must_use]
    pub fn timeout(self) -> Self
    where
        E: FromTimedOut,
    {
        Self { timed_out: Some(E::from_timed_out), ..self }
    }

    fn form(&self) -> Form<T> {
        let form = self.values.form();
        match &self.storing {
            Some(storing) => form.beside(storing.kind),
            None => form,
        }
    }
}

impl<T, R, E, X: Says<T>> Formed<T, R> for Erring<T, R, E, X> {
    /// Of an entry that may be an error, if that is stored.
    fn handled(&self) -> Handled<T> {
        Handled { form: self.form(), converting: None }
    }
}

impl<E> Storing<E> {
    /// The ttl that it says of itself, if it does; an `Err` where it is not to be stored.
    fn ttl(&self, error: &E) -> Result<Option<Duration>, EncodeError> {
        if !(self.cache_err_if)(error) {
            return Err(EncodeError::IsError);
        }
        let ttl = self.err_ttl_with.map(|err_ttl_with| err_ttl_with(error));
        // Unlike a value that is not to be stored it says nothing against the old one.
        if ttl == Some(Duration::ZERO) {
            return Err(EncodeError::IsError);
        }
        Ok(ttl)
    }

    fn outgoing(&self, error: &E) -> Result<Outgoing, EncodeError> {
        let ttl = self.ttl(error)?;
        let encoded = (self.encode)(error).map_err(|why| EncodeError::OfError(Box::new(why)))?;
        Ok(Outgoing { encoded: Some(encoded), is_error: true, keep: true, ttl, window: None })
    }
}

impl<T, R, E, X: Says<T>> Returned<R> for Erring<T, R, E, X> {
    fn fingerprint(&self, site: &Site, owner: &'static str) -> u64 {
        self.form().fingerprint(site, owner)
    }

    fn decode(
        &self,
        written: Written,
        payload: &[u8],
        source: Option<&mut (dyn Source<R> + '_)>,
    ) -> Result<R, DecodeError> {
        match &self.storing {
            Some(storing) if written.is_error => {
                Ok((self.of_error)((storing.decode)(written.codec, payload)?))
            }
            _ => self.values.decode(written, payload, source),
        }
    }

    fn accepts(&self, returned: &R) -> Option<bool> {
        if (self.error)(returned).is_some() { Some(true) } else { self.values.accepts(returned) }
    }

    fn encode(&self, returned: &R, saver: Option<&Saver<R>>) -> Result<Outgoing, EncodeError> {
        match (&self.storing, (self.error)(returned)) {
            (Some(storing), Some(error)) => storing.outgoing(error),
            _ => self.values.encode(returned, saver),
        }
    }

    fn tag(&self, returned: &R, touched: &mut Gathered) {
        self.values.tag(returned, touched);
    }

    fn share_failure(&self, returned: &mut Option<R>) -> Option<SharedFailure> {
        let Some(sharing) = &self.sharing else { return self.values.share_failure(returned) };
        let error = returned.as_ref().and_then(self.error)?;
        Some((sharing.keep)((sharing.share_err)(error)))
    }

    fn adopt_failure(&self, failure: &SharedFailure) -> Option<R> {
        let Some(sharing) = &self.sharing else { return self.values.adopt_failure(failure) };
        (sharing.kept)(failure).map(|error| (self.of_error)((sharing.share_err)(error)))
    }

    fn is_failure(&self, returned: &R) -> bool {
        let Some(error) = (self.error)(returned) else { return false };
        match (self.stale_if, &self.storing) {
            (Some(stale_if), _) => stale_if(error),
            // What is stored is an answer.
            (None, Some(storing)) => storing.ttl(error).is_err(),
            (None, None) => true,
        }
    }

    fn timed_out(&self, why: TimedOut) -> Option<R> {
        self.timed_out.map(|timed_out| (self.of_error)(timed_out(why)))
    }
}

impl<T, R, E, X: Copy> Clone for Erring<T, R, E, X> {
    fn clone(&self) -> Self {
        *self
    }
}

impl<T, R, E, X: Copy> Copy for Erring<T, R, E, X> {}

impl<E> Clone for Storing<E> {
    fn clone(&self) -> Self {
        *self
    }
}

impl<E> Copy for Storing<E> {}

impl<E> Clone for Sharing<E> {
    fn clone(&self) -> Self {
        *self
    }
}

impl<E> Copy for Sharing<E> {}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::codec::{Bincode, Id};
    use crate::returns::{Coding, Shape};

    const ERROR: Written = Written { codec: Id::Bincode, is_error: true };
    const VALUE: Written = Written { is_error: false, ..ERROR };

    #[test]
    fn c6_where_no_error_is_stored_none_is_read() {
        let returns = Returns::<u8, Result<u8, u8>>::new(Shape::by_clone, Coding::plain::<Bincode>);
        let erring = erring(returns);
        let storing = erring.cache_err_if::<Bincode>(|_| true);
        for (written, expected) in [(VALUE, Ok(7)), (ERROR, Err(7))] {
            assert_eq!(storing.decode(written, &[7], None), Ok(expected));
        }
        assert!(returns.decode(ERROR, &[7], None).is_err());
        assert!(erring.decode(ERROR, &[7], None).is_err());
    }
}
