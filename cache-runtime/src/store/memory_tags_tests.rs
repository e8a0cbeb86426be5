//! Tags: their steps.

use super::*;

const LIFE: Duration = Duration::from_secs(180);

fn key() -> Key {
    Key::render("ns", &[]).unwrap()
}

fn tag(name: &'static str) -> Tag {
    Tag::named("ns", name)
}

fn one(store: &Memory, tag: &Tag, random: &str) -> Nonce {
    store.capture(std::slice::from_ref(tag), random, LIFE).remove(0)
}

fn read(store: &Memory, tag: &Tag) -> Option<Nonce> {
    store.read(&key(), std::slice::from_ref(tag)).1.remove(0)
}

#[tokio::test(start_paused = true)]
async fn a_capture_makes_what_is_missing_and_keeps_what_is_there() {
    let (store, a, b) = (Memory::new(1 << 20), tag("a"), tag("b"));
    assert_eq!(read(&store, &a), None);
    let first = one(&store, &a, "one");
    assert_eq!(read(&store, &a), Some(first.clone()));
    // Another's, and the same sent again.
    for random in ["two", "one"] {
        let both = store.capture(&[b.clone(), a.clone()], random, LIFE);
        assert_eq!(both[1], first);
        assert_eq!(read(&store, &b), Some(both[0].clone()));
    }
    assert!(store.capture(&[], "one", LIFE).is_empty());
}

/// Catalogue 18.
#[tokio::test(start_paused = true)]
async fn c1_a_nonce_never_comes_back() {
    let (store, a) = (Memory::new(1 << 20), tag("a"));
    let first = one(&store, &a, "one");
    store.touch_tags(std::slice::from_ref(&a), Touch::Invalidate);
    assert_eq!(read(&store, &a), None);
    // The very request that made it arrives once more, in the same microsecond.
    assert_ne!(one(&store, &a, "one"), first);
}

#[tokio::test(start_paused = true)]
async fn a_tag_lives_as_long_as_the_longest_that_was_asked_for() {
    let (store, a) = (Memory::new(1 << 20), tag("a"));
    let first = one(&store, &a, "one");
    tokio::time::advance(LIFE / 2).await;
    assert_eq!(one(&store, &a, "two"), first, "extended");
    store.capture(std::slice::from_ref(&a), "three", LIFE / 10);
    tokio::time::advance(Duration::from_millis(179_999)).await;
    assert_eq!(read(&store, &a), Some(first), "and not shortened");
    tokio::time::advance(Duration::from_millis(1)).await;
    assert_eq!(read(&store, &a), None);
}
