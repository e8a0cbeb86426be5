use redis_cached::redis_cached;

fn is_even(number: &u64) -> bool {
    number % 2 == 0
}

#[redis_cached(key = "user:{id}", ttl = "5m", accept_if = is_even)]
async fn load(id: u64) -> Result<Vec<u64>, String> {
    Ok(vec![id])
}

fn main() {}
