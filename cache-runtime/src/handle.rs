//! The handle to one stored entry, which `…_entry(..)` returns.

use std::fmt;
use std::marker::PhantomData;
use std::time::Duration;

use crate::body;
use crate::codec;
use crate::computation::Stored;
use crate::entry::{self, Found};
use crate::error::{Error, ErrorKind};
use crate::freshness::{self, Freshness};
use crate::lease;
use crate::lookup::Request;
use crate::private::Target;
use crate::store::{Commit, StoreError};

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
pub struct Entry<V> {
    target: Target,
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

impl<V> Entry<V> {
    pub(crate) fn new(target: Target) -> Self {
        Self { target, value: PhantomData }
    }
}

impl<V: Stored> Entry<V> {
    /// The entry's name in the store; empty if there is none.
    ///
    /// It is a secret as far as the arguments in it are.
    #[must_use]
    pub fn key(&self) -> &str {
        self.target.key.as_ref().map_or("", |key| key.name())
    }

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
        let request = self.request()?;
        let deadline = request.cache.deadline();
        let stored = request.cache.store.get(&request.key, deadline).await.map_err(unavailable)?;
        if stored.is_empty() {
            return Ok(None);
        }
        let Found::Usable(found) = entry::find(&stored, request.fingerprint, request.key.digest())
        else {
            return Ok(None);
        };
        let Ok(value) = codec::decode(found.codec, found.payload) else { return Ok(None) };
        let now = request.cache.store.latest_now(&request.key);
        let refreshes = request.site.policy.refresh_before.is_some();
        let state = match freshness::judge(&found.life, now, refreshes) {
            Freshness::Fresh => State::Fresh,
            Freshness::Stale => State::Stale,
            Freshness::Expired => return Ok(None),
        };
        let age = now.map(|now| Duration::from_millis(now.saturating_sub(found.life.born_at)));
        Ok(Some(Peek { value, age, state }))
    }

    /// Stores a value as if the function had just computed it.
    ///
    /// Whatever is computing this entry at the moment, in whichever process, will not be stored.
    /// Read the value from its origin after the change it shows has been committed there.
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
        let request = self.request()?;
        let product = body::product(&request, codec::encode(&value))
            .map_err(|error| Error(ErrorKind::NotStorable(error.to_string())))?;
        let lock_ttl = request.site.policy.lock_ttl;
        let deadline = request.cache.deadline();
        let lease = lease::seize(&request.cache, &request.key, lock_ttl, deadline)
            .await
            .map_err(unconfirmed)?;
        match body::commit(&request, lease, &product).await {
            Ok(Commit::Stored) => Ok(()),
            Ok(Commit::Refused | Commit::Late) => Err(ErrorKind::Superseded.into()),
            Err(error) => Err(unconfirmed(error)),
        }
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
        let request = self.request()?;
        let deadline = request.cache.deadline();
        request.cache.store.invalidate(&request.key, deadline).await.map_err(unconfirmed)
    }

    /// Makes the entry stale at once: it is still served, and the next call refreshes it.
    ///
    /// For a function without `refresh_before` it is an [invalidation](Self::invalidate).
    ///
    /// # Errors
    ///
    /// `is_unconfirmed`, as for an invalidation.
    ///
    /// # Cancel safety
    ///
    /// As for an invalidation.
    pub async fn expire(&self) -> Result<(), Error> {
        let request = self.request()?;
        if request.site.policy.refresh_before.is_none() {
            return self.invalidate().await;
        }
        let deadline = request.cache.deadline();
        request.cache.store.expire(&request.key, deadline).await.map_err(unconfirmed)?;
        // This process may have asked for the key a moment ago, and would not ask again so soon.
        request.cache.refreshes.forget(&request.flight_key());
        Ok(())
    }

    /// How much longer the entry is kept; `None` where nothing is stored.
    ///
    /// # Errors
    ///
    /// When the store can't be asked.
    ///
    /// # Cancel safety
    ///
    /// Dropping the future changes nothing.
    pub async fn ttl(&self) -> Result<Option<Duration>, Error> {
        let request = self.request()?;
        let deadline = request.cache.deadline();
        request.cache.store.remaining(&request.key, deadline).await.map_err(unavailable)
    }

    fn request(&self) -> Result<Request, Error> {
        if self.target.cache.is_none() {
            return Err(ErrorKind::NoCache.into());
        }
        let fingerprint = self.target.site.fingerprint::<V>(self.target.owner);
        self.target.request(fingerprint).ok_or_else(|| ErrorKind::NoKey.into())
    }
}

fn unavailable(error: StoreError) -> Error {
    ErrorKind::Unavailable(error).into()
}

fn unconfirmed(error: StoreError) -> Error {
    ErrorKind::Unconfirmed(error).into()
}

impl<V> fmt::Debug for Entry<V> {
    /// The function only: the key may hold a secret.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Entry")
            .field("function", &self.target.site.function())
            .finish_non_exhaustive()
    }
}
