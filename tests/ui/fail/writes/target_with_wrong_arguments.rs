use redis_cached::{redis_cached, redis_invalidate};

#[redis_cached(key = "user:{team}:{id}", ttl = "5m")]
async fn user(team: u32, id: u64) -> u64 {
    u64::from(team) + id
}

#[redis_invalidate(user(id), on_failure = "retry")]
async fn rename(id: u64) {
    let _ = id;
}

#[redis_invalidate(user(name, id), on_failure = "retry")]
async fn remove(name: String, id: u64) {
    let _ = (name, id);
}

fn main() {}
