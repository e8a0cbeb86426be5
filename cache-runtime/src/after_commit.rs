//! Invalidations that wait for a database transaction to end.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::future::Future;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::runtime::Handle;

use crate::by_hand::Boxed;
use crate::cache::{self, Cache, Inner};
use crate::error::{Error, ErrorKind};
use crate::key::Key;
use crate::store::{StoreError, Touch};
use crate::tags::{self, Tag};

/// So many are gathered by one transaction. Whoever has more means a tag, or a `clear`.
const MOST: usize = 65_536;
/// How long what was left behind a caller is repeated: its COMMIT may still be on its way, and an invalidation
/// that overtakes it is none.
const UNDER_WAY: Duration = Duration::from_secs(10);
/// How long it is tried where it fails, and the longest pause between two attempts.
const LONGEST: Duration = Duration::from_secs(300);
const LONGEST_PAUSE: Duration = Duration::from_secs(10);

tokio::task_local! {
    static GATHERING: Arc<Mutex<Gathered>>;
}

/// What was gathered, by cache.
type Gathered = Vec<(Arc<Inner>, Batch)>;

#[derive(Default)]
struct Batch {
    keys: BTreeMap<String, Key>,
    /// By their names in the store.
    tags: BTreeSet<String>,
}

/// Invalidations that were gathered while a transaction ran, to be sent when it has ended.
///
/// An invalidation inside a transaction that is still open comes too early: a computation that starts behind
/// it reads the old rows, and is newer than the invalidation. So whatever writes says
/// [`invalidate_after_commit`](crate::Entry::invalidate_after_commit), however deep, and the place where the
/// transaction is made sends it all.
///
/// - Committed: [`send`](Self::send).
/// - Rolled back: [`discard`](Self::discard).
/// - **Unknown**, because the commit has returned an error, or because the future was dropped, by a client that has
///   gone or a panic: do nothing. What is dropped is sent behind the caller, at once and again for ten seconds, in
///   pauses that double, since COMMIT may still be on its way; where that fails it is tried for five minutes, and an
///   error event tells if it could not be. An invalidation too many costs a body; one too few is a wrong answer.
///
/// ```
/// # async fn f() -> Result<(), Box<dyn std::error::Error>> {
/// use redis_cached::{Cache, Invalidation, invalidate_tags_after_commit, redis_cached};
///
/// #[redis_cached(key = "user:{id}", ttl = "5m", tags = ["users"])]
/// async fn user(id: u64) -> u64 {
///     id
/// }
///
/// // Somewhere deep, inside the transaction.
/// async fn rename(id: u64) -> Result<(), redis_cached::Error> {
///     user_entry(id).invalidate_after_commit()?;
///     invalidate_tags_after_commit(["users"])
/// }
///
/// let cache = Cache::builder().url("memory://").build().await?;
/// cache.scope(async {
///     user(7).await;
///     let (renamed, mut invalidation) = Invalidation::collect(async {
///         // let mut tx = pool.begin().await?;
///         rename(7).await
///         // tx.commit().await
///     }).await;
///     assert!(user_entry(7).peek().await?.is_some(), "not yet");
///     match renamed {
///         Ok(()) => invalidation.send().await?,
///         Err(_) => invalidation.discard(), // where it is known to be rolled back
///     }
///     assert!(user_entry(7).peek().await?.is_none());
///     Ok::<(), redis_cached::Error>(())
/// }).await?;
/// # Ok(()) }
/// # tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap().block_on(f()).unwrap();
/// ```
#[must_use = "dropped, it is sent behind the caller: `send` it, or `discard` it if nothing was committed"]
pub struct Invalidation(Arc<Mutex<Gathered>>);

impl Invalidation {
    /// Runs a future, and gathers what is invalidated after commit inside it.
    ///
    /// One inside another gathers for itself. It does not reach into tasks that the future spawns.
    ///
    /// # Cancel safety
    ///
    /// If the future is dropped, what was gathered until then is sent behind the caller: whether the
    /// transaction has committed is not known.
    pub async fn collect<F: Future>(future: F) -> (F::Output, Self) {
        let invalidation = Self(Arc::default());
        let gathered = Arc::clone(&invalidation.0);
        (GATHERING.scope(gathered, future).await, invalidation)
    }

    /// Sends all of it. What is not confirmed stays, so that this can be called again.
    ///
    /// # Errors
    ///
    /// `is_unconfirmed`: of some of it it is not known whether it was carried out. All were attempted.
    ///
    /// # Cancel safety
    ///
    /// If the future is dropped, what is not confirmed stays, and goes with the value.
    pub async fn send(&mut self) -> Result<(), Error> {
        self.sent().await
    }

    fn sent(&self) -> Boxed<'_, Result<(), Error>> {
        Box::pin(async {
            let mut failed = None;
            for cache in self.caches() {
                let batch = self.copy(&cache);
                for outcome in batch.send(&cache).await {
                    match outcome {
                        Ok(confirmed) => self.forget(&cache, &confirmed),
                        Err(error) => failed = Some(error),
                    }
                }
            }
            match failed {
                None => Ok(()),
                Some(source) => Err(ErrorKind::Unsent { left: self.len(), source }.into()),
            }
        })
    }

    /// Forgets all of it: the transaction was rolled back.
    pub fn discard(self) {
        self.locked().clear();
    }

    /// How many keys and tags it is about.
    #[must_use]
    pub fn len(&self) -> usize {
        self.locked().iter().map(|(_, batch)| batch.len()).sum()
    }

    /// Whether nothing was gathered.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    fn locked(&self) -> std::sync::MutexGuard<'_, Gathered> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn caches(&self) -> Vec<Arc<Inner>> {
        self.locked().iter().map(|(cache, _)| Arc::clone(cache)).collect()
    }

    fn copy(&self, cache: &Arc<Inner>) -> Batch {
        let gathered = self.locked();
        let found = gathered.iter().find(|(known, _)| Arc::ptr_eq(known, cache));
        found.map_or_else(Batch::default, |(_, batch)| batch.copy())
    }

    fn forget(&self, cache: &Arc<Inner>, confirmed: &Confirmed) {
        let mut gathered = self.locked();
        if let Some((_, batch)) = gathered.iter_mut().find(|(known, _)| Arc::ptr_eq(known, cache)) {
            match confirmed {
                Confirmed::Keys => batch.keys.clear(),
                Confirmed::Tags => batch.tags.clear(),
            }
        }
    }
}

impl Drop for Invalidation {
    fn drop(&mut self) {
        for (cache, batch) in std::mem::take(&mut *self.locked()) {
            if batch.len() > 0 {
                behind_the_caller(cache, batch);
            }
        }
    }
}

impl fmt::Debug for Invalidation {
    /// How many only: keys may hold secrets.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Invalidation").field("len", &self.len()).finish_non_exhaustive()
    }
}

/// Which part of a batch was carried out.
enum Confirmed {
    Keys,
    Tags,
}

impl Batch {
    fn len(&self) -> usize {
        self.keys.len() + self.tags.len()
    }

    fn copy(&self) -> Self {
        Self { keys: self.keys.clone(), tags: self.tags.clone() }
    }

    /// Keys and tags at once.
    async fn send(&self, cache: &Inner) -> [Result<Confirmed, StoreError>; 2] {
        let keys: Vec<Key> = self.keys.values().cloned().collect();
        let tag = |name: &String| Tag::stamped(&cache.namespace, name);
        let tags: Vec<Tag> = self.tags.iter().map(tag).collect();
        let deadline = cache.deadline();
        let (keys, tags) = tokio::join!(
            cache.store.invalidate_all(&keys, deadline),
            cache.store.touch_tags(&cache.namespace, &tags, Touch::Invalidate, deadline),
        );
        [keys.map(|()| Confirmed::Keys), tags.map(|()| Confirmed::Tags)]
    }
}

fn behind_the_caller(cache: Arc<Inner>, batch: Batch) {
    if Handle::try_current().is_err() {
        tracing::error!(
            target: "redis_cached", lost = batch.len(),
            "invalidations were left to be sent behind the caller where no tokio runtime is: they are lost"
        );
        return;
    }
    let work = cache.work.clone();
    work.spawn_errand(async move {
        let began = tokio::time::Instant::now();
        let mut pause = Duration::from_millis(50);
        loop {
            let failed = batch.send(&cache).await.iter().any(Result::is_err);
            if !failed && began.elapsed() >= UNDER_WAY {
                return;
            }
            if began.elapsed() >= LONGEST {
                tracing::error!(
                    target: "redis_cached", lost = batch.len(),
                    "invalidations of a transaction could not be sent for five minutes, and are given up: old \
                     values may be served to the end of their ttl"
                );
                return;
            }
            tokio::time::sleep(pause).await;
            pause = (pause * 2).min(LONGEST_PAUSE);
        }
    });
}

/// Adds to what the scope around gathers.
fn gather(cache: &Arc<Inner>, add: impl FnOnce(&mut Batch)) -> Result<(), Error> {
    let gathered = GATHERING.try_with(|gathered| {
        let mut gathered = gathered.lock().unwrap_or_else(PoisonError::into_inner);
        if gathered.iter().map(|(_, batch)| batch.len()).sum::<usize>() >= MOST {
            return Err(ErrorKind::TooManyGathered(MOST).into());
        }
        let at = gathered.iter().position(|(known, _)| Arc::ptr_eq(known, cache));
        let at = at.unwrap_or_else(|| {
            gathered.push((Arc::clone(cache), Batch::default()));
            gathered.len() - 1
        });
        add(&mut gathered[at].1);
        Ok(())
    });
    gathered.unwrap_or_else(|_| Err(ErrorKind::Ungathered.into()))
}

pub(crate) fn gather_key(cache: &Arc<Inner>, key: &Key) -> Result<(), Error> {
    gather(cache, |batch| {
        batch.keys.insert(key.name().to_owned(), key.clone());
    })
}

pub(crate) fn gather_tag(cache: &Arc<Inner>, tag: &Tag) -> Result<(), Error> {
    gather(cache, |batch| {
        batch.tags.insert(tag.name().to_owned());
    })
}

/// [`Cache::invalidate_tags_after_commit`] of the cache that annotated functions use here.
///
/// # Errors
///
/// `is_ungathered`: there is no [`Invalidation::collect`] around.
pub fn invalidate_tags_after_commit<T: AsRef<str>>(
    tags: impl IntoIterator<Item = T>,
) -> Result<(), Error> {
    cache::ambient().invalidate_tags_after_commit(tags)
}

impl Cache {
    /// Has these tags invalidated when the transaction around has committed: see [`Invalidation`].
    ///
    /// # Errors
    ///
    /// `is_ungathered`: there is no [`Invalidation::collect`] around. Also where more is gathered than 65,536
    /// keys and tags.
    pub fn invalidate_tags_after_commit<T: AsRef<str>>(
        &self,
        tags: impl IntoIterator<Item = T>,
    ) -> Result<(), Error> {
        for tag in tags {
            gather_tag(&self.0, &Tag::stamped(&self.0.namespace, &tags::name(tag.as_ref())))?;
        }
        Ok(())
    }
}
