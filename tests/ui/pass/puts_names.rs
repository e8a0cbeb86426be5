#![deny(warnings, unused)]

use redis_cached::{redis_cached, redis_put};

#[redis_cached(key = "user:{id}", ttl = "5m")]
async fn user(id: u64) -> String {
    id.to_string()
}

/// Names of generated code are its own, also where a parameter is asked for behind the body.
#[redis_put(
    user(__value) = format!("{}{}{}{}", __value + 1, __returned, __put0, ret + __succeeded),
    when = ret > __writing,
    on_failure = "retry"
)]
async fn names(
    __value: u64,
    __returned: u64,
    __put0: u64,
    __writing: u64,
    __succeeded: u64,
    __error: u64,
    __body: u64,
    __ret: u64,
) -> u64 {
    let __value = __value + __returned + __put0 + __writing + __succeeded;
    __value + __error + __body + __ret
}

fn main() {
    drop(names(1, 2, 3, 4, 5, 6, 7, 8));
}
