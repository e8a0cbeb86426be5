use redis_cached::{redis_cached, redis_invalidate};

#[redis_cached(key = "user:{id}", ttl = "5m")]
async fn user(id: u64) -> u64 {
    id
}

struct Transaction<'c>(&'c ());

#[redis_invalidate(user(id), on_failure = "retry")]
async fn rename(tx: &mut Transaction<'_>, id: u64) {
    let _ = (tx, id);
}

#[redis_invalidate(user(id), after_commit, now, on_failure = "retry")]
async fn remove(tx: &mut Transaction<'_>, id: u64) {
    let _ = (tx, id);
}

fn main() {}
