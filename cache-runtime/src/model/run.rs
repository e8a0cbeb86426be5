//! One run: parties, a chooser, and what may go wrong.

use std::sync::Arc;
use std::time::Duration;

use tokio::task::{AbortHandle, JoinSet};

use super::parties::Party;
use super::scheduler::{Actor, Chooser, Grant, Schedule, Step, acting};
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
    /// So many seconds pass, each once: see [`LEASES_END`] and the others.
    pub(crate) pauses: &'static [u64],
    /// How many processes may end without a word, and start again.
    pub(crate) kills: usize,
    /// How often a process may lose the store, or find it again.
    pub(crate) cuts: usize,
    /// Whether replies arrive later than their requests are carried out.
    pub(crate) slow_replies: bool,
    /// How many requests may arrive again, at any later moment.
    pub(crate) late: usize,
    /// Looked at when all is over.
    pub(crate) after: &'static [Party],
}

impl Scenario {
    fn is_smooth(&self) -> bool {
        self.faults + self.pauses.len() + self.kills + self.cuts + self.late == 0
    }
}

pub(crate) const LEASES_END: u64 = 6;
/// Entries are due.
pub(crate) const ENTRIES_AGE: u64 = 250;
pub(crate) const ENTRIES_END: u64 = 310;

/// Parties that act before or after all others.
const OF_NOBODY: usize = usize::MAX;
/// More steps than any run needs: beyond that somebody runs in circles.
const MOST_STEPS: usize = 2_000;
/// As long as nothing can be done but wait: longer than any limit of the protocol.
const LONGEST: Duration = Duration::from_secs(180);

#[derive(Clone, Copy)]
enum Event {
    Step(usize),
    Lose(usize),
    Drop,
    Pause(usize),
    Kill,
    Cut,
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
    pauses: Vec<u64>,
    kills: usize,
    cuts: usize,
    late: usize,
    steps: usize,
    callers: Vec<AbortHandle>,
    /// Processes that can't reach the store.
    away: Vec<usize>,
    /// Whose turn it was, and how often it was another's though that one could go on.
    last: Option<usize>,
    interruptions: usize,
}

/// Makes one run. How many steps it had, or what it broke.
pub(crate) fn run(scenario: &Scenario, chooser: &mut Chooser, seed: u64) -> Result<usize, String> {
    made(scenario, chooser, seed, |_, ended| ended)
}

/// Makes one run. What happened in it.
pub(crate) fn traced(scenario: &Scenario, chooser: &mut Chooser, seed: u64) -> Vec<String> {
    made(scenario, chooser, seed, |world, _| world.trace())
}

fn made<R>(
    scenario: &Scenario,
    chooser: &mut Chooser,
    seed: u64,
    tell: impl FnOnce(&World, Result<usize, String>) -> R,
) -> R {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_time()
        .start_paused(true)
        .build()
        .expect("a runtime with nothing but time");
    fastrand::seed(seed);
    runtime.block_on(async {
        let mut run = Run {
            world: World::new(scenario.processes, scenario.is_smooth()),
            schedule: Schedule::begin(scenario.slow_replies),
            losses: scenario.losses.to_vec(),
            faults: scenario.faults,
            drops: scenario.drops,
            pauses: scenario.pauses.to_vec(),
            kills: scenario.kills,
            cuts: scenario.cuts,
            late: scenario.late,
            steps: 0,
            callers: Vec::new(),
            away: Vec::new(),
            last: None,
            interruptions: 0,
            scenario,
            chooser,
        };
        let ended = run.whole().await.map(|()| run.steps);
        tell(&run.world, ended)
    })
}

impl Run<'_> {
    async fn whole(&mut self) -> Result<(), String> {
        for party in self.scenario.before {
            self.in_order(*party).await?;
        }
        let mut parties = JoinSet::new();
        for (number, party) in self.scenario.parties.iter().enumerate() {
            let handle = parties.spawn(self.acting(number, *party));
            self.callers.push(handle);
        }
        self.parties(&mut parties).await?;
        self.away.clear();
        for party in self.scenario.after {
            self.in_order(*party).await?;
        }
        Ok(())
    }

    fn acting(&self, number: usize, party: Party) -> impl Future<Output = ()> + Send + use<> {
        let actor = Actor { party: number, life: self.world.life(party.process()) };
        acting(actor, party.act(Arc::clone(&self.world)))
    }

    /// Without a choice: whatever waits goes on, the first first.
    async fn in_order(&mut self, party: Party) -> Result<(), String> {
        let mut parties = JoinSet::new();
        parties.spawn(self.acting(OF_NOBODY, party));
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
            let waiting = self.schedule.waiting();
            if waiting.is_empty() {
                if parties.is_empty() {
                    return Ok(());
                }
                idle = self.idle(idle).await?;
                continue;
            }
            idle = Duration::ZERO;
            let event = self.choose(&waiting, parties.len());
            self.happens(event, &waiting).await?;
        }
    }

    /// One of all that can happen now.
    fn choose(&mut self, waiting: &[Step], parties: usize) -> Event {
        let party = |step: &Step| step.actor.map(|actor| actor.party);
        let goes_on =
            waiting.iter().position(|step| self.last.is_some() && party(step) == self.last);
        if let Some(at) = goes_on
            && self.chooser.interruptions() == Some(self.interruptions)
        {
            return Event::Step(at);
        }
        let mut events: Vec<Event> = (0..waiting.len()).map(Event::Step).collect();
        events.extend((0..self.losses.len()).map(Event::Lose));
        events.extend((self.drops > 0 && parties > 0).then_some(Event::Drop));
        events.extend((0..self.pauses.len()).map(Event::Pause));
        events.extend((self.kills > 0).then_some(Event::Kill));
        events.extend((self.cuts > 0).then_some(Event::Cut));
        events.extend((self.late > 0).then_some(Event::Late));
        let event = events[self.chooser.choose(events.len())];
        if let Event::Step(at) = event {
            let next = party(&waiting[at]);
            self.interruptions += usize::from(goes_on.is_some() && next != self.last);
            self.last = next;
        }
        event
    }

    async fn happens(&mut self, event: Event, waiting: &[Step]) -> Result<(), String> {
        match event {
            Event::Step(at) => {
                let kinds = [Grant::Run, Grant::RequestLost, Grant::ReplyLost, Grant::Twice];
                let kinds = if self.faults > 0 { &kinds[..] } else { &kinds[..1] };
                let grant = kinds[self.chooser.choose_rarely(kinds.len())];
                self.faults -= usize::from(grant != Grant::Run);
                let cut = waiting[at].actor.is_some_and(|actor| self.away.contains(&actor.life));
                return self.step(at, if cut { Grant::RequestLost } else { grant });
            }
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
            Event::Pause(at) => {
                let seconds = self.pauses.remove(at);
                self.world.told(format!("{seconds} s pass"));
                tokio::time::sleep(Duration::from_secs(seconds)).await;
            }
            Event::Kill => self.kill(),
            Event::Cut => self.cut(),
            Event::Late => {
                self.late -= 1;
                let chooser = &mut *self.chooser;
                if self.world.store.arrive_again(|of| chooser.choose(of)) {
                    self.world.told("a request arrives again".to_owned());
                }
            }
        }
        Ok(())
    }

    /// A process ends as by a signal: what its callers' ends would still have done is not done.
    fn kill(&mut self) {
        self.kills -= 1;
        let process = self.chooser.choose(self.scenario.processes);
        self.world.told(format!("process {process} is killed, and starts again"));
        self.schedule.kill(self.world.life(process));
        for (caller, party) in self.callers.iter().zip(self.scenario.parties) {
            if party.process() == process {
                caller.abort();
            }
        }
        self.world.start_again(process);
    }

    fn cut(&mut self) {
        self.cuts -= 1;
        let process = self.chooser.choose(self.scenario.processes);
        let life = self.world.life(process);
        let found = self.away.iter().position(|away| *away == life);
        match found {
            Some(at) => drop(self.away.remove(at)),
            None => self.away.push(life),
        }
        let what = if found.is_some() { "finds" } else { "loses" };
        self.world.told(format!("process {process} {what} the store"));
    }

    fn step(&mut self, at: usize, grant: Grant) -> Result<(), String> {
        let Step { name, actor } = self.schedule.waiting()[at];
        let who = match actor {
            Some(Actor { party, .. }) if party != OF_NOBODY => party.to_string(),
            _ => "-".to_owned(),
        };
        self.world.told(match grant {
            Grant::Run => format!("{who} {name}"),
            other => format!("{who} {name}, {other:?}"),
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
