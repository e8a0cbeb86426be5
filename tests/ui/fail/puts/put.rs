use redis_cached::{redis_cached, redis_invalidate, redis_put};

#[redis_cached(key = "user:{id}", ttl = "5m", clearable)]
async fn user(id: u64) -> String {
    id.to_string()
}

#[redis_put(user(id))]
async fn no_on_failure(id: u64) -> String {
    id.to_string()
}

#[redis_put(user(..), on_failure = "retry")]
async fn all(id: u64) -> String {
    id.to_string()
}

#[redis_put(user(id), tags = ["users"], on_failure = "retry")]
async fn tags(id: u64) -> String {
    id.to_string()
}

#[redis_put(tags = ["users"], on_failure = "retry")]
async fn tags_only(id: u64) -> String {
    id.to_string()
}

#[redis_put(for id in &ret => user(*id), on_failure = "retry")]
async fn each_without_a_value(id: u64) -> Vec<u64> {
    vec![id]
}

#[redis_put(user(id), after_commit)]
async fn after_commit(id: u64) -> String {
    id.to_string()
}

#[redis_put(user(id), after_commit, now, on_failure = "retry")]
async fn after_commit_and_now(id: u64) -> String {
    id.to_string()
}

struct Transaction<'c>(&'c ());

#[redis_put(user(id), on_failure = "retry")]
async fn in_a_transaction(tx: &mut Transaction<'_>, id: u64) -> String {
    let _ = tx;
    id.to_string()
}

#[redis_invalidate(user(id) = ret, on_failure = "retry")]
async fn invalidates(id: u64) -> String {
    id.to_string()
}

#[redis_put(user(id) = , on_failure = "retry")]
async fn nothing(id: u64) -> String {
    id.to_string()
}

fn main() {}
