//! One process of the fleet: tasks that read and write, and tell what they did.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use redis::aio::MultiplexedConnection;
use redis::{AsyncConnectionConfig, Client, RedisResult};
use redis_cached::Cache;
use redis_cached_tests::tell;
use tokio::sync::Mutex;
use tokio::task::JoinSet;
use tracing_subscriber::layer::SubscriberExt as _;
use tracing_subscriber::util::SubscriberInitExt as _;
use tracing_subscriber::{Layer, layer};

use crate::fleet::PROCESSES;
use crate::functions::{Context, REGISTERS, Reading};
use crate::overtaken::{Second, overtake};
use crate::record::{Function, line, now};
use crate::targets::{Answer, READERS, Reader, Run, WRITERS};

/// In all processes together.
pub(crate) const TASKS: usize = 64;
/// What is counted, under the names by which the crate tells it to `tracing`, and four of our own.
pub(crate) const COUNTED: [&str; 21] = [
    "calls",
    "failed calls",
    "dropped calls",
    "hit",
    "stale",
    "shared",
    "computed",
    "computed without a lease",
    "bypassed",
    "stored",
    "commit refused",
    "invalidated by a tag meanwhile",
    "tagged for the first time, not stored",
    "another process computes",
    "a computation ended without a value just now",
    "refresh left to another",
    "invalidated meanwhile",
    "a newer value is there",
    "left to another",
    "overtaken sets",
    "kept",
];
const CALLS: usize = 0;
const FAILED: usize = 1;
const DROPPED: usize = 2;
pub(crate) const OVERTAKEN: usize = 19;
pub(crate) const KEPT: usize = 20;

#[derive(Default)]
struct Counts([AtomicU64; COUNTED.len()]);

struct Process {
    index: usize,
    context: Context,
    /// Of each server that may have a key.
    nodes: Vec<Client>,
    /// Whoever writes alone holds the register's.
    turns: Vec<Mutex<()>>,
    counts: Arc<Counts>,
}

/// The role is the process's number and its seed.
pub(crate) fn play(role: &str) {
    let (index, seed) = role.split_once(' ').expect("a number and a seed");
    let (index, seed): (usize, u64) =
        (index.parse().expect("a number"), seed.parse().expect("a seed"));
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build()
        .expect("a runtime");
    runtime.block_on(async {
        let counts = Arc::new(Counts::default());
        tracing_subscriber::registry().with(Ear(Arc::clone(&counts))).init();
        let turns = (0..REGISTERS).map(|_| Mutex::default()).collect();
        let nodes = variable("NODES").split(',').map(client).collect();
        let process = Process { index, context: context().await, nodes, turns, counts };
        let process = Arc::new(process);
        let mut tasks = JoinSet::new();
        for task in (index..TASKS).step_by(PROCESSES) {
            let rng = fastrand::Rng::with_seed(seed.wrapping_mul(1000) + task as u64);
            tasks.spawn(Arc::clone(&process).act(rng));
        }
        tokio::spawn(async move {
            loop {
                tokio::time::sleep(Duration::from_millis(250)).await;
                process.counts.tell();
            }
        });
        if let Some(Err(error)) = tasks.join_next().await {
            tell(&format!("wrong a task ended: {error}"));
        }
    });
}

fn variable(name: &str) -> String {
    std::env::var(name).expect("the parent says it")
}

fn client(url: &str) -> Client {
    Client::open(url).expect("the harness writes valid urls")
}

async fn context() -> Context {
    let mut builder = Cache::builder().url(variable("CACHE")).namespace("ns").connections(2);
    if variable("CLEARABLE") == "true" {
        builder = builder.clearable();
    }
    let cache = builder.build().await.expect("an unreachable server is no error");
    Context { cache, origin: connect(&variable("ORIGIN")).await }
}

async fn connect(url: &str) -> MultiplexedConnection {
    let config = AsyncConnectionConfig::new()
        .set_connection_timeout(Some(redis_cached_tests::PATIENCE))
        .set_response_timeout(Some(redis_cached_tests::PATIENCE));
    let connection = client(url).get_multiplexed_async_connection_with_config(&config).await;
    connection.expect("the origin is up")
}

/// Hears how calls are answered, and what the store, or the journal, has refused.
struct Ear(Arc<Counts>);

impl<S: tracing::Subscriber> Layer<S> for Ear {
    fn on_event(&self, event: &tracing::Event<'_>, _: layer::Context<'_, S>) {
        if event.metadata().target() == "redis_cached" {
            event.record(&mut Visitor(&self.0));
        }
    }
}

struct Visitor<'c>(&'c Counts);

impl tracing::field::Visit for Visitor<'_> {
    fn record_str(&mut self, field: &tracing::field::Field, value: &str) {
        if ["step", "outcome"].contains(&field.name())
            && let Some(what) = COUNTED.iter().position(|&name| name == value)
        {
            self.0.add(what);
        }
    }

    fn record_debug(&mut self, _: &tracing::field::Field, _: &dyn std::fmt::Debug) {}
}

impl Counts {
    fn add(&self, what: usize) {
        self.0[what].fetch_add(1, Ordering::Relaxed);
    }

    fn tell(&self) {
        for (what, count) in self.0.iter().enumerate() {
            let times = count.swap(0, Ordering::Relaxed);
            if times > 0 {
                tell(&line("count", &[what as u64, times]));
            }
        }
    }
}

impl Process {
    async fn act(self: Arc<Self>, mut rng: fastrand::Rng) {
        loop {
            // The origin is only asked and told; that it is there is not what is tested.
            match rng.u16(..1_000) {
                0..2 => self.overtake(&mut rng).await.expect("the origin is up"),
                2..32 => self.write(&mut rng).await.expect("the origin is up"),
                _ => {
                    let asked = [register(&mut rng), register(&mut rng)];
                    let reader =
                        &READERS[pick(&mut rng, READERS.iter().map(|reader| reader.weight))];
                    self.read(&mut rng, reader, asked).await;
                }
            }
            tokio::time::sleep(Duration::from_micros(rng.u64(..3_000))).await;
        }
    }

    /// Changes registers and invalidates what shows them.
    async fn write(&self, rng: &mut fastrand::Rng) -> RedisResult<()> {
        let at = pick(rng, WRITERS.iter().map(|writer| writer.weight));
        let writer = &WRITERS[at];
        let mut register = register(rng);
        let mut turn = None;
        if writer.alone {
            // Each register is written by one process, and there by one task at a time.
            register = register / PROCESSES as u64 * PROCESSES as u64 + self.index as u64;
            register = if register < REGISTERS { register } else { self.index as u64 };
            turn = Some(self.turns[usize::try_from(register).expect("small")].lock().await);
        }
        let run = match writer.run {
            Run::Behind(run) => run,
            Run::Around(change) => {
                let start = now();
                let changed = perhaps_dropped(rng, change(&self.context, register)).await;
                // Who was dropped does not know what is there now.
                if let Some(Some(version)) = changed {
                    tell(&line("w", &[start, now(), at as u64, 1, register, version]));
                }
                return Ok(());
            }
        };
        let registers = writer.reach.of(register);
        let mut change = redis::pipe();
        change.atomic();
        for register in registers.clone() {
            change.incr(format!("register:{register}"), 1);
        }
        let versions: Vec<u64> = change.query_async(&mut self.context.origin.clone()).await?;
        let own = usize::try_from(register - registers.start).expect("small");
        let start = now();
        let run = run(&self.context, register, versions[own]);
        let acknowledged = matches!(perhaps_dropped(rng, run).await, Some(Ok(())));
        let head = [start, now(), at as u64, u64::from(acknowledged), registers.start];
        tell(&line("w", &[&head[..], &versions].concat()));
        drop(turn);
        Ok(())
    }

    /// Sets, invalidates what was set, and looks.
    async fn overtake(&self, rng: &mut fastrand::Rng) -> RedisResult<()> {
        let Some(second) = overtake(&self.context, &self.nodes, rng).await? else { return Ok(()) };
        let Second { register, version, writer, start, end, acknowledged } = second;
        self.counts.add(OVERTAKEN);
        let numbers = [start, end, writer as u64, u64::from(acknowledged), register, version];
        tell(&line("w", &numbers));
        let is_its = |reader: &&Reader| reader.function == Function::Put && !reader.forced;
        let reader = READERS.iter().find(is_its).expect("what is set is read");
        self.read(rng, reader, [register; 2]).await;
        Ok(())
    }

    async fn read(&self, rng: &mut fastrand::Rng, reader: &Reader, asked: [u64; 2]) {
        let start = now();
        let answer = perhaps_dropped(rng, (reader.call)(&self.context, asked)).await;
        let end = now();
        self.counts.add(CALLS);
        match answer {
            Some(Ok(answer)) => tell_answer(reader, asked, &answer, start, end),
            Some(Err(_)) => self.counts.add(FAILED),
            None => self.counts.add(DROPPED),
        }
    }
}

fn tell_answer(reader: &Reader, asked: [u64; 2], answer: &Answer, start: u64, end: u64) {
    let (function, forced) = (reader.function, u64::from(reader.forced));
    let registers = &asked[..answer.readings.len()];
    for (reading, &asked) in answer.readings.iter().zip(registers) {
        if reading.register != asked {
            tell(&format!("wrong {function:?}({asked}) returned {reading:?}"));
        }
        let &Reading { version, born, .. } = reading;
        let head = [start, end, function as u64, answer.born, born, forced, asked, version];
        tell(&line("r", &[&head[..], registers].concat()));
    }
}

/// Some are asked for more than others.
fn register(rng: &mut fastrand::Rng) -> u64 {
    rng.u64(..REGISTERS).min(rng.u64(..REGISTERS))
}

fn pick(rng: &mut fastrand::Rng, weights: impl Iterator<Item = u32> + Clone) -> usize {
    let sum: u32 = weights.clone().sum();
    let mut left = rng.u32(..sum);
    for (at, weight) in weights.enumerate() {
        if left < weight {
            return at;
        }
        left -= weight;
    }
    unreachable!("it is below their sum")
}

/// Some callers go away in the middle.
async fn perhaps_dropped<F: Future>(rng: &mut fastrand::Rng, call: F) -> Option<F::Output> {
    if rng.u8(..16) > 0 {
        return Some(call.await);
    }
    // An invalidation is over soon, a body takes its time.
    let longest = if rng.bool() { 1_000 } else { 30_000 };
    tokio::time::timeout(Duration::from_micros(rng.u64(..longest)), call).await.ok()
}
