//! Free functions.

// One of each kind of pattern, as users write them.
#![allow(clippy::many_single_char_names, clippy::needless_borrowed_reference)]

use std::fmt::Display;
use std::future::Future;
use std::pin::Pin;

use redis_cached::{Cache, redis_cached};
use redis_cached_tests::Gate;
use serde::{Deserialize, Serialize};

use super::{Row, computed_once};

#[redis_cached(key = "free:borrowed:{name}:{id}", ttl = "5m", refresh_before = "30s", skip(gate))]
async fn borrowed(gate: &Gate, name: &str, id: &u64) -> Result<String, std::io::Error> {
    gate.pass().await;
    Ok(format!("{name}{id}"))
}

pub(crate) async fn borrowed_arguments(cache: Cache) {
    let gate = Gate::open();
    computed_once(&cache, &gate, || async { borrowed(&gate, "a", &1).await.unwrap() }).await;
    let entry = cache.scope(async { borrowed_entry("a", &1) }).await;
    assert_eq!(entry.peek().await.unwrap().unwrap().value, "a1");
    entry.invalidate().await.unwrap();
    assert!(entry.peek().await.unwrap().is_none());
}

#[redis_cached(key = "free:owned:{name}:{id}", ttl = "5m", refresh_before = "30s", skip(gate))]
async fn owned(gate: Gate, mut name: String, id: u64) -> String {
    gate.pass().await;
    name.push('!');
    format!("{name}{id}")
}

pub(crate) async fn owned_and_mut_arguments(cache: Cache) {
    let gate = Gate::open();
    let call = || async { owned(gate.clone(), "a".to_owned(), 1).await };
    assert_eq!(computed_once(&cache, &gate, call).await, "a!1");
}

struct Page {
    at: u64,
    size: u64,
}

#[redis_cached(key = "free:patterns:{a}:{at}:{n}:{x}|{y}:{first}:{id}:{z}", ttl = "5m", skip(gate))]
async fn patterns(
    gate: &Gate,
    (mut a, _): (u64, u64),
    Page { at, size: n }: Page,
    &(x, y): &(u64, String2),
    [first, ..]: [u64; 3],
    (id, (z, _)): &(u64, (u64, u64)),
    _: &str,
) -> u64 {
    gate.pass().await;
    a += 1;
    a + at + n + x + y.0 + first + id + z
}

#[derive(Clone, Copy)]
struct String2(u64);

impl Display for String2 {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}", self.0)
    }
}

pub(crate) async fn destructured_arguments(cache: Cache) {
    let gate = Gate::open();
    let call = |a| {
        let gate = &gate;
        async move {
            let page = Page { at: 10, size: 20 };
            let pair = (3, String2(4));
            patterns(gate, (a, 0), page, &pair, [5, 0, 0], &(6, (7, 8)), "not seen").await
        }
    };
    assert_eq!(computed_once(&cache, &gate, || call(1)).await, 57);
    assert_eq!(cache.scope(call(2)).await, 58);
    let page = Page { at: 10, size: 20 };
    let pair = (3, String2(4));
    let entry =
        cache.scope(async { patterns_entry((1, 9), page, &pair, [5, 1, 2], &(6, (7, 0))) }).await;
    assert_eq!(entry.peek().await.unwrap().unwrap().value, 57);
}

pub(crate) trait Kind {
    const KIND: &'static str;

    fn kind() -> String {
        format!("kind of {}", Self::KIND)
    }
}

#[derive(Clone, Serialize, Deserialize, PartialEq, Debug)]
struct Cat(u64);

#[derive(Clone, Serialize, Deserialize, PartialEq, Debug)]
struct Dog(u64);

impl Kind for Cat {
    const KIND: &'static str = "cat";
}

impl Kind for Dog {
    const KIND: &'static str = "dog";
}

#[redis_cached(
    key = "free:generic:{T::KIND}:{T::kind()}:{N}:{id}",
    ttl = "5m",
    refresh_before = "10%",
    skip(gate, K)
)]
async fn generic<T, K, const N: usize>(gate: &Gate, id: K) -> Result<T, String>
where
    T: Kind + From<u64> + Serialize + for<'de> Deserialize<'de> + Send + 'static,
    K: Display + Clone + Send + Sync + 'static,
{
    let run = gate.pass().await as u64;
    Ok(T::from(run + N as u64))
}

impl From<u64> for Cat {
    fn from(id: u64) -> Self {
        Self(id)
    }
}

impl From<u64> for Dog {
    fn from(id: u64) -> Self {
        Self(id)
    }
}

pub(crate) async fn generics_in_the_key(cache: Cache) {
    let gate = Gate::open();
    let call = || async { generic::<Cat, _, 10>(&gate, 1u8).await.unwrap() };
    assert_eq!(computed_once(&cache, &gate, call).await, Cat(11));
    cache
        .scope(async {
            assert_eq!(generic::<Dog, _, 10>(&gate, 1u8).await, Ok(Dog(12)));
            assert_eq!(generic::<Cat, _, 100>(&gate, 1u8).await, Ok(Cat(103)));
            generic_entry::<Dog, _, 10>(1u8).invalidate().await.unwrap();
            assert_eq!(generic::<Dog, _, 10>(&gate, 1u8).await, Ok(Dog(14)));
            assert_eq!(generic::<Cat, _, 10>(&gate, 1u8).await, Ok(Cat(11)));
        })
        .await;
}

#[redis_cached(key = "free:lifetimes:{a}:{b}", ttl = "5m", refresh_before = "1m", skip(gate))]
async fn lifetimes<'a, 'b: 'a>(gate: &'a Gate, a: &'a str, b: &'b str) -> (String, u64) {
    (format!("{a}{b}"), gate.pass().await as u64)
}

pub(crate) async fn named_lifetimes(cache: Cache) {
    let gate = Gate::open();
    let call = || async { lifetimes(&gate, "a", "b").await };
    assert_eq!(computed_once(&cache, &gate, call).await.0, "ab");
}

mod inner {
    use super::{Gate, redis_cached};

    pub(super) mod deeper {
        use super::{Gate, redis_cached};

        #[redis_cached(key = "free:same-name:{id}", ttl = "5m", skip(gate))]
        pub(in super::super) async fn load(gate: &Gate, id: u64) -> u64 {
            id + gate.pass().await as u64
        }
    }

    #[redis_cached(key = "free:same-name:{id}", ttl = "5m", skip(gate))]
    pub(super) async fn load(gate: &Gate, id: u64) -> String {
        format!("{id}{}", gate.pass().await)
    }
}

/// One name and one template, two types: neither decodes the other's value.
pub(crate) async fn c6_functions_of_one_name_in_two_modules(cache: Cache) {
    let gate = Gate::open();
    cache
        .scope(async {
            assert_eq!(inner::load(&gate, 1).await, "11");
            assert_eq!(inner::deeper::load(&gate, 1).await, 3);
            assert_eq!(inner::load(&gate, 1).await, "11");
            assert_eq!(inner::deeper::load(&gate, 1).await, 3);
            inner::deeper::load_entry(1).invalidate().await.unwrap();
            assert_eq!(inner::load(&gate, 1).await, "13", "an invalidation reaches both");
        })
        .await;
}

pub(crate) async fn functions_inside_functions(cache: Cache) {
    #[redis_cached(key = "free:nested:{id}", ttl = "5m", skip(gate))]
    async fn nested(gate: &Gate, id: u64) -> u64 {
        id + gate.pass().await as u64
    }
    let gate = Gate::open();
    computed_once(&cache, &gate, || async { nested(&gate, 1).await }).await;
}

#[redis_cached(key = "free:instrumented:{id}", ttl = "5m", refresh_before = "1m", skip(gate))]
#[tracing::instrument(skip(gate))]
#[cfg_attr(all(), allow(unused_variables, reason = "conditional"))]
async fn instrumented_below(gate: &Gate, id: u64) -> Result<u64, String> {
    let unused = 1;
    Ok(id + gate.pass().await as u64)
}

#[tracing::instrument(skip(gate), err)]
#[redis_cached(key = "free:instrumented-above:{id}", ttl = "5m", refresh_before = "1m", skip(gate))]
async fn instrumented_above(gate: &Gate, id: u64) -> Result<u64, String> {
    Ok(id + gate.pass().await as u64)
}

pub(crate) async fn instrumented_above_and_below(cache: Cache) {
    let gate = Gate::open();
    computed_once(&cache, &gate, || async { instrumented_below(&gate, 1).await }).await.unwrap();
    let gate = Gate::open();
    computed_once(&cache, &gate, || async { instrumented_above(&gate, 1).await }).await.unwrap();
}

mod facade {
    pub(super) mod nested {
        pub(in super::super) use redis_cached as renamed;
    }
}

#[redis_cached(key = "free:renamed:{id}", ttl = "5m", crate = facade::nested::renamed, skip(gate))]
async fn renamed(gate: &Gate, id: u64) -> u64 {
    id + gate.pass().await as u64
}

pub(crate) async fn a_renamed_crate(cache: Cache) {
    let gate = Gate::open();
    computed_once(&cache, &gate, || async { renamed(&gate, 1).await }).await;
}

mod shadowed {
    #![allow(unused_imports, dead_code)]
    use super::Gate;

    mod core {}
    mod std {}
    mod serde {}
    mod redis_cached {}
    mod private {}
    struct Result;
    struct Option;
    struct Some;
    struct Ok;
    struct Box;

    #[::redis_cached::redis_cached(
        key = "free:shadowed:{id}",
        ttl = "5m",
        refresh_before = "1m",
        skip(gate)
    )]
    pub(super) async fn shadowed(gate: &Gate, id: u64) -> ::core::option::Option<u64> {
        ::core::option::Option::Some(id + gate.pass().await as u64)
    }
}

pub(crate) async fn modules_named_core_std_and_serde(cache: Cache) {
    let gate = Gate::open();
    computed_once(&cache, &gate, || async { shadowed::shadowed(&gate, 1).await }).await;
}

macro_rules! loaders {
    ($($vis:vis fn $name:ident($($arg:ident: $ty:ty),*) -> $value:ty { key = $key:literal, ttl = $ttl:expr })*) => {$(
        #[redis_cached(key = $key, ttl = $ttl, skip(gate))]
        $vis async fn $name(gate: &Gate, $($arg: $ty),*) -> $value {
            (gate.pass().await as u64 $(+ $arg)*).into()
        }
    )*};
}

loaders! {
    pub(crate) fn by_one(id: u64) -> u64 { key = "free:rules:one:{id}", ttl = "5m" }
    fn by_two(a: u64, b: u64) -> Option<u64> { key = "free:rules:two:{a}:{b}", ttl = 60 }
}

pub(crate) async fn made_by_macro_rules(cache: Cache) {
    let gate = Gate::open();
    computed_once(&cache, &gate, || async { by_one(&gate, 1).await }).await;
    let gate = Gate::open();
    computed_once(&cache, &gate, || async { by_two(&gate, 1, 2).await }).await;
}

type BoxFuture<'a, T> = Pin<Box<dyn Future<Output = T> + Send + 'a>>;

#[redis_cached(key = "free:boxed:{id}", ttl = "5m", refresh_before = "1m", skip(gate))]
fn boxed(gate: &Gate, id: u64) -> BoxFuture<'_, Result<u64, String>> {
    Box::pin(async move { Ok(id + gate.pass().await as u64) })
}

#[redis_cached(key = "free:pinned:{id}", ttl = "5m", skip(gate))]
fn pinned<'a>(gate: &'a Gate, id: u64) -> Pin<Box<dyn Future<Output = u64> + Send + 'a>> {
    Box::pin(async move { id + gate.pass().await as u64 })
}

#[redis_cached(key = "free:opaque:{id}", ttl = "5m", refresh_before = "1m", skip(gate))]
fn opaque(gate: &Gate, id: u64) -> impl Future<Output = Option<u64>> + Send + '_ {
    async move { Some(id + gate.pass().await as u64) }
}

pub(crate) async fn functions_that_return_futures(cache: Cache) {
    let gate = Gate::open();
    computed_once(&cache, &gate, || boxed(&gate, 1)).await.unwrap();
    let gate = Gate::open();
    computed_once(&cache, &gate, || pinned(&gate, 1)).await;
    let gate = Gate::open();
    computed_once(&cache, &gate, || opaque(&gate, 1)).await;
}

/// Neither name says what it is.
type Db<T> = Result<T, NotSerializable>;
type Maybe<T> = Option<T>;
type Answer = Result<Row, String>;

#[derive(Debug, Clone, PartialEq)]
struct NotSerializable;

/// Called like a result, and is none.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
struct SearchResult<T>(T);

#[redis_cached(key = "free:alias:{id}", ttl = "5m", none_ttl = "1m", skip(gate))]
async fn aliased(gate: &Gate, id: u64) -> Db<Maybe<Row>> {
    gate.pass().await;
    if id == 0 { Err(NotSerializable) } else { Ok((id > 1).then(|| Row::new(id))) }
}

#[redis_cached(key = "free:answer:{id}", ttl = "5m", skip(gate))]
async fn answered(gate: &Gate, id: u64) -> Answer {
    gate.pass().await;
    if id == 0 { Err("none".to_owned()) } else { Ok(Row::new(id)) }
}

#[redis_cached(key = "free:search:{id}", ttl = "5m", skip(gate))]
async fn searched(gate: &Gate, id: u64) -> SearchResult<u64> {
    SearchResult(id + gate.pass().await as u64)
}

pub(crate) async fn results_and_options_behind_aliases(cache: Cache) {
    let gate = Gate::open();
    let some = computed_once(&cache, &gate, || async { aliased(&gate, 2).await }).await;
    assert_eq!(some, Ok(Some(Row::new(2))));
    cache
        .scope(async {
            assert_eq!(aliased_entry(2).peek().await.unwrap().unwrap().value, Some(Row::new(2)));
            assert_eq!(aliased(&gate, 1).await, Ok(None));
            let left = aliased_entry(1).ttl().await.unwrap().unwrap();
            assert!(left <= std::time::Duration::from_secs(60), "{left:?}");
            for expected in [3, 4] {
                assert_eq!(aliased(&gate, 0).await, Err(NotSerializable));
                assert_eq!(gate.runs(), expected, "an error is not stored");
            }
            aliased_entry(1).set(Some(Row::new(7))).await.unwrap();
            assert_eq!(aliased(&gate, 1).await, Ok(Some(Row::new(7))));
        })
        .await;
    let gate = Gate::open();
    computed_once(&cache, &gate, || async { answered(&gate, 1).await }).await.unwrap();
    let gate = Gate::open();
    cache
        .scope(async {
            for expected in [1, 2] {
                assert!(answered(&gate, 0).await.is_err());
                assert_eq!(gate.runs(), expected, "an error is not stored, whatever it can be");
            }
        })
        .await;
    let gate = Gate::open();
    computed_once(&cache, &gate, || async { searched(&gate, 1).await }).await;
}
