//! A shop whose questions have parts of all kinds: options, lists, structs, what people type, and a secret.
//! Every answer repeats its question, so that one which was meant for another shows.

use std::collections::{BTreeMap, BTreeSet};

use redis_cached::{Cache, redis_cached};
use redis_cached_tests::{Gate, Told};
use serde::{Deserialize, Serialize};

use crate::stage::{Stage, on_both};

type Answer = Vec<String>;

#[derive(Clone, Debug, Default, Serialize, Deserialize)]
struct Filter {
    colours: Vec<String>,
    at_most: Option<u64>,
    labels: BTreeMap<String, Option<bool>>,
}

/// Neither `Display` nor `Debug`.
#[derive(Serialize)]
struct ApiKey(String);

/// What a handler takes out of a request.
struct Listing<'r> {
    category: &'r str,
    page: u32,
    trace_id: u64,
}

struct Shop {
    cache: Cache,
    bodies: Gate,
}

fn sorted(ids: &[u64]) -> Vec<u64> {
    ids.iter().copied().collect::<BTreeSet<_>>().into_iter().collect()
}

impl Shop {
    #[redis_cached(key = "prices:{region?}:{skus:hash}", ttl = "1h", skip(self), cache = self.cache)]
    async fn prices(&self, region: Option<&str>, skus: &[u32]) -> Answer {
        self.bodies.pass().await;
        vec![format!("{region:?}"), format!("{skus:?}")]
    }

    #[redis_cached(
        key = "search:{query}:{filter:hash}", ttl = "1h", skip(self), cache = self.cache,
        normalize(query = query.trim().to_lowercase())
    )]
    async fn search(&self, query: &str, filter: &Filter) -> Answer {
        self.bodies.pass().await;
        vec![query.to_owned(), format!("{filter:?}")]
    }

    #[redis_cached(
        key = "together:{ids:hash}", ttl = "1h", skip(self), cache = self.cache, normalize(ids = sorted(ids))
    )]
    async fn together(&self, ids: &[u64]) -> Answer {
        self.bodies.pass().await;
        vec![format!("{ids:?}")]
    }

    #[redis_cached(key = "account:{key:hash}", ttl = "1h", skip(self), cache = self.cache)]
    async fn account(&self, key: &ApiKey) -> Answer {
        self.bodies.pass().await;
        vec![key.0.len().to_string()]
    }

    #[redis_cached(key = "listing:{category}:{page}", ttl = "1h", skip(self, trace_id), cache = self.cache)]
    async fn listing(&self, Listing { category, page, trace_id }: Listing<'_>) -> Answer {
        self.bodies.pass().await;
        vec![category.to_owned(), page.to_string(), trace_id.to_string()]
    }

    fn bodies(&self) -> usize {
        self.bodies.runs()
    }
}

fn shops(Stage { a, b, .. }: &Stage) -> [Shop; 2] {
    let bodies = Gate::open();
    [a, b].map(|cache| Shop { cache: cache.clone(), bodies: bodies.clone() })
}

async fn c6_what_is_not_given_and_what_is_empty_are_two_questions(stage: &Stage) {
    let [a, b] = shops(stage);
    let regions = [None, Some(""), Some("eu"), Some("none"), Some("%none"), Some("%"), Some("eu:")];
    let lists: [&[u32]; 6] = [&[], &[0], &[1, 2], &[2, 1], &[12], &[1, 2, 2]];
    for process in [&a, &b, &a] {
        for region in regions {
            for skus in lists {
                let expected = [format!("{region:?}"), format!("{skus:?}")];
                assert_eq!(process.prices(region, skus).await, expected);
            }
        }
        assert_eq!(a.bodies(), regions.len() * lists.len());
    }
    b.prices_entry(Some(""), &[1, 2]).invalidate().await.unwrap();
    for (region, bodies) in [(None, 42), (Some("eu"), 42), (Some(""), 43), (Some(""), 43)] {
        a.prices(region, &[1, 2]).await;
        assert_eq!(a.bodies(), bodies, "{region:?}");
    }
}

fn filters() -> Vec<Filter> {
    let none = Filter::default();
    let colours = |colours: &[&str]| colours.iter().map(|&colour| colour.to_owned()).collect();
    let label = |value| BTreeMap::from([("sale".to_owned(), value)]);
    vec![
        Filter { colours: colours(&["red", "blue"]), ..none.clone() },
        Filter { colours: colours(&["blue", "red"]), ..none.clone() },
        Filter { colours: colours(&["redblue"]), ..none.clone() },
        Filter { colours: colours(&[""]), ..none.clone() },
        Filter { at_most: Some(0), ..none.clone() },
        Filter { at_most: Some(u64::MAX), ..none.clone() },
        Filter { labels: label(None), ..none.clone() },
        Filter { labels: label(Some(false)), ..none.clone() },
        none,
    ]
}

async fn c6_every_part_of_a_struct_counts(stage: &Stage) {
    let [a, b] = shops(stage);
    for process in [&a, &b] {
        for filter in filters() {
            let expected = ["lamp".to_owned(), format!("{filter:?}")];
            assert_eq!(process.search("lamp", &filter).await, expected);
        }
        assert_eq!(a.bodies(), 9);
    }
    // One that has been sent is the same when it arrives.
    for filter in filters() {
        let sent = serde_json::to_string(&filter).unwrap();
        let arrived: Filter = serde_json::from_str(&sent).unwrap();
        b.search("lamp", &arrived).await;
    }
    assert_eq!(a.bodies(), 9);
}

async fn c1_all_spellings_are_one_question(stage: &Stage) {
    let ([a, b], filter) = (shops(stage), Filter::default());
    let spellings = ["Red Lamp", "  red lamp", "RED LAMP\n", "red lamp"];
    for spelling in spellings {
        assert_eq!(a.search(spelling, &filter).await[0], "red lamp");
        assert_eq!(b.search(spelling, &filter).await[0], "red lamp");
    }
    assert_eq!(a.bodies(), 1);
    assert_eq!(a.search("redlamp", &filter).await[0], "redlamp");
    assert_eq!(a.bodies(), 2);
    for (at, spelling) in spellings.into_iter().enumerate() {
        b.search_entry(spelling, &filter).invalidate().await.unwrap();
        a.search("red lamp", &filter).await;
        assert_eq!(a.bodies(), 3 + at, "{spelling:?}");
    }

    for ids in [&[3, 1, 2][..], &[1, 2, 3], &[2, 2, 3, 1, 1]] {
        assert_eq!(b.together(ids).await, ["[1, 2, 3]"], "the body sees what the key says");
    }
    assert_eq!(a.bodies(), 7);
    b.together_entry(&[2, 3, 1]).invalidate().await.unwrap();
    assert!(a.together_entry(&[1, 2, 3]).peek().await.unwrap().is_none());
}

async fn what_only_traces_a_request_is_no_part_of_the_question(stage: &Stage) {
    let [a, b] = shops(stage);
    let listing = |category, page, trace_id| Listing { category, page, trace_id };
    assert_eq!(a.listing(listing("lamps", 1, 7)).await, ["lamps", "1", "7"]);
    assert_eq!(b.listing(listing("lamps", 1, 8)).await, ["lamps", "1", "7"]);
    assert_eq!(b.listing(listing("lamps", 2, 9)).await, ["lamps", "2", "9"]);
    assert_eq!(b.listing(listing("lamps:1", 2, 9)).await, ["lamps:1", "2", "9"]);
    assert_eq!(a.bodies(), 3);
    a.listing_entry(listing("lamps", 1, 0)).invalidate().await.unwrap();
    assert_eq!(b.listing(listing("lamps", 1, 8)).await, ["lamps", "1", "8"]);
}

async fn a_secret_stands_in_no_key_and_no_line_of_a_log(stage: &Stage) {
    let (told, [a, b]) = (Told::listen(), shops(stage));
    let (own, other) = (ApiKey("sk-hunter2-first".to_owned()), ApiKey("sk-hunter2".to_owned()));
    assert_eq!(a.account(&own).await, ["16"]);
    assert_eq!(b.account(&own).await, ["16"]);
    assert_eq!(a.account(&other).await, ["10"]);
    assert_eq!(a.bodies(), 2);
    let entry = b.account_entry(&own);
    entry.expire().await.unwrap();
    assert_eq!(b.account_refresh(&own).await, ["16"]);
    let mut seen = vec![entry.key().to_owned(), format!("{entry:?}"), told.text()];
    seen.extend(stage.stored().await);
    assert!(seen[0].starts_with("services:{account:"), "{}", seen[0]);
    for text in seen {
        assert!(!text.contains("hunter2"), "{text}");
    }
    entry.invalidate().await.unwrap();
    a.account(&own).await;
    assert_eq!(b.account(&other).await, ["10"]);
    assert_eq!(a.bodies(), 4);
}

on_both! {
    c6_what_is_not_given_and_what_is_empty_are_two_questions,
    c6_every_part_of_a_struct_counts,
    c1_all_spellings_are_one_question,
    what_only_traces_a_request_is_no_part_of_the_question,
    a_secret_stands_in_no_key_and_no_line_of_a_log,
}
