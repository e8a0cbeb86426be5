use redis_cached::{redis_cached, redis_put};

#[redis_cached(key = "user:{id}", ttl = "5m", clearable)]
async fn user(id: u64) -> String {
    id.to_string()
}

#[redis_put(on_failure = "retry")]
async fn no_target(id: u64) -> String {
    id.to_string()
}

#[redis_put(user = ret, on_failure = "retry")]
async fn no_call(id: u64) -> String {
    id.to_string()
}

#[redis_put(user, on_failure = "retry")]
async fn a_name(id: u64) -> String {
    id.to_string()
}

#[redis_put(user(id) == ret, on_failure = "retry")]
async fn compared(id: u64) -> String {
    id.to_string()
}

#[redis_put(user(id) => ret, on_failure = "retry")]
async fn an_arrow(id: u64) -> String {
    id.to_string()
}

#[redis_put(user(id): ret, on_failure = "retry")]
async fn a_colon(id: u64) -> String {
    id.to_string()
}

#[redis_put(user_entry(id), on_failure = "retry")]
async fn an_entry(id: u64) -> String {
    id.to_string()
}

#[redis_put(user(ret.len()), on_failure = "retry")]
async fn ret_as_a_parameter(ret: String) -> String {
    ret
}

#[redis_put(user(id), on_failure = "retry")]
fn not_async(id: u64) -> String {
    id.to_string()
}

#[redis_put(user(id), ttl = "5m", onfailure = "retry")]
async fn arguments(id: u64) -> String {
    id.to_string()
}

fn main() {}
