#![deny(warnings)]

use std::time::Duration;

use redis_cached::redis_cached;
use serde::{Deserialize, Serialize};

#[derive(Serialize, Deserialize)]
struct Token {
    expires_in: u64,
    scopes: Vec<String>,
}

fn lifetime(token: &Token) -> Duration {
    Duration::from_secs(token.expires_in)
}

impl Token {
    fn is_useful(&self) -> bool {
        !self.scopes.is_empty()
    }
}

#[redis_cached(
    key = "values:token:{client}",
    ttl = "1h",
    ttl_with = lifetime,
    cache_if = Token::is_useful,
    accept_if = |token| token.expires_in > 5 && token.scopes.iter().all(|scope| !scope.is_empty())
)]
async fn token(client: u64) -> Result<Token, String> {
    Ok(Token { expires_in: client, scopes: Vec::new() })
}

#[redis_cached(key = "values:option:{id}", ttl = "5m", cache_if = Option::is_some, none_ttl = "1s")]
async fn option(id: u64) -> Option<u64> {
    Some(id)
}

#[redis_cached(key = "values:typed:{id}", ttl = "5m", cache_if = |found: &Vec<u64>| -> bool { !found.is_empty() })]
async fn typed(id: u64) -> Vec<u64> {
    vec![id]
}

#[redis_cached(key = "values:generic:{id}", ttl = "5m", cache_if = |_| true, skip(T))]
async fn generic<T>(id: u64) -> Option<T>
where
    T: Serialize + serde::de::DeserializeOwned + Send + 'static,
{
    let _ = id;
    None
}

fn main() {
    let _ = (token(1), option(1), typed(1), generic::<u8>(1));
    let _ = (token_entry(1), option_entry(1), generic_entry::<u8>(1));
}
