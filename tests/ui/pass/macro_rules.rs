use redis_cached::redis_cached;
use serde::{Deserialize, Serialize};

// Names and types that come out of a `macro_rules` have another hygiene.
macro_rules! cached {
    ($name:ident, $arg:ident: $ty:ty => $value:ty, $key:literal, $ttl:literal) => {
        #[redis_cached(key = $key, ttl = $ttl, refresh_before = "10%")]
        async fn $name($arg: $ty, own: u8) -> $value {
            let _ = (&$arg, own);
            Default::default()
        }
    };
}

cached!(number, id: u64 => u64, "number:{id}:{own}", "5m");
cached!(text, name: &str => Option<String>, "text:{name}:{own}", 300);

#[derive(Clone, Default, Serialize, Deserialize)]
struct User(u64);

cached!(user, id: u64 => Vec<User>, "user:{id}:{own}", "1h");

fn main() {}
