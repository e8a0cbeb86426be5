//! Tags that can't be kept: the value is not stored, and a warning says so.

use std::fmt;

use redis_cached::{Cache, redis_cached, tag};
use redis_cached_tests::Told;
use serde::{Deserialize, Serialize};

use crate::origin::{Origin, memory};

#[redis_cached(key = "inner", ttl = "1h", tags = ["inner"], cache = cache, skip(cache, origin))]
async fn inner(cache: &Cache, origin: &Origin) -> usize {
    origin.read().await
}

#[redis_cached(key = "outer", ttl = "1h", cache = cache, skip(cache, other, origin))]
async fn outer(cache: &Cache, other: &Cache, origin: &Origin) -> usize {
    inner(other, origin).await
}

/// A tag is invalidated in one cache: what depends on it in another would not know.
#[tokio::test(start_paused = true)]
async fn c1_what_is_made_of_another_caches_tagged_values_is_not_stored_and_told() {
    let (told, one, other, origin) =
        (Told::listen(), memory().await, memory().await, Origin::open());
    // Computed inside, and then a hit inside.
    for _ in 0..2 {
        assert_eq!(outer(&one, &other, &origin).await, 1);
        assert!(outer_entry(&one).peek().await.unwrap().is_none());
    }
    origin.change();
    other.invalidate_tags(["inner"]).await.unwrap();
    assert_eq!(outer(&one, &other, &origin).await, 2);
    assert_eq!(
        told.text().matches("a tagged function of another cache").count(),
        1,
        "{}",
        told.text()
    );
    // Within one cache it is as any other.
    assert_eq!(outer(&other, &other, &origin).await, 2);
    assert!(outer_entry(&other).peek().await.unwrap().is_some());
}

/// Can be stored, and not always written.
#[derive(Clone, Copy, Serialize, Deserialize)]
struct Shy(bool);

impl fmt::Display for Shy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.0 { f.write_str("here") } else { Err(fmt::Error) }
    }
}

#[redis_cached(key = "shy", ttl = "1h", tags = ["shy:{ret}"], cache = cache, skip(cache, shows))]
async fn shy(cache: &Cache, shows: bool) -> Shy {
    tag("any");
    tokio::task::yield_now().await;
    Shy(shows)
}

/// By hand too: without its tag it could not be invalidated.
#[tokio::test(start_paused = true)]
async fn c1_a_value_whose_tag_cannot_be_written_is_not_stored_and_told() {
    let (told, cache) = (Told::listen(), memory().await);
    shy(&cache, false).await;
    assert!(shy_entry(&cache).peek().await.unwrap().is_none());
    assert_eq!(told.text().matches("in a tag has failed").count(), 1, "{}", told.text());
    let refused = shy_entry(&cache).set(Shy(false)).await.unwrap_err();
    assert!(refused.is_not_storable(), "{refused}");
    assert!(refused.to_string().contains("in a tag has failed"), "{refused}");
    shy_entry(&cache).set(Shy(true)).await.unwrap();
    assert!(shy_entry(&cache).peek().await.unwrap().is_some());
}
