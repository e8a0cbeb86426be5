//! How a cache is configured.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use ::redis::{ConnectionInfo, IntoConnectionInfo};

use crate::by_hand::Boxed;
use crate::cache::Cache;
use crate::error::{BuildError, BuildErrorKind};
use crate::integrity::{self, Integrity};
use crate::store::Store;
use crate::store::memory::Memory;
use crate::store::redis::{Confirm, Limits, Location, Redis, Refusal, Service};

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
    near_capacity: usize,
    near_bound: Duration,
    clearable: bool,
    tls: Tls,
    confirm: Option<Confirm>,
    secrets: Secrets,
}

/// Whom it trusts, and by what it shows who it is; as PEM.
#[derive(Clone, Default)]
pub(crate) struct Tls {
    #[cfg_attr(not(feature = "tls"), expect(dead_code, reason = "nobody can say it"))]
    pub(crate) roots: Option<Vec<u8>>,
    #[cfg_attr(not(feature = "tls"), expect(dead_code, reason = "nobody can say it"))]
    pub(crate) client: Option<(Vec<u8>, Vec<u8>)>,
}

/// What entries are authenticated by, as it was given.
#[derive(Clone, Default)]
struct Secrets {
    own: Option<Vec<u8>>,
    accepted: Vec<Vec<u8>>,
}

/// What the rest of the runtime needs to know of the configuration.
#[derive(Debug)]
pub(crate) struct Settings {
    pub(crate) deadline: Duration,
    pub(crate) refreshes: usize,
    /// Whether every entry carries one tag more, by which all are cleared.
    pub(crate) clearable: bool,
    /// How long an invalidation may wait for replicas past its deadline.
    pub(crate) confirm: Duration,
    /// How many bytes the near copies may have, by what is stored of them.
    pub(crate) near_capacity: usize,
    /// How old the news of an invalidation may be where there is a near copy.
    pub(crate) near_bound: Duration,
    /// Where entries carry a MAC, and are read only with one.
    pub(crate) integrity: Option<Integrity>,
}

pub(crate) const MEMORY_CAPACITY: usize = 64 * 1024 * 1024;
const NEAR_CAPACITY: usize = 64 * 1024 * 1024;

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
            near_capacity: NEAR_CAPACITY,
            near_bound: Duration::from_secs(1),
            clearable: false,
            tls: Tls::default(),
            confirm: None,
            secrets: Secrets::default(),
        }
    }
}

impl Default for Settings {
    fn default() -> Self {
        let builder = Builder::default();
        Self {
            deadline: builder.deadline,
            refreshes: builder.refreshes,
            clearable: false,
            confirm: Duration::ZERO,
            near_capacity: builder.near_capacity,
            near_bound: builder.near_bound,
            integrity: None,
        }
    }
}

impl Builder {
    /// Where the values live. Default: `redis://127.0.0.1/`.
    ///
    /// `redis://[user:password@]host[:port][/db]`, `rediss://…` for TLS (with the feature `tls`),
    /// `unix:///path/to.sock[?db=1]`, or `memory://` for an embedded store inside this process.
    ///
    /// `redis-sentinel://[user:password@]host[:port],host[:port],…/service[/db]` (`rediss-sentinel://…` for TLS) for a
    /// service whose master the sentinels at these hosts know (port 26379; 16 of them at most). User and password are the
    /// master's. Where the sentinels ask for some, they are `?sentinelUsername=…&sentinelPassword=…` behind it. What
    /// is not a letter, digit, `-`, `.`, `_` or `~` in one of these is written as `%` and two hexadecimal digits.
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

    /// How many multiplexed connections each tokio runtime opens for reads, 1 to 64; to a cluster so many to each master.
    /// Default: 4.
    ///
    /// Half as many more are for what may write, so that no hit waits behind a write, and one more for the reads of
    /// leases that somebody waits for: 7 by default.
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

    /// How many bytes of values functions with `near` keep in this process, by what is stored of them and 256 bytes more
    /// for each. Default: 64 MiB. With 0 none are kept. Of no effect with the embedded store.
    ///
    /// A value in memory may be larger than what is stored of it, but not by much; compressed ones count as expanded.
    pub fn near_capacity(mut self, bytes: usize) -> Self {
        self.near_capacity = bytes;
        self
    }

    /// How long after an invalidation has been acknowledged another process may still serve its near copy. Default: 1 s;
    /// 50 ms to a minute.
    ///
    /// Hardly ever it takes so long: the server tells at once. But its news can be held up, and a connection can be dead
    /// without anybody knowing. So while there are copies the connection is asked four times in this time whether it still
    /// is there, and they are served only while it has answered.
    ///
    /// ```
    /// # async fn f() -> Result<(), redis_cached::BuildError> {
    /// use std::time::Duration;
    /// use redis_cached::Cache;
    ///
    /// let cache = Cache::builder()
    ///     .url("memory://")
    ///     .near_capacity(16 * 1024 * 1024)
    ///     .near_bound(Duration::from_millis(500))
    ///     .build()
    ///     .await?;
    /// # Ok(()) }
    /// # tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap().block_on(f()).unwrap();
    /// ```
    pub fn near_bound(mut self, bound: Duration) -> Self {
        self.near_bound = bound;
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

    /// Has an invalidation be `Ok` only when so many replicas have it, too, 1 to 64 of them, each time within `timeout`,
    /// 1 ms to a day. Default: none is waited for.
    ///
    /// Replicas get what their master writes after it has answered. One that takes its place does not know what had not
    /// arrived by then: an invalidation that was `Ok` is lost, and what it removed is served again. With this it is an
    /// error that says so (`is_unconfirmed`) where too few have it; then it may be carried out or not, and
    /// is tried again like any other. What is left of the danger: that a replica takes over which is none of those that
    /// have confirmed it. With as many as there are replicas there is none of these, and none may be away.
    ///
    /// It holds for all that invalidates or expires: entries, tags, functions that write, [`Cache::clear`]. Not
    /// for what is stored, with `set`, `#[redis_put]` or by a computation: the value of before may come back.
    ///
    /// An invalidation takes a round trip to the replicas more; `timeout` is added to its [deadline](Self::deadline). Since
    /// a server that waits for its replicas answers nothing else on the same connection, they get as many
    /// [connections](Self::connections) again for themselves. The user of the url needs the right to `WAIT`. Of no effect with
    /// the embedded store.
    ///
    /// ```
    /// use std::time::Duration;
    ///
    /// use redis_cached::Cache;
    ///
    /// let builder = Cache::builder()
    ///     .url("redis-sentinel://10.0.0.1,10.0.0.2,10.0.0.3/shop")
    ///     .confirm_by_replicas(1, Duration::from_millis(100));
    /// # drop(builder);
    /// ```
    pub fn confirm_by_replicas(mut self, replicas: usize, timeout: Duration) -> Self {
        self.confirm = Some(Confirm { replicas, within: timeout });
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

    /// A secret by which entries are authenticated, for a server that others can write to. Default: none.
    ///
    /// Every entry that this cache writes then carries a MAC (keyed BLAKE3) of all that is in it and of its full key with the
    /// namespace, and what is stored without a right one is a miss: it is removed, the body runs, and one warning for each
    /// function tells of it. So nobody without the secret can have a cached function return what no body of that function
    /// has computed for these arguments, and nobody can have it return anything past its `ttl`. What somebody who writes to
    /// the server can do all the same, and how a secret is brought in, changed and taken out, says [In
    /// operation](https://docs.rs/redis-cached/latest/redis_cached/docs/operations/).
    ///
    /// At least 32 bytes, from a random generator, taken as they are: text is not decoded, and nothing is trimmed. One line
    /// of `openssl rand -hex 32` in an environment variable will do. All processes that share a namespace need the same
    /// one; staging should have another than production. A process without it reads entries all the same, and checks
    /// nothing.
    ///
    /// ```
    /// # async fn f() -> Result<(), Box<dyn std::error::Error>> {
    /// use redis_cached::Cache;
    ///
    /// # let secret = "7c9e6d0b5a4f3e2d1c0b9a8f7e6d5c4b3a2f1e0d9c8b7a6f5e4d3c2b1a0f9e8d";
    /// # /*
    /// let secret = std::env::var("CACHE_INTEGRITY_KEY")?;
    /// # */
    /// let cache = Cache::builder().url("memory://").integrity_key(secret).build().await?;
    /// # assert!(!format!("{cache:?}").contains("7c9e6d0b"));
    /// # Ok(()) }
    /// # tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap().block_on(f()).unwrap();
    /// ```
    pub fn integrity_key(mut self, secret: impl Into<Vec<u8>>) -> Self {
        self.secrets.own = Some(secret.into());
        self
    }

    /// A further secret whose entries are read, and none written, while [`integrity_key`](Self::integrity_key) changes. May
    /// be said four times. Default: none.
    ///
    /// To change a secret without a cold cache takes three deploys: accept the new one; write with the new one and accept the
    /// old; and after the longest `ttl`, or at once where the old one is known to somebody, forget the old.
    ///
    /// ```
    /// # async fn f() -> Result<(), redis_cached::BuildError> {
    /// # use redis_cached::Cache;
    /// # let (new, old) = ([7; 32], [8; 32]);
    /// let cache = Cache::builder()
    ///     .url("memory://")
    ///     .integrity_key(new)
    ///     .accept_integrity_key(old)
    ///     .build()
    ///     .await?;
    /// # Ok(()) }
    /// # tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap().block_on(f()).unwrap();
    /// ```
    pub fn accept_integrity_key(mut self, secret: impl Into<Vec<u8>>) -> Self {
        self.secrets.accepted.push(secret.into());
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
    /// trusted, on either side; a service that no sentinel knows.
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
            confirm: self.confirm.map_or(Duration::ZERO, |confirm| confirm.within),
            near_capacity: self.near_capacity,
            near_bound: self.near_bound,
            integrity: self.secrets.integrity(),
        };
        let store = match self.url.split_once("://") {
            Some(("memory", _)) => Store::Memory(Arc::new(Memory::new(self.memory_capacity))),
            Some(("redis" | "unix" | "redis+unix" | "valkey" | "redis-sentinel", _)) => {
                Store::Redis(Box::new(self.connect().await?))
            }
            Some(("redis-cluster", _)) => Store::Redis(Box::new(self.connect().await?)),
            Some(("rediss" | "rediss-sentinel" | "rediss-cluster", _)) if cfg!(feature = "tls") => {
                Store::Redis(Box::new(self.connect().await?))
            }
            Some(("rediss" | "rediss-sentinel" | "rediss-cluster", _)) => {
                return Err(self.bad_url("it needs the feature `tls` of `redis-cached`").into());
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
        self.secrets.check()?;
        let day = Duration::from_secs(86_400);
        for (setting, value) in
            [("deadline", self.deadline), ("connect_timeout", self.connect_timeout)]
        {
            let good = value >= Duration::from_millis(1) && value <= day;
            between(setting, format!("{value:?}"), good, "between 1 ms and a day")?;
        }
        let (bound, allowed) = (self.near_bound, "between 50 ms and a minute");
        let good = bound >= Duration::from_millis(50) && bound <= Duration::from_secs(60);
        between("near_bound", format!("{bound:?}"), good, allowed)?;
        if let Some(Confirm { replicas, within }) = self.confirm {
            let setting = "confirm_by_replicas";
            between(setting, replicas.to_string(), (1..=64).contains(&replicas), "1 to 64")?;
            let good = within >= Duration::from_millis(1) && within <= day;
            between(setting, format!("{within:?}"), good, "between 1 ms and a day")?;
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
        let speaks_tls = self.url.starts_with("rediss");
        let url = redact(&self.url);
        let redis = if let Some(nodes) = self.nodes()? {
            Redis::cluster(nodes, limits, &self.tls, self.confirm, &self.namespace)
        } else {
            let at = self.location().map_err(|why| self.bad_url(&why))?;
            Redis::one(at, limits, &self.tls, self.confirm, &self.namespace)
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
            Err(Refusal::Service(name)) => Err(BuildErrorKind::Service { url, name }),
            Err(Refusal::Url(why)) => Err(self.bad_url(why)),
            Err(Refusal::Other(why)) => Err(BuildErrorKind::Server { url, why }),
            Err(Refusal::Unreachable(why)) => {
                tracing::debug!(target: "redis_cached", url, why, "built without the store");
                Ok(redis)
            }
        }
    }

    /// Those of a cluster that the url names, if it does.
    fn nodes(&self) -> Result<Option<Vec<ConnectionInfo>>, BuildErrorKind> {
        let Some(urls) = urls_of_nodes(&self.url) else { return Ok(None) };
        let nodes = urls.iter().map(|url| url.as_str().into_connection_info());
        let nodes: Vec<ConnectionInfo> =
            nodes.collect::<Result<_, _>>().map_err(|error| self.bad_url(&error.to_string()))?;
        if nodes.iter().any(|info| info.redis_settings().db() != 0) {
            return Err(
                self.bad_url("a cluster has no databases: leave out what stands behind the `/`")
            );
        }
        Ok(Some(nodes))
    }

    fn location(&self) -> Result<Location, String> {
        if Service::is_meant_by(&self.url) {
            return Ok(Location::Service(Box::new(Service::parse(&self.url)?)));
        }
        let info = self.url.as_str().into_connection_info().map_err(|error| error.to_string())?;
        Ok(Location::Server(Box::new(info)))
    }

    fn bad_url(&self, why: &str) -> BuildErrorKind {
        BuildErrorKind::Url { url: redact(&self.url), why: why.to_owned() }
    }
}

impl Secrets {
    fn check(&self) -> Result<(), BuildErrorKind> {
        let wrong =
            |setting, value, allowed| Err(BuildErrorKind::Setting { setting, value, allowed });
        let of_enough_bytes =
            "at least 32 bytes of a random generator, as `openssl rand -hex 32` gives";
        let is_short = |secret: &&Vec<u8>| secret.len() < integrity::SHORTEST_SECRET;
        if let Some(short) = self.own.iter().find(is_short) {
            return wrong("integrity_key", format!("{} bytes long", short.len()), of_enough_bytes);
        }
        if let Some(short) = self.accepted.iter().find(is_short) {
            let value = format!("{} bytes long", short.len());
            return wrong("accept_integrity_key", value, of_enough_bytes);
        }
        if self.accepted.len() > integrity::MOST_ACCEPTED {
            let value = format!("said {} times", self.accepted.len());
            return wrong("accept_integrity_key", value, "said four times at most");
        }
        if self.own.is_none() && !self.accepted.is_empty() {
            let value = "said without `integrity_key`".to_owned();
            return wrong("accept_integrity_key", value, "said beside the secret to write with");
        }
        Ok(())
    }

    fn integrity(&self) -> Option<Integrity> {
        self.own.as_ref().map(|own| Integrity::new(own, &self.accepted))
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
            .field("near_capacity", &self.near_capacity)
            .field("near_bound", &self.near_bound)
            .field("clearable", &self.clearable)
            .field("confirm_by_replicas", &self.confirm)
            .field("integrity", &self.secrets.own.is_some())
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
