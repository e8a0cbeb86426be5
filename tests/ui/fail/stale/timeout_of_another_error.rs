use redis_cached::redis_cached;

#[derive(Debug)]
struct Problem;

#[redis_cached(key = "user:{id}", ttl = "5m", timeout = "2s")]
async fn load(id: u64) -> Result<u64, Problem> {
    if id == 0 { Err(Problem) } else { Ok(id) }
}

fn main() {}
