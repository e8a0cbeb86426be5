//! Keyed integrity through the whole lookup, on the embedded store with a paused clock.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use crate::cache::Inner;
use crate::key::Key;
use crate::private::{self, Policy, Site, Target, chosen, entry, literal};
use crate::store::Store;
use crate::store::memory::Memory;
use crate::{Builder, Cache, Entry, State};

const SECOND: u64 = 1_000;
const SECRET: [u8; 32] = [1; 32];
const OTHER: [u8; 32] = [2; 32];

fn place() -> &'static str {
    ""
}

const fn policy() -> Policy {
    Policy::new(60 * SECOND).refresh_before(30 * SECOND).jitter_permille(0)
}

static LOAD: Site = Site::new("app", "load", place, "user:{id}", &policy());

/// Several caches on one store.
struct Origin {
    cache: Cache,
    runs: Arc<AtomicUsize>,
}

async fn built(builder: Builder) -> Cache {
    builder.url("memory://").namespace("ns").build().await.unwrap()
}

impl Origin {
    async fn new() -> Self {
        Self { cache: built(Cache::builder().integrity_key(SECRET)).await, runs: Arc::default() }
    }

    /// Another process with these settings.
    async fn beside(&self, builder: Builder) -> Self {
        let cache = built(builder).await;
        let inner = Arc::into_inner(cache.0).expect("nobody else has it");
        let store = Store::Memory(Arc::clone(self.memory()));
        let cache = Cache::new(store, inner.namespace, inner.settings);
        Self { cache, runs: Arc::clone(&self.runs) }
    }

    fn memory(&self) -> &Arc<Memory> {
        let Inner { store: Store::Memory(memory), .. } = &*self.cache.0 else { unreachable!() };
        memory
    }

    fn target(&self, key: &'static str) -> Target {
        Target::new(&LOAD, "", chosen(&self.cache), &[literal(key)])
    }

    fn entry(&self, key: &'static str) -> Entry<usize> {
        entry(self.target(key), private::returns!(usize))
    }

    /// The number of the body whose value is served.
    async fn call(&self, key: &'static str) -> usize {
        let target = |origin: &(Cache, Arc<AtomicUsize>), _| {
            Target::new(&LOAD, "", chosen(&origin.0), &[literal(key)])
        };
        let origin = (self.cache.clone(), Arc::clone(&self.runs));
        let body =
            async |origin: (Cache, Arc<AtomicUsize>)| origin.1.fetch_add(1, Ordering::SeqCst) + 1;
        let (chosen, returns) = (chosen(&self.cache), private::returns!(usize));
        let mut call = private::call(false, chosen, returns, origin, target, body);
        private::answer(&mut call).await
    }

    async fn hits(&self, key: &'static str) -> bool {
        let before = self.runs.load(Ordering::SeqCst);
        self.call(key).await;
        self.runs.load(Ordering::SeqCst) == before
    }

    fn copied(&self, key: &'static str) -> (Vec<u8>, u64) {
        self.memory().copy(&rendered(key)).expect("it is stored")
    }

    fn plant(&self, key: &'static str, bytes: Vec<u8>) {
        let far = self.memory().now() + 86_400 * SECOND;
        self.memory().put_back(&rendered(key), (bytes, far));
    }
}

fn rendered(key: &'static str) -> Key {
    Key::render("ns", &[literal(key)]).unwrap()
}

#[tokio::test(start_paused = true)]
async fn c6_an_entry_of_another_key_or_secret_or_of_none_is_replaced() {
    let origin = Origin::new().await;
    let attacker = Origin {
        runs: Arc::new(AtomicUsize::new(1_000)),
        ..origin.beside(Cache::builder().integrity_key(OTHER)).await
    };
    let outsider =
        Origin { runs: Arc::new(AtomicUsize::new(2_000)), ..origin.beside(Cache::builder()).await };
    origin.call("user:1").await;
    origin.call("user:2").await;

    let of_another_key = origin.copied("user:2").0;
    for forger in [&attacker, &outsider] {
        forger.entry("user:1").set(666).await.unwrap();
        assert_eq!(origin.entry("user:1").peek().await.unwrap().map(|_| ()), None);
        let computed = origin.call("user:1").await;
        assert!(computed < 666, "{computed} is not what a body has computed");
        assert!(origin.hits("user:1").await, "what was there is replaced");
    }
    origin.plant("user:1", of_another_key);
    assert!(!origin.hits("user:1").await);
    assert!(origin.hits("user:1").await);
}

/// Redis removes what has ended, unless somebody tells it not to.
#[tokio::test(start_paused = true)]
async fn c3_an_authentic_entry_is_not_served_past_its_end() {
    let origin = Origin::new().await;
    origin.call("user:1").await;
    let (bytes, _) = origin.copied("user:1");
    origin.plant("user:1", bytes.clone());
    tokio::time::advance(Duration::from_secs(29)).await;
    assert!(origin.hits("user:1").await, "until then it is a value like any other");
    tokio::time::advance(Duration::from_secs(31)).await;
    origin.plant("user:1", bytes.clone());
    assert!(origin.entry("user:1").peek().await.unwrap().is_none());
    assert!(!origin.hits("user:1").await);
    assert!(origin.hits("user:1").await);

    let unkeyed = origin.beside(Cache::builder()).await;
    origin.plant("user:1", bytes);
    assert!(unkeyed.hits("user:1").await, "without a secret that is left to the server");
}

#[tokio::test(start_paused = true)]
async fn an_expired_entry_is_authentic_and_stale() {
    let origin = Origin::new().await;
    origin.call("user:1").await;
    origin.entry("user:1").expire().await.unwrap();
    assert_eq!(&origin.copied("user:1").0[16..24], &[0; 8], "due-at is patched");
    let peeked = origin.entry("user:1").peek().await.unwrap();
    assert!(peeked.is_some_and(|peeked| peeked.state == State::Stale));
}

/// Each step of a change may take as long as a deploy does: both sides write and read meanwhile.
#[tokio::test(start_paused = true)]
async fn a_secret_is_brought_in_changed_and_taken_out_step_by_step() {
    let origin = Origin::new().await;
    let settings: [fn() -> Builder; 6] = [
        Cache::builder,
        || Cache::builder().integrity_key(SECRET),
        || Cache::builder().integrity_key(SECRET).accept_integrity_key(OTHER),
        || Cache::builder().integrity_key(OTHER).accept_integrity_key(SECRET),
        || Cache::builder().integrity_key(OTHER),
        Cache::builder,
    ];
    for (step, pair) in settings.windows(2).enumerate() {
        let (before, after) = (origin.beside(pair[0]()).await, origin.beside(pair[1]()).await);
        let step = step + 1;
        // Who has written them nobody knows: to bring it in, and to go back, costs the entries without a MAC.
        before.call("user:1").await;
        assert_eq!(after.hits("user:1").await, step != 1, "step {step}, forwards");
        after.entry("user:1").invalidate().await.unwrap();
        after.call("user:1").await;
        assert_eq!(before.hits("user:1").await, step != 5, "step {step}, backwards");
        assert!(after.hits("user:1").await, "step {step}");
        before.entry("user:1").invalidate().await.unwrap();
    }
}

#[tokio::test(start_paused = true)]
async fn secrets_that_are_none_are_refused_and_shown_nowhere() {
    let short = "7c9e6d0b5a4f3e2d1c0b9a8f7e6d5c4";
    for (builder, named) in [
        (Cache::builder().integrity_key(short), "`integrity_key` is 31 bytes long"),
        (
            Cache::builder().integrity_key(SECRET).accept_integrity_key(short),
            "`accept_integrity_key` is 31 bytes long",
        ),
        (Cache::builder().accept_integrity_key(SECRET), "said without `integrity_key`"),
        (
            (0..5).fold(Cache::builder().integrity_key(SECRET), |builder, n| {
                builder.accept_integrity_key([n; 32])
            }),
            "said 5 times",
        ),
    ] {
        assert!(!format!("{builder:?}").contains(short));
        let error = builder.url("memory://").build().await.expect_err("refused");
        let text = format!("{error} {error:?}");
        assert!(text.contains(named) && !text.contains(short), "{text}");
    }
    let text = "a secret of thirty-two bytes, yes";
    let builder = Cache::builder().integrity_key(text).accept_integrity_key(text);
    let cache = built(builder.clone()).await;
    let shown = format!("{builder:?} {cache:?} {:?}", cache.0.settings);
    assert!(!shown.contains(text) && !shown.contains("97, 32"), "{shown}");
}
