//! Tags that are added while a body runs, also in tasks that it spawns.

use std::future::{Future, poll_fn};
use std::pin::pin;
use std::sync::Arc;

use crate::frame::{self, Frame};
use crate::tags;

/// Tags what the cached function around computes at the moment: `invalidate_tags` of this tag then
/// invalidates its entry, and the entries of cached functions around that.
///
/// To be called wherever data is read, however deep, with nothing passed along. A tag is a text; at most
/// 32 different ones fit on an entry, with the declared ones and those of cached functions that the body
/// calls. An entry with more is not stored, which is warned about once for each function.
///
/// Outside of any cached function's body it does nothing, which is warned about once. Tasks that a body
/// spawns are outside of it, unless they run in its [`TagScope`].
///
/// ```
/// # async fn f() -> Result<(), Box<dyn std::error::Error>> {
/// use redis_cached::{Cache, invalidate_tags, redis_cached, tag};
///
/// #[redis_cached(key = "page:{id}", ttl = "1h")]
/// async fn page(id: u64) -> String {
///     author(id % 10).await
/// }
///
/// // Some repository layer.
/// async fn author(id: u64) -> String {
///     tag(format!("author:{id}"));
///     format!("author {id}")
/// }
///
/// let cache = Cache::builder().url("memory://").build().await?;
/// cache.scope(async {
///     page(17).await;
///     assert!(page_entry(17).peek().await?.is_some());
///     invalidate_tags(["author:7"]).await?;
///     assert!(page_entry(17).peek().await?.is_none());
///     Ok::<(), redis_cached::Error>(())
/// }).await?;
/// # Ok(()) }
/// # tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap().block_on(f()).unwrap();
/// ```
pub fn tag(tag: impl AsRef<str>) {
    frame::add(&tags::name(tag.as_ref()));
}

/// The body that this task is inside of, for tasks that it spawns: what they tag counts for it, and so
/// do the cached functions that they call.
///
/// The body has to wait for them: what is tagged after it has ended is lost, and warned about.
///
/// ```
/// # async fn f() -> Result<(), Box<dyn std::error::Error>> {
/// use redis_cached::{Cache, TagScope, invalidate_tags, redis_cached, tag};
///
/// #[redis_cached(key = "report:{id}", ttl = "1h")]
/// async fn report(id: u64) -> u64 {
///     let scope = TagScope::current();
///     let part = tokio::spawn(scope.run(async move {
///         tag("sales");
///         id * 2
///     }));
///     part.await.unwrap_or(0)
/// }
///
/// let cache = Cache::builder().url("memory://").build().await?;
/// cache.scope(async {
///     report(1).await;
///     invalidate_tags(["sales"]).await?;
///     assert!(report_entry(1).peek().await?.is_none());
///     Ok::<(), redis_cached::Error>(())
/// }).await?;
/// # Ok(()) }
/// # tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap().block_on(f()).unwrap();
/// ```
#[derive(Clone)]
pub struct TagScope(Option<Arc<Frame>>);

impl TagScope {
    /// That of this task; outside of any body one that gathers nothing.
    #[must_use]
    pub fn current() -> Self {
        Self(frame::current())
    }

    /// Runs a future inside this scope.
    ///
    /// It does not carry the cache of a [`Cache::scope`](crate::Cache::scope) on.
    ///
    /// # Cancel safety
    ///
    /// That of the future.
    pub async fn run<F: Future>(self, future: F) -> F::Output {
        let Some(frame) = self.0 else { return future.await };
        let mut future = pin!(future);
        poll_fn(|cx| frame.within(|| future.as_mut().poll(cx))).await
    }
}

impl std::fmt::Debug for TagScope {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("TagScope").field("is_inside", &self.0.is_some()).finish()
    }
}
