use redis_cached::redis_cached;

#[derive(Clone)]
struct Point {
    x: u32,
    path: (u32, (String, u32)),
}

#[redis_cached(
    key = "{{point}}:{point.x}/{point.path.0}|{point.path.1.1} {name}",
    ttl = "1h30m",
    refresh_before = 60,
    none_ttl = "10s",
    lock_ttl = "2s",
    wait = 0,
    jitter = "10%",
    version = 2,
    crate = redis_cached,
    skip(_client),
)]
async fn all(point: &Point, name: &str, _client: u8) -> Option<String> {
    Some(format!("{}{name}", point.path.1.0))
}

#[redis_cached(ttl = 300)]
async fn default_key(mut id: u64, names: &'static str) -> String {
    id += 1;
    format!("{id}{names}")
}

fn main() {}
