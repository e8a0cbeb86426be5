#![deny(
    warnings,
    missing_docs,
    rust_2018_idioms,
    elided_lifetimes_in_paths,
    explicit_outlives_requirements,
    let_underscore_drop,
    meta_variable_misuse,
    missing_copy_implementations,
    missing_debug_implementations,
    non_ascii_idents,
    redundant_imports,
    redundant_lifetimes,
    single_use_lifetimes,
    trivial_casts,
    trivial_numeric_casts,
    unit_bindings,
    unreachable_pub,
    unused_lifetimes,
    unused_qualifications,
    unused_results,
    variant_size_differences
)]
//! What the strictest of crates switch on.

use std::time::Duration;

use redis_cached::redis_cached;

/// A database.
#[derive(Clone, Copy, Debug)]
pub struct Db;

/// Loads.
#[redis_cached(key = "strict:{id}:{name}", ttl = "5m", refresh_before = "10%", clearable, skip(db))]
pub async fn load(db: &Db, id: u64, name: &str) -> Option<String> {
    let _ = db;
    Some(format!("{id}{name}"))
}

/// Loads.
#[redis_cached(
    key = "strict:{id}",
    ttl = Duration::from_secs(id),
    normalize(id = id + 1),
    cache_if = |value| value.is_ok_and_positive(),
    bypass_if = id == 0,
    none_ttl = "1s"
)]
pub async fn policy(id: u64) -> Result<Option<u64>, String> {
    Ok(Some(id))
}

trait Positive {
    fn is_ok_and_positive(&self) -> bool;
}

impl Positive for Option<u64> {
    fn is_ok_and_positive(&self) -> bool {
        self.is_some_and(|value| value > 0)
    }
}

impl Db {
    /// Loads.
    #[redis_cached(key = "strict:method:{id}", ttl = "5m", refresh_before = "10%", skip(self))]
    pub async fn load(&self, id: u64) -> u64 {
        id
    }
}

/// Loads.
pub trait Load {
    /// Loads.
    fn load_too(&self, id: u64) -> impl Future<Output = u64> + Send;
}

#[redis_cached::methods]
impl Load for Db {
    #[redis_cached(key = "strict:trait:{id}", ttl = "5m", skip(self))]
    async fn load_too(&self, id: u64) -> u64 {
        id
    }
}

/// Finds.
#[redis_cached::methods]
pub trait Find: Sync {
    /// Finds.
    #[redis_cached(key = "strict:find:{id}", ttl = "5m", skip(self, Self))]
    fn find(&self, id: u64) -> impl Future<Output = u64> + Send {
        async move { id }
    }
}

fn main() {}
