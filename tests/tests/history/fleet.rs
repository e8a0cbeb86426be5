//! The processes, the servers, and what happens to them.

use std::time::Duration;

use redis::aio::MultiplexedConnection;
use redis_cached_tests::{Cluster, Helper, PATIENCE, RedisServer, Service};
use tokio::time::Instant;

use crate::figures::Figures;
use crate::record::{Event, Fault, now, parse};

pub(crate) const PROCESSES: usize = 3;
/// Up to two seconds are far longer than a lease.
const STOP_MS: std::ops::Range<u64> = 600..2_000;
/// It ends between two blows, each of which takes its time.
pub(crate) const LONGEST_STOP_MS: u64 = 5_000;
/// What is told of an instant arrives within this time: a stopped process goes on long before.
const ARRIVES: u64 = 8_000_000_000;

/// What can happen to a fleet.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Blow {
    Kill,
    Stop,
    Cut,
    Flush,
    ForgetScripts,
    HoldWrites,
    HoldAll,
    Evict,
    EvictAtRandom,
    Reshard,
    HandOver,
    FailOver,
}

impl Blow {
    pub(crate) const OF_ONE_SERVER: &[Self] = &[
        Self::Kill,
        Self::Stop,
        Self::Cut,
        Self::Flush,
        Self::ForgetScripts,
        Self::HoldWrites,
        Self::HoldAll,
        Self::Evict,
        Self::EvictAtRandom,
    ];
    pub(crate) const OF_CLUSTER: &[Self] = &[
        Self::Kill,
        Self::Stop,
        Self::Cut,
        Self::Flush,
        Self::ForgetScripts,
        Self::HoldWrites,
        Self::HoldAll,
        Self::Reshard,
        Self::Reshard,
        Self::HandOver,
        Self::FailOver,
    ];
}

/// What the fleet shares.
pub(crate) enum Servers {
    One(Box<RedisServer>),
    /// Behind sentinels, and which of its servers is the master.
    Service(Box<Service>, usize),
    Cluster(Box<Cluster>),
}

impl Servers {
    fn url(&self) -> String {
        match self {
            Self::One(server) => server.url(),
            Self::Service(service, _) => service.url(),
            Self::Cluster(cluster) => cluster.url(),
        }
    }

    fn nodes(&self) -> &[RedisServer] {
        match self {
            Self::One(server) => std::slice::from_ref(server),
            Self::Service(service, _) => &service.servers,
            Self::Cluster(cluster) => cluster.nodes(),
        }
    }

    /// The one that has all keys, if there is one.
    fn alone(&self) -> Option<&RedisServer> {
        match self {
            Self::One(server) => Some(server),
            Self::Service(service, master) => Some(&service.servers[*master]),
            Self::Cluster(_) => None,
        }
    }

    fn blows(&self) -> &'static [Blow] {
        match self {
            Self::One(_) | Self::Service(..) => Blow::OF_ONE_SERVER,
            Self::Cluster(_) => Blow::OF_CLUSTER,
        }
    }
}

/// Whose slots move: what functions read, their tags, and the journals.
const MOVED: [&str; 8] = [
    "ns:{live:0}",
    "ns:{tagged:0}",
    "ns:{put:0}",
    "ns:{outer:0:1}",
    "ns.tag:{register:0}",
    "ns.tag:{group:0}",
    "ns.journal",
    "ns.journal.keys",
];

struct Member {
    helper: Helper,
    heard: Instant,
    stopped_until: Option<Instant>,
}

/// What was acknowledged this long before a failover the replica has by then.
const REPLICATED: Duration = Duration::from_secs(2);

pub(crate) struct Fleet {
    /// The first to end: without an origin they would complain.
    members: Vec<Member>,
    servers: Servers,
    /// A node that was killed, and whose replica has not taken its place yet.
    dead: Option<usize>,
    origin: RedisServer,
    clearable: bool,
    rng: fastrand::Rng,
    /// Each blow falls once before any falls again.
    deck: Vec<Blow>,
    figures: Figures,
}

impl Fleet {
    pub(crate) async fn start(seed: u64, servers: Servers) -> Self {
        let mut rng = fastrand::Rng::with_seed(seed);
        let mut fleet = Self {
            members: Vec::new(),
            servers,
            dead: None,
            origin: RedisServer::start(),
            clearable: rng.bool(),
            rng,
            deck: Vec::new(),
            figures: Figures::default(),
        };
        fleet.figures.expected = fleet.servers.blows();
        if !matches!(fleet.servers, Servers::Cluster(_)) {
            for server in fleet.servers.nodes() {
                // The server itself takes about a megabyte.
                let limits = "CONFIG SET maxmemory 8mb maxmemory-policy allkeys-lru";
                order(&mut server.cli().await, limits).await;
            }
        }
        for index in 0..PROCESSES {
            let member = fleet.member(index);
            fleet.members.push(member);
        }
        fleet
    }

    fn member(&mut self, index: usize) -> Member {
        let role = format!("{index} {}", self.rng.u32(..));
        let alone = self.servers.alone().map(std::slice::from_ref);
        let nodes = alone.unwrap_or_else(|| self.servers.nodes());
        let nodes: Vec<String> = nodes.iter().map(RedisServer::url).collect();
        let environment = [
            ("CACHE", &*self.servers.url()),
            ("NODES", &*nodes.join(",")),
            ("ORIGIN", &*self.origin.url()),
            ("CLEARABLE", if self.clearable { "true" } else { "false" }),
        ];
        let helper = Helper::start(&role, &environment);
        Member { helper, heard: Instant::now(), stopped_until: None }
    }

    /// Something happens about twice a second, until the time is over. Of a service the replica becomes the master in the
    /// middle of it.
    pub(crate) async fn under_fire(mut self, lasts: Duration) -> Figures {
        let began = Instant::now();
        if let Servers::Service(..) = self.servers {
            self.fire_until(began + lasts / 2).await;
            self.hand_to_the_replica().await;
        }
        self.fire_until(began + lasts).await;
        self.ended(began).await
    }

    async fn fire_until(&mut self, until: Instant) {
        while Instant::now() < until && self.figures.is_sound() {
            let next = Instant::now() + Duration::from_millis(self.rng.u64(200..800));
            while Instant::now() < next {
                tokio::time::sleep(Duration::from_millis(20)).await;
                self.look_after();
            }
            self.revive().await;
            self.strike().await;
            self.figures.settle(now().saturating_sub(ARRIVES));
        }
    }

    async fn ended(mut self, began: Instant) -> Figures {
        if let Some(server) = self.servers.alone() {
            let mut cli = server.cli().await;
            let info: String = redis::cmd("INFO").query_async(&mut cli).await.expect("it is up");
            self.figures.evicted = field(&info, "evicted_keys:");
        }
        for index in 0..PROCESSES {
            self.end(index).await;
        }
        self.figures.settle(u64::MAX);
        self.figures.last(began.elapsed());
        self.figures
    }

    /// What is acknowledged meanwhile, by whichever of both, does not count. All else does.
    async fn hand_to_the_replica(&mut self) {
        let start = now();
        self.figures.fails_over(start);
        let until = Instant::now() + REPLICATED;
        while Instant::now() < until {
            tokio::time::sleep(Duration::from_millis(20)).await;
            self.look_after();
        }
        // Nobody is stopped from here on: a stop is shorter, and only a blow begins one.
        let Servers::Service(service, master) = &mut self.servers else {
            panic!("one server has nobody to fail over to")
        };
        service.fail_over().await;
        service.is_demoted().await;
        *master = 1;
        let end = now();
        self.figures.has_failed_over(end);
        self.figures.record(Event::Fault(Fault { start, end, what: "a failover".to_owned() }));
        self.look_after();
    }

    async fn strike(&mut self) {
        if self.deck.is_empty() {
            self.deck.extend(self.servers.blows());
            self.rng.shuffle(&mut self.deck);
        }
        let Some(blow) = self.deck.pop() else { return };
        let at = self.rng.usize(..PROCESSES);
        let node = self.some_master().await;
        let cli = &mut self.servers.nodes()[node].cli().await;
        let start = now();
        match blow {
            Blow::Kill => {
                self.end(at).await;
                self.members[at] = self.member(at);
            }
            Blow::Stop => self.stop(at),
            Blow::Cut => order(cli, "CLIENT KILL TYPE normal SKIPME yes").await,
            Blow::Flush => order(cli, "FLUSHALL").await,
            Blow::ForgetScripts => order(cli, "SCRIPT FLUSH").await,
            Blow::HoldWrites => self.hold(cli, "WRITE").await,
            Blow::HoldAll => self.hold(cli, "ALL").await,
            Blow::Evict => self.press(cli, "allkeys-lru").await,
            Blow::EvictAtRandom => self.press(cli, "allkeys-random").await,
            Blow::Reshard => self.reshard().await,
            Blow::HandOver => self.hand_over().await,
            Blow::FailOver => self.fail_over(node).await,
        }
        *self.figures.blows.entry(blow).or_default() += 1;
        let what = match blow {
            Blow::Kill | Blow::Stop => format!("{blow:?} of process {at}"),
            _ => format!("{blow:?}"),
        };
        self.figures.record(Event::Fault(Fault { start, end: now(), what }));
    }

    async fn some_master(&mut self) -> usize {
        match &self.servers {
            Servers::One(_) => 0,
            Servers::Service(_, master) => *master,
            Servers::Cluster(cluster) => {
                let masters = cluster.masters().await;
                masters[self.rng.usize(..masters.len())]
            }
        }
    }

    /// Moves a slot, while it is read and written.
    async fn reshard(&mut self) {
        let Servers::Cluster(cluster) = &self.servers else { return };
        let name = MOVED[self.rng.usize(..MOVED.len())];
        let (from, masters) = (cluster.master_of(name).await, cluster.masters().await);
        let others: Vec<usize> = masters.iter().copied().filter(|&at| at != from).collect();
        // Of a dead one no slot can be moved.
        if self.dead.is_some() || !masters.contains(&from) || others.is_empty() {
            return;
        }
        let moving = cluster.begin_to_move(name, others[self.rng.usize(..others.len())]).await;
        tokio::time::sleep(Duration::from_millis(self.rng.u64(20..200))).await;
        moving.key(name).await;
        tokio::time::sleep(Duration::from_millis(self.rng.u64(20..200))).await;
        moving.finish().await;
    }

    /// A replica takes its master's place, and nothing is lost.
    async fn hand_over(&mut self) {
        let Servers::Cluster(cluster) = &self.servers else { return };
        let replicas = cluster.replicas().await;
        if !replicas.is_empty() && self.dead.is_none() {
            let at = replicas[self.rng.usize(..replicas.len())];
            cluster.order(at, "CLUSTER FAILOVER").await;
        }
    }

    /// A master dies. What it has acknowledged its replica has: what a failover may lose by itself is not promised.
    async fn fail_over(&mut self, at: usize) {
        let Servers::Cluster(cluster) = &mut self.servers else { return };
        let whole = cluster.masters().await.len() + cluster.replicas().await.len();
        if self.dead.is_none() && whole == cluster.nodes().len() {
            cluster.kill_replicated(at).await;
            self.dead = Some(at);
        }
    }

    /// Once its place is taken, it comes back as a replica.
    async fn revive(&mut self) {
        let (Servers::Cluster(cluster), Some(at)) = (&mut self.servers, self.dead) else { return };
        if cluster.masters().await.len() == 3 {
            cluster.node(at).restart();
            self.dead = None;
            self.figures.failovers += 1;
        }
    }

    /// Other blows fall meanwhile.
    fn stop(&mut self, at: usize) {
        let lasts = Duration::from_millis(self.rng.u64(STOP_MS));
        if self.members[at].stopped_until.is_some() {
            return;
        }
        self.members[at].helper.pause();
        self.members[at].stopped_until = Some(Instant::now() + lasts);
    }

    /// The server answers nobody, for longer than a deadline and shorter than a lease, or the other way round.
    async fn hold(&mut self, cli: &mut MultiplexedConnection, what: &str) {
        let lasts = self.rng.u64(100..700);
        order(cli, &format!("CLIENT PAUSE {lasts} {what}")).await;
    }

    /// Fills the server's memory, so that it evicts what nobody has read for a while, or anything.
    async fn press(&mut self, cli: &mut MultiplexedConnection, policy: &str) {
        order(cli, &format!("CONFIG SET maxmemory-policy {policy}")).await;
        for _ in 0..20 {
            let mut fill = redis::pipe();
            for _ in 0..50 {
                let name = format!("junk:{}", self.rng.u32(..));
                fill.cmd("SET").arg(name).arg(vec![b'x'; 8_192]).arg("PX").arg(1_500).ignore();
            }
            fill.exec_async(cli).await.expect("the server is up");
        }
    }

    /// Kills a process, and hears what it had told.
    async fn end(&mut self, at: usize) {
        for line in self.members[at].helper.end().await {
            self.hear(at, &line);
        }
    }

    /// Hears what the processes have told until now, and lets go on who was stopped for long enough.
    fn look_after(&mut self) {
        for at in 0..PROCESSES {
            let member = &mut self.members[at];
            if member.stopped_until.is_some_and(|until| until <= Instant::now()) {
                member.helper.resume();
                member.stopped_until = None;
            }
            while let Some(line) = self.members[at].helper.said() {
                self.members[at].heard = Instant::now();
                self.hear(at, &line);
            }
            let silent = self.members[at].heard.elapsed();
            assert!(silent < PATIENCE, "process {at} of the fleet has said nothing for {silent:?}");
        }
    }

    /// Of a killed process the last line may be unfinished.
    fn hear(&mut self, at: usize, line: &str) {
        if let Some(told) = parse(at, line) {
            self.figures.note(told);
        }
    }
}

async fn order(cli: &mut MultiplexedConnection, command: &str) {
    let mut words = command.split(' ');
    let mut cmd = redis::cmd(words.next().unwrap_or_default());
    cmd.arg(words.collect::<Vec<_>>());
    cmd.exec_async(cli).await.expect("the server is up");
}

fn field(info: &str, name: &str) -> u64 {
    let value = info.lines().find_map(|line| line.strip_prefix(name));
    value.and_then(|value| value.trim().parse().ok()).unwrap_or(0)
}
