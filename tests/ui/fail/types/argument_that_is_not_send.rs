use redis_cached::redis_cached;

use std::rc::Rc;

#[redis_cached(key = "user:{id}", ttl = "5m", skip(db))]
async fn load(db: Rc<u64>, id: u64) -> u64 {
    id + *db
}

fn main() {}
