use redis_cached::redis_cached;

#[redis_cached(key = "user:{name}", ttl = "5m")]
async fn load<'a>(name: &'a str) -> std::borrow::Cow<'a, str> {
    name.into()
}

fn main() {}
