//! Letters that lie in the store as they lie in the database, under a key that the store never sees.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use redis_cached::{Cache, redis_cached, redis_invalidate};
use redis_cached_tests::{Gate, in_time};
use serde::{Deserialize, Serialize};
use tokio::task::JoinSet;

use crate::stage::{Stage, on_both, refreshed};
use crate::table::Table;

/// Stands for a cipher with integrity. Each key can open what it has sealed.
#[derive(Clone)]
struct Cipher {
    key: u8,
    opened: Arc<AtomicUsize>,
}

/// A row.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
struct Sealed {
    key: u8,
    bytes: Vec<u8>,
}

/// What nobody may store: it is no `Serialize`, and is only made of what has been opened.
#[derive(Debug, PartialEq)]
struct Letter(String);

#[derive(Clone, Debug, PartialEq, thiserror::Error)]
enum MailError {
    #[error("sealed with another key")]
    OtherKey,
    #[error("no such letter")]
    Missing,
}

impl Cipher {
    fn new(key: u8) -> Self {
        Self { key, opened: Arc::default() }
    }

    fn seal(&self, text: &str) -> Sealed {
        Sealed { key: self.key, bytes: text.bytes().map(|byte| byte ^ self.key).collect() }
    }

    fn open(&self, Sealed { key, bytes }: Sealed) -> Result<Letter, MailError> {
        self.opened.fetch_add(1, Ordering::SeqCst);
        if key != self.key {
            return Err(MailError::OtherKey);
        }
        let bytes = bytes.into_iter().map(|byte| byte ^ self.key).collect();
        String::from_utf8(bytes).map(Letter).map_err(|_| MailError::OtherKey)
    }

    fn opened(&self) -> usize {
        self.opened.load(Ordering::SeqCst)
    }
}

#[derive(Clone)]
struct Mail {
    cache: Cache,
    rows: Table<u32, String>,
}

impl Mail {
    #[redis_cached(
        key = "letter:{id}", ttl = "1h", refresh_before = "20m", jitter = "0%", skip(self, cipher), cache = self.cache,
        stored = Sealed, save = |letter| cipher.seal(&letter.0), load = |sealed| cipher.open(sealed)
    )]
    async fn letter(&self, cipher: &Cipher, id: u32) -> Result<Letter, MailError> {
        let text = self.rows.read(&id).await.ok_or(MailError::Missing)?;
        cipher.open(cipher.seal(&text))
    }

    #[redis_invalidate(self.letter(cipher, id), cache = self.cache, on_failure = "retry")]
    async fn rewrite(&self, cipher: &Cipher, id: u32, text: &str) {
        self.rows.write(id, text.to_owned());
    }
}

fn offices(Stage { a, b, .. }: &Stage, gate: Gate) -> [Mail; 2] {
    let rows = Table::behind(gate, [(1, "dear reader".to_owned())]);
    [a, b].map(|cache| Mail { cache: cache.clone(), rows: rows.clone() })
}

async fn a_hit_is_opened_by_who_asks(stage: &Stage) {
    let [a, b] = offices(stage, Gate::open());
    let (mine, theirs) = (Cipher::new(42), Cipher::new(42));
    assert_eq!(a.letter(&mine, 1).await.unwrap().0, "dear reader");
    for nth in 1..=3 {
        assert_eq!(b.letter(&theirs, 1).await.unwrap().0, "dear reader");
        assert_eq!((theirs.opened(), a.rows.reads()), (nth, 1));
    }
    assert_eq!(mine.opened(), 1, "by the body only");
    let stored = stage.stored().await.concat();
    assert!(!stored.contains("dear"), "{stored}");
    assert_eq!(b.letter(&theirs, 9).await, Err(MailError::Missing));
}

async fn c6_who_cannot_open_it_asks_the_database(stage: &Stage) {
    let [a, b] = offices(stage, Gate::open());
    let (old, new) = (Cipher::new(42), Cipher::new(43));
    a.letter(&old, 1).await.unwrap();
    for (process, cipher, reads) in [(&b, &new, 2), (&a, &new, 2), (&b, &old, 3)] {
        assert_eq!(process.letter(cipher, 1).await.unwrap().0, "dear reader");
        assert_eq!(a.rows.reads(), reads, "key {}", cipher.key);
    }
}

async fn those_who_share_a_body_open_what_it_has_sealed(stage: &Stage) {
    let [a, b] = offices(stage, Gate::closed());
    let cipher = Cipher::new(42);
    let mut calls = JoinSet::new();
    for process in [&a, &b, &a, &b] {
        let (process, cipher) = (process.clone(), cipher.clone());
        calls.spawn(async move { process.letter(&cipher, 1).await });
    }
    a.rows.gate().started(1).await;
    a.rows.gate().let_all_go();
    for letter in in_time("all have it", calls.join_all()).await {
        assert_eq!(letter.unwrap().0, "dear reader");
    }
    assert_eq!((a.rows.reads(), cipher.opened()), (1, 4));
}

async fn c1_what_is_rewritten_is_sealed_anew(stage: &Stage) {
    let [a, b] = offices(stage, Gate::open());
    let cipher = Cipher::new(42);
    a.letter(&cipher, 1).await.unwrap();
    b.rewrite(&cipher, 1, "dear friend").await;
    for process in [&a, &b] {
        assert_eq!(process.letter(&cipher, 1).await.unwrap().0, "dear friend");
    }
    assert_eq!(a.rows.reads(), 2);
}

async fn a_refresh_seals_and_handles_open(stage: &Stage) {
    let [a, b] = offices(stage, Gate::open());
    let cipher = Cipher::new(42);
    a.letter(&cipher, 1).await.unwrap();
    a.rows.write(1, "dear friend".to_owned());
    let entry = b.letter_entry(&cipher, 1);
    entry.expire().await.unwrap();
    assert_eq!(b.letter(&cipher, 1).await.unwrap().0, "dear reader", "stale");
    refreshed(&entry_of(&a, &cipher)).await;
    assert_eq!(entry.peek().await.unwrap().unwrap().value.0, "dear friend");
    entry.set(Letter("set".to_owned())).await.unwrap();
    assert_eq!(a.letter(&cipher, 1).await.unwrap().0, "set");
    assert_eq!(a.rows.reads(), 2);
    assert!(b.letter_entry(&Cipher::new(43), 1).peek().await.unwrap().is_none());
}

fn entry_of(mail: &Mail, cipher: &Cipher) -> redis_cached::Entry<Letter> {
    mail.letter_entry(cipher, 1).of_value()
}

on_both!(
    a_hit_is_opened_by_who_asks,
    c6_who_cannot_open_it_asks_the_database,
    those_who_share_a_body_open_what_it_has_sealed,
    c1_what_is_rewritten_is_sealed_anew,
    a_refresh_seals_and_handles_open,
);
