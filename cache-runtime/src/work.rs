//! Tasks that go on behind the callers: commits, leases given back, refreshes.

use std::future::Future;
use std::time::Duration;

use tokio::runtime::Handle;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::steps;

/// All background tasks of one cache. Each is bounded by deadlines of its own.
#[derive(Clone, Debug, Default)]
pub(crate) struct Work {
    /// What must be allowed to end: one or two operations on the store, or more until it is told to stop.
    errands: TaskTracker,
    /// What may be dropped: bodies of users.
    bodies: TaskTracker,
    stop: CancellationToken,
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
