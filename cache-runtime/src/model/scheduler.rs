//! Chooses which step comes next, and what becomes of it.
//!
//! All tasks of a run are on one thread. Each step waits for its turn, and the clock is paused: when it
//! moves, nothing is left to do but to grant a step, so the order of all steps is the chooser's, and a
//! run can be repeated.

use std::cell::RefCell;
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

struct Waiting {
    name: &'static str,
    turn: oneshot::Sender<Grant>,
}

type Queue = Rc<RefCell<Vec<Waiting>>>;

thread_local! {
    static QUEUE: RefCell<Option<Queue>> = const { RefCell::new(None) };
}

/// One step of the store, when its turn comes.
pub(crate) async fn step<R>(
    name: &'static str,
    mut run: impl FnMut() -> R,
) -> Result<R, StoreError> {
    match turn(name).await {
        Grant::Run => Ok(run()),
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
    let Some(turn) = wait_for(name) else { return Grant::Run };
    // Whoever ends the run drops the other end.
    turn.await.unwrap_or(Grant::RequestLost)
}

fn wait_for(name: &'static str) -> Option<oneshot::Receiver<Grant>> {
    let (turn, granted) = oneshot::channel();
    QUEUE.with_borrow(|queue| {
        queue.as_ref()?.borrow_mut().push(Waiting { name, turn });
        Some(granted)
    })
}

/// Has all steps on this thread wait, until it is dropped.
pub(crate) struct Schedule(Queue);

impl Schedule {
    pub(crate) fn begin() -> Self {
        let queue = Queue::default();
        QUEUE.set(Some(Rc::clone(&queue)));
        Self(queue)
    }

    /// The steps that wait, in the order in which they came. What was dropped waits no more.
    pub(crate) fn waiting(&self) -> Vec<&'static str> {
        let mut waiting = self.0.borrow_mut();
        waiting.retain(|step| !step.turn.is_closed());
        waiting.iter().map(|step| step.name).collect()
    }

    pub(crate) fn grant(&self, at: usize, grant: Grant) {
        let step = self.0.borrow_mut().remove(at);
        // Who has been dropped meanwhile needs it no more.
        let _ = step.turn.send(grant);
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
    },
}

impl Chooser {
    pub(crate) fn choose(&mut self, of: usize) -> usize {
        match self {
            Self::Random(rng) => rng.usize(..of),
            Self::Every { made, at } => {
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
        let Self::Every { made, at } = self else { return true };
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
