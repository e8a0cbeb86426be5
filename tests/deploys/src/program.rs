//! The program, of which there are two builds: it differs in `crate::product` alone.
//!
//! It calls without a pause and obeys `invalidate N`, which it acknowledges, and `count`, upon which it says how often it
//! has called, and how many of its bodies have run.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use redis::AsyncCommands;
use redis::aio::MultiplexedConnection;
use redis_cached::{Cache, redis_cached};
use redis_cached_tests::{orders, tell};

use crate::product::Product;

pub(crate) const PRODUCTS: u64 = 20;
pub(crate) const TTL: Duration = Duration::from_secs(2);
const CALLERS: u64 = 8;
const PAUSE: Duration = Duration::from_millis(2);

/// Where products come from, and what has been acknowledged of them: hashes of the server, from number to version.
#[derive(Clone)]
pub(crate) struct Origin {
    pub(crate) redis: MultiplexedConnection,
    bodies: Arc<AtomicU64>,
}

impl Origin {
    pub(crate) async fn at(url: &str) -> Self {
        let client = redis::Client::open(url).expect("a url");
        let redis = client.get_multiplexed_async_connection().await.expect("the server is there");
        Self { redis, bodies: Arc::default() }
    }

    /// The newest version whose invalidation was acknowledged.
    async fn acknowledged(&self, id: u64) -> u64 {
        version(&self.redis, "acknowledged", id).await
    }
}

async fn version(redis: &MultiplexedConnection, hash: &str, id: u64) -> u64 {
    let version: Option<u64> = redis.clone().hget(hash, id).await.expect("the server is there");
    version.unwrap_or(0)
}

#[redis_cached(key = "product:{id}", ttl = TTL, wait = "1m", cache = cache, skip(cache, origin))]
pub(crate) async fn product(id: u64, cache: &Cache, origin: &Origin) -> Product {
    origin.bodies.fetch_add(1, Ordering::Relaxed);
    Product::of(id, version(&origin.redis, "products", id).await)
}

pub(crate) async fn connect(url: &str) -> Cache {
    let patience = Duration::from_secs(20);
    let builder = Cache::builder().url(url).namespace("storefront");
    let builder = builder.deadline(patience).connect_timeout(patience);
    builder.build().await.expect("the server is there")
}

/// Until the parent ends.
pub(crate) async fn run() {
    let url = std::env::var("SERVER").expect("the parent says where the server is");
    let (cache, origin) = (connect(&url).await, Origin::at(&url).await);
    product(0, &cache, &origin).await;
    tell(&cache.functions()[0].path());
    let calls: Arc<AtomicU64> = Arc::default();
    for caller in 0..CALLERS {
        let (cache, origin, calls) = (cache.clone(), origin.clone(), calls.clone());
        tokio::spawn(async move {
            for call in caller.. {
                check(call % PRODUCTS, &cache, &origin).await;
                calls.fetch_add(1, Ordering::Relaxed);
                tokio::time::sleep(PAUSE).await;
            }
        });
    }
    let mut orders = orders();
    while let Some(order) = orders.recv().await {
        if let Some(("invalidate", id)) = order.split_once(' ') {
            let id = id.parse().expect("a number");
            product_entry(id, &cache).invalidate().await.expect("the server is there");
            tell("invalidated");
        } else {
            let bodies = origin.bodies.load(Ordering::Relaxed);
            tell(&format!("{} {bodies}", calls.load(Ordering::Relaxed)));
        }
    }
}

/// Says so where a call is served what was invalidated before, or what another build has stored.
async fn check(id: u64, cache: &Cache, origin: &Origin) {
    let acknowledged = origin.acknowledged(id).await;
    let product = product(id, cache, origin).await;
    if product.version < acknowledged {
        tell(&format!("{product:?} is served, and {acknowledged} was acknowledged before"));
    }
    if product != Product::of(id, product.version) {
        tell(&format!("{product:?} is none of this build's"));
    }
}
