//! The processes, the servers, and what happens to them.

use std::fmt;
use std::time::Duration;

use redis::aio::MultiplexedConnection;
use redis_cached_tests::{Helper, RedisServer};
use tokio::time::Instant;

use crate::process::{COUNTED, TASKS};

const PROCESSES: usize = 3;

pub(crate) struct Fleet {
    /// The first to end: without an origin they would complain.
    processes: Vec<Helper>,
    server: RedisServer,
    origin: RedisServer,
    rng: fastrand::Rng,
    figures: Figures,
}

/// What has happened.
#[derive(Debug, Default)]
pub(crate) struct Figures {
    counted: [u64; COUNTED.len()],
    violations: Vec<String>,
    kills: u64,
    stops: u64,
    cuts: u64,
    flushes: u64,
    evicted: u64,
    bodies: u64,
}

impl Fleet {
    pub(crate) async fn start(seed: u64) -> Self {
        let mut fleet = Self {
            processes: Vec::new(),
            server: RedisServer::start_with(&["--maxmemory-policy", "allkeys-lru"]),
            origin: RedisServer::start(),
            rng: fastrand::Rng::with_seed(seed),
            figures: Figures::default(),
        };
        let mut cli = fleet.server.cli().await;
        // The server itself takes about a megabyte.
        order(&mut cli, "CONFIG SET maxmemory 8mb").await;
        for _ in 0..PROCESSES {
            let process = fleet.process();
            fleet.processes.push(process);
        }
        fleet
    }

    fn process(&mut self) -> Helper {
        let seed = self.rng.u32(..).to_string();
        let environment = [("SERVER", &*self.server.url()), ("ORIGIN", &*self.origin.url())];
        Helper::start(&seed, &environment)
    }

    /// Something happens about twice a second, until the time is over.
    pub(crate) async fn under_fire(mut self, lasts: Duration) -> Figures {
        let until = Instant::now() + lasts;
        let mut cli = self.server.cli().await;
        while Instant::now() < until && self.figures.violations.is_empty() {
            tokio::time::sleep(Duration::from_millis(self.rng.u64(200..800))).await;
            self.strike(&mut cli).await;
            self.listen();
        }
        let info: String = redis::cmd("INFO").query_async(&mut cli).await.expect("it is up");
        self.figures.evicted = field(&info, "evicted_keys:");
        let mut origin = self.origin.cli().await;
        let bodies: Option<u64> =
            redis::cmd("GET").arg("bodies").query_async(&mut origin).await.expect("it is up");
        self.figures.bodies = bodies.unwrap_or(0);
        self.figures
    }

    async fn strike(&mut self, cli: &mut MultiplexedConnection) {
        let at = self.rng.usize(..PROCESSES);
        match self.rng.u8(..12) {
            0 | 1 => {
                self.listen();
                self.processes[at].kill();
                self.processes[at] = self.process();
                self.figures.kills += 1;
            }
            2 | 3 => {
                // For longer than its leases live.
                self.processes[at].pause();
                tokio::time::sleep(Duration::from_millis(self.rng.u64(500..2_000))).await;
                self.processes[at].resume();
                self.figures.stops += 1;
            }
            4 | 5 => {
                order(cli, "CLIENT KILL TYPE normal SKIPME yes").await;
                self.figures.cuts += 1;
            }
            6 => {
                order(cli, "FLUSHALL").await;
                self.figures.flushes += 1;
            }
            7 => order(cli, "SCRIPT FLUSH").await,
            8 => order(cli, "CLIENT PAUSE 300 WRITE").await,
            _ => self.press(cli).await,
        }
    }

    /// Fills the server's memory, so that it evicts what nobody has read for a while.
    async fn press(&mut self, cli: &mut MultiplexedConnection) {
        for _ in 0..20 {
            let mut fill = redis::pipe();
            for _ in 0..50 {
                let name = format!("junk:{}", self.rng.u32(..));
                fill.cmd("SET").arg(name).arg(vec![b'x'; 8_192]).arg("PX").arg(1_500).ignore();
            }
            fill.exec_async(cli).await.expect("the server is up");
        }
    }

    /// What the processes have told until now.
    fn listen(&mut self) {
        for process in &mut self.processes {
            while let Some(line) = process.said() {
                self.figures.note(&line);
            }
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

impl Figures {
    fn note(&mut self, line: &str) {
        match line.split_once(' ') {
            Some(("counts", counts)) => {
                for (at, count) in counts.split(' ').enumerate() {
                    let count: u64 = count.parse().expect("a process tells numbers");
                    let so_far = &mut self.counted[at];
                    *so_far = if at == 4 { (*so_far).max(count) } else { *so_far + count };
                }
            }
            Some(("violation", what)) => self.violations.push(what.to_owned()),
            _ => panic!("a process says {line:?}"),
        }
    }

    pub(crate) fn check(&self, seed: u64) {
        let violations = self.violations.join("\n");
        assert!(self.violations.is_empty(), "HISTORY_SEED={seed}\n{violations}\n{self}");
        let [calls, _, acknowledged, ..] = self.counted;
        // Else it would prove nothing.
        assert!(calls > 1_000 && acknowledged > 100, "{self}");
        // 30 s is the longest ttl; a body's own time, and the parent's clock, come on top.
        assert!(self.counted[4] < 31_000, "C3: {self}");
    }
}

impl fmt::Display for Figures {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{PROCESSES} processes of {TASKS} tasks: ")?;
        for (name, count) in COUNTED.iter().zip(self.counted) {
            write!(f, "{name} {count}, ")?;
        }
        let Self { kills, stops, cuts, flushes, evicted, bodies, .. } = self;
        write!(
            f,
            "bodies {bodies}, kills {kills}, stops {stops}, cuts {cuts}, flushes {flushes}, evicted {evicted}"
        )
    }
}
