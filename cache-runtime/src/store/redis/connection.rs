//! A pool of multiplexed connections for each tokio runtime that uses the cache.
//!
//! A connection's driver is a task, and dies with the runtime that made it; one of a runtime that
//! nobody drives at the moment answers nothing. So a caller only ever uses connections that belong
//! to its own runtime.

use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::sync::{Arc, Mutex, PoisonError, RwLock, Weak};
use std::time::Duration;

use ::redis::aio::MultiplexedConnection;
use ::redis::io::tcp::{TcpSettings, socket2::TcpKeepalive};
use ::redis::{
    AsyncConnectionConfig, Client, Cmd, ConnectionInfo, ErrorKind, ProtocolVersion, PushInfo,
    RedisError, ServerErrorKind, Value,
};
use tokio::runtime::{Handle, Id};
use tokio::sync::watch;
use tokio::time::Instant;
use tokio_util::sync::{CancellationToken, DropGuard};

use super::super::StoreError;
use super::Refusal;
use super::breaker::{Admission, Breaker, Changed};
use super::scripts::Script;
use super::tls;
use super::watch::Watcher;
use crate::clock::ServerClock;
use crate::config::Tls;
use crate::key::lane_of;
use crate::sync::lock;

/// As many living runtimes may have connections at a time; the oldest loses them first.
const MOST_RUNTIMES: usize = 64;
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

/// What one server is reached by.
pub(crate) struct Link {
    client: Client,
    pub(crate) limits: Limits,
    pools: RwLock<Vec<Arc<Pool>>>,
}

/// The connections that live on one runtime. The last lane carries the tracked reads of leases.
pub(crate) struct Pool {
    runtime: Id,
    /// Held by a task of the runtime, and so gone with it.
    alive: Weak<()>,
    /// Ends that task with the pool.
    _end: DropGuard,
    lanes: Vec<Arc<Lane>>,
    breaker: Breaker,
    address: Arc<str>,
    /// Whether it was told that the store can't be used, so that each change is told once.
    down: Arc<AtomicBool>,
    pub(crate) watcher: Watcher,
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
    Connecting { outcome: watch::Receiver<Option<Result<(), Refusal>>>, since: Instant },
    Ready { connection: MultiplexedConnection, generation: u64 },
    Failed { refusal: Refusal, until: Instant, pause: Duration },
}

impl Pool {
    pub(crate) fn lanes(&self) -> usize {
        self.lanes.len() - 1
    }

    fn tracked_lane(&self) -> usize {
        self.lanes.len() - 1
    }

    fn answered(&self) {
        if self.breaker.answered() == Changed::Closed && self.down.swap(false, Ordering::AcqRel) {
            tracing::info!(target: "redis_cached", address = &*self.address, "the store answers again");
        }
    }

    fn unanswered(&self, admission: Admission) {
        let changed = self.breaker.unanswered(admission, Instant::now());
        // Where nobody can connect, that has been told.
        if changed == Changed::Opened && !self.down.swap(true, Ordering::AcqRel) {
            tracing::warn!(
                target: "redis_cached", address = &*self.address,
                "the store does not answer; it is asked now and then whether it does, and cached functions run their \
                 bodies meanwhile"
            );
        }
    }
}

impl Link {
    pub(crate) fn new(info: ConnectionInfo, limits: Limits, tls: &Tls) -> Result<Self, RedisError> {
        let keepalive = TcpKeepalive::new()
            .with_time(Duration::from_secs(10))
            .with_interval(Duration::from_secs(5));
        let tcp = TcpSettings::default().set_nodelay(true).set_keepalive(keepalive);
        let redis = info.redis_settings().clone().set_protocol(ProtocolVersion::RESP3);
        let client = tls::client(info.set_tcp_settings(tcp).set_redis_settings(redis), tls)?;
        Ok(Self { client, limits, pools: RwLock::default() })
    }

    /// The pool of the caller's runtime.
    pub(crate) fn pool(&self) -> Result<Arc<Pool>, StoreError> {
        let runtime = Handle::try_current()
            .map_err(|_| StoreError::Unconnected("called outside a tokio runtime".to_owned()))?
            .id();
        let known = |pools: &[Arc<Pool>]| {
            // The id of a runtime that has ended may be given to another.
            let usable =
                |pool: &&Arc<Pool>| pool.runtime == runtime && pool.alive.strong_count() > 0;
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
        let address: Arc<str> = self.client.get_connection_info().addr().to_string().into();
        let down: Arc<AtomicBool> = Arc::default();
        let lane = || Lane {
            address: Arc::clone(&address),
            down: Arc::clone(&down),
            state: Mutex::new(State::Idle),
            timeouts: AtomicU32::new(0),
        };
        let pool = Arc::new(Pool {
            runtime,
            alive: watched,
            _end: end.drop_guard(),
            lanes: (0..=self.limits.connections).map(|_| Arc::new(lane())).collect(),
            breaker: Breaker::default(),
            address,
            down,
            watcher: Watcher::default(),
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
        let lane = match via {
            Via::LaneOf(name) => lane_of(name, pool.lanes()),
            Via::Tracked => pool.tracked_lane(),
        };
        let way = Way { lane, asking };
        let (cmd, unrefused) = match *order {
            Order::Command(cmd) => (cmd, false),
            Order::Unrefused(cmd) => (cmd, true),
            Order::Script { script, keys, args } => {
                let reply = self.script(&pool, way, script, keys, args, deadline).await?;
                return Ok((reply, pool));
            }
        };
        let sending = Sending { unrefused, ..Sending::REPEATABLE };
        let reply = self.send_as(&pool, way, cmd, sending, deadline).await?;
        Ok((reply, pool))
    }

    async fn send_as(
        &self,
        pool: &Pool,
        way: Way,
        cmd: &Cmd,
        sending: Sending,
        deadline: Instant,
    ) -> Result<Value, StoreError> {
        let times = if sending.repeatable { 2 } else { 1 };
        let admission = pool.breaker.admission(Instant::now);
        if admission == Admission::Refused && !sending.unrefused {
            return Err(StoreError::Unconnected(
                "the server has not answered lately, and is asked again soon".to_owned(),
            ));
        }
        let sent = Instant::now();
        let attempt = async {
            match self.send_once(pool, way, cmd).await {
                Err(Failure::Lost(_)) if times > 1 => self.send_once(pool, way, cmd).await,
                other => other,
            }
        };
        match tokio::time::timeout_at(deadline, attempt).await {
            Ok(Ok(value)) => {
                pool.lanes[way.lane].timeouts.store(0, Ordering::Relaxed);
                pool.answered();
                Ok(value)
            }
            Ok(Err(Failure::Lost(text) | Failure::Unconnected(text))) => {
                pool.unanswered(admission);
                Err(StoreError::Unconnected(text))
            }
            Ok(Err(Failure::Server(text))) => {
                pool.answered();
                Err(StoreError::Server(text))
            }
            Err(_) => {
                pool.lanes[way.lane].timed_out();
                // Others may have used most of the time up, and a large value takes its own.
                if sent.elapsed() >= self.limits.deadline / 2 && !sending.large {
                    pool.unanswered(admission);
                }
                Err(StoreError::Deadline(self.limits.deadline))
            }
        }
    }

    /// Runs a script by its hash, and sends its text where the server has forgotten it.
    async fn script(
        &self,
        pool: &Pool,
        way: Way,
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

    async fn send_once(&self, pool: &Pool, way: Way, cmd: &Cmd) -> Result<Value, Failure> {
        let (mut connection, generation) =
            self.connection(pool, way.lane).await.map_err(Failure::Unconnected)?;
        let reply = if way.asking {
            ask(&mut connection, cmd).await
        } else {
            connection.send_packed_command(cmd).await
        };
        reply.and_then(Value::extract_error).map_err(|error| {
            if error.is_unrecoverable_error() || error.is_io_error() {
                pool.lanes[way.lane].drop_connection(generation);
                return Failure::Lost(error.to_string());
            }
            Failure::Server(server_text(&error))
        })
    }

    async fn connection(
        &self,
        pool: &Pool,
        lane: usize,
    ) -> Result<(MultiplexedConnection, u64), String> {
        let (mut outcome, since) = match self.start(pool, lane) {
            Started::Ready(connection, generation) => return Ok((connection, generation)),
            Started::Failed(refusal) => return Err(refusal.text()),
            Started::Connecting(outcome, since) => (outcome, since),
        };
        // An attempt that has already lasted a deadline is not worth another caller's.
        let patience = since + self.limits.deadline;
        let connected = tokio::time::timeout_at(patience, outcome.wait_for(Option::is_some)).await;
        match connected.map(|outcome| outcome.map(|outcome| (*outcome).clone())) {
            Ok(Ok(Some(Err(refusal)))) => Err(refusal.text()),
            Ok(Ok(_)) => match &*lock(&pool.lanes[lane].state) {
                State::Ready { connection, generation } => Ok((connection.clone(), *generation)),
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
            Started::Ready(..) => {}
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
        let sending = Sending { unrefused: true, ..Sending::REPEATABLE };
        let deadline = Instant::now() + self.limits.deadline;
        let way = Way { lane: 0, asking: false };
        self.send_as(&pool, way, cmd, sending, deadline).await.map_err(|error| match error {
            StoreError::Server(text) => Refusal::from_text(text),
            error => Refusal::Unreachable(error.to_string()),
        })
    }

    /// The same by a connection of its own, for a server that has no keys: nothing is told of it, and nothing kept.
    pub(super) async fn inquire_once(&self, cmd: &Cmd) -> Result<Value, Refusal> {
        let Limits { connect: limit, deadline, .. } = self.limits;
        let attempt = Attempt { client: self.client.clone(), limit, watcher: None };
        let mut connection = attempt.connect(&ServerClock::new()).await?;
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
            State::Ready { connection, generation } => {
                return Started::Ready(connection.clone(), *generation);
            }
            // An attempt whose task ended without an outcome died with its runtime.
            State::Connecting { outcome, since } if outcome.has_changed().is_ok() => {
                return Started::Connecting(outcome.clone(), *since);
            }
            State::Failed { refusal, until, .. } if Instant::now() < *until => {
                return Started::Failed(refusal.clone());
            }
            State::Failed { pause, .. } => (*pause * 2).min(LONGEST_PAUSE),
            State::Connecting { .. } | State::Idle => FIRST_PAUSE,
        };
        let (report, outcome) = watch::channel(None);
        let since = Instant::now();
        *state = State::Connecting { outcome: outcome.clone(), since };
        drop(state);
        let attempt = Attempt {
            client: self.client.clone(),
            limit: self.limits.connect,
            watcher: (lane == pool.tracked_lane()).then(|| pool.watcher.clone()),
        };
        let slot = Arc::clone(slot);
        let clock = Arc::clone(&pool.clock);
        tokio::spawn(async move {
            let connected = attempt.connect(&clock).await;
            let result = slot.connected(connected, pause);
            report.send_replace(Some(result));
        });
        Started::Connecting(outcome, since)
    }

    /// Asks for the server's time behind the caller, one question at a time.
    pub(crate) fn sample_clock(&self, pool: &Arc<Pool>, lane: usize) {
        if pool.sampling.swap(true, Ordering::AcqRel) {
            return;
        }
        let Started::Ready(mut connection, _) = self.start(pool, lane) else {
            pool.sampling.store(false, Ordering::Release);
            return;
        };
        let (clock, sampling) = (Arc::clone(&pool.clock), Arc::clone(&pool.sampling));
        let limit = self.limits.deadline;
        tokio::spawn(async move {
            let _ = tokio::time::timeout(limit, sample(&mut connection, &clock)).await;
            sampling.store(false, Ordering::Release);
        });
    }
}

/// How a command is sent.
#[derive(Clone, Copy, Debug)]
pub(super) struct Sending {
    /// Once more, where the connection was lost on the way.
    pub(super) repeatable: bool,
    /// Also to a server that has not answered lately: an invalidation is not given up before it was tried.
    pub(super) unrefused: bool,
    /// It takes its time by its size.
    pub(super) large: bool,
}

impl Sending {
    const REPEATABLE: Self = Self { repeatable: true, unrefused: false, large: false };
}

/// What a server is to do.
#[derive(Clone, Copy)]
pub(super) enum Order<'a> {
    Command(&'a Cmd),
    /// Also where it has not answered lately.
    Unrefused(&'a Cmd),
    Script {
        script: &'a Script,
        keys: &'a [&'a str],
        args: &'a [&'a [u8]],
    },
}

/// By which connection, and whether behind `ASKING`.
#[derive(Clone, Copy)]
struct Way {
    lane: usize,
    asking: bool,
}

/// By which connection of a pool.
#[derive(Clone, Copy, Debug)]
pub(super) enum Via<'a> {
    LaneOf(&'a str),
    /// The one whose reads the server tracks.
    Tracked,
}

enum Started {
    Ready(MultiplexedConnection, u64),
    Connecting(watch::Receiver<Option<Result<(), Refusal>>>, Instant),
    Failed(Refusal),
}

enum Failure {
    /// The connection is gone; whether the command was carried out is unknown.
    Lost(String),
    Unconnected(String),
    Server(String),
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
        if matches!(&*state, State::Ready { generation, .. } if *generation == lost) {
            *state = State::Idle;
        }
    }

    /// Timeouts alone do not make redis-rs reconnect: a peer behind a dead route stays connected.
    fn timed_out(&self) {
        if self.timeouts.fetch_add(1, Ordering::Relaxed) + 1 < MOST_TIMEOUTS {
            return;
        }
        self.timeouts.store(0, Ordering::Relaxed);
        let mut state = lock(&self.state);
        if matches!(&*state, State::Ready { .. }) {
            *state = State::Idle;
        }
    }

    fn connected(
        &self,
        connected: Result<MultiplexedConnection, Refusal>,
        pause: Duration,
    ) -> Result<(), Refusal> {
        let mut state = lock(&self.state);
        match connected {
            Ok(connection) => {
                self.timeouts.store(0, Ordering::Relaxed);
                if self.down.swap(false, Ordering::AcqRel) {
                    tracing::info!(target: "redis_cached", address = &*self.address, "the store is there again");
                }
                *state = State::Ready { connection, generation: fastrand::u64(..) };
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
                *state = State::Failed { refusal: refusal.clone(), until, pause };
                Err(refusal)
            }
        }
    }
}

struct Attempt {
    client: Client,
    limit: Duration,
    /// Set for the connection that tracks.
    watcher: Option<Watcher>,
}

impl Attempt {
    async fn connect(&self, clock: &ServerClock) -> Result<MultiplexedConnection, Refusal> {
        let mut config = AsyncConnectionConfig::new()
            .set_connection_timeout(Some(self.limit))
            // Every caller brings its own deadline.
            .set_response_timeout(None);
        if let Some(watcher) = self.watcher.clone() {
            config = config.set_push_sender(move |push: PushInfo| {
                watcher.pushed(&push);
                Ok::<(), std::convert::Infallible>(())
            });
        }
        let connect = async {
            let mut connection =
                self.client.get_multiplexed_async_connection_with_config(&config).await?;
            clock.forget();
            sample(&mut connection, clock).await?;
            if self.watcher.is_some() {
                let on = ::redis::cmd("CLIENT").arg("TRACKING").arg("ON").clone();
                match on.exec_async(&mut connection).await {
                    Err(error) if error.is_unrecoverable_error() => return Err(error),
                    Err(error) => tracing::debug!(
                        target: "redis_cached", why = server_text(&error),
                        "the server does not push; the ends of leases are polled for"
                    ),
                    Ok(()) => {}
                }
            }
            Ok(connection)
        };
        match tokio::time::timeout(self.limit, connect).await {
            Ok(connected) => {
                connected.map_err(|error: RedisError| Refusal::from_connecting(&error))
            }
            Err(_) => Err(Refusal::Unreachable(format!("no answer within {:?}", self.limit))),
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
    fn from_connecting(error: &RedisError) -> Self {
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
            Self::Other(text) => text.clone(),
        }
    }
}
