//! One process of the fleet: tasks that read and write, and check what they read.
//!
//! A writer notes in the origin what was acknowledged; a reader asks there, before it calls, how new its answer
//! has to be. So no clock is compared with another, and what is noted too late only weakens the check.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use redis::aio::MultiplexedConnection;
use redis::{AsyncConnectionConfig, Client, RedisResult};
use redis_cached::Cache;
use redis_cached_tests::tell;
use tracing_subscriber::layer::SubscriberExt as _;
use tracing_subscriber::util::SubscriberInitExt as _;
use tracing_subscriber::{Layer, layer};

use crate::functions::{
    Context, Reading, cleared, cleared_all, late, late_refresh, live, now_ms, outer, plain,
    plain_entry, plain_refresh, tagged, tagged_refresh, valued,
};

pub(crate) const REGISTERS: u64 = 40;
pub(crate) const TASKS: usize = 22;
/// What is counted, in the order in which it is told.
pub(crate) const COUNTED: [&str; 7] = [
    "calls",
    "failed calls",
    "acknowledged",
    "unconfirmed",
    "oldest age in ms",
    "violations",
    "refused commits",
];

struct Process {
    context: Context,
    counts: [AtomicU64; COUNTED.len()],
}

pub(crate) fn play(role: &str) {
    let variable = |name: &str| std::env::var(name).expect("the parent says it");
    let seed: u64 = role.parse().expect("the role is the seed");
    let (server, origin) = (variable("SERVER"), variable("ORIGIN"));
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build()
        .expect("a runtime");
    runtime.block_on(async {
        let cache = Cache::builder().url(server).namespace("ns").connections(2).build().await;
        let cache = cache.expect("an unreachable server is no error");
        let context = Context { cache, origin: connect(&origin).await };
        let process = Arc::new(Process { context, counts: Default::default() });
        let refusals = Refusals(Arc::clone(&process));
        tracing_subscriber::registry().with(refusals).init();
        for task in 0..TASKS {
            let rng = fastrand::Rng::with_seed(seed.wrapping_mul(1000) + task as u64);
            tokio::spawn(Arc::clone(&process).act(rng));
        }
        loop {
            tokio::time::sleep(Duration::from_millis(250)).await;
            process.tell_counts();
        }
    });
}

pub(crate) async fn connect(url: &str) -> MultiplexedConnection {
    let config = AsyncConnectionConfig::new()
        .set_connection_timeout(Some(redis_cached_tests::PATIENCE))
        .set_response_timeout(Some(redis_cached_tests::PATIENCE));
    let client = Client::open(url).expect("the harness writes valid urls");
    client.get_multiplexed_async_connection_with_config(&config).await.expect("the origin is up")
}

/// Hears which computed values the store, or the journal, has refused.
struct Refusals(Arc<Process>);

impl<S: tracing::Subscriber> Layer<S> for Refusals {
    fn on_event(&self, event: &tracing::Event<'_>, _: layer::Context<'_, S>) {
        struct Step(bool);
        impl tracing::field::Visit for Step {
            fn record_str(&mut self, field: &tracing::field::Field, value: &str) {
                let refused = ["commit refused", "invalidated by a tag meanwhile"];
                self.0 |= field.name() == "step" && refused.contains(&value);
            }
            fn record_debug(&mut self, _: &tracing::field::Field, _: &dyn std::fmt::Debug) {}
        }
        let mut step = Step(false);
        event.record(&mut step);
        if step.0 {
            self.0.count(6);
        }
    }
}

impl Process {
    fn tell_counts(&self) {
        let counts = self.counts[..].iter().enumerate().map(|(at, count)| {
            // An age is a maximum, and said again each time.
            if at == 4 { count.load(Ordering::Relaxed) } else { count.swap(0, Ordering::Relaxed) }
        });
        let counts: Vec<String> = counts.map(|count| count.to_string()).collect();
        tell(&format!("counts {}", counts.join(" ")));
    }

    fn count(&self, what: usize) {
        self.counts[what].fetch_add(1, Ordering::Relaxed);
    }

    async fn act(self: Arc<Self>, mut rng: fastrand::Rng) {
        loop {
            let register = rng.u64(..REGISTERS);
            // The origin is only asked and told; that it is there is not what is tested.
            let done = if rng.u8(..100) < 8 {
                self.write(register, rng.u8(..8)).await
            } else {
                self.read(register, rng.u64(..REGISTERS), rng.u8(..20)).await
            };
            done.expect("the origin is up");
            tokio::time::sleep(Duration::from_micros(rng.u64(..3_000))).await;
        }
    }

    /// Changes a register, invalidates, and notes what was acknowledged.
    async fn write(&self, register: u64, how: u8) -> RedisResult<()> {
        let Context { cache, origin } = &self.context;
        let mut origin = origin.clone();
        let name = format!("register:{register}");
        let version: u64 = redis::cmd("INCR").arg(&name).query_async(&mut origin).await?;
        let (kind, done) = match how {
            0 | 1 => ("plain", plain_entry(register, &self.context).invalidate().await),
            2 => ("cleared", cleared_all(&self.context).invalidate().await),
            3 => {
                // Nothing is promised of the old value but that it is not fresh.
                let _ = cache.expire_tags([&name]).await;
                return Ok(());
            }
            _ => ("register", cache.invalidate_tags([&name]).await),
        };
        if done.is_err() {
            self.count(3);
            return Ok(());
        }
        let mut note = redis::cmd("ZADD");
        note.arg("acknowledged").arg("GT").arg(version).arg(format!("{kind}:{register}"));
        note.exec_async(&mut origin).await?;
        self.count(2);
        Ok(())
    }

    /// The oldest version that a call which begins now may return.
    async fn due(&self, kind: &str, register: u64) -> RedisResult<u64> {
        let mut ask = redis::cmd("ZSCORE");
        ask.arg("acknowledged").arg(format!("{kind}:{register}"));
        let due: Option<f64> = ask.query_async(&mut self.context.origin.clone()).await?;
        #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "a count")]
        Ok(due.unwrap_or(0.0) as u64)
    }

    async fn read(&self, a: u64, b: u64, how: u8) -> RedisResult<()> {
        let kind = match how {
            0..=2 => "plain",
            3 | 4 => "cleared",
            _ => "register",
        };
        let due = (self.due(kind, a).await?, self.due("register", b).await?);
        let context = &self.context;
        let began = now_ms();
        let (what, answer) = match how {
            0 => ("plain_refresh", plain_refresh(a, context).await.map(|one| (one, None))),
            1 | 2 => ("plain", plain(a, context).await.map(|one| (one, None))),
            3 | 4 => ("cleared", cleared(a, context).await.map(|one| (one, None))),
            5..=7 => ("tagged", tagged(a, context).await.map(|one| (one, None))),
            8 => ("tagged_refresh", tagged_refresh(a, context).await.map(|one| (one, None))),
            9..=11 => ("live", live(a, context.clone()).await.map(|one| (one, None))),
            12 | 13 => ("valued", valued(a, context).await.map(|one| (one, None))),
            14 | 15 => ("late", late(a, context).await.map(|one| (one, None))),
            16 => ("late_refresh", late_refresh(a, context).await.map(|one| (one, None))),
            _ => ("outer", outer(a, b, context).await.map(|(one, two)| (one, Some(two)))),
        };
        self.count(0);
        let Ok((one, two)) = answer else {
            self.count(1);
            return Ok(());
        };
        self.check(what, one, due.0, began);
        if let Some(two) = two {
            self.check(what, two, due.1, began);
        }
        Ok(())
    }

    fn check(&self, what: &str, reading: Reading, due: u64, began: u64) {
        // As old as it was when it was asked for: the rest is the call's own time.
        let age = began.saturating_sub(reading.read_ms);
        self.counts[4].fetch_max(age, Ordering::Relaxed);
        if reading.version < due {
            self.count(5);
            let Reading { register, version, read_ms } = reading;
            tell(&format!(
                "violation {what}({register}) returned version {version}, read {} ms before the call; \
                 {due} was acknowledged before it",
                began.saturating_sub(read_ms)
            ));
        }
    }
}
