use redis_cached::redis_cached;

#[redis_cached(key = "prices:{product}", ttl = "10m")]
async fn prices(product: u64, region: Option<&str>) -> Vec<u64> {
    vec![product, region.map_or(0, str::len) as u64]
}

fn main() {}
