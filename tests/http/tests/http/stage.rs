//! A service on loopback, clients of it, and the caches of two processes behind it.

use std::convert::Infallible;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::task::{Context, Poll};

use axum::Router;
use axum::extract::Request;
use axum::middleware::{self, Next};
use bytes::Bytes;
use http_body_util::{BodyExt, Full};
use hyper::body::{Body, Frame, Incoming};
use hyper::client::conn::http1::SendRequest;
use hyper::{HeaderMap, Response, StatusCode};
use hyper_util::rt::{TokioExecutor, TokioIo};
use hyper_util::server::conn::auto;
use hyper_util::service::TowerToHyperService;
use redis_cached::Cache;
use redis_cached_tests::{Gate, RedisServer, in_time};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::mpsc;

/// Where responses are kept: the caches of two processes, or one cache twice.
pub(crate) struct Backend {
    pub(crate) name: &'static str,
    pub(crate) caches: [Cache; 2],
    pub(crate) server: Option<RedisServer>,
}

impl Backend {
    /// The same for all.
    pub(crate) async fn all() -> Vec<Self> {
        let memory = Cache::builder().url("memory://").build().await.expect("the embedded store");
        let caches = [memory.clone(), memory];
        vec![Self { name: "memory", caches, server: None }, Self::redis().await]
    }

    pub(crate) async fn redis() -> Self {
        let server = RedisServer::start();
        let build = || Cache::builder().url(server.url()).namespace("web").build();
        let caches = [build().await.expect("a server"), build().await.expect("a server")];
        Self { name: "redis", caches, server: Some(server) }
    }

    /// Two processes that serve the same.
    pub(crate) async fn serve(&self, app: impl Fn() -> Router) -> [Process; 2] {
        let [one, other] = &self.caches;
        [Process::start(one, app()).await, Process::start(other, app()).await]
    }
}

/// A service, listening. Ends with the test's runtime.
pub(crate) struct Process(SocketAddr);

impl Process {
    /// Everything that `app` does uses this cache.
    pub(crate) async fn start(cache: &Cache, app: Router) -> Self {
        let cache = cache.clone();
        let scoped = move |request: Request, next: Next| {
            let cache = cache.clone();
            async move { cache.scope(next.run(request)).await }
        };
        let app = app.layer(middleware::from_fn(scoped));
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
        let address = listener.local_addr().expect("it is bound");
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let service = TowerToHyperService::new(app.clone());
                tokio::spawn(async move {
                    let builder = auto::Builder::new(TokioExecutor::new());
                    // A client that has gone is what some tests are about.
                    let _ = builder.serve_connection(TokioIo::new(stream), service).await;
                });
            }
        });
        Self(address)
    }

    pub(crate) async fn stream(&self) -> TcpStream {
        TcpStream::connect(self.0).await.expect("it listens")
    }

    /// What comes back for these bytes until the connection is closed.
    pub(crate) async fn raw(&self, request: &str) -> String {
        let mut stream = self.stream().await;
        stream.write_all(request.as_bytes()).await.expect("it reads");
        let mut answer = String::new();
        let read = stream.read_to_string(&mut answer);
        in_time("an answer", read).await.expect("the tests' bodies are texts");
        answer
    }

    pub(crate) async fn connect(&self) -> Connection {
        let stream = self.stream().await;
        let (sender, connection) = hyper::client::conn::http1::handshake(TokioIo::new(stream))
            .await
            .expect("it speaks HTTP");
        Connection { sender, driver: tokio::spawn(async { drop(connection.await) }) }
    }

    pub(crate) async fn get(&self, path: &str) -> Answer {
        self.ask("GET", path, &[]).await
    }

    pub(crate) async fn ask(&self, method: &str, path: &str, headers: &[(&str, &str)]) -> Answer {
        self.connect().await.ask(method, path, headers).await
    }
}

/// A client's connection. Dropped, it is closed at once.
pub(crate) struct Connection {
    sender: SendRequest<Full<Bytes>>,
    driver: tokio::task::JoinHandle<()>,
}

impl Drop for Connection {
    fn drop(&mut self) {
        self.driver.abort();
    }
}

impl Connection {
    pub(crate) async fn send(
        &mut self,
        method: &str,
        path: &str,
        headers: &[(&str, &str)],
    ) -> Response<Incoming> {
        self.try_send(method, path, headers).await.expect("it is answered")
    }

    async fn try_send(
        &mut self,
        method: &str,
        path: &str,
        headers: &[(&str, &str)],
    ) -> hyper::Result<Response<Incoming>> {
        let mut request = hyper::Request::builder().method(method).uri(path);
        if !headers.iter().any(|(name, _)| *name == "host") {
            request = request.header("host", "shop.example");
        }
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        let request = request.body(Full::default()).expect("a valid request");
        in_time("a response", self.sender.send_request(request)).await
    }

    pub(crate) async fn ask(self, method: &str, path: &str, headers: &[(&str, &str)]) -> Answer {
        self.try_ask(method, path, headers).await.expect("a whole response")
    }

    /// An error where the response breaks.
    pub(crate) async fn try_ask(
        mut self,
        method: &str,
        path: &str,
        headers: &[(&str, &str)],
    ) -> hyper::Result<Answer> {
        let (head, body) = self.try_send(method, path, headers).await?.into_parts();
        let body = in_time("the body", body.collect()).await?.to_bytes().to_vec();
        let body = String::from_utf8(body).expect("the tests' bodies are texts");
        Ok(Answer { status: head.status, headers: head.headers, body })
    }
}

/// What a client has got.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) status: StatusCode,
    pub(crate) headers: HeaderMap,
    body: String,
}

impl Answer {
    /// All lines of a header.
    pub(crate) fn header(&self, name: &str) -> String {
        let lines = self.headers.get_all(name).iter();
        lines.map(|line| line.to_str().expect("ASCII")).collect::<Vec<_>>().join(" | ")
    }

    /// What this cache says of itself.
    pub(crate) fn how(&self) -> String {
        self.header("cache-status").replace("redis-cached; ", "")
    }

    pub(crate) fn text(&self) -> &str {
        &self.body
    }
}

/// A body in the test's hands.
pub(crate) struct Streamed {
    frames: mpsc::UnboundedReceiver<Result<Frame<Bytes>, Broken>>,
    /// Told when it is dropped.
    _dropped: mpsc::Sender<Infallible>,
}

#[derive(Debug)]
pub(crate) struct Broken;

impl std::fmt::Display for Broken {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("the source of the body is broken")
    }
}

impl std::error::Error for Broken {}

/// The other end of a [`Streamed`].
pub(crate) struct Source {
    frames: mpsc::UnboundedSender<Result<Frame<Bytes>, Broken>>,
    dropped: mpsc::Receiver<Infallible>,
}

impl Streamed {
    pub(crate) fn new() -> (Source, Self) {
        let (sender, frames) = mpsc::unbounded_channel();
        let (alive, dropped) = mpsc::channel(1);
        (Source { frames: sender, dropped }, Self { frames, _dropped: alive })
    }
}

impl Source {
    pub(crate) fn data(&self, text: &str) {
        // Who has dropped the body does not want it.
        let _ = self.frames.send(Ok(Frame::data(Bytes::copy_from_slice(text.as_bytes()))));
    }

    pub(crate) fn trailers(&self) {
        let _ = self.frames.send(Ok(Frame::trailers(HeaderMap::new())));
    }

    pub(crate) fn fail(&self) {
        let _ = self.frames.send(Err(Broken));
    }

    pub(crate) async fn dropped(mut self) {
        assert!(in_time("the body is dropped", self.dropped.recv()).await.is_none());
    }
}

impl Body for Streamed {
    type Data = Bytes;
    type Error = Broken;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Broken>>> {
        self.frames.poll_recv(cx)
    }
}

/// What a handler reads from: a number that tests change, and a gate that they open.
#[derive(Clone)]
pub(crate) struct Origin(Arc<(AtomicU64, Gate)>);

impl Origin {
    pub(crate) fn new(gate: Gate) -> Self {
        Self(Arc::new((AtomicU64::new(1), gate)))
    }

    pub(crate) fn gate(&self) -> &Gate {
        &self.0.1
    }

    pub(crate) fn set(&self, value: u64) {
        self.0.0.store(value, Ordering::SeqCst);
    }

    /// Read first, and then held by the gate: what is in flight is old.
    pub(crate) async fn read(&self) -> u64 {
        let value = self.0.0.load(Ordering::SeqCst);
        let run = self.gate().enter();
        self.gate().permission(run).await;
        value
    }
}
