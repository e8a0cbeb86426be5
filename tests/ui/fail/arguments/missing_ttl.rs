use redis_cached::redis_cached;

#[redis_cached(key = "user:{id}")]
async fn load(id: u64) -> u64 {
    id
}

// The function is still there: its callers have no errors of their own.
async fn caller() -> u64 {
    load(1).await
}

fn main() {
    let _ = caller();
}
