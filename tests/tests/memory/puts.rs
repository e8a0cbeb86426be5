//! `#[redis_put]`: what a function that writes puts into entries, or invalidates.

use std::collections::BTreeSet;
use std::future::{Future, poll_fn};
use std::panic::AssertUnwindSafe;
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::sync::Mutex;
use std::task::Poll;
use std::time::Duration;

use redis_cached::{Cache, InvalidateError, State, redis_cached, redis_invalidate, redis_put, tag};
use redis_cached_tests::Told;
use serde::{Deserialize, Serialize};
use tokio::sync::Semaphore;
use tokio::task::{JoinHandle, yield_now};
use tokio::time::Instant;

use crate::origin::{Origin, memory, settle};

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
struct User {
    id: u64,
    name: String,
}

fn named(id: u64, name: &str) -> User {
    User { id, name: name.to_owned() }
}

#[derive(Debug, PartialEq, thiserror::Error)]
enum DbError {
    #[error("the database says no")]
    No,
    #[error("{0}")]
    Cache(String),
}

impl From<InvalidateError> for DbError {
    fn from(error: InvalidateError) -> Self {
        Self::Cache(error.to_string())
    }
}

/// Whoever has not put it reads "read".
#[redis_cached(
    key = "user:{id}", ttl = "5m", refresh_before = "1m", jitter = "0%", clearable, tags = ["team:{team}", "name:{ret.name}"]
)]
async fn user(team: u32, id: u64) -> Result<User, DbError> {
    yield_now().await;
    Ok(named(id, "read"))
}

async fn in_memory<F: Future>(test: F) -> F::Output {
    memory().await.scope(test).await
}

/// What is stored for a user.
async fn stored(id: u64) -> Option<String> {
    user_entry(1, id).peek().await.unwrap().map(|peek| peek.value.name)
}

/// After a write that has begun with the old value stored.
async fn after(write: impl Future) -> Option<String> {
    user(1, 7).await.unwrap();
    write.await;
    stored(7).await
}

#[expect(clippy::unnecessary_wraps, reason = "as what is stored")]
fn some(name: &str) -> Option<String> {
    Some(name.to_owned())
}

#[redis_put(user(1, ret.id), on_failure = "retry")]
async fn rename(id: u64, name: &str) -> Result<User, DbError> {
    yield_now().await;
    if name.is_empty() { Err(DbError::No) } else { Ok(named(id, name)) }
}

#[redis_put(user(1, id), on_failure = "retry")]
async fn rename_known(id: u64, name: &str) -> Result<User, DbError> {
    yield_now().await;
    if name.is_empty() { Err(DbError::No) } else { Ok(named(id, name)) }
}

#[tokio::test(start_paused = true)]
async fn c1_what_is_put_is_served_next() {
    in_memory(async {
        // Over nothing, over an old value, and over what was put before.
        for name in ["a", "b", "c"] {
            assert_eq!(rename(7, name).await, Ok(named(7, name)));
            // Nothing runs between.
            assert_eq!(user(1, 7).await, Ok(named(7, name)));
            assert_eq!(stored(7).await, some(name));
        }
        assert_eq!(after(rename(7, "d")).await, some("d"));
        assert_eq!(after(rename_known(7, "e")).await, some("e"));
        let peek = user_entry(1, 7).peek().await.unwrap().unwrap();
        assert_eq!(peek.state, State::Fresh);
        // Nothing invalidates it from behind.
        tokio::time::sleep(Duration::from_secs(100)).await;
        assert_eq!(stored(7).await, some("e"));
        // It has all of its tags.
        for tag in ["team:1", "name:f"] {
            assert_eq!(after(rename(7, "f")).await, some("f"));
            redis_cached::invalidate_tags([tag]).await.unwrap();
            assert_eq!(stored(7).await, None, "{tag}");
        }
        assert_eq!(after(rename(7, "g")).await, some("g"));
        user_all().invalidate().await.unwrap();
        assert_eq!(stored(7).await, None);
    })
    .await;
}

#[redis_cached(key = "maybe:{id}", ttl = "5m", none_ttl = "1m", jitter = "0%")]
async fn maybe(id: u64) -> Option<User> {
    yield_now().await;
    Some(named(id, "read"))
}

#[redis_put(user(1, id), maybe(id) = Some(ret.clone()), on_failure = "retry")]
async fn found(id: u64, name: Option<&str>) -> Result<Option<User>, DbError> {
    yield_now().await;
    Ok(name.map(|name| named(id, name)))
}

#[redis_put(maybe(id) = None, on_failure = "retry")]
async fn deleted(id: u64) {
    let _ = id;
    yield_now().await;
}

struct Saved {
    user: User,
    others: Vec<User>,
    by_name: std::collections::BTreeMap<u64, User>,
}

#[redis_put(
    user(1, ret.user.id) = &ret.user,
    for user in &ret.others => user(1, user.id) = user,
    for (id, user) in &ret.by_name => maybe(*id) = Some(user.clone()),
    on_failure = "retry"
)]
async fn saved(users: Vec<User>) -> Result<Saved, DbError> {
    yield_now().await;
    let [first, rest @ ..] = &users[..] else { return Err(DbError::No) };
    let by_name = users.iter().map(|user| (user.id, user.clone())).collect();
    Ok(Saved { user: first.clone(), others: rest.to_vec(), by_name })
}

#[redis_put(for row in &rows => user(1, row.0) = named(row.0, &row.1), on_failure = "retry")]
async fn of_parameters(rows: Vec<(u64, String)>, fails: bool) -> Result<usize, DbError> {
    yield_now().await;
    if fails { Err(DbError::No) } else { Ok(rows.len()) }
}

#[tokio::test(start_paused = true)]
async fn c1_what_is_put_is_said_by_an_expression() {
    in_memory(async {
        let maybe_stored =
            async |id| maybe_entry(id).peek().await.unwrap().map(|peek| peek.value.map(|u| u.name));
        maybe(7).await;
        assert_eq!(after(found(7, Some("a"))).await, some("a"));
        assert_eq!(maybe_stored(7).await, Some(some("a")));
        // Nothing was returned: nothing is known.
        assert_eq!(after(found(7, None)).await, None);
        assert_eq!(maybe_stored(7).await, None);
        maybe(7).await;
        deleted(7).await;
        assert_eq!(maybe_stored(7).await, Some(None));
        assert_eq!(maybe(7).await, None);
        assert_eq!(maybe_entry(7).ttl().await.unwrap(), Some(Duration::from_secs(60)));

        let users = vec![named(7, "b"), named(8, "b"), named(9, "b")];
        assert_eq!(after(saved(users)).await, some("b"));
        assert_eq!((stored(8).await, stored(9).await), (some("b"), some("b")));
        assert_eq!(maybe_stored(9).await, Some(some("b")));

        let rows = || vec![(7, "c".to_owned()), (8, "c".to_owned())];
        assert_eq!(after(of_parameters(rows(), false)).await, some("c"));
        assert_eq!(stored(8).await, some("c"));
        assert_eq!(after(of_parameters(rows(), true)).await, None);
        assert_eq!((stored(8).await, stored(9).await), (None, some("b")));
    })
    .await;
}

#[derive(Clone, Copy, Debug)]
enum End {
    Well,
    Badly,
    Panicking,
}

#[redis_put(user(1, 7) = named(7, "put"), user(1, ret.id), on_failure = "retry")]
async fn ends(how: End) -> Result<User, DbError> {
    for _ in 0..5 {
        yield_now().await;
    }
    match how {
        End::Well => Ok(named(8, "put")),
        End::Badly => Err(DbError::No),
        End::Panicking => panic!("the body panics"),
    }
}

async fn catching<F: Future>(future: F) -> Option<F::Output> {
    let mut future = pin!(future);
    poll_fn(|cx| match std::panic::catch_unwind(AssertUnwindSafe(|| future.as_mut().poll(cx))) {
        Ok(Poll::Pending) => Poll::Pending,
        Ok(Poll::Ready(output)) => Poll::Ready(Some(output)),
        Err(_) => Poll::Ready(None),
    })
    .await
}

/// Both users, after a write that has begun with both stored.
async fn both_after(write: impl Future) -> [Option<String>; 2] {
    user(1, 7).await.unwrap();
    user(1, 8).await.unwrap();
    write.await;
    settle().await;
    [stored(7).await, stored(8).await]
}

#[tokio::test(start_paused = true)]
async fn c1_it_is_put_or_invalidated_however_the_body_ends() {
    in_memory(async {
        let put = some("put");
        assert_eq!(both_after(ends(End::Well)).await, [put.clone(), put]);
        // As far as the parameters name it.
        let gone = [None, some("read")];
        for how in [End::Badly, End::Panicking] {
            // What was put before is of nobody's interest.
            user_entry(1, 8).invalidate().await.unwrap();
            assert_eq!(both_after(catching(ends(how))).await, gone, "{how:?}");
            // A COMMIT may be on its way: what is read meanwhile goes again.
            user(1, 7).await.unwrap();
            tokio::time::sleep(Duration::from_secs(1)).await;
            assert_eq!(stored(7).await, None, "{how:?}");
            tokio::time::sleep(Duration::from_secs(60)).await;
        }
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn c1_it_is_put_or_invalidated_at_whatever_await_the_future_is_dropped() {
    for polls in 0.. {
        let ended = in_memory(async {
            let mut ended = false;
            let write = async {
                let mut write = pin!(ends(End::Well));
                for _ in 0..polls {
                    ended = poll_fn(|cx| Poll::Ready(write.as_mut().poll(cx))).await.is_ready();
                    if ended {
                        break;
                    }
                    yield_now().await;
                }
            };
            let [known, returned] = both_after(write).await;
            if polls == 0 {
                assert_eq!(known, some("read"), "it has not begun");
            } else if ended {
                assert_eq!((known.as_deref(), returned.as_deref()), (Some("put"), Some("put")));
            } else {
                assert_eq!(known, None, "after {polls} polls");
            }
            // No lease is left behind.
            let start = Instant::now();
            user_entry(1, 7).invalidate().await.unwrap();
            user(1, 7).await.unwrap();
            assert_eq!(start.elapsed(), Duration::ZERO);
            ended
        })
        .await;
        if ended {
            assert!(polls > 4, "each await of the body was one of the places");
            return;
        }
    }
}

#[redis_put(user(1, id), on_failure = "retry")]
async fn gated(origin: &Origin, id: u64) -> User {
    origin.read().await;
    named(id, "put")
}

/// What becomes of user 7 when something is done while it is written.
async fn put_beside<F: Future>(act: impl Fn(Cache) -> F) -> Option<String> {
    let mut outcomes = BTreeSet::new();
    for clearable in [false, true] {
        for there in [false, true] {
            let cache = Cache::builder().url("memory://");
            let cache = if clearable { cache.clearable() } else { cache };
            let cache = cache.build().await.unwrap();
            let outcome = cache.scope(async {
                if there {
                    user(1, 7).await.unwrap();
                    // A second writer is no reason for the journal to be there.
                    tokio::time::advance(Duration::from_secs(1)).await;
                }
                let origin = Origin::gated();
                let between = async {
                    origin.body_started().await;
                    act(cache.clone()).await;
                    origin.let_through(1);
                };
                tokio::join!(gated(&origin, 7), between);
                let outcome = stored(7).await;
                settle().await;
                assert_eq!(stored(7).await, outcome, "nothing comes from behind");
                outcome
            });
            outcomes.insert(outcome.await);
        }
    }
    let outcome = outcomes.pop_first().unwrap();
    assert!(outcomes.is_empty(), "{outcome:?} and {outcomes:?}");
    outcome
}

#[tokio::test(start_paused = true)]
async fn c1_what_was_touched_during_the_body_is_not_put_but_invalidated() {
    assert_eq!(put_beside(async |_| ()).await, some("put"));
    let other = async |_| user_entry(1, 8).invalidate().await.unwrap();
    assert_eq!(put_beside(other).await, some("put"), "another user");
    let other = async |cache: Cache| cache.invalidate_tags(["team:2"]).await.unwrap();
    assert_eq!(put_beside(other).await, some("put"), "another team");
    let by_key = async |_| user_entry(1, 7).invalidate().await.unwrap();
    assert_eq!(put_beside(by_key).await, None, "by key");
    let read = async |_| {
        user_entry(1, 7).invalidate().await.unwrap();
        user(1, 7).await.unwrap();
    };
    assert_eq!(put_beside(read).await, None, "by key, and read since");
    let by_tag = async |cache: Cache| cache.invalidate_tags(["team:1"]).await.unwrap();
    assert_eq!(put_beside(by_tag).await, None, "by a tag");
    let by_value = async |cache: Cache| cache.invalidate_tags(["name:put"]).await.unwrap();
    assert_eq!(put_beside(by_value).await, None, "by a tag of its value");
    let all = async |_| user_all().invalidate().await.unwrap();
    assert_eq!(put_beside(all).await, None, "all of its function");
    let clear = async |cache: Cache| cache.clear().await.unwrap();
    assert_eq!(put_beside(clear).await, None, "everything");
    let expire = async |_| user_entry(1, 7).expire().await.unwrap();
    assert_eq!(put_beside(expire).await, None, "made due");
    let expire = async |cache: Cache| cache.expire_tags(["team:1"]).await.unwrap();
    assert_eq!(put_beside(expire).await, None, "made due by a tag");
    let set = async |_| user_entry(1, 7).set(named(7, "set")).await.unwrap();
    assert_eq!(put_beside(set).await, None, "set: nobody knows which is newer");
    let refresh = async |_| user_refresh(1, 7).await.unwrap();
    assert_eq!(put_beside(refresh).await, None, "computed by force");
    let put = async |_| rename(7, "other").await.unwrap();
    assert_eq!(put_beside(put).await, None, "put by another");
    let failed = async |_| rename_known(7, "").await.unwrap_err();
    assert_eq!(put_beside(failed).await, None, "invalidated by one that has failed");
    let another_table = async |_| rename(8, "other").await.unwrap();
    assert_eq!(put_beside(another_table).await, some("put"), "put into another entry");
    let computed = async |_| user(1, 7).await.unwrap();
    assert_eq!(put_beside(computed).await, some("put"), "computed: as of a time before or behind");
}

// A row, and everybody who may touch it at once, step by step.

struct Row(Mutex<usize>);

/// Waits for its turn at each step.
struct Steps {
    turns: Semaphore,
}

impl Steps {
    async fn turn(&self) {
        self.turns.acquire().await.expect("never closed").forget();
    }
}

#[redis_cached(key = "row:{id}", ttl = "5m", jitter = "0%", cache = cache, skip(row, steps))]
async fn load(cache: &Cache, row: &Row, steps: &Steps, id: u64) -> usize {
    let _ = cache;
    steps.turn().await;
    let read = *row.0.lock().unwrap();
    steps.turn().await;
    read
}

#[redis_cached(key = "rows:{number}", ttl = "5m", jitter = "0%", cache = cache, skip(row, steps))]
async fn list(cache: &Cache, row: &Row, steps: &Steps, number: usize) -> usize {
    steps.turn().await;
    let read = *row.0.lock().unwrap();
    steps.turn().await;
    load_entry(cache, 1).prime(read);
    read
}

#[redis_put(load(cache, 1), cache = cache, on_failure = "retry")]
async fn write(cache: &Cache, row: &Row, steps: &Steps) -> usize {
    let _ = cache;
    steps.turn().await;
    let written = committed(row);
    steps.turn().await;
    written
}

#[redis_invalidate(load(cache, 1), cache = cache, on_failure = "retry")]
async fn write_and_invalidate(cache: &Cache, row: &Row, steps: &Steps) -> usize {
    let _ = cache;
    steps.turn().await;
    let written = committed(row);
    steps.turn().await;
    written
}

/// `UPDATE .. RETURNING`.
fn committed(row: &Row) -> usize {
    let mut row = row.0.lock().unwrap();
    *row += 1;
    *row
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Part {
    Puts,
    Invalidates,
    Loads,
    Lists,
    /// As `Puts`, and dropped in the end instead of returning.
    Drops,
}

impl Part {
    fn writes(self) -> bool {
        matches!(self, Self::Puts | Self::Invalidates | Self::Drops)
    }
}

struct Played {
    part: Part,
    steps: Arc<Steps>,
    task: JoinHandle<usize>,
}

fn begin(part: Part, number: usize, cache: &Cache, row: &Arc<Row>) -> Played {
    let steps = Arc::new(Steps { turns: Semaphore::new(0) });
    let (cache, row, mine) = (cache.clone(), Arc::clone(row), Arc::clone(&steps));
    let task = tokio::spawn(async move {
        match part {
            Part::Puts | Part::Drops => write(&cache, &row, &mine).await,
            Part::Invalidates => write_and_invalidate(&cache, &row, &mine).await,
            Part::Loads => load(&cache, &row, &mine, 1).await,
            Part::Lists => list(&cache, &row, &mine, number).await,
        }
    });
    Played { part, steps, task }
}

/// All orders in which so many can take three steps each.
fn orders(left: &mut Vec<usize>, order: &mut Vec<usize>, all: &mut Vec<Vec<usize>>) {
    if left.iter().all(|&steps| steps == 0) {
        all.push(order.clone());
        return;
    }
    for who in 0..left.len() {
        if left[who] > 0 {
            left[who] -= 1;
            order.push(who);
            orders(left, order, all);
            order.pop();
            left[who] += 1;
        }
    }
}

/// Lets them all run: fewer turns than `settle`, as there are thousands of orders.
async fn turns() {
    for _ in 0..12 {
        yield_now().await;
    }
}

/// In every order: once a writer has returned, nothing older than its value is stored, and in the end the last or none.
async fn plays(parts: &[Part], stored_there: bool) {
    let mut all = Vec::new();
    orders(&mut vec![3; parts.len()], &mut Vec::new(), &mut all);
    let mut put = 0;
    for order in &all {
        let cache = memory().await;
        let row = Arc::new(Row(Mutex::new(0)));
        if stored_there {
            let open = Steps { turns: Semaphore::new(2) };
            load(&cache, &row, &open, 1).await;
            tokio::time::advance(Duration::from_millis(1)).await;
        }
        let stored = async || {
            load_entry(&cache, 1)
                .peek()
                .await
                .unwrap()
                .map(|peek: redis_cached::Peek<usize>| peek.value)
        };
        let mut played: Vec<Option<Played>> = parts.iter().map(|_| None).collect();
        let mut taken = vec![0; parts.len()];
        let mut written: Vec<Option<usize>> = vec![None; parts.len()];
        let mut promised = 0;
        for &who in order {
            let part = parts[who];
            taken[who] += 1;
            match (taken[who], &mut played[who]) {
                (1, slot) => *slot = Some(begin(part, who, &cache, &row)),
                (2, Some(one)) => {
                    one.steps.turns.add_permits(1);
                    turns().await;
                    if part.writes() {
                        written[who] = Some(*row.0.lock().unwrap());
                    }
                }
                (_, Some(one)) if part == Part::Drops => one.task.abort(),
                (_, Some(one)) => one.steps.turns.add_permits(1),
                (_, None) => unreachable!("it has begun"),
            }
            turns().await;
            tokio::time::advance(Duration::from_millis(1)).await;
            if taken[who] == 3 && part.writes() {
                promised = promised.max(written[who].unwrap());
            }
            if let Some(value) = stored().await {
                let so_far = &order[..taken.iter().sum()];
                assert!(
                    value >= promised,
                    "{value} is stored, and {promised} was promised: {parts:?} in {so_far:?} of {order:?}"
                );
            }
        }
        for one in played.into_iter().flatten() {
            // A load that has found another's value or lease has not asked for its turns.
            one.steps.turns.add_permits(9);
            let ended = one.task.await;
            assert!(ended.is_ok() || one.part == Part::Drops);
        }
        settle().await;
        let last = *row.0.lock().unwrap();
        let stored = stored().await;
        assert!(
            stored.is_none_or(|value| value == last),
            "{stored:?} of {last}: {parts:?} in {order:?}"
        );
        put += usize::from(stored.is_some());
    }
    assert!(put > 0, "in none of {} orders is anything stored: {parts:?}", all.len());
}

#[tokio::test(start_paused = true)]
async fn c1_two_writers_leave_the_last_value_or_none_in_whatever_order() {
    for there in [false, true] {
        plays(&[Part::Puts], there).await;
        plays(&[Part::Puts, Part::Puts], there).await;
        plays(&[Part::Puts, Part::Invalidates], there).await;
        plays(&[Part::Puts, Part::Drops], there).await;
    }
}

#[tokio::test(start_paused = true)]
async fn c1_writers_and_readers_leave_the_last_value_or_none_in_whatever_order() {
    for there in [false, true] {
        plays(&[Part::Puts, Part::Loads], there).await;
        plays(&[Part::Puts, Part::Lists], there).await;
        plays(&[Part::Invalidates, Part::Lists], there).await;
        plays(&[Part::Lists, Part::Loads, Part::Puts], there).await;
    }
}

#[tokio::test(start_paused = true)]
async fn c1_three_at_once_leave_the_last_value_or_none_in_whatever_order() {
    plays(&[Part::Puts, Part::Puts, Part::Puts], false).await;
    plays(&[Part::Puts, Part::Puts, Part::Lists], false).await;
    plays(&[Part::Puts, Part::Puts, Part::Loads], true).await;
    plays(&[Part::Puts, Part::Lists, Part::Lists], true).await;
    plays(&[Part::Puts, Part::Invalidates, Part::Lists], true).await;
}

#[redis_cached(key = "computed:{id}", ttl = "5m", jitter = "0%", skip(origin))]
async fn computed(origin: &Origin, id: u64) -> usize {
    origin.read().await
}

#[redis_put(computed(id) = value, on_failure = "retry")]
async fn computes(id: u64, value: usize) {
    let _ = (id, value);
    yield_now().await;
}

#[tokio::test(start_paused = true)]
async fn c1_who_computes_meanwhile_is_not_stored_and_who_comes_late_gets_what_was_put() {
    in_memory(async {
        let origin = Origin::gated();
        let put = async {
            origin.body_started().await;
            computes(1, 99).await;
            // Whoever calls now does not wait for the old body.
            assert_eq!(computed(&origin, 1).await, 99);
            origin.let_through(1);
        };
        let (old, ()) = tokio::join!(computed(&origin, 1), put);
        assert_eq!((old, origin.bodies()), (1, 1));
        settle().await;
        assert_eq!(computed(&origin, 1).await, 99);
    })
    .await;
}

#[redis_cached(key = "rate:{id}", ttl = "1m", refresh_before = "20s", jitter = "0%", skip(origin))]
async fn rate(origin: &Origin, id: u64) -> usize {
    origin.read().await
}

#[redis_put(rate(id) = value, on_failure = "retry")]
async fn sets_rate(id: u64, value: usize) {
    let _ = (id, value);
    yield_now().await;
}

#[tokio::test(start_paused = true)]
async fn c1_a_background_refresh_does_not_replace_what_is_put() {
    in_memory(async {
        let origin = Origin::gated();
        origin.let_through(1);
        rate(&origin, 1).await;
        origin.body_started().await;
        tokio::time::sleep(Duration::from_secs(41)).await;
        rate(&origin, 1).await;
        origin.body_started().await;
        sets_rate(1, 99).await;
        origin.let_through(1);
        settle().await;
        assert_eq!((rate(&origin, 1).await, origin.bodies()), (99, 2));
        // And is refreshed in its turn.
        tokio::time::sleep(Duration::from_secs(41)).await;
        let new = origin.change();
        assert_eq!(rate(&origin, 1).await, 99);
        origin.let_through(1);
        settle().await;
        assert_eq!(rate(&origin, 1).await, new);
    })
    .await;
}

#[redis_cached(key = "odd:{id}", ttl = "5m", cache_if = |value| value % 2 == 1)]
async fn odd(id: u64) -> u64 {
    yield_now().await;
    id
}

#[redis_put(odd(1) = value, on_failure = "retry")]
async fn sets_odd(value: u64) {
    let _ = value;
    yield_now().await;
}

#[redis_cached(key = "blob", ttl = "5m")]
async fn blob() -> Vec<u8> {
    yield_now().await;
    vec![1]
}

#[redis_put(blob(), on_failure = "retry")]
async fn sets_blob(size: usize) -> Vec<u8> {
    yield_now().await;
    let mut random = fastrand::Rng::with_seed(1);
    (0..size).map(|_| random.u8(..)).collect()
}

#[redis_cached(key = "tagged", ttl = "5m", tags = ["tagged:{ret}"])]
async fn tagged() -> Shy {
    yield_now().await;
    Shy(true)
}

/// Can be stored, and not always written.
#[derive(Clone, Copy, Serialize, Deserialize)]
struct Shy(bool);

impl std::fmt::Display for Shy {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        if self.0 { f.write_str("here") } else { Err(std::fmt::Error) }
    }
}

#[redis_put(tagged(), on_failure = "retry")]
async fn sets_tagged(shows: bool) -> Shy {
    yield_now().await;
    Shy(shows)
}

#[tokio::test(start_paused = true)]
async fn c1_what_cannot_be_put_is_invalidated() {
    in_memory(async {
        let odd_stored = async || odd_entry(1).peek().await.unwrap().map(|peek| peek.value);
        odd(1).await;
        sets_odd(3).await;
        assert_eq!(odd_stored().await, Some(3));
        sets_odd(4).await;
        assert_eq!(odd_stored().await, None, "`cache_if` says no");
        sets_odd(5).await;
        assert_eq!(odd_stored().await, Some(5), "and no marker is left");

        let told = Told::listen();
        blob().await;
        sets_blob(100).await;
        assert_eq!(blob().await.len(), 100);
        sets_blob(16 * 1024 * 1024 + 1).await;
        assert!(blob_entry().peek().await.unwrap().is_none(), "it is too large");
        assert!(told.text().contains("can't be stored"), "{}", told.text());

        tagged().await;
        sets_tagged(false).await;
        assert!(tagged_entry().peek().await.unwrap().is_none(), "its tag can't be written");
        sets_tagged(true).await;
        assert!(tagged_entry().peek().await.unwrap().is_some());
    })
    .await;
}

#[redis_put(user(1, id), when = changes, on_failure = "retry")]
async fn when_told(id: u64, changes: bool) -> User {
    settle().await;
    named(id, if changes { "put" } else { "a dry run" })
}

#[redis_put(user(1, ret.id), when = changes, on_failure = "retry")]
async fn when_told_of_ret(id: u64, changes: bool) -> User {
    settle().await;
    named(id, if changes { "put" } else { "a dry run" })
}

#[redis_put(user(1, id), when = ret.name != "a dry run", on_failure = "retry")]
async fn when_returned(id: u64, changes: bool) -> Result<User, DbError> {
    settle().await;
    Ok(named(id, if changes { "put" } else { "a dry run" }))
}

#[redis_invalidate(user(1, ret), when = changes, on_failure = "retry")]
async fn invalidates_when_told(id: u64, changes: bool) -> u64 {
    settle().await;
    id
}

#[tokio::test(start_paused = true)]
async fn c1_what_changes_nothing_by_the_parameters_puts_nothing() {
    in_memory(async {
        assert_eq!(after(when_told(7, true)).await, some("put"));
        user_entry(1, 7).invalidate().await.unwrap();
        assert_eq!(after(when_told(7, false)).await, some("read"));
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn c1_what_changes_nothing_by_the_parameters_puts_nothing_where_ret_is_asked() {
    in_memory(async {
        assert_eq!(after(when_told_of_ret(7, true)).await, some("put"));
        user_entry(1, 7).invalidate().await.unwrap();
        assert_eq!(after(when_told_of_ret(7, false)).await, some("read"));
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn c1_what_changes_nothing_by_what_is_returned_puts_nothing() {
    in_memory(async {
        assert_eq!(after(when_returned(7, true)).await, some("put"));
        user_entry(1, 7).invalidate().await.unwrap();
        assert_eq!(after(when_returned(7, false)).await, some("read"));
    })
    .await;
}

/// The same of `redis_invalidate`.
#[tokio::test(start_paused = true)]
async fn what_changes_nothing_invalidates_nothing_where_ret_is_asked() {
    in_memory(async {
        assert_eq!(after(invalidates_when_told(7, true)).await, None);
        assert_eq!(after(invalidates_when_told(7, false)).await, some("read"));
    })
    .await;
}

#[redis_cached(key = "at:{id}", ttl = "5m", cache = cache)]
async fn at(cache: &Cache, id: u64) -> u64 {
    let _ = cache;
    yield_now().await;
    id
}

#[redis_put(at(cache, 1) = value, cache = cache, on_failure = "retry")]
async fn puts_at(cache: &Cache, value: u64) {
    let _ = (cache, value);
    yield_now().await;
}

#[redis_put(at(cache, 1) = value, on_failure = "retry")]
async fn puts_at_another(cache: &Cache, value: u64) {
    let _ = (cache, value);
    yield_now().await;
}

#[redis_cached(key = "maybe-at:{id}", ttl = "5m", cache = cache)]
async fn maybe_at(cache: Option<&Cache>, id: u64) -> u64 {
    let _ = cache;
    yield_now().await;
    id
}

#[redis_put(maybe_at(cache, 1) = value, cache = cache, on_failure = "error")]
async fn puts_maybe_at(cache: Option<&Cache>, value: u64) -> Result<(), DbError> {
    let _ = (cache, value);
    yield_now().await;
    Ok(())
}

#[tokio::test(start_paused = true)]
async fn c1_what_is_of_another_cache_than_is_said_is_invalidated_and_told() {
    let (told, one, other) = (Told::listen(), memory().await, memory().await);
    let stored = async |cache| at_entry(cache, 1).peek().await.unwrap().map(|peek| peek.value);
    at(&one, 1).await;
    at(&other, 1).await;
    puts_at(&one, 9).await;
    assert_eq!((stored(&one).await, stored(&other).await), (Some(9), Some(1)));
    assert!(!told.text().contains("WARN"), "{}", told.text());
    for _ in 0..2 {
        other.scope(puts_at_another(&one, 10)).await;
        assert_eq!((stored(&one).await, stored(&other).await), (None, Some(1)));
    }
    let text = told.text();
    assert_eq!(text.matches("is of another cache than the function says").count(), 1, "{text}");
    one.scope(puts_at_another(&one, 11)).await;
    assert_eq!(stored(&one).await, Some(11));
    // Where there is no cache, there is nothing to put.
    puts_maybe_at(None, 1).await.unwrap();
    puts_maybe_at(Some(&one), 12).await.unwrap();
    assert_eq!(maybe_at(Some(&one), 1).await, 12);
}

#[redis_cached(key = "team:{id}", ttl = "5m", tags = ["lists:{id}"])]
async fn team(id: u32) -> u32 {
    yield_now().await;
    id
}

#[redis_put(user(1, ret.id), on_failure = "retry")]
#[redis_invalidate(tags = ["lists:{team}"], on_failure = "retry")]
async fn above(team: u32, id: u64) -> Result<User, DbError> {
    let _ = team;
    yield_now().await;
    Ok(named(id, "put"))
}

#[redis_invalidate(team(team), tags = ["x:{ret.name}"], on_failure = "retry")]
#[redis_put(user(1, ret.id), on_failure = "retry")]
async fn below(team: u32, id: u64) -> Result<User, DbError> {
    let _ = team;
    yield_now().await;
    Ok(named(id, "put"))
}

#[redis_put(user(1, ret.id), on_failure = "retry")]
#[redis_invalidate(tags = ["team:{team}"], on_failure = "retry")]
async fn above_its_own_tag(team: u32, id: u64) -> Result<User, DbError> {
    let _ = team;
    yield_now().await;
    Ok(named(id, "put"))
}

#[redis_invalidate(tags = ["team:{team}"], on_failure = "retry")]
#[redis_put(user(1, ret.id), on_failure = "retry")]
async fn below_its_own_tag(team: u32, id: u64) -> Result<User, DbError> {
    let _ = team;
    yield_now().await;
    Ok(named(id, "put"))
}

#[tokio::test(start_paused = true)]
async fn c1_it_stands_above_and_below_an_invalidation_of_others() {
    in_memory(async {
        team(1).await;
        assert_eq!(after(above(1, 7)).await, some("put"));
        assert!(team_entry(1).peek().await.unwrap().is_none());
        team(1).await;
        assert_eq!(after(below(1, 7)).await, some("put"));
        assert!(team_entry(1).peek().await.unwrap().is_none());
        // What invalidates the very entry that is put has the last word.
        assert_eq!(after(above_its_own_tag(1, 7)).await, None);
        assert_eq!(after(below_its_own_tag(1, 7)).await, None);
    })
    .await;
}

struct Repo {
    team: u32,
}

#[redis_cached::methods]
impl Repo {
    #[redis_cached(key = "of:{self.team}:{id}", ttl = "5m")]
    async fn load(&self, id: u64) -> Result<User, DbError> {
        yield_now().await;
        Ok(named(id, "read"))
    }

    #[redis_put(self.load(ret.id), on_failure = "retry")]
    async fn rename(&mut self, id: u64, name: String) -> Result<User, DbError> {
        yield_now().await;
        self.team += 0;
        Ok(User { id, name })
    }

    #[redis_cached(key = "static:{id}", ttl = "5m")]
    async fn load_static(id: u64) -> Option<User> {
        let _ = Self::NAME;
        yield_now().await;
        Some(named(id, Self::NAME))
    }

    #[redis_put(Self::load_static(id) = Some(ret.clone()), on_failure = "retry")]
    async fn rename_static(id: u64, name: String) -> Option<User> {
        let _ = Self::NAME;
        yield_now().await;
        Some(User { id, name })
    }

    const NAME: &'static str = "read";
}

#[async_trait::async_trait]
trait Writes: Send + Sync {
    async fn save(&self, user: User) -> Result<User, DbError>;
    async fn touch(&self, id: u64, name: String) -> Result<(), DbError>;
}

#[async_trait::async_trait]
impl Writes for Repo {
    #[redis_put(self.load(user.id), user(1, ret.id), on_failure = "error")]
    async fn save(&self, user: User) -> Result<User, DbError> {
        yield_now().await;
        if user.name.is_empty() {
            return Err(DbError::No);
        }
        Ok(user)
    }

    #[redis_put(self.load(id) = named(id, "touched"), on_failure = "retry")]
    async fn touch(&self, id: u64, name: String) -> Result<(), DbError> {
        yield_now().await;
        drop(name);
        Ok(())
    }
}

#[redis_put(user(1, id.into()) = named(id.into(), &format!("{N}")), on_failure = "retry")]
async fn generic<T: Into<u64> + Copy + Send, const N: usize>(
    id: T,
    (first, _): ([u8; N], u8),
) -> u8 {
    yield_now().await;
    first[0]
}

#[redis_put(user(1, ret.id), on_failure = "retry")]
fn boxed(id: u64) -> Pin<Box<dyn Future<Output = User> + Send>> {
    if id == 0 {
        return Box::pin(async { named(0, "early") });
    }
    Box::pin(async move { named(id, "boxed") })
}

#[redis_put(user(1, id), on_failure = "retry")]
fn opaque(id: u64) -> impl Future<Output = User> + Send {
    async move { named(id, "opaque") }
}

fn sendable<T: Send>(value: T) -> T {
    value
}

#[tokio::test(start_paused = true)]
async fn c1_it_stands_on_all_kinds_of_functions() {
    in_memory(async {
        let mut repo = Repo { team: 3 };
        let of_repo = async |repo: &Repo| {
            repo.load_entry(7).peek().await.unwrap().map(|peek| peek.value.name)
        };
        repo.load(7).await.unwrap();
        repo.rename(7, "a".to_owned()).await.unwrap();
        assert_eq!(of_repo(&repo).await, some("a"));
        assert_eq!(of_repo(&Repo { team: 4 }).await, None);
        Repo::rename_static(7, "b".to_owned()).await;
        assert_eq!(Repo::load_static(7).await, Some(named(7, "b")));
        let writes: &dyn Writes = &repo;
        assert_eq!(after(writes.save(named(7, "c"))).await, some("c"));
        assert_eq!(of_repo(&repo).await, some("c"));
        assert_eq!(writes.save(named(7, "")).await, Err(DbError::No));
        assert_eq!(of_repo(&repo).await, None, "known by the parameters");
        assert_eq!(stored(7).await, some("c"), "known by what was not returned");
        // The old one is sent again for a while.
        tokio::time::sleep(Duration::from_secs(60)).await;
        writes.touch(7, String::new()).await.unwrap();
        assert_eq!(of_repo(&repo).await, some("touched"));
        assert_eq!(after(generic(7_u32, ([1, 2], 3))).await, some("2"));
        assert_eq!(after(boxed(7)).await, some("boxed"));
        boxed(0).await;
        assert_eq!(stored(0).await, some("early"));
        assert_eq!(after(opaque(7)).await, some("opaque"));
        sendable(rename(7, "x")).await.unwrap();
        sendable(opaque(7)).await;
    })
    .await;
}

#[redis_put(user(1, 7), on_failure = "error")]
async fn or_error(result: Result<User, DbError>) -> Result<User, DbError> {
    yield_now().await;
    result
}

#[tokio::test]
async fn c5_what_can_neither_be_put_nor_invalidated_is_the_functions_error() {
    in_memory(async {
        assert_eq!(after(or_error(Ok(named(7, "put")))).await, some("put"));
        assert_eq!(after(or_error(Err(DbError::No))).await, None);
    })
    .await;
    let nowhere = Cache::builder().url("redis://127.0.0.1:1/").build().await.unwrap();
    nowhere
        .scope(async {
            let told = Told::listen();
            let error = or_error(Ok(named(7, "put"))).await.unwrap_err();
            assert!(error.to_string().contains("not all was invalidated"), "{error}");
            assert_eq!(or_error(Err(DbError::No)).await, Err(DbError::No), "its own comes first");
            assert_eq!(rename(7, "a").await, Ok(named(7, "a")));
            assert!(told.text().contains("tried again behind the caller"), "{}", told.text());
        })
        .await;
    // It is there at shutdown, and says so.
    let told = Told::listen();
    let _ = nowhere.shutdown(Duration::from_millis(100)).await;
    drop(told);
}

#[redis_cached(key = "brief:{id}", ttl = "30s", jitter = "0%", refresh_before = "10s")]
async fn brief(id: u64) -> u64 {
    yield_now().await;
    id
}

#[redis_put(brief(1) = 99, on_failure = "retry")]
async fn slow(time: Duration) {
    tokio::time::sleep(time).await;
}

#[tokio::test(start_paused = true)]
async fn c3_what_is_put_is_as_old_as_the_body() {
    in_memory(async {
        brief(1).await;
        slow(Duration::from_secs(12)).await;
        let peek = brief_entry(1).peek().await.unwrap().expect("it is put");
        assert_eq!((peek.value, peek.age), (99, Some(Duration::from_secs(12))));
        assert_eq!(peek.state, State::Fresh);
        assert_eq!(brief_entry(1).ttl().await.unwrap(), Some(Duration::from_secs(18)));
        tokio::time::sleep(Duration::from_secs(9)).await;
        assert_eq!(brief_entry(1).peek().await.unwrap().unwrap().state, State::Stale);
        // What is over by then is not put, and the old value is gone too.
        slow(Duration::from_secs(29)).await;
        assert!(brief_entry(1).peek().await.unwrap().is_some());
        let long = async {
            tokio::time::sleep(Duration::from_secs(30)).await;
            // Somebody has read it meanwhile, before the change or behind it.
            brief(1).await;
        };
        tokio::join!(slow(Duration::from_secs(31)), long);
        assert!(brief_entry(1).peek().await.unwrap().is_none());
        let start = Instant::now();
        brief(1).await;
        assert!(brief_entry(1).peek().await.unwrap().is_some(), "no marker keeps it away");
        assert_eq!(start.elapsed(), Duration::ZERO);
    })
    .await;
}

// Two functions under one key: of two versions of a program, or two views of a row.

#[redis_cached(key = "account:{id}", ttl = "5m", jitter = "0%")]
async fn account(id: u64) -> User {
    yield_now().await;
    named(id, "read")
}

#[redis_cached(key = "account:{id}", ttl = "5m", jitter = "0%")]
async fn account_name(id: u64) -> String {
    yield_now().await;
    let _ = id;
    "read".to_owned()
}

#[redis_put(account(id), on_failure = "retry")]
async fn sets_account(id: u64) -> User {
    yield_now().await;
    named(id, "put")
}

#[redis_put(account(id), account_name(id) = &ret.name, on_failure = "retry")]
async fn sets_both(id: u64) -> User {
    yield_now().await;
    named(id, "put")
}

#[redis_invalidate(account(id), on_failure = "retry")]
async fn drops_account(id: u64) {
    let _ = id;
    yield_now().await;
}

/// In a rolling deploy the other half has entries of its own under the key, and an invalidation reaches them: so must what
/// takes its place.
#[tokio::test(start_paused = true)]
async fn c1_a_put_leaves_no_old_entry_of_another_function_under_its_key() {
    in_memory(async {
        let name_stored =
            async || account_name_entry(1).peek().await.unwrap().map(|peek| peek.value);
        account(1).await;
        account_name(1).await;
        assert_eq!(name_stored().await, some("read"), "both stand in one string");
        drops_account(1).await;
        assert_eq!(name_stored().await, None, "an invalidation reaches both");
        account(1).await;
        account_name(1).await;
        sets_account(1).await;
        let stored = name_stored().await;
        assert!(stored.is_none(), "the row has changed, and the other half is served {stored:?}");
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn c1_two_values_under_one_key_are_both_put_or_invalidated() {
    in_memory(async {
        account(1).await;
        account_name(1).await;
        sets_both(1).await;
        let name = account_name_entry(1).peek().await.unwrap().map(|peek| peek.value);
        let account = account_entry(1).peek().await.unwrap().map(|peek| peek.value.name);
        assert!(name.is_none_or(|name| name == "put"), "the name is old");
        assert!(account.is_none_or(|name| name == "put"), "the account is old");
    })
    .await;
}

#[redis_cached(key = "number:{id}", ttl = "5m")]
async fn number(id: u64) -> u64 {
    yield_now().await;
    id
}

#[redis_put(for id in 0..count => number(id) = 7, on_failure = "retry")]
async fn numbers(count: u64) {
    let _ = count;
    yield_now().await;
}

#[redis_put(number(1) = 8, for id in [1, 2, 1] => number(id) = id * 10, number(2) = 9, on_failure = "retry")]
async fn often() {
    yield_now().await;
}

#[tokio::test(start_paused = true)]
async fn c1_of_one_call_a_thousand_are_put_and_the_others_invalidated() {
    in_memory(async {
        let told = Told::listen();
        let number_stored =
            async |id| number_entry(id).peek().await.unwrap().map(|peek| peek.value);
        for id in 0..1_100 {
            number(id).await;
        }
        numbers(1_000).await;
        assert!(!told.text().contains("WARN"), "{}", told.text());
        for id in 0..1_100 {
            assert_eq!(number_stored(id).await, Some(if id < 1_000 { 7 } else { id }), "{id}");
        }
        numbers(1_050).await;
        for id in 0..1_100 {
            let expected = match id {
                0..1_000 => Some(7),
                1_000..1_050 => None,
                _ => Some(id),
            };
            assert_eq!(number_stored(id).await, expected, "{id}");
        }
        assert_eq!(told.text().matches("1,000 are put").count(), 1, "{}", told.text());
        // Of two for one entry the last is put.
        often().await;
        assert_eq!((number_stored(1).await, number_stored(2).await), (Some(10), Some(9)));
    })
    .await;
}

#[redis_cached(key = "erring:{id}", ttl = "5m", cache_err_if = |_| true, err_ttl = "5m")]
async fn erring(id: u64) -> Result<u64, String> {
    yield_now().await;
    Err(format!("there is no {id}"))
}

#[redis_put(erring(id), on_failure = "retry")]
async fn created(id: u64) -> u64 {
    yield_now().await;
    id
}

#[tokio::test(start_paused = true)]
async fn c1_a_put_takes_the_place_of_a_stored_error_and_of_a_marker() {
    in_memory(async {
        erring(1).await.unwrap_err();
        assert_eq!(created(1).await, 1);
        assert_eq!(erring(1).await, Ok(1));
        failing(1).await.unwrap_err();
        created_behind_a_marker(1).await;
        assert_eq!(failing(1).await, Ok(1));
    })
    .await;
}

#[redis_cached(key = "failing:{id}", ttl = "5m")]
async fn failing(id: u64) -> Result<u64, String> {
    yield_now().await;
    Err(format!("there is no {id}"))
}

#[redis_put(failing(id) = id, on_failure = "retry")]
async fn created_behind_a_marker(id: u64) {
    let _ = id;
    yield_now().await;
}

/// Of what is stored, the length.
#[derive(Debug, PartialEq, Eq)]
struct Pattern(usize);

#[redis_cached(
    key = "pattern:{id}", ttl = "1h", stored = String, save = |pattern| "x".repeat(pattern.0),
    load = |text| Pattern(text.len())
)]
async fn pattern(id: u64) -> Pattern {
    yield_now().await;
    let _ = id;
    Pattern(0)
}

#[redis_cached(key = "shared:{id}", ttl = "1h")]
async fn shared(id: u64) -> Result<Arc<User>, DbError> {
    yield_now().await;
    Ok(Arc::new(named(id, "read")))
}

#[redis_put(pattern(1), on_failure = "retry")]
async fn sets_pattern(length: usize) -> Result<Pattern, DbError> {
    yield_now().await;
    Ok(Pattern(length))
}

#[redis_put(shared(id), shared(id + 1) = Arc::clone(&ret), on_failure = "retry")]
async fn sets_shared(id: u64) -> Arc<User> {
    yield_now().await;
    Arc::new(named(id, "put"))
}

#[tokio::test(start_paused = true)]
async fn c6_what_is_put_is_read_back_as_what_its_function_returns() {
    in_memory(async {
        sets_pattern(7).await.unwrap();
        assert_eq!(pattern(1).await, Pattern(7));
        sets_shared(1).await;
        assert_eq!(*shared(1).await.unwrap(), named(1, "put"));
        assert_eq!(*shared(2).await.unwrap(), named(1, "put"));
    })
    .await;
}

#[redis_cached(key = "outer", ttl = "1h")]
async fn outer() -> Result<User, DbError> {
    tag("outer");
    rename(7, "put").await
}

/// What a body puts is no part of what it depends on.
#[tokio::test(start_paused = true)]
async fn a_put_inside_a_body_is_one_of_its_own() {
    in_memory(async {
        outer().await.unwrap();
        assert_eq!(stored(7).await, some("put"));
        redis_cached::invalidate_tags(["outer"]).await.unwrap();
        assert!(outer_entry().peek().await.unwrap().is_none());
        assert_eq!(stored(7).await, some("put"));
        outer().await.unwrap();
        redis_cached::invalidate_tags(["team:1"]).await.unwrap();
        assert!(outer_entry().peek().await.unwrap().is_some());
        assert_eq!(stored(7).await, None);
    })
    .await;
}

/// Polled by nobody's runtime, as by `block_on` of another executor.
#[test]
fn c1_without_a_runtime_it_is_put_or_invalidated() {
    use std::task::{Context, Waker};
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let cache = runtime.block_on(memory());
    let old = runtime.block_on(cache.scope(async {
        user(1, 7).await.unwrap();
        stored(7).await
    }));
    assert_eq!(old, some("read"));
    for (name, expected) in [("put", Some("put")), ("", None)] {
        let mut write = pin!(cache.scope(rename_known(7, name)));
        let ended = (0..100)
            .any(|_| write.as_mut().poll(&mut Context::from_waker(Waker::noop())).is_ready());
        assert!(ended, "it does not wait for anybody");
        let stored = runtime.block_on(cache.scope(stored(7)));
        assert!(stored.is_none() || stored.as_deref() == expected, "{stored:?}");
    }
}
