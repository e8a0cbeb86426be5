use redis_cached::redis_cached;

type Found = Vec<u64>;

#[redis_cached(key = "user:{id}", ttl = "5m", share_err = copied)]
async fn load(id: u64) -> Found {
    vec![id]
}

fn copied(error: &String) -> String {
    error.clone()
}

fn main() {}
