use redis_cached::redis_cached;

#[redis_cached(key = "top:{board}", ttl = "5m")]
async fn top<const COUNT: usize>(board: &str) -> Vec<String> {
    vec![board.to_owned(); COUNT]
}

fn main() {}
