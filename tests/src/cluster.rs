use std::process::{Child, Command, Stdio};

use redis::{FromRedisValue, Value};
use tokio::sync::OnceCell;

use crate::{Certificates, Kind, RedisServer, eventually};

/// The slots of each master at the beginning.
const SHARES: [(u16, u16); 3] = [(0, 5_460), (5_461, 10_922), (10_923, 16_383)];
const MASTERS: usize = SHARES.len();
const SLOTS: u16 = 16_384;

/// A Redis Cluster of this test's own: three masters, and a replica of each where that is asked for. Ends with the value.
#[derive(Debug)]
pub struct Cluster {
    nodes: Vec<RedisServer>,
}

impl Cluster {
    /// Three masters, and a replica of each, which takes its place about two seconds after it is gone.
    ///
    /// # Panics
    ///
    /// When there is no `redis-server`, or they do not come together.
    pub async fn start() -> Self {
        Self::launch(MASTERS, |_, arguments| RedisServer::start_node(Kind::Redis, arguments)).await
    }

    /// Three masters that nobody takes the place of.
    ///
    /// # Panics
    ///
    /// As [`start`](Self::start).
    pub async fn of_masters() -> Self {
        Self::of_kind(Kind::Redis).await
    }

    /// The same of another kind of server.
    ///
    /// # Panics
    ///
    /// As [`start`](Self::start).
    pub async fn of_kind(kind: Kind) -> Self {
        Self::launch(0, |_, arguments| RedisServer::start_node(kind, arguments)).await
    }

    /// The same over TLS, also among themselves.
    ///
    /// # Panics
    ///
    /// As [`start`](Self::start).
    pub async fn with_tls(certificates: &Certificates) -> Self {
        let start =
            |_, arguments: &[&str]| RedisServer::start_node_with_tls(certificates, arguments);
        Self::launch(0, start).await
    }

    /// The same with clocks that are off by these, as `"+3600s"`.
    ///
    /// # Panics
    ///
    /// As [`start`](Self::start), and when there is no libfaketime.
    pub async fn off_by(clocks: [&str; MASTERS]) -> Self {
        let start =
            |at: usize, arguments: &[&str]| RedisServer::start_node_off_by(clocks[at], arguments);
        Self::launch(0, start).await
    }

    /// One for all tests of this process, each with a namespace of its own; nothing may be done to it. Ends with the
    /// process, however that ends.
    ///
    /// # Panics
    ///
    /// As [`start`](Self::start).
    pub async fn shared() -> &'static Self {
        static SHARED: OnceCell<(Cluster, Watch)> = OnceCell::const_new();
        let start = async || {
            let cluster = Self::of_masters().await;
            let watch = Watch::over(&cluster.nodes);
            (cluster, watch)
        };
        &SHARED.get_or_init(start).await.0
    }

    async fn launch(replicas: usize, start: impl Fn(usize, &[&str]) -> RedisServer) -> Self {
        let arguments = [
            "--cluster-node-timeout",
            "1000",
            // Of a dead master the others do not make everybody's outage; tests that want that say so.
            "--cluster-require-full-coverage",
            "no",
            // A replica takes its master's place however old its data is, and stays with it.
            "--cluster-replica-validity-factor",
            "0",
            "--cluster-allow-replica-migration",
            "no",
            "--repl-diskless-sync-delay",
            "0",
            "--repl-ping-replica-period",
            "1",
        ];
        let nodes = (0..MASTERS + replicas).map(|at| start(at, &arguments)).collect();
        let cluster = Self { nodes };
        cluster.come_together().await;
        cluster
    }

    async fn come_together(&self) {
        let (nodes, all) = (&self.nodes, self.nodes.len());
        for (at, (first, last)) in SHARES.iter().enumerate() {
            self.order(at, &format!("CLUSTER ADDSLOTSRANGE {first} {last}")).await;
            // Else they fight about whose view is the newer one.
            self.order(at, &format!("CLUSTER SET-CONFIG-EPOCH {}", at + 1)).await;
        }
        for node in &nodes[1..] {
            let (port, bus) = node.ports();
            let bus = bus.expect("it is a node");
            self.order(0, &format!("CLUSTER MEET 127.0.0.1 {port} {bus}")).await;
        }
        for at in 0..all {
            eventually("every node knows all others", async || {
                let known: String = self.ask(at, "CLUSTER NODES").await;
                known.lines().count() == all && !known.contains("handshake")
            })
            .await;
        }
        for at in MASTERS..all {
            let id: String = self.ask(at - MASTERS, "CLUSTER MYID").await;
            self.order(at, &format!("CLUSTER REPLICATE {id}")).await;
        }
        self.is_whole().await;
    }

    /// Returns when all that run agree that every slot is served, and every replica has what its master has.
    ///
    /// # Panics
    ///
    /// When that takes too long.
    pub async fn is_whole(&self) {
        for at in 0..self.nodes.len() {
            if !self.nodes[at].is_running() {
                continue;
            }
            eventually("every slot is served", async || {
                let info: String = self.ask(at, "CLUSTER INFO").await;
                let replication: String = self.ask(at, "INFO replication").await;
                let follows = replication.contains("role:slave");
                info.contains("cluster_state:ok")
                    && (!follows || replication.contains("master_link_status:up"))
            })
            .await;
        }
    }

    /// How a program that uses it is told of it.
    #[must_use]
    pub fn url(&self) -> String {
        self.url_of(0..self.nodes.len())
    }

    /// The same, with these nodes named only.
    #[must_use]
    pub fn url_of(&self, named: impl IntoIterator<Item = usize>) -> String {
        let named = named.into_iter().map(|at| format!("127.0.0.1:{}", self.nodes[at].ports().0));
        let url = self.nodes[0].url();
        let scheme = url.split(':').next().unwrap_or_default();
        format!("{scheme}-cluster://{}/", named.collect::<Vec<_>>().join(","))
    }

    /// The nodes; the first three are the masters at the beginning, and each of the others is a replica of the one
    /// three before it.
    #[must_use]
    pub fn nodes(&self) -> &[RedisServer] {
        &self.nodes
    }

    /// One of them, to be stopped and started.
    pub fn node(&mut self, at: usize) -> &mut RedisServer {
        &mut self.nodes[at]
    }

    /// Which node has a key as long as nothing has happened to the cluster.
    ///
    /// # Panics
    ///
    /// Never: every slot has one.
    #[must_use]
    pub fn first_master_of(key: &str) -> usize {
        let slot = slot_of(key);
        let has = |(first, last): &(u16, u16)| (*first..=*last).contains(&slot);
        SHARES.iter().position(has).expect("they are all slots")
    }

    /// Which node has a key, as one that runs says.
    ///
    /// # Panics
    ///
    /// When none does.
    pub async fn master_of(&self, key: &str) -> usize {
        let asked = self.nodes.iter().position(RedisServer::is_running).expect("one of them runs");
        self.owner(asked, slot_of(key)).await.expect("it has a master")
    }

    /// Which node has a slot, as this one says.
    async fn owner(&self, asked: usize, slot: u16) -> Option<usize> {
        let ranges: Vec<Vec<Value>> = self.ask(asked, "CLUSTER SLOTS").await;
        let number = |value: &Value| match value {
            Value::Int(number) => u16::try_from(*number).expect("a slot or a port"),
            other => panic!("no number: {other:?}"),
        };
        let has = |range: &&Vec<Value>| (number(&range[0])..=number(&range[1])).contains(&slot);
        let Value::Array(master) = &ranges.iter().find(has)?[2] else {
            panic!("a node is a list");
        };
        let port = number(&master[1]);
        self.nodes.iter().position(|node| node.ports().0 == port)
    }

    /// Those that run, and are masters as they themselves see it.
    ///
    /// # Panics
    ///
    /// When one that runs does not answer.
    pub async fn masters(&self) -> Vec<usize> {
        self.of_role("role:master").await
    }

    /// Those that run, and have all that their masters have.
    ///
    /// # Panics
    ///
    /// As [`masters`](Self::masters).
    pub async fn replicas(&self) -> Vec<usize> {
        self.of_role("master_link_status:up").await
    }

    async fn of_role(&self, role: &str) -> Vec<usize> {
        let mut nodes = Vec::new();
        for at in (0..self.nodes.len()).filter(|&at| self.nodes[at].is_running()) {
            let replication: String = self.ask(at, "INFO replication").await;
            if replication.contains(role) {
                nodes.push(at);
            }
        }
        nodes
    }

    /// Kills a master of which a replica has everything that it has acknowledged: what a failover loses by itself is not
    /// lost. Until then it accepts no write.
    ///
    /// # Panics
    ///
    /// When it has no replica.
    pub async fn kill_replicated(&mut self, at: usize) {
        self.order(at, "CLIENT PAUSE 60000 WRITE").await;
        let replication: String = self.ask(at, "INFO replication").await;
        let written = offset(&replication, "master_repl_offset:");
        eventually("a replica has it all", async || {
            let replication: String = self.ask(at, "INFO replication").await;
            let Some(slave) = replication.lines().find(|line| line.starts_with("slave0:")) else {
                return false;
            };
            slave.contains("state=online") && offset(slave, ",offset=") >= written
        })
        .await;
        self.nodes[at].stop();
    }

    /// Begins to move the slot of a key to another master: from now on half of it may be here and half there.
    ///
    /// # Panics
    ///
    /// When the nodes do not do it.
    pub async fn begin_to_move(&self, key: &str, to: usize) -> Moving<'_> {
        let (slot, from) = (slot_of(key), self.master_of(key).await);
        let [of_from, of_to]: [String; 2] =
            [self.ask(from, "CLUSTER MYID").await, self.ask(to, "CLUSTER MYID").await];
        self.order(to, &format!("CLUSTER SETSLOT {slot} IMPORTING {of_from}")).await;
        self.order(from, &format!("CLUSTER SETSLOT {slot} MIGRATING {of_to}")).await;
        Moving { cluster: self, slot, from, to }
    }

    /// Moves the slot of a key to another master.
    ///
    /// # Panics
    ///
    /// When the nodes do not do it.
    pub async fn move_slot(&self, key: &str, to: usize) {
        if self.master_of(key).await != to {
            self.begin_to_move(key, to).await.finish().await;
        }
    }

    /// Has one node do something.
    ///
    /// # Panics
    ///
    /// When it does not do it.
    pub async fn order(&self, at: usize, command: &str) {
        self.ask::<()>(at, command).await;
    }

    /// Asks one node something.
    ///
    /// # Panics
    ///
    /// When it does not answer.
    pub async fn ask<T: FromRedisValue>(&self, at: usize, command: &str) -> T {
        let mut words = command.split(' ');
        let mut cmd = redis::cmd(words.next().unwrap_or_default());
        cmd.arg(words.collect::<Vec<_>>());
        let mut cli = self.nodes[at].cli().await;
        let answered = cmd.query_async(&mut cli).await;
        answered.unwrap_or_else(|error| panic!("{command}: {error}"))
    }
}

fn offset(said: &str, behind: &str) -> u64 {
    let text = said.split(behind).nth(1).expect("it says it");
    let digits = text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len());
    text[..digits].parse().expect("a number")
}

/// A slot on its way.
#[derive(Debug)]
pub struct Moving<'c> {
    cluster: &'c Cluster,
    slot: u16,
    from: usize,
    to: usize,
}

impl Moving<'_> {
    /// Moves one key, if it is there still.
    ///
    /// # Panics
    ///
    /// When the node does not do it.
    pub async fn key(&self, key: &str) {
        self.still_moves(key).await;
    }

    /// The same; not where masters have agreed by now that the slot is somebody else's, since it had moved before that was
    /// known to all: then so are its keys.
    async fn still_moves(&self, key: &str) -> bool {
        let (port, _) = self.cluster.nodes[self.to].ports();
        let mut cli = self.cluster.nodes[self.from].cli().await;
        let mut migrate = redis::cmd("MIGRATE");
        migrate.arg("127.0.0.1").arg(port).arg(key).arg(0).arg(5000);
        match migrate.exec_async(&mut cli).await {
            Ok(()) => true,
            Err(error) if error.code() == Some("MOVED") => false,
            Err(error) => panic!("MIGRATE {key}: {error}"),
        }
    }

    /// Moves what is left, and has everybody know whose the slot is.
    ///
    /// # Panics
    ///
    /// When the nodes do not do it.
    pub async fn finish(self) {
        let Self { cluster, slot, from, to } = &self;
        let (slot, from, to) = (*slot, *from, *to);
        loop {
            let left = format!("CLUSTER GETKEYSINSLOT {slot} 100");
            let left: Vec<String> = cluster.ask(from, &left).await;
            if left.is_empty() {
                break;
            }
            for key in left {
                if !self.still_moves(&key).await {
                    return;
                }
            }
        }
        let id: String = cluster.ask(to, "CLUSTER MYID").await;
        for at in [to, from] {
            cluster.order(at, &format!("CLUSTER SETSLOT {slot} NODE {id}")).await;
        }
        // Who moves the next one before that can leave them at odds for good: the epochs tell whose word counts.
        for at in (0..cluster.nodes.len()).filter(|&at| cluster.nodes[at].is_running()) {
            eventually("all know whose the slot is", async || {
                cluster.owner(at, slot).await == Some(to)
            })
            .await;
        }
    }
}

/// The slot of a key, as any client would compute it.
#[must_use]
pub fn slot_of(key: &str) -> u16 {
    let between = key.split_once('{').and_then(|(_, rest)| rest.split_once('}'));
    let hashed = between.map(|(tag, _)| tag).filter(|tag| !tag.is_empty()).unwrap_or(key);
    let crc = hashed.bytes().fold(0_u16, |crc, byte| {
        (0..8).fold(crc ^ (u16::from(byte) << 8), |crc, _| {
            if crc & 0x8000 == 0 { crc << 1 } else { (crc << 1) ^ 0x1021 }
        })
    });
    crc % SLOTS
}

/// Ends servers when this process ends: what is static is not dropped.
#[derive(Debug)]
struct Watch {
    /// It waits for the end of its input, which only this process can write.
    _process: Child,
}

impl Watch {
    fn over(nodes: &[RedisServer]) -> Self {
        let mut command = Command::new("sh");
        command.args(["-c", "cat >/dev/null; kill -9 $1; shift; rm -rf -- \"$@\"", "watch"]);
        let pids: Vec<String> = nodes.iter().map(|node| node.pid().to_string()).collect();
        command.arg(pids.join(" ")).args(nodes.iter().map(RedisServer::directory));
        command.stdin(Stdio::piped()).stdout(Stdio::null()).stderr(Stdio::null());
        Self { _process: command.spawn().expect("there is a shell") }
    }
}
