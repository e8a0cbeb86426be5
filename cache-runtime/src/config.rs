//! How a cache is configured.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use ::redis::{ConnectionAddr, ConnectionInfo, IntoConnectionInfo};

use crate::by_hand::Boxed;
use crate::cache::Cache;
use crate::error::{BuildError, BuildErrorKind};
use crate::store::Store;
use crate::store::memory::Memory;
use crate::store::redis::{Limits, Redis, Refusal};

/// Builds a [`Cache`].
///
/// ```
/// # async fn f() -> Result<(), redis_cached::BuildError> {
/// use redis_cached::Cache;
///
/// let cache = Cache::builder().url("memory://").namespace("shop").build().await?;
/// # Ok(()) }
/// # tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap().block_on(f()).unwrap();
/// ```
#[derive(Clone)]
#[must_use = "a builder does nothing until `build().await`"]
pub struct Builder {
    url: String,
    namespace: String,
    connections: usize,
    deadline: Duration,
    connect_timeout: Duration,
    refreshes: usize,
    memory_capacity: usize,
    clearable: bool,
    tls: Tls,
}

/// Whom it trusts, and by what it shows who it is; as PEM.
#[derive(Clone, Default)]
pub(crate) struct Tls {
    #[cfg_attr(not(feature = "tls"), expect(dead_code, reason = "nobody can say it"))]
    pub(crate) roots: Option<Vec<u8>>,
    #[cfg_attr(not(feature = "tls"), expect(dead_code, reason = "nobody can say it"))]
    pub(crate) client: Option<(Vec<u8>, Vec<u8>)>,
}

/// What the rest of the runtime needs to know of the configuration.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Settings {
    pub(crate) deadline: Duration,
    pub(crate) refreshes: usize,
    /// Whether every entry carries one tag more, by which all are cleared.
    pub(crate) clearable: bool,
}

pub(crate) const MEMORY_CAPACITY: usize = 64 * 1024 * 1024;

impl Default for Builder {
    fn default() -> Self {
        Self {
            url: "redis://127.0.0.1/".to_owned(),
            namespace: "cache".to_owned(),
            connections: 4,
            deadline: Duration::from_millis(250),
            connect_timeout: Duration::from_secs(1),
            refreshes: 256,
            memory_capacity: MEMORY_CAPACITY,
            clearable: false,
            tls: Tls::default(),
        }
    }
}

impl Default for Settings {
    fn default() -> Self {
        let builder = Builder::default();
        Self { deadline: builder.deadline, refreshes: builder.refreshes, clearable: false }
    }
}

impl Builder {
    /// Where the values live. Default: `redis://127.0.0.1/`.
    ///
    /// `redis://[user:password@]host[:port][/db]`, `rediss://…` for TLS (with the feature `tls`),
    /// `unix:///path/to.sock[?db=1]`, or `memory://` for an embedded store inside this process.
    ///
    /// A Redis Cluster is `redis-cluster://[user:password@]host[:port][,host[:port]…]`, `rediss-cluster://…` for TLS. Any
    /// of the nodes that are named has to answer; the others are found by it, at the addresses that the cluster
    /// announces.
    pub fn url(mut self, url: impl Into<String>) -> Self {
        self.url = url.into();
        self
    }

    /// The prefix of everything this application stores, `[A-Za-z0-9_-]+`. Default: `cache`.
    pub fn namespace(mut self, namespace: impl Into<String>) -> Self {
        self.namespace = namespace.into();
        self
    }

    /// How many multiplexed connections each tokio runtime opens, 1 to 64; to a cluster so many to each master. Default:
    /// 4.
    ///
    /// One more carries the reads of leases that somebody waits for.
    pub fn connections(mut self, connections: usize) -> Self {
        self.connections = connections;
        self
    }

    /// How long one operation on the store may take, all told. Default: 250 ms.
    ///
    /// A call that reaches it runs its function's body as if nothing were stored.
    pub fn deadline(mut self, deadline: Duration) -> Self {
        self.deadline = deadline;
        self
    }

    /// How long one attempt to connect may take. Default: 1 s.
    ///
    /// Callers do not wait for it longer than for the [deadline](Self::deadline).
    pub fn connect_timeout(mut self, timeout: Duration) -> Self {
        self.connect_timeout = timeout;
        self
    }

    /// How many background refreshes may run at once in this process. Default: 256.
    ///
    /// One that finds no place is dropped: the next stale hit asks again.
    pub fn max_refreshes(mut self, refreshes: usize) -> Self {
        self.refreshes = refreshes;
        self
    }

    /// How many bytes of values the embedded store keeps. Default: 64 MiB. Of no effect with Redis.
    pub fn memory_capacity(mut self, bytes: usize) -> Self {
        self.memory_capacity = bytes;
        self
    }

    /// Gives every entry one tag more, so that [`Cache::clear`] is one request, however much is stored, and
    /// final. Default: no; then every read asks for one key less, and `clear` walks through the server.
    ///
    /// All processes of a fleet should say the same: entries of a process that does not say it are misses
    /// to the others.
    pub fn clearable(mut self) -> Self {
        self.clearable = true;
        self
    }

    /// The certificates of the authorities whose servers are trusted over `rediss://`, as PEM. Default: those that this
    /// machine trusts.
    ///
    /// The name or address in the url has to be one of the certificate's.
    #[cfg(feature = "tls")]
    pub fn tls_root_certificates(mut self, pem: impl Into<Vec<u8>>) -> Self {
        self.tls.roots = Some(pem.into());
        self
    }

    /// The certificate by which this client shows over `rediss://` who it is, with its chain, and its key, as PEM. Default:
    /// none.
    #[cfg(feature = "tls")]
    pub fn tls_client_certificate(
        mut self,
        certificate: impl Into<Vec<u8>>,
        key: impl Into<Vec<u8>>,
    ) -> Self {
        self.tls.client = Some((certificate.into(), key.into()));
        self
    }

    /// Builds the cache and tries to connect.
    ///
    /// A server that can't be reached is no error: it may be starting, and until it is there the
    /// functions simply run. A warning says so, and [`Cache::ping`] asks.
    ///
    /// # Errors
    ///
    /// A url, namespace or setting that can't be used; wrong credentials; a missing permission; a certificate that is not
    /// trusted, on either side.
    ///
    /// # Cancel safety
    ///
    /// Nothing is left behind when the future is dropped but connections that close by themselves.
    pub async fn build(self) -> Result<Cache, BuildError> {
        self.built().await
    }

    fn built(self) -> Boxed<'static, Result<Cache, BuildError>> {
        Box::pin(self.connected())
    }

    async fn connected(self) -> Result<Cache, BuildError> {
        self.check()?;
        let settings = Settings {
            deadline: self.deadline,
            refreshes: self.refreshes,
            clearable: self.clearable,
        };
        let store = match self.url.split_once("://") {
            Some(("memory", _)) => Store::Memory(Arc::new(Memory::new(self.memory_capacity))),
            Some(("redis" | "unix" | "redis+unix" | "valkey", _)) => {
                Store::Redis(Box::new(self.connect().await?))
            }
            Some(("redis-cluster", _)) => Store::Redis(Box::new(self.connect().await?)),
            Some(("rediss" | "rediss-cluster", _)) if cfg!(feature = "tls") => {
                Store::Redis(Box::new(self.connect().await?))
            }
            Some(("rediss" | "rediss-cluster", _)) => {
                return Err(self.bad_url("it needs the feature `tls` of `redis-cached`").into());
            }
            Some(("redis-sentinel", _)) => {
                return Err(self.bad_url("this scheme is not supported yet").into());
            }
            _ => return Err(self.bad_url("its scheme is not known").into()),
        };
        Ok(Cache::new(store, self.namespace, settings))
    }

    fn check(&self) -> Result<(), BuildErrorKind> {
        let allowed = |c: char| c.is_ascii_alphanumeric() || c == '_' || c == '-';
        if !(1..=64).contains(&self.namespace.len()) || !self.namespace.chars().all(allowed) {
            return Err(BuildErrorKind::Namespace(self.namespace.clone()));
        }
        let between = |setting, value: String, good: bool, allowed| {
            if good { Ok(()) } else { Err(BuildErrorKind::Setting { setting, value, allowed }) }
        };
        let connections = self.connections;
        between(
            "connections",
            connections.to_string(),
            (1..=64).contains(&connections),
            "1 to 64",
        )?;
        let day = Duration::from_secs(86_400);
        for (setting, value) in
            [("deadline", self.deadline), ("connect_timeout", self.connect_timeout)]
        {
            let good = value >= Duration::from_millis(1) && value <= day;
            between(setting, format!("{value:?}"), good, "between 1 ms and a day")?;
        }
        let refreshes = self.refreshes;
        between("max_refreshes", refreshes.to_string(), refreshes <= 1 << 20, "at most 1,048,576")
    }

    async fn connect(&self) -> Result<Redis, BuildErrorKind> {
        tokio::runtime::Handle::try_current().map_err(|_| BuildErrorKind::NoRuntime)?;
        let limits = Limits {
            connections: self.connections,
            deadline: self.deadline,
            connect: self.connect_timeout,
        };
        let url = redact(&self.url);
        let of_nodes = urls_of_nodes(&self.url);
        let infos = match &of_nodes {
            Some(urls) => urls.iter().map(|url| url.as_str().into_connection_info()).collect(),
            None => self.url.as_str().into_connection_info().map(|info| vec![info]),
        };
        let infos: Vec<ConnectionInfo> = infos.map_err(|error| self.bad_url(&error.to_string()))?;
        if of_nodes.is_some() && infos.iter().any(|info| info.redis_settings().db() != 0) {
            return Err(
                self.bad_url("a cluster has no databases: leave out what stands behind the `/`")
            );
        }
        let speaks_tls =
            infos.iter().any(|info| matches!(info.addr(), ConnectionAddr::TcpTls { .. }));
        let redis = match of_nodes {
            Some(_) => Redis::cluster(infos, limits, &self.tls),
            None => {
                Redis::one(infos.into_iter().next().expect("one was parsed"), limits, &self.tls)
            }
        };
        let redis = redis.map_err(|error| {
            let why = error.to_string();
            if speaks_tls {
                BuildErrorKind::Certificate { url: url.clone(), why }
            } else {
                self.bad_url(&why)
            }
        })?;
        match redis.check(&self.namespace).await {
            Ok(()) => Ok(redis),
            Err(Refusal::Authentication(why)) => Err(BuildErrorKind::Authentication { url, why }),
            Err(Refusal::Permission(why)) => Err(BuildErrorKind::Permission { url, why }),
            Err(Refusal::Certificate(why)) => Err(BuildErrorKind::Certificate { url, why }),
            Err(Refusal::Url(why)) => Err(self.bad_url(why)),
            Err(Refusal::Other(why)) => Err(BuildErrorKind::Server { url, why }),
            Err(Refusal::Unreachable(why)) => {
                tracing::debug!(target: "redis_cached", url, why, "built without the store");
                Ok(redis)
            }
        }
    }

    fn bad_url(&self, why: &str) -> BuildErrorKind {
        BuildErrorKind::Url { url: redact(&self.url), why: why.to_owned() }
    }
}

impl fmt::Debug for Builder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Builder")
            .field("url", &redact(&self.url))
            .field("namespace", &self.namespace)
            .field("connections", &self.connections)
            .field("deadline", &self.deadline)
            .field("connect_timeout", &self.connect_timeout)
            .field("max_refreshes", &self.refreshes)
            .field("memory_capacity", &self.memory_capacity)
            .field("clearable", &self.clearable)
            .finish_non_exhaustive()
    }
}

/// Of `redis-cluster://user:password@one:7000,two/` a url for each node that it names, as for a server; `None` where it
/// names a server.
fn urls_of_nodes(url: &str) -> Option<Vec<String>> {
    let (scheme, rest) = url.split_once("://")?;
    let scheme = scheme.strip_suffix("-cluster")?;
    // The last one: a password may hold an `@`.
    let (user, rest) = rest.rsplit_once('@').map_or(("", rest), |(user, rest)| (user, rest));
    let at = if user.is_empty() { "" } else { "@" };
    let end = rest.find(['/', '?']).unwrap_or(rest.len());
    let (hosts, behind) = rest.split_at(end);
    let of_node = |host: &str| format!("{scheme}://{user}{at}{host}{behind}");
    Some(hosts.split(',').map(of_node).collect())
}

/// Replaces everything between `//` and the last `@`, and every query, by `***`.
///
/// Coarse on purpose: it must hold for a url that does not parse as well.
fn redact(url: &str) -> String {
    let (scheme, rest) = url.split_once("://").unwrap_or(("", url));
    let separator = if scheme.is_empty() { "" } else { "://" };
    // The `@` first: a password may hold a `?`, and a query an `@`.
    let (user, host) = match rest.rsplit_once('@') {
        Some((_, host)) => ("***@", host),
        None => ("", rest),
    };
    let (host, query) = match host.split_once('?') {
        Some((host, _)) => (host, "?***"),
        None => (host, ""),
    };
    format!("{scheme}{separator}{user}{host}{query}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_url_of_a_cluster_names_nodes() {
        for (url, expected) in [
            ("redis-cluster://a", &["redis://a"][..]),
            ("redis-cluster://a:7000,b/", &["redis://a:7000/", "redis://b/"]),
            (
                "rediss-cluster://u:p,@,@a:1,[::1]:2",
                &["rediss://u:p,@,@a:1", "rediss://u:p,@,@[::1]:2"],
            ),
            (
                "redis-cluster://a,b?protocol=resp3",
                &["redis://a?protocol=resp3", "redis://b?protocol=resp3"],
            ),
            ("redis-cluster://", &["redis://"]),
            ("redis-cluster://a,", &["redis://a", "redis://"]),
        ] {
            let urls = urls_of_nodes(url).expect("it is one");
            assert_eq!(urls, expected, "{url}");
        }
        for url in ["redis://a,b", "unix:///a", "memory://", "redis-cluster", ""] {
            assert_eq!(urls_of_nodes(url), None, "{url}");
        }
    }

    #[test]
    fn a_redacted_url_holds_no_secret() {
        for (url, expected) in [
            ("redis://127.0.0.1/", "redis://127.0.0.1/"),
            ("redis://user:s3cret@host:6379/2", "redis://***@host:6379/2"),
            ("redis://:s3cr@t@host", "redis://***@host"),
            ("unix:///run/redis.sock?db=1&pass=s3cret", "unix:///run/redis.sock?***"),
            ("user:s3cret@host", "***@host"),
            ("redis://user:s3cret?x@host/?db=1", "redis://***@host/?***"),
            ("redis://host/?pass=s3cr@t", "redis://***@t"),
        ] {
            assert_eq!(redact(url), expected);
            let builder = Builder::default().url(url);
            assert!(!format!("{builder:?}").contains("s3cr"), "{builder:?}");
        }
    }
}
