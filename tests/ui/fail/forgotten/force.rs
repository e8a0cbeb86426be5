use redis_cached::redis_cached;

#[redis_cached(key = "rates:{currency}", ttl = "1h")]
async fn rates(currency: &str, force: bool) -> Vec<u64> {
    let _ = (currency, force);
    Vec::new()
}

fn main() {}
