use redis_cached::redis_cached;

#[redis_cached(key = "user:{region}", ttl = "5m")]
async fn load(region: Option<&str>) -> usize {
    region.map_or(0, str::len)
}

fn main() {}
