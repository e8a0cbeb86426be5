use redis_cached::redis_cached;

#[redis_cached(key = "user:{email}", ttl = "5m", normalize(email = email.trim().to_owned(), email = email.to_lowercase()))]
async fn load(email: String) -> String {
    email
}

fn main() {}
