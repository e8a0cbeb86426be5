use redis_cached::redis_cached;

#[derive(serde::Serialize, serde::Deserialize)]
struct User {
    org: u64,
}

#[redis_cached(key = "user:{id}", ttl = "5m", tags = ["org:{ret.organization}"])]
async fn load(id: u64) -> Option<User> {
    Some(User { org: id })
}

fn main() {}
