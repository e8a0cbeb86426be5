//! What a function that writes has to invalidate, whatever becomes of it.

use std::collections::HashMap;
use std::fmt;
use std::sync::{Arc, Mutex};

use tokio::runtime::Handle;
use tokio::time::timeout_at;

use crate::after_commit::{self, Invalidation, Subject};
use crate::by_hand::{self, AtHand, Boxed};
use crate::cache::{self, Cache, Inner};
use crate::entries::Entries;
use crate::error::{Error, ErrorKind, InvalidateError};
use crate::faults::{self, Fault};
use crate::handle::Entry;
use crate::key::{Key, Segment};
use crate::lease::Began;
use crate::priming;
use crate::private::Chosen;
use crate::site::Warning;
use crate::store::Commit;
use crate::sync::lock;
use crate::tags;
use crate::telemetry;
use crate::together::in_turns;

/// One run of a function that writes. Dropped before its end, it leaves what it has to invalidate to be sent behind
/// the caller: whether the change was made is not known.
pub struct Writing {
    invalidation: Invalidation,
    /// The function takes part in a transaction, whose scope gathers.
    joins: bool,
    /// Of what could not be added, the first.
    failed: Option<Error>,
    /// What takes the place of some of it, and when the body began that has written it, by cache.
    puts: HashMap<String, AtHand>,
    began: Option<(Arc<Inner>, Began)>,
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
        writing.invalidates(&cache::ambient().0, Subject::Tag(tags::name(self.0.as_ref())));
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
            Ok(Some((cache, subject))) => writing.invalidates(&cache, subject),
            // Its `cache` expression says that there is none.
            Ok(None) => {}
            Err(error) => writing.fail(error),
        }
    }
}

impl Invalidated for Entries {
    fn add_to(&self, writing: &mut Writing) {
        if let Some((cache, subject)) = self.subject() {
            writing.invalidates(&cache, subject);
        }
    }
}

impl Writing {
    /// Of a function that has made its change when it returns.
    #[must_use]
    pub fn begin() -> Self {
        Self {
            invalidation: Invalidation::empty(),
            joins: false,
            failed: None,
            puts: HashMap::new(),
            began: None,
        }
    }

    /// Of a function that puts what it has written into entries of this cache, and says or not that it commits that
    /// itself. To be asked before the body.
    #[must_use]
    pub fn putting(chosen: Chosen, commits: bool) -> Boxed<'static, Self> {
        Box::pin(async move {
            // What is not committed yet is not put, and its invalidation waits for the end of the transaction.
            if !commits && after_commit::is_gathering() {
                return Self::after_commit();
            }
            let mut writing = Self::begin();
            if let Some(Cache(cache)) = chosen.cache {
                match Began::now(&cache, cache.deadline()).await {
                    Ok(began) => writing.began = Some((cache, began)),
                    // Then it is an invalidation.
                    Err(error) => {
                        tracing::debug!(target: "redis_cached", %error, "what is written can't be put");
                    }
                }
            }
            writing
        })
    }

    /// Of a function whose caller commits.
    #[must_use]
    pub fn after_commit() -> Self {
        let mut writing = Self::begin();
        writing.joins = true;
        writing
    }

    /// One entry, or all of a function.
    pub fn add<T: Invalidated + ?Sized>(&mut self, target: &T) {
        target.add_to(self);
    }

    /// A tag by its template.
    pub fn tag(&mut self, chosen: Chosen, segments: &[Segment<'_>]) {
        let Some(Cache(cache)) = chosen.cache else { return };
        match tags::text(segments) {
            Ok(Some(text)) => self.invalidates(&cache, Subject::Tag(tags::name(&text))),
            Ok(None) => {}
            Err(fmt::Error) => self.fail(ErrorKind::NoTag.into()),
        }
    }

    /// What was to be put under this key.
    pub(crate) fn forget_put(&mut self, key: &Key) {
        self.puts.remove(key.name());
    }

    /// A value that takes the place of an invalidation, which was added before it and stays where that fails.
    pub(crate) fn put_value(&mut self, at_hand: AtHand) {
        let request = &at_hand.request;
        match &self.began {
            Some((cache, _)) if Arc::ptr_eq(cache, &request.cache) => {}
            Some(_) => {
                let why = "its entry is of another cache than the function says: name that by `cache = ..`";
                return telemetry::warn_once(request.site, Warning::Put, why);
            }
            None => return,
        }
        if request.site.tags_inside() {
            let why = "its function tags what it computes inside its body, and what is put would be without";
            return telemetry::warn_once(request.site, Warning::Put, why);
        }
        let key = request.key.name().to_owned();
        if self.puts.len() >= priming::MOST {
            let why = "of one call 1,000 are put; the others are invalidated";
            return telemetry::warn_once(request.site, Warning::Put, why);
        }
        self.puts.insert(key, at_hand);
    }

    /// Puts what there is to put. What can't be is left to be invalidated, and so is all of it if this is dropped.
    async fn put_all(&mut self) {
        let puts = std::mem::take(&mut self.puts);
        let Some((cache, began)) = self.began.take() else { return };
        // Where there is none, nothing can be waited for.
        if puts.is_empty() || Handle::try_current().is_err() {
            return;
        }
        let stored = Arc::new(Mutex::new(Vec::new()));
        let noted = Arc::clone(&stored);
        let each = move |at_hand: AtHand| -> Boxed<'static, ()> {
            let noted = Arc::clone(&noted);
            let (key, put) = (at_hand.request.key.clone(), by_hand::put(at_hand, began.clone()));
            Box::pin(async move {
                // What went wrong has been told.
                if matches!(put.await, Ok(Commit::Stored)) || faults::on(Fault::PutOnly) {
                    lock(&noted).push(key);
                }
            })
        };
        // One deadline for all. What has not come to its end by then may be stored or not, and is invalidated behind
        // that: it has no lease any more.
        let puts = in_turns(puts.into_values().collect(), priming::AT_ONCE, each);
        let _ = timeout_at(cache.deadline(), puts).await;
        for key in std::mem::take(&mut *lock(&stored)) {
            self.invalidation.forget(&cache, &Subject::Key(key));
        }
    }

    fn invalidates(&mut self, cache: &Arc<Inner>, subject: Subject) {
        self.invalidation.add(cache, subject);
    }

    /// Hands on what there is to the scope around the transaction. Where there is none it stays here, and is sent
    /// again for as long as a commit may take.
    pub fn join(&mut self) {
        if let Err(error) = self.invalidation.join() {
            self.fail(error);
        }
    }

    /// That there is a scope to [`join`](Self::join) behind the body, for what is known only there.
    pub fn joins_later(&mut self) {
        if !after_commit::is_gathering() {
            self.fail(ErrorKind::Ungathered.into());
        }
    }

    /// Sends all of it, once. What is not confirmed comes back, and is not tried again.
    pub(crate) async fn sent_once(mut self) -> (usize, Option<Error>) {
        let sent = self.invalidation.send().await;
        let left = self.invalidation.len();
        self.only_if(false);
        (left, first_unconfirmed(self.failed.take(), sent.err()))
    }

    fn fail(&mut self, error: Error) {
        self.failed.get_or_insert(error);
    }

    /// Forgets all of it, where nothing is changed.
    pub fn only_if(&mut self, changes: bool) {
        if !changes {
            std::mem::replace(&mut self.invalidation, Invalidation::empty()).discard();
            self.puts.clear();
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
    #[must_use]
    pub fn sent(self, succeeded: bool) -> Boxed<'static, Result<(), InvalidateError>> {
        Box::pin(self.send_all(succeeded))
    }

    async fn send_all(mut self, succeeded: bool) -> Result<(), InvalidateError> {
        if self.joins {
            self.join();
        }
        if succeeded {
            self.put_all().await;
        }
        let failed = self.failed.take();
        let sent = if succeeded && !self.joins {
            self.invalidation.send().await
        } else {
            // A body that has failed may have left a COMMIT on its way; dropped, it is sent again.
            self.invalidation.send_early().await
        };
        first_unconfirmed(failed, sent.err()).map_or(Ok(()), |error| Err(InvalidateError(error)))
    }

    /// Sends all of it; what went wrong is told, and tried again behind the caller.
    #[must_use]
    pub fn retried(self, succeeded: bool) -> Boxed<'static, ()> {
        Box::pin(self.send_all_and_tell(succeeded))
    }

    async fn send_all_and_tell(self, succeeded: bool) {
        if let Err(InvalidateError(error)) = self.send_all(succeeded).await {
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

impl Drop for Writing {
    /// Whoever has dropped the body may commit what it has changed.
    fn drop(&mut self) {
        if self.joins {
            // What can't be handed on is left behind.
            let _ = self.invalidation.join();
        }
    }
}

impl fmt::Debug for Writing {
    /// How many only: keys may hold secrets.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { invalidation, puts, .. } = self;
        f.debug_struct("Writing")
            .field("invalidation", invalidation)
            .field("puts", &puts.len())
            .finish_non_exhaustive()
    }
}

/// Of two errors the one that says that something is unconfirmed: to repeat it helps, and what else is wrong is wrong
/// then, too.
pub(crate) fn first_unconfirmed(one: Option<Error>, other: Option<Error>) -> Option<Error> {
    match (one, other) {
        (Some(one), Some(other)) if !one.is_unconfirmed() && other.is_unconfirmed() => Some(other),
        (one, other) => one.or(other),
    }
}

/// What a function has returned, to be asked for its value: of a `Result`, by whatever alias, the `Ok`. By autoref,
/// and with no bound on the error, which may borrow.
#[derive(Clone, Copy, Debug)]
pub struct Ended<'a, R>(pub &'a R);

impl<'a, T, E> Ended<'a, Result<T, E>> {
    /// The value.
    #[must_use]
    pub fn __redis_cached_value(self) -> Option<&'a T> {
        self.0.as_ref().ok()
    }
}

/// The other half of [`Ended`].
pub trait EndedWell<'a> {
    /// What is returned.
    type Value;
    /// The value.
    fn __redis_cached_value(&self) -> Option<&'a Self::Value>;
}

impl<'a, R> EndedWell<'a> for Ended<'a, R> {
    type Value = R;

    fn __redis_cached_value(&self) -> Option<&'a R> {
        Some(self.0)
    }
}

/// What `#[redis_put]` puts into an entry of `V`: one, or a reference to one.
#[diagnostic::on_unimplemented(
    message = "`{Self}` is not what the entry holds, which is `{V}`",
    label = "without more, what the function returns is put: of a `Result` its `Ok`, and of an `Option` what is in it",
    note = "say what is put: `load_user(ret.id) = ret.user`, or `= Some(ret.clone())`"
)]
pub trait PutInto<V> {
    #[doc(hidden)]
    fn value(&self) -> &V;
}

impl<V> PutInto<V> for V {
    fn value(&self) -> &V {
        self
    }
}

impl<V> PutInto<V> for &V {
    fn value(&self) -> &V {
        self
    }
}

/// A second one of an argument, for a target that is known behind the body.
pub fn kept_for_target<T: AskedBehind<T>>(argument: &T) -> T {
    argument.clone()
}

/// What may be asked for behind a body that has it for itself. `O` is the type itself: of a borrow of it that does not
/// hold, and so the compiler does not propose to borrow.
#[diagnostic::on_unimplemented(
    message = "`{Self}` can't be cloned for what asks for `ret`",
    label = "that is evaluated behind the body, which changes this argument, or takes it",
    note = "derive `Clone`, take a reference, or have what is asked for in a parameter of its own"
)]
pub trait AskedBehind<O>: Clone {}

impl<T: Clone> AskedBehind<T> for T {}

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
