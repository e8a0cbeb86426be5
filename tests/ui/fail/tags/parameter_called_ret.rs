use redis_cached::redis_cached;

#[redis_cached(key = "user:{ret}", ttl = "5m", tags = ["user:{ret}"])]
async fn load(ret: u64) -> u64 {
    ret
}

fn main() {}
