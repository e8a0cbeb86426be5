//! `crate = cached_again`: nothing that is generated names `redis_cached`, which is not there.

#![allow(clippy::manual_async_fn, reason = "that form is tested too")]

use std::fmt::Display;
use std::future::Future;
use std::pin::Pin;
use std::time::Duration;

use async_trait::async_trait;
use cached_again::{Cache, redis_cached};
use redis_cached_tests::Gate;

async fn in_scope<T>(of: impl Future<Output = T>) -> T {
    Cache::builder().url("memory://").build().await.unwrap().scope(of).await
}

/// As many arguments as possible, for all that each of them generates.
#[redis_cached(
    crate = cached_again,
    key = "renamed:free:{T::KIND}:{id}:{region?}",
    ttl = Duration::from_secs(300),
    refresh_before = "30s",
    none_ttl = "1m",
    cache = cache,
    skip(gate)
)]
async fn free<T: Kind>(
    cache: Option<Cache>,
    gate: &Gate,
    id: u64,
    region: Option<String>,
) -> Result<Option<String>, std::io::Error> {
    gate.pass().await;
    Ok(region.map(|region| format!("{id}{region}{}", T::KIND)))
}

trait Kind: Send + Sync + 'static {
    const KIND: &'static str;
}

impl Kind for u8 {
    const KIND: &'static str = "u8";
}

#[tokio::test]
async fn a_free_function() {
    let gate = Gate::open();
    let cache = Cache::builder().url("memory://").build().await.unwrap();
    for region in [Some("eu"), Some("eu"), None, None] {
        let region = region.map(str::to_owned);
        let found = free::<u8>(Some(cache.clone()), &gate, 1, region.clone()).await.unwrap();
        assert_eq!(found, region.map(|region| format!("1{region}u8")));
    }
    assert_eq!(gate.runs(), 2);
    free_entry::<u8>(Some(cache.clone()), 1, None).invalidate().await.unwrap();
    free_refresh::<u8>(Some(cache.clone()), &gate, 1, None).await.unwrap();
    assert_eq!(gate.runs(), 3);
}

struct Repo(Gate);

#[cached_again::methods]
impl Repo {
    #[redis_cached(crate = cached_again, key = "renamed:inherent:{id}", ttl = "5m", skip(self))]
    async fn inherent(&self, id: u64) -> u64 {
        id + self.0.pass().await as u64
    }

    #[cached_again::redis_cached(crate = cached_again, key = "renamed:path:{Self::TABLE}:{id}", ttl = 60, skip(gate))]
    async fn by_path(gate: &Gate, id: u64) -> u64 {
        id + gate.pass().await as u64
    }

    const TABLE: &'static str = "rows";
}

trait Store {
    fn get(&self, id: u64) -> impl Future<Output = Result<u64, String>> + Send;
    fn boxed<'a>(&'a self, id: &'a str) -> Pin<Box<dyn Future<Output = String> + Send + 'a>>;
}

#[cached_again::methods]
impl Store for Repo {
    #[redis_cached(crate = cached_again, key = "renamed:get:{id}", ttl = "5m", skip(self))]
    async fn get(&self, id: u64) -> Result<u64, String> {
        Ok(id + self.0.pass().await as u64)
    }

    #[redis_cached(crate = cached_again, key = "renamed:boxed:{id}", ttl = "5m", skip(self))]
    fn boxed<'a>(&'a self, id: &'a str) -> Pin<Box<dyn Future<Output = String> + Send + 'a>> {
        Box::pin(async move { format!("{id}{}", self.0.pass().await) })
    }
}

#[cached_again::methods(extension = ProvidedEntries)]
trait Provided: Send + Sync {
    fn gate(&self) -> &Gate;

    #[redis_cached(crate = cached_again, key = "renamed:provided:{id}", ttl = "5m", skip(self, Self))]
    fn provided(&self, id: u64) -> impl Future<Output = u64> + Send {
        async move { id + self.gate().pass().await as u64 }
    }
}

impl Provided for Repo {
    fn gate(&self) -> &Gate {
        &self.0
    }
}

#[async_trait]
trait Dyn<K: Display + Send + Sync + 'static> {
    async fn find(&self, key: K) -> Option<u64>;
}

#[async_trait]
#[cached_again::methods]
impl<K: Display + Send + Sync + 'static> Dyn<K> for Repo {
    #[redis_cached(crate = cached_again, key = "renamed:find:{key}", ttl = "5m", skip(self, K))]
    async fn find(&self, key: K) -> Option<u64> {
        Some(key.to_string().len() as u64 + self.0.pass().await as u64)
    }
}

#[tokio::test]
async fn methods() {
    let repo = Repo(Gate::open());
    in_scope(async {
        for _ in 0..2 {
            assert_eq!(repo.inherent(10).await, 11);
            assert_eq!(Repo::by_path(&repo.0, 10).await, 12);
            assert_eq!(repo.get(10).await, Ok(13));
            assert_eq!(repo.boxed("a").await, "a4");
            assert_eq!(repo.provided(10).await, 15);
            assert_eq!(repo.find("abc").await, Some(9));
        }
        Repo::inherent_entry(10).invalidate().await.unwrap();
        Repo::by_path_entry(10).invalidate().await.unwrap();
        Repo::get_entry(10).invalidate().await.unwrap();
        Repo::provided_entry(10).invalidate().await.unwrap();
        assert_eq!(repo.inherent(10).await, 17);
        assert_eq!(repo.get_refresh(10).await, Ok(18));
        assert_eq!(repo.provided(10).await, 19);
    })
    .await;
}
