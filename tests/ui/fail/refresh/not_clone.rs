use redis_cached::redis_cached;

struct Db;

#[redis_cached(key = "user:{id}", ttl = "5m", refresh_before = "30s", skip(db))]
async fn load(db: &Db, id: u64) -> u64 {
    let _ = db;
    id
}

fn main() {}
