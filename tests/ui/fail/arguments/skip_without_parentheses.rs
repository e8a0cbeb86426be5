use redis_cached::redis_cached;

#[derive(Clone)]
struct Db;

#[redis_cached(key = "user:{id}", ttl = "5m", skip = db)]
async fn load(db: &Db, id: u64) -> u64 {
    let _ = db;
    id
}

fn main() {}
