//! What the shop reads and writes. Reads are cached; the write invalidates what it changes.

use std::time::Duration;

use redis_cached::redis_cached;
use rusqlite::OptionalExtension;
use serde::{Deserialize, Serialize};

use crate::db::Db;

/// How many best sellers are stored.
pub(crate) const MOST_BEST_SELLERS: usize = 100;

#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Product {
    id: u32,
    name: String,
    category: String,
    price_cents: u32,
}

#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct BestSeller {
    id: u32,
    name: String,
    price_cents: u32,
    units: u64,
    revenue_cents: u64,
}

/// What became of a new price.
pub(crate) enum NewPrice {
    UnknownProduct,
    Set,
    /// It is in the database, but readers may see the old one until the stored entries end.
    SetButCached(redis_cached::Error),
}

impl Db {
    /// A product. That there is none is stored too, so that wrong links don't reach the database.
    ///
    /// The database handle does not influence the value: `skip(self)`. A background refresh works
    /// with a clone of it.
    #[redis_cached(
        key = "product:{id}",
        ttl = "5m",
        refresh_before = "30s",
        none_ttl = "30s",
        skip(self)
    )]
    pub(crate) async fn product(&self, id: u32) -> anyhow::Result<Option<Product>> {
        self.run(move |connection| {
            connection
                .prepare_cached(
                    "SELECT id, name, category, price_cents FROM products WHERE id = ?1",
                )?
                .query_row([id], |row| {
                    Ok(Product {
                        id: row.get(0)?,
                        name: row.get(1)?,
                        category: row.get(2)?,
                        price_cents: row.get(3)?,
                    })
                })
                .optional()
        })
        .await
    }

    /// The products with the highest revenue, at most [`MOST_BEST_SELLERS`].
    ///
    /// One entry serves every `limit`: a hundred rows cost the query no more than ten, and a write
    /// has one entry to invalidate.
    #[redis_cached(key = "best-sellers", ttl = "1m", refresh_before = "20s", skip(self))]
    pub(crate) async fn best_sellers(&self) -> anyhow::Result<Vec<BestSeller>> {
        self.run(|connection| {
            connection
                .prepare_cached(
                    "WITH sold AS (
                         SELECT product_id, SUM(quantity) AS units,
                                SUM(quantity * unit_price_cents) AS revenue_cents
                         FROM order_lines GROUP BY product_id
                         ORDER BY revenue_cents DESC, product_id LIMIT ?1
                     )
                     SELECT id, name, price_cents, units, revenue_cents
                     FROM sold JOIN products ON id = product_id
                     ORDER BY revenue_cents DESC, id",
                )?
                .query_map([MOST_BEST_SELLERS], |row| {
                    Ok(BestSeller {
                        id: row.get(0)?,
                        name: row.get(1)?,
                        price_cents: row.get(2)?,
                        units: row.get(3)?,
                        revenue_cents: row.get(4)?,
                    })
                })?
                .collect()
        })
        .await
    }

    /// Sets a price: first in the database, and once that is committed, out of the cache.
    ///
    /// Never the other way round: a read between the two would store the old price again.
    pub(crate) async fn set_price(&self, id: u32, price_cents: u32) -> anyhow::Result<NewPrice> {
        let changed = self
            .run(move |connection| {
                connection
                    .prepare_cached("UPDATE products SET price_cents = ?2 WHERE id = ?1")?
                    .execute([id, price_cents])
            })
            .await?;
        if changed == 0 {
            return Ok(NewPrice::UnknownProduct);
        }
        Ok(match forget_price(id).await {
            Ok(()) => NewPrice::Set,
            Err(error) => NewPrice::SetButCached(error),
        })
    }
}

/// Invalidates every entry that shows the product's price; tries three times, which is always safe.
async fn forget_price(id: u32) -> Result<(), redis_cached::Error> {
    let mut pauses = [100, 400].map(Duration::from_millis).into_iter();
    loop {
        let (product, report) = (Db::product_entry(id), Db::best_sellers_entry());
        let (product, report) = tokio::join!(product.invalidate(), report.invalidate());
        match (product.and(report), pauses.next()) {
            (Err(_), Some(pause)) => tokio::time::sleep(pause).await,
            (result, _) => return result,
        }
    }
}
