//! Documents that callers ask for on terms of their own: fetched now, not too old, not kept, not waited for, of
//! a certain version. The terms come in a struct, as handlers of requests hand them on.

use std::time::Duration;

use redis_cached::{Cache, redis_cached};
use redis_cached_tests::{Gate, eventually, in_time};
use serde::{Deserialize, Serialize};

use crate::stage::{MINUTE, SECOND, Stage, on_both};
use crate::table::Table;

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
struct Document {
    format: u32,
    version: u64,
}

/// What this release reads.
const FORMAT: u32 = 3;

#[derive(Clone, Debug, PartialEq, thiserror::Error)]
enum DocumentError {
    #[error("there is no such document")]
    NotFound,
    #[error("somebody is fetching it, come back later")]
    Busy,
}

/// How one caller wants it.
#[derive(Clone, Default)]
struct Terms {
    force: bool,
    is_crawler: bool,
    max_age: Option<Duration>,
}

#[derive(Clone)]
struct Documents {
    cache: Cache,
    documents: Table<String, Document>,
}

impl Documents {
    #[redis_cached(
        key = "document:{path}", ttl = "1h", jitter = "0%", wait = "5m", skip(self, terms), cache = self.cache,
        refresh_if = terms.force, no_store_if = terms.is_crawler, max_age = terms.max_age,
        accept_if = |document| document.format >= FORMAT
    )]
    async fn document(&self, path: &str, terms: &Terms) -> Result<Document, DocumentError> {
        self.fetch(path).await
    }

    /// For pages that can do without.
    #[redis_cached(
        key = "document:{path}", ttl = "1h", jitter = "0%", skip(self), cache = self.cache,
        same_entries_as = Documents::document, busy = last_seen.clone().ok_or(DocumentError::Busy)
    )]
    async fn at_once(
        &self,
        path: &str,
        last_seen: Option<Document>,
    ) -> Result<Document, DocumentError> {
        self.fetch(path).await
    }

    /// As the release before this one has it.
    #[redis_cached(
        key = "document:{path}", ttl = "1h", jitter = "0%", skip(self), cache = self.cache,
        same_entries_as = Documents::document
    )]
    async fn of_last_release(&self, path: &str) -> Result<Document, DocumentError> {
        Ok(Document { format: FORMAT - 1, ..self.fetch(path).await? })
    }

    /// For who has just written: a version that this caller knows of, or a later one.
    async fn at_least(&self, path: &str, version: u64) -> Result<Document, DocumentError> {
        let found = self.document(path, &Terms::default()).await?;
        if found.version >= version {
            return Ok(found);
        }
        self.document(path, &Terms { force: true, ..Terms::default() }).await
    }

    async fn fetch(&self, path: &str) -> Result<Document, DocumentError> {
        self.documents.read(&path.to_owned()).await.ok_or(DocumentError::NotFound)
    }

    /// The version that a caller without wishes gets.
    async fn version(&self, path: &str) -> u64 {
        self.version_on(path, Terms::default()).await
    }

    async fn version_on(&self, path: &str, terms: Terms) -> u64 {
        self.document(path, &terms).await.expect("it is there").version
    }

    async fn stored(&self, path: &str) -> Option<u64> {
        let peeked = self.document_entry(path).peek().await.expect("the store is there");
        peeked.map(|stored| stored.value.version)
    }

    fn write(&self, path: &str, version: u64) {
        self.documents.write(path.to_owned(), Document { format: FORMAT, version });
    }
}

fn forced() -> Terms {
    Terms { force: true, ..Terms::default() }
}

fn crawler() -> Terms {
    Terms { is_crawler: true, ..Terms::default() }
}

fn at_most(max_age: Duration) -> Terms {
    Terms { max_age: Some(max_age), ..Terms::default() }
}

/// One document, `/a`, in its first version.
fn processes(Stage { a, b, .. }: &Stage, gate: Gate) -> [Documents; 2] {
    let documents = Table::behind(gate, []);
    let both = [a, b].map(|cache| Documents { cache: cache.clone(), documents: documents.clone() });
    both[0].write("/a", 1);
    both
}

async fn who_forces_fetches_now_for_everybody(stage: &Stage) {
    let [a, b] = processes(stage, Gate::open());
    assert_eq!(a.version("/a").await, 1);
    a.write("/a", 2);
    assert_eq!(b.version("/a").await, 1);
    assert_eq!(b.version_on("/a", forced()).await, 2);
    assert_eq!(a.version("/a").await, 2);
    assert_eq!(a.documents.reads(), 2);
    assert_eq!(a.document("/b", &forced()).await, Err(DocumentError::NotFound));
    assert_eq!(a.documents.reads(), 3);
}

async fn a_crawler_takes_what_is_there_and_leaves_nothing(stage: &Stage) {
    let [a, b] = processes(stage, Gate::open());
    for reads in [1, 2] {
        assert_eq!(a.version_on("/a", crawler()).await, 1);
        assert_eq!((b.stored("/a").await, a.documents.reads()), (None, reads));
    }
    assert_eq!(b.version("/a").await, 1);
    a.write("/a", 2);
    assert_eq!(a.version_on("/a", crawler()).await, 1, "a hit");
    assert_eq!(a.documents.reads(), 3);
    // Not even one that wants it anew.
    let eager = Terms { force: true, ..crawler() };
    assert_eq!(a.version_on("/a", eager).await, 2);
    assert_eq!((b.stored("/a").await, a.documents.reads()), (Some(1), 4));
}

async fn c3_who_takes_nothing_old_has_it_fetched(stage: &Stage) {
    let [a, b] = processes(stage, Gate::open());
    assert_eq!(a.version("/a").await, 1);
    a.write("/a", 2);
    assert_eq!(b.version_on("/a", at_most(MINUTE * 30)).await, 1);
    // By the server's clock, which goes on by itself.
    let young = at_most(Duration::from_millis(1));
    eventually("it is too old", async || b.version_on("/a", young.clone()).await == 2).await;
    assert_eq!(a.version("/a").await, 2, "it was stored");
    assert_eq!(a.documents.reads(), 2);
}

async fn c6_a_format_that_is_not_read_is_fetched_anew(stage: &Stage) {
    let [a, b] = processes(stage, Gate::open());
    assert_eq!(a.of_last_release("/a").await.unwrap().format, FORMAT - 1);
    assert_eq!(b.of_last_release("/a").await.unwrap().format, FORMAT - 1);
    assert_eq!(a.documents.reads(), 1);
    let document = b.document("/a", &Terms::default()).await.unwrap();
    assert_eq!(document, Document { format: FORMAT, version: 1 });
    assert_eq!(a.documents.reads(), 2);
    // The release before reads what the next one writes.
    assert_eq!(a.of_last_release("/a").await, Ok(document.clone()));
    assert_eq!(a.document("/a", &Terms::default()).await, Ok(document));
    assert_eq!(a.documents.reads(), 2);
}

async fn who_knows_of_a_version_gets_that_or_a_later_one(stage: &Stage) {
    let [a, b] = processes(stage, Gate::open());
    assert_eq!(a.version("/a").await, 1);
    a.write("/a", 2);
    for (known, got, reads) in [(0, 1, 1), (1, 1, 1), (2, 2, 2), (1, 2, 2), (2, 2, 2), (3, 2, 3)] {
        let document = b.at_least("/a", known).await.unwrap();
        assert_eq!((document.version, a.documents.reads()), (got, reads), "{known}");
    }
    assert_eq!(a.version("/a").await, 2);
    assert_eq!(a.at_least("/b", 1).await, Err(DocumentError::NotFound));
}

async fn who_does_not_wait_is_answered_with_what_it_brought(stage: &Stage) {
    let [a, b] = processes(stage, Gate::closed());
    let leader = {
        let a = a.clone();
        tokio::spawn(async move { a.document("/a", &Terms::default()).await })
    };
    a.documents.gate().started(1).await;
    let last_seen = Document { format: FORMAT, version: 0 };
    for process in [&a, &b] {
        let answer = in_time("an answer", process.at_once("/a", Some(last_seen.clone()))).await;
        assert_eq!(answer, Ok(last_seen.clone()));
        let answer = in_time("an answer", process.at_once("/a", None)).await;
        assert_eq!(answer, Err(DocumentError::Busy));
        assert_eq!(process.stored("/a").await, None, "neither is stored");
    }
    a.documents.gate().let_all_go();
    assert_eq!(in_time("the leader", leader).await.unwrap().unwrap().version, 1);
    for process in [&a, &b] {
        assert_eq!(process.at_once("/a", Some(last_seen.clone())).await.unwrap().version, 1);
    }
    assert_eq!(a.documents.reads(), 1);
    // Where nobody is at it, it fetches like any other.
    assert_eq!(b.at_once("/b", Some(last_seen)).await, Err(DocumentError::NotFound));
    assert_eq!(a.documents.reads(), 2);
}

/// Whatever the terms, what began before an invalidation is not stored behind it.
async fn c1_a_forced_fetch_under_way_is_overtaken_by_an_invalidation(stage: &Stage) {
    for terms in [forced(), Terms::default(), at_most(SECOND), crawler()] {
        let [a, b] = processes(stage, Gate::closed());
        let change = async {
            a.documents.gate().started(1).await;
            a.write("/a", 2);
            b.document_entry("/a").invalidate().await.unwrap();
            a.documents.gate().let_all_go();
        };
        let (early, ()) = tokio::join!(a.version_on("/a", terms), change);
        assert_eq!((early, b.stored("/a").await), (1, None));
        assert_eq!(a.version("/a").await, 2);
        assert_eq!(b.version("/a").await, 2);
        assert_eq!(a.documents.reads(), 2);
        b.document_entry("/a").invalidate().await.unwrap();
    }
}

on_both! {
    who_forces_fetches_now_for_everybody,
    a_crawler_takes_what_is_there_and_leaves_nothing,
    c3_who_takes_nothing_old_has_it_fetched,
    c6_a_format_that_is_not_read_is_fetched_anew,
    who_knows_of_a_version_gets_that_or_a_later_one,
    who_does_not_wait_is_answered_with_what_it_brought,
    c1_a_forced_fetch_under_way_is_overtaken_by_an_invalidation,
}

#[tokio::test(start_paused = true)]
async fn c3_the_age_of_a_document_is_counted_from_its_fetch_on() {
    let [a, b] = processes(&Stage::memory().await, Gate::open());
    assert_eq!(a.version("/a").await, 1);
    a.write("/a", 2);
    tokio::time::advance(MINUTE * 30).await;
    assert_eq!(b.version_on("/a", at_most(MINUTE * 30)).await, 1);
    tokio::time::advance(Duration::from_millis(1)).await;
    // A crawler that wants it younger has it fetched for itself.
    let picky = Terms { is_crawler: true, ..at_most(MINUTE * 30) };
    assert_eq!((b.version_on("/a", picky).await, b.stored("/a").await), (2, Some(1)));
    assert_eq!(b.version("/a").await, 1, "old enough for others");
    assert_eq!(b.version_on("/a", at_most(MINUTE * 30)).await, 2);
    assert_eq!(a.version_on("/a", at_most(Duration::ZERO)).await, 2, "begun at this moment");
    assert_eq!(a.documents.reads(), 3);
}
