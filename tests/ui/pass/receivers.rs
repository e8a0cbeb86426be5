#![deny(warnings)]

use std::pin::Pin;
use std::rc::Rc;
use std::sync::Arc;

use redis_cached::redis_cached;

#[derive(Clone)]
struct Repo {
    tenant: u64,
}

impl Repo {
    #[redis_cached(key = "receivers:taken:{self.tenant}", ttl = "5m", refresh_before = "10%")]
    async fn taken(self) -> u64 {
        self.tenant
    }

    #[redis_cached(key = "receivers:mutable", ttl = "5m", skip(self))]
    async fn mutable(mut self) -> u64 {
        self.tenant += 1;
        self.tenant
    }

    #[redis_cached(key = "receivers:boxed:{self.tenant}", ttl = "5m")]
    async fn boxed(self: Box<Self>) -> u64 {
        self.tenant
    }

    #[redis_cached(key = "receivers:arc:{self.tenant}", ttl = "5m", refresh_before = "10%")]
    async fn arc(self: Arc<Self>) -> u64 {
        self.tenant
    }

    #[redis_cached(key = "receivers:arc_ref:{self.tenant}", ttl = "5m", refresh_before = "10%")]
    async fn arc_ref(self: &Arc<Self>) -> u64 {
        self.tenant
    }

    #[redis_cached(key = "receivers:pinned:{self.tenant}", ttl = "5m")]
    async fn pinned(self: Pin<&Self>) -> u64 {
        self.tenant
    }

    #[redis_cached(key = "receivers:typed:{self.tenant}", ttl = "5m")]
    async fn typed(self: &Self) -> u64 {
        self.tenant
    }

    #[redis_cached(key = "receivers:none:{tenant}", ttl = "5m")]
    async fn none(tenant: u64) -> u64 {
        Self { tenant }.tenant
    }
}

fn main() {
    let repo = || Repo { tenant: 1 };
    let arc = Arc::new(repo());
    let _ = (repo().taken(), repo().mutable(), Box::new(repo()).boxed(), arc.clone().arc());
    let _ = (arc.arc_ref(), Pin::new(&repo()).pinned(), repo().typed(), Repo::none(1));
    let _ = (repo().taken_entry(), arc.clone().arc_entry(), Repo::none_entry(1));
    let _: Option<Rc<Repo>> = None;
}
