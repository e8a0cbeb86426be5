use redis_cached::redis_cached;

#[derive(Clone)]
struct Db;

#[redis_cached(key = "user:{idd}", ttl = "5x", jitter = "60%", skip(dbb), tll = 5)]
fn load(db: &Db, id: u64) -> &str {
    let _ = (db, id);
    ""
}

fn main() {}
