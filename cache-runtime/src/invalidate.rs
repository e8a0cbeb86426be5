//! Invalidation of many entries at once: by their tags, or all there are.

use crate::by_hand::{Boxed, unconfirmed};
use crate::cache::{self, Cache, Inner};
use crate::error::Error;
use crate::store::Touch;
use crate::tags::{self, Tag};

/// [`Cache::invalidate_tags`] of the cache that annotated functions use here.
///
/// # Errors
///
/// `is_unconfirmed`: it is not known whether all were invalidated. Repeat it.
///
/// # Cancel safety
///
/// If the future is dropped, each is invalidated or it is not; repeat it.
pub async fn invalidate_tags<T: AsRef<str>>(
    tags: impl IntoIterator<Item = T>,
) -> Result<(), Error> {
    cache::ambient().0.touched(tags, Touch::Invalidate).await
}

/// [`Cache::expire_tags`] of the cache that annotated functions use here.
///
/// # Errors
///
/// `is_unconfirmed`, as for an invalidation.
///
/// # Cancel safety
///
/// As for an invalidation.
pub async fn expire_tags<T: AsRef<str>>(tags: impl IntoIterator<Item = T>) -> Result<(), Error> {
    cache::ambient().0.touched(tags, Touch::Expire).await
}

impl Cache {
    /// Removes all entries that carry one of these tags, for good: once this has returned `Ok`, every call
    /// that starts, in any process, gets a value whose body began after the invalidation was issued.
    ///
    /// A tag is the text that the templates in `tags = [..]` give for their arguments, or that was passed to
    /// [`tag`](crate::tag). It takes as long for a million entries as for one, and works when Redis is out of
    /// memory. The entries themselves stay in Redis to the end of their `ttl`, and are served to nobody.
    ///
    /// ```
    /// # async fn f() -> Result<(), Box<dyn std::error::Error>> {
    /// use redis_cached::{Cache, redis_cached};
    ///
    /// #[redis_cached(key = "user:{id}", ttl = "5m", tags = ["team:{team}"])]
    /// async fn user(team: u32, id: u64) -> String {
    ///     format!("user {id} of team {team}")
    /// }
    ///
    /// let cache = Cache::builder().url("memory://").build().await?;
    /// cache.scope(async {
    ///     user(7, 1).await;
    ///     user(7, 2).await;
    ///     cache.invalidate_tags(["team:7"]).await?;
    ///     assert!(user_entry(7, 1).peek().await?.is_none());
    ///     assert!(user_entry(7, 2).peek().await?.is_none());
    ///     Ok::<(), redis_cached::Error>(())
    /// }).await?;
    /// # Ok(()) }
    /// # tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap().block_on(f()).unwrap();
    /// ```
    ///
    /// # Errors
    ///
    /// `is_unconfirmed`: it is not known whether all were invalidated. Repeat it.
    ///
    /// # Cancel safety
    ///
    /// If the future is dropped, each is invalidated or it is not; repeat it.
    pub async fn invalidate_tags<T: AsRef<str>>(
        &self,
        tags: impl IntoIterator<Item = T>,
    ) -> Result<(), Error> {
        self.0.touched(tags, Touch::Invalidate).await
    }

    /// Makes all entries that carry one of these tags stale at once: each is still served, and the next call
    /// refreshes it. Those of functions without `refresh_before` are gone.
    ///
    /// Where Redis is out of memory it is an [invalidation](Self::invalidate_tags).
    ///
    /// # Errors
    ///
    /// `is_unconfirmed`, as for an invalidation.
    ///
    /// # Cancel safety
    ///
    /// As for an invalidation.
    pub async fn expire_tags<T: AsRef<str>>(
        &self,
        tags: impl IntoIterator<Item = T>,
    ) -> Result<(), Error> {
        self.0.touched(tags, Touch::Expire).await
    }

    /// Removes everything that this application has cached, for good.
    ///
    /// Of a cache that was built [`clearable`](crate::Builder::clearable) it is one request, however much is
    /// stored: no entry is served any more, and what is computing at the moment is stored for nobody.
    /// Of any other it walks twice through all keys of the server (`SCAN`, a thousand at a time, and
    /// `UNLINK`), which takes as long as the server has keys; it is as final, once it has returned `Ok`. No
    /// other operation of this crate ever does that.
    ///
    /// # Errors
    ///
    /// `is_unconfirmed`: it is not known whether everything was removed. Repeat it.
    ///
    /// # Cancel safety
    ///
    /// If the future is dropped, some is removed; repeat it.
    pub async fn clear(&self) -> Result<(), Error> {
        self.0.clear().await
    }
}

impl Inner {
    fn touched<T: AsRef<str>>(
        &self,
        tags: impl IntoIterator<Item = T>,
        touch: Touch,
    ) -> Boxed<'_, Result<(), Error>> {
        let tag = |text: T| Tag::named(&self.namespace, text.as_ref());
        let tags: Vec<Tag> = tags.into_iter().map(tag).collect();
        Box::pin(async move { self.touch_tags(&tags, touch).await })
    }

    pub(crate) async fn touch_tags(&self, tags: &[Tag], touch: Touch) -> Result<(), Error> {
        let deadline = self.deadline();
        let touched = self.store.touch_tags(&self.namespace, tags, touch, deadline).await;
        if touch == Touch::Expire {
            // This process may have asked for some of their keys a moment ago, and would not ask again so soon.
            self.refreshes.forget_all();
        }
        touched.map_err(unconfirmed)
    }

    fn clear(&self) -> Boxed<'_, Result<(), Error>> {
        Box::pin(async {
            if self.settings.clearable {
                let everything = Tag::stamped(&self.namespace, tags::EVERYTHING);
                return self.touch_tags(&[everything], Touch::Invalidate).await;
            }
            self.store.clear(&self.namespace).await.map_err(unconfirmed)
        })
    }
}
