#![deny(warnings)]
//! What stands in a body stays what it is.

use redis_cached::redis_cached;

#[redis_cached(key = "bodies:early:{id}", ttl = "5m")]
async fn early(id: u64) -> Result<u64, String> {
    if id == 0 {
        return Err("zero".to_owned());
    }
    let parsed: u64 = "1".parse().map_err(|_| String::new())?;
    let result = async { Err::<u64, String>("inner".to_owned()) }.await;
    Ok('found: loop {
        if let Ok(number) = result {
            break 'found number;
        }
        break parsed + id;
    })
}

#[redis_cached(key = "bodies:items:{id}", ttl = "5m")]
async fn items(id: u64) -> u64 {
    const LOCAL: u64 = 1;
    struct Inner(u64);
    impl Inner {
        fn new() -> Self {
            Self(LOCAL)
        }
    }
    fn helper(inner: &Inner) -> u64 {
        inner.0
    }
    macro_rules! sum {
        ($a:expr, $b:expr) => {
            $a + $b
        };
    }
    sum!(helper(&Inner::new()), id)
}

#[redis_cached(key = "bodies:diverges:{id}", ttl = "5m")]
async fn diverges(id: u64) -> u64 {
    unimplemented!("{id}")
}

#[redis_cached(key = "bodies:closures:{id}", ttl = "5m")]
async fn closures(id: u64) -> Vec<u64> {
    let add = move |more| id + more;
    (0..3).map(add).collect()
}

fn main() {
    let _ = (early(1), items(1), diverges(1), closures(1));
}
