#![deny(warnings)]

use redis_cached::redis_cached;

struct Db;

#[redis_cached(ttl = "5m")]
async fn nothing() -> u64 {
    1
}

#[redis_cached(ttl = "5m", skip(db))]
async fn all(db: &Db, id: u64, name: &str, region: Option<u8>, (x, _): (i8, i8)) -> u64 {
    let _ = (db, name, region, x);
    id
}

#[redis_cached(ttl = "5m", name = "renamed")]
async fn named(r#type: char) -> String {
    r#type.into()
}

fn main() {
    let _ = (nothing(), all(&Db, 1, "a", None, (1, 2)), named('a'), named_entry('a'));
    let _ = all_entry(1, "a", Some(1), (1, 2));
}
