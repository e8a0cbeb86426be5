#![deny(warnings)]
//! Traits that are used as objects, by `async_trait`, in both orders.

use std::time::Duration;

use async_trait::async_trait;
use serde::{Deserialize, Serialize};

#[derive(Clone, Serialize, Deserialize)]
struct User(u64);

#[async_trait]
trait Users: Send + Sync {
    async fn load(&self, id: u64) -> Result<Option<User>, String>;
    async fn find(&self, name: &str, limit: u64) -> Vec<User>;
    async fn count(&self) -> u64;
}

#[derive(Clone)]
struct Below {
    tenant: u64,
}

#[async_trait]
#[redis_cached::methods]
impl Users for Below {
    #[redis_cached(
        key = "dyn:below:{self.tenant}:{id}",
        ttl = "5m",
        refresh_before = "1m",
        none_ttl = "1s"
    )]
    async fn load(&self, id: u64) -> Result<Option<User>, String> {
        Ok(Some(User(id)))
    }

    #[redis_cached(key = "dyn:below:{self.tenant}:{name}:{limit}", ttl = "5m")]
    async fn find(&self, name: &str, mut limit: u64) -> Vec<User> {
        limit += name.len() as u64;
        vec![User(limit)]
    }

    async fn count(&self) -> u64 {
        self.tenant
    }
}

/// Its body binds each argument anew, and asks for none of these.
#[async_trait]
trait Asked: Send + Sync {
    async fn asked(
        &self,
        id: u64,
        least: u64,
        busy: String,
        preview: bool,
        age: Duration,
    ) -> String;
}

#[async_trait]
#[redis_cached::methods]
impl Asked for Below {
    #[redis_cached(
        key = "dyn:asked:{self.tenant}:{id}",
        ttl = "5m",
        accept_if = |value| value.len() as u64 > least,
        busy = busy.clone(),
        no_store_if = preview,
        max_age = age
    )]
    async fn asked(
        &self,
        id: u64,
        least: u64,
        busy: String,
        preview: bool,
        age: Duration,
    ) -> String {
        format!("{} {id}", self.tenant)
    }
}

struct Above;

#[redis_cached::methods]
#[async_trait]
impl Users for Above {
    #[redis_cached(key = "dyn:above:{id}", ttl = "5m", skip(self))]
    async fn load(&self, id: u64) -> Result<Option<User>, String> {
        Ok(Some(User(id)))
    }

    #[redis_cached(key = "dyn:above:{name}:{limit}", ttl = "5m", skip(self))]
    async fn find(&self, name: &str, mut limit: u64) -> Vec<User> {
        limit += name.len() as u64;
        vec![User(limit)]
    }

    async fn count(&self) -> u64 {
        1
    }
}

async fn caller(all: &[Box<dyn Users>]) {
    for users in all {
        let _ = users.load(1).await;
        users.find("a", 1).await;
        users.count().await;
    }
    let below = Below { tenant: 1 };
    below.asked(1, 2, "busy".to_owned(), false, Duration::ZERO).await;
    let _ = below.load_refresh(1).await;
    let _ = below.load_entry(1).invalidate().await;
    let _ = Above::load_entry(1).invalidate().await;
}

fn main() {
    let _ = caller(&[Box::new(Below { tenant: 1 }), Box::new(Above)]);
}
