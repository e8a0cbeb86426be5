use redis_cached::redis_cached;

#[derive(serde::Serialize, serde::Deserialize)]
struct User {
    org: u64,
}

#[redis_cached(key = "user:{id}", ttl = "5m", tags = ["org:{ret.org}:{id}", "{ret.org}:{id}"])]
async fn load(id: u64) -> User {
    User { org: id }
}

fn main() {}
