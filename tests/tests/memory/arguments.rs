//! What the arguments of the attribute do.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use redis_cached::{Cache, redis_cached};
use redis_cached_tests::Told;
use serde::{Deserialize, Serialize};
use tokio::time::Instant;

use crate::origin::{Origin, memory, settle};

const MINUTE: Duration = Duration::from_secs(60);

#[derive(Clone, Default)]
struct Config {
    ttl: Duration,
    asked: Arc<AtomicUsize>,
}

impl Config {
    fn ttl(&self) -> Duration {
        self.asked.fetch_add(1, Ordering::SeqCst);
        self.ttl
    }
}

#[redis_cached(
    key = "run-time:{id}", ttl = config.ttl(), refresh_before = "25%", jitter = "0%", skip(config, origin), cache = cache
)]
async fn by_config(cache: &Cache, config: &Config, origin: &Origin, id: u64) -> usize {
    origin.read().await
}

#[tokio::test(start_paused = true)]
async fn a_ttl_known_at_run_time_is_asked_for_when_a_body_runs() {
    let (cache, origin) = (memory().await, Origin::open());
    let config = Config { ttl: MINUTE, ..Config::default() };
    for _ in 0..5 {
        by_config(&cache, &config, &origin, 1).await;
    }
    assert_eq!(config.asked.load(Ordering::SeqCst), 1);
    let left = by_config_entry(&cache, &config, 1).ttl().await.unwrap();
    assert_eq!(left, Some(MINUTE));

    tokio::time::sleep(MINUTE * 3 / 4 + Duration::from_millis(1)).await;
    by_config(&cache, &config, &origin, 1).await;
    settle().await;
    assert_eq!(origin.bodies(), 2, "a stale hit, refreshed");
    tokio::time::sleep(MINUTE * 2).await;
    by_config(&cache, &config, &origin, 1).await;
    assert_eq!(origin.bodies(), 3, "c3: not served past its ttl");

    by_config_entry(&cache, &config, 2).set(7).await.unwrap();
    let left = by_config_entry(&cache, &config, 2).ttl().await.unwrap();
    assert_eq!(left, Some(MINUTE));
}

#[redis_cached(key = "spans:{id}", ttl = ttl, refresh_before = ttl / 2, jitter = "0%", skip(ttl, origin), cache = cache)]
async fn by_span(cache: &Cache, ttl: Duration, origin: Origin, id: u64) -> usize {
    origin.read().await
}

/// Catalogue 62.
#[tokio::test(start_paused = true)]
async fn durations_outside_of_what_is_allowed_are_clamped_and_warned_about_once() {
    let (told, cache, origin) = (Told::listen(), memory().await, Origin::open());
    for id in 0..3 {
        by_span(&cache, Duration::MAX, origin.clone(), id).await;
    }
    let left = by_span_entry(&cache, Duration::MAX, 1).ttl().await.unwrap().unwrap();
    assert!(left <= Duration::from_secs(3650 * 86_400), "{left:?}");
    by_span(&cache, Duration::ZERO, origin.clone(), 9).await;
    let text = told.text();
    assert_eq!(text.matches("known only at run time").count(), 1, "{text}");
    assert!(text.contains("`ttl` is outside"), "{text}");
    assert!(text.contains("by_span"), "{text}");
}

#[redis_cached(key = "leases:{id}", ttl = "1h", lock_ttl = lock_ttl, skip(lock_ttl, origin), cache = cache)]
async fn by_lease(cache: &Cache, lock_ttl: Duration, origin: &Origin, id: u64) -> usize {
    origin.read_slowly(Duration::from_millis(50)).await
}

/// A lease of no length would be over before its body is.
#[tokio::test(start_paused = true)]
async fn a_lease_time_known_at_run_time_is_long_enough_to_be_renewed() {
    let (cache, origin) = (memory().await, Origin::open());
    for _ in 0..2 {
        by_lease(&cache, Duration::ZERO, &origin, 1).await;
    }
    assert_eq!(origin.bodies(), 1, "stored under a lease of 100 ms");
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
struct Token {
    run: usize,
    complete: bool,
    lives: Duration,
}

#[redis_cached(
    key = "complete:{id}", ttl = "1h", refresh_before = "10m", jitter = "0%", skip(origin), cache = cache,
    cache_if = |token| token.complete
)]
async fn if_complete(cache: &Cache, origin: &Origin, id: u64) -> Result<Token, String> {
    let run = origin.read().await;
    Ok(Token { run, complete: run != 2, lives: MINUTE })
}

#[tokio::test(start_paused = true)]
async fn what_cache_if_refuses_is_returned_and_shared_and_drives_out_the_old_value() {
    let (cache, origin) = (memory().await, Origin::open());
    assert_eq!(if_complete(&cache, &origin, 1).await.unwrap().run, 1);
    origin.change();
    tokio::time::sleep(MINUTE * 51).await;
    assert_eq!(if_complete(&cache, &origin, 1).await.unwrap().run, 1, "a stale hit");
    settle().await;
    assert_eq!(origin.bodies(), 2);
    assert!(
        if_complete_entry(&cache, 1).peek().await.unwrap().is_none(),
        "the old one is outdated"
    );
    for expected in [3, 4] {
        assert_eq!(if_complete(&cache, &origin, 1).await.unwrap().run, 2);
        assert_eq!(origin.bodies(), expected, "not stored");
    }
    let token = Token { run: 9, complete: false, lives: MINUTE };
    let error = if_complete_entry(&cache, 2).set(token).await.unwrap_err();
    assert!(error.is_not_storable(), "{error}");
    origin.change();
    tokio::time::sleep(MINUTE).await;
    for _ in 0..2 {
        assert_eq!(if_complete(&cache, &origin, 1).await.unwrap().run, 3);
    }
    assert_eq!(origin.bodies(), 5, "stored again");
}

/// Nobody queues behind values that are not stored: those who came too late run side by side.
#[tokio::test(start_paused = true)]
async fn callers_of_what_is_not_stored_do_not_form_a_queue() {
    #[redis_cached(key = "never:{id}", ttl = "1h", skip(origin), cache = cache, cache_if = |_| false)]
    async fn never(cache: &Cache, origin: &Origin, id: u64) -> usize {
        origin.read_slowly(Duration::from_secs(1)).await
    }
    let (cache, origin) = (memory().await, Origin::open());
    let start = Instant::now();
    let calls = (0..100).map(|_| {
        let (cache, origin) = (cache.clone(), origin.clone());
        tokio::spawn(async move { never(&cache, &origin, 1).await })
    });
    for call in calls.collect::<Vec<_>>() {
        call.await.unwrap();
    }
    assert!(start.elapsed() <= Duration::from_secs(3), "{:?}", start.elapsed());
    assert!(origin.bodies() <= 3, "{} bodies", origin.bodies());
}

#[redis_cached(
    key = "accepted:{id}", ttl = "1h", skip(origin), cache = cache, accept_if = Token::is_complete
)]
async fn if_accepted(cache: &Cache, origin: &Origin, id: u64) -> Option<Token> {
    let run = origin.read().await;
    Some(Token { run, complete: run > 1, lives: MINUTE })
}

impl Token {
    #[expect(clippy::ref_option, reason = "what `accept_if` is given: the value, by reference")]
    fn is_complete(token: &Option<Self>) -> bool {
        token.as_ref().is_some_and(|token| token.complete)
    }
}

#[tokio::test(start_paused = true)]
async fn what_accept_if_refuses_is_computed_anew() {
    let (cache, origin) = (memory().await, Origin::open());
    if_accepted(&cache, &origin, 1).await;
    assert!(if_accepted_entry(&cache, 1).peek().await.unwrap().is_none(), "would not be served");
    if_accepted(&cache, &origin, 1).await;
    assert_eq!(origin.bodies(), 2);
    origin.change();
    for _ in 0..3 {
        if_accepted(&cache, &origin, 1).await;
    }
    assert_eq!(origin.bodies(), 3);
}

#[redis_cached(
    key = "token:{id}", ttl = "1h", refresh_before = "10s", jitter = "0%", skip(lives, origin), cache = cache,
    ttl_with = |token| token.lives
)]
async fn token(cache: &Cache, lives: Duration, origin: &Origin, id: u64) -> Result<Token, String> {
    Ok(Token { run: origin.read().await, complete: true, lives })
}

#[tokio::test(start_paused = true)]
async fn the_value_decides_how_long_it_lives() {
    let (cache, origin) = (memory().await, Origin::open());
    token(&cache, MINUTE, &origin, 1).await.unwrap();
    assert_eq!(token_entry(&cache, 1).ttl().await.unwrap(), Some(MINUTE));
    // Shorter than the window: it just is not refreshed.
    token(&cache, Duration::from_secs(5), &origin, 2).await.unwrap();
    assert_eq!(token_entry(&cache, 2).ttl().await.unwrap(), Some(Duration::from_secs(5)));
    token(&cache, MINUTE, &origin, 2).await.unwrap();
    settle().await;
    assert_eq!(origin.bodies(), 2);
    // Over already: returned, and not stored.
    token(&cache, Duration::ZERO, &origin, 3).await.unwrap();
    assert!(token_entry(&cache, 3).peek().await.unwrap().is_none());
    let value = Token { run: 0, complete: true, lives: MINUTE * 2 };
    token_entry(&cache, 4).set(value).await.unwrap();
    assert_eq!(token_entry(&cache, 4).ttl().await.unwrap(), Some(MINUTE * 2));
}

#[redis_cached(
    key = "flags:{id}", ttl = "1h", skip(origin, tx), cache = cache, bypass_if = tx.is_some(), refresh_if = force
)]
async fn flagged(cache: &Cache, origin: &Origin, tx: Option<&str>, id: u64, force: bool) -> usize {
    origin.read().await
}

#[tokio::test(start_paused = true)]
async fn bypass_if_touches_nothing_and_refresh_if_computes_and_stores() {
    let (cache, origin) = (memory().await, Origin::open());
    flagged(&cache, &origin, Some("open"), 1, false).await;
    assert!(flagged_entry(&cache, 1).peek().await.unwrap().is_none(), "nothing was stored");
    flagged(&cache, &origin, None, 1, false).await;
    let new = origin.change();
    assert_eq!(flagged(&cache, &origin, Some("open"), 1, false).await, new, "nothing was read");
    assert_eq!(flagged(&cache, &origin, None, 1, false).await, 1);
    assert_eq!(flagged(&cache, &origin, None, 1, true).await, new, "computed anew");
    assert_eq!(flagged(&cache, &origin, None, 1, false).await, new, "and stored");
    assert_eq!(origin.bodies(), 4);
}

#[redis_cached(
    key = "mail:{email}:{name}", ttl = "1h", skip(origin), cache = cache,
    normalize(email = email.trim().to_lowercase(), name = name.to_uppercase())
)]
#[expect(clippy::needless_lifetimes, reason = "a named lifetime is what is tested")]
async fn normalized<'a>(cache: &Cache, origin: &Origin, email: &'a str, name: String) -> String {
    origin.read().await;
    format!("{email} {name}")
}

#[tokio::test(start_paused = true)]
async fn a_normalized_argument_is_the_same_in_the_key_and_in_the_body() {
    let (cache, origin) = (memory().await, Origin::open());
    for email in ["Ada@example.org", " ada@example.org", "ADA@EXAMPLE.ORG "] {
        for name in ["ada", "Ada"] {
            let value = normalized(&cache, &origin, email, name.to_owned()).await;
            assert_eq!(value, "ada@example.org ADA");
        }
    }
    assert_eq!(origin.bodies(), 1);
    let entry = normalized_entry(&cache, " ADA@example.org", "aDa".to_owned());
    assert!(entry.peek().await.unwrap().is_some());
    normalized_refresh(&cache, &origin, "ADA@example.org", "a".to_owned()).await;
    assert!(
        normalized_entry(&cache, "ada@example.org", "A".to_owned()).peek().await.unwrap().is_some()
    );
}

#[redis_cached(key = "limited:{id}", ttl = "1h", max_concurrency = 3, wait = "1m", skip(origin), cache = cache)]
async fn limited(cache: &Cache, origin: &Origin, id: u64) -> usize {
    if id >= 1_000 {
        // Until as many bodies as can have their places.
        settle().await;
        // Inside a body of the same function, which has a place.
        return Box::pin(limited_within(cache.clone(), origin.clone(), id - 1_000)).await;
    }
    origin.read().await
}

fn limited_within(
    cache: Cache,
    origin: Origin,
    id: u64,
) -> std::pin::Pin<Box<dyn Future<Output = usize> + Send>> {
    Box::pin(async move { limited(&cache, &origin, id).await })
}

#[tokio::test(start_paused = true)]
async fn no_more_bodies_run_at_once_than_max_concurrency() {
    let (cache, origin) = (memory().await, Origin::gated());
    let calls: Vec<_> = (0..10)
        .map(|id| {
            let (cache, origin) = (cache.clone(), origin.clone());
            tokio::spawn(async move { limited(&cache, &origin, id).await })
        })
        .collect();
    for ended in 0..7 {
        settle().await;
        assert_eq!(origin.bodies(), 3 + ended);
        origin.let_through(1);
    }
    origin.let_through(3);
    for call in calls {
        call.await.unwrap();
    }
    assert_eq!(origin.bodies(), 10);
}

#[tokio::test(start_paused = true)]
async fn a_body_that_calls_its_own_function_needs_no_second_place() {
    let (cache, origin) = (memory().await, Origin::open());
    let start = Instant::now();
    let calls: Vec<_> = (0..5)
        .map(|id| {
            let (cache, origin) = (cache.clone(), origin.clone());
            tokio::spawn(async move { limited(&cache, &origin, 1_000 + id).await })
        })
        .collect();
    for call in calls {
        call.await.unwrap();
    }
    assert_eq!(start.elapsed(), Duration::ZERO);
}

/// Places come before leases: whoever waits for a place keeps no other process from computing.
#[tokio::test(start_paused = true)]
async fn a_caller_without_a_place_holds_no_lease_and_goes_on_after_wait() {
    #[redis_cached(key = "one-place:{id}", ttl = "1h", max_concurrency = 1, wait = "10s", skip(origin), cache = cache)]
    async fn one_place(cache: &Cache, origin: &Origin, id: u64) -> usize {
        origin.read().await
    }
    let (told, cache, origin) = (Told::listen(), memory().await, Origin::gated());
    let call = |id| {
        let (cache, origin) = (cache.clone(), origin.clone());
        tokio::spawn(async move { one_place(&cache, &origin, id).await })
    };
    let first = call(1);
    origin.body_started().await;
    let (second, third) = (call(2), call(3));
    let start = Instant::now();
    settle().await;
    // What 2 found before it waited is old news by then.
    one_place_entry(&cache, 2).set(7).await.unwrap();
    origin.body_started().await;
    assert_eq!(start.elapsed(), Duration::from_secs(10), "the first body hangs");
    assert_eq!(second.await.unwrap(), 7);
    assert!(told.text().contains("max_concurrency"), "{}", told.text());
    origin.let_through(2);
    first.await.unwrap();
    third.await.unwrap();
}

#[redis_cached(key = "parts:{pair.0}:{id.as_str()}:{region?}", ttl = "1h", skip(origin), cache = cache)]
async fn parts(
    cache: &Cache,
    origin: &Origin,
    pair: (u8, u8),
    id: &Id,
    region: Option<&str>,
) -> usize {
    origin.read().await
}

struct Id(String);

impl Id {
    fn as_str(&self) -> &str {
        &self.0
    }
}

#[tokio::test(start_paused = true)]
async fn none_and_an_empty_text_have_keys_of_their_own() {
    let (cache, origin) = (memory().await, Origin::open());
    let id = Id("a:b".to_owned());
    let mut keys = Vec::new();
    for region in [None, Some(""), Some("%none"), Some("none")] {
        parts(&cache, &origin, (1, 2), &id, region).await;
        keys.push(parts_entry(&cache, (1, 2), &id, region).key().to_owned());
    }
    assert_eq!(
        keys,
        [
            "cache:{parts:1:a%3Ab:%none}",
            "cache:{parts:1:a%3Ab:}",
            "cache:{parts:1:a%3Ab:%25none}",
            "cache:{parts:1:a%3Ab:none}"
        ]
    );
    assert_eq!(origin.bodies(), 4);
}

mod named {
    use super::{Cache, Origin, redis_cached};

    #[redis_cached(ttl = "1h", name = "shop.prices", skip(origin), cache = cache, vis = pub(super))]
    async fn price(cache: &Cache, origin: &Origin, id: u64, of: &str) -> usize {
        origin.read().await
    }

    #[redis_cached(
        key = "shop.prices:{id}:{of}", ttl = "1h", same_entries_as = price, skip(origin), cache = cache
    )]
    pub(super) async fn same(cache: &Cache, origin: &Origin, id: u64, of: &str) -> usize {
        origin.read().await
    }

    #[redis_cached(key = "shop.prices:{id}:{of}", ttl = "1h", skip(origin), cache = cache)]
    pub(super) async fn another(cache: &Cache, origin: &Origin, id: u64, of: &str) -> usize {
        origin.read().await
    }
}

#[tokio::test(start_paused = true)]
async fn a_name_is_the_key_and_functions_share_entries_where_they_say_so() {
    let (told, cache, origin) = (Told::listen(), memory().await, Origin::open());
    let entry = named::price_entry(&cache, 1, "a");
    assert_eq!(entry.key(), "cache:{shop.prices:1:a}");
    entry.set(7).await.unwrap();
    assert_eq!(named::same(&cache, &origin, 1, "a").await, 7);
    assert_eq!(told.text().matches("can meet under one key").count(), 0, "{}", told.text());
    assert_eq!(named::another(&cache, &origin, 1, "a").await, 1);
    assert_eq!(told.text().matches("can meet under one key").count(), 1, "{}", told.text());
    assert_eq!(named::same(&cache, &origin, 1, "a").await, 7, "kept behind the other's");
}

#[redis_cached(key = "meet:{id}", ttl = "1h", skip(origin), cache = cache)]
async fn meets_by_value(cache: &Cache, origin: &Origin, id: &str) -> usize {
    origin.read().await
}

#[redis_cached(key = "meet:all", ttl = "1h", skip(origin), cache = cache)]
async fn meets_by_text(cache: &Cache, origin: &Origin) -> String {
    origin.read().await.to_string()
}

/// Their templates differ, so it shows only when they meet.
/// Catalogue 50.
#[tokio::test(start_paused = true)]
async fn c6_functions_that_meet_under_one_key_are_told_and_not_served_each_others_values() {
    let (told, cache, origin) = (Told::listen(), memory().await, Origin::open());
    meets_by_value(&cache, &origin, "other").await;
    meets_by_text(&cache, &origin).await;
    assert!(!told.text().contains("can meet under one key"), "{}", told.text());
    assert_eq!(meets_by_value(&cache, &origin, "all").await, 1);
    let text = told.text();
    assert_eq!(text.matches("can meet under one key").count(), 1, "{text}");
    assert!(text.contains("meets_by_value") && text.contains("meets_by_text"), "{text}");
    assert_eq!(meets_by_text(&cache, &origin).await, "1");
}

#[redis_cached(
    key = "listed:{id}", ttl = "1h", refresh_before = "10%", max_concurrency = 4, near = "10s",
    tags = ["team:{id}", "size:{ret}"], cache = cache
)]
async fn listed(cache: &Cache, id: u64) -> Option<u8> {
    settle().await;
    (id > 0).then_some(1)
}

#[redis_cached(key = "uncalled:{id}", ttl = config.ttl(), skip(config), cache = cache)]
async fn uncalled(cache: &Cache, config: &Config, id: u64) -> u64 {
    settle().await;
    id
}

#[tokio::test(start_paused = true)]
async fn a_cache_lists_the_functions_that_it_has_seen() {
    let cache = memory().await;
    assert!(cache.functions().is_empty());
    listed(&cache, 1).await;
    let config = Config::default();
    let _ = uncalled_entry(&cache, &config, 1);
    let functions = cache.functions();
    assert_eq!(functions.len(), 2);
    let (listed, uncalled) = (&functions[0], &functions[1]);
    assert_eq!(listed.path(), "memory::arguments::listed");
    assert_eq!(listed.template(), "listed:{id}");
    assert_eq!(listed.tags(), ["team:{id}", "size:{ret}"]);
    assert_eq!(listed.ttl(), Some(MINUTE * 60));
    assert_eq!(listed.refresh_before(), Some(MINUTE * 6));
    assert_eq!(listed.value_type(), Some("core::option::Option<u8>"));
    assert_eq!(
        listed.to_string(),
        "memory::arguments::listed  listed:{id}  ttl 3600s, refreshed 10% before, 4 at once  \
         tags team:{id}, size:{ret}  → core::option::Option<u8>"
    );
    assert_eq!((uncalled.ttl(), uncalled.value_type()), (None, None));
    assert!(uncalled.to_string().contains("ttl by its arguments"), "{uncalled}");
}
