//! What edition 2024 changed, as it was before.

#![allow(clippy::manual_async_fn, reason = "that form is tested too")]

use redis_cached::{Cache, redis_cached};
use redis_cached_tests::Gate;

async fn cache() -> Cache {
    Cache::builder().url("memory://").build().await.unwrap()
}

/// `Future` is not in the prelude, and nothing is imported here.
mod bare {
    #[::redis_cached::redis_cached(
        key = "differences:bare:{id}:{other?}",
        ttl = "5m",
        refresh_before = "1m",
        skip(gate)
    )]
    pub(super) async fn bare(gate: &super::Gate, id: u64, other: Option<u64>) -> Option<u64> {
        Some(id + other? + gate.pass().await as u64)
    }

    pub(super) struct Repo(pub(super) super::Gate);

    pub(super) trait Store {
        fn get(&self, id: u64) -> impl std::future::Future<Output = u64> + Send;
    }

    #[::redis_cached::methods]
    impl Store for Repo {
        #[redis_cached(key = "differences:method:{id}", ttl = "5m", skip(self))]
        async fn get(&self, id: u64) -> u64 {
            id + self.0.pass().await as u64
        }
    }
}

#[tokio::test]
async fn without_future_in_the_prelude() {
    use bare::Store;

    let repo = bare::Repo(Gate::open());
    let calls = async {
        for _ in 0..2 {
            assert_eq!(bare::bare(&repo.0, 1, Some(1)).await, Some(3));
            assert_eq!(repo.get(1).await, 3);
        }
    };
    cache().await.scope(calls).await;
    assert_eq!(repo.0.runs(), 2);
}

/// An opaque type holds only the lifetimes that it names.
#[redis_cached(key = "differences:opaque:{id}:{kind}", ttl = "5m", skip(gate, K))]
fn opaque<'a, K>(
    gate: &'a Gate,
    id: &'a str,
    kind: K,
) -> impl std::future::Future<Output = usize> + Send + 'a
where
    K: std::fmt::Display + Send + Sync + 'a,
{
    async move { id.len() + kind.to_string().len() + gate.pass().await }
}

#[tokio::test]
async fn captured_lifetimes() {
    let gate = Gate::open();
    let calls = async {
        for _ in 0..2 {
            assert_eq!(opaque(&gate, "ab", 'c').await, 4);
        }
    };
    cache().await.scope(calls).await;
    assert_eq!(gate.runs(), 1);
}

#[derive(Clone)]
struct Part {
    gen: u64,
}

impl Part {
    fn gen(&self) -> u64 {
        self.gen
    }
}

/// `gen` is a name like any other.
#[redis_cached(
    key = "differences:gen:{gen}:{part.gen}:{part.gen()}",
    ttl = "5m",
    refresh_before = "1m",
    skip(gate)
)]
async fn gen(gate: &Gate, gen: u64, part: Part) -> u64 {
    gen + part.gen() + gate.pass().await as u64
}

#[tokio::test]
async fn names_that_are_keywords_now() {
    let gate = Gate::open();
    let calls = async {
        for _ in 0..2 {
            assert_eq!(gen(&gate, 1, Part { gen: 1 }).await, 3);
        }
        gen_entry(1, Part { gen: 1 }).invalidate().await.unwrap();
        assert_eq!(gen(&gate, 1, Part { gen: 1 }).await, 4);
    };
    cache().await.scope(calls).await;
}
