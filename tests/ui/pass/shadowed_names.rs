#![deny(warnings, missing_docs)]
//! Generated code survives modules, types and parameters of the names it could have used.

use redis_cached::redis_cached;

mod core {}
mod std {}
mod private {}
struct Result;
struct Target;

/// Keywords as names.
#[redis_cached(
    key = "shadowed:{type}:{chosen}",
    ttl = "5m",
    refresh_before = "30s",
    skip(target, _unused)
)]
pub async fn r#match(r#type: u64, chosen: u64, target: u64, _unused: &'static str) -> u64 {
    r#type + chosen + target
}

/// In a function.
pub async fn outer() -> u64 {
    #[redis_cached(key = "shadowed:inner:{id}", ttl = "5m")]
    async fn inner(id: u64) -> u64 {
        id
    }
    let _ = (Result, Target);
    inner(1).await
}

fn main() {}
