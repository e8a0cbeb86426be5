use redis_cached::redis_invalidate;

#[redis_invalidate(on_failure = "retry")]
async fn rename(id: u64) {
    let _ = id;
}

#[redis_invalidate()]
async fn remove(id: u64) {
    let _ = id;
}

fn main() {}
