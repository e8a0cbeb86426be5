//! The errors of this crate. Each says what to do.

use std::time::Duration;

use crate::store::StoreError;

/// Why a cache could not be built or installed.
///
/// No text of it holds a password.
#[derive(Debug, thiserror::Error)]
#[error(transparent)]
pub struct BuildError(#[from] pub(crate) BuildErrorKind);

#[derive(Debug, thiserror::Error)]
pub(crate) enum BuildErrorKind {
    #[error(
        "the url {url:?} can't be used: {why}; write it as `redis://[user:password@]host[:port][/db]`, `rediss://…`, `redis-cluster://host[:port],…`, `redis-sentinel://[user:password@]host[:port],…/service[/db]`, `unix:///path/to.sock` or `memory://`"
    )]
    Url { url: String, why: String },
    #[error(
        "the namespace {0:?} can't be used: it must be made of `A-Z a-z 0-9 _ -`, at least one and at most 64 of them, since it stands in front of the braces of every key"
    )]
    Namespace(String),
    #[error("`{setting}` is {value}: it must be {allowed}")]
    Setting { setting: &'static str, value: String, allowed: &'static str },
    #[error(
        "the server at {url} refuses the credentials: {why}; check user and password in the url"
    )]
    Authentication { url: String, why: String },
    #[error(
        "the user of {url} lacks a permission: {why}; on the keys of the namespace (`ns:*`, `ns.tag:*` and `ns.journal*`) it needs the commands get, mget, set, del, exists, strlen, getrange, setrange, pttl, pexpire, zadd, zcard, zincrby, zrange, zremrangebyscore, zscore, time, eval, evalsha, hello, ping, client|tracking to wait without polling, and in a cluster cluster|slots and asking"
    )]
    Permission { url: String, why: String },
    #[error(
        "the server at {url} and this program do not trust each other: {why}; check the name in the url, `tls_root_certificates` and `tls_client_certificate`"
    )]
    Certificate { url: String, why: String },
    #[error(
        "no sentinel of {url} knows the service {name:?}; name it behind the sentinels as `SENTINEL MASTERS` does"
    )]
    Service { url: String, name: String },
    #[error("the server at {url} can't be used: {why}")]
    Server { url: String, why: String },
    #[error(
        "a cache is installed already: call `redis_cached::init` once, at the start of the program; tests use `cache.scope(..)`"
    )]
    AlreadyInstalled,
    #[error("called outside a tokio runtime: call `build().await` from async code that tokio runs")]
    NoRuntime,
}

impl BuildError {
    /// The url could not be parsed, its scheme is not known, or the server is not what it says: a node of a cluster, or
    /// none.
    #[must_use]
    pub fn is_url(&self) -> bool {
        matches!(self.0, BuildErrorKind::Url { .. })
    }

    /// The namespace holds a character that it must not hold.
    #[must_use]
    pub fn is_namespace(&self) -> bool {
        matches!(self.0, BuildErrorKind::Namespace(_))
    }

    /// The server refuses user or password.
    #[must_use]
    pub fn is_authentication(&self) -> bool {
        matches!(self.0, BuildErrorKind::Authentication { .. })
    }

    /// The user may not do what the cache has to do.
    #[must_use]
    pub fn is_permission(&self) -> bool {
        matches!(self.0, BuildErrorKind::Permission { .. })
    }

    /// A certificate is not trusted, of the server or of this client, or is missing; or no TLS is spoken there.
    #[must_use]
    pub fn is_certificate(&self) -> bool {
        matches!(self.0, BuildErrorKind::Certificate { .. })
    }

    /// None of the sentinels that answer knows the service of the url.
    #[must_use]
    pub fn is_service(&self) -> bool {
        matches!(self.0, BuildErrorKind::Service { .. })
    }

    /// [`init`](crate::init) was called a second time.
    #[must_use]
    pub fn is_already_installed(&self) -> bool {
        matches!(self.0, BuildErrorKind::AlreadyInstalled)
    }
}

/// Why a request to the cache itself (not a call of a cached function) failed.
///
/// A cached function never returns it: where the store can't be asked, the function runs.
#[derive(Debug, thiserror::Error)]
#[error(transparent)]
pub struct Error(#[from] pub(crate) ErrorKind);

#[derive(Debug, thiserror::Error)]
pub(crate) enum ErrorKind {
    #[error("it is not known whether this was carried out: {0}; repeat it, that is always safe")]
    Unconfirmed(#[source] StoreError),
    #[error(
        "it is not known whether {left} of the invalidations were carried out: {source}; repeat it, that is always safe"
    )]
    Unsent { left: usize, source: StoreError },
    #[error(
        "nothing gathers this invalidation: run the transaction inside `Invalidation::collect(..)`, or invalidate at once, with `invalidate` or `invalidate_tags`, where there is none"
    )]
    Ungathered,
    #[error("more than {0} invalidations after commit: invalidate a tag instead, or `clear`")]
    TooManyGathered(usize),
    #[error("the store can't be asked: {0}")]
    Unavailable(#[source] StoreError),
    #[error(
        "not stored: a newer computation, `set` or invalidation of this key came first; read the value again"
    )]
    Superseded,
    #[error("not stored: {0}")]
    NotStorable(String),
    #[error(
        "not stored: the function's `cache_if` or `ttl_with` says that this value is not to be"
    )]
    Unwanted,
    #[error("not stored: its ttl was over before it could be; set it again, or raise the ttl")]
    TooLate,
    #[error(
        "there is no key: the `Display` of one of the arguments failed; make it write a text for every value"
    )]
    NoKey,
    #[error(
        "there is no tag: the `Display` of something in it failed; make it write a text for every value"
    )]
    NoTag,
    #[error("there is no cache: the function's `cache` expression is `None` for these arguments")]
    NoCache,
}

/// A function has written, and it is not known whether the cache was told of it.
///
/// What `#[redis_invalidate(.., on_failure = "error")]` makes the function's own error of. The change itself may be
/// there, also where the function's result is this. The invalidation is tried again behind the caller; until it
/// is confirmed, old values may be served, until the end of their `ttl` at most.
///
/// With `after_commit` it can also say that nothing gathers invalidations: then the function has not run.
#[derive(Debug, thiserror::Error)]
#[error("what was written may be there, but not all was invalidated that it changes: {0}")]
pub struct InvalidateError(#[source] pub(crate) Error);

impl InvalidateError {
    /// Why not.
    #[must_use]
    pub fn reason(&self) -> &Error {
        &self.0
    }
}

impl Error {
    /// Whether the request was carried out is unknown. To repeat it is safe.
    #[must_use]
    pub fn is_unconfirmed(&self) -> bool {
        matches!(self.0, ErrorKind::Unconfirmed(_) | ErrorKind::Unsent { .. })
    }

    /// An invalidation after commit was asked for with nothing around that gathers it.
    #[must_use]
    pub fn is_ungathered(&self) -> bool {
        matches!(self.0, ErrorKind::Ungathered)
    }

    /// The store could not be asked.
    #[must_use]
    pub fn is_unavailable(&self) -> bool {
        matches!(self.0, ErrorKind::Unavailable(_))
    }

    /// A `set` met a newer computation, `set` or invalidation of the same key.
    #[must_use]
    pub fn is_superseded(&self) -> bool {
        matches!(self.0, ErrorKind::Superseded)
    }

    /// The value can't be stored: it is too large, does not read back, its ttl was over before it could be,
    /// or the function's `cache_if` says no, in which case what was stored before has been removed.
    #[must_use]
    pub fn is_not_storable(&self) -> bool {
        matches!(self.0, ErrorKind::NotStorable(_) | ErrorKind::Unwanted | ErrorKind::TooLate)
    }
}

/// Some background work had not ended when the time for it was over.
///
/// What was still computing is dropped, and its leases are given back: nothing is damaged by that. Of invalidations
/// that are not confirmed, old values may be served to the end of their ttl.
#[derive(Debug, thiserror::Error)]
#[error(
    "{unfinished} background tasks were still running after {limit:?} and have been dropped; {unconfirmed} \
     invalidations are not confirmed"
)]
pub struct ShutdownError {
    pub(crate) unfinished: usize,
    pub(crate) unconfirmed: usize,
    pub(crate) limit: Duration,
}

impl ShutdownError {
    /// How many tasks were dropped.
    #[must_use]
    pub fn unfinished(&self) -> usize {
        self.unfinished
    }

    /// How many invalidations that were left behind their callers are not confirmed.
    #[must_use]
    pub fn unconfirmed_invalidations(&self) -> usize {
        self.unconfirmed
    }
}

/// The body of a function took longer than its `timeout`.
///
/// What the function's own error is made of, with `?` or [`From`]. The body has been dropped where it was.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("`{function}` took longer than its `timeout` of {after:?}")]
pub struct TimedOut {
    function: &'static str,
    after: Duration,
}

impl TimedOut {
    pub(crate) fn new(function: &'static str, after: Duration) -> Self {
        Self { function, after }
    }

    /// The name of the function.
    #[must_use]
    pub fn function(&self) -> &'static str {
        self.function
    }

    /// How long it was given.
    #[must_use]
    pub fn after(&self) -> Duration {
        self.after
    }
}

/// The error of a computation that several callers waited for, where its type is erased
/// (`anyhow::Error`, `eyre::Report`, `Box<dyn Error + Send + Sync>`).
///
/// Such an error can't be cloned, so all who waited, and the caller that computed for them, get one of
/// these around the same original; a caller that nobody waited for gets the original itself. It
/// prints as the original, and the original is its [`source`](std::error::Error::source): look for
/// a type with `error.chain().find_map(|cause| cause.downcast_ref::<NotFound>())`.
pub struct SharedError(pub(crate) std::sync::Arc<dyn AsDynError>);

/// An erased error that several callers can hold at once.
pub(crate) trait AsDynError: Send + Sync + 'static {
    fn as_dyn(&self) -> &(dyn std::error::Error + 'static);
}

impl std::fmt::Debug for SharedError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "SharedError({:?})", self.0.as_dyn())
    }
}

impl std::fmt::Display for SharedError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}", self.0.as_dyn())
    }
}

impl std::error::Error for SharedError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        Some(self.0.as_dyn())
    }
}
