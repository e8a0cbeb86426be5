//! The lookups of all keys of a batch, polled in one task, each only when it has been woken.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll, Wake, Waker};

use crate::by_hand::Boxed;
use crate::outcome::Outcome;
use crate::sync::lock;

/// Says how its call was answered, if there is one, and whether by a failure.
pub(crate) type Lookup<'c> = Boxed<'c, Option<(Outcome, bool)>>;

pub(crate) struct Lookups<'c> {
    under_way: Vec<Option<Lookup<'c>>>,
    wakers: Vec<Option<Waker>>,
    woken: Arc<Mutex<Woken>>,
}

#[derive(Default)]
struct Woken {
    places: VecDeque<usize>,
    task: Option<Waker>,
}

/// Wakes one of them.
struct One {
    at: usize,
    woken: Arc<Mutex<Woken>>,
}

impl Wake for One {
    fn wake(self: Arc<Self>) {
        self.wake_by_ref();
    }

    fn wake_by_ref(self: &Arc<Self>) {
        wake(&self.woken, self.at);
    }
}

fn wake(woken: &Mutex<Woken>, at: usize) {
    let mut woken = lock(woken);
    woken.places.push_back(at);
    let task = woken.task.take();
    drop(woken);
    if let Some(task) = task {
        task.wake();
    }
}

impl<'c> Lookups<'c> {
    /// Those that are not there have ended.
    pub(crate) fn new(under_way: Vec<Option<Lookup<'c>>>) -> Self {
        let wakers = vec![None; under_way.len()];
        Self { under_way, wakers, woken: Arc::default() }
    }

    /// Has it polled: for the first time, or since it has been given what it waits for.
    pub(crate) fn wake(&self, at: usize) {
        wake(&self.woken, at);
    }

    /// Polls those that were woken until now. Those that end say what they have come to.
    pub(crate) fn poll(
        &mut self,
        cx: &Context<'_>,
        mut ended: impl FnMut(usize, Option<(Outcome, bool)>),
    ) {
        let places = {
            let mut woken = lock(&self.woken);
            woken.task = Some(cx.waker().clone());
            std::mem::take(&mut woken.places)
        };
        for at in places {
            let Some(lookup) = &mut self.under_way[at] else { continue };
            let woken = &self.woken;
            let waker = self.wakers[at]
                .get_or_insert_with(|| Waker::from(Arc::new(One { at, woken: Arc::clone(woken) })));
            if let Poll::Ready(outcome) = lookup.as_mut().poll(&mut Context::from_waker(waker)) {
                self.under_way[at] = None;
                ended(at, outcome);
            }
        }
    }
}
