//! What only `stored`, `save` and `load` name.

use redis_cached::redis_cached;

trait Cipher: Send + Sync + 'static {
    fn seal(text: &str) -> Vec<u8>;
    fn open(bytes: &[u8]) -> Result<String, std::string::FromUtf8Error>;
}

struct Plain;

impl Cipher for Plain {
    fn seal(text: &str) -> Vec<u8> {
        text.as_bytes().to_vec()
    }

    fn open(bytes: &[u8]) -> Result<String, std::string::FromUtf8Error> {
        String::from_utf8(bytes.to_vec())
    }
}

#[redis_cached(
    key = "secret:{id}", ttl = "1m", skip(C), stored = Vec<u8>, save = |text| C::seal(text), load = |bytes| C::open(&bytes)
)]
async fn secret<C: Cipher>(id: u64) -> String {
    std::future::ready(()).await;
    format!("secret {id}")
}

#[tokio::main(flavor = "current_thread")]
async fn main() {
    assert_eq!(secret::<Plain>(1).await, "secret 1");
    assert_eq!(secret::<Plain>(1).await, "secret 1");
    let peek = secret_entry::<Plain>(1).peek().await.unwrap();
    assert_eq!(peek.unwrap().value, "secret 1");
}
