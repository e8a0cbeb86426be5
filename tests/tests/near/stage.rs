//! The functions that most tests call, and how they come to be answered by copies.

use std::time::Duration;

use redis_cached::{Answer, Builder, Cache, ObservedCall, observe, redis_cached};
use redis_cached_tests::{Gate, eventually};

/// Shorter than a test waits for anything else.
pub(crate) const BOUND: Duration = Duration::from_millis(400);

/// A builder whose deadlines are not what is tested.
pub(crate) fn patient(url: &str) -> Builder {
    let long = Duration::from_secs(20);
    Cache::builder().url(url).namespace("ns").deadline(long).connect_timeout(long)
}

/// A cache that stands for a process.
pub(crate) async fn cache(url: &str) -> Cache {
    patient(url).near_bound(BOUND).build().await.expect("the server is up")
}

/// One that is told of nothing before its test is over, unless it is told by the stream: what is not dropped otherwise stays.
pub(crate) async fn patient_cache(url: &str) -> Cache {
    patient(url).near_bound(Duration::from_secs(60)).build().await.expect("the server is up")
}

/// Returns the number of the run, from 1.
#[redis_cached(
    key = "row:{id}", ttl = "1h", near = "30m", tags = ["table:{table}"], cache = cache, skip(cache, gate)
)]
pub(crate) async fn row(id: u64, table: u64, cache: &Cache, gate: &Gate) -> usize {
    gate.pass().await
}

/// Its value, and how it was answered.
pub(crate) async fn asked(cache: &Cache, gate: &Gate) -> (usize, Answer) {
    how(row(1, 1, cache, gate)).await
}

pub(crate) async fn how<T>(call: impl Future<Output = T>) -> (T, Answer) {
    let (value, observed) = observe(call).await;
    let Some(ObservedCall { answer, .. }) = observed.calls.last() else {
        panic!("it is a call of a cached function")
    };
    (value, *answer)
}

pub(crate) fn is_near(answer: Answer) -> bool {
    matches!(answer, Answer::Near { .. })
}

/// Calls until a copy answers.
pub(crate) async fn near(cache: &Cache, gate: &Gate) -> usize {
    let mut value = 0;
    eventually("a copy answers", async || {
        let (given, answer) = asked(cache, gate).await;
        value = given;
        is_near(answer)
    })
    .await;
    value
}

/// From now on nothing may be served that was invalidated before.
pub(crate) async fn bound_is_over() {
    tokio::time::sleep(BOUND).await;
}
