#![deny(warnings)]
//! What has no `Display` stands in a key as a digest.

use std::collections::BTreeMap;

use redis_cached::redis_cached;
use serde::Serialize;

#[derive(Clone, Serialize)]
struct Filter {
    names: Vec<String>,
    limit: Option<u64>,
}

#[redis_cached(
    key = "hashes:{filter:hash}:{filter.names:hash}:{ids:hash}:{other:hash}",
    ttl = "5m"
)]
async fn named(filter: &Filter, ids: &[u64], other: (u8, &str)) -> u64 {
    ids.len() as u64 + filter.limit.unwrap_or_default() + other.0 as u64
}

// The default key has digests where nothing else will do.
#[redis_cached(ttl = "5m", refresh_before = "10%")]
async fn by_default(
    ids: Vec<u64>,
    pair: (u8, u8),
    map: &BTreeMap<String, u8>,
    names: [u8; 2],
) -> u64 {
    let _ = (pair, map, names);
    ids.len() as u64
}

fn main() {
    let filter = Filter { names: Vec::new(), limit: None };
    let _ = (named(&filter, &[1], (1, "a")), named_entry(&filter, &[1], (1, "a")));
    let map = BTreeMap::new();
    let _ =
        (by_default(vec![1], (1, 2), &map, [1, 2]), by_default_entry(vec![], (1, 2), &map, [0; 2]));
}
