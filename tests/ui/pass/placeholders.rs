//! Everything that a placeholder can name.

use std::fmt;

use redis_cached::redis_cached;

trait Kind: Send {
    const KIND: &'static str;

    fn version() -> u32;
}

struct Id(u64);

impl Id {
    fn as_text(&self) -> String {
        self.0.to_string()
    }
}

struct Request {
    id: Id,
    range: (u64, Option<u64>),
    region: Option<String>,
    r#type: Tag,
}

#[derive(Clone, Copy)]
enum Tag {
    New,
}

impl fmt::Display for Tag {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("new")
    }
}

#[redis_cached(
    key = "placeholders:{request.id.0}:{request.id.as_text()}:{request.range.0}/{request.range.1?}|\
           {request.region?} {request.type}:{{literal}}",
    ttl = "5m"
)]
async fn parts(request: Request) -> u64 {
    request.id.0
}

#[redis_cached(key = "placeholders:options:{a?}:{b?}:{c?}", ttl = "5m")]
async fn options(a: Option<&str>, b: &Option<u64>, c: Option<Tag>) -> u64 {
    let _ = (a, c);
    b.unwrap_or_default()
}

#[redis_cached(key = "placeholders:generic:{T::KIND}:{T::version()}:{N}:{FLAG}", ttl = "5m")]
async fn generic<T: Kind, const N: usize, const FLAG: bool>() -> usize {
    N
}

struct Repo {
    tenant: u64,
}

impl Repo {
    const TABLE: &'static str = "rows";

    fn name(&self) -> &str {
        "repo"
    }

    #[redis_cached(key = "rows:{Self::TABLE}:{self.tenant}:{self.name()}:{id}", ttl = "5m")]
    async fn rows(&self, id: u64) -> u64 {
        id
    }
}

fn main() {
    let _ = (Tag::New, Repo { tenant: 1 }.rows_entry(1));
}
