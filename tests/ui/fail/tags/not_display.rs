use redis_cached::redis_cached;

#[derive(serde::Serialize, serde::Deserialize)]
struct User {
    orgs: Vec<u64>,
}

#[redis_cached(key = "user:{id}", ttl = "5m", tags = ["org:{ret.orgs}"])]
async fn load(id: u64) -> User {
    User { orgs: vec![id] }
}

fn main() {}
