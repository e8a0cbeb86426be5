use std::future::Future;
use std::time::Duration;

use tokio::time::Instant;

/// Far longer than anything takes that works, on a busy machine and behind a breaker that has doubled its pause to 30 s
/// too; only a test that fails waits for it.
pub const PATIENCE: Duration = Duration::from_secs(60);
const BETWEEN: Duration = Duration::from_millis(5);

/// Asks until the answer is yes.
///
/// # Panics
///
/// When it still is not after [`PATIENCE`].
pub async fn eventually(what: &str, mut condition: impl AsyncFnMut() -> bool) {
    let until = Instant::now() + PATIENCE;
    while !condition().await {
        assert!(Instant::now() < until, "not within {PATIENCE:?}: {what}");
        tokio::time::sleep(BETWEEN).await;
    }
}

/// Waits for an event that must come.
///
/// # Panics
///
/// When it has not come after [`PATIENCE`].
pub async fn in_time<F: Future>(what: &str, event: F) -> F::Output {
    let Ok(output) = tokio::time::timeout(PATIENCE, event).await else {
        panic!("not within {PATIENCE:?}: {what}");
    };
    output
}
