#![deny(warnings)]

use redis_cached::redis_cached;

mod r#mod {
    use redis_cached::redis_cached;

    #[redis_cached(key = "raw:{gen}:{dyn}", ttl = "5m", normalize(r#gen = r#gen + 1), refresh_if = r#try, clearable)]
    pub async fn r#type(r#gen: u64, r#dyn: &str, r#try: bool) -> u64 {
        r#gen + r#dyn.len() as u64
    }
}

#[redis_cached(key = "raw:{in}", ttl = "5m", same_entries_as = r#mod::r#type, skip(r#ref))]
async fn r#async(r#in: u64, r#ref: u8) -> u64 {
    r#in + u64::from(r#ref)
}

fn main() {
    let _ = (r#mod::r#type(1, "a", true), r#mod::type_entry(1, "a"), r#mod::type_all());
    let _ = (r#async(1, 2), async_refresh(1, 2));
}
