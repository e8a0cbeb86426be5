//! A client that logs in somewhere: the token says itself for how long it may be used.

use std::time::Duration;

use redis_cached::{Cache, Entry, State, redis_cached};
use redis_cached_tests::{Gate, in_time};
use serde::{Deserialize, Serialize};
use tokio::task::JoinSet;
use tokio::time::Instant;

use crate::stage::{MINUTE, SECOND, Stage, on_both, refreshed};
use crate::table::Table;

/// What a request may take between the look at the token and its use at the other end.
const MARGIN: Duration = SECOND;

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
struct Token {
    bearer: String,
    expires_in: u64,
}

impl Token {
    fn may_be_used_for(&self) -> Duration {
        Duration::from_secs(self.expires_in).saturating_sub(MARGIN)
    }
}

#[derive(Clone, Debug, PartialEq, thiserror::Error)]
enum LoginError {
    #[error("no such client")]
    Denied,
}

#[derive(Clone)]
struct Client {
    cache: Cache,
    /// How many seconds the tokens of a client live.
    lives: Table<u32, u64>,
}

impl Client {
    #[redis_cached(
        key = "token:{client}", ttl = "1h", refresh_before = "1m", jitter = "0%", wait = "5m", skip(self),
        cache = self.cache, ttl_with = Token::may_be_used_for
    )]
    async fn token(&self, client: u32) -> Result<Token, LoginError> {
        let expires_in = self.lives.read(&client).await.ok_or(LoginError::Denied)?;
        Ok(Token { bearer: format!("{client}/{}", self.lives.reads()), expires_in })
    }

    async fn bearer(&self, client: u32) -> String {
        self.token(client).await.expect("the client is known").bearer
    }

    fn entry(&self, client: u32) -> Entry<Token> {
        self.token_entry(client).of_value()
    }
}

fn clients(Stage { a, b, .. }: &Stage, gate: Gate) -> [Client; 2] {
    // Longer than the `ttl` of the function, shorter, shorter than its window, and not at all.
    let lives = Table::behind(gate, [(1, 7_200), (2, 600), (3, 30), (4, 0), (5, 1)]);
    [a, b].map(|cache| Client { cache: cache.clone(), lives: lives.clone() })
}

async fn one_login_is_for_all_processes(stage: &Stage) {
    let [a, b] = clients(stage, Gate::closed());
    let mut calls = JoinSet::new();
    for process in [&a, &b, &a, &b, &a, &b] {
        let process = process.clone();
        calls.spawn(async move { process.bearer(2).await });
    }
    a.lives.gate().started(1).await;
    a.lives.gate().let_all_go();
    let bearers = in_time("all have one", calls.join_all()).await;
    assert_eq!(bearers, ["2/1"; 6]);
    assert_eq!(a.lives.reads(), 1);
}

async fn a_token_is_kept_for_as_long_as_it_may_be_used(stage: &Stage) {
    let [a, b] = clients(stage, Gate::open());
    for (reads, client, lives) in [(1, 1, 7_199), (2, 2, 599), (3, 3, 29)] {
        let bearer = format!("{client}/{reads}");
        assert_eq!(a.bearer(client).await, bearer);
        assert_eq!(b.bearer(client).await, bearer);
        assert_eq!(a.lives.reads(), reads);
        let (left, lives) = (b.entry(client).ttl().await.unwrap(), SECOND * lives);
        let left = left.expect("it is stored");
        assert!(left <= lives && left > lives / 2, "{left:?} of {lives:?}");
    }
}

async fn a_token_that_has_no_life_left_is_used_and_not_kept(stage: &Stage) {
    let [a, b] = clients(stage, Gate::open());
    for (reads, client, process) in [(1, 4, &a), (2, 4, &b), (3, 5, &b), (4, 5, &a)] {
        assert_eq!(process.bearer(client).await, format!("{client}/{reads}"));
        assert_eq!(a.lives.reads(), reads);
        assert!(b.entry(client).peek().await.unwrap().is_none());
    }
    assert_eq!(a.token(9).await, Err(LoginError::Denied));
    assert_eq!(b.token(9).await, Err(LoginError::Denied));
    assert_eq!(a.lives.reads(), 6);
}

async fn a_token_without_life_drives_out_the_one_before(stage: &Stage) {
    let [a, b] = clients(stage, Gate::open());
    assert_eq!(a.bearer(2).await, "2/1");
    a.lives.write(2, 0);
    assert_eq!(b.token_refresh(2).await.unwrap().bearer, "2/2");
    assert!(a.entry(2).peek().await.unwrap().is_none());
    a.lives.write(2, 600);
    assert_eq!(a.bearer(2).await, "2/3");
}

async fn nobody_waits_for_the_next_token(stage: &Stage) {
    let [a, b] = clients(stage, Gate::closed());
    a.lives.gate().let_go(1);
    assert_eq!(a.bearer(2).await, "2/1");
    b.entry(2).expire().await.unwrap();
    for process in [&a, &b, &a] {
        assert_eq!(in_time("a stale hit", process.bearer(2)).await, "2/1");
    }
    a.lives.gate().started(2).await;
    assert_eq!(in_time("a stale hit", b.bearer(2)).await, "2/1");
    a.lives.gate().let_all_go();
    refreshed(&a.entry(2)).await;
    assert_eq!(a.bearer(2).await, "2/2");
    assert_eq!(b.bearer(2).await, "2/2");
    assert_eq!(a.lives.reads(), 2);
}

async fn c1_a_token_that_was_revoked_is_used_no_more(stage: &Stage) {
    let [a, b] = clients(stage, Gate::closed());
    let revocation = async {
        a.lives.gate().started(1).await;
        b.entry(2).invalidate().await.unwrap();
        a.lives.gate().let_all_go();
    };
    let (early, ()) = tokio::join!(a.bearer(2), revocation);
    assert_eq!(early, "2/1", "who asked before has it");
    assert_eq!(a.bearer(2).await, "2/2");
    assert_eq!(b.bearer(2).await, "2/2");
    b.entry(2).invalidate().await.unwrap();
    assert_eq!(a.bearer(2).await, "2/3");
    assert_eq!(a.lives.reads(), 3);
}

on_both! {
    one_login_is_for_all_processes,
    a_token_is_kept_for_as_long_as_it_may_be_used,
    a_token_that_has_no_life_left_is_used_and_not_kept,
    a_token_without_life_drives_out_the_one_before,
    nobody_waits_for_the_next_token,
    c1_a_token_that_was_revoked_is_used_no_more,
}

/// A request every second for half an hour: none has a token that has ended, and none waits for one.
#[tokio::test(start_paused = true)]
async fn c3_a_busy_client_always_has_a_token_and_never_an_old_one() {
    let [a, b] = clients(&Stage::memory().await, Gate::open());
    let (mut issued, mut newest) = (Instant::now(), String::new());
    for second in 0..1_800 {
        let (process, asked) = (if second % 2 == 0 { &a } else { &b }, Instant::now());
        let bearer = process.bearer(2).await;
        assert_eq!(asked.elapsed(), Duration::ZERO, "it waited after {second} s");
        if bearer != newest {
            // The refresh ran within the second before.
            (issued, newest) = (asked.checked_sub(SECOND).unwrap_or(asked), bearer);
        }
        let age = issued.elapsed();
        assert!(age < SECOND * 599, "{newest} is {age:?} old after {second} s");
        tokio::time::sleep(SECOND).await;
    }
    // Due after 539 s of 599.
    assert_eq!((newest.as_str(), a.lives.reads()), ("2/4", 4));
}

#[tokio::test(start_paused = true)]
async fn c3_a_token_is_due_a_minute_before_its_end_and_ends_then() {
    let [a, b] = clients(&Stage::memory().await, Gate::open());
    let state = async |client| a.entry(client).peek().await.unwrap().map(|stored| stored.state);
    a.bearer(2).await;
    a.bearer(3).await;
    for (seconds, ten_minutes, half_a_minute) in [
        (28, Some(State::Fresh), Some(State::Fresh)),
        (1, Some(State::Fresh), None),
        (509, Some(State::Fresh), None),
        (1, Some(State::Stale), None),
        (59, Some(State::Stale), None),
        (1, None, None),
    ] {
        tokio::time::advance(SECOND * seconds).await;
        let seen = (state(2).await, state(3).await);
        assert_eq!(seen, (ten_minutes, half_a_minute), "{seconds} s later");
    }
    assert_eq!(b.bearer(3).await, "3/3");
    assert_eq!(b.bearer(2).await, "2/4");
    assert_eq!(a.lives.reads(), 4);
    let hour = MINUTE * 60;
    assert_eq!(b.bearer(1).await, "1/5");
    tokio::time::advance(hour).await;
    assert_eq!(a.bearer(1).await, "1/5", "two hours, whatever the function says");
}
