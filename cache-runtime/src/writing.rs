//! What a function that writes has to invalidate, whatever becomes of it.

use std::fmt;
use std::sync::Arc;

use crate::after_commit::{Invalidation, Subject};
use crate::cache::{self, Cache, Inner};
use crate::entries::Entries;
use crate::error::{Error, ErrorKind, InvalidateError};
use crate::handle::Entry;
use crate::key::Segment;
use crate::private::Chosen;
use crate::tags;

/// One run of a function that writes. Dropped before its end, it leaves what it has to invalidate to be sent behind
/// the caller: whether the change was made is not known.
#[derive(Debug)]
pub struct Writing {
    invalidation: Invalidation,
    /// The function takes part in a transaction, whose scope gathers.
    joins: bool,
    /// Of what could not be added, the first.
    failed: Option<Error>,
}

/// What can be invalidated: a handle to an [`Entry`], to all [`Entries`] of a function, and [`ByTag`] what carries a
/// tag. References and boxes of these too, so that one list may hold handles of several functions.
#[diagnostic::on_unimplemented(
    message = "`{Self}` is nothing that can be invalidated",
    label = "a handle to entries of a function that is annotated with `#[redis_cached]`, or `ByTag(..)`"
)]
pub trait Invalidated {
    #[doc(hidden)]
    fn add_to(&self, writing: &mut Writing);
}

/// All entries that carry a tag, for [`invalidate_many`](crate::invalidate_many).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct ByTag<S>(pub S);

impl<S: AsRef<str>> Invalidated for ByTag<S> {
    fn add_to(&self, writing: &mut Writing) {
        writing.put(&cache::ambient().0, Subject::Tag(tags::name(self.0.as_ref())));
    }
}

impl<T: Invalidated + ?Sized> Invalidated for &T {
    fn add_to(&self, writing: &mut Writing) {
        (**self).add_to(writing);
    }
}

impl<T: Invalidated + ?Sized> Invalidated for Box<T> {
    fn add_to(&self, writing: &mut Writing) {
        (**self).add_to(writing);
    }
}

impl<R> Invalidated for Entry<R> {
    fn add_to(&self, writing: &mut Writing) {
        match self.subject() {
            Ok(Some((cache, subject))) => writing.put(&cache, subject),
            // Its `cache` expression says that there is none.
            Ok(None) => {}
            Err(error) => writing.fail(error),
        }
    }
}

impl Invalidated for Entries {
    fn add_to(&self, writing: &mut Writing) {
        if let Some((cache, subject)) = self.subject() {
            writing.put(&cache, subject);
        }
    }
}

impl Writing {
    /// Of a function that has made its change when it returns.
    #[must_use]
    pub fn begin() -> Self {
        Self { invalidation: Invalidation::empty(), joins: false, failed: None }
    }

    /// Of a function whose caller commits.
    #[must_use]
    pub fn after_commit() -> Self {
        Self { joins: true, ..Self::begin() }
    }

    /// One entry, or all of a function.
    pub fn add<T: Invalidated + ?Sized>(&mut self, target: &T) {
        target.add_to(self);
    }

    /// A tag by its template.
    pub fn tag(&mut self, chosen: Chosen, segments: &[Segment<'_>]) {
        let Some(Cache(cache)) = chosen.0 else { return };
        match tags::text(segments) {
            Ok(Some(text)) => self.put(&cache, Subject::Tag(tags::name(&text))),
            Ok(None) => {}
            Err(fmt::Error) => self.fail(ErrorKind::NoTag.into()),
        }
    }

    fn put(&mut self, cache: &Arc<Inner>, subject: Subject) {
        if let Err(error) = self.invalidation.add(cache, subject) {
            self.fail(error);
        }
    }

    /// Hands on what there is to the scope around the transaction. Where there is none it stays here, and is sent
    /// again for as long as a commit may take.
    pub fn join(&mut self) {
        if let Err(error) = self.invalidation.join() {
            self.fail(error);
        }
    }

    /// Sends all of it, once. What is not confirmed comes back, and is not tried again.
    pub(crate) async fn sent_once(mut self) -> (usize, Option<Error>) {
        let sent = self.invalidation.send().await;
        let left = self.invalidation.len();
        self.only_if(false);
        (left, self.failed.take().or(sent.err()))
    }

    fn fail(&mut self, error: Error) {
        self.failed.get_or_insert(error);
    }

    /// Forgets all of it, where nothing is changed.
    pub fn only_if(&mut self, changes: bool) {
        if !changes {
            std::mem::replace(&mut self.invalidation, Invalidation::empty()).discard();
        }
    }

    /// What was wrong until now, before the body runs.
    ///
    /// # Errors
    ///
    /// When a target could not be added.
    pub fn refused(&mut self) -> Result<(), InvalidateError> {
        match self.failed.take() {
            None => Ok(()),
            Some(error) => {
                // Nothing has changed yet.
                self.only_if(false);
                Err(InvalidateError(error))
            }
        }
    }

    /// Sends all of it. What is not confirmed is tried again behind the caller.
    ///
    /// # Errors
    ///
    /// When not all of it is confirmed.
    pub async fn sent(mut self, succeeded: bool) -> Result<(), InvalidateError> {
        if self.joins {
            self.join();
        }
        let failed = self.failed.take();
        let sent = if succeeded && !self.joins {
            self.invalidation.send().await
        } else {
            // A body that has failed may have left a COMMIT on its way; dropped, it is sent again.
            self.invalidation.send_early().await
        };
        failed.map_or(sent, Err).map_err(InvalidateError)
    }

    /// Sends all of it; what went wrong is told, and tried again behind the caller.
    pub async fn retried(self, succeeded: bool) {
        if let Err(InvalidateError(error)) = self.sent(succeeded).await {
            if error.is_unconfirmed() {
                tracing::warn!(
                    target: "redis_cached", %error,
                    "a function has written, and it is not known whether all was invalidated that it changes; it is \
                     tried again behind the caller"
                );
            } else {
                tracing::error!(
                    target: "redis_cached", %error,
                    "a function has written, and not all was invalidated that it changes: old values may be served to \
                     the end of their ttl"
                );
            }
        }
    }
}

/// What a function has returned, to be asked for its value: of a `Result`, by whatever alias, the `Ok`. By autoref,
/// and with no bound on the error, which may borrow.
#[derive(Clone, Copy, Debug)]
pub struct Ended<'a, R>(pub &'a R);

impl<'a, T, E> Ended<'a, Result<T, E>> {
    /// The value.
    #[must_use]
    pub fn value(self) -> Option<&'a T> {
        self.0.as_ref().ok()
    }
}

/// The other half of [`Ended`].
pub trait EndedWell<'a> {
    /// What is returned.
    type Value;
    /// The value.
    fn value(&self) -> Option<&'a Self::Value>;
}

impl<'a, R> EndedWell<'a> for Ended<'a, R> {
    type Value = R;

    fn value(&self) -> Option<&'a R> {
        Some(self.0)
    }
}

/// What `on_failure = "error"` needs of a function's error.
#[diagnostic::on_unimplemented(
    message = "`{Self}` can't be made of an `InvalidateError`",
    label = "with `on_failure = \"error\"` the function returns an error where the cache can't be told",
    note = "implement `From<redis_cached::InvalidateError>` for `{Self}`, or write `on_failure = \"retry\"`: then the \
            function returns what it has done, and the invalidation is tried again behind it"
)]
pub trait FromInvalidateError {
    #[doc(hidden)]
    fn of(error: InvalidateError) -> Self;
}

impl<E: From<InvalidateError>> FromInvalidateError for E {
    fn of(error: InvalidateError) -> Self {
        error.into()
    }
}

/// What can be an error: a `Result`, by whatever alias.
#[diagnostic::on_unimplemented(
    message = "`{Self}` can't be an error",
    label = "with `on_failure = \"error\"` the function returns an error where the cache can't be told",
    note = "return a `Result`, or write `on_failure = \"retry\"`: then the function returns what it has done, and the \
            invalidation is tried again behind it"
)]
pub trait CanFail {
    /// Its error.
    type Error;
    #[doc(hidden)]
    #[must_use]
    fn or(self, error: impl FnOnce() -> Self::Error) -> Self;
    #[doc(hidden)]
    fn of(error: Self::Error) -> Self;
}

impl<T, E> CanFail for Result<T, E> {
    type Error = E;

    fn or(self, error: impl FnOnce() -> E) -> Self {
        self.and_then(|_| Err(error()))
    }

    fn of(error: E) -> Self {
        Err(error)
    }
}

/// A function's result where the cache could not be told. Its own error comes first.
#[must_use]
pub fn unreported<R>(returned: R, error: InvalidateError) -> R
where
    R: CanFail,
    R::Error: FromInvalidateError,
{
    returned.or(|| R::Error::of(error))
}

/// The result of a function that does not run.
#[must_use]
pub fn unwritten<R>(error: InvalidateError) -> R
where
    R: CanFail,
    R::Error: FromInvalidateError,
{
    R::of(R::Error::of(error))
}
