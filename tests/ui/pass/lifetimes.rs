#![deny(warnings)]

use redis_cached::redis_cached;

struct Borrowed<'a>(&'a str);

impl<'a> Borrowed<'a> {
    #[redis_cached(key = "lifetimes:{self.0}:{id}", ttl = "5m")]
    async fn load(&self, id: &'a u64) -> u64 {
        *id
    }

    #[redis_cached(key = "lifetimes:named:{self.0}:{other}", ttl = "5m")]
    async fn named<'s, 'b: 'a>(&'s self, other: &'b str) -> String
    where
        'a: 's,
    {
        format!("{}{other}", self.0)
    }
}

#[redis_cached(key = "lifetimes:free:{a}:{b.0}", ttl = "5m", refresh_before = "10%")]
async fn free<'a, 'b: 'a>(a: &'a str, b: &'b Own) -> String {
    format!("{a}{}", b.0)
}

#[derive(Clone)]
struct Own(u64);

#[redis_cached(key = "lifetimes:bound:{name}", ttl = "5m", skip(call, F))]
async fn bound<F>(call: F, name: &str) -> usize
where
    F: for<'x> Fn(&'x str) -> &'x str + Send + Sync,
{
    call(name).len()
}

#[redis_cached(key = "lifetimes:anonymous:{borrowed.0}", ttl = "5m")]
async fn anonymous(borrowed: Borrowed<'_>) -> String {
    borrowed.0.to_owned()
}

async fn caller() {
    let borrowed = Borrowed("a");
    borrowed.load(&1).await;
    borrowed.named("b").await;
    free("a", &Own(1)).await;
    bound(|name| name, "a").await;
    let _ = (
        borrowed.load_entry(&1),
        borrowed.named_entry("b"),
        free_entry("a", &Own(1)),
        bound_entry("a"),
    );
    let _ = anonymous_entry(Borrowed("a"));
    anonymous(borrowed).await;
}

fn main() {
    let _ = caller();
}
