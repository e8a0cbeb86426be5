use redis_cached::redis_cached;

#[redis_cached(key = "users:{team}", ttl = "5m", tags_with = ["users"])]
async fn load(team: u64) -> Vec<u64> {
    vec![team]
}

fn main() {}
