#![deny(warnings, missing_docs, rustdoc::broken_intra_doc_links)]
//! Everything that is public has documentation, the user's or ours.

use redis_cached::redis_cached;

/// Loads.
#[redis_cached(key = "documented:{id}", ttl = "5m", clearable)]
pub async fn function(id: u64) -> u64 {
    id
}

/// A repository.
pub struct Repo;

impl Repo {
    #[doc = "Loads."]
    #[redis_cached(key = "documented:repo:{id}", ttl = "5m", skip(self))]
    #[doc(alias = "fetch")]
    pub async fn load(&self, id: u64) -> u64 {
        id
    }
}

/// Loads.
pub trait Load {
    /// Loads.
    fn load_too(&self, id: u64) -> impl Future<Output = u64> + Send;
}

#[redis_cached::methods(vis = pub)]
impl Load for Repo {
    #[redis_cached(key = "documented:trait:{id}", ttl = "5m", clearable, skip(self))]
    async fn load_too(&self, id: u64) -> u64 {
        id
    }
}

/// Finds.
#[redis_cached::methods]
pub trait Find: Sync {
    /// Finds.
    #[redis_cached(key = "documented:find:{id}", ttl = "5m", skip(self, Self))]
    fn find(&self, id: u64) -> impl Future<Output = u64> + Send {
        async move { id }
    }
}

fn main() {
    let _ = Repo.load_too_refresh(1);
}
