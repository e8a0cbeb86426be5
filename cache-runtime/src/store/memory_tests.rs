//! The steps of the protocol, one by one.

use super::super::Old;
use super::*;
use crate::codec;
use crate::codec::compression::Compressed;
use crate::entry::{Label, Life, Written};

const LOCK: Duration = Duration::from_secs(5);

fn key() -> Key {
    Key::render("ns", &[]).unwrap()
}

fn sealed(store: &Memory, fingerprint: u64, payload: &[u8]) -> Vec<u8> {
    ending(store, fingerprint, payload, 60_000, 0)
}

fn ending(store: &Memory, fingerprint: u64, payload: &[u8], after: u64, kept: u64) -> Vec<u8> {
    let now = store.now();
    let (ttl_end, end) = (now + after, now + after + kept);
    let life = Life { born_at: now, due_at: now + after / 2, ttl_end, end };
    let written = Written { codec: codec::Id::Bincode, is_error: false };
    let key = &key();
    let compressed = Compressed::Not;
    let (none, stamps, integrity) = (false, &[][..], None);
    let label = Label { life, fingerprint, key, written, compressed, none, stamps, integrity };
    entry::seal(&label, payload)
}

fn get(store: &Memory) -> Vec<u8> {
    store.read(&key(), &[]).0.to_vec()
}

fn granted(take: Take) -> String {
    match take {
        Take::Granted(granted) => granted.content,
        other => panic!("not granted: {other:?}"),
    }
}

fn store_value(store: &Memory, fingerprint: u64, payload: &[u8]) -> Vec<u8> {
    let content = store.seize(&key(), "setter", LOCK, Seize::Newer(None)).unwrap().content;
    let bytes = sealed(store, fingerprint, payload);
    assert_eq!(store.commit(&key(), &content, &bytes, false), Commit::Stored);
    bytes
}

#[tokio::test(start_paused = true)]
async fn a_take_is_for_one_and_for_the_value_that_was_judged() {
    let store = Memory::new(1 << 20);
    let content = granted(store.take(&key(), &Judged::ABSENT, "one", LOCK));
    assert_eq!(store.take(&key(), &Judged::ABSENT, "two", LOCK), Take::Held(content.clone()));
    // The same request, sent again.
    assert_eq!(granted(store.take(&key(), &Judged::ABSENT, "one", LOCK)), content);
    store.release(&key(), &Claim::Content(content));

    let stored = store_value(&store, 1, b"value");
    assert_eq!(store.take(&key(), &Judged::ABSENT, "three", LOCK), Take::Changed);
    granted(store.take(&key(), &Judged::of(&stored), "three", LOCK));
}

#[tokio::test(start_paused = true)]
async fn a_lease_of_the_same_token_is_another_lease() {
    let store = Memory::new(1 << 20);
    let first = granted(store.take(&key(), &Judged::ABSENT, "one", LOCK));
    store.invalidate(&[key()]);
    let second = granted(store.take(&key(), &Judged::ABSENT, "one", LOCK));
    assert_ne!(first, second);
    let bytes = sealed(&store, 1, b"old");
    assert_eq!(store.commit(&key(), &first, &bytes, false), Commit::Refused);
    assert!(!store.renew(&key(), &first, LOCK));
    store.pass(&key(), &first, LOCK, Old::Serves);
    store.release(&key(), &Claim::Content(first));
    assert!(store.renew(&key(), &second, LOCK), "what was not the caller's was touched");
}

#[tokio::test(start_paused = true)]
async fn a_commit_is_refused_without_its_lease_and_late_after_its_end() {
    let store = Memory::new(1 << 20);
    let content = granted(store.take(&key(), &Judged::ABSENT, "one", LOCK));
    // Also where it would be kept for longer.
    let bytes = ending(&store, 1, b"value", 0, 60_000);
    assert_eq!(store.commit(&key(), &content, &bytes, false), Commit::Late);
    tokio::time::advance(LOCK).await;
    let bytes = sealed(&store, 1, b"value");
    assert_eq!(store.commit(&key(), &content, &bytes, false), Commit::Refused);
    assert!(get(&store).is_empty());
}

#[tokio::test(start_paused = true)]
async fn expire_and_invalidate_end_the_lease() {
    let store = Memory::new(1 << 20);
    for expire in [true, false] {
        let stored = store_value(&store, 1, b"value");
        let content = granted(store.take(&key(), &Judged::of(&stored), "one", LOCK));
        if expire {
            store.expire(&key());
        } else {
            store.invalidate(&[key()]);
        }
        let bytes = sealed(&store, 1, b"late");
        assert_eq!(store.commit(&key(), &content, &bytes, false), Commit::Refused);
        assert_eq!(get(&store).is_empty(), !expire);
    }
}

#[tokio::test(start_paused = true)]
async fn a_commit_keeps_one_entry_of_another_fingerprint_and_both_end_at_the_earlier_end() {
    let store = Memory::new(1 << 20);
    let theirs = store_value(&store, 1, b"theirs");
    tokio::time::advance(Duration::from_secs(20)).await;
    let mine = store_value(&store, 2, b"mine");
    assert_eq!(get(&store), [mine, theirs].concat());
    assert_eq!(store.remaining(&key()), Some(Duration::from_secs(40)));
    let newer = store_value(&store, 3, b"a third one's");
    assert_eq!(get(&store).len(), newer.len() + entry::HEADER + b"mine".len());
    // The one that ended first is gone, and so is its end.
    assert_eq!(store.remaining(&key()), Some(Duration::from_secs(60)));
    tokio::time::advance(Duration::from_secs(60)).await;
    assert!(get(&store).is_empty());
}

#[tokio::test(start_paused = true)]
async fn failures_in_a_row_double_the_marker_up_to_the_longest() {
    let store = Memory::new(1 << 20);
    for seconds in [1, 2, 4, 5, 5] {
        let content = granted(store.take(&key(), &Judged::ABSENT, "one", LOCK));
        store.pass(&key(), &content, LOCK, Old::Serves);
        tokio::time::advance(Duration::from_millis(seconds * 1000 - 1)).await;
        let taken = store.take(&key(), &Judged::ABSENT, "two", LOCK);
        assert_eq!(taken, Take::Pass(Old::Serves), "{seconds} s");
        tokio::time::advance(Duration::from_millis(1)).await;
    }
    // A value ends the row.
    store_value(&store, 1, b"value");
    store.invalidate(&[key()]);
    let content = granted(store.take(&key(), &Judged::ABSENT, "one", LOCK));
    store.pass(&key(), &content, LOCK, Old::Stays);
    tokio::time::advance(Duration::from_secs(1)).await;
    granted(store.take(&key(), &Judged::ABSENT, "two", LOCK));
}

#[tokio::test(start_paused = true)]
async fn what_is_kept_is_there_past_its_ttl_and_with_another_until_the_earlier_end() {
    let store = Memory::new(1 << 20);
    let lives = [(1, 10_000, 50_000), (2, 20_000, 10_000)];
    for (fingerprint, after, kept) in lives {
        let content = store.seize(&key(), "setter", LOCK, Seize::Newer(None)).unwrap().content;
        let bytes = ending(&store, fingerprint, b"value", after, kept);
        assert_eq!(store.commit(&key(), &content, &bytes, false), Commit::Stored);
    }
    tokio::time::advance(Duration::from_millis(29_990)).await;
    let stored = get(&store);
    assert_eq!(stored.len(), 2 * (entry::HEADER + 5));
    tokio::time::advance(Duration::from_millis(20)).await;
    assert!(get(&store).is_empty());
}

#[tokio::test(start_paused = true)]
async fn what_ends_soonest_goes_first_when_the_store_is_full() {
    let store = Memory::new(3 * (entry::HEADER + 1000));
    let keys: Vec<Key> = (0..4u64)
        .map(|id| {
            let segments = [crate::key::Segment(crate::key::Piece::Value(&id))];
            Key::render("ns", &segments).unwrap()
        })
        .collect();
    for (key, seconds) in keys.iter().zip([40, 10, 30, 20]) {
        let content = store.seize(key, "setter", LOCK, Seize::Newer(None)).unwrap().content;
        let bytes = ending(&store, 1, &[7; 1000], seconds * 1000, 0);
        assert_eq!(store.commit(key, &content, &bytes, false), Commit::Stored);
    }
    let kept: Vec<bool> = keys.iter().map(|key| !store.read(key, &[]).0.is_empty()).collect();
    assert_eq!(kept, [true, false, true, true]);
}
