//! `#[redis_invalidate]`: what a function that writes invalidates, whatever becomes of it.

use std::collections::BTreeSet;
use std::fmt::Display;
use std::future::{Future, poll_fn};
use std::panic::AssertUnwindSafe;
use std::pin::{Pin, pin};
use std::sync::atomic::{AtomicU64, Ordering};
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use redis_cached::{
    ByTag, Cache, InvalidateError, Invalidated, Invalidation, invalidate_many, redis_cached,
    redis_invalidate, redis_put,
};
use redis_cached_tests::Told;
use tokio::task::yield_now;

use crate::origin::{memory, settle};

#[derive(Clone, Debug)]
struct User {
    id: u64,
    email: String,
}

#[derive(Debug, PartialEq, thiserror::Error)]
enum DbError {
    #[error("the database says no")]
    No,
    #[error(transparent)]
    Cache(#[from] Unreported),
}

#[derive(Debug, thiserror::Error)]
#[error("{0}")]
struct Unreported(String);

impl PartialEq for Unreported {
    fn eq(&self, other: &Self) -> bool {
        self.0 == other.0
    }
}

impl From<InvalidateError> for DbError {
    fn from(error: InvalidateError) -> Self {
        Self::Cache(Unreported(error.to_string()))
    }
}

#[redis_cached(key = "user:{team}:{id}", ttl = "1h")]
async fn user(team: u32, id: u64) -> u64 {
    settle().await;
    id
}

#[redis_cached(key = "by-email:{email}", ttl = "1h")]
async fn by_email(email: &str) -> usize {
    settle().await;
    email.len()
}

#[redis_cached(key = "projects:{user}", ttl = "1h", tags = ["org:{org}"])]
async fn projects_of(org: u64, user: u64) -> u64 {
    settle().await;
    user + org
}

#[redis_cached(key = "list:{page}", ttl = "1h", clearable)]
async fn list(page: u32) -> u32 {
    settle().await;
    page
}

/// Fills eight entries.
async fn fill() {
    user(1, 7).await;
    user(1, 8).await;
    by_email("a b").await;
    projects_of(1, 7).await;
    projects_of(2, 8).await;
    projects_of(2, 9).await;
    list(1).await;
    list(2).await;
}

/// Those that are stored.
async fn stored() -> BTreeSet<&'static str> {
    let mut names = BTreeSet::new();
    let mut note = |name, is_there| {
        if is_there {
            names.insert(name);
        }
    };
    note("user 7", user_entry(1, 7).peek().await.unwrap().is_some());
    note("user 8", user_entry(1, 8).peek().await.unwrap().is_some());
    note("by email", by_email_entry("a b").peek().await.unwrap().is_some());
    note("projects 7", projects_of_entry(1, 7).peek().await.unwrap().is_some());
    note("projects 8", projects_of_entry(2, 8).peek().await.unwrap().is_some());
    note("projects 9", projects_of_entry(2, 9).peek().await.unwrap().is_some());
    note("list 1", list_entry(1).peek().await.unwrap().is_some());
    note("list 2", list_entry(2).peek().await.unwrap().is_some());
    names
}

const ALL: [&str; 8] =
    ["by email", "list 1", "list 2", "projects 7", "projects 8", "projects 9", "user 7", "user 8"];

/// What is gone, after `write` has begun with everything stored.
async fn gone(write: impl Future) -> Vec<&'static str> {
    fill().await;
    write.await;
    settle().await;
    let stored = stored().await;
    ALL.into_iter().filter(|name| !stored.contains(name)).collect()
}

async fn in_memory<F: Future>(test: F) -> F::Output {
    memory().await.scope(test).await
}

#[redis_invalidate(
    user(team, user.id),
    by_email(&user.email),
    tags = ["org:{team}"],
    on_failure = "retry"
)]
async fn rename(team: u32, user: User) -> User {
    settle().await;
    user
}

#[tokio::test(start_paused = true)]
async fn c1_what_a_function_changes_is_invalidated_before_it_returns() {
    in_memory(async {
        let ada = User { id: 7, email: "a b".to_owned() };
        fill().await;
        let renamed = rename(1, ada).await;
        // Nothing runs between.
        let stored = stored().await;
        assert_eq!(renamed.email, "a b");
        let gone: Vec<_> = ALL.into_iter().filter(|name| !stored.contains(name)).collect();
        assert_eq!(gone, ["by email", "projects 7", "user 7"]);
    })
    .await;
}

#[redis_invalidate(
    for id in &ret => projects_of(2, *id),
    for page in first_page => list(page),
    on_failure = "retry"
)]
async fn of_many(ids: Vec<u64>, first_page: Option<u32>) -> Result<Vec<u64>, DbError> {
    settle().await;
    if ids.is_empty() { Err(DbError::No) } else { Ok(ids) }
}

#[tokio::test(start_paused = true)]
async fn c1_targets_are_as_many_as_what_they_iterate_over() {
    in_memory(async {
        assert_eq!(gone(of_many(vec![8, 9], None)).await, ["projects 8", "projects 9"]);
        assert_eq!(gone(of_many(vec![9], Some(2))).await, ["list 2", "projects 9"]);
        // What asks for a value is not there without one; the rest is.
        assert_eq!(gone(of_many(vec![], Some(1))).await, ["list 1"]);
    })
    .await;
}

struct Org {
    id: u64,
}

#[redis_invalidate(list(..), user(1, ret.id), tags = ["org:{ret.id}", "o{part}:{ret.id}"], on_failure = "retry")]
async fn found(id: Option<u64>, part: &str) -> std::io::Result<Option<Org>> {
    settle().await;
    Ok(id.map(|id| Org { id }))
}

#[tokio::test(start_paused = true)]
async fn c1_of_a_value_in_an_option_what_is_in_it_counts() {
    in_memory(async {
        assert_eq!(gone(found(Some(7), "x")).await, ["list 1", "list 2", "user 7"]);
        let of_org = ["list 1", "list 2", "projects 8", "projects 9"];
        assert_eq!(gone(found(Some(2), "x")).await, of_org);
        let by_the_other = ["list 1", "list 2", "projects 7"];
        assert_eq!(gone(found(Some(1), "rg")).await, by_the_other);
        assert_eq!(gone(found(None, "x")).await, ["list 1", "list 2"]);
    })
    .await;
}

#[redis_invalidate(
    for page in 1..ret => list(page),
    by_email(&format!("a {ret:x}")),
    for org in 0..ret => projects_of(2, u64::from(format!("{org}{ret}") == "711") * 8),
    on_failure = "retry"
)]
async fn counted(pages: u32) -> u32 {
    settle().await;
    pages
}

#[tokio::test(start_paused = true)]
async fn c1_ranges_and_texts_ask_for_what_is_returned() {
    in_memory(async {
        assert_eq!(gone(counted(2)).await, ["list 1"]);
        assert_eq!(gone(counted(11)).await, ["by email", "list 1", "list 2", "projects 8"]);
    })
    .await;
}

#[redis_invalidate(
    for id in &ret => user(team, *id),
    by_email(&email[..ret.len() + 1]),
    tags = ["o{prefix}:{ret.len()}"],
    when = team == 1 && !ret.is_empty(),
    on_failure = "retry"
)]
async fn changing(
    mut team: u32,
    mut email: String,
    (mut prefix, _): (String, u8),
    mut more: Vec<u64>,
) -> Vec<u64> {
    team += 1;
    email.clear();
    prefix.clear();
    settle().await;
    more.extend([u64::from(team) + 5, 8]);
    more
}

#[derive(Clone)]
struct Team(u32);

impl Team {
    fn id(&self) -> u32 {
        self.0
    }

    #[redis_invalidate(user(self.id(), of + ret), on_failure = "retry")]
    async fn changed(mut self, of: u64) -> u64 {
        self.0 += 1;
        settle().await;
        u64::from(self.id())
    }

    #[redis_invalidate(user(team, of + ret), on_failure = "retry")]
    fn boxed(self, mut team: u32, of: u64) -> Pin<Box<dyn Future<Output = u64> + Send>> {
        team += self.0;
        Box::pin(async move { u64::from(team) })
    }
}

#[async_trait::async_trait]
trait Teams: Sized {
    async fn named(&self, email: String, team: u32, prefix: &str) -> Vec<u64>;
    async fn whole(self, of: u64) -> u64;
}

#[async_trait::async_trait]
impl Teams for Team {
    #[redis_invalidate(
        for id in &ret => user(team, *id),
        by_email(&email[..ret.len() + 1]),
        tags = ["o{prefix}:{ret.len()}"],
        on_failure = "retry"
    )]
    async fn named(&self, mut email: String, mut team: u32, prefix: &str) -> Vec<u64> {
        team += self.0;
        email.clear();
        settle().await;
        drop((email, prefix));
        vec![u64::from(team) + 5, 8]
    }

    #[redis_invalidate(user(self.id(), of + ret), on_failure = "retry")]
    async fn whole(mut self, of: u64) -> u64 {
        self.0 += 1;
        settle().await;
        u64::from(self.id())
    }
}

#[tokio::test(start_paused = true)]
async fn c1_a_parameter_is_what_was_passed_in() {
    in_memory(async {
        let email = || "a b".to_owned();
        let all = ["by email", "projects 8", "projects 9", "user 7", "user 8"];
        assert_eq!(gone(changing(1, email(), ("rg".to_owned(), 0), vec![])).await, all);
        assert!(gone(changing(2, email(), ("rg".to_owned(), 0), vec![])).await.is_empty());
        assert_eq!(gone(Team(1).named(email(), 1, "rg")).await, all);
        assert_eq!(gone(Team(1).whole(5)).await, ["user 7"]);
        assert_eq!(gone(Team(1).changed(5)).await, ["user 7"]);
        assert_eq!(gone(Team(1).boxed(1, 5)).await, ["user 7"]);
    })
    .await;
}

#[derive(Clone, Copy)]
enum End {
    Well,
    Badly,
    Panicking,
}

#[redis_invalidate(user(1, 7), tags = ["org:2"], on_failure = "retry")]
async fn ends(how: End) -> Result<u64, DbError> {
    for _ in 0..5 {
        yield_now().await;
    }
    match how {
        End::Well => Ok(1),
        End::Badly => Err(DbError::No),
        End::Panicking => panic!("the body panics"),
    }
}

#[tokio::test(start_paused = true)]
async fn c1_it_is_sent_however_the_body_ends() {
    in_memory(async {
        let changed = ["projects 8", "projects 9", "user 7"];
        assert_eq!(gone(ends(End::Well)).await, changed);
        assert_eq!(gone(ends(End::Badly)).await, changed);
        let panics = async {
            let mut future = pin!(ends(End::Panicking));
            let ended = poll_fn(|cx| {
                match std::panic::catch_unwind(AssertUnwindSafe(|| future.as_mut().poll(cx))) {
                    Ok(Poll::Pending) => Poll::Pending,
                    Ok(Poll::Ready(_)) => Poll::Ready(false),
                    Err(_) => Poll::Ready(true),
                }
            });
            assert!(ended.await, "it panics");
        };
        assert_eq!(gone(panics).await, changed);
    })
    .await;
}

/// Polls it so often, and drops it. Whether it had ended.
async fn dropped_after(polls: usize, future: impl Future) -> bool {
    let mut future = pin!(future);
    for _ in 0..polls {
        if poll_fn(|cx| Poll::Ready(future.as_mut().poll(cx))).await.is_ready() {
            return true;
        }
        yield_now().await;
    }
    false
}

#[tokio::test(start_paused = true)]
async fn c1_it_is_sent_at_whatever_await_the_future_is_dropped() {
    in_memory(async {
        for polls in 0.. {
            let mut ended = false;
            let gone = gone(async { ended = dropped_after(polls, ends(End::Well)).await }).await;
            if polls == 0 {
                assert!(gone.is_empty(), "it has not begun: {gone:?}");
            } else {
                assert_eq!(gone, ["projects 8", "projects 9", "user 7"], "after {polls} polls");
            }
            if ended {
                assert!(polls > 4, "each await of the body was one of the places");
                return;
            }
        }
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn c1_what_is_left_behind_is_sent_again_while_a_commit_may_be_on_its_way() {
    in_memory(async {
        for way in ["dropped", "failed"] {
            fill().await;
            match way {
                "dropped" => assert!(!dropped_after(2, ends(End::Well)).await),
                _ => assert_eq!(ends(End::Badly).await, Err(DbError::No)),
            }
            settle().await;
            assert!(!stored().await.contains("user 7"), "{way}: at once");
            // The commit arrives now, and was overtaken: what was read meanwhile is old.
            user(1, 7).await;
            tokio::time::sleep(Duration::from_secs(1)).await;
            assert!(!stored().await.contains("user 7"), "{way}: and again");
            tokio::time::sleep(Duration::from_secs(20)).await;
            user(1, 7).await;
            tokio::time::sleep(Duration::from_secs(60)).await;
            assert!(stored().await.contains("user 7"), "{way}: not for ever");
        }
    })
    .await;
}

#[redis_invalidate(user(1, id), when = changes, on_failure = "retry")]
async fn when_told(id: u64, changes: bool) -> bool {
    settle().await;
    changes
}

#[redis_invalidate(user(1, id), when = ret > 0, on_failure = "retry")]
async fn when_rows(id: u64, rows: Result<u64, DbError>) -> Result<u64, DbError> {
    settle().await;
    rows
}

#[tokio::test(start_paused = true)]
async fn what_changes_nothing_invalidates_nothing() {
    in_memory(async {
        assert_eq!(gone(when_told(7, true)).await, ["user 7"]);
        assert!(gone(when_told(7, false)).await.is_empty());
        assert!(gone(dropped_after(1, when_told(7, false))).await.is_empty());
        assert_eq!(gone(when_rows(7, Ok(1))).await, ["user 7"]);
        assert!(gone(when_rows(7, Ok(0))).await.is_empty());
        // Nobody knows.
        assert_eq!(gone(when_rows(7, Err(DbError::No))).await, ["user 7"]);
    })
    .await;
}

struct Transaction;

async fn begun() -> Transaction {
    yield_now().await;
    Transaction
}

#[redis_invalidate(user(1, id), for id in &ret => user(1, *id), after_commit)]
async fn inside(_tx: &mut Transaction, id: u64, other: Option<u64>) -> Result<Vec<u64>, DbError> {
    yield_now().await;
    Ok(other.into_iter().collect())
}

#[redis_invalidate(user(1, 8), after_commit, on_failure = "error")]
async fn inside_or_not_at_all(_tx: &mut Transaction, ran: &AtomicU64) -> Result<(), DbError> {
    ran.fetch_add(1, Ordering::SeqCst);
    yield_now().await;
    Ok(())
}

#[redis_invalidate(user(1, id), now, on_failure = "retry")]
async fn commits(_tx: Transaction, id: u64) {
    yield_now().await;
}

#[tokio::test(start_paused = true)]
async fn c1_inside_a_transaction_it_is_gathered_until_the_commit() {
    in_memory(async {
        for (ids, committed) in [(None, true), (Some(8), true), (Some(8), false)] {
            fill().await;
            let (result, mut invalidation) = Invalidation::collect(async {
                let mut tx = begun().await;
                inside(&mut tx, 7, ids).await
            })
            .await;
            assert_eq!(result, Ok(ids.into_iter().collect()));
            settle().await;
            assert_eq!(stored().await.len(), 8, "nothing before the commit");
            let expected = match (committed, ids) {
                (true, None) => 7,
                (true, Some(_)) => 6,
                (false, _) => 8,
            };
            if committed {
                invalidation.send().await.unwrap();
            } else {
                invalidation.discard();
            }
            settle().await;
            assert_eq!(stored().await.len(), expected);
        }
        assert_eq!(gone(async { commits(begun().await, 7).await }).await, ["user 7"]);
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn c1_dropped_inside_a_transaction_it_goes_the_way_of_the_transaction() {
    in_memory(async {
        for polls in 1..4 {
            let write = async {
                let mut tx = begun().await;
                let _ = inside(&mut tx, 7, Some(8)).await;
                std::future::pending::<()>().await;
            };
            let gone = gone(dropped_after(polls, Invalidation::collect(write))).await;
            // Before the first poll of the function there is nothing.
            let expected: &[_] = match polls {
                1 => &[],
                2 => &["user 7"],
                _ => &["user 7", "user 8"],
            };
            assert_eq!(gone, expected, "after {polls} polls");
        }
    })
    .await;
}

#[redis_invalidate(
    for id in &ret => user(1, *id),
    tags = ["org:{ret.len()}"],
    when = !dry_run,
    on_failure = "retry"
)]
async fn unless_dry(dry_run: bool) -> Vec<u64> {
    settle().await;
    let _ = dry_run;
    vec![7, 8]
}

#[redis_put(user(1, 7) = ret, user(1, 7 + ret) = 9, when = !dry_run, on_failure = "retry")]
async fn put_unless_dry(dry_run: bool) -> u64 {
    settle().await;
    let _ = dry_run;
    1
}

#[tokio::test(start_paused = true)]
async fn what_changes_nothing_changes_nothing_that_is_known_behind_it() {
    in_memory(async {
        assert!(gone(unless_dry(true)).await.is_empty());
        assert_eq!(gone(unless_dry(false)).await, ["projects 8", "projects 9", "user 7", "user 8"]);
        assert!(gone(put_unless_dry(true)).await.is_empty());
        assert_eq!(user(1, 7).await, 7);
        put_unless_dry(false).await;
        assert_eq!((user(1, 7).await, user(1, 8).await), (1, 9));
    })
    .await;
}

/// `0` is nothing.
#[redis_invalidate(user(1, 7), user(1, ret), when = ret > 0, after_commit, on_failure = "error")]
async fn when_found(found: Result<u64, DbError>, ran: &AtomicU64) -> Result<u64, DbError> {
    ran.fetch_add(1, Ordering::SeqCst);
    yield_now().await;
    found
}

#[redis_invalidate(user(1, ret), when = changes, after_commit, on_failure = "error")]
async fn when_known(changes: bool, ran: &AtomicU64) -> Result<u64, DbError> {
    ran.fetch_add(1, Ordering::SeqCst);
    let _ = changes;
    Ok(7)
}

#[tokio::test(start_paused = true)]
async fn without_a_transaction_nothing_runs_that_would_wait_for_one() {
    in_memory(async {
        let ran = AtomicU64::new(0);
        let refused = when_known(true, &ran).await;
        assert!(refused.unwrap_err().to_string().contains("Invalidation::collect"));
        assert_eq!(ran.load(Ordering::SeqCst), 0);
        assert_eq!(when_known(false, &ran).await, Ok(7), "nothing is changed");
        let (_, gathered) = Invalidation::collect(when_known(true, &ran)).await;
        assert_eq!(gathered.len(), 1);
        gathered.discard();
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn what_changes_nothing_is_not_gathered() {
    in_memory(async {
        let ran = AtomicU64::new(0);
        for (found, gathers) in [(Ok(8), 2), (Ok(0), 0), (Err(DbError::No), 1)] {
            let (_, gathered) = Invalidation::collect(when_found(found, &ran)).await;
            assert_eq!(gathered.len(), gathers);
            gathered.discard();
        }
        // Dropped, it may have changed something, and the transaction goes on.
        let dropped = async { dropped_after(1, when_found(Ok(8), &ran)).await };
        let (ended, gathered) = Invalidation::collect(dropped).await;
        assert_eq!((ended, gathered.len()), (false, 1));
        gathered.discard();
        let dropped = dropped_after(1, Invalidation::collect(when_found(Ok(8), &ran)));
        assert_eq!(gone(dropped).await, ["user 7"]);

        let ran = AtomicU64::new(0);
        let refused = when_found(Ok(0), &ran).await;
        assert!(refused.unwrap_err().to_string().contains("Invalidation::collect"));
        assert_eq!(
            ran.load(Ordering::SeqCst),
            0,
            "with no transaction around the body does not run"
        );
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn with_no_transaction_around_it_is_told_loudly_and_sent_for_a_while() {
    in_memory(async {
        let told = Told::listen();
        let write = async { inside(&mut begun().await, 7, Some(8)).await.unwrap() };
        assert_eq!(gone(write).await, ["user 7", "user 8"]);
        let text = told.text();
        let line = text.lines().find(|line| line.contains("ERROR")).expect("an error event");
        assert!(line.contains("Invalidation::collect"), "{line}");
        user(1, 7).await;
        tokio::time::sleep(Duration::from_secs(1)).await;
        assert!(!stored().await.contains("user 7"), "the commit comes later");

        let ran = AtomicU64::new(0);
        fill().await;
        let refused = inside_or_not_at_all(&mut begun().await, &ran).await;
        assert!(refused.unwrap_err().to_string().contains("Invalidation::collect"));
        assert_eq!(ran.load(Ordering::SeqCst), 0, "the body does not run");
        settle().await;
        assert!(stored().await.contains("user 8"), "and nothing has changed");
        let gathered = async {
            let write = async { inside_or_not_at_all(&mut begun().await, &ran).await };
            let (written, mut invalidation) = Invalidation::collect(write).await;
            written.unwrap();
            invalidation.send().await.unwrap();
        };
        assert_eq!(gone(gathered).await, ["user 8"]);
    })
    .await;
}

#[redis_invalidate(user(1, 7), on_failure = "error")]
async fn or_error(result: Result<u64, DbError>) -> Result<u64, DbError> {
    yield_now().await;
    result
}

#[tokio::test]
async fn c5_what_cannot_be_sent_is_the_functions_error_or_tried_again() {
    let nowhere = Cache::builder().url("redis://127.0.0.1:1/").build().await.unwrap();
    nowhere
        .scope(async {
            let told = Told::listen();
            let error = or_error(Ok(1)).await.unwrap_err();
            assert!(error.to_string().contains("not all was invalidated"), "{error}");
            assert_eq!(or_error(Err(DbError::No)).await, Err(DbError::No), "its own comes first");
            assert_eq!(ends(End::Well).await, Ok(1));
            assert!(told.text().contains("tried again behind the caller"), "{}", told.text());
        })
        .await;
    // It is there at shutdown, and says so.
    let told = Told::listen();
    let _ = nowhere.shutdown(Duration::from_millis(100)).await;
    drop(told);
}

/// A `Display` that fails.
struct Unwritable;

impl Display for Unwritable {
    fn fmt(&self, _: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        Err(std::fmt::Error)
    }
}

#[redis_invalidate(tags = ["org:{text}", "org:2"], on_failure = "retry")]
async fn untellable(text: &Unwritable) {
    let _ = text;
    yield_now().await;
}

#[tokio::test(start_paused = true)]
async fn c5_a_target_without_a_name_is_told_of_and_holds_up_no_other() {
    in_memory(async {
        let told = Told::listen();
        assert_eq!(gone(untellable(&Unwritable)).await, ["projects 8", "projects 9"]);
        assert!(told.text().contains("there is no tag"), "{}", told.text());
    })
    .await;
}

struct Users {
    team: u32,
}

#[redis_cached::methods]
impl Users {
    const ONE: u32 = 1;

    #[redis_cached(key = "team:{self.team}:{id}", ttl = "1h")]
    async fn load(&self, id: u64) -> u64 {
        settle().await;
        id
    }

    #[redis_invalidate(self.load(id), Self::static_target(..), on_failure = "retry")]
    async fn change(&mut self, id: u64) {
        yield_now().await;
        self.team += 0;
    }

    #[redis_cached(key = "static:{id}", ttl = "1h", clearable)]
    async fn static_target(id: u64) -> u64 {
        settle().await;
        id + u64::from(Self::ONE)
    }
}

#[async_trait::async_trait]
trait Repo: Send + Sync {
    async fn rename(&self, id: u64, name: String) -> Result<String, DbError>;
}

#[async_trait::async_trait]
impl Repo for Users {
    #[redis_invalidate(self.load(id), user(1, id), tags = ["org:{id}", "name:{ret}"], on_failure = "error")]
    async fn rename(&self, id: u64, name: String) -> Result<String, DbError> {
        yield_now().await;
        if name.is_empty() {
            return Err(DbError::No);
        }
        Ok(name)
    }
}

#[redis_invalidate(user(1, id.into()), on_failure = "retry")]
async fn generic<T: Into<u64> + Copy + Send, const N: usize>(
    id: T,
    (first, _): ([u8; N], u8),
) -> u8 {
    yield_now().await;
    first[0]
}

#[redis_invalidate(user(1, id), on_failure = "retry")]
fn boxed(id: u64) -> Pin<Box<dyn Future<Output = u64> + Send>> {
    if id == 0 {
        return Box::pin(async { 0 });
    }
    Box::pin(async move { id })
}

#[redis_invalidate(user(1, id), on_failure = "retry")]
fn opaque(id: u64) -> impl Future<Output = u64> + Send {
    async move { id }
}

fn sendable<T: Send>(value: T) -> T {
    value
}

#[tokio::test(start_paused = true)]
async fn c1_it_stands_on_all_kinds_of_functions() {
    in_memory(async {
        let mut users = Users { team: 3 };
        users.load(7).await;
        users.change(7).await;
        assert!(users.load_entry(7).peek().await.unwrap().is_none());
        users.load(7).await;
        let repo: &dyn Repo = &users;
        assert_eq!(gone(repo.rename(7, "x".to_owned())).await, ["user 7"]);
        assert!(users.load_entry(7).peek().await.unwrap().is_none());
        assert_eq!(gone(repo.rename(8, String::new())).await, ["user 8"]);
        assert_eq!(gone(generic(7_u32, ([1, 2], 3))).await, ["user 7"]);
        assert_eq!(gone(boxed(7)).await, ["user 7"]);
        assert!(gone(boxed(0)).await.is_empty());
        assert_eq!(gone(opaque(8)).await, ["user 8"]);
        sendable(rename(1, User { id: 8, email: String::new() })).await;
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn c1_many_are_invalidated_a_thousand_at_a_time() {
    in_memory(async {
        for id in 0..2_500 {
            user(1, id).await;
        }
        let is_stored = |id| {
            let peeked =
                pin!(user_entry(1, id).peek()).poll(&mut Context::from_waker(Waker::noop()));
            let Poll::Ready(peeked) = peeked else { panic!("the embedded store does not wait") };
            peeked.unwrap().is_some()
        };
        let ids = (0..2_500).inspect(|&id| {
            // Those before have been answered when these are taken.
            assert!(id < 1_000 || !is_stored(id - 1_000), "{id}");
            assert!(is_stored(id), "{id}");
        });
        // The last one twice, as a queue delivers.
        invalidate_many(ids.chain([2_499]).map(|id| user_entry(1, id))).await.unwrap();
        for id in 0..2_500 {
            assert!(user_entry(1, id).peek().await.unwrap().is_none(), "{id}");
        }
        let mixed = || -> Vec<Box<dyn Invalidated + Send + Sync>> {
            vec![Box::new(by_email_entry("a b")), Box::new(ByTag("org:2")), Box::new(list_all())]
        };
        let changed = ["by email", "list 1", "list 2", "projects 8", "projects 9"];
        assert_eq!(gone(async { invalidate_many(&mixed()).await.unwrap() }).await, changed);
        invalidate_many(mixed()).await.unwrap();
        invalidate_many(Vec::<ByTag<String>>::new()).await.unwrap();
    })
    .await;
}

#[tokio::test]
async fn c5_of_many_it_is_told_how_many_are_unconfirmed() {
    let nowhere = Cache::builder().url("redis://127.0.0.1:1/").build().await.unwrap();
    let many = invalidate_many((0..1_500).map(|id| user_entry(1, id)));
    let error = nowhere.scope(many).await.unwrap_err();
    assert!(error.is_unconfirmed() && error.to_string().contains("1500"), "{error}");
    // Nothing is left behind: the caller has its messages yet.
    nowhere.shutdown(Duration::from_millis(100)).await.unwrap();
}

#[redis_cached(
    key = "lasting:{id}", ttl = "1h", jitter = "0%", ttl_with = |_| Duration::from_secs(36_000)
)]
async fn lasting(id: u64) -> u64 {
    settle().await;
    id
}

#[redis_cached(key = "of-a-team:{id}", ttl = "1h", tags = ["team:{team}"])]
async fn of_a_team(team: u32, id: u64) -> u64 {
    settle().await;
    id + u64::from(team)
}

/// Calls of one key that differ in declared tags have entries of their own.
#[tokio::test(start_paused = true)]
async fn a_version_of_one_entry_says_nothing_of_another() {
    in_memory(async {
        of_a_team_entry(1, 7).set_versioned(1, 100).await.unwrap();
        of_a_team_entry(2, 7).set_versioned(2, 5).await.unwrap();
        let late = of_a_team_entry(2, 7).set_versioned(3, 4).await;
        assert!(late.unwrap_err().is_superseded());
    })
    .await;
}

#[redis_invalidate(for id in &ret => user(1, *id), on_failure = "retry")]
async fn dissolve(ids: u64) -> Vec<u64> {
    settle().await;
    (0..ids).collect()
}

/// More than one transaction gathers.
#[tokio::test(start_paused = true)]
async fn c1_all_of_very_many_are_invalidated() {
    in_memory(async {
        for id in [0, 69_999] {
            user(1, id).await;
        }
        dissolve(70_000).await;
        for id in [0, 69_999] {
            assert!(user_entry(1, id).peek().await.unwrap().is_none(), "{id}");
        }
    })
    .await;
}

#[redis_cached(key = "unwritable:{id}", ttl = "1h")]
async fn unwritable(id: &Unwritable) -> usize {
    settle().await;
    std::ptr::from_ref(id).addr()
}

/// Who has a queue would acknowledge its message else.
#[tokio::test]
async fn c5_what_is_unconfirmed_is_told_before_what_else_is_wrong() {
    let nowhere = Cache::builder().url("redis://127.0.0.1:1/").build().await.unwrap();
    let both = || -> Vec<Box<dyn Invalidated + Send>> {
        vec![Box::new(unwritable_entry(&Unwritable)), Box::new(user_entry(1, 1))]
    };
    let error = nowhere.scope(async { invalidate_many(both()).await }).await.unwrap_err();
    assert!(error.is_unconfirmed(), "{error}");
    // And where that is all, it is told.
    let alone = async { invalidate_many([unwritable_entry(&Unwritable)]).await };
    let error = nowhere.scope(alone).await.unwrap_err();
    assert!(!error.is_unconfirmed(), "{error}");
    nowhere.shutdown(Duration::from_millis(100)).await.unwrap();
}

/// In a task of its own, of whatever the targets are made.
#[tokio::test(start_paused = true)]
async fn many_are_invalidated_in_a_task() {
    let emails = ["a b".to_owned(), "c".to_owned()];
    let ids = [1, 2];
    in_memory(async {
        sendable(async {
            invalidate_many(emails.iter().map(|email| by_email_entry(email))).await?;
            invalidate_many(emails.iter().map(|email| ByTag(email.as_str()))).await?;
            invalidate_many(
                ids.iter()
                    .map(|id| -> Box<dyn Invalidated + Send> { Box::new(user_entry(1, *id)) }),
            )
            .await
        })
        .await
        .unwrap();
    })
    .await;
}

/// Also where the value lives longer than its function says.
#[tokio::test(start_paused = true)]
async fn c1_a_version_is_known_for_as_long_as_its_value() {
    in_memory(async {
        let entry = lasting_entry(1);
        entry.set_versioned(12, 12).await.unwrap();
        tokio::time::advance(Duration::from_secs(35_999)).await;
        assert!(entry.set_versioned(11, 11).await.unwrap_err().is_superseded());
        assert_eq!(lasting(1).await, 12);
        tokio::time::advance(Duration::from_secs(121)).await;
        entry.set_versioned(11, 11).await.unwrap();
        assert_eq!(lasting(1).await, 11);
    })
    .await;
}
