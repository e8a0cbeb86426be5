//! The handle that everything goes through, the global one, and the one of a scope.

use std::fmt;
use std::future::Future;
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use tokio::time::Instant;

use crate::by_hand::Boxed;
use crate::config::{Builder, MEMORY_CAPACITY, Settings};
use crate::error::{BuildError, BuildErrorKind, Error, ErrorKind, ShutdownError};
use crate::flight::Flights;
use crate::functions::{Function, Functions};
use crate::lease::Lease;
use crate::left_behind::{self, LeftBehind};
use crate::metrics::OfCache;
use crate::near::Near;
use crate::refresh::Refreshes;
use crate::request::{FlightKey, Landed};
use crate::seen::Remembered;
use crate::store::Store;
use crate::store::memory::Memory;
use crate::work::Work;

/// Where values are stored and how their computations are shared. Cheap to clone.
///
/// ```no_run
/// # async fn f() -> Result<(), Box<dyn std::error::Error>> {
/// use std::time::Duration;
/// use redis_cached::Cache;
///
/// let cache = Cache::builder().url("redis://127.0.0.1/").namespace("shop").build().await?;
/// redis_cached::init(cache.clone())?;
/// cache.ping().await?; // an error where the server is not there
/// // … serve …
/// cache.shutdown(Duration::from_secs(5)).await?;
/// # Ok(()) }
/// ```
#[derive(Clone)]
pub struct Cache(pub(crate) Arc<Inner>);

pub(crate) struct Inner {
    pub(crate) store: Store,
    pub(crate) namespace: String,
    pub(crate) settings: Settings,
    pub(crate) functions: Functions,
    pub(crate) flights: Flights<FlightKey, Lease, Landed>,
    pub(crate) refreshes: Refreshes,
    pub(crate) remembered: Remembered,
    pub(crate) near: Near,
    pub(crate) work: Work,
    pub(crate) left: LeftBehind,
    pub(crate) metrics: OfCache,
    /// Bodies that run on their own because nothing can be shared, at once.
    pub(crate) alone: tokio::sync::Semaphore,
}

/// Callers that can share neither a value nor an error run their bodies this many at a time.
const MOST_ALONE: usize = 32;

static GLOBAL: OnceLock<Cache> = OnceLock::new();
static EMBEDDED: OnceLock<Cache> = OnceLock::new();

tokio::task_local! {
    static SCOPED: Cache;
}

/// Installs the cache that every annotated function of this process uses.
///
/// # Errors
///
/// When one is installed already.
///
/// ```
/// # async fn f() -> Result<(), redis_cached::BuildError> {
/// let cache = redis_cached::Cache::builder().url("memory://").build().await?;
/// redis_cached::init(cache)?;
/// # Ok(()) }
/// # tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap().block_on(f()).unwrap();
/// ```
pub fn init(cache: Cache) -> Result<(), BuildError> {
    GLOBAL.set(cache).map_err(|_| BuildErrorKind::AlreadyInstalled.into())
}

/// The cache of the scope around this task, else the installed one, else an embedded one.
pub(crate) fn ambient() -> Cache {
    SCOPED.try_with(Cache::clone).unwrap_or_else(|_| {
        if let Some(cache) = GLOBAL.get() {
            return cache.clone();
        }
        EMBEDDED
            .get_or_init(|| {
                tracing::warn!(
                    target: "redis_cached", "no cache is installed: values are kept in this process only; \
                     call `redis_cached::init` at the start of the program"
                );
                let store = Store::Memory(Arc::new(Memory::new(MEMORY_CAPACITY)));
                Cache::new(store, "cache".to_owned(), Settings::default())
            })
            .clone()
    })
}

/// The scope around this task, for background work that is to use the same.
pub(crate) fn scope_of_task() -> Option<Cache> {
    SCOPED.try_with(Cache::clone).ok()
}

impl Cache {
    /// Starts to configure a cache.
    pub fn builder() -> Builder {
        Builder::default()
    }

    pub(crate) fn new(store: Store, namespace: String, settings: Settings) -> Self {
        Self(Arc::new(Inner {
            store,
            namespace,
            functions: Functions::new(),
            flights: Flights::default(),
            refreshes: Refreshes::new(settings.refreshes),
            remembered: Remembered::default(),
            near: Near::new(settings.near_capacity, settings.near_bound),
            work: Work::default(),
            left: LeftBehind::default(),
            metrics: OfCache::new(),
            alone: tokio::sync::Semaphore::new(MOST_ALONE),
            settings,
        }))
    }

    /// Runs a future whose annotated functions use this cache, and not the installed one.
    ///
    /// It holds for the future itself and for background refreshes that it causes, not for tasks it
    /// spawns. Tests that run side by side keep apart this way:
    ///
    /// ```
    /// # async fn f() -> Result<(), redis_cached::BuildError> {
    /// # use redis_cached::Cache;
    /// let cache = Cache::builder().url("memory://").build().await?;
    /// cache.scope(async { /* calls of cached functions */ }).await;
    /// # Ok(()) }
    /// # tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap().block_on(f()).unwrap();
    /// ```
    pub fn scope<F: Future>(&self, future: F) -> impl Future<Output = F::Output> + use<F> {
        SCOPED.scope(self.clone(), future)
    }

    /// The annotated functions that have been called with this cache, or had an entry handle made,
    /// sorted by path: the cache map of the program.
    ///
    /// What has not run yet is not in it: a list made at link time needs sections that `unsafe`
    /// code declares, in every crate that annotates a function.
    ///
    /// ```
    /// # async fn f() -> Result<(), redis_cached::BuildError> {
    /// # use redis_cached::{Cache, redis_cached};
    /// #[redis_cached(key = "user:{id}", ttl = "5m")]
    /// async fn load_user(id: u64) -> String {
    ///     format!("user {id}")
    /// }
    ///
    /// let cache = Cache::builder().url("memory://").build().await?;
    /// cache.scope(load_user(1)).await;
    /// let functions = cache.functions();
    /// assert!(functions[0].path().ends_with("::load_user"));
    /// assert_eq!(functions[0].template(), "user:{id}");
    /// assert!(functions[0].to_string().contains("ttl 300s"));
    /// # Ok(()) }
    /// # tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap().block_on(f()).unwrap();
    /// ```
    #[must_use]
    pub fn functions(&self) -> Vec<Function> {
        self.0.functions.list()
    }

    /// Asks the server whether it answers; of a cluster every master.
    ///
    /// # Errors
    ///
    /// When it does not, within the deadline of one operation. An embedded store always answers.
    ///
    /// # Cancel safety
    ///
    /// Dropping the future changes nothing.
    pub async fn ping(&self) -> Result<(), Error> {
        self.0.ping().await
    }

    /// How many invalidations were left behind their callers in this process, and are not confirmed by the server yet.
    ///
    /// By `on_failure = "retry"` where the server could not be told, and by an [`Invalidation`](crate::Invalidation) that
    /// was dropped. Normally 0; each that stays stands for old values that may be served. To be shown as a gauge, and
    /// watched. Those that nobody could send in time are told by an error event, and counted no more.
    ///
    /// ```
    /// # async fn f() -> Result<(), Box<dyn std::error::Error>> {
    /// let cache = redis_cached::Cache::builder().url("memory://").build().await?;
    /// assert_eq!(cache.unconfirmed_invalidations(), 0);
    /// # Ok(()) }
    /// # tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap().block_on(f()).unwrap();
    /// ```
    #[must_use]
    pub fn unconfirmed_invalidations(&self) -> usize {
        left_behind::unconfirmed(&self.0)
    }

    /// Lets background work end, and starts no more of it.
    ///
    /// Refreshes and commits under way have `limit` to end; what has not is dropped, and its leases
    /// are given back. Invalidations that were left behind a caller (see
    /// [`Invalidation`](crate::Invalidation)) wait as long for their COMMIT, and are then sent for the last
    /// time. Both takes at most two more deadlines. Calls of cached functions still work afterwards; only,
    /// nothing is refreshed any more.
    ///
    /// # Errors
    ///
    /// When something had to be dropped, or an invalidation that was left behind could not be sent.
    ///
    /// # Cancel safety
    ///
    /// If the future is dropped, background work goes on; no new refresh starts.
    pub async fn shutdown(&self, limit: Duration) -> Result<(), ShutdownError> {
        shut_down(&self.0, limit).await
    }
}

impl Inner {
    fn ping(&self) -> Boxed<'_, Result<(), Error>> {
        Box::pin(async {
            let pinged = self.store.ping(self.deadline()).await;
            pinged.map_err(|error| ErrorKind::Unavailable(error).into())
        })
    }

    /// The end of an operation that begins now.
    pub(crate) fn deadline(&self) -> Instant {
        Instant::now() + self.settings.deadline
    }
}

fn shut_down(cache: &Arc<Inner>, limit: Duration) -> Boxed<'_, Result<(), ShutdownError>> {
    cache.refreshes.close();
    Box::pin(async move {
        left_behind::attend(cache);
        let operation = cache.settings.deadline + cache.settings.confirm;
        let unfinished = cache.work.drain(limit, operation).await;
        let unconfirmed = left_behind::unconfirmed(cache);
        if unfinished + unconfirmed == 0 {
            Ok(())
        } else {
            Err(ShutdownError { unfinished, unconfirmed, limit })
        }
    })
}

impl fmt::Debug for Cache {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let store = match &self.0.store {
            Store::Memory(_) => "memory",
            Store::Redis(_) => "redis",
        };
        f.debug_struct("Cache")
            .field("store", &store)
            .field("namespace", &self.0.namespace)
            .finish_non_exhaustive()
    }
}
