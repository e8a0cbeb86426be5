use redis_cached::redis_cached;
use serde::{Deserialize, Serialize};
use std::sync::Arc;

#[derive(Clone, Serialize, Deserialize)]
struct User {
    id: u64,
    name: String,
}

#[derive(Clone)]
struct Repo {
    tenant: u32,
}

impl Repo {
    #[redis_cached(key = "repo:by_ref:{self.tenant}:{id}", ttl = "5m", refresh_before = "30s")]
    pub async fn by_ref(&self, id: u64) -> User {
        User { id, name: self.tenant.to_string() }
    }

    #[redis_cached(key = "repo:by_arc:{self.tenant}", ttl = "5m", refresh_before = "30s")]
    pub async fn by_arc(self: Arc<Self>) -> User {
        self.by_ref(1).await
    }

    #[redis_cached(key = "repo:by_arc_ref", ttl = "5m", refresh_before = "30s", skip(self))]
    pub async fn by_arc_ref(self: &Arc<Self>) -> User {
        self.by_ref(1).await
    }

    #[redis_cached(key = "repo:exclusive", ttl = "5m", skip(self))]
    pub async fn exclusive(&mut self) -> u32 {
        self.tenant += 1;
        self.tenant
    }

    #[redis_cached(key = "repo:associated:{id}", ttl = "5m")]
    pub async fn associated(id: u32) -> u32 {
        Self { tenant: id }.tenant
    }
}

fn siblings(repo: Arc<Repo>) {
    let _ = repo.by_ref_entry(1);
    let _ = repo.by_ref_refresh(1);
    let _ = repo.by_ref_uncached(1);
    let _ = Repo::associated_entry(1);
    let _ = Repo::by_arc_ref_entry();
    let _ = repo.by_arc_entry();
}

fn main() {}
