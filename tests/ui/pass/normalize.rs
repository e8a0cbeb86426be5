#![deny(warnings)]

use redis_cached::redis_cached;

#[redis_cached(
    key = "normalize:{email}:{name}:{limit}:{ids?}",
    ttl = "5m",
    refresh_before = "10%",
    normalize(
        email = email.trim().to_lowercase(),
        name = name.trim(),
        limit = limit.min(100),
        ids = ids.filter(|id| *id > 0)
    )
)]
async fn normalized(email: String, name: &str, mut limit: u64, ids: Option<u64>) -> String {
    limit += 1;
    format!("{email}{name}{limit}{ids:?}")
}

#[redis_cached(key = "normalize:owned:{name}", ttl = "5m", normalize(name = name.to_lowercase()))]
async fn borrowed_of_owned(name: &str) -> String {
    name.to_owned()
}

#[redis_cached(key = "normalize:generic:{name}", ttl = "5m", normalize(name = name), skip(S))]
async fn generic<S: std::fmt::Display + Send + Sync>(name: S) -> String {
    name.to_string()
}

fn main() {
    let _ = normalized("A".to_owned(), "b", 1, None);
    let _ = normalized_entry("A".to_owned(), "b", 1, None);
    let _ = (borrowed_of_owned("A"), borrowed_of_owned_entry("A"), generic("A"), generic_entry(1));
}
