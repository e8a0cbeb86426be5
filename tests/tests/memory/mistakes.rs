//! What users write by mistake, and what their code does in the midst of a call.

// Bodies as short as can be, and arguments used as users may.
#![allow(clippy::unused_async, clippy::borrow_deref_ref)]

use crate::origin::{Origin, memory, settle};
use redis_cached::{Cache, redis_cached};
use redis_cached_tests::Told;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;
use tokio::time::Instant;

#[redis_cached(key = "mistakes:4:{id}", ttl = "1h", refresh_before = "20%", ttl_with = |_| Duration::MAX, skip(origin), cache = cache)]
async fn forever(cache: &Cache, origin: &Origin, id: u64) -> usize {
    origin.read().await
}
#[tokio::test(start_paused = true)]
async fn ttl_with_may_say_for_ever() {
    let (cache, origin) = (memory().await, Origin::open());
    forever(&cache, &origin, 1).await;
    forever(&cache, &origin, 1).await;
    assert_eq!(origin.bodies(), 1);
}
#[tokio::test(start_paused = true)]
async fn ttl_with_may_say_for_ever_set() {
    let cache = memory().await;
    forever_entry(&cache, 1).set(7).await.unwrap();
}

#[redis_cached(key = "mistakes:5:{id}", ttl = "1h", name = "mistakes.load", cache = cache)]
async fn user(cache: &Cache, id: u64) -> String {
    format!("user {id}")
}
#[redis_cached(key = "mistakes:5:{id}", ttl = "1h", name = "mistakes.load", cache = cache)]
async fn password(cache: &Cache, id: u64) -> String {
    format!("password {id}")
}
#[tokio::test(start_paused = true)]
async fn c6_two_functions_of_one_name() {
    let (told, cache) = (Told::listen(), memory().await);
    user(&cache, 1).await;
    let b = password(&cache, 1).await;
    println!("TOLD {}", told.text());
    assert_eq!(b, "password 1");
}

#[tokio::test(start_paused = true)]
async fn two_blocks_of_one_function() {
    macro_rules! looked_up {
        ($cache:expr, $text:literal) => {{
            #[redis_cached(key = "mistakes:6:{id}", ttl = "1h", cache = cache)]
            async fn look(cache: &Cache, id: u64) -> String {
                format!("{} {id}", $text)
            }
            look($cache, 1).await
        }};
    }
    let (told, cache) = (Told::listen(), memory().await);
    let a = looked_up!(&cache, "user");
    let b = looked_up!(&cache, "password");
    println!("TOLD {}", told.text());
    assert_eq!((&*a, &*b), ("user 1", "password 1"));
}

#[redis_cached(key = "mistakes:13:{id}", ttl = "1h", cache = cache)]
async fn first(cache: &Cache, id: u64) -> u64 {
    id
}
#[redis_cached(key = "mistakes:13:{id}", ttl = "1h", cache = cache)]
async fn second(cache: &Cache, id: u64) -> u64 {
    id
}
#[test]
fn a_subscriber_may_ask_the_cache() {
    use tracing_subscriber::layer::{Context, Layer, SubscriberExt};
    struct Asks(Cache);
    impl<S: tracing::Subscriber> Layer<S> for Asks {
        fn on_event(&self, event: &tracing::Event<'_>, _: Context<'_, S>) {
            if *event.metadata().level() == tracing::Level::WARN {
                let _ = self.0.functions();
            }
        }
    }
    let (done, wait) = std::sync::mpsc::channel();
    std::thread::spawn(move || {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        let cache = runtime.block_on(memory());
        let subscriber = tracing_subscriber::registry().with(Asks(cache.clone()));
        tracing::subscriber::with_default(subscriber, || {
            runtime.block_on(async {
                first(&cache, 1).await;
                second(&cache, 1).await;
            });
        });
        done.send(()).unwrap();
    });
    wait.recv_timeout(Duration::from_secs(3)).expect("a deadlock");
}

static PANICS14: AtomicUsize = AtomicUsize::new(0);
#[redis_cached(key = "mistakes:14:{id}", ttl = "1h", cache_if = |_| { assert!(PANICS14.fetch_add(1, Ordering::SeqCst) > 0, "once"); true }, skip(origin), cache = cache)]
async fn picky(cache: &Cache, origin: &Origin, id: u64) -> usize {
    origin.read().await
}
#[tokio::test(start_paused = true)]
async fn a_panic_in_cache_if_is_the_leaders() {
    let (cache, origin) = (memory().await, Origin::gated());
    let call = || {
        let (cache, origin) = (cache.clone(), origin.clone());
        tokio::spawn(async move { picky(&cache, &origin, 1).await })
    };
    let first = call();
    origin.body_started().await;
    let (second, third) = (call(), call());
    settle().await;
    let start = Instant::now();
    origin.let_through(9);
    assert!(first.await.is_err());
    second.await.unwrap();
    third.await.unwrap();
    assert_eq!(start.elapsed(), Duration::ZERO);
    assert_eq!(origin.bodies(), 2);
}

enum Mine {}
impl redis_cached::Codec for Mine {
    const NAME: &'static str = "bincode";
    fn encode<T: serde::Serialize>(value: &T) -> Result<Vec<u8>, redis_cached::CodecError> {
        redis_cached::CodecError::new("no");
        let _ = value;
        Ok(vec![9])
    }
    fn decode<T: serde::de::DeserializeOwned>(_: &[u8]) -> Result<T, redis_cached::CodecError> {
        T::deserialize(serde::de::value::U64Deserializer::<serde::de::value::Error>::new(9))
            .map_err(redis_cached::CodecError::new)
    }
}
#[redis_cached(key = "mistakes:16:{id}", ttl = "1h", name = "r16", skip(n), cache = cache)]
async fn with_bincode(cache: &Cache, n: &AtomicUsize, id: u64) -> u64 {
    n.fetch_add(1, Ordering::SeqCst);
    let _ = id;
    9
}
#[redis_cached(key = "mistakes:16:{id}", ttl = "1h", name = "r16", codec = Mine, skip(n), cache = cache)]
async fn with_mine(cache: &Cache, n: &AtomicUsize, id: u64) -> u64 {
    n.fetch_add(1, Ordering::SeqCst);
    let _ = id;
    9
}
#[tokio::test(start_paused = true)]
async fn c6_two_codecs_of_one_name_do_not_destroy_each_other() {
    let (told, cache, n) = (Told::listen(), memory().await, AtomicUsize::new(0));
    for _ in 0..3 {
        with_bincode(&cache, &n, 1).await;
        with_mine(&cache, &n, 1).await;
    }
    assert!(!told.text().contains("damaged"), "taken for damage");
    assert_eq!(n.load(Ordering::SeqCst), 2);
}

#[redis_cached(key = "expiring:{id}", ttl = ttl(&*fail), refresh_before = "50%", jitter = "0%", skip(fail), cache = cache)]
async fn expiring(cache: &Cache, fail: &Arc<AtomicUsize>, id: u64) -> u64 {
    id
}
fn ttl(fail: &AtomicUsize) -> Duration {
    assert!(fail.load(Ordering::SeqCst) == 0, "no configuration");
    Duration::from_secs(60)
}
#[tokio::test(start_paused = true)]
async fn a_stale_hit_is_served_whatever_its_refresh_comes_to() {
    let (cache, fail) = (memory().await, Arc::new(AtomicUsize::new(0)));
    expiring(&cache, &fail, 1).await;
    tokio::time::sleep(Duration::from_secs(40)).await;
    fail.store(1, Ordering::SeqCst);
    let (c, f) = (cache.clone(), fail.clone());
    assert_eq!(tokio::spawn(async move { expiring(&c, &f, 1).await }).await.unwrap(), 1);
}
