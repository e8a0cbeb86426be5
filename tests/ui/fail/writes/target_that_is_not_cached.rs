use redis_cached::redis_invalidate;

async fn user(id: u64) -> u64 {
    id
}

#[redis_invalidate(user(id), on_failure = "retry")]
async fn rename(id: u64) {
    let _ = id;
}

fn main() {
    let _ = user(1);
}
