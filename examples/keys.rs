//! How arguments become keys, printed. `cargo run --example keys` needs no server; the rules behind it
//! are in `docs/choosing-a-key.md`.

#![expect(clippy::unused_async, reason = "what these bodies would wait for is left out")]

use std::error::Error;
use std::time::Duration;

use redis_cached::{Cache, redis_cached};
use serde::{Deserialize, Serialize};

#[derive(Clone)]
struct Db; // your pool

#[redis_cached(key = "user:{id}", ttl = "5m", skip(db))]
async fn load_user(db: &Db, id: u64) -> String {
    let _ = db;
    format!("user {id}")
}

/// The body sees the address as the key does: trimmed, and in lower case.
#[redis_cached(
    key = "account:{email}", ttl = "5m", refresh_before = "20%", normalize(email = email.trim().to_lowercase())
)]
async fn account(email: &str) -> String {
    format!("the account of {email}")
}

/// Of an `Option`, `None` and an empty text differ.
#[redis_cached(key = "prices:{region?}", ttl = "1h")]
async fn prices(region: Option<String>) -> Vec<u32> {
    vec![region.map_or(100, |_| 90)]
}

#[redis_cached(key = "route:{from}:{to}", ttl = "1h")]
async fn route(from: &str, to: &str) -> String {
    format!("{from} → {to}")
}

struct UserId(u64);

#[derive(Clone, Copy)]
enum Plan {
    Paid,
}

impl Plan {
    fn as_str(self) -> &'static str {
        match self {
            Self::Paid => "paid",
        }
    }
}

/// A field, and a method without arguments.
#[redis_cached(key = "quota:{plan.as_str()}:{user.0}", ttl = "1h")]
async fn quota(plan: Plan, user: UserId) -> u64 {
    user.0 * plan.as_str().len() as u64
}

struct Request {
    path: String,
    lang: String,
    trace_id: u64,
}

/// A new field of the request does not compile until it is here.
#[redis_cached(key = "page:{path}|{lang}", ttl = "1m", skip(trace_id))]
async fn page(Request { path, lang, trace_id }: Request) -> String {
    let _ = trace_id;
    format!("{path} in {lang}")
}

trait Record: Default + Serialize + for<'de> Deserialize<'de> + Send + 'static {
    const KIND: &'static str;
}

#[derive(Default, Serialize, Deserialize)]
struct Invoice;

impl Record for Invoice {
    const KIND: &'static str = "invoice";
}

/// Types are named by you, since their names in the compiler are not stable.
#[redis_cached(key = "record:{T::KIND}:{N}:{id}", ttl = "5m")]
async fn record<T: Record, const N: usize>(id: u64) -> T {
    let _ = id;
    T::default()
}

struct Orders {
    tenant: String,
}

impl Orders {
    #[redis_cached(key = "order:{self.tenant}:{id}", ttl = "5m")]
    async fn load(&self, id: u64) -> String {
        format!("order {id} of {}", self.tenant)
    }
}

/// A flag that asks for a new value is not in the key.
#[redis_cached(key = "report:{id}", ttl = "1h", refresh_if = force)]
async fn report(id: u64, force: bool) -> String {
    format!("report {id}")
}

/// Without a key: the path of the function, and all arguments.
#[redis_cached(ttl = "5m")]
async fn stock(id: u64, store: Option<u32>) -> u64 {
    id + store.map_or(0, u64::from)
}

/// With a name: the same, wherever the function moves.
#[redis_cached(ttl = "5m", name = "shop.weight")]
async fn weight(id: u64) -> u64 {
    id
}

#[redis_cached(key = "search:{q}:{page}", ttl = "1m", clearable, normalize(page = page.max(1)))]
async fn search(q: &str, page: u32) -> Vec<String> {
    vec![format!("{q}, page {page}")]
}

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let cache = Cache::builder().url("memory://").namespace("shop").build().await?;
    redis_cached::init(cache.clone())?;

    println!("keys");
    // A handle is for the arguments that form the key: no `db`, no `trace_id`.
    row("load_user(&db, 42)", load_user_entry(42).key());
    row("account(\" Ada@Example.org\")", account_entry(" Ada@Example.org").key());
    row("prices(None)", prices_entry(None).key());
    row("prices(Some(\"\"))", prices_entry(Some(String::new())).key());
    row("prices(Some(\"eu\"))", prices_entry(Some("eu".to_owned())).key());
    row("route(\"a:b\", \"c\")", route_entry("a:b", "c").key());
    row("route(\"a\", \"b:c\")", route_entry("a", "b:c").key());
    row("quota(Plan::Paid, UserId(7))", quota_entry(Plan::Paid, UserId(7)).key());
    let request = Request { path: "/about us".to_owned(), lang: "de".to_owned(), trace_id: 1 };
    row("page(request)", page_entry(request).key());
    row("record::<Invoice, 2>(7)", record_entry::<Invoice, 2>(7).key());
    let orders = Orders { tenant: "acme".to_owned() };
    row("orders.load(7)", orders.load_entry(7).key());
    row("report(7, true)", report_entry(7).key());
    row("stock(7, None)", stock_entry(7, None).key());
    row("weight(7)", weight_entry(7).key());
    row("search(a long text, 1)", search_entry(&"long ".repeat(100), 1).key());

    println!("\nall pages of all searches, taken back at once");
    for (q, page) in [("desk", 0), ("desk", 1), ("lamp", 1)] {
        search(q, page).await;
    }
    stored("before").await?;
    search_all().invalidate().await?;
    stored("after").await?;

    // At the start of a service: the map of what it caches. It knows what has been used.
    load_user(&Db, 42).await;
    account("ada@example.org").await;
    println!("\ncache.functions()");
    for function in cache.functions() {
        println!("  {function}");
    }
    cache.shutdown(Duration::from_secs(1)).await?;
    Ok(())
}

async fn stored(when: &str) -> Result<(), redis_cached::Error> {
    let pages = [search_entry("desk", 1), search_entry("lamp", 1)];
    let mut stored = 0;
    for page in &pages {
        stored += usize::from(page.peek().await?.is_some());
    }
    row(when, &format!("{stored} of {} stored", pages.len()));
    Ok(())
}

fn row(call: &str, key: &str) {
    println!("  {call:<30}  {key}");
}
