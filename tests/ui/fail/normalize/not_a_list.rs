use redis_cached::redis_cached;

#[redis_cached(key = "user:{email}", ttl = "5m", normalize = email.trim())]
async fn load(email: String) -> String {
    email
}

fn main() {}
