//! One store, any number of caches on it, and the function that most tests call.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Weak};
use std::time::Duration;

use redis_cached::{Builder, Cache, redis_cached};
use redis_cached_tests::{Certificates, Cluster, Gate, Kind, RedisServer, Service};
use tokio::sync::Mutex;

/// What stores the values.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Backend {
    Memory,
    Tcp,
    Unix,
    Tls,
    Valkey,
    Redis8,
    Sentinel,
    Cluster,
}

impl Backend {
    fn server(self, certificates: &Certificates) -> Option<RedisServer> {
        match self {
            Self::Memory | Self::Sentinel | Self::Cluster => None,
            Self::Tcp | Self::Unix => Some(RedisServer::start()),
            Self::Tls => Some(RedisServer::start_with_tls(certificates, true)),
            Self::Valkey => Some(RedisServer::start_kind(Kind::Valkey)),
            Self::Redis8 => Some(RedisServer::start_kind(Kind::Redis8)),
        }
    }
}

/// Which namespace of the shared service is the next test's.
static NEXT: AtomicU64 = AtomicU64::new(0);

/// One service takes a second to be ready: those tests that run meanwhile share it, each with a namespace of its own.
async fn shared_service() -> Arc<Service> {
    static SHARED: Mutex<Weak<Service>> = Mutex::const_new(Weak::new());
    let mut shared = SHARED.lock().await;
    if let Some(service) = shared.upgrade() {
        return service;
    }
    let service = Arc::new(Service::start().await);
    *shared = Arc::downgrade(&service);
    service
}

/// A store of one test's own.
pub(crate) struct Stage {
    pub(crate) backend: Backend,
    server: Option<RedisServer>,
    service: Option<Arc<Service>>,
    /// That of all tests.
    cluster: Option<&'static Cluster>,
    pub(crate) namespace: String,
    certificates: Certificates,
    /// The embedded store lives inside its cache.
    embedded: Option<Cache>,
}

impl Stage {
    pub(crate) async fn new(backend: Backend) -> Self {
        let certificates = Certificates::new();
        let server = backend.server(&certificates);
        let (mut service, mut cluster, mut embedded) = (None, None, None);
        match backend {
            Backend::Memory => embedded = Some(connect("memory://").await),
            Backend::Sentinel => service = Some(shared_service().await),
            Backend::Cluster => cluster = Some(Cluster::shared().await),
            _ => {}
        }
        let namespace = if service.is_some() || cluster.is_some() {
            format!("ns{}", NEXT.fetch_add(1, Ordering::Relaxed))
        } else {
            "ns".to_owned()
        };
        Self { backend, server, service, cluster, namespace, certificates, embedded }
    }

    fn builder(&self) -> Builder {
        let url = match (&self.server, &self.service, self.cluster) {
            (Some(server), ..) if self.backend == Backend::Unix => server.unix_url(),
            (Some(server), ..) => server.url(),
            (_, Some(service), _) => service.url(),
            (.., Some(cluster)) => cluster.url(),
            _ => "memory://".to_owned(),
        };
        let read = |name| self.certificates.read(name);
        patient()
            .url(url)
            .namespace(&self.namespace)
            .tls_root_certificates(read("root.pem"))
            .tls_client_certificate(read("client.pem"), read("client.key"))
    }

    /// A cache that shares nothing with the others but the store: it stands for another process.
    /// The embedded store can only be shared by clones.
    pub(crate) async fn cache(&self) -> Cache {
        match &self.embedded {
            Some(embedded) => embedded.clone(),
            None => self.builder().build().await.expect("the server is up"),
        }
    }

    /// As [`two`](Self::two), built `clearable`.
    pub(crate) async fn two_clearable(&self) -> (Cache, Cache) {
        let build = async || self.builder().clearable().build().await.expect("the server is up");
        let first = build().await;
        if self.embedded.is_some() { (first.clone(), first) } else { (first, build().await) }
    }

    pub(crate) async fn two(&self) -> (Cache, Cache) {
        (self.cache().await, self.cache().await)
    }
}

/// A builder whose deadlines are not what is tested: a busy machine must not fail a test.
pub(crate) fn patient() -> Builder {
    Cache::builder()
        .namespace("ns")
        .deadline(Duration::from_secs(20))
        .connect_timeout(Duration::from_secs(20))
}

/// A cache that never gives up on its server.
pub(crate) async fn connect(url: &str) -> Cache {
    patient().url(url).build().await.expect("the server is up")
}

/// A cache as users have it, for servers that do not answer.
pub(crate) async fn connect_hastily(url: &str) -> Cache {
    Cache::builder()
        .url(url)
        .namespace("ns")
        .build()
        .await
        .expect("an unreachable server is no error")
}

/// Returns the number of the run, from 1.
#[redis_cached(key = "user:{id}", ttl = "5m", wait = "1m", cache = cache, skip(cache, gate))]
pub(crate) async fn load(id: u64, cache: &Cache, gate: &Gate) -> usize {
    gate.pass().await
}

/// As [`load`], refreshed behind its callers.
#[redis_cached(
    key = "live:{id}", ttl = "5m", refresh_before = "1m", wait = "1m", cache = cache, skip(cache, gate)
)]
pub(crate) async fn live(id: u64, cache: &Cache, gate: &Gate) -> usize {
    gate.pass().await
}

/// Whether a call is answered without a body. Runs bodies until then.
pub(crate) async fn hits(id: u64, cache: &Cache, gate: &Gate) -> bool {
    let before = gate.runs();
    load(id, cache, gate).await;
    gate.runs() == before
}
