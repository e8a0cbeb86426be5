//! Tasks that go on behind the callers: commits, leases given back, refreshes.

use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use tokio::runtime::Handle;
use tokio::sync::Semaphore;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::steps;

/// So many are repeated at once. What comes on top of them is not.
const MOST_REPEATS: usize = 1024;

/// All background tasks of one cache. Each is bounded by deadlines of its own.
#[derive(Clone, Debug)]
pub(crate) struct Work {
    /// What must be allowed to end: one or two operations on the store, or more until it is told to stop.
    errands: TaskTracker,
    /// What may be dropped: bodies of users.
    bodies: TaskTracker,
    stop: CancellationToken,
    /// What may be repeated for a while and lost: nobody waits for it.
    repeats: Arc<Semaphore>,
}

impl Default for Work {
    fn default() -> Self {
        Self {
            errands: TaskTracker::new(),
            bodies: TaskTracker::new(),
            stop: CancellationToken::new(),
            repeats: Arc::new(Semaphore::new(MOST_REPEATS)),
        }
    }
}

impl Work {
    /// Outside a runtime nothing can be spawned; the lease that would have been given back ends by
    /// itself.
    pub(crate) fn spawn_errand<F>(&self, errand: F)
    where
        F: Future<Output = ()> + Send + 'static,
    {
        if let Ok(runtime) = Handle::try_current() {
            self.errands.spawn_on(steps::behind(errand), &runtime);
        }
    }

    pub(crate) fn spawn_body<F>(&self, body: F)
    where
        F: Future<Output = ()> + Send + 'static,
    {
        let stop = self.stop.clone();
        self.bodies.spawn(steps::behind(async move {
            tokio::select! {
                () = body => {}
                () = stop.cancelled() => {}
            }
        }));
    }

    /// What is tried again where it has failed, and is no loss when it is not: neither a stop nor anybody else waits for
    /// it, and while too many are under way another is left out.
    pub(crate) fn spawn_repeats<F>(&self, repeats: F)
    where
        F: Future<Output = ()> + Send + 'static,
    {
        let Ok(permit) = Arc::clone(&self.repeats).try_acquire_owned() else { return };
        let stop = self.stop.clone();
        if let Ok(runtime) = Handle::try_current() {
            runtime.spawn(steps::behind(async move {
                tokio::select! {
                    () = repeats => {}
                    () = stop.cancelled() => {}
                }
                drop(permit);
            }));
        }
    }

    /// Errands that would go on for long are told to come to their end.
    pub(crate) async fn stopped(&self) {
        self.stop.cancelled().await;
    }

    /// How many tasks had to be dropped.
    pub(crate) async fn drain(&self, limit: Duration, deadline: Duration) -> usize {
        self.bodies.close();
        self.errands.close();
        let all = async {
            self.bodies.wait().await;
            self.errands.wait().await;
        };
        if tokio::time::timeout(limit, all).await.is_ok() {
            return 0;
        }
        let unfinished = self.bodies.len();
        self.stop.cancel();
        let rest = async {
            self.bodies.wait().await;
            self.errands.wait().await;
        };
        // One operation may be under way, and one more comes behind it.
        let ended = tokio::time::timeout(deadline * 2, rest).await.is_ok();
        if ended { unfinished } else { unfinished + self.errands.len() }
    }
}
