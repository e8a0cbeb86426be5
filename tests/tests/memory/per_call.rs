//! What one call asks for: not to store, nothing too old, not to wait.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use redis_cached::{Cache, invalidate_tags, redis_cached};
use redis_cached_tests::in_time;
use tokio::time::Instant;

use crate::origin::{Origin, memory, settle};

const SECOND: Duration = Duration::from_secs(1);

#[redis_cached(
    key = "read-only:{id}", ttl = "1m", refresh_before = "20s", jitter = "0%", skip(origin, asked), cache = cache,
    no_store_if = asked.count(read_only), refresh_if = force
)]
async fn read(
    cache: &Cache,
    origin: &Origin,
    asked: &'static Asked,
    id: u64,
    read_only: bool,
    force: bool,
) -> usize {
    origin.read().await
}

#[derive(Default)]
struct Asked(AtomicUsize);

impl Asked {
    fn new() -> &'static Self {
        Box::leak(Box::default())
    }

    fn count<T>(&self, answer: T) -> T {
        self.0.fetch_add(1, Ordering::SeqCst);
        answer
    }

    fn times(&self) -> usize {
        self.0.load(Ordering::SeqCst)
    }
}

#[tokio::test(start_paused = true)]
async fn a_call_that_does_not_store_is_served_hits_and_refreshes_no_stale_one() {
    let (cache, origin, asked) = (memory().await, Origin::open(), Asked::new());
    read(&cache, &origin, asked, 1, false, false).await;
    let new = origin.change();
    for (age, expected) in [(0, 1), (45, 1)] {
        tokio::time::sleep(SECOND * age).await;
        assert_eq!(read(&cache, &origin, asked, 1, true, false).await, expected, "after {age} s");
        settle().await;
        assert_eq!(origin.bodies(), 1, "after {age} s");
    }
    assert_eq!(asked.times(), 3, "once for each call");

    assert_eq!(read(&cache, &origin, asked, 1, false, false).await, 1, "stale, and refreshed");
    settle().await;
    assert_eq!(read(&cache, &origin, asked, 1, true, false).await, new);
    assert_eq!(origin.bodies(), 2);
}

#[tokio::test(start_paused = true)]
async fn a_call_that_does_not_store_computes_a_miss_and_leaves_nothing() {
    let (cache, origin, asked) = (memory().await, Origin::open(), Asked::new());
    for bodies in 1..=2 {
        assert_eq!(read(&cache, &origin, asked, 1, true, false).await, 1);
        assert_eq!(origin.bodies(), bodies);
    }
    assert!(read_entry(&cache, 1).peek().await.unwrap().is_none());
    assert_eq!(asked.times(), 2, "once for each call");

    read(&cache, &origin, asked, 1, false, false).await;
    let new = origin.change();
    assert_eq!(
        read(&cache, &origin, asked, 1, true, true).await,
        new,
        "computed, as it was told to"
    );
    assert_eq!(read_refresh(&cache, &origin, asked, 1, true, false).await, new);
    let stored = read_entry(&cache, 1).peek().await.unwrap().expect("the old one stays");
    assert_eq!(stored.value, 1);
}

/// It neither leads nor waits, and those who store go on beside it.
#[tokio::test(start_paused = true)]
async fn a_call_that_does_not_store_takes_part_in_no_flight() {
    let (cache, origin, asked) = (memory().await, Origin::gated(), Asked::new());
    let call = |read_only| {
        let (cache, origin) = (cache.clone(), origin.clone());
        tokio::spawn(async move { read(&cache, &origin, asked, 1, read_only, false).await })
    };
    let reader = call(true);
    origin.body_started().await;
    let storing = call(false);
    origin.body_started().await;
    let late_reader = call(true);
    origin.body_started().await;
    assert_eq!(origin.bodies(), 3);
    // Dropped, it leaves nothing to anybody.
    reader.abort();
    origin.let_through(3);
    assert_eq!((storing.await.unwrap(), late_reader.await.unwrap()), (1, 1));
    assert!(read_entry(&cache, 1).peek().await.unwrap().is_some());
}

#[redis_cached(
    key = "age:{id}", ttl = "10m", refresh_before = "1m", jitter = "0%", wait = "2m", skip(origin, takes), cache = cache,
    max_age = max_age
)]
async fn aged(
    cache: &Cache,
    origin: &Origin,
    takes: Duration,
    id: u64,
    max_age: Option<Duration>,
) -> Result<usize, String> {
    let value = origin.read_slowly(takes).await;
    if value == usize::MAX { Err("the origin is down".to_owned()) } else { Ok(value) }
}

#[tokio::test(start_paused = true)]
async fn what_is_older_than_max_age_is_computed_anew_and_stored() {
    let (cache, origin) = (memory().await, Origin::open());
    // Counted from the start of the body.
    aged(&cache, &origin, SECOND * 5, 1, None).await.unwrap();
    let new = origin.change();
    tokio::time::sleep(SECOND * 25).await;
    let aged = async |max_age| aged(&cache, &origin, Duration::ZERO, 1, max_age).await.unwrap();
    for (max_age, expected) in [
        (None, 1),
        (Some(Duration::MAX), 1),
        (Some(SECOND * 30), 1),
        (Some(Duration::from_millis(29_999)), new),
        (Some(SECOND), new),
        (None, new),
    ] {
        assert_eq!(aged(max_age).await, expected, "{max_age:?}");
    }
    assert_eq!(origin.bodies(), 2);
    let third = origin.change();
    tokio::time::sleep(SECOND * 560).await;
    assert_eq!(aged(Some(SECOND * 30)).await, third, "stale and too old");
    settle().await;
    assert_eq!(origin.bodies(), 3, "a refresh of what is fresh");
}

#[tokio::test(start_paused = true)]
async fn what_is_too_old_for_one_call_is_there_for_the_others() {
    let (cache, origin) = (memory().await, Origin::open());
    aged(&cache, &origin, Duration::ZERO, 1, None).await.unwrap();
    tokio::time::sleep(SECOND * 30).await;
    let demanding = tokio::spawn({
        let (cache, origin) = (cache.clone(), origin.clone());
        async move { aged(&cache, &origin, SECOND * 5, 1, Some(SECOND)).await }
    });
    settle().await;
    assert_eq!(origin.bodies(), 2);
    let start = Instant::now();
    assert_eq!(aged(&cache, &origin, Duration::ZERO, 1, None).await, Ok(1));
    assert_eq!(start.elapsed(), Duration::ZERO);
    demanding.await.unwrap().unwrap();

    tokio::time::sleep(SECOND * 30).await;
    origin.break_down();
    assert!(aged(&cache, &origin, Duration::ZERO, 1, Some(SECOND)).await.is_err());
    assert_eq!(aged(&cache, &origin, Duration::ZERO, 1, None).await, Ok(1), "it was removed");
}

/// A forced computation joins no flight, as one in another process would not.
#[tokio::test(start_paused = true)]
async fn what_a_leader_finds_stored_is_judged_by_each_who_waits_for_it() {
    let (cache, origin) = (memory().await, Origin::open());
    let call = |takes, max_age| {
        let (cache, origin) = (cache.clone(), origin.clone());
        tokio::spawn(async move { aged(&cache, &origin, takes, 1, max_age).await })
    };
    let elsewhere = tokio::spawn({
        let (cache, origin) = (cache.clone(), origin.clone());
        async move { aged_refresh(&cache, &origin, SECOND * 40, 1, None).await }
    });
    settle().await;
    let leader = call(Duration::ZERO, None);
    settle().await;
    let new = origin.change();
    let demanding: Vec<_> = (0..5).map(|_| call(SECOND, Some(SECOND * 10))).collect();
    let patient = call(Duration::ZERO, Some(SECOND * 50));
    elsewhere.await.unwrap().unwrap();
    assert_eq!(leader.await.unwrap(), Ok(1));
    assert_eq!(patient.await.unwrap(), Ok(1));
    for call in demanding {
        assert_eq!(call.await.unwrap(), Ok(new));
    }
    assert_eq!(origin.bodies(), 2, "those who demand more share one body");
    let stored = aged_entry(&cache, 1).peek().await.unwrap().expect("stored");
    assert_eq!(stored.value, new);
}

/// It began after their calls.
#[tokio::test(start_paused = true)]
async fn a_body_that_takes_longer_than_max_age_answers_those_who_wait_for_it() {
    let (cache, origin) = (memory().await, Origin::open());
    let call = |max_age| {
        let (cache, origin) = (cache.clone(), origin.clone());
        tokio::spawn(async move { aged(&cache, &origin, SECOND * 40, 1, max_age).await })
    };
    let elsewhere = tokio::spawn({
        let (cache, origin) = (cache.clone(), origin.clone());
        async move { aged_refresh(&cache, &origin, SECOND, 1, None).await }
    });
    settle().await;
    let calls: Vec<_> = (0..5).map(|_| call(Some(SECOND / 2))).collect();
    let new = origin.change();
    for call in calls {
        assert_eq!(call.await.unwrap(), Ok(new));
    }
    assert_eq!(origin.bodies(), 2);
    elsewhere.await.unwrap().unwrap();
}

#[redis_cached(key = "age:literal:{id}", ttl = "10m", jitter = "0%", max_age = "30s", skip(origin), cache = cache)]
async fn of_half_a_minute(cache: &Cache, origin: &Origin, id: u64) -> usize {
    origin.read().await
}

#[tokio::test(start_paused = true)]
async fn a_literal_max_age_holds_for_every_call() {
    let (cache, origin) = (memory().await, Origin::open());
    for bodies in [1, 1, 2, 2, 3] {
        of_half_a_minute(&cache, &origin, 1).await;
        assert_eq!(origin.bodies(), bodies);
        tokio::time::sleep(SECOND * 16).await;
    }
}

#[redis_cached(
    key = "busy:{id}", ttl = "10m", jitter = "0%", lock_ttl = "1s", skip(origin, asked), cache = cache,
    busy = asked.count(stand_in)
)]
async fn impatient(
    cache: &Cache,
    origin: &Origin,
    asked: &'static Asked,
    id: u64,
    stand_in: usize,
) -> usize {
    origin.read().await
}

#[redis_cached(key = "busy:{id}", ttl = "10m", jitter = "0%", same_entries_as = impatient, skip(origin), cache = cache)]
async fn patient(cache: &Cache, origin: &Origin, id: u64) -> usize {
    origin.read().await
}

#[tokio::test(start_paused = true)]
async fn who_would_wait_for_a_flight_is_answered_at_once() {
    let (cache, origin, asked) = (memory().await, Origin::gated(), Asked::new());
    let call = |stand_in| {
        let (cache, origin) = (cache.clone(), origin.clone());
        tokio::spawn(async move { impatient(&cache, &origin, asked, 1, stand_in).await })
    };
    let first = call(7);
    origin.body_started().await;
    assert_eq!(asked.times(), 0, "it need not wait");
    let start = Instant::now();
    // Each for itself.
    for stand_in in [8, 9] {
        assert_eq!(in_time("the stand-in", call(stand_in)).await.unwrap(), stand_in);
    }
    assert_eq!((start.elapsed(), asked.times()), (Duration::ZERO, 2));
    assert!(impatient_entry(&cache, 1).peek().await.unwrap().is_none(), "stored");
    origin.let_through(1);
    assert_eq!(first.await.unwrap(), 1);
    assert_eq!(call(8).await.unwrap(), 1, "a hit");
    assert_eq!((origin.bodies(), asked.times()), (1, 2));
}

/// A forced computation joins no flight, as one in another process would not.
#[tokio::test(start_paused = true)]
async fn who_would_wait_for_a_lease_is_answered_at_once_and_hands_over() {
    let (cache, origin, asked) = (memory().await, Origin::gated(), Asked::new());
    let elsewhere = tokio::spawn({
        let (cache, origin) = (cache.clone(), origin.clone());
        async move { impatient_refresh(&cache, &origin, asked, 1, 7).await }
    });
    origin.body_started().await;
    let start = Instant::now();
    assert_eq!(in_time("the stand-in", impatient(&cache, &origin, asked, 1, 8)).await, 8);
    assert_eq!((start.elapsed(), asked.times()), (Duration::ZERO, 1));
    let waiting = tokio::spawn({
        let (cache, origin) = (cache.clone(), origin.clone());
        async move { patient(&cache, &origin, 1).await }
    });
    settle().await;
    let behind = in_time("the stand-in", impatient(&cache, &origin, asked, 1, 9)).await;
    assert_eq!(behind, 9, "behind one who waits");
    origin.let_through(1);
    assert_eq!((elsewhere.await.unwrap(), waiting.await.unwrap()), (1, 1));
    assert_eq!(origin.bodies(), 1);
    assert_eq!(patient(&cache, &origin, 1).await, 1);
}

#[redis_cached(
    key = "busy:both:{id}", ttl = "10m", jitter = "0%", skip(origin), cache = cache, no_store_if = read_only, busy = 0
)]
async fn either(cache: &Cache, origin: &Origin, id: u64, read_only: bool) -> usize {
    origin.read().await
}

/// It does not wait in the first place.
#[tokio::test(start_paused = true)]
async fn a_call_that_does_not_store_is_never_busy() {
    let (cache, origin) = (memory().await, Origin::gated());
    let first = tokio::spawn({
        let (cache, origin) = (cache.clone(), origin.clone());
        async move { either(&cache, &origin, 1, false).await }
    });
    origin.body_started().await;
    assert_eq!(in_time("the stand-in", either(&cache, &origin, 1, false)).await, 0);
    origin.let_through(2);
    assert_eq!(either(&cache, &origin, 1, true).await, 1);
    assert_eq!(first.await.unwrap(), 1);
}

#[redis_cached(
    key = "busy:inner:{id}", ttl = "10m", tags = ["item:{id}"], jitter = "0%", skip(origin), cache = cache, busy = 0
)]
async fn inner(cache: &Cache, origin: &Origin, id: u64) -> usize {
    origin.read().await
}

#[redis_cached(key = "busy:outer:{id}", ttl = "10m", jitter = "0%", skip(origin), cache = cache)]
async fn outer(cache: &Cache, origin: &Origin, id: u64) -> usize {
    inner(cache, origin, id).await
}

#[tokio::test(start_paused = true)]
async fn what_is_made_of_a_stand_in_ends_with_the_tags_of_what_it_stands_for() {
    let (cache, origin) = (memory().await, Origin::gated());
    let computing = tokio::spawn({
        let (cache, origin) = (cache.clone(), origin.clone());
        async move { inner(&cache, &origin, 1).await }
    });
    origin.body_started().await;
    assert_eq!(in_time("the stand-in", outer(&cache, &origin, 1)).await, 0);
    origin.let_through(1);
    assert_eq!(computing.await.unwrap(), 1);
    assert_eq!(outer(&cache, &origin, 1).await, 0, "stored, as its own body has made it");
    cache.scope(invalidate_tags(["item:1"])).await.unwrap();
    origin.let_through(1);
    assert_eq!(outer(&cache, &origin, 1).await, 1);
}

/// What a client has seen already it does not want to see older.
#[redis_cached(
    key = "versioned:{id}", ttl = "1h", jitter = "0%", skip(origin), cache = cache,
    accept_if = |version| *version >= at_least
)]
async fn versioned(cache: &Cache, origin: &Origin, id: u64, at_least: usize) -> usize {
    origin.read().await
}

#[tokio::test(start_paused = true)]
async fn a_call_takes_no_older_version_than_it_asks_for() {
    let (cache, origin) = (memory().await, Origin::open());
    assert_eq!(versioned(&cache, &origin, 1, 0).await, 1);
    origin.change();
    assert_eq!(versioned(&cache, &origin, 1, 1).await, 1, "a hit");
    assert_eq!(versioned(&cache, &origin, 1, 2).await, 2, "computed, and stored");
    assert_eq!(versioned(&cache, &origin, 1, 0).await, 2, "for all");
    assert_eq!(origin.bodies(), 2);
    assert_eq!(versioned_entry(&cache, 1).peek().await.unwrap().map(|peek| peek.value), Some(2));
    // What its own body gives is as new as can be.
    assert_eq!(versioned(&cache, &origin, 1, 9).await, 2);
    assert_eq!(origin.bodies(), 3);
}

/// What a leader finds stored is not what each of those who wait takes.
#[tokio::test(start_paused = true)]
async fn who_shares_a_look_judges_for_itself() {
    let (cache, origin) = (memory().await, Origin::gated());
    let ask = |at_least| versioned(&cache, &origin, 1, at_least);
    let late = async {
        origin.body_started().await;
        // Too late for the body that runs: one of these looks for both when it has ended.
        let both = async { tokio::join!(ask(1), ask(2)) };
        let end = async {
            settle().await;
            origin.change();
            origin.let_through(2);
        };
        tokio::join!(both, end).0
    };
    let (first, late) = in_time("all are answered", async { tokio::join!(ask(1), late) }).await;
    assert_eq!((first, late), (1, (1, 2)));
    assert_eq!(origin.bodies(), 2);
}

/// Names of a closure's own are not those of parameters; and what a text asks for is.
#[redis_cached(
    key = "shadowed:{value}", ttl = "1h", cache = cache, accept_if = |value| *value > 0, skip(prefix),
    stored = String, save = |value| format!("{prefix}{value}"),
    load = |cache| cache.strip_prefix(prefix).and_then(|value| value.parse::<u64>().ok())
)]
async fn shadowed(cache: &Cache, prefix: &str, value: u64) -> u64 {
    settle().await;
    value
}

#[tokio::test(start_paused = true)]
async fn names_of_a_closure_are_its_own() {
    let cache = memory().await;
    assert_eq!(shadowed(&cache, "n", 7).await, 7);
    let peek = shadowed_entry(&cache, "n", 7).peek().await.unwrap();
    assert_eq!(peek.map(|peek| peek.value), Some(7));
    assert!(shadowed_entry(&cache, "m", 7).peek().await.unwrap().is_none());
    // What is not accepted is not shown either, where the arguments have no say.
    shadowed_entry(&cache, "n", 7).set(0).await.unwrap();
    assert!(shadowed_entry(&cache, "n", 7).peek().await.unwrap().is_none());
}

/// The body reads where at least that version is.
#[redis_cached(
    key = "replica:{id}", ttl = "1h", skip(origin, at_least), cache = cache, accept_if = |version| *version >= at_least
)]
async fn replica(cache: &Cache, origin: &Origin, id: u64, at_least: usize) -> usize {
    origin.read().await.max(at_least)
}

#[tokio::test(start_paused = true)]
async fn what_anothers_body_gives_is_judged_where_the_body_asks_the_argument() {
    let (cache, origin) = (memory().await, Origin::gated());
    let ask = |at_least| replica(&cache, &origin, 1, at_least);
    let late = async {
        origin.body_started().await;
        cache.clear().await.unwrap();
        // Too late for the body that runs. One leads, and its body is not for the other.
        let both = async { tokio::join!(ask(1), ask(5)) };
        let end = async {
            settle().await;
            origin.let_through(3);
        };
        tokio::join!(both, end).0
    };
    let (first, late) = in_time("all are answered", async { tokio::join!(ask(1), late) }).await;
    assert_eq!((first, late), (1, (1, 5)));
}

#[derive(Default)]
struct Plan {
    until: Option<u64>,
}

#[redis_cached(
    key = "bound:{at}", ttl = "1h", cache = cache, accept_if = |until| match until { Some(at) => *at > 5, None => true }
)]
async fn bound(cache: &Cache, at: u64) -> Option<u64> {
    settle().await;
    Plan { until: Some(at) }.until
}

/// Also what a text asks for behind its colon.
#[redis_cached(
    key = "padded:{id}", ttl = "1h", cache = cache, skip(width), stored = String,
    save = |id| format!("{id:width$}"), load = |text| text.trim().parse::<u64>()
)]
async fn padded(cache: &Cache, id: u64, width: usize) -> u64 {
    settle().await;
    id
}

#[tokio::test(start_paused = true)]
async fn names_that_a_pattern_binds_are_not_those_of_parameters() {
    let cache = memory().await;
    bound_entry(&cache, 1).set(Some(1)).await.unwrap();
    assert!(bound_entry(&cache, 1).peek().await.unwrap().is_none(), "not accepted");
    assert_eq!(padded(&cache, 7, 4).await, 7);
    assert_eq!(padded_entry(&cache, 7, 4).peek().await.unwrap().unwrap().value, 7);
}

#[derive(Clone, Copy)]
struct Secret(u64);

impl std::fmt::Display for Secret {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "secret {}", self.0)
    }
}

#[redis_cached(
    key = "secret:{id}", ttl = "1m", skip(origin), cache = cache, bypass_if = format!("{id}") == "7"
)]
async fn secret(cache: &Cache, origin: &Origin, Secret(id): Secret) -> usize {
    origin.read().await
}

/// The parameter as a whole is called `id`, too.
#[tokio::test(start_paused = true)]
async fn a_text_asks_for_what_a_pattern_binds() {
    let (cache, origin) = (memory().await, Origin::open());
    for id in [7, 8] {
        secret(&cache, &origin, Secret(id)).await;
        let ttl = secret_entry(&cache, Secret(id)).ttl().await.unwrap();
        assert_eq!(ttl.is_some(), id == 8, "{id}");
    }
}
