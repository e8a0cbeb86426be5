use redis_cached::redis_cached;

#[derive(Clone)]
struct Http;

#[redis_cached(key = "jwk:{kid}", ttl = "1h", refresh_before = "5m", skip(http))]
async fn signing_key(http: &Http, issuer_url: &str, kid: &str) -> Result<String, String> {
    let _ = http;
    Ok(format!("{issuer_url}/{kid}"))
}

fn main() {}
