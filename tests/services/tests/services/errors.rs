//! A client of a registry whose errors are answers: "not there" and "ask again later" are kept, each for as long
//! as it holds, and callers act on their kind.

use std::time::Duration;

use redis_cached::{Cache, redis_cached, redis_invalidate};
use redis_cached_tests::{Gate, eventually, in_time};
use serde::{Deserialize, Serialize};
use tokio::task::JoinHandle;

use crate::stage::{MINUTE, SECOND, Stage, on_both};
use crate::table::Table;

/// What the registry says of a package.
#[derive(Clone)]
enum Reply {
    Is(&'static str),
    WithoutLicense(&'static str),
    Wait(Duration),
    Down,
}

/// Not `Clone`, as those that hold an `io::Error` are not.
#[derive(Debug, PartialEq, thiserror::Error, Serialize, Deserialize)]
enum RegistryError {
    #[error("there is no {package}")]
    NotFound { package: String },
    #[error("not before {retry_after:?} have passed")]
    RateLimited { retry_after: Duration },
    #[error("the registry is down")]
    Unavailable { is_shared: bool },
}

impl RegistryError {
    fn is_answer(&self) -> bool {
        !matches!(self, Self::Unavailable { .. })
    }

    fn holds_for(&self) -> Duration {
        match self {
            Self::NotFound { .. } => SECOND * 30,
            Self::RateLimited { retry_after } => *retry_after,
            Self::Unavailable { .. } => Duration::ZERO,
        }
    }

    fn share(&self) -> Self {
        match self {
            Self::NotFound { package } => Self::NotFound { package: package.clone() },
            Self::RateLimited { retry_after } => Self::RateLimited { retry_after: *retry_after },
            Self::Unavailable { .. } => Self::Unavailable { is_shared: true },
        }
    }
}

#[derive(Clone)]
struct Registry {
    cache: Cache,
    replies: Table<String, Reply>,
}

impl Registry {
    #[redis_cached(
        key = "latest:{package}", ttl = "10m", jitter = "0%", wait = "5m", skip(self), cache = self.cache,
        cache_err_if = RegistryError::is_answer, err_ttl_with = RegistryError::holds_for,
        share_err = RegistryError::share
    )]
    async fn latest(&self, package: &str) -> Result<String, RegistryError> {
        match self.ask(package).await? {
            Reply::Is(version) | Reply::WithoutLicense(version) => Ok(version.to_owned()),
            Reply::Wait(retry_after) => Err(RegistryError::RateLimited { retry_after }),
            Reply::Down => Err(RegistryError::Unavailable { is_shared: false }),
        }
    }

    /// Of its errors only one, for a time that depends on nothing.
    #[redis_cached(
        key = "license:{package}", ttl = "10m", jitter = "0%", skip(self), cache = self.cache,
        cache_err_if = |error| matches!(error, RegistryError::NotFound { .. }), err_ttl = "2m"
    )]
    async fn license(&self, package: &str) -> Result<Option<String>, RegistryError> {
        match self.ask(package).await? {
            Reply::Is(_) => Ok(Some("MIT".to_owned())),
            Reply::WithoutLicense(_) => Ok(None),
            Reply::Wait(retry_after) => Err(RegistryError::RateLimited { retry_after }),
            Reply::Down => Err(RegistryError::Unavailable { is_shared: false }),
        }
    }

    async fn ask(&self, package: &str) -> Result<Reply, RegistryError> {
        let reply = self.replies.read(&package.to_owned()).await;
        reply.ok_or_else(|| RegistryError::NotFound { package: package.to_owned() })
    }

    #[redis_invalidate(self.latest(package), self.license(package), on_failure = "retry")]
    async fn publish(&self, package: &str, version: &'static str) {
        tokio::task::yield_now().await;
        self.says(package, Reply::Is(version));
    }

    fn says(&self, package: &str, reply: Reply) {
        self.replies.write(package.to_owned(), reply);
    }

    fn spawn_latest(&self, package: &'static str) -> JoinHandle<Result<String, RegistryError>> {
        let registry = self.clone();
        tokio::spawn(async move { registry.latest(package).await })
    }
}

/// One registry, asked by two processes.
fn registries(Stage { a, b, .. }: &Stage, gate: Gate) -> [Registry; 2] {
    let replies = Table::behind(gate, []);
    [a, b].map(|cache| Registry { cache: cache.clone(), replies: replies.clone() })
}

fn not_found<T>(package: &str) -> Result<T, RegistryError> {
    Err(RegistryError::NotFound { package: package.to_owned() })
}

fn limited<T>(retry_after: Duration) -> Result<T, RegistryError> {
    Err(RegistryError::RateLimited { retry_after })
}

async fn what_is_not_there_is_asked_for_once(stage: &Stage) {
    let [a, b] = registries(stage, Gate::open());
    for registry in [&a, &b, &a] {
        assert_eq!(registry.latest("serde").await, not_found("serde"));
    }
    assert_eq!(a.replies.reads(), 1);
    assert_eq!(b.license("serde").await, not_found("serde"));
    assert_eq!(a.license("serde").await, not_found("serde"));
    assert_eq!(a.replies.reads(), 2);

    let left = b.latest_entry("serde").ttl().await.unwrap().expect("it is stored");
    assert!(left <= SECOND * 30, "{left:?}");
    let left = b.license_entry("serde").ttl().await.unwrap().expect("it is stored");
    assert!(left <= MINUTE * 2 && left > MINUTE, "{left:?}");
    assert!(a.latest_entry("serde").peek().await.unwrap().is_none(), "it is no value");
}

async fn c1_what_is_published_is_there_at_once(stage: &Stage) {
    let [a, b] = registries(stage, Gate::open());
    assert_eq!(a.latest("serde").await, not_found("serde"));
    assert_eq!(b.license("serde").await, not_found("serde"));
    b.publish("serde", "1.0").await;
    assert_eq!(a.latest("serde").await.unwrap(), "1.0");
    assert_eq!(a.license("serde").await.unwrap().as_deref(), Some("MIT"));
    assert_eq!(b.latest("serde").await.unwrap(), "1.0");
    assert_eq!(a.replies.reads(), 4);
}

async fn c1_a_not_found_that_was_overtaken_by_a_publication_is_not_stored(stage: &Stage) {
    let [a, b] = registries(stage, Gate::closed());
    let publication = async {
        a.replies.gate().started(1).await;
        b.publish("serde", "1.0").await;
        a.replies.gate().let_all_go();
    };
    let (early, ()) = tokio::join!(a.latest("serde"), publication);
    assert_eq!(early, not_found("serde"));
    assert_eq!(a.latest("serde").await.unwrap(), "1.0");
    assert_eq!(b.latest("serde").await.unwrap(), "1.0");
    assert_eq!(a.replies.reads(), 2);
}

async fn a_rate_limit_holds_back_every_process(stage: &Stage) {
    let [a, b] = registries(stage, Gate::open());
    a.says("tokio", Reply::Wait(MINUTE));
    assert_eq!(a.latest("tokio").await, limited(MINUTE));
    a.says("tokio", Reply::Is("1.49"));
    for registry in [&b, &a, &b] {
        assert_eq!(registry.latest("tokio").await, limited(MINUTE));
    }
    assert_eq!(a.replies.reads(), 1);
    let left = b.latest_entry("tokio").ttl().await.unwrap().expect("it is stored");
    assert!(left <= MINUTE && left > SECOND * 30, "{left:?}");
    // Of this function it is none of the errors that are kept.
    a.says("tokio", Reply::Wait(MINUTE));
    for reads in [2, 3] {
        assert_eq!(b.license("tokio").await, limited(MINUTE));
        assert_eq!(a.replies.reads(), reads);
    }
}

async fn c3_a_rate_limit_ends_when_it_says(stage: &Stage) {
    let [a, b] = registries(stage, Gate::open());
    a.says("tokio", Reply::Wait(Duration::from_millis(200)));
    assert!(a.latest("tokio").await.is_err());
    a.says("tokio", Reply::Is("1.49"));
    eventually("it is over", async || b.latest("tokio").await.is_ok()).await;
    assert_eq!(a.latest("tokio").await.unwrap(), "1.49");
    assert_eq!(a.replies.reads(), 2);
    // One that is over when it comes is not stored at all.
    b.says("mio", Reply::Wait(Duration::ZERO));
    for reads in [3, 4] {
        assert_eq!(b.latest("mio").await, limited(Duration::ZERO));
        assert_eq!(a.replies.reads(), reads);
    }
}

async fn a_failure_is_no_answer_and_takes_no_value_away(stage: &Stage) {
    let [a, b] = registries(stage, Gate::open());
    a.says("hyper", Reply::Down);
    for (registry, reads) in [(&a, 1), (&b, 2)] {
        let failed = registry.latest("hyper").await;
        assert_eq!(failed, Err(RegistryError::Unavailable { is_shared: false }));
        assert_eq!(a.replies.reads(), reads);
    }
    assert_eq!(a.latest_entry("hyper").ttl().await.unwrap(), None);

    a.says("axum", Reply::WithoutLicense("0.8"));
    assert_eq!(a.license("axum").await, Ok(None));
    a.says("axum", Reply::Down);
    assert!(b.license_refresh("axum").await.is_err());
    assert_eq!(b.license("axum").await, Ok(None), "the absence of a license is a value");
    assert_eq!(a.replies.reads(), 4);
}

/// Returns when all who have called in this process before wait for somebody's body.
async fn all_wait(registry: &Registry, package: &'static str) {
    // An answer on the connection that theirs have come on before.
    for _ in 0..3 {
        registry.latest_entry(package).ttl().await.unwrap();
        tokio::task::yield_now().await;
    }
}

async fn those_who_wait_get_the_kind_of_error_that_was_found(stage: &Stage) {
    let [a, b] = registries(stage, Gate::closed());
    let leader = b.spawn_latest("serde");
    a.replies.gate().started(1).await;
    let waiting: Vec<_> = (0..5).map(|_| a.spawn_latest("serde")).collect();
    all_wait(&a, "serde").await;
    a.replies.gate().let_all_go();
    assert_eq!(in_time("the leader", leader).await.unwrap(), not_found("serde"));
    for call in waiting {
        assert_eq!(in_time("who waits", call).await.unwrap(), not_found("serde"));
    }
    assert_eq!(a.replies.reads(), 1);
}

/// The second flight is led by one of those who have waited for the first, which was not theirs to share.
async fn those_who_wait_get_a_failure_as_the_service_shares_it(stage: &Stage) {
    let [a, b] = registries(stage, Gate::closed());
    a.says("hyper", Reply::Down);
    let leader = b.spawn_latest("hyper");
    a.replies.gate().started(1).await;
    let waiting: Vec<_> = (0..5).map(|_| a.spawn_latest("hyper")).collect();
    all_wait(&a, "hyper").await;
    a.replies.gate().let_all_go();
    let original = RegistryError::Unavailable { is_shared: false };
    assert_eq!(in_time("the leader", leader).await.unwrap().unwrap_err(), original);
    let mut shared = 0;
    for call in waiting {
        match in_time("who waits", call).await.unwrap() {
            Err(RegistryError::Unavailable { is_shared }) => shared += usize::from(is_shared),
            other => panic!("{other:?}"),
        }
    }
    assert_eq!((shared, a.replies.reads()), (4, 2));
    assert_eq!(a.latest_entry("hyper").ttl().await.unwrap(), None, "it was stored");
}

on_both! {
    what_is_not_there_is_asked_for_once,
    c1_what_is_published_is_there_at_once,
    c1_a_not_found_that_was_overtaken_by_a_publication_is_not_stored,
    a_rate_limit_holds_back_every_process,
    c3_a_rate_limit_ends_when_it_says,
    a_failure_is_no_answer_and_takes_no_value_away,
    those_who_wait_get_the_kind_of_error_that_was_found,
    those_who_wait_get_a_failure_as_the_service_shares_it,
}

#[tokio::test(start_paused = true)]
async fn c3_each_kind_of_error_is_served_to_its_own_end_and_not_longer() {
    let [a, b] = registries(&Stage::memory().await, Gate::open());
    a.says("limited", Reply::Wait(SECOND * 7));
    let ask = async |package| {
        let reads = a.replies.reads();
        let error = b.latest(package).await.unwrap_err();
        (error.holds_for(), a.replies.reads() > reads)
    };
    for (package, lives) in [("missing", SECOND * 30), ("limited", SECOND * 7)] {
        assert_eq!(ask(package).await, (lives, true));
        tokio::time::advance(lives.saturating_sub(Duration::from_millis(1))).await;
        assert_eq!(ask(package).await, (lives, false), "{package}");
        tokio::time::advance(Duration::from_millis(1)).await;
        assert_eq!(ask(package).await, (lives, true), "{package}");
    }
    assert_eq!(b.license("missing").await, not_found("missing"));
    tokio::time::advance(MINUTE * 2).await;
    a.says("missing", Reply::Is("0.1"));
    assert!(b.license("missing").await.is_ok());
}
