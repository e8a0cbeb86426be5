use redis_cached::redis_cached;

struct Connection;

#[redis_cached(key = "user:{id}", ttl = "5m", refresh_before = "30s", skip(connection))]
async fn load(connection: Connection, id: u64) -> u64 {
    let _ = connection;
    id
}

fn main() {}
