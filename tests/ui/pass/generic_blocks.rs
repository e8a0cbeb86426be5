#![deny(warnings)]
//! Blocks with generics, whose types have defaults.

use std::fmt::Display;
use std::marker::PhantomData;

use redis_cached::redis_cached;

trait Named: Send + Sync + 'static {
    const NAME: &'static str;
}

#[derive(Clone)]
struct Postgres;

impl Named for Postgres {
    const NAME: &'static str = "postgres";
}

struct Repo<'a, B: Named = Postgres, const SHARDS: usize = 4> {
    name: &'a str,
    backend: PhantomData<B>,
}

#[redis_cached::methods]
impl<'a, B: Named, const SHARDS: usize> Repo<'a, B, SHARDS> {
    #[redis_cached(key = "generic_blocks:{B::NAME}:{SHARDS}:{self.name}:{id}", ttl = "5m")]
    async fn load(&self, id: u64) -> u64 {
        id
    }

    #[redis_cached(key = "generic_blocks:both:{B::NAME}:{SHARDS}:{id}", ttl = "5m", skip(self, K))]
    async fn both<K: Display + Send + Sync>(&self, id: K) -> String {
        id.to_string()
    }
}

struct Cached<T>(T);

trait Get<K> {
    fn get(&self, key: K) -> impl Future<Output = String> + Send;
}

#[redis_cached::methods]
impl<K, T> Get<K> for Cached<T>
where
    K: Display + Named,
    T: Display + Sync,
{
    #[redis_cached(key = "generic_blocks:get:{K::NAME}:{key}:{self.0}", ttl = "5m", skip(T))]
    async fn get(&self, key: K) -> String {
        format!("{key}{}", self.0)
    }
}

impl Named for u64 {
    const NAME: &'static str = "u64";
}

fn main() {
    let repo: Repo<'_> = Repo { name: "a", backend: PhantomData };
    let _ = (repo.load(1), repo.load_entry(1), repo.both(1), <Repo<'_>>::both_entry(1));
    let _ = (Cached("a").get(1), Cached("a").get_entry(1u64), Cached("a").get_refresh(1));
}
