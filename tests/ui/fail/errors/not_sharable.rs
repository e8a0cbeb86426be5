use redis_cached::redis_cached;

struct Failed(std::cell::Cell<u8>);

#[redis_cached(key = "user:{id}", ttl = "5m", share_err = |error| Failed(error.0.clone()))]
async fn load(id: u64) -> Result<u64, Failed> {
    Ok(id)
}

fn main() {}
