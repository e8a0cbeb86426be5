use redis_cached::redis_cached;

struct Db;

impl Db {
    async fn user(&self, id: u64) -> u64 {
        id
    }
}

#[redis_cached(key = "user:{id}", ttl = "5m", skip(db))]
async fn load(db: &Db, id: u64) -> u64 {
    let user = db.
}

async fn caller() -> u64 {
    load_entry(1).key();
    load(&Db, 1).await
}

fn main() {
    let _ = caller();
}
