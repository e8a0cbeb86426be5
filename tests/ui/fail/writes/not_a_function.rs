use redis_cached::{redis_cached, redis_invalidate, redis_put};

#[redis_cached(key = "user:{id}", ttl = "5m")]
async fn user(id: u64) -> u64 {
    id
}

struct Users;

#[redis_invalidate(user(1), on_failure = "retry")]
impl Users {
    async fn rename(&self) {}
}

#[redis_put(user(1), on_failure = "retry")]
trait Rename {
    async fn rename(&self) -> u64;
}

#[redis_invalidate(user(1), on_failure = "retry")]
struct Team;

fn main() {}
