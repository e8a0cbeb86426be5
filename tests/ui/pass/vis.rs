#![deny(warnings, missing_docs, unreachable_pub)]
//! What is generated can be seen by fewer than the function, or by more.

use redis_cached::redis_cached;

/// A module.
pub mod users {
    use redis_cached::redis_cached;

    /// Loads.
    #[redis_cached(key = "vis:fewer:{id}", ttl = "5m", vis = pub(crate))]
    pub async fn fewer(id: u64) -> u64 {
        id
    }

    #[redis_cached(key = "vis:super:{id}", ttl = "5m", vis = pub(super))]
    async fn more(id: u64) -> u64 {
        id
    }

    #[redis_cached(key = "vis:path:{id}", ttl = "5m", vis = pub(in crate::users), clearable)]
    pub(crate) async fn path(id: u64) -> u64 {
        more(id).await
    }

    /// Uses what no other module sees.
    pub fn entries() {
        let _ = (path_entry(1), path_all());
    }
}

/// Loads.
#[redis_cached(key = "vis:pub:{id}", ttl = "5m", vis = pub)]
pub async fn all(id: u64) -> u64 {
    id
}

fn main() {
    let _ = (users::fewer_entry(1), users::more_entry(1), users::path(1));
}
