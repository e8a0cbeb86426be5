use std::collections::HashMap;

use redis_cached::redis_cached;

struct Connection;

#[redis_cached(key = "user:{id}", batch(ids as id), ttl = "5m", skip(connection))]
async fn load(connection: Connection, ids: &[u64]) -> HashMap<u64, u64> {
    let Connection = connection;
    ids.iter().map(|id| (*id, *id)).collect()
}

fn main() {}
