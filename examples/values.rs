//! What is stored of what a function returns, printed. `cargo run --example values` needs no server.

#![expect(clippy::unused_async, reason = "what these bodies would wait for is left out")]

use std::error::Error;
use std::sync::Arc;
use std::time::Duration;

use redis_cached::{Cache, redis_cached};
use serde::{Deserialize, Serialize};

#[derive(Debug, Serialize, Deserialize)]
struct Catalog {
    products: Vec<String>,
}

/// Of an `Arc` what is in it is stored, without serde's feature `rc`.
#[redis_cached(key = "catalog:{shop}", ttl = "5m")]
async fn catalog(shop: u32) -> Result<Arc<Catalog>, String> {
    Ok(Arc::new(Catalog { products: vec![format!("a lamp of shop {shop}")] }))
}

/// What a template is made of is stored; it is compiled once more for each hit.
struct Template {
    source: String,
    holes: usize,
}

impl Template {
    fn compile(source: String) -> Result<Self, String> {
        let (opened, closed) = (source.matches('<').count(), source.matches('>').count());
        if opened == closed { Ok(Self { source, holes: opened }) } else { Err("odd".to_owned()) }
    }
}

#[redis_cached(
    key = "template:{name}", ttl = "5m",
    stored = String, save = |template| template.source.clone(), load = Template::compile
)]
async fn template(name: &str) -> Result<Template, String> {
    Template::compile(format!("Dear <name>, your {name} is here. <signature>"))
}

/// Stands for a cipher: what is stored can't be read without it.
#[derive(Clone)]
struct Cipher(u8);

impl Cipher {
    fn apply(&self, bytes: impl IntoIterator<Item = u8>) -> Vec<u8> {
        bytes.into_iter().map(|byte| byte ^ self.0).collect()
    }
}

#[redis_cached(
    key = "letter:{id}", ttl = "5m", skip(cipher), stored = Vec<u8>,
    save = |letter| cipher.apply(letter.bytes()), load = |bytes| String::from_utf8(cipher.apply(bytes))
)]
async fn letter(cipher: &Cipher, id: u32) -> String {
    format!("letter {id}")
}

struct Token {
    secret: String,
    expires_in: Duration,
}

/// The value says how long it lives.
#[redis_cached(
    key = "token:{client}", ttl = "1h", jitter = "0%", ttl_with = |token| token.expires_in,
    stored = (String, Duration), save = |token| (token.secret.clone(), token.expires_in),
    load = |(secret, expires_in)| Token { secret, expires_in }
)]
async fn token(client: &str) -> Token {
    Token { secret: format!("token of {client}"), expires_in: Duration::from_secs(90) }
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Box<dyn Error>> {
    redis_cached::init(Cache::builder().url("memory://").build().await?)?;
    let cipher = Cipher(42);
    // The first of each is a miss, the second a hit.
    for found in ["computed", "stored"] {
        let (catalog, template) = (catalog(7).await?, template("order").await?);
        println!("{found}: {} product, {} holes", catalog.products.len(), template.holes);
        println!("{found}: {}, {}", letter(&cipher, 1).await, token("shop").await.secret);
    }
    let left = token_entry("shop").ttl().await?.unwrap_or_default();
    println!("the token is kept for {} s", left.as_secs_f32().ceil());
    Ok(())
}
