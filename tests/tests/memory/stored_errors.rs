//! Errors that are stored: which, for how long, and what they may not take the place of.

use std::time::Duration;

use redis_cached::{Cache, State, expire_tags, invalidate_tags, redis_cached, tag};
use redis_cached_tests::Told;
use serde::{Deserialize, Serialize};
use tokio::time::Instant;

use crate::origin::{Origin, memory, settle};

const SECOND: Duration = Duration::from_secs(1);
const MINUTE: Duration = Duration::from_secs(60);

/// Not `Clone`.
#[derive(Debug, PartialEq, Serialize, Deserialize)]
enum Failed {
    NotFound { run: usize },
    RateLimited { retry_at: Duration },
    Broken,
}

impl Failed {
    fn is_stored(&self) -> bool {
        !matches!(self, Self::Broken)
    }

    fn lives(&self) -> Duration {
        match self {
            Self::RateLimited { retry_at } => *retry_at,
            _ => MINUTE,
        }
    }
}

type Answer<T> = Result<T, Failed>;

/// What a body ends in.
#[derive(Clone, Copy)]
enum End {
    Value,
    NotFound,
    RateLimited(Duration),
    Broken,
}

async fn end(origin: &Origin, end: End) -> Answer<usize> {
    let run = origin.read().await;
    match end {
        End::Value => Ok(run),
        End::NotFound => Err(Failed::NotFound { run }),
        End::RateLimited(retry_at) => Err(Failed::RateLimited { retry_at }),
        End::Broken => Err(Failed::Broken),
    }
}

#[redis_cached(
    key = "row:{id}", ttl = "10m", refresh_before = "9m", jitter = "0%", tags = ["row:{id}"], skip(origin, ends),
    cache = cache, cache_err_if = Failed::is_stored, err_ttl = "1m"
)]
async fn row(cache: &Cache, origin: &Origin, id: u64, ends: End) -> Answer<usize> {
    end(origin, ends).await
}

fn not_found(run: usize) -> Answer<usize> {
    Err(Failed::NotFound { run })
}

#[tokio::test(start_paused = true)]
async fn an_error_is_a_hit_until_its_own_ttl_ends() {
    let (cache, origin) = (memory().await, Origin::open());
    for _ in 0..3 {
        assert_eq!(row(&cache, &origin, 1, End::NotFound).await, not_found(1));
        origin.change();
    }
    assert_eq!(origin.bodies(), 1);
    assert_eq!(row_entry(&cache, 1).ttl().await.unwrap(), Some(MINUTE));
    tokio::time::sleep(Duration::from_millis(59_999)).await;
    assert_eq!(row(&cache, &origin, 1, End::Value).await, not_found(1));
    settle().await;
    assert_eq!(origin.bodies(), 1, "an error has no refresh window");
    tokio::time::sleep(Duration::from_millis(1)).await;
    assert_eq!(row(&cache, &origin, 1, End::Value).await, Ok(4), "c3");
    assert_eq!(row_entry(&cache, 1).ttl().await.unwrap(), Some(MINUTE * 10));
}

#[tokio::test(start_paused = true)]
async fn an_error_that_was_not_chosen_is_not_stored() {
    let (cache, origin) = (memory().await, Origin::open());
    for bodies in 1..=3 {
        assert_eq!(row(&cache, &origin, 1, End::Broken).await, Err(Failed::Broken));
        assert_eq!(origin.bodies(), bodies);
    }
    assert_eq!(row_entry(&cache, 1).ttl().await.unwrap(), None);
}

#[redis_cached(
    key = "limited:{id}", ttl = "10m", jitter = "0%", skip(origin, ends), cache = cache,
    cache_err_if = |_| true, err_ttl_with = Failed::lives
)]
async fn limited(cache: &Cache, origin: &Origin, id: u64, ends: End) -> Answer<usize> {
    end(origin, ends).await
}

#[tokio::test(start_paused = true)]
async fn an_error_says_itself_how_long_it_lives() {
    let (cache, origin) = (memory().await, Origin::open());
    let retry_at = SECOND * 7;
    for _ in 0..2 {
        let error = limited(&cache, &origin, 1, End::RateLimited(retry_at)).await.unwrap_err();
        assert_eq!(error, Failed::RateLimited { retry_at });
        assert_eq!(limited(&cache, &origin, 2, End::NotFound).await, not_found(1));
    }
    assert_eq!(origin.bodies(), 2);
    assert_eq!(limited_entry(&cache, 1).ttl().await.unwrap(), Some(retry_at));
    assert_eq!(limited_entry(&cache, 2).ttl().await.unwrap(), Some(MINUTE));
    tokio::time::sleep(retry_at).await;
    assert_eq!(limited(&cache, &origin, 1, End::Value).await, Ok(1));
}

#[tokio::test(start_paused = true)]
async fn an_error_that_lives_for_no_time_is_not_stored_and_drives_nothing_out() {
    let (cache, origin) = (memory().await, Origin::open());
    let now = End::RateLimited(Duration::ZERO);
    for bodies in 1..=2 {
        assert!(limited(&cache, &origin, 1, now).await.is_err());
        assert_eq!(origin.bodies(), bodies);
    }
    assert_eq!(limited_entry(&cache, 1).ttl().await.unwrap(), None);
    assert_eq!(limited(&cache, &origin, 2, End::Value).await, Ok(1));
    assert!(limited_refresh(&cache, &origin, 2, now).await.is_err());
    assert_eq!(limited(&cache, &origin, 2, End::Broken).await, Ok(1));
}

#[redis_cached(
    key = "by-argument:{id}", ttl = "10m", jitter = "0%", skip(origin, patience), cache = cache,
    cache_err_if = |_| true, err_ttl = patience / 2
)]
async fn by_argument(cache: &Cache, origin: &Origin, id: u64, patience: Duration) -> Answer<usize> {
    end(origin, End::NotFound).await
}

#[tokio::test(start_paused = true)]
async fn the_ttl_of_errors_may_be_known_at_run_time_only() {
    let (told, cache, origin) = (Told::listen(), memory().await, Origin::open());
    assert!(by_argument(&cache, &origin, 1, MINUTE).await.is_err());
    let entry = by_argument_entry(&cache, 1, MINUTE);
    assert_eq!(entry.ttl().await.unwrap(), Some(MINUTE / 2));
    for id in 2..4 {
        assert!(by_argument(&cache, &origin, id, Duration::ZERO).await.is_err());
    }
    let text = told.text();
    assert_eq!(text.matches("`err_ttl` is outside").count(), 1, "{text}");
}

/// An origin that fails takes nothing away: what may be served is served until its end.
#[tokio::test(start_paused = true)]
async fn a_refresh_that_ends_in_an_error_leaves_the_old_value_until_its_end() {
    let (cache, origin) = (memory().await, Origin::open());
    assert_eq!(row(&cache, &origin, 1, End::Value).await, Ok(1));
    origin.change();
    tokio::time::sleep(MINUTE * 2).await;
    for bodies in 2..5 {
        assert_eq!(row(&cache, &origin, 1, End::NotFound).await, Ok(1));
        settle().await;
        assert_eq!(origin.bodies(), bodies, "refreshed in vain");
        tokio::time::sleep(MINUTE * 2).await;
    }
    let peek = row_entry(&cache, 1).peek().await.unwrap().expect("the old value");
    assert_eq!((peek.value, peek.state), (1, State::Stale));
    assert_eq!(row_entry(&cache, 1).ttl().await.unwrap(), Some(MINUTE * 2));
    tokio::time::sleep(MINUTE * 2).await;
    for _ in 0..2 {
        assert_eq!(row(&cache, &origin, 1, End::NotFound).await, not_found(2));
    }
    assert_eq!(origin.bodies(), 5, "now the error is stored");
}

#[tokio::test(start_paused = true)]
async fn a_forced_computation_that_ends_in_a_chosen_error_takes_the_old_values_place() {
    let (cache, origin) = (memory().await, Origin::open());
    assert_eq!(row(&cache, &origin, 1, End::Value).await, Ok(1));
    assert_eq!(row_refresh(&cache, &origin, 1, End::Broken).await, Err(Failed::Broken));
    assert_eq!(row(&cache, &origin, 1, End::Value).await, Ok(1), "nothing is known of the row");
    assert_eq!(row_uncached(&cache, &origin, 1, End::NotFound).await, not_found(1));
    assert_eq!(row(&cache, &origin, 1, End::Value).await, Ok(1));
    assert_eq!(row_refresh(&cache, &origin, 1, End::NotFound).await, not_found(1));
    assert_eq!(row(&cache, &origin, 1, End::Value).await, not_found(1), "the row is gone");
    assert_eq!(row_refresh(&cache, &origin, 1, End::Value).await, Ok(1));
    assert_eq!(row(&cache, &origin, 1, End::NotFound).await, Ok(1));
}

#[tokio::test(start_paused = true)]
async fn a_handle_speaks_of_values() {
    let (cache, origin) = (memory().await, Origin::open());
    let entry = row_entry(&cache, 1);
    assert!(row(&cache, &origin, 1, End::NotFound).await.is_err());
    assert!(entry.peek().await.unwrap().is_none());
    assert!(entry.ttl().await.unwrap().is_some());
    entry.set(7).await.unwrap();
    assert_eq!(entry.peek().await.unwrap().expect("a value").value, 7);
    assert_eq!(row(&cache, &origin, 1, End::NotFound).await, Ok(7));
    assert_eq!(origin.bodies(), 1);
    // Nor is it taken for one whose bytes are the same.
    for _ in 0..2 {
        assert_eq!(generic(&cache, &origin, 1, 9_usize).await, Err(9));
    }
    assert!(generic_entry::<usize>(&cache, 1).peek().await.unwrap().is_none());
}

#[redis_cached(
    key = "windowed:{id}", ttl = "10m", refresh_before = "50s", jitter = "0%", skip(origin), cache = cache,
    cache_err_if = |_| true, err_ttl = "1m"
)]
async fn windowed(cache: &Cache, origin: &Origin, id: u64) -> Answer<usize> {
    end(origin, End::NotFound).await
}

/// Also where its ttl has room for the window of the values.
#[tokio::test(start_paused = true)]
async fn an_error_is_never_stale() {
    let (cache, origin) = (memory().await, Origin::open());
    for _ in 0..6 {
        assert_eq!(windowed(&cache, &origin, 1).await, not_found(1));
        settle().await;
        assert_eq!(origin.bodies(), 1);
        tokio::time::sleep(SECOND * 9).await;
    }
}

/// There is nobody who would refresh it.
#[tokio::test(start_paused = true)]
async fn an_error_that_is_expired_is_a_miss() {
    let (cache, origin) = (memory().await, Origin::open());
    assert!(row(&cache, &origin, 1, End::NotFound).await.is_err());
    row_entry(&cache, 1).expire().await.unwrap();
    assert_eq!(row(&cache, &origin, 1, End::Value).await, Ok(1));
    assert!(row(&cache, &origin, 2, End::NotFound).await.is_err());
    cache.scope(async { expire_tags(["row:2"]).await }).await.unwrap();
    assert_eq!(row(&cache, &origin, 2, End::Value).await, Ok(1));
}

#[redis_cached(
    key = "tagged:{id}", ttl = "10m", tags = ["team:{team}", "run:{ret}"], clearable, skip(origin, ends),
    cache = cache, cache_err_if = Failed::is_stored, err_ttl = "1m"
)]
async fn tagged(cache: &Cache, origin: &Origin, team: u8, id: u64, ends: End) -> Answer<usize> {
    tag("rows");
    end(origin, ends).await
}

#[redis_cached(key = "around:{id}", ttl = "10m", skip(origin), cache = cache)]
async fn around(cache: &Cache, origin: &Origin, id: u64) -> bool {
    tagged(cache, origin, 1, id, End::NotFound).await.is_err()
}

#[tokio::test(start_paused = true)]
async fn c1_an_error_is_invalidated_as_a_value_is() {
    let (cache, origin) = (memory().await, Origin::open());
    let test = async {
        for how in 0..4 {
            assert!(tagged(&cache, &origin, 1, 1, End::NotFound).await.is_err());
            assert!(tagged(&cache, &origin, 1, 1, End::Value).await.is_err(), "a hit");
            // What is made of it depends on it.
            assert!(around(&cache, &origin, 1).await);
            assert_eq!(origin.bodies(), 2 * how + 1);
            match how {
                0 => tagged_entry(&cache, 1, 1).invalidate().await.unwrap(),
                1 => invalidate_tags(["team:1"]).await.unwrap(),
                2 => invalidate_tags(["rows"]).await.unwrap(),
                _ => tagged_all(&cache).invalidate().await.unwrap(),
            }
            assert!(tagged(&cache, &origin, 1, 1, End::Value).await.is_ok());
            assert_eq!(around(&cache, &origin, 1).await, how == 0, "by key only the one");
            tagged_entry(&cache, 1, 1).invalidate().await.unwrap();
            around_entry(&cache, 1).invalidate().await.unwrap();
        }
    };
    cache.scope(test).await;
}

#[tokio::test(start_paused = true)]
async fn c1_an_error_that_was_computed_across_an_invalidation_is_not_stored() {
    let (cache, origin) = (memory().await, Origin::gated());
    let call = {
        let (cache, origin) = (cache.clone(), origin.clone());
        tokio::spawn(async move { row(&cache, &origin, 1, End::NotFound).await })
    };
    origin.body_started().await;
    row_entry(&cache, 1).invalidate().await.unwrap();
    origin.let_through(2);
    assert_eq!(call.await.unwrap(), not_found(1));
    assert_eq!(row(&cache, &origin, 1, End::Value).await, Ok(1));
}

/// The bytes that are stored do for those who wait, where the type can't be cloned.
#[tokio::test(start_paused = true)]
async fn an_error_that_is_stored_reaches_all_who_waited() {
    let (cache, origin) = (memory().await, Origin::gated());
    let calls: Vec<_> = (0..100)
        .map(|_| {
            let (cache, origin) = (cache.clone(), origin.clone());
            tokio::spawn(async move { row(&cache, &origin, 1, End::NotFound).await })
        })
        .collect();
    origin.body_started().await;
    settle().await;
    origin.let_through(100);
    for call in calls {
        assert_eq!(call.await.unwrap(), not_found(1));
    }
    assert_eq!(origin.bodies(), 1);
}

/// Without a lease nothing is stored, and those who wait share it all the same.
#[tokio::test(start_paused = true)]
async fn an_error_that_would_be_stored_is_shared_behind_a_failure() {
    let (cache, origin) = (memory().await, Origin::open());
    assert!(slow(&cache, &origin, 1, End::Broken).await.is_err());
    settle().await;
    let leader = spawn_slow(&cache, &origin, End::NotFound);
    settle().await;
    let late: Vec<_> = (0..5).map(|_| spawn_slow(&cache, &origin, End::NotFound)).collect();
    assert_eq!(leader.await.unwrap(), not_found(1));
    for call in late {
        assert_eq!(call.await.unwrap(), not_found(1));
    }
    assert_eq!(origin.bodies(), 3);
    assert_eq!(slow_entry(&cache, 1).ttl().await.unwrap(), None);
}

#[redis_cached(
    key = "slow:{id}", ttl = "10m", skip(origin, ends), cache = cache, cache_err_if = Failed::is_stored,
    err_ttl = "1m"
)]
async fn slow(cache: &Cache, origin: &Origin, id: u64, ends: End) -> Answer<usize> {
    tokio::time::sleep(Duration::from_millis(10)).await;
    end(origin, ends).await
}

fn spawn_slow(cache: &Cache, origin: &Origin, ends: End) -> tokio::task::JoinHandle<Answer<usize>> {
    let (cache, origin) = (cache.clone(), origin.clone());
    tokio::spawn(async move { slow(&cache, &origin, 1, ends).await })
}

/// Loses what it holds on the way.
#[derive(Debug, PartialEq, Serialize, Deserialize)]
struct Lossy {
    #[serde(serialize_with = "nothing")]
    text: String,
}

fn nothing<S: serde::Serializer>(text: &str, serializer: S) -> Result<S::Ok, S::Error> {
    let _ = text;
    serializer.serialize_u64(7)
}

#[redis_cached(
    key = "lossy:{id}", ttl = "10m", skip(origin), cache = cache, cache_err_if = |_| true, err_ttl = "1m"
)]
async fn lossy(cache: &Cache, origin: &Origin, id: u64) -> Result<usize, Lossy> {
    origin.read().await;
    Err(Lossy { text: id.to_string() })
}

#[tokio::test(start_paused = true)]
async fn c6_an_error_that_does_not_read_back_is_not_stored_and_warned_about_once() {
    let (told, cache, origin) = (Told::listen(), memory().await, Origin::open());
    for bodies in 1..=3 {
        let error = lossy(&cache, &origin, 1).await.unwrap_err();
        assert_eq!(error, Lossy { text: "1".to_owned() });
        assert_eq!(origin.bodies(), bodies);
        // Past the marker of the failure.
        tokio::time::sleep(SECOND * 10).await;
    }
    let text = told.text();
    assert_eq!(
        text.matches("an error that `cache_err_if` wants stored can't be").count(),
        1,
        "{text}"
    );
    assert!(text.contains("could not be read back"), "{text}");
}

/// Of the same entries, with another type of error, and with none that is stored.
#[redis_cached(
    key = "row:{id}", ttl = "10m", tags = ["row:{id}"], skip(origin), cache = cache, same_entries_as = row,
    cache_err_if = |_| true, err_ttl = "1m"
)]
async fn row_of_others(cache: &Cache, origin: &Origin, id: u64) -> Result<usize, String> {
    Err(format!("run {}", origin.read().await))
}

#[redis_cached(key = "row:{id}", ttl = "10m", tags = ["row:{id}"], skip(origin), cache = cache, same_entries_as = row)]
async fn row_of_none(cache: &Cache, origin: &Origin, id: u64) -> Answer<usize> {
    end(origin, End::Value).await
}

#[redis_cached(
    key = "row:{id}", ttl = "10m", tags = ["row:{id}"], skip(origin), cache = cache, same_entries_as = row,
    cache_err_if = |_| false, err_ttl = "1s"
)]
async fn row_again(cache: &Cache, origin: &Origin, id: u64) -> Answer<usize> {
    end(origin, End::Value).await
}

#[tokio::test(start_paused = true)]
async fn c6_an_error_is_served_to_those_who_have_its_type() {
    let (cache, origin) = (memory().await, Origin::open());
    assert_eq!(row(&cache, &origin, 1, End::NotFound).await, not_found(1));
    for _ in 0..2 {
        let error = row_of_others(&cache, &origin, 1).await.unwrap_err();
        assert_eq!(error, "run 1");
    }
    assert_eq!(origin.bodies(), 2);
    assert_eq!(row_again(&cache, &origin, 1).await, not_found(1), "a hit");
    assert_eq!(row_of_none(&cache, &origin, 1).await, Ok(1));
    assert_eq!(origin.bodies(), 3);
}

#[redis_cached(
    key = "picky:{id}", ttl = "10m", none_ttl = "2m", jitter = "0%", skip(origin, ends), cache = cache, codec = msgpack,
    cache_if = |_| false, accept_if = |_| false, cache_err_if = Failed::is_stored, err_ttl = "1m",
    ttl_with = |_| MINUTE * 3
)]
async fn picky(cache: &Cache, origin: &Origin, id: u64, ends: End) -> Answer<Option<usize>> {
    end(origin, ends).await.map(Some)
}

#[tokio::test(start_paused = true)]
async fn what_is_said_of_values_is_not_said_of_errors() {
    let (cache, origin) = (memory().await, Origin::open());
    for _ in 0..2 {
        let error = picky(&cache, &origin, 1, End::NotFound).await.unwrap_err();
        assert_eq!(error, Failed::NotFound { run: 1 });
    }
    assert_eq!(origin.bodies(), 1);
    assert_eq!(picky_entry(&cache, 1).ttl().await.unwrap(), Some(MINUTE));
    for bodies in 2..4 {
        assert_eq!(picky(&cache, &origin, 2, End::Value).await, Ok(Some(1)));
        assert_eq!(origin.bodies(), bodies);
    }
}

trait Rows {
    async fn find(&self, id: u64) -> Answer<usize>;
}

struct Pg {
    cache: Cache,
    origin: Origin,
}

#[redis_cached::methods]
impl Rows for Pg {
    #[redis_cached(
        key = "find:{id}", ttl = "10m", skip(self), cache = self.cache, cache_err_if = Failed::is_stored,
        err_ttl = "1m"
    )]
    async fn find(&self, id: u64) -> Answer<usize> {
        end(&self.origin, End::NotFound).await
    }
}

#[redis_cached(
    key = "generic:{id}", ttl = "10m", skip(origin, error, E), cache = cache, cache_err_if = |_| true,
    err_ttl = "1m"
)]
async fn generic<E>(cache: &Cache, origin: &Origin, id: u64, error: E) -> Result<usize, E>
where
    E: Serialize + serde::de::DeserializeOwned + Send + 'static,
{
    origin.read().await;
    Err(error)
}

#[tokio::test(start_paused = true)]
async fn methods_and_generic_functions_store_errors() {
    let (cache, origin) = (memory().await, Origin::open());
    let pg = Pg { cache: cache.clone(), origin: origin.clone() };
    for _ in 0..2 {
        assert_eq!(pg.find(1).await, not_found(1));
    }
    assert_eq!(origin.bodies(), 1);
    for _ in 0..2 {
        // Of one value type, and each with its own errors.
        assert_eq!(generic(&cache, &origin, 1, 7_u8).await, Err(7));
        assert_eq!(generic(&cache, &origin, 1, true).await, Err(true));
    }
    assert_eq!(origin.bodies(), 3);
}

/// Those who waited for another process find what it has stored.
#[tokio::test(start_paused = true)]
async fn a_hit_on_an_error_does_not_wait() {
    let (cache, origin) = (memory().await, Origin::open());
    assert!(slow(&cache, &origin, 1, End::NotFound).await.is_err());
    let start = Instant::now();
    assert!(slow(&cache, &origin, 1, End::NotFound).await.is_err());
    assert_eq!(start.elapsed(), Duration::ZERO);
}

#[redis_cached(
    key = "aged:{id}", ttl = "10m", jitter = "0%", skip(origin, ends), cache = cache, max_age = max_age,
    cache_err_if = |_| true, err_ttl = "1m"
)]
async fn aged(
    cache: &Cache,
    origin: &Origin,
    id: u64,
    max_age: Option<Duration>,
    ends: End,
) -> Answer<usize> {
    end(origin, ends).await
}

/// It was too old for one call, and is not for the others.
#[tokio::test(start_paused = true)]
async fn an_error_takes_no_place_of_a_value_that_others_may_be_served() {
    let (cache, origin) = (memory().await, Origin::open());
    assert_eq!(aged(&cache, &origin, 1, None, End::Value).await, Ok(1));
    tokio::time::sleep(MINUTE).await;
    assert_eq!(aged(&cache, &origin, 1, Some(SECOND), End::NotFound).await, not_found(1));
    origin.change();
    assert_eq!(aged(&cache, &origin, 1, None, End::NotFound).await, Ok(1));
    // Where there is none it is stored, whoever was refused.
    aged_entry(&cache, 1).invalidate().await.unwrap();
    assert_eq!(aged(&cache, &origin, 1, Some(SECOND), End::NotFound).await, not_found(2));
    assert_eq!(aged(&cache, &origin, 1, None, End::Value).await, not_found(2));
    assert_eq!(origin.bodies(), 3);
}
