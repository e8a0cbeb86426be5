use std::collections::BTreeSet;
use std::sync::Arc;

use tokio::sync::watch;

use crate::in_time;

/// Stands in a body: counts the runs, tells that one has started, and holds it until it may go on.
#[derive(Clone, Debug)]
pub struct Gate(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    runs: watch::Sender<usize>,
    free: watch::Sender<Free>,
}

#[derive(Debug, Default)]
struct Free {
    all: bool,
    runs: BTreeSet<usize>,
}

impl Gate {
    /// Holds every run.
    #[must_use]
    pub fn closed() -> Self {
        Self(Arc::new(Inner { runs: watch::Sender::new(0), free: watch::Sender::default() }))
    }

    /// Holds no run: a counter.
    #[must_use]
    pub fn open() -> Self {
        let gate = Self::closed();
        gate.let_all_go();
        gate
    }

    /// In the body: notes that a run has started and waits for permission. Returns the run's number,
    /// from 1.
    pub async fn pass(&self) -> usize {
        let run = self.enter();
        self.permission(run).await;
        run
    }

    /// The first half of [`pass`](Self::pass).
    #[must_use]
    pub fn enter(&self) -> usize {
        let mut run = 0;
        self.0.runs.send_modify(|runs| {
            *runs += 1;
            run = *runs;
        });
        run
    }

    /// The second half of [`pass`](Self::pass).
    pub async fn permission(&self, run: usize) {
        let mut free = self.0.free.subscribe();
        let freed = free.wait_for(|free| free.all || free.runs.contains(&run)).await;
        // The sender lives as long as `self`.
        freed.map(drop).unwrap_or_default();
    }

    /// Waits until this many runs have started.
    ///
    /// # Panics
    ///
    /// When they do not.
    pub async fn started(&self, runs: usize) {
        let mut started = self.0.runs.subscribe();
        let event = started.wait_for(|&so_far| so_far >= runs);
        in_time(&format!("body {runs} starts"), event).await.map(drop).unwrap_or_default();
    }

    /// How many runs have started.
    #[must_use]
    pub fn runs(&self) -> usize {
        *self.0.runs.borrow()
    }

    /// Lets one run go on, also one that has not started yet.
    pub fn let_go(&self, run: usize) {
        self.0.free.send_modify(|free| {
            free.runs.insert(run);
        });
    }

    /// Lets all runs go on, now and later.
    pub fn let_all_go(&self) {
        self.0.free.send_modify(|free| free.all = true);
    }
}
