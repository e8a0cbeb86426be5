use redis_cached::redis_cached;

enum Failed {
    NotFound,
}

#[redis_cached(key = "user:{id}", ttl = "5m", share_err = |_| String::from("not found"))]
async fn load(id: u64) -> Result<u64, Failed> {
    id.checked_sub(1).ok_or(Failed::NotFound)
}

fn main() {}
