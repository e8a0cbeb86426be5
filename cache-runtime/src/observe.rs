//! What a future did to the cache: for tests, for a log line, for a `Cache-Status` header.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use crate::outcome::Outcome;
use crate::site::Site;
use crate::sync::lock;

/// Of more calls than this only the number is kept.
const MOST: usize = 256;

/// How many observe at the moment, in this process: while nobody does, no call looks for one around it.
static OBSERVERS: AtomicUsize = AtomicUsize::new(0);

tokio::task_local! {
    static AROUND: Arc<Observer>;
}

struct Observer {
    seen: Mutex<Observed>,
    around: Option<Arc<Observer>>,
}

/// What [`observe`] has seen.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Observed {
    /// The calls of cached functions, each when it was answered: of one that calls others these come first.
    pub calls: Vec<ObservedCall>,
    /// How many more there were than the 256 that are kept.
    pub more: usize,
    hits: usize,
    bodies: usize,
}

/// One call of a cached function. Which entry it was about is not told, since keys may hold secrets.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct ObservedCall {
    /// The name of the function.
    pub function: &'static str,
    /// Where it stands.
    pub module: &'static str,
    /// How it was answered.
    pub answer: Answer,
}

/// How a call of a cached function was answered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Answer {
    /// From the store.
    Hit {
        /// How long ago the computation of the value began.
        age: Duration,
    },
    /// From a copy in this process, with `near`; in the refresh window as well.
    Near {
        /// How long ago the computation of the value began.
        age: Duration,
    },
    /// From the store, in the refresh window: a refresh is under way or about to be.
    Stale {
        /// How long ago the computation of the value began.
        age: Duration,
    },
    /// From the store, past its ttl: computing a new value fails or takes too long, and the function has a
    /// `stale_if_error`.
    Kept {
        /// How long ago the computation of the value began.
        age: Duration,
    },
    /// By what another call of this process has computed, or found stored.
    Shared,
    /// By its own body.
    Computed {
        /// Whether the value was stored. Not, for one, where the store can't be reached.
        stored: bool,
    },
    /// By what `busy` says instead of waiting.
    Busy,
    /// By its own body, for itself alone: by `bypass_if`, inside a transaction, on a miss by `no_store_if`, and where it
    /// could neither share another's computation nor wait for it any longer.
    Bypassed,
}

impl Observed {
    /// How many calls were answered from the store or a copy of it, with stale values too, those that `calls` does not list included.
    #[must_use]
    pub fn hits(&self) -> usize {
        self.hits
    }

    /// How many calls ran their own body, those that `calls` does not list included.
    #[must_use]
    pub fn bodies(&self) -> usize {
        self.bodies
    }

    fn add(&mut self, call: ObservedCall) {
        match call.answer {
            Answer::Hit { .. }
            | Answer::Near { .. }
            | Answer::Stale { .. }
            | Answer::Kept { .. } => self.hits += 1,
            Answer::Computed { .. } | Answer::Bypassed => self.bodies += 1,
            Answer::Shared | Answer::Busy => {}
        }
        if self.calls.len() < MOST {
            self.calls.push(call);
        } else {
            self.more += 1;
        }
    }
}

impl From<Outcome> for Answer {
    fn from(outcome: Outcome) -> Self {
        match outcome {
            Outcome::Hit(served) => Self::Hit { age: served.age() },
            Outcome::Near(served) => Self::Near { age: served.age() },
            Outcome::Stale(served) => Self::Stale { age: served.age() },
            Outcome::Kept(served) => Self::Kept { age: served.age() },
            Outcome::Shared(_) => Self::Shared,
            Outcome::Computed { stored } => Self::Computed { stored },
            Outcome::Unleased => Self::Computed { stored: false },
            Outcome::Busy => Self::Busy,
            Outcome::Bypassed => Self::Bypassed,
        }
    }
}

/// Runs a future, and says how the calls of cached functions in it were answered.
///
/// It sees the calls of this task, also those inside of bodies, and not those of tasks that are spawned meanwhile, nor
/// refreshes in the background. Where one observes inside another, both see what the inner one does.
///
/// ```
/// # async fn f() -> Result<(), Box<dyn std::error::Error>> {
/// use redis_cached::{Answer, Cache, observe, redis_cached};
///
/// #[redis_cached(key = "square:{n}", ttl = "1m")]
/// async fn square(n: u64) -> u64 {
///     n * n
/// }
///
/// let cache = Cache::builder().url("memory://").build().await?;
/// cache.scope(async {
///     let (squared, observed) = observe(square(7)).await;
///     assert_eq!((squared, observed.calls[0].answer), (49, Answer::Computed { stored: true }));
///     let (_, observed) = observe(async { square(7).await + square(8).await }).await;
///     assert_eq!((observed.hits(), observed.bodies()), (1, 1));
/// }).await;
/// # Ok(()) }
/// # tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap().block_on(f()).unwrap();
/// ```
///
/// # Cancel safety
///
/// As that of the future.
pub async fn observe<F: Future>(future: F) -> (F::Output, Observed) {
    let around = AROUND.try_with(Arc::clone).ok();
    let observer = Arc::new(Observer { seen: Mutex::default(), around });
    let _counted = Counted::new();
    let output = AROUND.scope(Arc::clone(&observer), future).await;
    let seen = std::mem::take(&mut *lock(&observer.seen));
    (output, seen)
}

/// What runs in a task of its own for a call of this one, seen by those who observe this.
pub(crate) fn carried<F: Future>(future: F) -> impl Future<Output = F::Output> {
    let around = AROUND.try_with(Arc::clone).ok();
    async move {
        match around {
            Some(around) => AROUND.scope(around, future).await,
            None => future.await,
        }
    }
}

/// Ends also where the future is dropped, or panics.
struct Counted;

impl Counted {
    fn new() -> Self {
        OBSERVERS.fetch_add(1, Ordering::Relaxed);
        Self
    }
}

impl Drop for Counted {
    fn drop(&mut self) {
        OBSERVERS.fetch_sub(1, Ordering::Relaxed);
    }
}

/// Tells those who observe this task.
pub(crate) fn note(site: &Site, outcome: Outcome) {
    // What this task has counted itself it sees.
    if OBSERVERS.load(Ordering::Relaxed) > 0 {
        tell(site, outcome);
    }
}

#[cold]
fn tell(site: &Site, outcome: Outcome) {
    let innermost = AROUND.try_with(Arc::clone).ok();
    let mut next = innermost.as_ref();
    while let Some(observer) = next {
        let (function, module) = (site.function(), site.module());
        lock(&observer.seen).add(ObservedCall { function, module, answer: outcome.into() });
        next = observer.around.as_ref();
    }
}
