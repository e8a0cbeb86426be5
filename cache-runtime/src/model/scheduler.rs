//! Chooses which step comes next, and what becomes of it.
//!
//! All tasks of a run are on one thread. Each step waits for its turn, and the clock is paused: when it
//! moves, nothing is left to do but to grant a step, so the order of all steps is the chooser's, and a
//! run can be repeated.

use std::cell::RefCell;
use std::collections::BTreeSet;
use std::future::{Future, pending};
use std::rc::Rc;

use fastrand::Rng;
use tokio::sync::oneshot;

use crate::store::StoreError;

/// What becomes of a step.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Grant {
    Run,
    /// It never arrives.
    RequestLost,
    /// It is carried out, and nobody is told.
    ReplyLost,
    /// It is carried out twice, as when a client has sent it again.
    Twice,
}

/// Who makes a step: also what goes on behind a party is its.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Actor {
    pub(crate) party: usize,
    /// The life of a process: one that starts again has another.
    pub(crate) life: usize,
}

tokio::task_local! {
    static ACTOR: Actor;
}

pub(crate) fn acting<F: Future>(actor: Actor, does: F) -> impl Future<Output = F::Output> {
    ACTOR.scope(actor, does)
}

/// Boxed, so that both are of one type.
pub(crate) fn behind<F>(errand: F) -> std::pin::Pin<Box<dyn Future<Output = ()> + Send>>
where
    F: Future<Output = ()> + Send + 'static,
{
    match ACTOR.try_get() {
        Ok(actor) => Box::pin(ACTOR.scope(actor, errand)),
        Err(_) => Box::pin(errand),
    }
}

/// A step that waits for its turn.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Step {
    pub(crate) name: &'static str,
    pub(crate) actor: Option<Actor>,
}

struct Waiting {
    step: Step,
    turn: oneshot::Sender<Grant>,
}

#[derive(Default)]
struct Steps {
    waiting: Vec<Waiting>,
    /// Lives that ended without a word: nothing of theirs ever goes on, not even what their ends do.
    killed: BTreeSet<usize>,
    /// Whether what a step has come to is told at a later moment only.
    slow_replies: bool,
}

type Queue = Rc<RefCell<Steps>>;

thread_local! {
    static QUEUE: RefCell<Option<Queue>> = const { RefCell::new(None) };
}

/// One step of the store, when its turn comes.
pub(crate) async fn step<R>(
    name: &'static str,
    mut run: impl FnMut() -> R,
) -> Result<R, StoreError> {
    match turn(name).await {
        Grant::Run => {
            let reply = run();
            if QUEUE.with_borrow(|queue| queue.as_ref().is_some_and(|q| q.borrow().slow_replies)) {
                point("a reply").await;
            }
            Ok(reply)
        }
        Grant::RequestLost => Err(lost()),
        Grant::ReplyLost => {
            run();
            Err(lost())
        }
        Grant::Twice => {
            run();
            Ok(run())
        }
    }
}

/// A step that is not the store's: of a body, or of a party's own.
pub(crate) async fn point(name: &'static str) {
    turn(name).await;
}

pub(crate) fn are_scheduled() -> bool {
    QUEUE.with_borrow(Option::is_some)
}

fn lost() -> StoreError {
    StoreError::Unconnected("lost, as chosen".to_owned())
}

async fn turn(name: &'static str) -> Grant {
    let step = Step { name, actor: ACTOR.try_get().ok() };
    let Some(turn) = wait_for(step) else { return Grant::Run };
    match turn.await {
        Ok(grant) => grant,
        Err(_) if is_killed(step) => pending().await,
        // Whoever ends the run drops the other end.
        Err(_) => Grant::RequestLost,
    }
}

fn wait_for(step: Step) -> Option<oneshot::Receiver<Grant>> {
    let (turn, granted) = oneshot::channel();
    QUEUE.with_borrow(|queue| {
        let steps = &mut *queue.as_ref()?.borrow_mut();
        if !steps.is_killed(step) {
            steps.waiting.push(Waiting { step, turn });
        }
        Some(granted)
    })
}

fn is_killed(step: Step) -> bool {
    QUEUE.with_borrow(|queue| queue.as_ref().is_some_and(|queue| queue.borrow().is_killed(step)))
}

impl Steps {
    fn is_killed(&self, step: Step) -> bool {
        step.actor.is_some_and(|actor| self.killed.contains(&actor.life))
    }
}

/// Has all steps on this thread wait, until it is dropped.
pub(crate) struct Schedule(Queue);

impl Schedule {
    pub(crate) fn begin(slow_replies: bool) -> Self {
        let queue = Queue::new(RefCell::new(Steps { slow_replies, ..Steps::default() }));
        QUEUE.set(Some(Rc::clone(&queue)));
        Self(queue)
    }

    /// The steps that wait, in the order in which they came. What was dropped waits no more.
    pub(crate) fn waiting(&self) -> Vec<Step> {
        let waiting = &mut self.0.borrow_mut().waiting;
        waiting.retain(|waiting| !waiting.turn.is_closed());
        waiting.iter().map(|waiting| waiting.step).collect()
    }

    pub(crate) fn grant(&self, at: usize, grant: Grant) {
        let waiting = self.0.borrow_mut().waiting.remove(at);
        // Who has been dropped meanwhile needs it no more.
        let _ = waiting.turn.send(grant);
    }

    /// From now on nothing of this life goes on.
    pub(crate) fn kill(&self, life: usize) {
        let mut steps = self.0.borrow_mut();
        steps.killed.insert(life);
        let killed = std::mem::take(&mut steps.waiting);
        let is_its = |waiting: &Waiting| waiting.step.actor.is_some_and(|actor| actor.life == life);
        let (killed, waiting) = killed.into_iter().partition(is_its);
        steps.waiting = waiting;
        drop(steps);
        // Their ends wake who waits for them: not while the steps are borrowed.
        drop::<Vec<Waiting>>(killed);
    }
}

impl Drop for Schedule {
    fn drop(&mut self) {
        drop(QUEUE.take());
    }
}

/// Makes the choices of a run.
pub(crate) enum Chooser {
    Random(Rng),
    /// All of them, one run after the other.
    Every {
        /// What was chosen in this run, and of how many.
        made: Vec<(usize, usize)>,
        at: usize,
        /// How often a party is kept from going on, where not as often as can be.
        interruptions: Option<usize>,
    },
}

impl Chooser {
    pub(crate) fn every(interruptions: Option<usize>) -> Self {
        Self::Every { made: Vec::new(), at: 0, interruptions }
    }

    pub(crate) fn interruptions(&self) -> Option<usize> {
        match self {
            Self::Random(_) => None,
            Self::Every { interruptions, .. } => *interruptions,
        }
    }

    /// As [`choose`](Self::choose), of which all but the first are rare.
    pub(crate) fn choose_rarely(&mut self, of: usize) -> usize {
        let most = if matches!(self, Self::Random(_)) { of * 3 } else { of };
        let chosen = self.choose(most);
        if chosen < of { chosen } else { 0 }
    }

    pub(crate) fn choose(&mut self, of: usize) -> usize {
        match self {
            Self::Random(rng) => rng.usize(..of),
            Self::Every { made, at, .. } => {
                if *at == made.len() {
                    made.push((0, of));
                }
                *at += 1;
                let (chosen, options) = made[*at - 1];
                assert_eq!(options, of, "a run can be repeated");
                chosen
            }
        }
    }

    /// Prepares the next run. `false` where all have been made.
    pub(crate) fn next(&mut self) -> bool {
        let Self::Every { made, at, .. } = self else { return true };
        *at = 0;
        while let Some((chosen, of)) = made.pop() {
            if chosen + 1 < of {
                made.push((chosen + 1, of));
                return true;
            }
        }
        false
    }
}
