//! Finds the master of a service by asking its sentinels, and notices when it is another one.
//!
//! A sentinel may lag behind the others, and a server that was the master may not know yet that it no longer is. So
//! of two answers the one of the newer configuration counts, what they name is asked itself before it is used,
//! and while connections are in use the sentinels are asked whether they still lead to the master.

use std::collections::HashMap;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use ::redis::aio::MultiplexedConnection;
use ::redis::{
    AsyncConnectionConfig, Client, ConnectionAddr, ConnectionInfo, PushInfo, PushKind, RedisError,
    Value,
};
use tokio::runtime::{Handle, Id};
use tokio::time::Instant;

use super::Refusal;
use super::epoch::Epoch;
use crate::freshness::millis;
use crate::sync::lock;

/// While the store is used one sentinel is asked this often, each in its turn, whether the master is the same. One that
/// says by itself that it is another is asked at once.
const BETWEEN_QUESTIONS: Duration = Duration::from_secs(1);

pub(super) struct Sentinels {
    service: String,
    all: Vec<Sentinel>,
    /// All that a connection to the master needs but its address.
    master: ConnectionInfo,
    /// Who is asked first: whose answer was good the last time.
    first: AtomicUsize,
    /// Whose turn it is to be asked whether the master is the same.
    turn: AtomicUsize,
    /// When that is due, in ms since `began`.
    due: AtomicU64,
    began: Instant,
    /// A sentinel has said by itself that there is another master.
    switched: Arc<AtomicBool>,
    known: Mutex<Known>,
}

#[derive(Default)]
struct Known {
    master: Option<Named>,
    /// The epoch that began when it was found.
    since: u64,
    /// The highest configuration epoch that a sentinel has told of.
    newest: u64,
}

struct Sentinel {
    client: Client,
    kept: Mutex<Option<Kept>>,
}

/// A connection to a sentinel, for the next question from the same runtime.
struct Kept {
    runtime: Id,
    connection: MultiplexedConnection,
}

/// What a sentinel takes for the master.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Named {
    host: String,
    port: u16,
    /// Raised with every failover. An answer with a lower one is an older answer.
    config_epoch: u64,
}

impl Named {
    fn is_at(&self, other: &Self) -> bool {
        (&self.host, self.port) == (&other.host, other.port)
    }
}

impl Sentinels {
    pub(super) fn new(service: String, clients: Vec<Client>, master: ConnectionInfo) -> Self {
        let sentinel = |client| Sentinel { client, kept: Mutex::default() };
        Self {
            service,
            all: clients.into_iter().map(sentinel).collect(),
            master,
            first: AtomicUsize::new(0),
            turn: AtomicUsize::new(0),
            due: AtomicU64::new(0),
            began: Instant::now(),
            switched: Arc::default(),
            known: Mutex::default(),
        }
    }

    /// What stands in log lines.
    pub(super) fn address(&self) -> String {
        let sentinel =
            |sentinel: &Sentinel| sentinel.client.get_connection_info().addr().to_string();
        let sentinels: Vec<String> = self.all.iter().map(sentinel).collect();
        format!("{} of the sentinels {}", self.service, sentinels.join(", "))
    }

    /// A connection to the master, and the epoch it belongs to. Asks one sentinel after the other until one names a server
    /// that is one.
    pub(super) async fn connect(
        &self,
        config: &AsyncConnectionConfig,
        epoch: &Epoch,
        limit: Duration,
    ) -> Result<(MultiplexedConnection, u64), Refusal> {
        let begun = epoch.current();
        let mut older: Vec<Named> = Vec::new();
        let mut tried: Vec<Named> = Vec::new();
        let mut refusal: Option<Refusal> = None;
        let first = self.first.load(Ordering::Relaxed);
        for step in 0..self.all.len() {
            let at = (first + step) % self.all.len();
            // What this one names may keep the whole attempt waiting: then the next begins behind it.
            self.first.store(at + 1, Ordering::Relaxed);
            let named = match self.ask(at, limit).await {
                Ok(named) if named.config_epoch < lock(&self.known).newest => {
                    older.push(named);
                    continue;
                }
                Ok(named) if tried.iter().any(|tried| tried.is_at(&named)) => continue,
                Ok(named) => named,
                Err(refused) => {
                    refusal = Some(louder(refusal, refused));
                    continue;
                }
            };
            match self.connect_to(&named, config).await {
                Ok(connection) => {
                    self.first.store(at, Ordering::Relaxed);
                    return Ok((connection, self.found(named, begun, epoch)?));
                }
                Err(refused) => refusal = Some(louder(refusal, refused)),
            }
            tried.push(named);
        }
        if older.len() == self.all.len()
            && let Some(named) = older.into_iter().max_by_key(|named| named.config_epoch)
        {
            // None is left that knows better: they were set up anew, and count from the beginning.
            let connection = self.connect_to(&named, config).await?;
            lock(&self.known).newest = named.config_epoch;
            return Ok((connection, self.found(named, begun, epoch)?));
        }
        Err(refusal.unwrap_or_else(|| {
            Refusal::Unreachable("the sentinels do not agree on a master yet".to_owned())
        }))
    }

    /// The epoch of a connection to a master that was looked for since another one. Not of one that is known to be older.
    fn found(&self, named: Named, begun: u64, epoch: &Epoch) -> Result<u64, Refusal> {
        let mut known = lock(&self.known);
        if named.config_epoch < known.newest {
            return Err(Refusal::Unreachable("another master was named meanwhile".to_owned()));
        }
        self.take_for_master(&mut known, named, epoch);
        // Should one have ended since, not for the sake of this master, this may lead to the server of before.
        Ok(known.since.max(begun))
    }

    /// With another master another epoch begins.
    fn take_for_master(&self, known: &mut Known, named: Named, epoch: &Epoch) {
        let is_another = known.master.as_ref().is_some_and(|master| !master.is_at(&named));
        if is_another {
            let last = epoch.current();
            epoch.end(last);
            known.since = last + 1;
            tracing::info!(
                target: "redis_cached", service = self.service, address = %self.at(&named).addr(),
                "the service has another master"
            );
        }
        known.master = Some(named);
    }

    fn at(&self, named: &Named) -> ConnectionInfo {
        let (host, port) = (named.host.clone(), named.port);
        let addr = match self.master.addr().clone() {
            ConnectionAddr::TcpTls { insecure, tls_params, .. } => {
                ConnectionAddr::TcpTls { host, port, insecure, tls_params }
            }
            _ => ConnectionAddr::Tcp(host, port),
        };
        self.master.clone().set_addr(addr)
    }

    async fn connect_to(
        &self,
        named: &Named,
        config: &AsyncConnectionConfig,
    ) -> Result<MultiplexedConnection, Refusal> {
        let info = self.at(named);
        let address = info.addr().to_string();
        let connect = async {
            let client = Client::open(info)?;
            let mut connection =
                client.get_multiplexed_async_connection_with_config(config).await?;
            // What `ROLE` says as well, without a right of its own.
            let hello: HashMap<String, Value> =
                ::redis::cmd("HELLO").query_async(&mut connection).await?;
            Ok::<_, RedisError>((connection, hello.get("role").cloned()))
        };
        let (connection, role) =
            connect.await.map_err(|error| Refusal::from_connecting(&error).of(&address))?;
        match role {
            Some(Value::BulkString(role)) if role == b"master" => Ok(connection),
            Some(Value::SimpleString(role)) if role == "master" => Ok(connection),
            _ => Err(Refusal::Unreachable(format!(
                "{address}, which a sentinel takes for the master, is a replica"
            ))),
        }
    }

    /// Sees to it that the sentinels are asked now and then whether the master is the same, behind the callers.
    pub(super) fn watch(this: &Arc<Self>, epoch: &Arc<Epoch>, limit: Duration) {
        let now = millis(this.began.elapsed());
        let due = this.due.load(Ordering::Relaxed);
        if now < due && !this.switched.load(Ordering::Relaxed) {
            return;
        }
        let next = now + millis(BETWEEN_QUESTIONS);
        if this.due.compare_exchange(due, next, Ordering::Relaxed, Ordering::Relaxed).is_err() {
            return;
        }
        this.switched.store(false, Ordering::Relaxed);
        // Each has ended when the next one is due.
        let limit = limit.min(BETWEEN_QUESTIONS);
        let (this, epoch) = (Arc::clone(this), Arc::clone(epoch));
        tokio::spawn(async move { this.look_for_another(&epoch, limit).await });
    }

    async fn look_for_another(&self, epoch: &Epoch, limit: Duration) {
        let at = self.turn.fetch_add(1, Ordering::Relaxed) % self.all.len();
        let Ok(named) = self.ask(at, limit).await else { return };
        let mut known = lock(&self.known);
        let is_newer = |master: &Named| named.config_epoch > master.config_epoch;
        if known.master.as_ref().is_some_and(is_newer) {
            // The lanes find it when they connect: there it is asked whether it is the master, too.
            self.first.store(at, Ordering::Relaxed);
            self.take_for_master(&mut known, named, epoch);
        }
    }

    /// What one sentinel says.
    async fn ask(&self, at: usize, limit: Duration) -> Result<Named, Refusal> {
        let Some(sentinel) = self.all.get(at % self.all.len()) else {
            return Err(Refusal::Unreachable("no sentinel".to_owned()));
        };
        // All of them, and what they name, within one attempt to connect.
        let limit = limit / u32::try_from(self.all.len() + 1).unwrap_or(u32::MAX);
        let address = sentinel.client.get_connection_info().addr().to_string();
        let of_sentinel = |refusal: Refusal| refusal.of(&format!("the sentinel {address}"));
        match tokio::time::timeout(limit, self.question(sentinel)).await {
            Ok(Ok(Some(named))) => {
                let mut known = lock(&self.known);
                known.newest = known.newest.max(named.config_epoch);
                Ok(named)
            }
            Ok(Ok(None)) => Err(Refusal::Service(self.service.clone())),
            Ok(Err(error)) => Err(of_sentinel(Refusal::from_connecting(&error))),
            Err(_) => Err(of_sentinel(Refusal::Unreachable(format!("no answer within {limit:?}")))),
        }
    }

    /// `None`: it does not know the service.
    async fn question(&self, sentinel: &Sentinel) -> Result<Option<Named>, RedisError> {
        let runtime = Handle::current().id();
        let kept = lock(&sentinel.kept).take().filter(|kept| kept.runtime == runtime);
        let mut connection = match &kept {
            Some(kept) => kept.connection.clone(),
            None => self.connect_to_sentinel(sentinel).await?,
        };
        let mut both = ::redis::pipe();
        // While a failover is under way only the first of them names the new master, and both know its epoch.
        both.cmd("SENTINEL").arg("GET-MASTER-ADDR-BY-NAME").arg(&self.service);
        both.cmd("SENTINEL").arg("MASTER").arg(&self.service);
        let mut replies = connection.send_packed_commands(&both, 0, 2).await;
        if kept.is_some() && replies.as_ref().is_err_and(RedisError::is_unrecoverable_error) {
            // It was closed since the last question.
            connection = self.connect_to_sentinel(sentinel).await?;
            replies = connection.send_packed_commands(&both, 0, 2).await;
        }
        let mut replies = replies?.into_iter();
        let mut next = || replies.next().unwrap_or(Value::Nil);
        let (address, details) = (next().extract_error()?, next());
        let Some((host, port)) = ::redis::from_redis_value::<Option<(String, u16)>>(address)?
        else {
            lock(&sentinel.kept).replace(Kept { runtime, connection });
            return Ok(None);
        };
        let details: HashMap<String, String> = ::redis::from_redis_value(details.extract_error()?)?;
        let config_epoch = details.get("config-epoch").and_then(|text| text.parse().ok());
        lock(&sentinel.kept).replace(Kept { runtime, connection });
        Ok(Some(Named { host, port, config_epoch: config_epoch.unwrap_or(0) }))
    }

    async fn connect_to_sentinel(
        &self,
        sentinel: &Sentinel,
    ) -> Result<MultiplexedConnection, RedisError> {
        let (switched, mark) = (Arc::clone(&self.switched), format!("{} ", self.service));
        let config = AsyncConnectionConfig::new()
            .set_connection_timeout(None)
            .set_response_timeout(None)
            .set_push_sender(move |push: PushInfo| {
                if is_about(&push, mark.as_bytes()) {
                    switched.store(true, Ordering::Relaxed);
                }
                Ok::<(), std::convert::Infallible>(())
            });
        let client = &sentinel.client;
        let mut connection = client.get_multiplexed_async_connection_with_config(&config).await?;
        match connection.subscribe("+switch-master").await {
            Err(error) if error.is_unrecoverable_error() => Err(error),
            // Who may not listen asks.
            _ => Ok(connection),
        }
    }
}

/// Whether a message begins with the service's name.
fn is_about(push: &PushInfo, mark: &[u8]) -> bool {
    push.kind == PushKind::Message
        && matches!(push.data.last(), Some(Value::BulkString(text)) if text.starts_with(mark))
}

/// Of two reasons the one that will not end by itself.
fn louder(first: Option<Refusal>, second: Refusal) -> Refusal {
    match first {
        Some(first) if !matches!(first, Refusal::Unreachable(_)) => first,
        Some(first) if matches!(second, Refusal::Unreachable(_)) => first,
        _ => second,
    }
}

impl Refusal {
    /// Says who refuses, where several are asked.
    fn of(self, who: &str) -> Self {
        let say = |text: String| format!("{who}: {text}");
        match self {
            Self::Unreachable(text) => Self::Unreachable(say(text)),
            Self::Authentication(text) => Self::Authentication(say(text)),
            Self::Permission(text) => Self::Permission(say(text)),
            Self::Certificate(text) => Self::Certificate(say(text)),
            Self::Other(text) => Self::Other(say(text)),
            Self::Service(name) => Self::Service(name),
            Self::Url(why) => Self::Url(why),
        }
    }
}
