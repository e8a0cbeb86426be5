use redis_cached::redis_cached;

#[redis_cached(ttl = "5m")]
struct User;

fn main() {}
