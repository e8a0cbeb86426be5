//! The handle to one stored entry, which `…_entry(..)` returns.

use std::any::Any;
use std::borrow::Borrow;
use std::fmt;
use std::marker::PhantomData;
use std::ops::Deref;
use std::sync::Arc;
use std::time::Duration;

use crate::after_commit::{self, Subject};
use crate::body::{self, Product};
use crate::by_hand::{self, AtHand, Looked};
use crate::cache::Inner;
use crate::codec::{DecodeError, EncodeError};
use crate::error::{Error, ErrorKind};
use crate::frame::{self, Gathered};
use crate::private::Target;
use crate::request::Request;
use crate::returns::Handled;
use crate::site::Warning;
use crate::telemetry;
use crate::writing::{PutInto, Writing};

/// A handle to the entry that a cached function has, or may have, for some arguments.
///
/// Creating one touches nothing. To repeat any of its requests is safe.
///
/// ```
/// # async fn f() -> Result<(), Box<dyn std::error::Error>> {
/// use redis_cached::{Cache, State, redis_cached};
///
/// #[redis_cached(key = "square:{n}", ttl = "1m", refresh_before = "10s")]
/// async fn square(n: u64) -> u64 {
///     n * n
/// }
///
/// let cache = Cache::builder().url("memory://").build().await?;
/// cache.scope(async {
///     let entry = square_entry(7);
///     assert!(entry.peek().await?.is_none());
///     square(7).await;
///     assert!(entry.ttl().await?.is_some());
///     entry.expire().await?; // still served, and refreshed by the next call
///     assert_eq!(entry.peek().await?.map(|peek| peek.state), Some(State::Stale));
///     entry.set(49).await?;
///     entry.invalidate().await?;
///     Ok::<(), redis_cached::Error>(())
/// }).await?;
/// # Ok(()) }
/// # tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap().block_on(f()).unwrap();
/// ```
///
/// `R` is what the function returns. Of a `Result`, by whatever alias, the value of its `Ok` is what
/// the methods speak of: [`peek`](Entry::peek) of an `Entry<Result<User, E>>` gives a `User`, as that of an
/// `Entry<User>` does (which has it by [`Deref`]).
pub struct Entry<R>(EntryOf<R>);

/// The entry of a function that returns what is stored: the end of [`Entry`]'s `Deref`, which decides
/// what its value type is.
pub struct EntryOf<V> {
    target: Target,
    /// `Handled` of the value type: that of an `Ok`, where `V` is a `Result`.
    handled: Box<dyn Any + Send + Sync>,
    value: PhantomData<fn() -> V>,
}

/// Whether a stored value is due for its refresh.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum State {
    /// Not due.
    Fresh,
    /// Inside the refresh window, or expired by hand: the next call serves it and refreshes it.
    Stale,
}

/// A stored value, looked at without computing.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Peek<V> {
    /// The value.
    pub value: V,
    /// How long ago its computation began, by the server's clock; `None` while that is unknown.
    pub age: Option<Duration>,
    /// Whether it is due.
    pub state: State,
}

impl<R> Deref for Entry<R> {
    type Target = EntryOf<R>;

    fn deref(&self) -> &EntryOf<R> {
        &self.0
    }
}

impl<R> Entry<R> {
    pub(crate) fn new<T: 'static>(target: Target, handled: Handled<T>) -> Self {
        Self(EntryOf { target, handled: Box::new(handled), value: PhantomData })
    }

    /// The entry's name in the store; empty if there is none.
    ///
    /// It is a secret as far as the arguments in it are.
    #[must_use]
    pub fn key(&self) -> &str {
        self.0.target.key.as_ref().map_or("", |key| key.name())
    }

    /// Removes the entry, for good: once this has returned `Ok`, every call that starts, in any
    /// process, gets a value whose body began after the invalidation was issued.
    ///
    /// # Errors
    ///
    /// `is_unconfirmed`: it is not known whether the entry was removed. Repeat it.
    ///
    /// # Cancel safety
    ///
    /// If the future is dropped, the entry is removed or it is not; repeat it.
    pub async fn invalidate(&self) -> Result<(), Error> {
        by_hand::invalidate(self.0.request(UNTYPED)?).await
    }

    /// Has the entry invalidated when the transaction around has committed: see
    /// [`Invalidation`](crate::Invalidation).
    ///
    /// ```
    /// # async fn f() -> Result<(), Box<dyn std::error::Error>> {
    /// use redis_cached::{Cache, Invalidation, redis_cached};
    ///
    /// #[redis_cached(key = "user:{id}", ttl = "5m")]
    /// async fn user(id: u64) -> u64 {
    ///     id
    /// }
    ///
    /// let cache = Cache::builder().url("memory://").build().await?;
    /// cache.scope(async {
    ///     user(7).await;
    ///     let (gathered, mut invalidation) = Invalidation::collect(async {
    ///         user_entry(7).invalidate_after_commit() // and then COMMIT
    ///     }).await;
    ///     gathered?;
    ///     invalidation.send().await?;
    ///     assert!(user_entry(7).peek().await?.is_none());
    ///     Ok::<(), redis_cached::Error>(())
    /// }).await?;
    /// # Ok(()) }
    /// # tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap().block_on(f()).unwrap();
    /// ```
    ///
    /// # Errors
    ///
    /// `is_ungathered`: there is no [`Invalidation::collect`](crate::Invalidation::collect) around.
    pub fn invalidate_after_commit(&self) -> Result<(), Error> {
        let request = self.0.request(UNTYPED)?;
        after_commit::gather(&request.cache, Subject::Key(request.key.clone()))
    }

    /// Nothing where there is no cache.
    pub(crate) fn subject(&self) -> Result<Option<(Arc<Inner>, Subject)>, Error> {
        if self.0.target.cache.is_none() {
            return Ok(None);
        }
        let request = self.0.request(UNTYPED)?;
        Ok(Some((Arc::clone(&request.cache), Subject::Key(request.key.clone()))))
    }

    /// Makes the entry stale at once: it is still served, and the next call refreshes it.
    ///
    /// Without `refresh_before` the next call computes, and what was stored is served only should that fail, for as long
    /// as `stale_if_error` says. Without that, too, it is an [invalidation](Self::invalidate).
    ///
    /// # Errors
    ///
    /// `is_unconfirmed`, as for an invalidation.
    ///
    /// # Cancel safety
    ///
    /// As for an invalidation.
    pub async fn expire(&self) -> Result<(), Error> {
        by_hand::expire(self.0.request(UNTYPED)?).await
    }

    /// How much longer the entry is kept, be it a value or a stored error; `None` where nothing is stored.
    ///
    /// With `stale_if_error` that is so much longer than its ttl. One that was cleared with all of its function is kept to
    /// its end, and served to nobody.
    ///
    /// # Errors
    ///
    /// When the store can't be asked.
    ///
    /// # Cancel safety
    ///
    /// Dropping the future changes nothing.
    pub async fn ttl(&self) -> Result<Option<Duration>, Error> {
        by_hand::remaining(self.0.request(UNTYPED)?).await
    }
}

impl<T: Send + 'static, E> Entry<Result<T, E>> {
    /// The same handle without the error in its type: that of a function which returns the value itself.
    ///
    /// Handles of several functions go into one list this way.
    #[must_use]
    pub fn of_value(self) -> Entry<T> {
        let EntryOf { target, handled, value: PhantomData } = self.0;
        Entry(EntryOf { target, handled, value: PhantomData })
    }

    /// Looks at the stored value. Never computes, never refreshes.
    ///
    /// `None` where nothing is stored, and where it is an error, which [`ttl`](Self::ttl) tells apart.
    ///
    /// # Errors
    ///
    /// When the store can't be asked.
    ///
    /// # Cancel safety
    ///
    /// Dropping the future changes nothing.
    pub async fn peek(&self) -> Result<Option<Peek<T>>, Error> {
        self.0.peek_as().await
    }

    /// Stores a value as if the function had just computed it.
    ///
    /// Whatever is computing this entry at the moment, in whichever process, will not be stored.
    /// Read the value from its origin after the change it shows has been committed there.
    ///
    /// It counts as begun when the store has given it the lease, one round trip behind the call, or two where it has tags:
    /// whatever is invalidated from then on refuses it, and what was before has to be in it already. Where others write as well,
    /// [`redis_put`](https://docs.rs/redis-cached/latest/redis_cached/attr.redis_put.html) judges a value from before it was written.
    ///
    /// # Errors
    ///
    /// `is_superseded`: an invalidation, a forced refresh or another `set` came while this one was
    /// under way, so nothing was stored. `is_not_storable`: the value is too large or does not read
    /// back. `is_unconfirmed`: the store did not answer in time.
    ///
    /// # Cancel safety
    ///
    /// If the future is dropped, the value is stored or it is not, and no lease stays behind.
    pub async fn set(&self, value: T) -> Result<(), Error> {
        self.0.set_as(value, Gathered::for_entry(), None).await
    }

    /// As [`set`](Self::set), of a value with a version of its own: an older one never replaces a newer one, in whatever
    /// order those who set them come.
    ///
    /// The version is what the origin counts: a `version` column, a sequence, a log position. It is known for as
    /// long as the entry and two minutes more, also when the entry has been invalidated meanwhile; values that the
    /// function computes have none, and replace any. A `set` without a version is stored whatever the number.
    ///
    /// ```
    /// # async fn f() -> Result<(), Box<dyn std::error::Error>> {
    /// use redis_cached::{Cache, redis_cached};
    ///
    /// #[redis_cached(key = "user:{id}", ttl = "5m")]
    /// async fn user(id: u64) -> String {
    ///     format!("user {id}")
    /// }
    ///
    /// let cache = Cache::builder().url("memory://").build().await?;
    /// cache.scope(async {
    ///     user_entry(7).set_versioned("new".to_owned(), 12).await?;
    ///     let late = user_entry(7).set_versioned("old".to_owned(), 11).await;
    ///     assert!(late.is_err_and(|error| error.is_superseded()));
    ///     assert_eq!(user(7).await, "new");
    ///     Ok::<(), redis_cached::Error>(())
    /// }).await?;
    /// # Ok(()) }
    /// # tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap().block_on(f()).unwrap();
    /// ```
    ///
    /// # Errors
    ///
    /// As `set`; `is_superseded` also where a newer version has been set.
    ///
    /// # Cancel safety
    ///
    /// As `set`. Versions that are older may be refused from then on, whether this one is stored or not.
    pub async fn set_versioned(&self, value: T, version: u64) -> Result<(), Error> {
        self.0.set_as(value, Gathered::for_entry(), Some(version)).await
    }

    /// As [`set`](Self::set), with tags that the function's body would have added by
    /// [`tag`](crate::tag()). Those that its attribute names are there with either.
    ///
    /// # Errors
    ///
    /// As `set`; `is_not_storable` also with more than 32 tags.
    ///
    /// # Cancel safety
    ///
    /// As `set`.
    pub async fn set_with_tags<S: AsRef<str>>(
        &self,
        value: T,
        tags: impl IntoIterator<Item = S>,
    ) -> Result<(), Error> {
        let tags = Gathered::of_texts(tags);
        self.0.set_as(value, tags, None).await
    }
}

impl<T: 'static, E> Entry<Result<T, E>> {
    /// Gives the entry a value that the body of another cached function has read: a list with the users in it, of which
    /// each has an entry of its own.
    ///
    /// To be called inside a body, however deep, and in tasks that it spawns inside a [`TagScope`](crate::TagScope). It is
    /// stored when that body has ended in a value, and the call that has run it waits for that as long as for one
    /// operation on the store. The value is as old as that body: it ends one ttl after that has begun, takes no newer
    /// one's place, and **never brings back what was invalidated since**; it is then not stored, nor while somebody
    /// computes the entry. It has the tags of its own function, and those that the body has got by
    /// [`tag`](crate::tag()) and by the cached functions it calls.
    ///
    /// Prime what the body has read from its origin itself: once it has been served a stored value that is older than
    /// itself, by a cached function or a `peek`, nothing more is kept of it, since that may be from before an invalidation.
    ///
    /// A hint, and so without an outcome: it is not stored either where the body runs without a lease (its own call
    /// bypasses the cache, stores nothing, or found Redis away), fails, or is answered from the store; nor the
    /// first time where a function has run four times without. Outside of any body it does nothing. Of one body 1,000
    /// values are kept, and together 16 MiB. What is not kept although it could be is warned about once for each function.
    ///
    /// ```
    /// # async fn f() -> Result<(), Box<dyn std::error::Error>> {
    /// use redis_cached::{Cache, redis_cached};
    ///
    /// # async fn rows() -> Result<Vec<(u64, String)>, std::io::Error> { Ok(vec![(7, "Ada".to_owned())]) }
    /// #[redis_cached(key = "user:{id}", ttl = "5m")]
    /// async fn user(id: u64) -> Result<String, std::io::Error> {
    ///     panic!("no query for user {id}")
    /// }
    ///
    /// #[redis_cached(key = "users", ttl = "1m")]
    /// async fn users() -> Result<Vec<(u64, String)>, std::io::Error> {
    ///     let users = rows().await?;
    ///     for (id, name) in &users {
    ///         user_entry(*id).prime(name);
    ///     }
    ///     Ok(users)
    /// }
    ///
    /// let cache = Cache::builder().url("memory://").build().await?;
    /// cache.scope(async {
    ///     users().await?;
    ///     assert_eq!(user(7).await?, "Ada"); // a hit
    ///     Ok::<(), std::io::Error>(())
    /// }).await?;
    /// # Ok(()) }
    /// # tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap().block_on(f()).unwrap();
    /// ```
    pub fn prime(&self, value: impl Borrow<T>) {
        self.0.prime_as(value.borrow());
    }

    /// For generated code.
    #[doc(hidden)]
    pub fn __redis_cached_put_by(&self, writing: &mut Writing, value: &impl PutInto<T>) {
        self.0.put_as(writing, value.value());
    }
}

impl<V: 'static> EntryOf<V> {
    /// Gives the entry a value that the body of another cached function has read: see [`Entry::prime`].
    pub fn prime(&self, value: impl Borrow<V>) {
        self.prime_as(value.borrow());
    }

    /// For generated code.
    #[doc(hidden)]
    pub fn __redis_cached_put_by(&self, writing: &mut Writing, value: &impl PutInto<V>) {
        self.put_as(writing, value.value());
    }
}

impl<V: Send + 'static> EntryOf<V> {
    /// Looks at the stored value. Never computes, never refreshes.
    ///
    /// # Errors
    ///
    /// When the store can't be asked.
    ///
    /// # Cancel safety
    ///
    /// Dropping the future changes nothing.
    pub async fn peek(&self) -> Result<Option<Peek<V>>, Error> {
        self.peek_as().await
    }

    /// Stores a value as if the function had just computed it.
    ///
    /// Whatever is computing this entry at the moment, in whichever process, will not be stored.
    /// Read the value from its origin after the change it shows has been committed there.
    ///
    /// It counts as begun when the store has given it the lease, one round trip behind the call, or two where it has tags:
    /// whatever is invalidated from then on refuses it, and what was before has to be in it already. Where others write as well,
    /// [`redis_put`](https://docs.rs/redis-cached/latest/redis_cached/attr.redis_put.html) judges a value from before it was written.
    ///
    /// # Errors
    ///
    /// `is_superseded`: an invalidation, a forced refresh or another `set` came while this one was
    /// under way, so nothing was stored. `is_not_storable`: the value is too large or does not read
    /// back. `is_unconfirmed`: the store did not answer in time.
    ///
    /// # Cancel safety
    ///
    /// If the future is dropped, the value is stored or it is not, and no lease stays behind.
    pub async fn set(&self, value: V) -> Result<(), Error> {
        self.set_as(value, Gathered::for_entry(), None).await
    }

    /// As [`set`](Self::set), of a value with a version of its own: an older one never replaces a newer one, in whatever
    /// order those who set them come.
    ///
    /// The version is what the origin counts: a `version` column, a sequence, a log position. It is known for as
    /// long as the entry and two minutes more, also when the entry has been invalidated meanwhile; values that the
    /// function computes have none, and replace any. A `set` without a version is stored whatever the number.
    ///
    /// # Errors
    ///
    /// As `set`; `is_superseded` also where a newer version has been set.
    ///
    /// # Cancel safety
    ///
    /// As `set`. Versions that are older may be refused from then on, whether this one is stored or not.
    pub async fn set_versioned(&self, value: V, version: u64) -> Result<(), Error> {
        self.set_as(value, Gathered::for_entry(), Some(version)).await
    }

    /// As [`set`](Self::set), with tags that the function's body would have added by
    /// [`tag`](crate::tag()). Those that its attribute names are there with either.
    ///
    /// # Errors
    ///
    /// As `set`; `is_not_storable` also with more than 32 tags.
    ///
    /// # Cancel safety
    ///
    /// As `set`.
    pub async fn set_with_tags<S: AsRef<str>>(
        &self,
        value: V,
        tags: impl IntoIterator<Item = S>,
    ) -> Result<(), Error> {
        let tags = Gathered::of_texts(tags);
        self.set_as(value, tags, None).await
    }
}

/// The fingerprint of a request that reads and writes no value.
const UNTYPED: u64 = 0;

impl<R> EntryOf<R> {
    async fn peek_as<V: Send + 'static>(&self) -> Result<Option<Peek<V>>, Error> {
        let looked = by_hand::look(self.request_of::<V>()?).await?;
        let Handled { form, converting } = self.handled()?;
        Ok(looked.and_then(|Looked { written, payload, state, age }| {
            let load = |id, payload: &[u8]| match converting {
                Some((_, loader)) => loader.load(id, payload),
                None => Err(DecodeError::NotLoaded),
            };
            let value = form.decode(written.codec, &payload, load).ok()?;
            form.accepts(&value).then_some(Peek { value, age, state })
        }))
    }

    async fn set_as<V: Send + 'static>(
        &self,
        value: V,
        tags: Gathered,
        version: Option<u64>,
    ) -> Result<(), Error> {
        let at_hand = self.at_hand(&value, tags)?;
        // The value is needed no more, and need not be `Sync`.
        drop(value);
        by_hand::store(at_hand, version).await
    }

    fn prime_as<V: 'static>(&self, value: &V) {
        let cache = self.target.cache.as_ref().map(|cache| &cache.0);
        frame::prime(cache, self.target.site, || {
            let entry = || self.request_of::<V>().ok().map(|request| request.flight_key());
            self.wanted(value).ok_or_else(entry)
        });
    }

    fn put_as<V: 'static>(&self, writing: &mut Writing, value: &V) {
        let Some(key) = &self.target.key else { return };
        // Of one key the last one counts, also where that is not to be stored.
        writing.forget_put(key);
        if self.target.cache.is_some()
            && let Some(at_hand) = self.wanted(value)
        {
            writing.put_value(at_hand);
        }
    }

    /// Nothing where it is not to be stored, or can't be, which is told of.
    fn wanted<V: 'static>(&self, value: &V) -> Option<AtHand> {
        match self.at_hand(value, Gathered::for_entry()) {
            Ok(at_hand) => at_hand.product.is_wanted().then_some(at_hand),
            Err(error) => {
                let site = self.target.site;
                telemetry::warn_once(site, Warning::NotStorable, &error.to_string());
                None
            }
        }
    }

    fn at_hand<V: 'static>(&self, value: &V, mut tags: Gathered) -> Result<AtHand, Error> {
        let request = self.request_of::<V>()?;
        let product = self.product(&request, value)?;
        self.handled()?.form.tag(value, &mut tags);
        Ok(AtHand { request, product, tags })
    }

    fn product<V: 'static>(&self, request: &Request, value: &V) -> Result<Product, Error> {
        let Handled { form, converting } = self.handled()?;
        let save = || match converting {
            Some((saver, _)) => saver.save(value),
            None => Err(EncodeError::NotSaved),
        };
        body::product(request, form.outgoing(value, save))
            .map_err(|error| Error(ErrorKind::NotStorable(error.to_string())))
    }

    fn request_of<V: 'static>(&self) -> Result<Request, Error> {
        let form = &self.handled::<V>()?.form;
        self.request(form.fingerprint(self.target.site, self.target.owner))
    }

    fn handled<V: 'static>(&self) -> Result<&Handled<V>, Error> {
        // Code that is generic over `R` takes a `Result` for the value itself.
        self.handled.downcast_ref().ok_or_else(|| {
            let why = "the handle is of a function that returns a `Result`: make it one of its value by `of_value`";
            ErrorKind::NotStorable(why.to_owned()).into()
        })
    }

    fn request(&self, fingerprint: u64) -> Result<Request, Error> {
        if self.target.cache.is_none() {
            return Err(ErrorKind::NoCache.into());
        }
        self.target.request(fingerprint).ok_or_else(|| ErrorKind::NoKey.into())
    }
}

impl<R> fmt::Debug for Entry<R> {
    /// The function only: the key may hold a secret.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Entry")
            .field("function", &self.0.target.site.function())
            .finish_non_exhaustive()
    }
}
