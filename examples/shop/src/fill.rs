//! Fills a new database with products and orders, the same ones each time.

use std::time::{Duration, Instant};

use rusqlite::{Connection, Transaction, TransactionBehavior};

const PRODUCTS: u32 = 100_000;
const ORDER_LINES: u32 = 1_000_000;

const SCHEMA: &str = "
    CREATE TABLE products (
        id INTEGER PRIMARY KEY,
        name TEXT NOT NULL,
        category TEXT NOT NULL,
        price_cents INTEGER NOT NULL
    );
    CREATE TABLE order_lines (
        id INTEGER PRIMARY KEY,
        product_id INTEGER NOT NULL REFERENCES products (id),
        quantity INTEGER NOT NULL,
        unit_price_cents INTEGER NOT NULL
    );
    PRAGMA user_version = 1;
";

/// Fills the database, unless that is done already.
///
/// All in one transaction: a start that is killed leaves an empty database, never half a one.
pub(crate) fn fill(connection: &mut Connection, scale: f64) -> rusqlite::Result<()> {
    // Another process that was started together with this one may be filling it: wait, then look.
    connection.busy_timeout(Duration::from_secs(120))?;
    let transaction = connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
    let version: u32 = transaction.pragma_query_value(None, "user_version", |row| row.get(0))?;
    if version > 0 {
        return Ok(());
    }
    let start = Instant::now();
    let (products, lines) = (scaled(PRODUCTS, scale), scaled(ORDER_LINES, scale));
    let mut random = Random(42);
    transaction.execute_batch(SCHEMA)?;
    let prices = add_products(&transaction, products, &mut random)?;
    eprintln!("filling the database: {products} products");
    add_order_lines(&transaction, lines, &prices, &mut random)?;
    transaction.commit()?;
    eprintln!("filled it in {:.1?}", start.elapsed());
    Ok(())
}

#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "the scale is 10 at most, and a fraction of a row is none"
)]
fn scaled(rows: u32, scale: f64) -> u32 {
    (f64::from(rows) * scale) as u32
}

fn add_products(
    transaction: &Transaction<'_>,
    count: u32,
    random: &mut Random,
) -> rusqlite::Result<Vec<u32>> {
    const LOOKS: [&str; 8] = ["Blue", "Folding", "Large", "Oak", "Quiet", "Red", "Small", "Steel"];
    const THINGS: [(&str, &str); 8] = [
        ("Chair", "furniture"),
        ("Desk", "furniture"),
        ("Kettle", "kitchen"),
        ("Lamp", "lighting"),
        ("Pan", "kitchen"),
        ("Rug", "textiles"),
        ("Shelf", "furniture"),
        ("Towel", "textiles"),
    ];
    let mut insert = transaction.prepare("INSERT INTO products VALUES (?1, ?2, ?3, ?4)")?;
    (1..=count)
        .map(|id| {
            let look = random.one_of(&LOOKS);
            let (thing, category) = random.one_of(&THINGS);
            let price_cents = 99 + 100 * random.below(200);
            insert.execute((id, format!("{look} {thing} {id}"), category, price_cents))?;
            Ok(price_cents)
        })
        .collect()
}

fn add_order_lines(
    transaction: &Transaction<'_>,
    count: u32,
    prices: &[u32],
    random: &mut Random,
) -> rusqlite::Result<()> {
    let mut insert = transaction.prepare("INSERT INTO order_lines VALUES (?1, ?2, ?3, ?4)")?;
    let products = u32::try_from(prices.len()).expect("there are fewer products than 2^32");
    for id in 1..=count {
        // A few products sell much, most sell little, and which ones does not follow from the id.
        let mut rank = random.below(products);
        rank = random.below(rank + 1);
        rank = random.below(rank + 1);
        let index = u64::from(rank) * 7_919 % u64::from(products);
        let price = prices[usize::try_from(index).expect("an index of `prices`")];
        insert.execute((id, index + 1, 1 + random.below(3), price))?;
        if id % 250_000 == 0 {
            eprintln!("filling the database: {id} of {count} order lines");
        }
    }
    Ok(())
}

/// `SplitMix64`: a few lines, and the same numbers everywhere.
struct Random(u64);

impl Random {
    fn below(&mut self, end: u32) -> u32 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut bits = self.0;
        bits = (bits ^ (bits >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        bits = (bits ^ (bits >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        bits ^= bits >> 31;
        // The upper half of a product of two 32-bit numbers is below each of them.
        let scaled = ((bits >> 32) * u64::from(end)) >> 32;
        u32::try_from(scaled).expect("below a u32")
    }

    fn one_of<T: Copy>(&mut self, all: &[T]) -> T {
        let count = u32::try_from(all.len()).expect("a short list");
        all[self.below(count) as usize]
    }
}
