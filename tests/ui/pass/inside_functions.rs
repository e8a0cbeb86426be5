#![deny(warnings)]
//! Items inside of functions, closures and constants.

use redis_cached::redis_cached;

async fn outer() -> u64 {
    #[redis_cached(key = "inside:function:{id}", ttl = "5m")]
    async fn inner(id: u64) -> u64 {
        id
    }

    struct Local;

    impl Local {
        #[redis_cached(key = "inside:local:{id}", ttl = "5m", skip(self))]
        async fn load(&self, id: u64) -> u64 {
            id
        }
    }

    #[redis_cached::methods]
    impl Load for Local {
        #[redis_cached(key = "inside:trait:{id}", ttl = "5m", skip(self))]
        async fn load_too(&self, id: u64) -> u64 {
            id
        }
    }

    let closure = || async {
        #[redis_cached(key = "inside:closure:{id}", ttl = "5m")]
        async fn inner(id: u64) -> u64 {
            id
        }
        inner(1).await
    };
    inner(1).await + Local.load(1).await + Local.load_too(1).await + closure().await
}

trait Load {
    async fn load_too(&self, id: u64) -> u64;
}

const _: () = {
    #[redis_cached(key = "inside:constant:{id}", ttl = "5m")]
    async fn inner(id: u64) -> u64 {
        id
    }
    let _ = inner;
};

#[redis_cached(key = "inside:recursion:{n}", ttl = "5m")]
fn factorial(n: u64) -> std::pin::Pin<Box<dyn Future<Output = u64> + Send>> {
    Box::pin(async move { if n == 0 { 1 } else { n * factorial(n - 1).await } })
}

fn main() {
    let _ = (outer(), factorial(3));
}
