//! On a file of each test's own; in one process with the embedded store, and in two with a Redis.

use std::future::{Future, poll_fn};
use std::path::PathBuf;
use std::pin::pin;
use std::sync::atomic::Ordering;
use std::task::Poll;
use std::time::Duration;

use redis_cached::{Cache, redis_cached};
use redis_cached_tests::{Gate, PATIENCE, RedisServer, eventually};
use sqlite_example::songs::{
    self, ChangeError, MOST, Song, StartPage, count, newest, playlist, song, start_page,
};
use sqlite_example::transaction::in_transaction;
use sqlite_example::{App, migrate, options};
use sqlx::SqlitePool;
use sqlx::error::DatabaseError;
use sqlx::sqlite::{SqliteConnectOptions, SqliteJournalMode};
use tempfile::TempDir;
use tokio::task::JoinSet;

const LIST: i64 = 7;

#[derive(Clone, Copy)]
enum Store {
    Memory,
    Redis,
}

/// A service in two processes, or in one that has two parts.
struct Stage {
    here: App,
    there: App,
    /// Ended with the test.
    _server: Option<RedisServer>,
    folder: TempDir,
}

impl Stage {
    /// Two songs, in one playlist.
    async fn new(store: Store) -> Self {
        Self::of_file(store, |file| file, Duration::from_secs(5)).await
    }

    /// In the mode of old a commit waits for readers. So long, in what is here.
    async fn without_wal(store: Store, patience: Duration) -> Self {
        Self::of_file(store, |file| file.journal_mode(SqliteJournalMode::Delete), patience).await
    }

    async fn of_file(
        store: Store,
        mode: fn(SqliteConnectOptions) -> SqliteConnectOptions,
        patience: Duration,
    ) -> Self {
        let server = matches!(store, Store::Redis).then(RedisServer::start);
        let url = server.as_ref().map_or_else(|| "memory://".to_owned(), RedisServer::url);
        let cache = async || Cache::builder().url(&*url).build().await.expect("the server is up");
        let here = cache().await;
        // An embedded store that is built twice is two stores.
        let there = if server.is_some() { cache().await } else { here.clone() };

        let folder = TempDir::new().expect("a temporary folder");
        let file = mode(options(&path(&folder)));
        let pool = async |file| SqlitePool::connect_with(file).await.expect("it is opened");
        let here = App::new(pool(file.clone().busy_timeout(patience)).await, here);
        migrate(&here.pool).await.expect("the schema is made");
        let there = App::new(pool(file).await, there);
        let stage = Self { here, there, _server: server, folder };
        for title in ["first", "second"] {
            add(&stage.here, title).await.expect("there is room");
        }
        assert!(stage.both_see_the_file().await);
        stage
    }

    async fn both_see_the_file(&self) -> bool {
        let file = View::of_file(&self.here).await;
        View::of_cache(&self.here).await == file && View::of_cache(&self.there).await == file
    }

    /// So many queries were made by both.
    fn queries(&self) -> usize {
        [&self.here, &self.there].map(|app| app.queries.load(Ordering::Relaxed)).iter().sum()
    }
}

fn path(folder: &TempDir) -> PathBuf {
    folder.path().join("songs.db")
}

/// All that is cached.
#[derive(Debug, PartialEq)]
struct View {
    songs: Vec<Option<Song>>,
    newest: Vec<Song>,
    playlist: Vec<Song>,
    start: StartPage,
    count: i64,
}

impl View {
    async fn of_cache(app: &App) -> Self {
        let mut songs = Vec::new();
        for id in 1..=3 {
            songs.push(song(app, id).await.unwrap());
        }
        Self {
            songs,
            newest: newest(app).await.unwrap(),
            playlist: playlist(app, LIST).await.unwrap(),
            start: start_page(app, LIST).await.unwrap(),
            count: count(app).await.unwrap(),
        }
    }

    async fn of_file(app: &App) -> Self {
        let mut songs = Vec::new();
        for id in 1..=3 {
            songs.push(songs::song_uncached(app, id).await.unwrap());
        }
        let newest = songs::newest_uncached(app).await.unwrap();
        let playlist = songs::playlist_uncached(app, LIST).await.unwrap();
        let start = StartPage { newest: newest.clone(), playlist: playlist.clone() };
        Self { songs, newest, playlist, start, count: songs::count_uncached(app).await.unwrap() }
    }
}

async fn add(app: &App, title: &str) -> Result<i64, ChangeError> {
    in_transaction(app, async |db| {
        let id = songs::add(app, db, title).await?;
        songs::enlist(app, db, LIST, id).await?;
        Ok(id)
    })
    .await
}

async fn rename(app: &App, title: &str) -> Result<(), ChangeError> {
    in_transaction(app, async |db| songs::rename(app, db, 1, title).await).await
}

macro_rules! on_both_stores {
    ($($test:ident,)+) => {
        mod memory {
            $(
                #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
                async fn $test() {
                    super::$test(super::Store::Memory).await;
                }
            )+
        }
        mod redis {
            $(
                #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
                async fn $test() {
                    super::$test(super::Store::Redis).await;
                }
            )+
        }
    };
}

on_both_stores! {
    c1_what_was_committed_is_seen_by_all_right_after,
    c1_a_new_row_is_in_every_list_right_after,
    c1_what_was_read_before_the_commit_is_not_kept,
    c1_what_a_transaction_has_written_is_seen_inside_and_published_by_none,
    what_was_rolled_back_changes_and_invalidates_nothing,
    what_commit_refuses_changes_and_invalidates_nothing,
    a_commit_that_finds_the_file_busy_changes_and_invalidates_nothing,
    a_write_without_a_transaction_around_is_an_error,
    writers_wait_for_one_another,
    c1_a_handler_that_is_dropped_at_any_await_leaves_no_old_value,
    c1_a_handler_that_is_dropped_while_it_commits_leaves_no_old_value,
}

async fn c1_what_was_committed_is_seen_by_all_right_after(store: Store) {
    let stage = Stage::new(store).await;
    let mut readers = JoinSet::new();
    for app in [&stage.here, &stage.there].map(Clone::clone) {
        // What is invalidated before the commit is computed by one of them before the commit.
        readers.spawn(async move {
            loop {
                View::of_cache(&app).await;
                // A hit in the embedded store waits for nothing: this would keep its thread.
                tokio::task::yield_now().await;
            }
        });
    }
    for title in (0..50).map(|n| format!("title {n}")) {
        rename(&stage.here, &title).await.unwrap();
        for app in [&stage.here, &stage.there] {
            let seen = View::of_cache(app).await;
            assert_eq!(seen, View::of_file(app).await);
            assert_eq!(seen.start.playlist[0].title, title);
        }
    }
}

async fn c1_a_new_row_is_in_every_list_right_after(store: Store) {
    let stage = Stage::new(store).await;
    assert_eq!(song(&stage.there, 3).await.unwrap(), None, "and this is cached");
    let id = add(&stage.here, "third").await.unwrap();
    let new = Song { id, title: "third".to_owned() };
    for app in [&stage.here, &stage.there] {
        let seen = View::of_cache(app).await;
        assert_eq!(seen, View::of_file(app).await);
        assert_eq!((seen.songs[2].as_ref(), seen.count), (Some(&new), 3));
        assert!([seen.newest, seen.playlist].iter().all(|list| list.contains(&new)));
    }
}

/// In WAL mode a reader neither holds the writer up nor sees what it writes.
#[redis_cached(key = "slowly", ttl = "10m", tags = ["song:1"], cache = app.cache, skip(app, gate))]
async fn read_slowly(app: &App, gate: &Gate) -> sqlx::Result<String> {
    let mut snapshot = app.pool.begin().await?;
    let title = "SELECT title FROM songs WHERE id = 1";
    sqlx::query_scalar::<_, String>(title).fetch_one(&mut *snapshot).await?;
    gate.pass().await;
    sqlx::query_scalar(title).fetch_one(&mut *snapshot).await
}

async fn c1_what_was_read_before_the_commit_is_not_kept(store: Store) {
    let stage = Stage::new(store).await;
    let gate = Gate::closed();
    let (old, ()) = tokio::join!(read_slowly(&stage.there, &gate), async {
        gate.started(1).await;
        rename(&stage.here, "new").await.unwrap();
        gate.let_all_go();
    });
    assert_eq!(old.unwrap(), "first", "its caller has asked before the commit");
    for app in [&stage.here, &stage.there] {
        assert_eq!(read_slowly(app, &gate).await.unwrap(), "new");
    }
    assert_eq!(gate.runs(), 2);
}

/// Whatever is asked for is a hit, and what is in the file.
async fn c1_what_a_transaction_has_written_is_seen_inside_and_published_by_none(store: Store) {
    let stage = Stage::new(store).await;
    let outside = async |app: &App| {
        let mut db = app.pool.acquire().await.unwrap();
        songs::title(app, &mut db, 1).await.unwrap().unwrap()
    };
    assert_eq!(outside(&stage.here).await, "first");
    let changed = in_transaction(&stage.here, async |db| {
        songs::rename(&stage.here, db, 1, "inside").await?;
        // Past what is stored, which others have yet, and nothing is stored of it.
        assert_eq!(songs::title(&stage.here, db, 1).await?.as_deref(), Some("inside"));
        assert_eq!(outside(&stage.there).await, "first");
        Err::<(), _>(ChangeError::Full(LIST))
    });
    changed.await.unwrap_err();
    let queries = stage.queries();
    assert_eq!(outside(&stage.here).await, "first");
    assert_eq!(stage.queries(), queries, "a hit");
    in_transaction(&stage.here, async |db| songs::rename(&stage.here, db, 1, "new").await)
        .await
        .unwrap();
    for app in [&stage.here, &stage.there] {
        assert_eq!(outside(app).await, "new");
    }
}

async fn nothing_has_happened(stage: &Stage, before: &View) {
    let queries = stage.queries();
    assert_eq!(View::of_cache(&stage.here).await, *before);
    assert_eq!(View::of_cache(&stage.there).await, *before);
    assert_eq!(stage.queries(), queries, "bodies have run");
    assert_eq!(View::of_file(&stage.there).await, *before);
}

async fn what_was_rolled_back_changes_and_invalidates_nothing(store: Store) {
    let stage = Stage::new(store).await;
    let before = View::of_cache(&stage.there).await;
    let refused = in_transaction(&stage.here, async |db| {
        songs::rename(&stage.here, db, 1, "new").await?;
        for _ in 0..=MOST {
            songs::enlist(&stage.here, db, LIST, 1).await?;
        }
        Ok(())
    })
    .await;
    assert!(matches!(refused, Err(ChangeError::Full(LIST))), "{refused:?}");
    nothing_has_happened(&stage, &before).await;
}

/// A constraint that is checked when the transaction ends.
async fn what_commit_refuses_changes_and_invalidates_nothing(store: Store) {
    let stage = Stage::new(store).await;
    let before = View::of_cache(&stage.there).await;
    let refused = in_transaction(&stage.here, async |db| {
        songs::rename(&stage.here, db, 1, "new").await?;
        songs::enlist(&stage.here, db, LIST, 404).await
    })
    .await;
    let Err(ChangeError::Database(error)) = refused else { panic!("{refused:?}") };
    assert!(error.as_database_error().is_some_and(DatabaseError::is_foreign_key_violation));
    nothing_has_happened(&stage, &before).await;
    rename(&stage.here, "new").await.expect("what was refused is not in the way");
    assert!(stage.both_see_the_file().await);
}

/// It has found readers, and the transaction is open still.
async fn a_commit_that_finds_the_file_busy_changes_and_invalidates_nothing(store: Store) {
    let stage = Stage::without_wal(store, Duration::ZERO).await;
    let before = View::of_cache(&stage.there).await;
    let mut reader = stage.there.pool.begin().await.unwrap();
    sqlx::query("SELECT 1 FROM songs").fetch_all(&mut *reader).await.unwrap();
    let refused = rename(&stage.here, "new").await;
    let Err(ChangeError::Database(error)) = refused else { panic!("{refused:?}") };
    assert!(is_busy(&error), "{error}");
    reader.rollback().await.unwrap();
    nothing_has_happened(&stage, &before).await;
    rename(&stage.there, "new").await.expect("what was refused is not in the way");
    assert!(stage.both_see_the_file().await);
}

fn is_busy(error: &sqlx::Error) -> bool {
    error.as_database_error().and_then(DatabaseError::code).is_some_and(|code| code == "5")
}

async fn a_write_without_a_transaction_around_is_an_error(store: Store) {
    let stage = Stage::new(store).await;
    let mut db = stage.here.pool.acquire().await.unwrap();
    let refused = songs::rename(&stage.here, &mut db, 1, "new").await;
    assert!(matches!(refused, Err(ChangeError::Cache(error)) if error.is_ungathered()));
}

/// Each reads before it writes. One that has read in an old snapshot could not go on.
async fn writers_wait_for_one_another(store: Store) {
    let stage = Stage::new(store).await;
    let (here, there) = (stage.here.clone(), stage.there.clone());
    let writers = [here, there].map(|app| {
        // As a server runs its handlers: what they await has to be `Send`.
        tokio::spawn(async move {
            let mut added = 0;
            for _ in 0..MOST {
                let enlisted =
                    in_transaction(&app, async |db| songs::enlist(&app, db, LIST, 1).await);
                match enlisted.await {
                    Ok(()) => added += 1,
                    Err(ChangeError::Full(_)) => {}
                    Err(error) => panic!("{error}"),
                }
            }
            added
        })
    });
    let mut added = 2;
    for writer in writers {
        added += writer.await.unwrap();
    }
    assert_eq!(added, MOST);
    assert!(stage.both_see_the_file().await);
}

/// Polls a future at most so many times. `None`: it was dropped in the middle.
async fn polled<F: Future>(future: F, most: usize) -> Option<F::Output> {
    let mut future = pin!(future);
    let mut polls = 0;
    poll_fn(|cx| {
        polls += 1;
        match future.as_mut().poll(cx) {
            Poll::Ready(output) => Poll::Ready(Some(output)),
            Poll::Pending if polls == most => Poll::Ready(None),
            Poll::Pending => Poll::Pending,
        }
    })
    .await
}

async fn c1_a_handler_that_is_dropped_at_any_await_leaves_no_old_value(store: Store) {
    let stage = Stage::new(store).await;
    let (mut dropped, mut whole) = (0, 0);
    // An answer may be there at once, so one number of polls does not always reach equally far.
    for most in (1..=8).cycle().take(24).chain([usize::MAX]) {
        let handler = in_transaction(&stage.here, async |db| {
            tokio::task::yield_now().await;
            songs::rename(&stage.here, db, 1, &format!("title {dropped} {whole}")).await?;
            tokio::task::yield_now().await;
            songs::rename(&stage.here, db, 2, &format!("other {dropped} {whole}")).await
        });
        match polled(handler, most).await {
            Some(renamed) => {
                renamed.expect("those that were dropped are not in the way");
                whole += 1;
            }
            None => dropped += 1,
        }
        eventually("all see what is in the file", async || stage.both_see_the_file().await).await;
    }
    assert!(dropped >= 6 && whole >= 1, "{dropped} dropped, {whole} not");
}

/// COMMIT waits for a reader, in a thread that goes on without the handler.
async fn c1_a_handler_that_is_dropped_while_it_commits_leaves_no_old_value(store: Store) {
    let stage = Stage::without_wal(store, PATIENCE).await;
    let mut reader = stage.there.pool.begin().await.unwrap();
    sqlx::query("SELECT 1 FROM songs").fetch_all(&mut *reader).await.unwrap();
    let impatient =
        SqliteConnectOptions::new().filename(path(&stage.folder)).busy_timeout(Duration::ZERO);
    let stranger = SqlitePool::connect_with(impatient).await.unwrap();
    tokio::select! {
        renamed = rename(&stage.here, "new") => panic!("a reader is there: {renamed:?}"),
        // A commit that waits lets no new readers in.
        () = eventually("COMMIT waits", async || {
            let read = sqlx::query("SELECT 1 FROM songs").fetch_all(&stranger).await;
            read.is_err_and(|error| is_busy(&error))
        }) => {}
    }
    reader.rollback().await.unwrap();
    eventually("all see it", async || {
        stage.both_see_the_file().await
            && View::of_file(&stage.here).await.songs[0].as_ref().unwrap().title == "new"
    })
    .await;
}
