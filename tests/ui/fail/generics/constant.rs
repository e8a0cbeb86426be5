use redis_cached::redis_cached;

#[redis_cached(key = "page:{id}", ttl = "5m")]
async fn load<const N: usize>(id: u64) -> [u64; N] {
    [id; N]
}

fn main() {}
