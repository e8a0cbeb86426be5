//! A catalog that is large, and so is handed about behind an `Arc`; serde knows nothing of that.

use std::sync::Arc;

use redis_cached::{Cache, invalidate_tags, redis_cached, redis_invalidate};
use redis_cached_tests::{Gate, in_time};
use serde::{Deserialize, Serialize};
use tokio::task::JoinSet;

use crate::stage::{MINUTE, Stage, on_both};
use crate::table::Table;

/// No `Clone`: nobody copies it.
#[derive(Debug, PartialEq, Serialize, Deserialize)]
struct Product {
    id: u32,
    maker: u32,
    name: String,
}

#[derive(Clone, Debug, PartialEq, thiserror::Error)]
#[error("the shop is closed")]
struct Closed;

type Shared<T> = Result<Arc<T>, Closed>;

#[derive(Clone)]
struct Catalog {
    cache: Cache,
    /// By its number, with its maker.
    names: Table<u32, (u32, String)>,
}

impl Catalog {
    /// None, one that is there, and the shop that is closed.
    #[redis_cached(
        key = "product:{id}", ttl = "1h", none_ttl = "1m", skip(self), cache = self.cache,
        tags = ["maker:{ret.maker}"], cache_if = |product| product.as_ref().is_none_or(|p| !p.name.is_empty())
    )]
    async fn product(&self, id: u32) -> Result<Option<Arc<Product>>, Closed> {
        let row = self.names.read(&id).await;
        if id == 0 {
            return Err(Closed);
        }
        Ok(row.map(|(maker, name)| Arc::new(Product { id, maker, name })))
    }

    /// Behind an alias.
    #[redis_cached(key = "all", ttl = "1h", skip(self), cache = self.cache, tags = ["makers"])]
    async fn all(&self) -> Shared<[Product]> {
        let mut all = Vec::new();
        for id in [1, 2] {
            if let Some((maker, name)) = self.names.read(&id).await {
                all.push(Product { id, maker, name });
            }
        }
        Ok(all.into())
    }

    #[redis_cached(key = "name:{id}", ttl = "1h", skip(self), cache = self.cache)]
    async fn name(&self, id: u32) -> Arc<str> {
        self.names.read(&id).await.map_or_else(|| "".into(), |(_, name)| name.into())
    }

    #[redis_invalidate(
        self.product(id), self.name(id), tags = ["makers"], cache = self.cache, on_failure = "retry"
    )]
    async fn rename(&self, id: u32, maker: u32, name: &str) {
        self.names.write(id, (maker, name.to_owned()));
    }
}

fn catalogs(Stage { a, b, .. }: &Stage, gate: Gate) -> [Catalog; 2] {
    let rows = [(1, (7, "a lamp".to_owned())), (2, (8, "a desk".to_owned()))];
    let names = Table::behind(gate, rows);
    [a, b].map(|cache| Catalog { cache: cache.clone(), names: names.clone() })
}

async fn each_form_is_a_hit_in_the_other_process(stage: &Stage) {
    let [a, b] = catalogs(stage, Gate::open());
    let lamp = Product { id: 1, maker: 7, name: "a lamp".to_owned() };
    for (process, reads) in [(&a, 1), (&b, 1)] {
        assert_eq!(process.product(1).await.unwrap().as_deref(), Some(&lamp));
        assert_eq!(a.names.reads(), reads);
    }
    for process in [&a, &b] {
        assert_eq!(process.product(9).await, Ok(None));
        assert_eq!(a.names.reads(), 2, "none is a value");
    }
    for process in [&a, &b] {
        assert_eq!(process.all().await.unwrap().len(), 2);
        assert_eq!(a.names.reads(), 4);
    }
    for process in [&a, &b] {
        assert_eq!(&*process.name(2).await, "a desk");
        assert_eq!(a.names.reads(), 5);
    }
    assert_eq!(b.product(0).await, Err(Closed));
    assert_eq!(a.product(0).await, Err(Closed));
    assert_eq!(a.names.reads(), 7, "an error is none");
}

async fn those_who_wait_share_what_is_computed(stage: &Stage) {
    let [a, b] = catalogs(stage, Gate::closed());
    let mut calls = JoinSet::new();
    for process in [&a, &b, &a, &b, &a, &b] {
        let process = process.clone();
        calls.spawn(async move { process.product(1).await });
    }
    a.names.gate().started(1).await;
    a.names.gate().let_all_go();
    for product in in_time("all have it", calls.join_all()).await {
        assert_eq!(product.unwrap().unwrap().name, "a lamp");
    }
    assert_eq!(a.names.reads(), 1);
}

async fn c1_a_rename_is_seen_behind_every_arc(stage: &Stage) {
    let [a, b] = catalogs(stage, Gate::open());
    for process in [&a, &b] {
        process.product(1).await.unwrap();
        process.all().await.unwrap();
        process.name(1).await;
    }
    assert_eq!(a.names.reads(), 4);
    b.rename(1, 7, "a lantern").await;
    for process in [&a, &b] {
        assert_eq!(process.product(1).await.unwrap().unwrap().name, "a lantern");
        assert_eq!(process.all().await.unwrap()[0].name, "a lantern");
        assert_eq!(&*process.name(1).await, "a lantern");
    }
    assert_eq!(a.names.reads(), 8, "once for each, in one of the two");
    a.cache.scope(invalidate_tags(["maker:7"])).await.unwrap();
    b.product(1).await.unwrap();
    assert_eq!(a.names.reads(), 9, "by a tag of what is in it");
}

async fn what_is_said_of_the_value_sees_into_the_arc(stage: &Stage) {
    let [a, b] = catalogs(stage, Gate::open());
    a.names.write(1, (7, String::new()));
    for (process, reads) in [(&a, 1), (&b, 2)] {
        assert_eq!(process.product(1).await.unwrap().unwrap().name, "");
        assert_eq!(a.names.reads(), reads, "a product without a name is not stored");
    }
    b.product_entry(1)
        .set(Some(Arc::new(Product { id: 1, maker: 7, name: "set".to_owned() })))
        .await
        .unwrap();
    assert_eq!(a.product(1).await.unwrap().unwrap().name, "set");
    assert_eq!(a.names.reads(), 2);
}

on_both!(
    each_form_is_a_hit_in_the_other_process,
    those_who_wait_share_what_is_computed,
    c1_a_rename_is_seen_behind_every_arc,
    what_is_said_of_the_value_sees_into_the_arc,
);

#[tokio::test(start_paused = true)]
async fn c3_none_ends_sooner_than_a_product() {
    let [a, _] = catalogs(&Stage::memory().await, Gate::open());
    a.product(9).await.unwrap();
    a.product(1).await.unwrap();
    tokio::time::advance(MINUTE).await;
    a.product(1).await.unwrap();
    assert_eq!(a.names.reads(), 2);
    a.product(9).await.unwrap();
    assert_eq!(a.names.reads(), 3);
}
