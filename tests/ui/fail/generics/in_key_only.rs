use redis_cached::redis_cached;
use std::fmt::Display;

trait Kind {
    const TABLE: &'static str;
}

#[redis_cached(key = "name:{id}", ttl = "5m")]
async fn load<K: Kind + Display + Send>(id: K) -> String {
    format!("{} {id}", K::TABLE)
}

fn main() {}
