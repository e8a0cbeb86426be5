#![deny(warnings, unused)]

use redis_cached::{redis_cached, redis_put};

#[redis_cached(key = "name:{id}", ttl = "5m")]
async fn name(id: u64) -> String {
    id.to_string()
}

/// Each is named before the body, and gets its value behind it.
#[redis_put(for (id, text) in &rows => name(*id) = text, on_failure = "retry")]
async fn rename_all(rows: Vec<(u64, String)>) -> usize {
    rows.len()
}

#[redis_put(for (id, text) in rows.iter().zip(&ret) => name(*id) = text, on_failure = "retry")]
async fn renamed(rows: &[u64]) -> Vec<String> {
    rows.iter().map(ToString::to_string).collect()
}

fn main() {
    drop(rename_all(vec![]));
    drop(renamed(&[]));
}
