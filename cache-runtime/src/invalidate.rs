//! Invalidation of many entries at once: by their tags, or all there are.

use crate::by_hand::{Boxed, unconfirmed};
use crate::cache::{self, Cache, Inner};
use crate::error::{Error, ErrorKind};
use crate::metrics::Subject;
use crate::store::Touch;
use crate::tags::{self, Tag};
use crate::telemetry;
use crate::writing::{Invalidated, Writing, first_unconfirmed};

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

/// Invalidates as many entries and tags as there are, in requests of a thousand: for what comes from a queue, a webhook
/// or a change log.
///
/// The next thousand are taken when the last ones have been answered, so that an iterator of any length holds up neither
/// this process nor the server. Two that are the same in one thousand are sent once, and to invalidate again is
/// harmless: a message that is delivered twice may be handled twice.
///
/// ```
/// # async fn f() -> Result<(), Box<dyn std::error::Error>> {
/// use redis_cached::{ByTag, Cache, Invalidated, invalidate_many, redis_cached};
///
/// #[redis_cached(key = "user:{id}", ttl = "5m", tags = ["team:{team}"])]
/// async fn user(team: u32, id: u64) -> u64 {
///     id
/// }
///
/// enum Changed {
///     User { team: u32, id: u64 },
///     Team(u32),
/// }
///
/// let cache = Cache::builder().url("memory://").build().await?;
/// cache.scope(async {
///     user(1, 7).await;
///     user(2, 8).await;
///     let changes = [Changed::User { team: 1, id: 7 }, Changed::Team(2)];
///     invalidate_many(changes.iter().map(|change| -> Box<dyn Invalidated + Send> {
///         match change {
///             Changed::User { team, id } => Box::new(user_entry(*team, *id)),
///             Changed::Team(team) => Box::new(ByTag(format!("team:{team}"))),
///         }
///     })).await?; // and now acknowledge the messages
///     assert!(user_entry(1, 7).peek().await?.is_none());
///     assert!(user_entry(2, 8).peek().await?.is_none());
///     Ok::<(), redis_cached::Error>(())
/// }).await?;
/// # Ok(()) }
/// # tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap().block_on(f()).unwrap();
/// ```
///
/// # Errors
///
/// `is_unconfirmed`: of some of them, how many says the text, it is not known whether they were carried out. All were
/// attempted. Nothing is tried again behind the caller: repeat it, or leave the messages in their queue.
///
/// # Cancel safety
///
/// If the future is dropped, some have been invalidated; repeat it.
pub fn invalidate_many<'t, T, I>(targets: I) -> impl Future<Output = Result<(), Error>> + Send + 't
where
    T: Invalidated + 't,
    I: IntoIterator<Item = T>,
    // The iterator lives across requests, and nothing that it gives does.
    I::IntoIter: Send + 't,
{
    let targets = targets.into_iter();
    let many: Boxed<'t, _> = Box::pin(sent_in_batches(targets));
    many
}

async fn sent_in_batches<T: Invalidated>(
    mut targets: impl Iterator<Item = T> + Send,
) -> Result<(), Error> {
    let (mut unconfirmed, mut failed) = (0, None);
    loop {
        let mut batch = Writing::begin();
        let mut taken = 0;
        for target in targets.by_ref().take(BATCH) {
            batch.add(&target);
            taken += 1;
        }
        if taken == 0 {
            break;
        }
        let (left, error) = batch.sent_once().await;
        unconfirmed += left;
        failed = first_unconfirmed(failed, error);
    }
    match failed {
        None => Ok(()),
        Some(Error(ErrorKind::Unsent { source, .. })) => {
            Err(ErrorKind::Unsent { left: unconfirmed, source }.into())
        }
        Some(error) => Err(error),
    }
}

/// What one command of the server is about at most.
const BATCH: usize = 1_000;

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
        self.touch(tags, touch, Subject::Tag).await
    }

    async fn touch(&self, tags: &[Tag], touch: Touch, subject: Subject) -> Result<(), Error> {
        let deadline = self.deadline();
        let touched = self.store.touch_tags(&self.namespace, tags, touch, deadline).await;
        telemetry::touched(self, touch, subject, tags.len(), &touched);
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
                return self.touch(&[everything], Touch::Invalidate, Subject::All).await;
            }
            let cleared = self.store.clear(&self.namespace).await;
            telemetry::touched(self, Touch::Invalidate, Subject::All, 1, &cleared);
            cleared.map_err(unconfirmed)
        })
    }
}
