//! Methods, in all kinds of blocks.

// Boxed futures spelled out are what is tested.
#![allow(clippy::type_complexity)]

use std::fmt::Display;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;

use async_trait::async_trait;
use redis_cached::{Cache, redis_cached};
use redis_cached_tests::Gate;

use super::{Row, computed_once};

#[derive(Clone)]
struct Repo {
    gate: Gate,
    tenant: String,
}

fn repo(tenant: &str) -> Repo {
    Repo { gate: Gate::open(), tenant: tenant.to_owned() }
}

impl Repo {
    #[redis_cached(key = "methods:inherent:{self.tenant}:{id}", ttl = "5m", refresh_before = "1m")]
    async fn load(&self, id: u64) -> Result<String, String> {
        self.gate.pass().await;
        Ok(format!("{}{id}", self.tenant))
    }

    #[redis_cached(key = "methods:arc:{self.tenant}:{id}", ttl = "5m", refresh_before = "1m")]
    async fn of_arc(self: Arc<Self>, id: u64) -> String {
        self.gate.pass().await;
        format!("{}{id}", self.tenant)
    }

    #[redis_cached(
        key = "methods:borrowed-arc:{self.tenant}:{id}",
        ttl = "5m",
        refresh_before = "1m"
    )]
    async fn of_borrowed_arc(self: &Arc<Self>, id: u64) -> String {
        self.gate.pass().await;
        format!("{}{id}", self.tenant)
    }

    #[redis_cached(key = "methods:taken:{id}", ttl = "5m", skip(self))]
    async fn taken(self, id: u64) -> u64 {
        self.gate.pass().await;
        id
    }

    #[redis_cached(key = "methods:exclusive:{id}", ttl = "5m", skip(self))]
    async fn exclusive(&mut self, id: u64) -> u64 {
        self.tenant.clear();
        self.gate.pass().await;
        id
    }

    const TABLE: &'static str = "rows";

    #[redis_cached(key = "methods:associated:{Self::TABLE}:{id}", ttl = "5m", skip(gate))]
    async fn associated(gate: &Gate, id: u64) -> String {
        gate.pass().await;
        format!("{}{id}", Self::TABLE)
    }
}

pub(crate) async fn inherent_methods(cache: Cache) {
    let (one, two) = (repo("one"), repo("two"));
    let gate = one.gate.clone();
    computed_once(&cache, &gate, || async { one.load(1).await.unwrap() }).await;
    assert_eq!(cache.scope(two.load(1)).await.unwrap(), "two1");
    cache.scope(async { one.load_entry(1).invalidate().await.unwrap() }).await;
    assert_eq!(cache.scope(one.load(1)).await.unwrap(), "one1");
    assert_eq!((one.gate.runs(), two.gate.runs()), (2, 1));

    let gate = Gate::open();
    computed_once(&cache, &gate, || async { Repo::associated(&gate, 1).await }).await;
}

pub(crate) async fn methods_of_arc(cache: Cache) {
    let one = Arc::new(repo("one"));
    computed_once(&cache, &one.gate, || async { Arc::clone(&one).of_arc(1).await }).await;
    let one = Arc::new(repo("one"));
    computed_once(&cache, &one.gate, || async { one.of_borrowed_arc(1).await }).await;
}

pub(crate) async fn methods_by_value_and_by_exclusive_reference(cache: Cache) {
    let one = repo("one");
    computed_once(&cache, &one.gate, || async { one.clone().taken(1).await }).await;
    let one = repo("one");
    let call = || async { one.clone().exclusive(1).await };
    computed_once(&cache, &one.gate, call).await;
}

trait Store {
    type Error;

    fn get(&self, id: u64) -> impl Future<Output = Result<Row, Self::Error>> + Send;
    async fn list(&self, of: &str) -> Vec<Row>;
}

#[redis_cached::methods]
impl Store for Repo {
    type Error = String;

    /// Gets.
    #[redis_cached(key = "methods:store:{self.tenant}:{id}", ttl = "5m", refresh_before = "1m")]
    async fn get(&self, id: u64) -> Result<Row, Self::Error> {
        self.gate.pass().await;
        let right: Result<Row, Self::Error> = Ok(Row::new(id));
        right
    }

    #[redis_cached(key = "methods:store-list:{of}", ttl = "5m", skip(self))]
    async fn list(&self, of: &str) -> Vec<Row> {
        self.gate.pass().await;
        vec![Row::new(of.len() as u64)]
    }
}

/// Through the trait only.
async fn get_by_trait<S: Store>(store: &S, id: u64) -> Result<Row, S::Error> {
    store.get(id).await
}

pub(crate) async fn methods_of_a_trait(cache: Cache) {
    let one = repo("one");
    computed_once(&cache, &one.gate, || get_by_trait(&one, 1)).await.unwrap();
    cache
        .scope(async {
            assert_eq!(one.get_entry(1).peek().await.unwrap().unwrap().value, Row::new(1));
            one.get_entry(1).invalidate().await.unwrap();
            one.get(1).await.unwrap();
            one.get_refresh(1).await.unwrap();
            one.get_uncached(1).await.unwrap();
        })
        .await;
    assert_eq!(one.gate.runs(), 4);
    let one = repo("one");
    computed_once(&cache, &one.gate, || async { one.list("abc").await }).await;
}

#[async_trait]
trait Dyn: Send + Sync {
    async fn get(&self, id: u64) -> Result<Row, String>;
    async fn find(&self, id: &str, limit: u64) -> Option<Row>;
}

struct Below(Repo);

/// `async_trait` has rewritten the block already.
#[async_trait]
#[redis_cached::methods]
impl Dyn for Below {
    #[redis_cached(key = "methods:below:{id}", ttl = "5m", skip(self))]
    async fn get(&self, id: u64) -> Result<Row, String> {
        self.0.gate.pass().await;
        Ok(Row::new(id))
    }

    #[redis_cached(key = "methods:below-find:{id}:{limit}", ttl = "5m", skip(self))]
    async fn find(&self, id: &str, mut limit: u64) -> Option<Row> {
        self.0.gate.pass().await;
        limit += id.len() as u64;
        Some(Row::new(limit))
    }
}

#[derive(Clone)]
struct Above(Repo);

/// `async_trait` will rewrite the block.
#[redis_cached::methods]
#[async_trait]
impl Dyn for Above {
    #[redis_cached(key = "methods:above:{id}", ttl = "5m", refresh_before = "1m", skip(self))]
    async fn get(&self, id: u64) -> Result<Row, String> {
        self.0.gate.pass().await;
        Ok(Row::new(id))
    }

    #[redis_cached(key = "methods:above-find:{id}:{limit}", ttl = "5m", skip(self))]
    async fn find(&self, id: &str, mut limit: u64) -> Option<Row> {
        self.0.gate.pass().await;
        limit += id.len() as u64;
        Some(Row::new(limit))
    }
}

pub(crate) async fn methods_of_async_traits(cache: Cache) {
    let (below, above) = (Below(repo("one")), Above(repo("one")));
    let gates = [below.0.gate.clone(), above.0.gate.clone()];
    let all: [Box<dyn Dyn>; 2] = [Box::new(below), Box::new(above)];
    for (repo, gate) in all.iter().zip(gates) {
        computed_once(&cache, &gate, || async { repo.get(1).await.unwrap() }).await;
        let row = cache.scope(repo.find("abc", 4)).await;
        assert_eq!(row, Some(Row::new(7)));
    }
    let below = Below(repo("one"));
    cache
        .scope(async {
            assert_eq!(Below::get_entry(1).peek().await.unwrap().unwrap().value, Row::new(1));
            assert_eq!(below.get_refresh(1).await.unwrap(), Row::new(1));
            assert_eq!(below.get_uncached(1).await.unwrap(), Row::new(1));
        })
        .await;
    assert_eq!(below.0.gate.runs(), 2);
}

trait Source: Send + Sync {
    fn gate(&self) -> &Gate;
    fn name(&self) -> &str;
}

#[redis_cached::methods]
trait Provided: Source {
    const KIND: &'static str;

    #[redis_cached(key = "methods:provided:{Self::KIND}:{self.name()}:{id}", ttl = "5m")]
    fn provided(&self, id: u64) -> impl Future<Output = String> + Send {
        async move {
            self.gate().pass().await;
            format!("{}{}{id}", Self::KIND, self.name())
        }
    }
}

impl Source for Repo {
    fn gate(&self) -> &Gate {
        &self.gate
    }

    fn name(&self) -> &str {
        &self.tenant
    }
}

impl Provided for Repo {
    const KIND: &'static str = "repo";
}

struct Other(Repo);

impl Source for Other {
    fn gate(&self) -> &Gate {
        &self.0.gate
    }

    fn name(&self) -> &str {
        &self.0.tenant
    }
}

impl Provided for Other {
    const KIND: &'static str = "other";
}

#[async_trait]
#[redis_cached::methods(extension = DynProvidedEntries)]
trait DynProvided: Source {
    #[redis_cached(key = "methods:dyn-provided:{self.name()}:{id}", ttl = "5m")]
    async fn provided_too(&self, id: u64) -> String {
        self.gate().pass().await;
        format!("{}{id}", self.name())
    }
}

impl DynProvided for Repo {}

pub(crate) async fn provided_methods_of_traits(cache: Cache) {
    let (one, other) = (repo("one"), Other(repo("one")));
    computed_once(&cache, &one.gate, || one.provided(1)).await;
    assert_eq!(cache.scope(other.provided(1)).await, "otherone1");
    cache.scope(async { one.provided_entry(1).invalidate().await.unwrap() }).await;
    cache.scope(async { one.provided(1).await }).await;
    cache.scope(async { other.provided(1).await }).await;
    assert_eq!((one.gate.runs(), other.0.gate.runs()), (2, 1));

    let one = repo("one");
    let object: &dyn DynProvided = &one;
    computed_once(&cache, &one.gate, || object.provided_too(1)).await;
    cache.scope(async { one.provided_too_entry(1).invalidate().await.unwrap() }).await;
    cache.scope(object.provided_too(1)).await;
    assert_eq!(one.gate.runs(), 2);
}

/// A type parameter of the block, which the key names.
struct Table<T> {
    gate: Gate,
    row: T,
}

trait Named {
    const NAME: &'static str;
}

impl Named for u8 {
    const NAME: &'static str = "u8";
}

impl Named for u16 {
    const NAME: &'static str = "u16";
}

#[redis_cached::methods]
impl<T: Named + Display + Send + Sync + Clone + 'static> Table<T> {
    #[redis_cached(
        key = "methods:table:{T::NAME}:{id}",
        ttl = "5m",
        refresh_before = "1m",
        skip(self)
    )]
    async fn load(&self, id: u64) -> String {
        self.gate.pass().await;
        format!("{}{id}", self.row)
    }

    #[redis_cached(key = "methods:table-both:{id}", ttl = "5m", skip(self, T))]
    async fn both(&self, id: u64) -> String {
        self.gate.pass().await;
        format!("{}{id}", self.row)
    }
}

impl<T: Clone> Clone for Table<T> {
    fn clone(&self) -> Self {
        Self { gate: self.gate.clone(), row: self.row.clone() }
    }
}

/// Catalogue 50.
pub(crate) async fn c6_methods_of_generic_types(cache: Cache) {
    let gate = Gate::open();
    let (small, large) =
        (Table { gate: gate.clone(), row: 1u8 }, Table { gate: gate.clone(), row: 2u16 });
    for _ in 0..2 {
        assert_eq!(cache.scope(small.load(1)).await, "11");
        assert_eq!(cache.scope(large.load(1)).await, "21");
        // One key: the fingerprint keeps them apart.
        assert_eq!(cache.scope(small.both(1)).await, "11");
        assert_eq!(cache.scope(large.both(1)).await, "21");
    }
    assert_eq!(gate.runs(), 4);
}

/// A type parameter of the trait only, and a type that no `impl` may be added to.
trait Finder<K> {
    type Found;

    fn find(&self, key: K) -> Pin<Box<dyn Future<Output = Option<Self::Found>> + Send + '_>>;
}

#[redis_cached::methods]
impl<K> Finder<K> for Repo
where
    K: Display + Send + Sync + Named + 'static,
{
    type Found = Row;

    #[redis_cached(key = "methods:finder:{K::NAME}:{key}", ttl = "5m", skip(self))]
    fn find(&self, key: K) -> Pin<Box<dyn Future<Output = Option<Self::Found>> + Send + '_>> {
        Box::pin(async move {
            self.gate.pass().await;
            let id = key.to_string().len() as u64;
            Some(Row::new(id))
        })
    }
}

trait Counted {
    async fn counted(&self, id: u64) -> u64;
}

#[redis_cached::methods(extension = GateCached)]
impl Counted for Gate {
    #[redis_cached(key = "methods:foreign:{id}", ttl = "5m", skip(self))]
    async fn counted(&self, id: u64) -> u64 {
        id + self.pass().await as u64
    }
}

pub(crate) async fn generic_traits_and_foreign_types(cache: Cache) {
    let one = repo("one");
    computed_once(&cache, &one.gate, || one.find(7u8)).await;
    assert_eq!(cache.scope(one.find(7u16)).await, Some(Row::new(1)));
    assert_eq!(one.gate.runs(), 2);
    let entry = cache.scope(async { Repo::find_entry::<u8>(7) }).await;
    assert_eq!(entry.peek().await.unwrap().unwrap().value, Some(Row::new(1)));

    let gate = Gate::open();
    computed_once(&cache, &gate, || gate.counted(1)).await;
    cache.scope(async { Gate::counted_entry(1).invalidate().await.unwrap() }).await;
    cache.scope(gate.counted(1)).await;
    assert_eq!(gate.runs(), 2);
}

struct First(Gate);
struct Second(Gate);

impl First {
    #[redis_cached(key = "methods:one-name:{id}", ttl = "5m", skip(self))]
    async fn load(&self, id: u64) -> u64 {
        id + self.0.pass().await as u64
    }
}

impl Second {
    #[redis_cached(key = "methods:one-name:{id}", ttl = "5m", skip(self))]
    async fn load(&self, id: u64) -> u64 {
        id * 100 + self.0.pass().await as u64
    }
}

/// One name, one template, one type of value: separate entries all the same.
pub(crate) async fn c6_methods_of_one_name_in_two_blocks(cache: Cache) {
    let gate = Gate::open();
    let (first, second) = (First(gate.clone()), Second(gate.clone()));
    for _ in 0..2 {
        assert_eq!(cache.scope(first.load(1)).await, 2);
        assert_eq!(cache.scope(second.load(1)).await, 102);
    }
    assert_eq!(gate.runs(), 2);
}
