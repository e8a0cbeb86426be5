//! Values past their ttl, where computing a new one fails or takes too long.

use std::ffi::OsStr;
use std::future::poll_fn;
use std::os::unix::ffi::OsStrExt;
use std::path::PathBuf;
use std::pin::pin;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use redis_cached::private::{Gathering, tag_name};
use redis_cached::{Answer, Cache, TimedOut, observe, redis_cached};
use redis_cached_tests::Told;
use tokio::task::JoinSet;
use tokio::time::Instant;

use crate::origin::{memory, settle};

#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
enum Problem {
    Down,
    NotFound,
    TooSlow,
}

impl From<TimedOut> for Problem {
    fn from(_: TimedOut) -> Self {
        Self::TooSlow
    }
}

/// As `Problem`, and nobody else can have it.
#[derive(Debug, PartialEq, Eq)]
struct Lonely(Problem);

/// Gives a higher number each time, or fails, and takes its time, as it is told.
#[derive(Clone, Debug)]
struct Source(Arc<Inner>);

#[derive(Debug, Default)]
struct Inner {
    bodies: AtomicUsize,
    ended: AtomicUsize,
    mood: Mutex<(Option<Problem>, Duration)>,
}

impl Source {
    fn new() -> Self {
        Self(Arc::default())
    }

    fn fails(&self, how: impl Into<Option<Problem>>) {
        self.0.mood.lock().unwrap().0 = how.into();
    }

    fn takes(&self, time: Duration) {
        self.0.mood.lock().unwrap().1 = time;
    }

    async fn read(&self) -> Result<usize, Problem> {
        let number = self.0.bodies.fetch_add(1, Ordering::SeqCst) + 1;
        let (problem, time) = self.0.mood.lock().unwrap().clone();
        if !time.is_zero() {
            tokio::time::sleep(time).await;
        }
        self.0.ended.fetch_add(1, Ordering::SeqCst);
        problem.map_or(Ok(number), Err)
    }

    fn bodies(&self) -> usize {
        self.0.bodies.load(Ordering::SeqCst)
    }

    fn ended(&self) -> usize {
        self.0.ended.load(Ordering::SeqCst)
    }
}

async fn pass(seconds: u64) {
    tokio::time::sleep(Duration::from_secs(seconds)).await;
}

fn age(answer: Answer) -> u64 {
    match answer {
        Answer::Kept { age } => age.as_secs(),
        other => panic!("{other:?}"),
    }
}

#[redis_cached(key = "kept:{id}", ttl = "1m", stale_if_error = "10m", jitter = "0%", skip(source), cache = cache)]
async fn kept(cache: &Cache, source: &Source, id: u64) -> Result<usize, Problem> {
    source.read().await
}

#[tokio::test(start_paused = true)]
async fn c3_past_its_ttl_a_value_is_served_only_where_computing_fails_and_not_for_longer() {
    let (cache, source) = (memory().await, Source::new());
    assert_eq!(kept(&cache, &source, 1).await, Ok(1));
    pass(61).await;
    // To who looks without computing it is not there.
    assert!(kept_entry(&cache, 1).peek().await.unwrap().is_none());
    let rest = kept_entry(&cache, 1).ttl().await.unwrap().unwrap();
    assert!((590..=600).contains(&rest.as_secs()), "{rest:?}");
    // A body that ends well is preferred.
    assert_eq!(kept(&cache, &source, 1).await, Ok(2));

    source.fails(Problem::Down);
    let mut passed = 0;
    while passed < 650 {
        pass(10).await;
        passed += 10;
        let (value, observed) = observe(kept(&cache, &source, 1)).await;
        assert_eq!(value, Ok(2), "after {passed} s");
        match observed.calls[0].answer {
            Answer::Hit { .. } => assert!(passed <= 60, "after {passed} s"),
            kept => assert_eq!(age(kept), passed),
        }
    }
    pass(11).await;
    assert_eq!(kept(&cache, &source, 1).await, Err(Problem::Down));
    source.fails(None);
    assert!(kept(&cache, &source, 1).await.is_ok());
}

#[tokio::test(start_paused = true)]
async fn c3_a_value_whose_end_comes_while_the_body_runs_is_not_served() {
    let (cache, source) = (memory().await, Source::new());
    assert_eq!(kept(&cache, &source, 1).await, Ok(1));
    source.fails(Problem::Down);
    source.takes(Duration::from_secs(30));
    pass(600).await;
    assert_eq!(kept(&cache, &source, 1).await, Ok(1));
    pass(10).await;
    assert_eq!(kept(&cache, &source, 1).await, Err(Problem::Down), "670 s old");
}

#[tokio::test(start_paused = true)]
async fn c3_a_body_slower_than_its_ttl_is_not_stored_though_it_would_be_kept_for_longer() {
    let (cache, source) = (memory().await, Source::new());
    source.takes(Duration::from_secs(61));
    assert_eq!(kept(&cache, &source, 1).await, Ok(1));
    assert_eq!(kept_entry(&cache, 1).ttl().await.unwrap(), None);
}

#[tokio::test(start_paused = true)]
async fn a_failing_origin_sees_one_probe_for_each_interval() {
    let (cache, source) = (memory().await, Source::new());
    assert_eq!(kept(&cache, &source, 1).await, Ok(1));
    pass(61).await;
    source.fails(Problem::Down);
    source.takes(Duration::from_millis(50));
    // Ten callers every 100 ms, for a minute.
    for _ in 0..600 {
        let mut callers = JoinSet::new();
        for _ in 0..10 {
            let (cache, source) = (cache.clone(), source.clone());
            callers.spawn(async move { kept(&cache, &source, 1).await });
        }
        assert_eq!(callers.join_all().await, vec![Ok(1); 10]);
        pass(0).await;
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    // After 1 s, 2 s, 4 s and then every 5 s.
    let probes = source.bodies() - 1;
    assert!((10..=24).contains(&probes), "{probes} probes in about a minute");
}

#[tokio::test(start_paused = true)]
async fn between_probes_callers_do_not_wait() {
    let (cache, source) = (memory().await, Source::new());
    assert_eq!(kept(&cache, &source, 1).await, Ok(1));
    pass(61).await;
    source.fails(Problem::Down);
    source.takes(Duration::from_secs(20));
    assert_eq!(kept(&cache, &source, 1).await, Ok(1));
    settle().await;
    let start = Instant::now();
    for _ in 0..100 {
        assert_eq!(kept(&cache, &source, 1).await, Ok(1));
    }
    assert_eq!((start.elapsed(), source.bodies()), (Duration::ZERO, 2));
    // Where there is nothing older, nobody is kept from computing.
    assert_eq!(kept(&cache, &source, 2).await, Err(Problem::Down));
}

#[redis_cached(key = "told:{id}", ttl = "1m", stale_if_error = "10m", jitter = "0%", skip(source), cache = cache)]
async fn told_of(cache: &Cache, source: &Source, id: u64) -> Result<usize, Problem> {
    source.read().await
}

#[tokio::test(start_paused = true)]
async fn it_is_told_once_that_computing_fails_and_once_that_it_works_again() {
    let (cache, source) = (memory().await, Source::new());
    let told = Told::listen();
    told_of(&cache, &source, 1).await.unwrap();
    source.fails(Problem::Down);
    for _ in 0..5 {
        pass(70).await;
        told_of(&cache, &source, 1).await.unwrap();
    }
    source.fails(None);
    pass(70).await;
    told_of(&cache, &source, 1).await.unwrap();
    let text = told.text();
    assert_eq!(text.matches("values are served that are past their ttl").count(), 1, "{text}");
    assert_eq!(text.matches("computing works again").count(), 1, "{text}");
}

#[redis_cached(
    key = "choosy:{id}", ttl = "1m", stale_if_error = "10m", stale_if = |error| *error != Problem::NotFound,
    jitter = "0%", skip(source), cache = cache
)]
async fn choosy(cache: &Cache, source: &Source, id: u64) -> Result<usize, Problem> {
    source.read().await
}

#[tokio::test(start_paused = true)]
async fn an_error_that_is_an_answer_is_returned() {
    let (cache, source) = (memory().await, Source::new());
    assert_eq!(choosy(&cache, &source, 1).await, Ok(1));
    pass(61).await;
    source.fails(Problem::NotFound);
    assert_eq!(choosy(&cache, &source, 1).await, Err(Problem::NotFound));
    pass(2).await;
    source.fails(Problem::Down);
    assert_eq!(choosy(&cache, &source, 1).await, Ok(1));
}

#[redis_cached(
    key = "storing:{id}", ttl = "1m", stale_if_error = "10m", cache_err_if = |_| true, err_ttl = "10s",
    jitter = "0%", skip(source), cache = cache
)]
async fn storing(cache: &Cache, source: &Source, id: u64) -> Result<usize, Problem> {
    source.read().await
}

#[redis_cached(
    key = "storing_both:{id}", ttl = "1m", stale_if_error = "10m", cache_err_if = |_| true, err_ttl = "10s",
    stale_if = |error| *error == Problem::Down, jitter = "0%", skip(source), cache = cache
)]
async fn storing_both(cache: &Cache, source: &Source, id: u64) -> Result<usize, Problem> {
    source.read().await
}

#[tokio::test(start_paused = true)]
async fn an_error_that_is_stored_is_an_answer_unless_stale_if_says_otherwise() {
    let (cache, source) = (memory().await, Source::new());
    assert_eq!(storing(&cache, &source, 1).await, Ok(1));
    assert_eq!(storing_both(&cache, &source, 1).await, Ok(2));
    pass(61).await;
    source.fails(Problem::Down);
    for _ in 0..2 {
        assert_eq!(storing(&cache, &source, 1).await, Err(Problem::Down));
        // And it does not drive out what is served in its stead.
        assert_eq!(storing_both(&cache, &source, 1).await, Ok(2));
        pass(2).await;
    }
    source.fails(Problem::NotFound);
    pass(20).await;
    assert_eq!(storing_both(&cache, &source, 1).await, Err(Problem::NotFound));
    let bodies = source.bodies();
    assert_eq!(storing_both(&cache, &source, 1).await, Err(Problem::NotFound));
    assert_eq!(source.bodies(), bodies, "stored");
    // Past its own ttl it is nothing to anybody.
    pass(20).await;
    source.fails(Problem::Down);
    assert_eq!(storing_both(&cache, &source, 1).await, Err(Problem::Down));
    // Without an older value every error is stored.
    source.fails(Problem::Down);
    assert_eq!(storing_both(&cache, &source, 2).await, Err(Problem::Down));
    let bodies = source.bodies();
    assert_eq!(storing_both(&cache, &source, 2).await, Err(Problem::Down));
    assert_eq!(source.bodies(), bodies, "stored");
}

#[redis_cached(
    key = "tagged:{id}", ttl = "1m", stale_if_error = "10m", tags = ["team:{team}"], jitter = "0%", skip(source),
    cache = cache
)]
async fn tagged(cache: &Cache, source: &Source, id: u64, team: u64) -> Result<usize, Problem> {
    source.read().await
}

#[tokio::test(start_paused = true)]
async fn c1_what_was_invalidated_is_not_served_where_computing_fails() {
    let (cache, source) = (memory().await, Source::new());
    for by_tag in [false, true] {
        source.fails(None);
        assert!(tagged(&cache, &source, 1, 7).await.is_ok());
        pass(61).await;
        source.fails(Problem::Down);
        assert!(tagged(&cache, &source, 1, 7).await.is_ok());
        if by_tag {
            cache.invalidate_tags(["team:7"]).await.unwrap();
        } else {
            tagged_entry(&cache, 1, 7).invalidate().await.unwrap();
        }
        assert_eq!(tagged(&cache, &source, 1, 7).await, Err(Problem::Down));
        pass(10).await;
    }
}

#[tokio::test(start_paused = true)]
async fn what_was_expired_is_served_where_computing_fails() {
    let (cache, source) = (memory().await, Source::new());
    for by_tag in [false, true] {
        source.fails(None);
        let first = tagged(&cache, &source, 1, 7).await.unwrap();
        if by_tag {
            cache.expire_tags(["team:7"]).await.unwrap();
        } else {
            tagged_entry(&cache, 1, 7).expire().await.unwrap();
        }
        source.fails(Problem::Down);
        assert_eq!(tagged(&cache, &source, 1, 7).await, Ok(first));
        pass(10).await;
        source.fails(None);
        assert!(tagged(&cache, &source, 1, 7).await.unwrap() > first);
        tagged_entry(&cache, 1, 7).invalidate().await.unwrap();
    }
}

#[redis_cached(key = "lonely:{id}", ttl = "1m", stale_if_error = "10m", jitter = "0%", skip(source), cache = cache)]
async fn lonely(cache: &Cache, source: &Source, id: u64) -> Result<usize, Lonely> {
    source.read().await.map_err(Lonely)
}

#[tokio::test(start_paused = true)]
async fn all_who_share_a_flight_that_fails_get_the_old_value_of_their_own_look() {
    let (cache, source) = (memory().await, Source::new());
    kept(&cache, &source, 1).await.unwrap();
    lonely(&cache, &source, 1).await.unwrap();
    pass(61).await;
    source.fails(Problem::Down);
    source.takes(Duration::from_secs(1));
    for shareable in [true, false] {
        let bodies = source.bodies();
        let mut callers = JoinSet::new();
        for _ in 0..50 {
            let (cache, source) = (cache.clone(), source.clone());
            callers.spawn(async move {
                if shareable {
                    kept(&cache, &source, 1).await.unwrap()
                } else {
                    lonely(&cache, &source, 1).await.unwrap()
                }
            });
        }
        let old = if shareable { 1 } else { 2 };
        assert_eq!(callers.join_all().await, vec![old; 50]);
        assert_eq!(source.bodies(), bodies + 1);
    }
}

#[tokio::test(start_paused = true)]
async fn c1_who_comes_after_an_invalidation_shares_no_old_value_of_the_flight_it_meets() {
    let (cache, source) = (memory().await, Source::new());
    kept(&cache, &source, 1).await.unwrap();
    pass(61).await;
    source.fails(Problem::Down);
    source.takes(Duration::from_secs(1));
    let call = || {
        let (cache, source) = (cache.clone(), source.clone());
        tokio::spawn(async move { kept(&cache, &source, 1).await })
    };
    let before = call();
    settle().await;
    kept_entry(&cache, 1).invalidate().await.unwrap();
    let after = call();
    assert_eq!(before.await.unwrap(), Ok(1), "it was called before");
    assert_eq!(after.await.unwrap(), Err(Problem::Down));
}

#[redis_cached(
    key = "terms:{id}", ttl = "1m", stale_if_error = "10m", max_age = age, no_store_if = reads_only,
    accept_if = |value: &usize| *value >= least, jitter = "0%", skip(source), cache = cache
)]
async fn terms(
    cache: &Cache,
    source: &Source,
    id: u64,
    age: Option<Duration>,
    reads_only: bool,
    least: usize,
) -> Result<usize, Problem> {
    source.read().await
}

#[tokio::test(start_paused = true)]
async fn the_terms_of_a_call_hold_for_what_is_served_on_error() {
    let (cache, source) = (memory().await, Source::new());
    assert_eq!(terms(&cache, &source, 1, None, false, 0).await, Ok(1));
    pass(100).await;
    source.fails(Problem::Down);
    let ago = |seconds| Some(Duration::from_secs(seconds));
    assert_eq!(terms(&cache, &source, 1, ago(50), false, 0).await, Err(Problem::Down));
    pass(10).await;
    assert_eq!(terms(&cache, &source, 1, ago(200), false, 0).await, Ok(1));
    pass(10).await;
    assert_eq!(terms(&cache, &source, 1, None, false, 2).await, Err(Problem::Down));
    pass(10).await;
    assert_eq!(terms(&cache, &source, 1, None, true, 0).await, Ok(1));
    // By force nothing old is wanted.
    assert_eq!(terms_refresh(&cache, &source, 1, None, false, 0).await, Err(Problem::Down));
}

#[redis_cached(key = "outer:{id}", ttl = "1m", skip(source), cache = cache)]
async fn outer(cache: &Cache, source: &Source, id: u64) -> Result<usize, Problem> {
    Ok(100 + kept(cache, source, id).await?)
}

#[tokio::test(start_paused = true)]
async fn c3_what_is_made_of_a_value_past_its_ttl_is_not_stored() {
    let (cache, source) = (memory().await, Source::new());
    kept(&cache, &source, 1).await.unwrap();
    pass(61).await;
    source.fails(Problem::Down);
    for _ in 0..3 {
        assert_eq!(outer(&cache, &source, 1).await, Ok(101));
        assert!(outer_entry(&cache, 1).peek().await.unwrap().is_none());
    }
    source.fails(None);
    pass(10).await;
    assert_eq!(outer(&cache, &source, 1).await, Ok(103));
    assert!(outer_entry(&cache, 1).peek().await.unwrap().is_some());
}

#[redis_cached(
    key = "moved:{id}", ttl = "1m", stale_if_error = "10m", jitter = "0%", skip(source), cache = cache,
    stored = usize, save = |value: &String| value.parse::<usize>().ok(), load = |stored| format!("{stored}")
)]
async fn converted(cache: &Cache, source: Source, id: u64) -> Result<String, Problem> {
    source.read().await.map(|number| number.to_string())
}

#[tokio::test(start_paused = true)]
async fn what_is_stored_as_another_type_is_made_into_the_value_before_the_body_takes_the_arguments()
{
    let (cache, source) = (memory().await, Source::new());
    assert_eq!(converted(&cache, source.clone(), 1).await.as_deref(), Ok("1"));
    pass(61).await;
    source.fails(Problem::Down);
    assert_eq!(converted(&cache, source.clone(), 1).await.as_deref(), Ok("1"));
    assert_eq!(source.bodies(), 2);
}

struct Settings {
    stale: Duration,
    limit: Duration,
}

#[redis_cached(
    key = "set_up:{id}", ttl = "1m", stale_if_error = settings.stale, timeout = settings.limit, jitter = "0%",
    skip(source, settings), cache = cache
)]
async fn set_up(
    cache: &Cache,
    source: &Source,
    settings: &Settings,
    id: u64,
) -> Result<usize, Problem> {
    source.read().await
}

#[tokio::test(start_paused = true)]
async fn durations_may_be_known_at_run_time_only() {
    let (cache, source) = (memory().await, Source::new());
    let settings = Settings { stale: Duration::from_secs(300), limit: Duration::from_secs(2) };
    assert_eq!(set_up(&cache, &source, &settings, 1).await, Ok(1));
    source.takes(Duration::from_secs(3));
    assert_eq!(set_up(&cache, &source, &settings, 2).await, Err(Problem::TooSlow));
    pass(350).await;
    assert_eq!(set_up(&cache, &source, &settings, 1).await, Ok(1));
    pass(10).await;
    assert_eq!(set_up(&cache, &source, &settings, 1).await, Err(Problem::TooSlow));
}

#[redis_cached(key = "limited:{id}", ttl = "10m", timeout = "2s", skip(source), cache = cache)]
async fn limited(cache: &Cache, source: &Source, id: u64) -> Result<usize, Problem> {
    source.read().await
}

#[tokio::test(start_paused = true)]
async fn a_body_that_takes_longer_than_its_timeout_is_dropped_for_all_who_wait() {
    let (cache, source) = (memory().await, Source::new());
    source.takes(Duration::from_secs(3));
    let start = Instant::now();
    let mut callers = JoinSet::new();
    for _ in 0..20 {
        let (cache, source) = (cache.clone(), source.clone());
        callers.spawn(async move { limited(&cache, &source, 1).await });
    }
    assert_eq!(callers.join_all().await, vec![Err(Problem::TooSlow); 20]);
    // Who came when the first body ran already shares the second.
    assert_eq!((start.elapsed().as_secs(), source.bodies(), source.ended()), (4, 2, 0));
    // Also where it can't share: without a lease, and by force.
    assert_eq!(limited_refresh(&cache, &source, 1).await, Err(Problem::TooSlow));
    source.takes(Duration::from_secs(1));
    pass(10).await;
    assert!(limited(&cache, &source, 1).await.is_ok());
    pass(10).await;
    assert_eq!(source.ended(), 1);
}

#[redis_cached(key = "patient:{id}", ttl = "1h", timeout = "10m", skip(source), cache = cache)]
async fn patient(cache: &Cache, source: &Source, id: u64) -> Result<usize, Problem> {
    source.read().await
}

#[tokio::test(start_paused = true)]
async fn a_lease_is_renewed_for_as_long_as_the_body_may_take() {
    let (cache, source) = (memory().await, Source::new());
    source.takes(Duration::from_secs(500));
    assert_eq!(patient(&cache, &source, 1).await, Ok(1));
    assert!(patient_entry(&cache, 1).peek().await.unwrap().is_some());
}

#[redis_cached(
    key = "refreshed:{id}", ttl = "10m", refresh_before = "9m", timeout = "2s", jitter = "0%", skip(source),
    cache = cache
)]
async fn refreshed(cache: &Cache, source: &Source, id: u64) -> Result<usize, Problem> {
    source.read().await
}

#[tokio::test(start_paused = true)]
async fn a_refresh_that_takes_too_long_leaves_the_old_value() {
    let (cache, source) = (memory().await, Source::new());
    assert_eq!(refreshed(&cache, &source, 1).await, Ok(1));
    source.takes(Duration::from_secs(3600));
    pass(100).await;
    for _ in 0..5 {
        assert_eq!(refreshed(&cache, &source, 1).await, Ok(1));
        pass(20).await;
    }
    assert!(source.bodies() > 3, "each is dropped, and then another one tries");
    assert_eq!(source.ended(), 1);
    tokio::time::timeout(Duration::from_secs(1), cache.shutdown(Duration::from_secs(10)))
        .await
        .expect("nothing is under way")
        .unwrap();
}

#[redis_cached(
    key = "soft:{id}", ttl = "1m", stale_if_error = "10m", soft_timeout = "100ms",
    stale_if = |error| *error != Problem::NotFound, jitter = "0%", skip(source), cache = cache
)]
async fn soft(cache: &Cache, source: &Source, id: u64) -> Result<usize, Problem> {
    source.read().await
}

#[tokio::test(start_paused = true)]
async fn past_the_soft_timeout_the_old_value_is_served_and_the_body_goes_on() {
    let (cache, source) = (memory().await, Source::new());
    source.takes(Duration::from_secs(1));
    // Without an older value there is nothing to be served early.
    assert_eq!(soft(&cache, &source, 1).await, Ok(1));
    pass(61).await;
    let start = Instant::now();
    let mut callers = JoinSet::new();
    for _ in 0..50 {
        let (cache, source) = (cache.clone(), source.clone());
        callers.spawn(async move { observe(soft(&cache, &source, 1)).await });
    }
    for (value, observed) in callers.join_all().await {
        assert_eq!((value, age(observed.calls[0].answer)), (Ok(1), 62));
    }
    assert_eq!((start.elapsed(), source.bodies()), (Duration::from_millis(100), 2));
    pass(2).await;
    let (value, observed) = observe(soft(&cache, &source, 1)).await;
    assert_eq!((value, observed.hits(), source.bodies()), (Ok(2), 1, 2));
}

#[tokio::test(start_paused = true)]
async fn a_body_that_ends_before_the_soft_timeout_is_the_answer() {
    let (cache, source) = (memory().await, Source::new());
    assert_eq!(soft(&cache, &source, 1).await, Ok(1));
    source.takes(Duration::from_millis(50));
    pass(61).await;
    let (value, observed) = observe(soft(&cache, &source, 1)).await;
    assert_eq!(value, Ok(2));
    assert_eq!(observed.calls[0].answer, Answer::Computed { stored: true });
    pass(61).await;
    source.fails(Problem::Down);
    assert_eq!(soft(&cache, &source, 1).await, Ok(2));
    pass(10).await;
    source.fails(Problem::NotFound);
    assert_eq!(soft(&cache, &source, 1).await, Err(Problem::NotFound));
}

#[tokio::test(start_paused = true)]
async fn c1_what_is_invalidated_while_a_body_goes_on_is_not_stored_by_it() {
    let (cache, source) = (memory().await, Source::new());
    assert_eq!(soft(&cache, &source, 1).await, Ok(1));
    source.takes(Duration::from_secs(5));
    pass(61).await;
    assert_eq!(soft(&cache, &source, 1).await, Ok(1));
    soft_entry(&cache, 1).invalidate().await.unwrap();
    source.takes(Duration::ZERO);
    assert_eq!(soft(&cache, &source, 1).await, Ok(3), "it waits for no body from before");
    pass(10).await;
    assert_eq!(source.ended(), 3);
    assert_eq!(soft(&cache, &source, 1).await, Ok(3));
}

#[redis_cached(key = "soft_outer:{id}", ttl = "1m", skip(source), cache = cache)]
async fn soft_outer(cache: &Cache, source: &Source, id: u64) -> Result<usize, Problem> {
    soft(cache, source, id).await
}

#[tokio::test(start_paused = true)]
async fn inside_another_body_a_call_waits_for_its_own() {
    let (cache, source) = (memory().await, Source::new());
    assert_eq!(soft(&cache, &source, 1).await, Ok(1));
    source.takes(Duration::from_secs(1));
    pass(61).await;
    assert_eq!(soft_outer(&cache, &source, 1).await, Ok(2));
    assert!(soft_outer_entry(&cache, 1).peek().await.unwrap().is_some());
}

#[tokio::test(start_paused = true)]
async fn so_many_bodies_go_on_in_the_background_and_no_more() {
    let cache = Cache::builder().url("memory://").max_refreshes(2).build().await.unwrap();
    let source = Source::new();
    for id in 0..5 {
        soft(&cache, &source, id).await.unwrap();
    }
    source.takes(Duration::from_secs(3600));
    pass(61).await;
    let start = Instant::now();
    for id in 0..5 {
        assert!(soft(&cache, &source, id).await.is_ok());
    }
    // Whose caller leaves without room ends there.
    assert_eq!((start.elapsed(), source.bodies()), (Duration::from_millis(500), 10));
    // Those that go on are waited for, and dropped in the end.
    let error = cache.shutdown(Duration::from_secs(5)).await.unwrap_err();
    assert_eq!(error.unfinished(), 2);
}

#[redis_cached(
    key = "shaky:{id}", ttl = "1m", stale_if_error = "10m", soft_timeout = "1s", jitter = "0%", skip(source),
    cache = cache
)]
async fn shaky(cache: &Cache, source: &Source, id: u64) -> Result<usize, Problem> {
    assert_ne!(source.bodies(), 1, "the second one");
    source.read().await
}

#[tokio::test(start_paused = true)]
async fn a_panic_in_the_background_is_a_failure_like_others() {
    let (cache, source) = (memory().await, Source::new());
    assert_eq!(shaky(&cache, &source, 1).await, Ok(1));
    pass(61).await;
    assert_eq!(shaky(&cache, &source, 1).await, Ok(1));
    assert_eq!(source.bodies(), 1);
}

#[tokio::test(start_paused = true)]
async fn c3_an_answer_a_moment_ago_is_no_failure() {
    let (cache, source) = (memory().await, Source::new());
    assert_eq!(choosy(&cache, &source, 1).await, Ok(1));
    pass(61).await;
    source.fails(Problem::NotFound);
    for _ in 0..3 {
        assert_eq!(choosy(&cache, &source, 1).await, Err(Problem::NotFound));
        settle().await;
    }
    // A failure behind it is one.
    source.fails(Problem::Down);
    pass(10).await;
    assert_eq!(choosy(&cache, &source, 1).await, Ok(1));
    settle().await;
    let bodies = source.bodies();
    assert_eq!(choosy(&cache, &source, 1).await, Ok(1));
    assert_eq!(source.bodies(), bodies);
}

/// From the second on a name that no text can be made of, so that it can't be stored.

#[redis_cached(key = "named:{id}", ttl = "1m", stale_if_error = "10m", jitter = "0%", skip(source), cache = cache)]
async fn named(cache: &Cache, source: &Source, id: u64) -> Result<PathBuf, Problem> {
    let number = source.read().await?;
    Ok(if number == 1 { PathBuf::from("1") } else { OsStr::from_bytes(&[0xff]).into() })
}

#[tokio::test(start_paused = true)]
async fn c3_a_value_that_could_not_be_stored_a_moment_ago_is_no_failure() {
    let (cache, source) = (memory().await, Source::new());
    let first = named(&cache, &source, 1).await.unwrap();
    pass(61).await;
    for _ in 0..3 {
        assert_ne!(named(&cache, &source, 1).await.unwrap(), first);
        settle().await;
    }
}

#[tokio::test(start_paused = true)]
async fn c3_a_value_that_gets_too_old_for_its_call_while_the_body_runs_is_not_served() {
    let (cache, source) = (memory().await, Source::new());
    assert_eq!(terms(&cache, &source, 1, None, false, 0).await, Ok(1));
    source.fails(Problem::Down);
    source.takes(Duration::from_secs(30));
    pass(100).await;
    let limit = Some(Duration::from_secs(120));
    assert_eq!(terms(&cache, &source, 1, limit, false, 0).await, Err(Problem::Down), "130 s old");
}

#[tokio::test(start_paused = true)]
async fn the_age_of_what_is_served_is_told_as_it_is_then() {
    let (cache, source) = (memory().await, Source::new());
    assert_eq!(kept(&cache, &source, 1).await, Ok(1));
    source.fails(Problem::Down);
    source.takes(Duration::from_secs(30));
    pass(70).await;
    let (_, observed) = observe(kept(&cache, &source, 1)).await;
    assert_eq!(age(observed.calls[0].answer), 100);
}

#[redis_cached(
    key = "retrying:{id}", ttl = "1m", stale_if_error = "10m", cache_err_if = |_| true,
    err_ttl_with = |error| Duration::from_secs(u64::from(*error == Problem::NotFound)), jitter = "0%", skip(source),
    cache = cache
)]
async fn retrying(cache: &Cache, source: &Source, id: u64) -> Result<usize, Problem> {
    source.read().await
}

#[tokio::test(start_paused = true)]
async fn an_error_that_is_not_stored_for_any_time_is_a_failure() {
    let (cache, source) = (memory().await, Source::new());
    assert_eq!(retrying(&cache, &source, 1).await, Ok(1));
    pass(61).await;
    source.fails(Problem::Down);
    assert_eq!(retrying(&cache, &source, 1).await, Ok(1));
    pass(10).await;
    source.fails(Problem::NotFound);
    assert_eq!(retrying(&cache, &source, 1).await, Err(Problem::NotFound));
}

#[redis_cached(
    key = "strict:{id}", ttl = "1m", stale_if_error = "10m", cache_err_if = |_| true, err_ttl = "10s",
    stale_if = |error| *error == Problem::Down, max_age = age, jitter = "0%", skip(source), cache = cache
)]
async fn strict(
    cache: &Cache,
    source: &Source,
    id: u64,
    age: Option<Duration>,
) -> Result<usize, Problem> {
    source.read().await
}

#[tokio::test(start_paused = true)]
async fn an_error_is_not_stored_over_what_others_may_be_served_in_its_stead() {
    let (cache, source) = (memory().await, Source::new());
    assert_eq!(strict(&cache, &source, 1, None).await, Ok(1));
    pass(61).await;
    source.fails(Problem::Down);
    let limit = Some(Duration::from_secs(30));
    assert_eq!(strict(&cache, &source, 1, limit).await, Err(Problem::Down));
    pass(10).await;
    assert_eq!(strict(&cache, &source, 1, None).await, Ok(1));
}

#[derive(Debug, thiserror::Error)]
#[error("it is not there")]
struct Missing;

#[redis_cached(
    key = "erased:{id}", ttl = "1m", stale_if_error = "10m", stale_if = |error| !error.is::<Missing>(), jitter = "0%",
    skip(source), cache = cache
)]
async fn erased(cache: &Cache, source: &Source, id: u64) -> anyhow::Result<usize> {
    source.read().await.map_err(|_| Missing.into())
}

#[tokio::test(start_paused = true)]
async fn what_an_error_is_does_not_depend_on_who_shares_it() {
    let (cache, source) = (memory().await, Source::new());
    assert_eq!(erased(&cache, &source, 1).await.unwrap(), 1);
    pass(100).await;
    source.fails(Problem::NotFound);
    source.takes(Duration::from_secs(1));
    let mut callers = JoinSet::new();
    for _ in 0..3 {
        let (cache, source) = (cache.clone(), source.clone());
        callers.spawn(async move { erased(&cache, &source, 1).await.unwrap_err() });
    }
    callers.join_all().await;
    assert_eq!(source.bodies(), 3, "the second one was shared");
}

#[redis_cached(
    key = "hasty:{id}", ttl = "1m", stale_if_error = "10m", stale_if = |error| *error == Problem::Down, timeout = "2s",
    cache_err_if = |_| true, err_ttl = "10s", jitter = "0%", skip(source), cache = cache
)]
async fn hasty(cache: &Cache, source: &Source, id: u64) -> Result<usize, Problem> {
    source.read().await
}

#[tokio::test(start_paused = true)]
async fn a_body_that_takes_too_long_has_failed_whatever_error_is_made_of_that() {
    let (cache, source) = (memory().await, Source::new());
    assert_eq!(hasty(&cache, &source, 1).await, Ok(1));
    pass(61).await;
    source.takes(Duration::from_secs(3));
    let mut callers = JoinSet::new();
    for _ in 0..5 {
        let (cache, source) = (cache.clone(), source.clone());
        callers.spawn(async move { hasty(&cache, &source, 1).await });
    }
    assert_eq!(callers.join_all().await, vec![Ok(1); 5]);
    assert_eq!(hasty(&cache, &source, 2).await, Err(Problem::TooSlow));
}

#[tokio::test(start_paused = true)]
async fn c3_many_bodies_at_once_that_are_not_slow_are_all_waited_for() {
    let cache = Cache::builder().url("memory://").max_refreshes(2).build().await.unwrap();
    let source = Source::new();
    for id in 0..5 {
        soft(&cache, &source, id).await.unwrap();
    }
    source.takes(Duration::from_millis(50));
    pass(61).await;
    let mut callers = JoinSet::new();
    for id in 0..5 {
        let (cache, source) = (cache.clone(), source.clone());
        callers.spawn(async move { soft(&cache, &source, id).await.unwrap() });
    }
    for value in callers.join_all().await {
        assert!(value > 5, "{value} is past its ttl");
    }
}

#[tokio::test(start_paused = true)]
async fn where_the_old_value_ends_before_the_soft_timeout_the_body_that_runs_is_waited_for() {
    let (cache, source) = (memory().await, Source::new());
    assert_eq!(soft(&cache, &source, 1).await, Ok(1));
    source.takes(Duration::from_secs(1));
    tokio::time::sleep(Duration::from_millis(659_950)).await;
    let start = Instant::now();
    assert_eq!(soft(&cache, &source, 1).await, Ok(2));
    assert_eq!((start.elapsed(), source.bodies()), (Duration::from_secs(1), 2));
    // Also where that fails, and no other one begins.
    tokio::time::sleep(Duration::from_millis(658_950)).await;
    source.fails(Problem::Down);
    assert_eq!(soft(&cache, &source, 1).await, Err(Problem::Down));
    assert_eq!(source.bodies(), 3);
}

#[redis_cached(
    key = "soft_around:{id}", ttl = "1m", stale_if_error = "10m", soft_timeout = "100ms", jitter = "0%", skip(source),
    cache = cache
)]
async fn soft_around(cache: &Cache, source: &Source, id: u64) -> Result<usize, Problem> {
    tagged(cache, source, id, 7).await
}

#[tokio::test(start_paused = true)]
async fn what_a_body_in_a_task_of_its_own_calls_is_seen_around_its_call() {
    let (cache, source) = (memory().await, Source::new());
    soft_around(&cache, &source, 1).await.unwrap();
    pass(61).await;
    let (value, observed) = observe(soft_around(&cache, &source, 1)).await;
    let functions: Vec<_> = observed.calls.iter().map(|call| call.function).collect();
    assert_eq!((value, functions), (Ok(2), vec!["tagged", "soft_around"]));
}

#[tokio::test(start_paused = true)]
async fn a_cache_that_is_shut_down_still_waits_for_bodies_that_are_not_slow() {
    let (cache, source) = (memory().await, Source::new());
    assert_eq!(soft(&cache, &source, 1).await, Ok(1));
    pass(61).await;
    source.takes(Duration::from_secs(60));
    assert_eq!(soft(&cache, &source, 1).await, Ok(1));
    assert_eq!(cache.shutdown(Duration::ZERO).await.unwrap_err().unfinished(), 1);
    source.takes(Duration::from_millis(50));
    assert_eq!(soft(&cache, &source, 1).await, Ok(3));
}

#[redis_cached(
    key = "busy:{id}", ttl = "1m", stale_if_error = "10m", busy = Err(Problem::TooSlow), jitter = "0%", skip(source),
    cache = cache
)]
async fn busy(cache: &Cache, source: &Source, id: u64) -> Result<usize, Problem> {
    source.read().await
}

#[tokio::test(start_paused = true)]
async fn what_is_answered_instead_of_waiting_is_no_failure() {
    let (cache, source) = (memory().await, Source::new());
    assert_eq!(busy(&cache, &source, 1).await, Ok(1));
    pass(61).await;
    source.fails(Problem::Down);
    source.takes(Duration::from_secs(1));
    let leading = {
        let (cache, source) = (cache.clone(), source.clone());
        tokio::spawn(async move { busy(&cache, &source, 1).await })
    };
    settle().await;
    assert_eq!(busy(&cache, &source, 1).await, Err(Problem::TooSlow));
    assert_eq!(leading.await.unwrap(), Ok(1));
}

#[tokio::test(start_paused = true)]
async fn tags_live_as_long_as_what_is_kept() {
    let (cache, source) = (memory().await, Source::new());
    assert_eq!(tagged(&cache, &source, 1, 7).await, Ok(1));
    source.fails(Problem::Down);
    pass(650).await;
    assert_eq!(tagged(&cache, &source, 1, 7).await, Ok(1));
}

#[redis_cached(
    key = "scoped:{id}",
    ttl = "1m",
    stale_if_error = "10m",
    soft_timeout = "100ms",
    jitter = "0%",
    skip(source)
)]
async fn scoped(source: &Source, id: u64) -> Result<usize, Problem> {
    scoped_inner(source, id).await
}

#[redis_cached(key = "scoped_inner:{id}", ttl = "10s", skip(source))]
async fn scoped_inner(source: &Source, id: u64) -> Result<usize, Problem> {
    source.read().await
}

#[tokio::test(start_paused = true)]
async fn a_body_in_a_task_of_its_own_has_the_cache_of_its_caller() {
    let (cache, source) = (memory().await, Source::new());
    let value = cache.scope(async {
        scoped(&source, 1).await.unwrap();
        pass(61).await;
        assert_eq!(scoped(&source, 1).await, Ok(2));
        scoped_inner(&source, 1).await
    });
    assert_eq!(value.await, Ok(2));
}

#[tokio::test(start_paused = true)]
async fn a_look_that_finds_no_old_value_any_more_leaves_none_to_be_served() {
    let (cache, source) = (memory().await, Source::new());
    assert_eq!(placed(&cache, &source, 1).await, Ok(1));
    pass(61).await;
    source.takes(Duration::from_secs(1));
    let call = |id| {
        let (cache, source) = (cache.clone(), source.clone());
        tokio::spawn(async move { placed(&cache, &source, id).await })
    };
    let other = call(2);
    settle().await;
    let waiting = call(1);
    settle().await;
    placed_entry(&cache, 1).invalidate().await.unwrap();
    source.fails(Problem::Down);
    assert_eq!(other.await.unwrap(), Ok(2));
    assert_eq!(waiting.await.unwrap(), Err(Problem::Down), "it has looked again");
}

#[redis_cached(
    key = "placed:{id}", ttl = "1m", stale_if_error = "10m", max_concurrency = 1, jitter = "0%", skip(source),
    cache = cache
)]
async fn placed(cache: &Cache, source: &Source, id: u64) -> Result<usize, Problem> {
    source.read().await
}

#[tokio::test(start_paused = true)]
async fn a_caller_that_leaves_early_leaves_a_body_that_goes_on() {
    let (cache, source) = (memory().await, Source::new());
    assert_eq!(soft(&cache, &source, 1).await, Ok(1));
    pass(61).await;
    source.takes(Duration::from_secs(1));
    let brief = Duration::from_millis(10);
    assert!(tokio::time::timeout(brief, soft(&cache, &source, 1)).await.is_err());
    pass(2).await;
    assert_eq!((soft(&cache, &source, 1).await, source.bodies()), (Ok(2), 2));
}

#[tokio::test(start_paused = true)]
async fn c1_a_call_that_is_told_of_a_failure_has_nothing_but_its_own() {
    let (cache, source) = (memory().await, Source::new());
    assert_eq!(lonely(&cache, &source, 1).await, Ok(1));
    pass(61).await;
    source.fails(Problem::Down);
    source.takes(Duration::from_secs(1));
    let call = || {
        let (cache, source) = (cache.clone(), source.clone());
        tokio::spawn(async move { lonely(&cache, &source, 1).await })
    };
    let before = call();
    settle().await;
    lonely_entry(&cache, 1).invalidate().await.unwrap();
    let (after, beside) = (call(), call());
    assert_eq!(before.await.unwrap(), Ok(1));
    assert!(after.await.unwrap().is_err());
    assert!(beside.await.unwrap().is_err());
}

#[tokio::test(start_paused = true)]
async fn the_tags_of_a_body_in_a_task_of_its_own_are_gathered_around_its_call() {
    let (cache, source) = (memory().await, Source::new());
    soft_around(&cache, &source, 1).await.unwrap();
    for slow in [false, true] {
        pass(61).await;
        source.takes(Duration::from_secs(slow.into()));
        let gathering = Gathering::of_most(8);
        let mut call = pin!(soft_around(&cache, &source, 1));
        let value = poll_fn(|cx| gathering.within(|| call.as_mut().poll(cx))).await;
        assert_eq!((value, gathering.end()), (Ok(2), Some(vec![tag_name("team:7")])), "{slow}");
    }
}
