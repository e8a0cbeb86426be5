#![deny(warnings)]
//! Generics of traits, with and without a place in the key.

use std::fmt::Display;

use async_trait::async_trait;

trait Load<'a> {
    fn load(&self, name: &'a str) -> impl Future<Output = usize> + Send;
}

struct Repo;

#[redis_cached::methods]
impl<'a> Load<'a> for Repo {
    #[redis_cached(key = "generic_traits:lifetime:{name}", ttl = "5m", skip(self))]
    async fn load(&self, name: &'a str) -> usize {
        name.len()
    }
}

#[redis_cached::methods]
trait Get<K: Display + Send + Sync>: Sync {
    fn name(&self) -> &str;

    #[redis_cached(key = "generic_traits:provided:{self.name()}:{key}", ttl = "5m", skip(K))]
    fn get(&self, key: K) -> impl Future<Output = String> + Send {
        async move { key.to_string() }
    }
}

impl Get<u8> for Repo {
    fn name(&self) -> &str {
        "repo"
    }
}

#[async_trait]
trait Find<T>: Send + Sync {
    async fn find(&self, id: T) -> Result<u64, String>;
}

#[async_trait]
#[redis_cached::methods]
impl<T: Display + Send + Sync + 'static> Find<T> for Repo {
    #[tracing::instrument(skip_all, err)]
    #[redis_cached(key = "generic_traits:find:{id}", ttl = "5m", skip(self, T))]
    async fn find(&self, id: T) -> Result<u64, String> {
        Ok(id.to_string().len() as u64)
    }
}

fn main() {
    let _ = (Repo.load("a"), Repo::load_entry("a"), Repo.get(1), Repo.get_entry(1));
    let _ = (Repo.find("a"), Repo.find_refresh(1), Repo::find_entry(1));
}
