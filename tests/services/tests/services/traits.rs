//! Repositories behind `dyn`: a trait as `async_trait` makes it, implementations for any number of back ends, a
//! decorator around any repository, and a trait whose own methods are cached.

use std::sync::Arc;

use async_trait::async_trait;
use redis_cached::{Cache, redis_cached, redis_invalidate};
use redis_cached_tests::Gate;
use serde::{Deserialize, Serialize};

use crate::stage::{Stage, on_both, refreshed};
use crate::table::Table;

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
struct Article {
    title: String,
    from: String,
}

#[derive(Clone, Debug, PartialEq, thiserror::Error)]
enum RepoError {
    #[error("no such article")]
    NotFound,
}

#[async_trait]
trait Articles: Send + Sync {
    async fn find(&self, id: u64) -> Result<Article, RepoError>;
    async fn titles(&self, ids: &[u64]) -> Result<Vec<String>, RepoError>;
    async fn rename(&self, id: u64, title: &str) -> Result<(), RepoError>;
}

trait Backend: Clone + Send + Sync + 'static {
    const NAME: &'static str;
}

#[derive(Clone)]
struct Postgres;

#[derive(Clone)]
struct Sqlite;

impl Backend for Postgres {
    const NAME: &'static str = "postgres";
}

impl Backend for Sqlite {
    const NAME: &'static str = "sqlite";
}

/// Caches itself.
#[derive(Clone)]
struct Remote<B> {
    cache: Cache,
    titles: Table<u64, String>,
    _backend: B,
}

#[redis_cached::methods]
#[async_trait]
impl<B: Backend> Articles for Remote<B> {
    #[redis_cached(
        key = "article:{B::NAME}:{id}", ttl = "1h", refresh_before = "10m", skip(self), cache = self.cache,
        tags = ["article:{id}"]
    )]
    async fn find(&self, id: u64) -> Result<Article, RepoError> {
        let title = self.titles.read(&id).await.ok_or(RepoError::NotFound)?;
        Ok(Article { title, from: B::NAME.to_owned() })
    }

    #[redis_cached(
        key = "titles:{B::NAME}:{ids:hash}", ttl = "1h", skip(self), cache = self.cache
    )]
    async fn titles(&self, ids: &[u64]) -> Result<Vec<String>, RepoError> {
        let mut titles = Vec::new();
        for &id in ids {
            titles.push(self.find(id).await?.title);
        }
        Ok(titles)
    }

    #[redis_invalidate(tags = ["article:{id}"], cache = self.cache, on_failure = "retry")]
    async fn rename(&self, id: u64, title: &str) -> Result<(), RepoError> {
        tokio::task::yield_now().await;
        self.titles.write(id, title.to_owned());
        Ok(())
    }
}

/// Does not know of any cache.
struct Plain {
    of: &'static str,
    titles: Table<u64, String>,
}

#[async_trait]
impl Articles for Plain {
    async fn find(&self, id: u64) -> Result<Article, RepoError> {
        let title = self.titles.read(&id).await.ok_or(RepoError::NotFound)?;
        Ok(Article { title, from: self.of.to_owned() })
    }

    async fn titles(&self, ids: &[u64]) -> Result<Vec<String>, RepoError> {
        Ok(ids.iter().map(u64::to_string).collect())
    }

    async fn rename(&self, id: u64, title: &str) -> Result<(), RepoError> {
        self.titles.write(id, title.to_owned());
        Ok(())
    }
}

/// Caches for whatever repository is inside, of which it knows a name.
struct Cached<R: ?Sized> {
    cache: Cache,
    name: &'static str,
    inner: Box<R>,
}

#[async_trait]
#[redis_cached::methods]
impl<R: Articles + ?Sized> Articles for Cached<R> {
    #[redis_cached(key = "cached:{self.name}:{id}", ttl = "1h", skip(R), cache = self.cache)]
    async fn find(&self, id: u64) -> Result<Article, RepoError> {
        self.inner.find(id).await
    }

    async fn titles(&self, ids: &[u64]) -> Result<Vec<String>, RepoError> {
        self.inner.titles(ids).await
    }

    #[redis_invalidate(self.find(id), on_failure = "retry")]
    async fn rename(&self, id: u64, title: &str) -> Result<(), RepoError> {
        self.inner.rename(id, title).await
    }
}

/// What implementors have for nothing.
#[redis_cached::methods]
trait Greeter: Sync {
    const LANGUAGE: &'static str;

    fn gate(&self) -> &Gate;

    #[redis_cached(key = "greeting:{Self::LANGUAGE}:{name}", ttl = "1h", skip(self))]
    async fn greeting(&self, name: &str) -> String {
        self.gate().pass().await;
        format!("{} {name}", Self::LANGUAGE)
    }
}

struct German(Gate);
struct Turkish(Gate);

impl Greeter for German {
    const LANGUAGE: &'static str = "Hallo";

    fn gate(&self) -> &Gate {
        &self.0
    }
}

impl Greeter for Turkish {
    const LANGUAGE: &'static str = "Merhaba";

    fn gate(&self) -> &Gate {
        &self.0
    }
}

/// What a handler holds.
struct Service {
    articles: Box<dyn Articles>,
}

impl Service {
    async fn title(&self, id: u64) -> String {
        self.articles.find(id).await.expect("it is there").title
    }
}

fn titles() -> Table<u64, String> {
    Table::new([(1, "one".to_owned()), (2, "two".to_owned())])
}

fn remote<B: Backend>(cache: &Cache, titles: &Table<u64, String>, backend: B) -> Remote<B> {
    Remote { cache: cache.clone(), titles: titles.clone(), _backend: backend }
}

fn article(title: &str, from: &str) -> Article {
    Article { title: title.to_owned(), from: from.to_owned() }
}

async fn c1_a_write_behind_dyn_is_final_in_every_process(Stage { a, b, .. }: &Stage) {
    let rows = titles();
    let services =
        [a, b].map(|cache| Service { articles: Box::new(remote(cache, &rows, Postgres)) });
    let [one, other] = &services;
    assert_eq!(one.title(1).await, "one");
    assert_eq!(other.title(1).await, "one");
    assert_eq!(other.articles.titles(&[1, 2]).await.unwrap(), ["one", "two"]);
    assert_eq!(one.articles.titles(&[1, 2]).await.unwrap(), ["one", "two"]);
    assert_eq!(rows.reads(), 2);
    other.articles.rename(1, "uno").await.unwrap();
    assert_eq!(one.title(1).await, "uno");
    assert_eq!(other.articles.titles(&[1, 2]).await.unwrap(), ["uno", "two"]);
    assert_eq!(one.articles.titles(&[1, 2]).await.unwrap(), ["uno", "two"]);
    assert_eq!(rows.reads(), 3);
    for reads in [4, 5] {
        assert_eq!(one.articles.find(9).await, Err(RepoError::NotFound));
        assert_eq!(rows.reads(), reads);
    }
}

async fn c6_each_back_end_has_entries_of_its_own(Stage { a, b, .. }: &Stage) {
    let (here, there) = (titles(), Table::new([(1, "eins".to_owned())]));
    let all: [Arc<dyn Articles>; 3] = [
        Arc::new(remote(a, &here, Postgres)),
        Arc::new(remote(b, &there, Sqlite)),
        Arc::new(remote(b, &here, Postgres)),
    ];
    for _ in 0..2 {
        assert_eq!(all[0].find(1).await, Ok(article("one", "postgres")));
        assert_eq!(all[1].find(1).await, Ok(article("eins", "sqlite")));
        assert_eq!(all[2].find(1).await, Ok(article("one", "postgres")));
    }
    assert_eq!((here.reads(), there.reads()), (1, 1));
    // Of the concrete type, since a trait object has no handles.
    remote(b, &here, Postgres).find_entry(1).invalidate().await.unwrap();
    assert_eq!(all[1].find(1).await, Ok(article("eins", "sqlite")));
    assert_eq!(all[0].find(1).await, Ok(article("one", "postgres")));
    assert_eq!((here.reads(), there.reads()), (2, 1));
}

async fn a_refresh_runs_behind_dyn(Stage { a, b, .. }: &Stage) {
    let rows = titles();
    let service = Service { articles: Box::new(remote(a, &rows, Sqlite)) };
    assert_eq!(service.title(1).await, "one");
    rows.write(1, "uno".to_owned());
    let entry = remote(b, &rows, Sqlite).find_entry(1).of_value();
    entry.expire().await.unwrap();
    assert_eq!(service.title(1).await, "one", "stale");
    refreshed(&entry).await;
    assert_eq!(service.title(1).await, "uno");
    assert_eq!(rows.reads(), 2);
}

async fn c1_a_decorator_caches_for_whatever_is_inside(Stage { a, b, .. }: &Stage) {
    let (rows, others) = (titles(), titles());
    let plain = |of, rows: &Table<_, _>| Plain { of, titles: rows.clone() };
    let inside: Box<dyn Articles> = Box::new(plain("blog", &rows));
    let of_any = Cached { cache: a.clone(), name: "blog", inner: inside };
    let of_one = Cached { cache: b.clone(), name: "news", inner: Box::new(plain("news", &others)) };
    let services = [Service { articles: Box::new(of_any) }, Service { articles: Box::new(of_one) }];
    let [blog, news] = &services;
    for _ in 0..2 {
        assert_eq!(blog.articles.find(1).await, Ok(article("one", "blog")));
        assert_eq!(news.articles.find(1).await, Ok(article("one", "news")));
    }
    assert_eq!((rows.reads(), others.reads()), (1, 1));
    blog.articles.rename(1, "uno").await.unwrap();
    assert_eq!(blog.articles.find(1).await, Ok(article("uno", "blog")));
    assert_eq!(news.articles.find(1).await, Ok(article("one", "news")));
    assert_eq!((rows.reads(), others.reads()), (2, 1));
    assert_eq!(blog.articles.titles(&[1]).await.unwrap(), ["1"], "past the cache");
}

async fn c1_what_implementors_inherit_is_cached_for_each(Stage { a, b, .. }: &Stage) {
    let (german, turkish) = (German(Gate::open()), Turkish(Gate::open()));
    for cache in [a, b] {
        assert_eq!(cache.scope(german.greeting("Ada")).await, "Hallo Ada");
        assert_eq!(cache.scope(turkish.greeting("Ada")).await, "Merhaba Ada");
    }
    assert_eq!((german.0.runs(), turkish.0.runs()), (1, 1));
    b.scope(async { German::greeting_entry("Ada").invalidate().await }).await.unwrap();
    a.scope(german.greeting("Ada")).await;
    a.scope(turkish.greeting("Ada")).await;
    assert_eq!((german.0.runs(), turkish.0.runs()), (2, 1));
}

on_both! {
    c1_a_write_behind_dyn_is_final_in_every_process,
    c6_each_back_end_has_entries_of_its_own,
    a_refresh_runs_behind_dyn,
    c1_a_decorator_caches_for_whatever_is_inside,
    c1_what_implementors_inherit_is_cached_for_each,
}
