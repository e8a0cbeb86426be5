//! Where what is stored differs from what is returned: `stored`, `save` and `load`.

use crate::codec::{self, DecodeError, EncodeError, Encoded, Format};
use crate::returns::{Shape, Stored};

/// What `save` and `load` may give: the value itself, or an `Option` or `Result` of it, where they can fail.
#[diagnostic::on_unimplemented(
    message = "`{Self}` is not a `{T}`, nor an `Option` or `Result` of one",
    label = "`save` makes what `stored` names of the value, and `load` the value of that"
)]
pub trait Converted<T> {
    #[doc(hidden)]
    fn converted(self) -> Option<T>;
}

impl<T> Converted<T> for T {
    fn converted(self) -> Option<T> {
        Some(self)
    }
}

impl<T> Converted<T> for Option<T> {
    fn converted(self) -> Option<T> {
        self
    }
}

impl<T, E> Converted<T> for Result<T, E> {
    fn converted(self) -> Option<T> {
        self.ok()
    }
}

/// A borrowed argument as an owned value, for what is asked when the body has the argument.
pub fn kept_ref<T: Keepable<O> + ?Sized, O>(borrowed: &T) -> O {
    borrowed.kept()
}

/// An argument as a second value, for what is asked when the body has the argument.
pub fn kept<T: Keepable<T>>(argument: &T) -> T {
    argument.kept()
}

/// What `save`, and `load` of a handle, may mention of the arguments.
#[diagnostic::on_unimplemented(
    message = "`{Self}` can't be cloned for `save` or `load`",
    label = "`save` runs when the body has the arguments, and a handle keeps what `load` mentions: both need a clone of it",
    note = "derive `Clone`, pass an `Arc`, or let the body return what `save` needs together with the value"
)]
pub trait Keepable<O> {
    /// The owned value.
    fn kept(&self) -> O;
}

impl<T: ToOwned<Owned = O> + ?Sized, O> Keepable<O> for T {
    fn kept(&self) -> O {
        self.to_owned()
    }
}

/// Has the compiler know what a closure is given before it looks into it.
pub fn given<I, O>(input: I, to: impl FnOnce(I) -> O) -> O {
    to(input)
}

/// What `load` has made, for a call.
pub fn loaded<T, R>(_: fn() -> Shape<T, R>, loaded: impl Converted<T>) -> Option<T> {
    loaded.converted()
}

/// Writes values of one call, with what it needs of the arguments.
pub struct Saver<T>(Box<Save<T>>);

type Save<T> = dyn Fn(&T) -> Result<Encoded, EncodeError> + Send + Sync;

/// Reads values of one handle, with what it needs of the arguments.
pub struct Loader<T>(Box<Read<T>>);

type Read<T> = dyn Fn(codec::Id, &[u8]) -> Result<T, DecodeError> + Send + Sync;

/// What `save` says, for some arguments. The shape has the compiler know the value before it looks into the closure.
pub fn saver<S: Stored, F: Format, T, R, O: Converted<S>>(
    _: fn() -> Shape<T, R>,
    save: impl Fn(&T) -> O + Send + Sync + 'static,
) -> Saver<T> {
    Saver(Box::new(move |value| {
        let stored = save(value).converted().ok_or(EncodeError::NotSaved)?;
        codec::encode::<S, F>(&stored)
    }))
}

/// What `load` says, for some arguments.
pub fn loader<S: Stored, F: Format, T, R, O: Converted<T>>(
    _: fn() -> Shape<T, R>,
    load: impl Fn(S) -> O + Send + Sync + 'static,
) -> Loader<T> {
    Loader(Box::new(move |id, payload| {
        let stored = codec::decode::<S, F>(id, payload)?;
        load(stored).converted().ok_or(DecodeError::NotLoaded)
    }))
}

impl<T> Saver<T> {
    pub(crate) fn save(&self, value: &T) -> Result<Encoded, EncodeError> {
        (self.0)(value)
    }
}

impl<T: 'static> Saver<T> {
    /// Of what is returned.
    pub(crate) fn returning<R: 'static>(self, shape: fn() -> Shape<T, R>) -> Saver<R> {
        Saver(Box::new(move |returned| {
            let value = shape().value(returned).ok_or(EncodeError::IsError)?;
            self.save(value)
        }))
    }
}

impl<T> Loader<T> {
    pub(crate) fn load(&self, id: codec::Id, payload: &[u8]) -> Result<T, DecodeError> {
        (self.0)(id, payload)
    }
}
