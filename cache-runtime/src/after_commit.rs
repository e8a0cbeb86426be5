//! Invalidations that wait for a database transaction to end.

use std::collections::HashSet;
use std::fmt;
use std::future::Future;
use std::sync::{Arc, Mutex, MutexGuard};

use crate::by_hand::Boxed;
use crate::cache::{self, Cache, Inner};
use crate::error::{Error, ErrorKind};
use crate::key::Key;
use crate::left_behind;
use crate::metrics::Subject as Counted;
use crate::store::{StoreError, Touch};
use crate::sync::lock;
use crate::tags::{self, Tag};
use crate::telemetry;
use crate::together::together;

/// So many go out in one request, each with a deadline of its own. All are attempted.
const AT_ONCE: usize = 1_000;
/// So many are gathered by one transaction. Whoever has more means a tag, or a `clear`.
const MOST: usize = 65_536;

tokio::task_local! {
    static GATHERING: Arc<Mutex<Gathered>>;
}

/// What was gathered, by cache.
type Gathered = Vec<(Arc<Inner>, Batch)>;

/// What an invalidation is about.
#[derive(Clone, PartialEq, Eq, Hash)]
pub(crate) enum Subject {
    Key(Key),
    /// By its name in the store.
    Tag(String),
}

/// What is sent to one cache together.
#[derive(Clone, Default)]
pub(crate) struct Batch(HashSet<Subject>);

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
///   pauses that double to half a second, since COMMIT may still be on its way; where that fails it is tried for five
///   minutes, and an error event tells if it could not be. [`Cache::shutdown`] sends it for the last time. An invalidation too many
///   costs a body; one too few is a wrong answer.
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

    /// Sends all of it, at once. What is not confirmed stays, so that this can be called again.
    ///
    /// ```
    /// # use redis_cached::{Error, Invalidation};
    /// /// The new rows are there. Who drops the invalidation instead has it sent again behind the caller.
    /// async fn committed(mut invalidation: Invalidation) -> Result<(), Error> {
    ///     match invalidation.send().await {
    ///         Err(error) if error.is_unconfirmed() => invalidation.send().await,
    ///         sent => sent,
    ///     }
    /// }
    /// # let committed = async { committed(Invalidation::collect(async {}).await.1).await };
    /// # tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap().block_on(committed).unwrap();
    /// ```
    ///
    /// # Errors
    ///
    /// `is_unconfirmed`: of some of it it is not known whether it was carried out; the text says of how many. All
    /// were attempted.
    ///
    /// # Cancel safety
    ///
    /// If the future is dropped, what is not confirmed stays, and goes with the value.
    pub async fn send(&mut self) -> Result<(), Error> {
        self.sent().await
    }

    fn sent(&self) -> Boxed<'_, Result<(), Error>> {
        let batches = self.locked().clone();
        let send = |(cache, batch)| -> Boxed<'_, _> { Box::pin(self.send_to(cache, batch)) };
        // All at once: a cache whose server does not answer holds up no other.
        let all = together(batches.into_iter().map(send).collect());
        Box::pin(async {
            match all.await.into_iter().find_map(Result::err) {
                None => Ok(()),
                Some(source) => Err(ErrorKind::Unsent { left: self.len(), source }.into()),
            }
        })
    }

    async fn send_to(&self, cache: Arc<Inner>, batch: Batch) -> Result<(), StoreError> {
        let outcome = batch.send(&cache).await;
        for (_, batch) in self.locked().iter_mut().filter(|(known, _)| Arc::ptr_eq(known, &cache)) {
            batch.0.retain(|subject| !outcome.confirms(subject));
        }
        outcome.keys.and(outcome.tags)
    }

    /// One of nothing yet.
    pub(crate) fn empty() -> Self {
        Self(Arc::default())
    }

    /// As many as come: whoever writes has them in memory already.
    pub(crate) fn add(&self, cache: &Arc<Inner>, subject: Subject) {
        batch_of(&mut self.locked(), cache).0.insert(subject);
    }

    /// Of what has been seen to in another way.
    pub(crate) fn forget(&self, cache: &Arc<Inner>, subject: &Subject) {
        for (_, batch) in self.locked().iter_mut().filter(|(known, _)| Arc::ptr_eq(known, cache)) {
            batch.0.remove(subject);
        }
    }

    /// Hands all of it on to the one that gathers around this task.
    pub(crate) fn join(&self) -> Result<(), Error> {
        let mut own = self.locked();
        for (cache, batch) in &mut *own {
            let mut refused = Ok(());
            batch.0.retain(|subject| {
                let gathered = gather(cache, subject.clone());
                let kept = gathered.is_err();
                refused = std::mem::replace(&mut refused, Ok(())).and(gathered);
                kept
            });
            refused?;
        }
        Ok(())
    }

    /// Sends all of it, and keeps all of it: its transaction may commit behind this.
    pub(crate) async fn send_early(&self) -> Result<(), Error> {
        let copy = Self(Arc::new(Mutex::new(self.locked().clone())));
        let sent = copy.sent().await;
        copy.discard();
        sent
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

    fn locked(&self) -> MutexGuard<'_, Gathered> {
        lock(&self.0)
    }
}

impl Drop for Invalidation {
    fn drop(&mut self) {
        for (cache, batch) in std::mem::take(&mut *self.locked()) {
            left_behind::leave(&cache, batch);
        }
    }
}

impl fmt::Debug for Invalidation {
    /// How many only: keys may hold secrets.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Invalidation").field("len", &self.len()).finish_non_exhaustive()
    }
}

/// What has become of a batch.
pub(crate) struct Outcome {
    keys: Result<(), StoreError>,
    tags: Result<(), StoreError>,
}

impl Outcome {
    #[cfg(test)]
    pub(crate) fn confirmed() -> Self {
        Self { keys: Ok(()), tags: Ok(()) }
    }

    #[cfg(test)]
    pub(crate) fn unconfirmed() -> Self {
        let failed = || Err(StoreError::Server("it is away".to_owned()));
        Self { keys: failed(), tags: failed() }
    }

    pub(crate) fn confirms(&self, subject: &Subject) -> bool {
        match subject {
            Subject::Key(_) => self.keys.is_ok(),
            Subject::Tag(_) => self.tags.is_ok(),
        }
    }

    pub(crate) fn is_confirmed(&self) -> bool {
        self.keys.is_ok() && self.tags.is_ok()
    }
}

impl Batch {
    pub(crate) fn len(&self) -> usize {
        self.0.len()
    }

    /// Keys and tags at once.
    pub(crate) async fn send(&self, cache: &Inner) -> Outcome {
        let (mut keys, mut tags) = (Vec::new(), Vec::new());
        for subject in &self.0 {
            match subject {
                Subject::Key(key) => keys.push(key.clone()),
                Subject::Tag(name) => tags.push(Tag::stamped(&cache.namespace, name)),
            }
        }
        let (store, namespace) = (&cache.store, &cache.namespace);
        let told = |counted, count, sent: Result<(), StoreError>| {
            telemetry::touched(cache, Touch::Invalidate, counted, count, &sent);
            sent
        };
        let keys = in_chunks(&keys, |keys| {
            Box::pin(async move {
                let sent = store.invalidate(namespace, keys, cache.deadline()).await;
                told(Counted::Key, keys.len(), sent)
            })
        });
        let tags = in_chunks(&tags, |tags| {
            Box::pin(async move {
                let deadline = cache.deadline();
                let sent = store.touch_tags(namespace, tags, Touch::Invalidate, deadline).await;
                told(Counted::Tag, tags.len(), sent)
            })
        });
        let (keys, tags) = tokio::join!(keys, tags);
        Outcome { keys, tags }
    }
}

/// One behind the other, each with a deadline of its own; where one fails, all the others at once, with one more.
async fn in_chunks<'c, T>(
    all: &'c [T],
    send: impl Fn(&'c [T]) -> Boxed<'c, Result<(), StoreError>>,
) -> Result<(), StoreError> {
    let mut chunks = all.chunks(AT_ONCE);
    while let Some(chunk) = chunks.next() {
        if let Err(error) = send(chunk).await {
            // What has become of them changes nothing: all of it is sent again.
            drop(together(chunks.map(send).collect()).await);
            return Err(error);
        }
    }
    Ok(())
}

impl FromIterator<Subject> for Batch {
    fn from_iter<I: IntoIterator<Item = Subject>>(subjects: I) -> Self {
        Self(subjects.into_iter().collect())
    }
}

impl IntoIterator for Batch {
    type Item = Subject;
    type IntoIter = std::collections::hash_set::IntoIter<Subject>;

    fn into_iter(self) -> Self::IntoIter {
        self.0.into_iter()
    }
}

/// Whether there is a scope around that gathers.
pub(crate) fn is_gathering() -> bool {
    GATHERING.try_with(|_| ()).is_ok()
}

/// Adds to what the scope around gathers.
pub(crate) fn gather(cache: &Arc<Inner>, subject: Subject) -> Result<(), Error> {
    let gathered = GATHERING.try_with(|gathered| add(&mut lock(gathered), cache, subject));
    gathered.unwrap_or_else(|_| Err(ErrorKind::Ungathered.into()))
}

fn add(gathered: &mut Gathered, cache: &Arc<Inner>, subject: Subject) -> Result<(), Error> {
    let all: usize = gathered.iter().map(|(_, batch)| batch.len()).sum();
    let Batch(batch) = batch_of(gathered, cache);
    // What is there already needs no place.
    if all >= MOST && !batch.contains(&subject) {
        return Err(ErrorKind::TooManyGathered(MOST).into());
    }
    batch.insert(subject);
    Ok(())
}

fn batch_of<'g>(gathered: &'g mut Gathered, cache: &Arc<Inner>) -> &'g mut Batch {
    let at = gathered.iter().position(|(known, _)| Arc::ptr_eq(known, cache));
    let at = at.unwrap_or_else(|| {
        gathered.push((Arc::clone(cache), Batch::default()));
        gathered.len() - 1
    });
    &mut gathered[at].1
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
    /// ```
    /// # async fn f() -> Result<(), Box<dyn std::error::Error>> {
    /// use redis_cached::{Cache, Invalidation, redis_cached};
    ///
    /// #[redis_cached(key = "user:{id}", ttl = "5m", tags = ["users"])]
    /// async fn user(id: u64) -> u64 {
    ///     id
    /// }
    ///
    /// let cache = Cache::builder().url("memory://").build().await?;
    /// cache.scope(async {
    ///     user(7).await;
    ///     let (gathered, mut invalidation) = Invalidation::collect(async {
    ///         cache.invalidate_tags_after_commit(["users"]) // and then COMMIT
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
    /// `is_ungathered`: there is no [`Invalidation::collect`] around. Also where more is gathered than 65,536
    /// keys and tags.
    pub fn invalidate_tags_after_commit<T: AsRef<str>>(
        &self,
        tags: impl IntoIterator<Item = T>,
    ) -> Result<(), Error> {
        for tag in tags {
            gather(&self.0, Subject::Tag(tags::name(tag.as_ref())))?;
        }
        Ok(())
    }
}
