#![deny(warnings)]

use redis_cached::redis_cached;

struct Path<T>(T);

struct Page {
    at: u64,
    size: u64,
}

#[redis_cached(key = "patterns:{tenant}:{id}:{at}:{n}:{x}:{first}", ttl = "5m", skip(y))]
async fn patterns(
    Path((tenant, mut id)): Path<(u32, u64)>,
    Page { at, size: n }: Page,
    &(x, y): &(u64, u64),
    [first, ..]: [u64; 3],
    _: &str,
    (): (),
) -> u64 {
    id += u64::from(tenant);
    id + at + n + x + y + first
}

#[derive(Clone)]
struct Point(u64, u64);

#[redis_cached(key = "patterns:refreshed:{a}:{b}:{c}", ttl = "5m", refresh_before = "10%")]
async fn refreshed(Point(a, b): Point, (c, _): (String, u8)) -> String {
    format!("{a}{b}{c}")
}

async fn caller() {
    let page = || Page { at: 1, size: 2 };
    patterns(Path((1, 2)), page(), &(3, 4), [5; 3], "", ()).await;
    let _ = patterns_entry(Path((1, 2)), page(), &(3, 4), [5; 3]);
    refreshed(Point(1, 2), (String::new(), 1)).await;
}

fn main() {
    let _ = caller();
}
