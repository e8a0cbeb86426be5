//! The handle to all stored entries of one function, which `…_all()` returns.

use std::fmt;
use std::sync::Arc;

use crate::after_commit::{self, Subject};
use crate::by_hand::Boxed;
use crate::cache::{Cache, Inner};
use crate::error::{Error, ErrorKind};
use crate::site::Site;
use crate::store::Touch;

/// A handle to all entries that a function annotated with `clearable` has, whatever their arguments.
///
/// Creating one touches nothing. To repeat its request is safe.
///
/// ```
/// # async fn f() -> Result<(), Box<dyn std::error::Error>> {
/// use redis_cached::{Cache, redis_cached};
///
/// #[redis_cached(key = "price:{id}", ttl = "1h", clearable)]
/// async fn price(id: u64) -> u64 {
///     id * 100
/// }
///
/// let cache = Cache::builder().url("memory://").build().await?;
/// cache.scope(async {
///     price(1).await;
///     price(2).await;
///     price_all().invalidate().await?; // one request, however many prices are stored
///     assert!(price_entry(1).peek().await?.is_none());
///     assert!(price_entry(2).peek().await?.is_none());
///     Ok::<(), redis_cached::Error>(())
/// }).await?;
/// # Ok(()) }
/// # tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap().block_on(f()).unwrap();
/// ```
///
/// It speaks of the function by its path or its `name`: methods of one name in one module, and the
/// functions that share its entries with `same_entries_as`, are cleared together.
#[derive(Clone)]
pub struct Entries {
    site: &'static Site,
    cache: Option<Cache>,
}

impl Entries {
    pub(crate) fn new(site: &'static Site, cache: Option<Cache>) -> Self {
        Self { site, cache }
    }

    /// Removes all entries of the function, for good: once this has returned `Ok`, every call that
    /// starts, in any process and with whatever arguments, gets a value whose body began after the
    /// invalidation was issued.
    ///
    /// Takes as long for a million entries as for one, and works when Redis is out of memory. What is
    /// computing at the moment is stored and served to nobody; the entries themselves stay in Redis to
    /// the end of their `ttl`.
    ///
    /// Processes that run an older version of the program, in which the function was not `clearable`, have
    /// entries of their own without a tag, and keep them.
    ///
    /// # Errors
    ///
    /// `is_unconfirmed`: it is not known whether the entries were removed. Repeat it.
    ///
    /// # Cancel safety
    ///
    /// If the future is dropped, the entries are removed or they are not; repeat it.
    pub async fn invalidate(&self) -> Result<(), Error> {
        self.clear().await
    }

    /// Has all entries invalidated when the transaction around has committed: see
    /// [`Invalidation`](crate::Invalidation).
    ///
    /// ```
    /// # async fn f() -> Result<(), Box<dyn std::error::Error>> {
    /// use redis_cached::{Cache, Invalidation, redis_cached};
    ///
    /// #[redis_cached(key = "user:{id}", ttl = "5m", clearable)]
    /// async fn user(id: u64) -> u64 {
    ///     id
    /// }
    ///
    /// let cache = Cache::builder().url("memory://").build().await?;
    /// cache.scope(async {
    ///     user(7).await;
    ///     let (gathered, mut invalidation) = Invalidation::collect(async {
    ///         user_all().invalidate_after_commit() // and then COMMIT
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
        let Some((cache, subject)) = self.subject() else { return Err(ErrorKind::NoCache.into()) };
        after_commit::gather(&cache, subject)
    }

    /// Nothing where there is no cache.
    pub(crate) fn subject(&self) -> Option<(Arc<Inner>, Subject)> {
        let Cache(cache) = self.cache.as_ref()?;
        let tag = self.site.own_tag(&cache.namespace);
        Some((Arc::clone(cache), Subject::Tag(tag.name().to_owned())))
    }

    fn clear(&self) -> Boxed<'_, Result<(), Error>> {
        Box::pin(async {
            let Some(Cache(cache)) = &self.cache else { return Err(ErrorKind::NoCache.into()) };
            let tag = self.site.own_tag(&cache.namespace);
            cache.touch_tags(&[tag], Touch::Invalidate).await
        })
    }
}

impl fmt::Debug for Entries {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Entries").field("function", &self.site.function()).finish_non_exhaustive()
    }
}
