//! A pool of multiplexed connections for each tokio runtime that uses the cache.
//!
//! A connection's driver is a task, and dies with the runtime that made it; one of a runtime that
//! nobody drives at the moment answers nothing. So a caller only ever uses connections that belong
//! to its own runtime.

use std::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError, RwLock, Weak};
use std::time::Duration;

use ::redis::aio::MultiplexedConnection;
use ::redis::{
    AsyncConnectionConfig, Cmd, ErrorKind, PushInfo, RedisError, ServerErrorKind, Value,
};
use tokio::runtime::Handle;
use tokio::sync::watch;
use tokio::time::Instant;
use tokio_util::sync::{CancellationToken, DropGuard};

use super::super::StoreError;
use super::Refusal;
use super::batch::Gathering;
use super::breaker::{Admission, Breaker, Changed};
use super::endpoint::{Endpoint, Location};
use super::epoch::Refused;
use super::near;
use super::reads::Large;
use super::replicas::Confirmation;
use super::scripts::{Says, Script};
use super::tls;
use super::watch::Watcher;
use crate::clock::ServerClock;
use crate::config::Tls;
use crate::key::{lane_of, lane_of_hash};
use crate::metrics::{Access, OfServer, Timer};
use crate::near::{Channel, Marks};
use crate::sync::lock;

/// As many living runtimes may have connections at a time; the oldest loses them first.
const MOST_RUNTIMES: usize = 64;
/// So many threads of a runtime gather reads together.
const WORKERS: usize = 4;
/// A peer that has swallowed this many requests in a row is connected to anew.
const MOST_TIMEOUTS: u32 = 3;
/// After a failed attempt the next one waits this long, doubling.
const FIRST_PAUSE: Duration = Duration::from_millis(50);
const LONGEST_PAUSE: Duration = Duration::from_secs(2);

#[derive(Clone, Copy, Debug)]
pub(crate) struct Limits {
    pub(crate) connections: usize,
    pub(crate) deadline: Duration,
    pub(crate) connect: Duration,
}

pub(crate) struct Link {
    endpoint: Arc<Endpoint>,
    pub(crate) limits: Limits,
    /// What invalidations wait for, where replicas have to confirm them.
    confirmation: Option<Confirmation>,
    pools: RwLock<Vec<Arc<Pool>>>,
    pub(super) metrics: OfServer,
    /// What near copies were made of, and is touched by pushes of all pools.
    pub(super) marks: Arc<Marks>,
}

/// The connections that live on one runtime: lanes for reads, half as many for what may write, one for the tracked reads
/// of leases, and behind that as many as for writes for invalidations that replicas have to confirm, where that is asked for.
///
/// Apart, since a server that holds a write back (`CLIENT PAUSE WRITE`, as in a failover by hand) holds whatever stands
/// behind it on its connection: hits would wait for what they have nothing to do with, and for large commits as well.
pub(crate) struct Pool {
    pub(super) handle: Handle,
    /// Held by a task of the runtime, and so gone with it.
    alive: Weak<()>,
    /// Ends that task with the pool.
    _end: DropGuard,
    lanes: Vec<Arc<Lane>>,
    /// What is read together, by hashes of names.
    gatherings: Vec<Mutex<Gathering>>,
    pub(super) large: Large,
    /// How many of these are for reads, and how many for what may write.
    reading: usize,
    writing: usize,
    endpoint: Arc<Endpoint>,
    reads: Breaker,
    writes: Breaker,
    /// That of which the breakers' server was.
    judged: AtomicU64,
    address: Arc<str>,
    /// Whether it was told that the store can't be used, so that each change is told once.
    down: Arc<AtomicBool>,
    pub(crate) watcher: Watcher,
    marks: Arc<Marks>,
    pub(crate) clock: Arc<ServerClock>,
    sampling: Arc<AtomicBool>,
}

/// One connection, or what takes its place at the moment.
struct Lane {
    address: Arc<str>,
    /// That of the pool.
    down: Arc<AtomicBool>,
    state: Mutex<State>,
    timeouts: AtomicU32,
}

enum State {
    Idle,
    Connecting {
        outcome: watch::Receiver<Option<Result<(), Refusal>>>,
        since: Instant,
    },
    Ready(Live),
    /// Nobody tries again before `until`, unless another epoch has begun.
    Failed {
        refusal: Refusal,
        until: Instant,
        pause: Duration,
        epoch: u64,
    },
}

#[derive(Clone)]
struct Live {
    connection: MultiplexedConnection,
    generation: u64,
    /// In which it was made: see `epoch.rs`.
    epoch: u64,
    /// Where the server tracks what is read by it.
    channel: Option<Arc<Channel>>,
}

/// What the connection for tracked reads is at the moment.
pub(super) enum Tracking {
    On(MultiplexedConnection, Arc<Channel>),
    /// It is made, or will be.
    Unconnected,
    /// The server does not let this user have it.
    Refused,
}

impl Pool {
    /// Of which whoever asks chooses one by a hash.
    pub(crate) fn lanes(&self) -> usize {
        self.reading
    }

    /// That of a read, by the hash of what is read.
    pub(super) fn lane_of(&self, hash: u64) -> usize {
        lane_of_hash(hash, self.reading)
    }

    /// What a read with this hash waits for others by.
    pub(super) fn gathering(&self, hash: u64) -> &Mutex<Gathering> {
        &self.gatherings[lane_of_hash(hash, self.gatherings.len())]
    }

    fn tracked_lane(&self) -> usize {
        self.reading + self.writing
    }

    /// The lane for what may write, where a read would take this one.
    fn writing_lane(&self, lane: usize) -> usize {
        self.reading + lane % self.writing
    }

    /// What takes the place of that where the server makes a connection wait.
    fn waiting_lane(&self, lane: usize) -> usize {
        self.tracked_lane() + 1 + lane % self.writing
    }

    fn admission(&self, sending: Sending) -> Admission {
        let epoch = self.endpoint.epoch.current();
        if self.judged.load(Ordering::Relaxed) != epoch {
            self.judged.store(epoch, Ordering::Relaxed);
            // What it knows is about another server.
            self.reads.answered();
            self.writes.answered();
        }
        self.breaker(sending).admission(Instant::now)
    }

    /// Whether the connection leads to what is the master by now.
    fn is_present(&self, live: &Live) -> bool {
        live.epoch == self.endpoint.epoch.current()
    }

    /// The server of a connection is a replica; whether another connection may lead to the master.
    fn refused_to_write(&self, live: &Live) -> bool {
        let refused = self.endpoint.epoch.refused(live.epoch, Instant::now());
        if refused == Refused::Ended {
            tracing::warn!(
                target: "redis_cached", address = &*self.address,
                "the server takes no writes any more, as a replica; connecting anew, which may lead to the master"
            );
        }
        refused != Refused::Stays
    }

    pub(super) fn tracking(&self) -> Tracking {
        let mut state = lock(&self.lanes[self.tracked_lane()].state);
        let State::Ready(live) = &*state else { return Tracking::Unconnected };
        match &live.channel {
            _ if !self.is_present(live) => Tracking::Unconnected,
            None => Tracking::Refused,
            Some(channel) if channel.has_ended() => {
                // A connection is found dead by who sends something, and nobody would.
                *state = State::Idle;
                Tracking::Unconnected
            }
            Some(channel) => Tracking::On(live.connection.clone(), Arc::clone(channel)),
        }
    }

    /// Gives up a tracking connection that does not answer, or answers something else.
    pub(super) fn end_tracking(&self, ended: &Arc<Channel>) {
        ended.end();
        let mut state = lock(&self.lanes[self.tracked_lane()].state);
        if let State::Ready(Live { channel: Some(channel), .. }) = &*state
            && Arc::ptr_eq(channel, ended)
        {
            *state = State::Idle;
        }
    }

    /// Gives the connections up over one of which came what answers something else.
    pub(crate) fn distrust_reads(&self) {
        self.lanes[..self.reading].iter().for_each(|lane| lane.give_up());
    }

    fn breaker(&self, sending: Sending) -> &Breaker {
        match sending.may {
            May::Read => &self.reads,
            May::Write => &self.writes,
        }
    }

    /// By this lane.
    pub(super) fn has_answered(&self, lane: usize, sending: Sending) {
        self.lanes[lane].timeouts.store(0, Ordering::Relaxed);
        self.answered(sending);
    }

    fn answered(&self, sending: Sending) {
        let mut closed = self.breaker(sending).answered() == Changed::Closed;
        // A server that carries out what may write answers what only reads, too. Not the other way round.
        if sending.may == May::Write {
            closed |= self.reads.answered() == Changed::Closed;
        }
        if closed && self.down.swap(false, Ordering::AcqRel) {
            tracing::info!(target: "redis_cached", address = &*self.address, "the store answers again");
        }
    }

    pub(super) fn unanswered(&self, sending: Sending, admission: Admission) {
        let changed = self.breaker(sending).unanswered(admission, Instant::now());
        // Where nobody can connect, that has been told.
        if changed != Changed::Opened || self.down.swap(true, Ordering::AcqRel) {
            return;
        }
        if sending.may == May::Write {
            tracing::warn!(
                target: "redis_cached", address = &*self.address,
                "the store does not carry out what may write; it is asked now and then whether it does, and what is \
                 not stored is computed by every call meanwhile"
            );
        } else {
            tracing::warn!(
                target: "redis_cached", address = &*self.address,
                "the store does not answer; it is asked now and then whether it does, and cached functions run their \
                 bodies meanwhile"
            );
        }
    }
}

impl Link {
    pub(crate) fn new(
        at: Location,
        limits: Limits,
        tls: &Tls,
        confirmation: Option<Confirmation>,
    ) -> Result<Self, RedisError> {
        let endpoint = Arc::new(Endpoint::new(at, tls)?);
        let metrics = OfServer::new(&endpoint.address());
        let (pools, marks) = (RwLock::default(), Arc::default());
        Ok(Self { endpoint, limits, confirmation, pools, metrics, marks })
    }

    pub(super) fn confirmation(&self) -> Option<&Confirmation> {
        self.confirmation.as_ref()
    }

    pub(super) fn may_change_servers(&self) -> bool {
        self.endpoint.is_service()
    }

    /// The pool of the caller's runtime.
    pub(crate) fn pool(&self) -> Result<Arc<Pool>, StoreError> {
        let handle = Handle::try_current()
            .map_err(|_| StoreError::Unconnected("called outside a tokio runtime".to_owned()))?;
        let runtime = handle.id();
        self.endpoint.watch(self.limits.connect);
        let known = |pools: &[Arc<Pool>]| {
            // The id of a runtime that has ended may be given to another.
            let usable =
                |pool: &&Arc<Pool>| pool.handle.id() == runtime && pool.alive.strong_count() > 0;
            pools.iter().find(usable).cloned()
        };
        if let Some(pool) = known(&self.pools.read().unwrap_or_else(PoisonError::into_inner)) {
            return Ok(pool);
        }
        let mut pools = self.pools.write().unwrap_or_else(PoisonError::into_inner);
        if let Some(pool) = known(&pools) {
            return Ok(pool);
        }
        pools.retain(|pool| pool.alive.strong_count() > 0);
        if pools.len() >= MOST_RUNTIMES {
            pools.remove(0);
        }
        let (alive, end) = (Arc::new(()), CancellationToken::new());
        let (watched, ended) = (Arc::downgrade(&alive), end.clone());
        tokio::spawn(async move {
            ended.cancelled().await;
            drop(alive);
        });
        let address: Arc<str> = self.endpoint.address().into();
        let down: Arc<AtomicBool> = Arc::default();
        let reading = self.limits.connections;
        let lane = || Lane {
            address: Arc::clone(&address),
            down: Arc::clone(&down),
            state: Mutex::new(State::Idle),
            timeouts: AtomicU32::new(0),
        };
        let writing = reading.div_ceil(2);
        let confirming = if self.confirmation.is_some() { writing } else { 0 };
        let lanes = reading + writing + 1 + confirming;
        // Fewer make larger batches, and more let threads get out of each other's way.
        let apart = (handle.metrics().num_workers() / WORKERS).clamp(1, reading);
        let over = |first: usize| Mutex::new(Gathering::over((first..reading).step_by(apart)));
        let gatherings = (0..apart).map(over);
        let pool = Arc::new(Pool {
            handle,
            alive: watched,
            _end: end.drop_guard(),
            lanes: (0..lanes).map(|_| Arc::new(lane())).collect(),
            gatherings: gatherings.collect(),
            large: Large::none(),
            reading,
            writing,
            endpoint: Arc::clone(&self.endpoint),
            reads: Breaker::told_by(self.metrics.breaker(Access::Read)),
            writes: Breaker::told_by(self.metrics.breaker(Access::Write)),
            judged: AtomicU64::new(self.endpoint.epoch.current()),
            address,
            down,
            watcher: Watcher::default(),
            marks: Arc::clone(&self.marks),
            clock: Arc::new(ServerClock::new()),
            sampling: Arc::default(),
        });
        pools.push(Arc::clone(&pool));
        Ok(pool)
    }

    /// Has one thing done, and says by which pool; where the connection turns out to be dead, once more on a new one.
    /// `asking`: of a slot that is on its way to this node.
    pub(super) async fn carry_out(
        &self,
        order: &Order<'_>,
        via: Via<'_>,
        asking: bool,
        deadline: Instant,
    ) -> Result<(Value, Arc<Pool>), StoreError> {
        let pool = self.pool()?;
        let (lane, name) = match via {
            Via::LaneOf(name) => (lane_of(name, pool.lanes()), name),
            Via::Tracked => (pool.tracked_lane(), ""),
        };
        let way = Way { lane, name, asking };
        let (cmd, sending) = match *order {
            Order::Read(cmd, says) => (cmd, Sending { says, ..Sending::READ }),
            Order::Question(cmd) => (cmd, Sending::QUESTION),
            Order::Invalidation(cmd) => (cmd, Sending::INVALIDATION),
            Order::Script { script, keys, args } => {
                let reply = self.script(&pool, way, script, keys, args, deadline).await?;
                return Ok((reply, pool));
            }
        };
        let reply = self.send_as(&pool, way, cmd, sending, deadline).await?;
        Ok((reply, pool))
    }

    /// Whether it is worth asking the server.
    pub(super) fn admitted(&self, pool: &Pool, sending: Sending) -> Result<Admission, StoreError> {
        let admission = pool.admission(sending);
        if admission == Admission::Refused && sending.purpose == Purpose::Ordinary {
            self.metrics.left_alone(sending.may.into());
            return Err(StoreError::LeftAlone);
        }
        Ok(admission)
    }

    async fn send_as(
        &self,
        pool: &Pool,
        way: Way<'_>,
        cmd: &Cmd,
        sending: Sending,
        deadline: Instant,
    ) -> Result<Value, StoreError> {
        let admission = self.admitted(pool, sending)?;
        self.send_admitted(pool, way, cmd, sending, admission, deadline).await
    }

    pub(super) async fn send_admitted(
        &self,
        pool: &Pool,
        way: Way<'_>,
        cmd: &Cmd,
        sending: Sending,
        admission: Admission,
        deadline: Instant,
    ) -> Result<Value, StoreError> {
        let timer = Timer::start();
        let reply = self.carry(pool, way, cmd, sending, admission, deadline).await;
        self.metrics.ended(timer, sending.may.into(), cmd, &reply);
        reply
    }

    async fn carry(
        &self,
        pool: &Pool,
        way: Way<'_>,
        cmd: &Cmd,
        sending: Sending,
        admission: Admission,
        deadline: Instant,
    ) -> Result<Value, StoreError> {
        let invalidates = sending.purpose == Purpose::Invalidation;
        let confirmation = self
            .confirmation
            .as_ref()
            .filter(|confirmation| invalidates && confirmation.has_begun());
        let (lane, deadline) = match confirmation {
            Some(confirmation) => (pool.waiting_lane(way.lane), deadline + confirmation.within()),
            None if sending.may == May::Write => (pool.writing_lane(way.lane), deadline),
            None => (way.lane, deadline),
        };
        let times = if sending.repeatable { 2 } else { 1 };
        let sent = Instant::now();
        let attempt = async {
            let way = Way { lane, ..way };
            let once = || self.send_once(pool, way, cmd, sending.says, confirmation);
            match once().await {
                Err(Failure::Lost(_)) if times > 1 => once().await,
                // It was not carried out.
                Err(Failure::Replica) => once().await,
                other => other,
            }
        };
        match tokio::time::timeout_at(deadline, attempt).await {
            Ok(Ok(value)) => {
                pool.has_answered(lane, sending);
                Ok(value)
            }
            Ok(Err(Failure::Lost(text) | Failure::Unconnected(text))) => {
                pool.unanswered(sending, admission);
                Err(StoreError::Unconnected(text))
            }
            // The other connection leads to one, too.
            Ok(Err(Failure::Replica)) => {
                pool.answered(sending);
                Err(StoreError::Server("READONLY the server is a replica".to_owned()))
            }
            Ok(Err(Failure::Server(text))) => {
                pool.answered(sending);
                Err(StoreError::Server(text))
            }
            Ok(Err(Failure::Unreplicated(error))) => {
                pool.has_answered(lane, sending);
                Err(error)
            }
            Err(_) if confirmation.is_some() => {
                pool.lanes[lane].timed_out();
                Err(StoreError::Deadline(self.limits.deadline))
            }
            Err(_) => Err(self.timed_out(pool, Some(lane), sending, admission, sent)),
        }
    }

    /// What was sent over a lane, or only waited to be, was not answered in time.
    pub(super) fn timed_out(
        &self,
        pool: &Pool,
        lane: Option<usize>,
        sending: Sending,
        admission: Admission,
        sent: Instant,
    ) -> StoreError {
        if let Some(lane) = lane {
            pool.lanes[lane].timed_out();
        }
        // Others may have used most of the time up, and a large value takes its own; so does a replica.
        if sent.elapsed() >= self.limits.deadline / 2 && !sending.large {
            pool.unanswered(sending, admission);
        }
        StoreError::Deadline(self.limits.deadline)
    }

    /// Runs a script by its hash, and sends its text where the server has forgotten it.
    async fn script(
        &self,
        pool: &Pool,
        way: Way<'_>,
        script: &Script,
        keys: &[&str],
        args: &[&[u8]],
        deadline: Instant,
    ) -> Result<Value, StoreError> {
        let command = |name: &str, body: &str| {
            let mut cmd = ::redis::cmd(name);
            cmd.arg(body).arg(keys.len()).arg(keys);
            for &arg in args {
                cmd.arg(arg);
            }
            cmd
        };
        let by_hash = command("EVALSHA", &script.hash);
        let sending = script.sending(args);
        match self.send_as(pool, way, &by_hash, sending, deadline).await {
            Err(StoreError::Server(text)) if text.starts_with("NOSCRIPT") => {
                let by_text = command("EVAL", script.source);
                self.send_as(pool, way, &by_text, sending, deadline).await
            }
            other => other,
        }
    }

    pub(super) async fn send_once(
        &self,
        pool: &Pool,
        way: Way<'_>,
        cmd: &Cmd,
        says: Says,
        confirmation: Option<&Confirmation>,
    ) -> Result<Value, Failure> {
        let mut live = self.connection(pool, way.lane).await.map_err(Failure::Unconnected)?;
        let reply = if let Some(confirmation) = confirmation {
            let all = confirmation.behind(cmd, way.name, way.asking);
            let replies = live.connection.send_packed_commands(&all, 0, all.len()).await;
            replies.and_then(|replies| confirmation.judge(replies, way.asking))
        } else {
            let reply = if way.asking {
                ask(&mut live.connection, cmd).await
            } else {
                live.connection.send_packed_command(cmd).await
            };
            reply.and_then(Value::extract_error).map(Ok)
        };
        let lost = |text| {
            pool.lanes[way.lane].drop_connection(live.generation);
            Err(Failure::Lost(text))
        };
        match reply {
            Err(error) if error.is_unrecoverable_error() || error.is_io_error() => {
                lost(error.to_string())
            }
            // Where one reply is another request's, all that come later are.
            Ok(Ok(reply)) if !says.is_said_by(&reply) => {
                lost("a reply came that answers something else".to_owned())
            }
            Err(error) if is_read_only(&error) && pool.refused_to_write(&live) => {
                Err(Failure::Replica)
            }
            _ if !pool.is_present(&live) => {
                Err(Failure::Lost("the server is no longer the master".to_owned()))
            }
            Err(error) => Err(Failure::Server(server_text(&error))),
            Ok(answer) => answer,
        }
    }

    async fn connection(&self, pool: &Pool, lane: usize) -> Result<Live, String> {
        let (mut outcome, since) = match self.start(pool, lane) {
            Started::Ready(live) => return Ok(live),
            Started::Failed(refusal) => return Err(refusal.text()),
            Started::Connecting(outcome, since) => (outcome, since),
        };
        // An attempt that has already lasted a deadline is not worth another caller's.
        let patience = since + self.limits.deadline;
        let connected = tokio::time::timeout_at(patience, outcome.wait_for(Option::is_some)).await;
        match connected.map(|outcome| outcome.map(|outcome| (*outcome).clone())) {
            Ok(Ok(Some(Err(refusal)))) => Err(refusal.text()),
            Ok(Ok(_)) => match &*lock(&pool.lanes[lane].state) {
                State::Ready(live) => Ok(live.clone()),
                _ => Err("the connection was lost again".to_owned()),
            },
            Ok(Err(_)) => Err("the runtime that was connecting has ended".to_owned()),
            Err(_) => Err(format!("not connected within {:?}", self.limits.deadline)),
        }
    }

    /// Connects every lane, for `build()`; the first refusal is the answer.
    pub(crate) async fn connect_all(&self, pool: &Pool) -> Result<(), Refusal> {
        for lane in 0..pool.lanes.len() {
            self.connect(pool, lane).await?;
        }
        Ok(())
    }

    async fn connect(&self, pool: &Pool, lane: usize) -> Result<(), Refusal> {
        match self.start(pool, lane) {
            Started::Ready(_) => {}
            Started::Failed(refusal) => return Err(refusal),
            Started::Connecting(mut outcome, _) => {
                if let Ok(outcome) = outcome.wait_for(Option::is_some).await
                    && let Some(Err(refusal)) = &*outcome
                {
                    return Err(refusal.clone());
                }
            }
        }
        Ok(())
    }

    /// Asks the server itself, and not for a key. The refusal says whether it was reached.
    pub(super) async fn inquire(&self, cmd: &Cmd) -> Result<Value, Refusal> {
        let pool = self.pool().map_err(|error| Refusal::Unreachable(error.to_string()))?;
        self.connect(&pool, 0).await?;
        let deadline = Instant::now() + self.limits.deadline;
        let way = Way { lane: 0, name: "", asking: false };
        self.send_as(&pool, way, cmd, Sending::QUESTION, deadline).await.map_err(
            |error| match error {
                StoreError::Server(text) => Refusal::from_text(text),
                error => Refusal::Unreachable(error.to_string()),
            },
        )
    }

    /// The same by a connection of its own, for a server that has no keys: nothing is told of it, and nothing kept.
    pub(super) async fn inquire_once(&self, cmd: &Cmd) -> Result<Value, Refusal> {
        let Limits { connect: limit, deadline, .. } = self.limits;
        let attempt = Attempt { endpoint: Arc::clone(&self.endpoint), limit, tracking: None };
        let Connected { mut connection, .. } = attempt.connect(&ServerClock::new()).await?;
        let asked = tokio::time::timeout(deadline, connection.send_packed_command(cmd)).await;
        let reply =
            asked.map_err(|_| Refusal::Unreachable(format!("no answer within {deadline:?}")))?;
        reply.and_then(Value::extract_error).map_err(|error| Refusal::from_connecting(&error))
    }

    /// Returns what the lane has, and sees to it that an idle one connects.
    ///
    /// Connecting is a task of its own: a caller that gives up leaves it running for the next.
    fn start(&self, pool: &Pool, lane: usize) -> Started {
        let slot = &pool.lanes[lane];
        let mut state = lock(&slot.state);
        let pause = match &*state {
            State::Ready(live) if pool.is_present(live) => return Started::Ready(live.clone()),
            // An attempt whose task ended without an outcome died with its runtime.
            State::Connecting { outcome, since } if outcome.has_changed().is_ok() => {
                return Started::Connecting(outcome.clone(), *since);
            }
            State::Failed { refusal, until, epoch, .. }
                if Instant::now() < *until && *epoch == pool.endpoint.epoch.current() =>
            {
                return Started::Failed(refusal.clone());
            }
            State::Failed { pause, .. } => (*pause * 2).min(LONGEST_PAUSE),
            State::Connecting { .. } | State::Ready(_) | State::Idle => FIRST_PAUSE,
        };
        let epoch = pool.endpoint.epoch.current();
        let (report, outcome) = watch::channel(None);
        let since = Instant::now();
        *state = State::Connecting { outcome: outcome.clone(), since };
        drop(state);
        let attempt = Attempt {
            endpoint: Arc::clone(&self.endpoint),
            limit: self.limits.connect,
            tracking: (lane == pool.tracked_lane())
                .then(|| (pool.watcher.clone(), Arc::clone(&pool.marks))),
        };
        let slot = Arc::clone(slot);
        let clock = Arc::clone(&pool.clock);
        tokio::spawn(async move {
            let connected = attempt.connect(&clock).await;
            let result = slot.connected(connected, pause, epoch);
            report.send_replace(Some(result));
        });
        Started::Connecting(outcome, since)
    }

    /// Has the connection for tracked reads made, if there is none.
    pub(super) fn start_tracking(&self, pool: &Pool) {
        let _ = self.start(pool, pool.tracked_lane());
    }

    /// Asks for the server's time behind the caller, one question at a time.
    pub(crate) fn sample_clock(&self, pool: &Arc<Pool>, lane: usize) {
        if pool.sampling.swap(true, Ordering::AcqRel) {
            return;
        }
        let Started::Ready(mut live) = self.start(pool, lane) else {
            pool.sampling.store(false, Ordering::Release);
            return;
        };
        let (clock, sampling) = (Arc::clone(&pool.clock), Arc::clone(&pool.sampling));
        let limit = self.limits.deadline;
        tokio::spawn(async move {
            let _ = tokio::time::timeout(limit, sample(&mut live.connection, &clock)).await;
            sampling.store(false, Ordering::Release);
        });
    }
}

/// What a command may do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum May {
    Read,
    /// As every script may, as far as a server knows.
    Write,
}

impl From<May> for Access {
    fn from(may: May) -> Self {
        match may {
            May::Read => Self::Read,
            May::Write => Self::Write,
        }
    }
}

/// How a command is sent.
#[derive(Clone, Copy, Debug)]
pub(super) struct Sending {
    /// Once more, where the connection was lost on the way.
    pub(super) repeatable: bool,
    pub(super) may: May,
    /// It takes its time by its size.
    pub(super) large: bool,
    pub(super) purpose: Purpose,
    pub(super) says: Says,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Purpose {
    /// Not worth asking a server for that has not answered lately.
    Ordinary,
    /// To see whether it answers.
    Question,
    /// Not given up before it was tried, and counts only when replicas have it, where that is asked for.
    Invalidation,
}

impl Sending {
    pub(super) const READ: Self = Self {
        repeatable: true,
        may: May::Read,
        large: false,
        purpose: Purpose::Ordinary,
        says: Says::Anything,
    };
    const QUESTION: Self = Self { purpose: Purpose::Question, ..Self::READ };
    const INVALIDATION: Self =
        Self { may: May::Write, purpose: Purpose::Invalidation, ..Self::READ };
}

/// What a server is to do.
#[derive(Clone, Copy)]
pub(super) enum Order<'a> {
    Read(&'a Cmd, Says),
    /// Also where it has not answered lately.
    Question(&'a Cmd),
    /// Also then, and it counts only when replicas have it, where that is asked for.
    Invalidation(&'a Cmd),
    Script {
        script: &'a Script,
        keys: &'a [&'a str],
        args: &'a [&'a [u8]],
    },
}

/// By which connection, about which key, and whether behind `ASKING`.
#[derive(Clone, Copy)]
pub(super) struct Way<'a> {
    lane: usize,
    name: &'a str,
    asking: bool,
}

impl Way<'_> {
    /// Of what no replica has to confirm.
    pub(super) fn by(lane: usize) -> Self {
        Self { lane, name: "", asking: false }
    }
}

/// By which connection of a pool.
#[derive(Clone, Copy, Debug)]
pub(super) enum Via<'a> {
    LaneOf(&'a str),
    /// The one whose reads the server tracks.
    Tracked,
}

enum Started {
    Ready(Live),
    Connecting(watch::Receiver<Option<Result<(), Refusal>>>, Instant),
    Failed(Refusal),
}

pub(super) enum Failure {
    /// The connection is gone; whether the command was carried out is unknown.
    Lost(String),
    Unconnected(String),
    /// The server takes no writes: it was the master, and another one is.
    Replica,
    /// Carried out, but by too few of its replicas.
    Unreplicated(StoreError),
    Server(String),
}

fn is_read_only(error: &RedisError) -> bool {
    error.kind() == ErrorKind::Server(ServerErrorKind::ReadOnly)
}

/// Both go out together: between them nothing of others may come, which the node would take for what it was asked.
async fn ask(connection: &mut MultiplexedConnection, cmd: &Cmd) -> Result<Value, RedisError> {
    let mut both = ::redis::pipe();
    both.cmd("ASKING").add_command(cmd.clone());
    let replies = connection.send_packed_commands(&both, 1, 1).await?;
    Ok(replies.into_iter().next().unwrap_or(Value::Nil))
}

/// A server's error as `CODE text`, without what it quotes of the request: that may be a password, a
/// key or a value.
pub(super) fn server_text(error: &RedisError) -> String {
    let text = match (error.code(), error.detail()) {
        (Some(code), Some(detail)) => format!("{code} {detail}"),
        (Some(code), None) => code.to_owned(),
        _ => error.to_string(),
    };
    match text.find("with args beginning with") {
        Some(quoted) => text[..quoted].trim_end_matches([',', ' ']).to_owned(),
        None => text,
    }
}

impl Lane {
    fn drop_connection(&self, lost: u64) {
        let mut state = lock(&self.state);
        if matches!(&*state, State::Ready(live) if live.generation == lost) {
            *state = State::Idle;
        }
    }

    /// Timeouts alone do not make redis-rs reconnect: a peer behind a dead route stays connected.
    fn timed_out(&self) {
        if self.timeouts.fetch_add(1, Ordering::Relaxed) + 1 < MOST_TIMEOUTS {
            return;
        }
        self.timeouts.store(0, Ordering::Relaxed);
        self.give_up();
    }

    fn give_up(&self) {
        let mut state = lock(&self.state);
        if matches!(&*state, State::Ready(_)) {
            *state = State::Idle;
        }
    }

    fn connected(
        &self,
        connected: Result<Connected, Refusal>,
        pause: Duration,
        begun_in: u64,
    ) -> Result<(), Refusal> {
        let mut state = lock(&self.state);
        match connected {
            Ok(Connected { connection, epoch, channel }) => {
                self.timeouts.store(0, Ordering::Relaxed);
                if self.down.swap(false, Ordering::AcqRel) {
                    tracing::info!(target: "redis_cached", address = &*self.address, "the store is there again");
                }
                *state = State::Ready(Live {
                    connection,
                    generation: fastrand::u64(..),
                    epoch,
                    channel,
                });
                Ok(())
            }
            Err(refusal) => {
                if !self.down.swap(true, Ordering::AcqRel) {
                    tracing::warn!(
                        target: "redis_cached", address = &*self.address,
                        why = refusal.text(),
                        "the store can't be used; cached functions run their bodies until it can"
                    );
                }
                let jittered = pause.mul_f64(0.75 + fastrand::f64() / 2.0);
                let until = Instant::now() + jittered;
                *state = State::Failed { refusal: refusal.clone(), until, pause, epoch: begun_in };
                Err(refusal)
            }
        }
    }
}

struct Attempt {
    endpoint: Arc<Endpoint>,
    limit: Duration,
    /// What is told of pushes, for the connection that tracks.
    tracking: Option<(Watcher, Arc<Marks>)>,
}

struct Connected {
    connection: MultiplexedConnection,
    epoch: u64,
    channel: Option<Arc<Channel>>,
}

impl Attempt {
    async fn connect(&self, clock: &ServerClock) -> Result<Connected, Refusal> {
        let mut config = AsyncConnectionConfig::new()
            .set_connection_timeout(Some(self.limit))
            // Every caller brings its own deadline.
            .set_response_timeout(None);
        let ended: Arc<AtomicBool> = Arc::default();
        if let Some((watcher, marks)) = self.tracking.clone() {
            let ended = Arc::clone(&ended);
            // By the task that reads the stream, before it gives what comes next to whoever waits for it.
            config = config.set_push_sender(move |push: PushInfo| {
                near::pushed(&push, &marks, &ended);
                watcher.pushed(&push);
                Ok::<(), std::convert::Infallible>(())
            });
        }
        let connect = async {
            let (mut connection, epoch) = self.endpoint.connect(&config, self.limit).await?;
            let prepared = self.prepare(&mut connection, clock).await;
            let tracks = prepared.map_err(|error| Refusal::from_connecting(&error))?;
            let marks = self.tracking.as_ref().filter(|_| tracks).map(|(_, marks)| marks);
            let present = Arc::clone(&self.endpoint.epoch);
            let is_present = move || present.current() == epoch;
            let channel =
                marks.map(|marks| Arc::new(Channel::new(Arc::clone(marks), ended, is_present)));
            Ok(Connected { connection, epoch, channel })
        };
        match tokio::time::timeout(self.limit, connect).await {
            Ok(connected) => connected,
            Err(_) => Err(Refusal::Unreachable(format!("no answer within {:?}", self.limit))),
        }
    }

    /// Whether the server tracks what is read.
    async fn prepare(
        &self,
        connection: &mut MultiplexedConnection,
        clock: &ServerClock,
    ) -> Result<bool, RedisError> {
        clock.forget();
        sample(connection, clock).await?;
        if self.tracking.is_none() {
            return Ok(false);
        }
        let on = ::redis::cmd("CLIENT").arg("TRACKING").arg("ON").clone();
        match on.exec_async(connection).await {
            Err(error) if error.is_unrecoverable_error() => Err(error),
            Err(error) => {
                tracing::debug!(
                    target: "redis_cached", why = server_text(&error),
                    "the server does not push; the ends of leases are polled for"
                );
                Ok(false)
            }
            Ok(()) => Ok(true),
        }
    }
}

async fn sample(
    connection: &mut MultiplexedConnection,
    clock: &ServerClock,
) -> Result<(), RedisError> {
    let sent = Instant::now();
    let (seconds, micros): (u64, u64) = ::redis::cmd("TIME").query_async(connection).await?;
    clock.sample(sent, seconds * 1000 + micros / 1000);
    Ok(())
}

impl Refusal {
    pub(super) fn from_connecting(error: &RedisError) -> Self {
        if let Some(why) = tls::refusal(error) {
            return Self::Certificate(why);
        }
        match error.kind() {
            ErrorKind::AuthenticationFailed => Self::Authentication(server_text(error)),
            ErrorKind::Server(ServerErrorKind::NoPerm) => Self::Permission(server_text(error)),
            _ if error.is_io_error() || error.is_timeout() || error.is_connection_refusal() => {
                Self::Unreachable(error.to_string())
            }
            _ => Self::from_text(server_text(error)),
        }
    }

    pub(super) fn text(&self) -> String {
        match self {
            Self::Unreachable(text) => format!("the server can't be reached: {text}"),
            Self::Authentication(text) => format!("the server refuses the credentials: {text}"),
            Self::Permission(text) => format!("the user lacks a permission: {text}"),
            Self::Certificate(text) => {
                format!("no trust between the server and this program: {text}")
            }
            Self::Url(text) => (*text).to_owned(),
            Self::Service(name) => format!("no sentinel knows the service {name:?}"),
            Self::Other(text) => text.clone(),
        }
    }
}

#[cfg(test)]
mod tests {
    use ::redis::IntoConnectionInfo as _;

    use super::*;

    fn link() -> Link {
        let info = "redis://127.0.0.1/".into_connection_info().expect("it is one");
        let second = Duration::from_secs(1);
        let limits = Limits { connections: 1, deadline: second, connect: second };
        let at = Location::Server(Box::new(info));
        Link::new(at, limits, &Tls::default(), None).expect("it connects later")
    }

    #[tokio::test]
    async fn c5_what_is_known_of_an_old_master_is_not_held_against_the_new_one() {
        let link = link();
        let pool = link.pool().expect("there is a runtime");
        let reads = Sending::READ;
        let writes = Sending { may: May::Write, ..reads };
        for sending in [reads, writes] {
            while pool.admission(sending) == Admission::Admitted {
                pool.unanswered(sending, Admission::Admitted);
            }
            assert_eq!(pool.admission(sending), Admission::Refused);
        }
        link.endpoint.epoch.end(0);
        for sending in [reads, writes] {
            assert_eq!(pool.admission(sending), Admission::Admitted);
        }
    }

    #[tokio::test]
    async fn c5_a_server_that_carries_out_writes_is_asked_for_values_again() {
        let link = link();
        let pool = link.pool().expect("there is a runtime");
        let reads = Sending::READ;
        let writes = Sending { may: May::Write, ..reads };
        let open = |sending| {
            while pool.admission(sending) == Admission::Admitted {
                pool.unanswered(sending, Admission::Admitted);
            }
        };
        open(reads);
        pool.answered(writes);
        assert_eq!(pool.admission(reads), Admission::Admitted);
        // A server may hold what writes, and go on with what reads.
        open(writes);
        pool.answered(reads);
        assert_eq!(pool.admission(writes), Admission::Refused);
    }
}
