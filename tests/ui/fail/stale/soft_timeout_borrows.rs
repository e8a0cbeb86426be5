use redis_cached::redis_cached;

struct Connection;

#[redis_cached(key = "user:{id}", ttl = "5m", stale_if_error = "1h", soft_timeout = "100ms", skip(conn))]
async fn load(conn: &mut Connection, id: u64) -> u64 {
    id
}

fn main() {}
