//! One run: parties, a chooser, and what may go wrong.

use std::sync::Arc;
use std::time::Duration;

use tokio::task::{AbortHandle, JoinSet};

use super::parties::Party;
use super::scheduler::{Chooser, Grant, Schedule};
use super::world::{Function, World};
use crate::store::memory::loss::Loss;

/// What a run consists of.
#[derive(Clone, Debug, Default)]
pub(crate) struct Scenario {
    pub(crate) name: &'static str,
    /// Caches on the one store.
    pub(crate) processes: usize,
    /// Has happened when the run begins, one after the other.
    pub(crate) before: &'static [Party],
    pub(crate) parties: &'static [Party],
    /// What may be lost, of which function; each at any moment, and once.
    pub(crate) losses: &'static [(Loss, Function)],
    /// How many steps may go wrong on their way.
    pub(crate) faults: usize,
    /// How many callers may be dropped.
    pub(crate) drops: usize,
    /// How often so much time passes that leases end.
    pub(crate) pauses: usize,
    /// How many requests may arrive again, at any later moment.
    pub(crate) late: usize,
    /// Looked at when all is over.
    pub(crate) after: &'static [Party],
}

impl Scenario {
    fn is_smooth(&self) -> bool {
        self.faults + self.pauses + self.late == 0
    }
}

/// More steps than any run needs: beyond that somebody runs in circles.
const MOST_STEPS: usize = 2_000;
/// As long as nothing can be done but wait: longer than any limit of the protocol.
const LONGEST: Duration = Duration::from_secs(180);

enum Event {
    Step(usize, Grant),
    Lose(usize),
    Drop,
    Pause,
    Late,
}

struct Run<'r> {
    scenario: &'r Scenario,
    chooser: &'r mut Chooser,
    world: Arc<World>,
    schedule: Schedule,
    losses: Vec<(Loss, Function)>,
    faults: usize,
    drops: usize,
    pauses: usize,
    late: usize,
    steps: usize,
    callers: Vec<AbortHandle>,
}

/// Makes one run. How many steps it had, or what it broke.
pub(crate) fn run(scenario: &Scenario, chooser: &mut Chooser, seed: u64) -> Result<usize, String> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_time()
        .start_paused(true)
        .build()
        .expect("a runtime with nothing but time");
    fastrand::seed(seed);
    runtime.block_on(async {
        let mut run = Run {
            world: World::new(scenario.processes, scenario.is_smooth()),
            schedule: Schedule::begin(),
            losses: scenario.losses.to_vec(),
            faults: scenario.faults,
            drops: scenario.drops,
            pauses: scenario.pauses,
            late: scenario.late,
            steps: 0,
            callers: Vec::new(),
            scenario,
            chooser,
        };
        run.whole().await.map(|()| run.steps)
    })
}

impl Run<'_> {
    async fn whole(&mut self) -> Result<(), String> {
        for party in self.scenario.before {
            self.in_order(*party).await?;
        }
        let mut parties = JoinSet::new();
        for party in self.scenario.parties {
            let handle = parties.spawn(party.act(Arc::clone(&self.world)));
            self.callers.push(handle);
        }
        self.parties(&mut parties).await?;
        for party in self.scenario.after {
            self.in_order(*party).await?;
        }
        Ok(())
    }

    /// Without a choice: whatever waits goes on, the first first.
    async fn in_order(&mut self, party: Party) -> Result<(), String> {
        let mut parties = JoinSet::new();
        parties.spawn(party.act(Arc::clone(&self.world)));
        let mut idle = Duration::ZERO;
        loop {
            settle().await;
            self.check(&mut parties)?;
            if !self.schedule.waiting().is_empty() {
                self.step(0, Grant::Run)?;
                idle = Duration::ZERO;
            } else if parties.is_empty() {
                return Ok(());
            } else {
                idle = self.idle(idle).await?;
            }
        }
    }

    async fn parties(&mut self, parties: &mut JoinSet<()>) -> Result<(), String> {
        let mut idle = Duration::ZERO;
        loop {
            settle().await;
            self.check(parties)?;
            let waiting = self.schedule.waiting().len();
            if waiting == 0 {
                if parties.is_empty() {
                    return Ok(());
                }
                idle = self.idle(idle).await?;
                continue;
            }
            idle = Duration::ZERO;
            match self.choose(waiting, parties.len()) {
                Event::Step(at, grant) => self.step(at, grant)?,
                Event::Lose(at) => {
                    let (loss, of) = self.losses.remove(at);
                    self.world.lose(loss, of);
                }
                Event::Drop => {
                    self.drops -= 1;
                    let at = self.chooser.choose(self.callers.len());
                    self.world.told(format!("party {at} is dropped"));
                    self.callers[at].abort();
                }
                Event::Late => {
                    self.late -= 1;
                    let chooser = &mut *self.chooser;
                    if self.world.store.arrive_again(|of| chooser.choose(of)) {
                        self.world.told("a request arrives again".to_owned());
                    }
                }
                Event::Pause => {
                    self.pauses -= 1;
                    self.world.told("time passes".to_owned());
                    tokio::time::sleep(Duration::from_secs(6)).await;
                }
            }
        }
    }

    /// All that can happen now has one number.
    fn choose(&mut self, waiting: usize, parties: usize) -> Event {
        let drops = if parties > 0 { self.drops.min(1) } else { 0 };
        let pauses = self.pauses.min(1);
        let extra = self.losses.len() + drops + pauses + self.late.min(1);
        let chosen = self.chooser.choose(waiting + extra);
        let Some(extra) = chosen.checked_sub(waiting) else {
            let kinds = if self.faults > 0 { 4 } else { 1 };
            // A fault is rarer than none.
            let grant = match if kinds > 1 { self.chooser.choose(12) } else { 0 } {
                1 => Grant::RequestLost,
                2 => Grant::ReplyLost,
                3 => Grant::Twice,
                _ => Grant::Run,
            };
            self.faults -= usize::from(grant != Grant::Run);
            return Event::Step(chosen, grant);
        };
        if extra < self.losses.len() {
            Event::Lose(extra)
        } else if extra < self.losses.len() + drops {
            Event::Drop
        } else if extra < self.losses.len() + drops + pauses {
            Event::Pause
        } else {
            Event::Late
        }
    }

    fn step(&mut self, at: usize, grant: Grant) -> Result<(), String> {
        let name = self.schedule.waiting()[at];
        self.world.told(match grant {
            Grant::Run => format!("- {name}"),
            other => format!("- {name}, {other:?}"),
        });
        self.schedule.grant(at, grant);
        self.steps += 1;
        if self.steps > MOST_STEPS {
            self.world.breaks("somebody runs in circles".to_owned());
        }
        self.broken()
    }

    fn check(&self, parties: &mut JoinSet<()>) -> Result<(), String> {
        while let Some(ended) = parties.try_join_next() {
            if let Err(error) = ended
                && error.is_panic()
            {
                self.world.breaks(format!("a party panicked: {error}"));
            }
        }
        self.broken()
    }

    fn broken(&self) -> Result<(), String> {
        match self.world.broken() {
            Some(broken) => Err(format!("{}: {broken}", self.scenario.name)),
            None => Ok(()),
        }
    }

    /// Lets time pass, in which somebody may come to something.
    async fn idle(&self, so_far: Duration) -> Result<Duration, String> {
        let pause = Duration::from_millis(100);
        tokio::time::sleep(pause).await;
        if so_far > LONGEST {
            self.world.breaks("somebody waits for ever".to_owned());
        }
        self.broken().map(|()| so_far + pause)
    }
}

/// Ends when every task waits: only then does a paused clock move.
async fn settle() {
    tokio::time::sleep(Duration::from_millis(1)).await;
}
