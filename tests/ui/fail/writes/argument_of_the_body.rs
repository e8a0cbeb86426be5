use redis_cached::{redis_cached, redis_invalidate};

#[redis_cached(key = "user:{id}", ttl = "5m")]
async fn user(id: u64) -> u64 {
    id
}

struct Batch(Vec<u64>);

#[redis_invalidate(user(batch.0[0] + ret), on_failure = "retry")]
async fn changed(mut batch: Batch) -> u64 {
    batch.0.clear();
    1
}

#[async_trait::async_trait]
trait Rows {
    async fn taken(&self, batch: Batch) -> u64;
}

#[async_trait::async_trait]
impl Rows for u64 {
    #[redis_invalidate(user(batch.0[0] + ret), on_failure = "retry")]
    async fn taken(&self, batch: Batch) -> u64 {
        drop(batch);
        1
    }
}

fn main() {}
