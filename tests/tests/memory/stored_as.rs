//! What is stored differs from what is returned: what is in an `Arc`, and what `save` and `load` say.

use std::future::Future;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use redis_cached::{Cache, Entry, invalidate_tags, redis_cached};
use redis_cached_tests::Told;
use serde::{Deserialize, Serialize};

use crate::origin::{Origin, memory, settle};

#[derive(Debug, PartialEq, Eq, Serialize, Deserialize)]
struct User {
    id: u64,
    team: u64,
}

fn user(id: u64) -> Arc<User> {
    Arc::new(User { id, team: id * 10 })
}

type Shared<T> = Result<Arc<T>, String>;

#[redis_cached(ttl = "1m", skip(origin), tags = ["team:{ret.team}"])]
async fn plain(origin: &Origin, id: u64) -> Arc<User> {
    origin.read().await;
    user(id)
}

#[redis_cached(ttl = "1m", skip(origin), ttl_with = |user| Duration::from_secs(user.team))]
async fn aliased(origin: &Origin, id: u64) -> Shared<User> {
    origin.read().await;
    Ok(user(id))
}

#[redis_cached(ttl = "1m", none_ttl = "1s", jitter = "0%", skip(origin), codec = msgpack)]
async fn optional(origin: &Origin, id: u64) -> Result<Option<Arc<User>>, String> {
    origin.read().await;
    Ok((id > 0).then(|| user(id)))
}

#[redis_cached(ttl = "1m", skip(origin))]
async fn text(origin: &Origin, id: u64) -> Arc<str> {
    origin.read().await;
    id.to_string().into()
}

#[redis_cached(ttl = "1m", skip(origin))]
async fn slice(origin: &Origin, id: u64) -> Option<Arc<[u64]>> {
    origin.read().await;
    Some([id, id].into())
}

#[redis_cached(key = "generic:{id}", ttl = "1m", skip(origin, T))]
async fn generic<T>(origin: &Origin, id: T) -> Arc<T>
where
    T: Copy + std::fmt::Display + Serialize + serde::de::DeserializeOwned + Send + Sync + 'static,
{
    origin.read().await;
    Arc::new(id)
}

/// The second call is a hit, and both give what is expected.
async fn hits<T: PartialEq + std::fmt::Debug, F: Future<Output = T>>(
    expected: T,
    call: impl Fn(&'static Origin) -> F,
) {
    let origin: &Origin = Box::leak(Box::new(Origin::open()));
    assert_eq!(call(origin).await, expected);
    assert_eq!(call(origin).await, expected);
    assert_eq!(origin.bodies(), 1, "{expected:?}");
}

#[tokio::test(start_paused = true)]
async fn what_is_in_an_arc_is_stored() {
    memory()
        .await
        .scope(async {
            hits(user(1), |origin| plain(origin, 1)).await;
            hits(Ok(user(2)), |origin| aliased(origin, 2)).await;
            hits(Ok(Some(user(3))), |origin| optional(origin, 3)).await;
            hits(Ok(None), |origin| optional(origin, 0)).await;
            hits("4".into(), |origin| text(origin, 4)).await;
            hits(Some([5, 5].into()), |origin| slice(origin, 5)).await;
            hits(Arc::new(6_u64), |origin| generic(origin, 6)).await;
        })
        .await;
}

#[tokio::test(start_paused = true)]
async fn what_is_said_of_a_value_is_said_of_what_is_in_its_arc() {
    memory()
        .await
        .scope(async {
            let origin = Origin::open();
            plain(&origin, 1).await;
            invalidate_tags(["team:10"]).await.unwrap();
            plain(&origin, 1).await;
            assert_eq!(origin.bodies(), 2, "by a tag of the value");

            aliased(&origin, 2).await.unwrap();
            let left = aliased_entry(2).ttl().await.unwrap().unwrap();
            assert!(left <= Duration::from_secs(20), "{left:?}");
            optional(&origin, 0).await.unwrap();
            let left = optional_entry(0).ttl().await.unwrap().unwrap();
            assert_eq!(left, Duration::from_secs(1), "that of a `None`");
        })
        .await;
}

#[tokio::test(start_paused = true)]
async fn handles_speak_of_the_arc() {
    memory()
        .await
        .scope(async {
            let origin = Origin::open();
            plain_entry(1).set(user(7)).await.unwrap();
            assert_eq!(plain(&origin, 1).await, user(7));
            assert_eq!(optional_entry(3).peek().await.unwrap().map(|peek| peek.value), None);
            optional_entry(3).set(Some(user(3))).await.unwrap();
            assert_eq!(optional(&origin, 3).await, Ok(Some(user(3))));
            let peek = optional_entry(3).of_value().peek().await.unwrap().unwrap();
            assert_eq!(peek.value, Some(user(3)));
            assert_eq!(origin.bodies(), 0);
        })
        .await;
}

#[redis_cached(key = "user:{id}", ttl = "1m", same_entries_as = of_arc, skip(origin))]
async fn of_itself(origin: &Origin, id: u64) -> User {
    origin.read().await;
    User { id, team: id * 10 }
}

#[redis_cached(key = "user:{id}", ttl = "1m", skip(origin))]
async fn of_arc(origin: &Origin, id: u64) -> Arc<User> {
    origin.read().await;
    user(id)
}

#[tokio::test(start_paused = true)]
async fn a_function_that_returns_the_value_itself_can_share_the_entries() {
    memory()
        .await
        .scope(async {
            let origin = Origin::open();
            of_arc(&origin, 1).await;
            assert_eq!(of_itself(&origin, 1).await, *user(1));
            assert_eq!(origin.bodies(), 1);
        })
        .await;
}

/// Code that knows of the handle only that it has one.
async fn set_by_one_who_knows_no_types<R: Send + 'static>(entry: Entry<R>, value: R) -> bool {
    entry.set(value).await.is_ok()
}

#[tokio::test(start_paused = true)]
async fn a_handle_of_a_result_is_not_taken_for_one_of_its_value() {
    memory()
        .await
        .scope(async {
            assert!(set_by_one_who_knows_no_types(plain_entry(1), user(1)).await);
            assert!(!set_by_one_who_knows_no_types(aliased_entry(1), Ok(user(1))).await);
            assert!(set_by_one_who_knows_no_types(aliased_entry(1).of_value(), user(1)).await);
        })
        .await;
}

/// Neither `Serialize` nor `PartialEq`, as a compiled pattern is.
struct Pattern {
    source: String,
    compiled: usize,
}

/// Counts what it has compiled. A key of a cipher, seen from far.
#[derive(Clone)]
struct Compiler {
    compiled: Arc<AtomicUsize>,
    works: bool,
}

impl Compiler {
    fn new() -> Self {
        Self { compiled: Arc::default(), works: true }
    }

    fn compile(&self, source: String) -> Result<Pattern, String> {
        let compiled = self.compiled.fetch_add(1, Ordering::SeqCst);
        if self.works { Ok(Pattern { source, compiled }) } else { Err("SECRET".to_owned()) }
    }
}

#[redis_cached(
    key = "pattern:{id}", ttl = "1m", jitter = "0%", refresh_before = "20s", skip(origin, compiler),
    stored = String, save = |pattern| pattern.source.clone(), load = |source| compiler.compile(source),
    cache_if = |pattern| !pattern.source.is_empty(), tags = ["source:{ret.source}"]
)]
async fn pattern(
    origin: &'static Origin,
    compiler: &Compiler,
    id: &str,
) -> Result<Pattern, String> {
    let version = origin.read().await;
    compiler.compile(format!("{id}{version}"))
}

fn origin() -> &'static Origin {
    Box::leak(Box::new(Origin::open()))
}

#[tokio::test(start_paused = true)]
async fn a_hit_is_loaded_with_the_arguments_of_its_call() {
    let (cache, origin) = (memory().await, origin());
    cache
        .scope(async {
            let (one, other) = (Compiler::new(), Compiler::new());
            assert_eq!(pattern(origin, &one, "a").await.unwrap().source, "a1");
            for nth in 0..3 {
                let hit = pattern(origin, &other, "a").await.unwrap();
                assert_eq!((hit.source.as_str(), hit.compiled), ("a1", nth));
            }
            assert_eq!(origin.bodies(), 1);
            assert_eq!(one.compiled.load(Ordering::SeqCst), 1, "the body's, and no other");

            origin.change();
            invalidate_tags(["source:a1"]).await.unwrap();
            assert_eq!(pattern(origin, &one, "a").await.unwrap().source, "a2");
        })
        .await;
}

#[tokio::test(start_paused = true)]
async fn a_refresh_saves_what_it_has_computed() {
    let (cache, origin, compiler) = (memory().await, origin(), Compiler::new());
    cache
        .scope(async {
            pattern(origin, &compiler, "a").await.unwrap();
            origin.change();
            tokio::time::advance(Duration::from_secs(45)).await;
            assert_eq!(pattern(origin, &compiler, "a").await.unwrap().source, "a1", "stale");
            settle().await;
            assert_eq!(pattern(origin, &compiler, "a").await.unwrap().source, "a2");
            assert_eq!(origin.bodies(), 2);
        })
        .await;
}

#[tokio::test(start_paused = true)]
async fn those_who_share_a_flight_load_what_its_leader_saved() {
    let (cache, origin): (_, &Origin) = (memory().await, Box::leak(Box::new(Origin::gated())));
    cache
        .scope(async {
            let compiler = Compiler::new();
            let opened = async {
                origin.body_started().await;
                settle().await;
                origin.let_through(1);
            };
            let call = || pattern(origin, &compiler, "a");
            let calls = tokio::join!(call(), call(), call(), opened);
            for call in [calls.0, calls.1, calls.2] {
                assert_eq!(call.unwrap().source, "a1");
            }
            assert_eq!(origin.bodies(), 1);
        })
        .await;
}

#[tokio::test(start_paused = true)]
async fn c6_what_cannot_be_loaded_is_a_miss_and_said_so() {
    let (cache, origin, told) = (memory().await, origin(), Told::listen());
    cache
        .scope(async {
            let broken = Compiler { works: false, ..Compiler::new() };
            pattern(origin, &Compiler::new(), "a").await.unwrap();
            assert!(pattern(origin, &broken, "a").await.is_err(), "by the body's own compiler");
            assert_eq!(origin.bodies(), 2);
            assert!(pattern(origin, &Compiler::new(), "a").await.is_ok());
            assert_eq!(origin.bodies(), 2, "what is stored stays for those who can load it");
        })
        .await;
    assert_eq!(told.text().matches("`load` made no value").count(), 1, "{}", told.text());
    assert!(!told.text().contains("SECRET"), "{}", told.text());
}

#[tokio::test(start_paused = true)]
async fn a_handle_saves_and_loads() {
    let (cache, origin, compiler) = (memory().await, origin(), Compiler::new());
    cache
        .scope(async {
            let entry = pattern_entry(&compiler, "a");
            entry.set(Pattern { source: "set".to_owned(), compiled: 0 }).await.unwrap();
            assert_eq!(pattern(origin, &compiler, "a").await.unwrap().source, "set");
            assert_eq!(entry.peek().await.unwrap().unwrap().value.source, "set");
            assert_eq!(origin.bodies(), 0);
            let broken = Compiler { works: false, ..compiler.clone() };
            assert!(pattern_entry(&broken, "a").peek().await.unwrap().is_none());
        })
        .await;
}

#[derive(Clone, Copy)]
struct Offset(u64);

#[derive(Clone)]
struct Service {
    cache: Cache,
    offset: u64,
}

impl Service {
    /// Owned, copied, destructured and borrowed arguments, and what the body has taken already.
    #[redis_cached(
        key = "mixed:{id}", ttl = "1m", skip(offset, words, self), cache = self.cache,
        stored = (u64, usize), save = |value| (value.checked_sub(offset.0 + self.offset)? > 0)
            .then(|| (value - offset.0 - self.offset, words.len())),
        load = |(value, count)| (count == words.len()).then(|| value + offset.0 + self.offset)
    )]
    async fn mixed(&self, offset: Offset, words: Vec<String>, id: u64) -> u64 {
        drop(words);
        settle().await;
        id + offset.0 + self.offset
    }
}

#[tokio::test(start_paused = true)]
async fn all_kinds_of_arguments_can_be_asked() {
    let service = Service { cache: memory().await, offset: 100 };
    let words = vec!["a".to_owned()];
    assert_eq!(service.mixed(Offset(10), words.clone(), 1).await, 111);
    let peek = service.mixed_entry(Offset(20), words.clone(), 1).peek().await.unwrap().unwrap();
    assert_eq!(peek.value, 121);
    assert_eq!(service.mixed(Offset(30), words.clone(), 1).await, 131, "a hit");
    let other = service.mixed_entry(Offset(20), Vec::new(), 1).peek().await.unwrap();
    assert!(other.is_none(), "not loaded with these");

    // What `save` refuses is not stored.
    assert_eq!(service.mixed(Offset(0), words.clone(), 0).await, 100);
    assert!(service.mixed_entry(Offset(0), words.clone(), 0).ttl().await.unwrap().is_none());
    let error = service.mixed_entry(Offset(0), words, 0).set(7).await.unwrap_err();
    assert!(error.is_not_storable(), "{error}");
}

fn reversed(text: &str) -> String {
    text.chars().rev().collect()
}

#[redis_cached(key = "sealed:{id}", ttl = "1h", same_entries_as = sealed, cache = cache)]
async fn unsealed(cache: &Cache, id: u64) -> String {
    settle().await;
    format!("plain {id}")
}

#[redis_cached(
    key = "sealed:{id}", ttl = "1h", cache = cache,
    stored = String, save = |text| reversed(text), load = |text| reversed(&text)
)]
async fn sealed(cache: &Cache, id: u64) -> String {
    settle().await;
    format!("plain {id}")
}

/// Two types that are stored as one.
#[redis_cached(
    key = "typed:{id}", ttl = "1h", cache = cache, skip(T),
    stored = u64, save = |value| T::stored(value), load = |stored| T::loaded(stored)
)]
async fn typed<T: Number>(cache: &Cache, id: u64) -> T {
    settle().await;
    T::of(id)
}

trait Number: Send + Sync + 'static {
    fn of(id: u64) -> Self;
    fn stored(&self) -> u64;
    fn loaded(stored: u64) -> Self;
}

#[derive(Debug, PartialEq)]
struct One(u64);

#[derive(Debug, PartialEq)]
struct Other(u64);

impl Number for One {
    fn of(id: u64) -> Self {
        Self(id)
    }
    fn stored(&self) -> u64 {
        self.0
    }
    fn loaded(stored: u64) -> Self {
        Self(stored)
    }
}

impl Number for Other {
    fn of(id: u64) -> Self {
        Self(id + 100)
    }
    fn stored(&self) -> u64 {
        self.0
    }
    fn loaded(stored: u64) -> Self {
        Self(stored)
    }
}

#[tokio::test(start_paused = true)]
async fn c6_what_is_converted_is_nothing_to_those_who_do_not_convert_it() {
    let cache = memory().await;
    for _ in 0..2 {
        assert_eq!(sealed(&cache, 1).await, "plain 1");
        assert_eq!(unsealed(&cache, 1).await, "plain 1");
        assert_eq!(typed::<One>(&cache, 1).await, One(1));
        assert_eq!(typed::<Other>(&cache, 1).await, Other(101));
    }
    assert_eq!(typed_entry::<Other>(&cache, 1).peek().await.unwrap().unwrap().value, Other(101));
}

#[redis_cached(
    key = "hidden:{id}", ttl = "1h", skip(origin), cache = cache, cache_if = |value| *value < 2,
    stored = usize, save = |value| (*value < 2).then_some(*value), load = |value| value
)]
async fn hidden(cache: &Cache, origin: &Origin, id: u64) -> usize {
    origin.read().await
}

#[redis_cached(key = "large:{id}", ttl = "1h", skip(origin), cache = cache, cache_if = |bytes| bytes.len() < 9)]
async fn large(cache: &Cache, origin: &Origin, id: u64) -> Vec<u8> {
    if origin.read().await > 1 { vec![0; 17 * 1024 * 1024] } else { vec![1] }
}

#[redis_cached(
    key = "unsaved:{id}", ttl = "1h", skip(origin), cache = cache,
    stored = usize, save = |value| (*value < 2).then_some(*value), load = |value| value
)]
async fn unsaved(cache: &Cache, origin: &Origin, id: u64) -> usize {
    origin.read().await
}

#[tokio::test(start_paused = true)]
async fn what_is_not_to_be_stored_drives_out_the_old_value_also_where_it_could_not_be() {
    let (cache, origin) = (memory().await, Origin::open());
    hidden(&cache, &origin, 1).await;
    large(&cache, &origin, 1).await;
    unsaved(&cache, &origin, 1).await;
    origin.change();
    assert_eq!(hidden_refresh(&cache, &origin, 1).await, 2);
    assert!(large_refresh(&cache, &origin, 1).await.len() > 9);
    assert_eq!(unsaved_refresh(&cache, &origin, 1).await, 2);
    assert!(hidden_entry(&cache, 1).ttl().await.unwrap().is_none());
    assert!(large_entry(&cache, 1).ttl().await.unwrap().is_none());
    assert!(unsaved_entry(&cache, 1).ttl().await.unwrap().is_none());

    assert!(hidden_entry(&cache, 1).set(7).await.unwrap_err().is_not_storable());
    assert!(unsaved_entry(&cache, 1).set(7).await.unwrap_err().is_not_storable());
}

#[redis_cached(
    key = "none:{id}", ttl = "1h", none_ttl = "10s", jitter = "0%", cache = cache, stored = String,
    save = |value: &Option<u64>| value.map_or_else(String::new, |value| value.to_string()),
    load = |text: String| if text.is_empty() { Ok(None) } else { text.parse().map(Some) }
)]
async fn perhaps(cache: &Cache, id: u64) -> Option<u64> {
    settle().await;
    (id > 0).then_some(id)
}

#[tokio::test(start_paused = true)]
async fn c3_none_has_its_own_ttl_whatever_it_is_stored_as() {
    let cache = memory().await;
    for (id, secs) in [(0, 10), (1, 3600)] {
        perhaps(&cache, id).await;
        let left = perhaps_entry(&cache, id).ttl().await.unwrap();
        assert_eq!(left, Some(Duration::from_secs(secs)));
    }
}
