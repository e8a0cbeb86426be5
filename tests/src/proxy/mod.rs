//! A network between a cache and its server that does what a test says.
//!
//! It understands RESP2 and RESP3: it knows where requests and replies begin and end, and which reply answers
//! which request. What the server sends by itself goes by. Not for `MONITOR`, `CLIENT REPLY` and what RESP2
//! subscribes to, where replies are not one for each request.

mod connection;
mod frame;
#[cfg(test)]
mod frame_tests;
mod request;
mod rule;
mod shared;
#[cfg(test)]
mod tests;

use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;

use tokio::net::TcpListener;
use tokio::sync::watch;
use tokio::task::{JoinHandle, JoinSet};

pub use rule::{Held, Rule, When};
use shared::{Mode, Shared};

use crate::server::free_port;
use crate::{RedisServer, in_time};

/// More are not accepted.
const MOST_CONNECTIONS: usize = 1024;

/// A proxy of one test's own, on a loopback port. Ends with the value, and its connections with it.
///
/// ```no_run
/// # async fn example() {
/// use redis_cached_tests::{Proxy, RedisServer};
///
/// let server = RedisServer::start();
/// let proxy = Proxy::before(&server).await;
/// // The cache is built with `proxy.url()`. The reply to its next commit is lost:
/// let lost = proxy.when("commit").once().drop_reply();
/// lost.struck(1).await;
/// # }
/// ```
#[derive(Debug)]
pub struct Proxy {
    port: u16,
    shared: Arc<Shared>,
    accepts: JoinHandle<()>,
}

impl Proxy {
    /// Starts one that lets everything through.
    ///
    /// # Panics
    ///
    /// When it finds no port.
    pub async fn before(server: &RedisServer) -> Self {
        let (port, listener) = loop {
            let port = free_port();
            // Between choosing a port and binding it somebody else may take it.
            if let Ok(listener) = bind(port).await {
                break (port, listener);
            }
        };
        let shared = Arc::new(Shared::before(server.address()));
        shared.change(|state| state.listens = true);
        let accepts = tokio::spawn(accept(port, listener, Arc::clone(&shared)));
        Self { port, shared, accepts }
    }

    /// Where it is reached.
    #[must_use]
    pub fn url(&self) -> String {
        self.url_as("")
    }

    /// The same with credentials: `"user:password"`, or nothing.
    #[must_use]
    pub fn url_as(&self, credentials: &str) -> String {
        let at = if credentials.is_empty() { "" } else { "@" };
        format!("redis://{credentials}{at}127.0.0.1:{}/", self.port)
    }

    /// Begins a rule for requests of this name: a command in capitals (`"GET"`), or a script of the crate by the
    /// name of its file (`"take"`). Where several rules are for one request, the first that was written strikes.
    pub fn when(&self, name: &str) -> When {
        When::of(&self.shared, Some(name))
    }

    /// Begins a rule for all requests.
    pub fn always(&self) -> When {
        When::of(&self.shared, None)
    }

    /// From now on connections are made, and whatever is sent is read, and nothing is answered: what a firewall does
    /// that has forgotten a connection, or a machine that hangs.
    pub fn half_open(&self) {
        self.shared.mode.send_replace(Mode::HalfOpen);
    }

    /// Cuts all connections and refuses new ones.
    ///
    /// # Panics
    ///
    /// When it does not stop listening.
    pub async fn refuse(&self) {
        self.shared.mode.send_replace(Mode::Refusing);
        self.cut();
        let refuses = self.shared.until(|state| !state.listens && state.connections == 0);
        in_time("the proxy refuses connections", refuses).await;
    }

    /// Cuts all connections; new ones are accepted.
    pub fn cut(&self) {
        self.shared.cuts.send_modify(|cuts| *cuts += 1);
    }

    /// Ends all rules, and lets everything through again. Connections that are silent stay so: what was sent on them is
    /// lost.
    ///
    /// # Panics
    ///
    /// When it can't listen again.
    pub async fn heal(&self) {
        for rule in &mut self.shared.state().rules {
            rule.which.most = 0;
        }
        self.shared.mode.send_replace(Mode::Open);
        in_time("the proxy listens", self.shared.until(|state| state.listens)).await;
    }

    /// Waits until so many requests of this name have come, since the beginning.
    ///
    /// # Panics
    ///
    /// When they do not.
    pub async fn saw(&self, name: &str, times: usize) {
        let saw = self.shared.until(|state| count(&state.seen, name) >= times);
        in_time(&format!("{name} comes {times} times"), saw).await;
    }

    /// Waits until so many of them were answered.
    ///
    /// # Panics
    ///
    /// When they are not.
    pub async fn answered(&self, name: &str, times: usize) {
        let answered = self.shared.until(|state| count(&state.answered, name) >= times);
        in_time(&format!("{name} is answered {times} times"), answered).await;
    }

    /// How many requests of this name have come.
    #[must_use]
    pub fn seen(&self, name: &str) -> usize {
        count(&self.shared.state().seen, name)
    }

    /// How many connections there are.
    #[must_use]
    pub fn connections(&self) -> usize {
        self.shared.state().connections
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        self.accepts.abort();
    }
}

fn count(counts: &std::collections::HashMap<String, usize>, name: &str) -> usize {
    counts.get(name).copied().unwrap_or(0)
}

async fn bind(port: u16) -> std::io::Result<TcpListener> {
    TcpListener::bind(SocketAddr::from((Ipv4Addr::LOCALHOST, port))).await
}

/// The connections end with this task.
async fn accept(port: u16, listener: TcpListener, shared: Arc<Shared>) {
    let mut mode = shared.mode.subscribe();
    let mut connections = JoinSet::new();
    let mut listening = Some(listener);
    loop {
        if let Some(listener) = listening.take() {
            listen(listener, &mut mode, &mut connections, &shared).await;
            shared.change(|state| state.listens = false);
        }
        if mode.wait_for(|mode| *mode != Mode::Refusing).await.is_err() {
            return;
        }
        // Nobody else takes a port that was in use a moment ago, but for the kernel, which lets go of it soon.
        listening = bind(port).await.ok();
        if listening.is_some() {
            shared.change(|state| state.listens = true);
        } else {
            tokio::time::sleep(std::time::Duration::from_millis(5)).await;
        }
    }
}

/// Returns when connections are to be refused.
async fn listen(
    listener: TcpListener,
    mode: &mut watch::Receiver<Mode>,
    connections: &mut JoinSet<()>,
    shared: &Arc<Shared>,
) {
    loop {
        tokio::select! {
            _ = mode.wait_for(|mode| *mode == Mode::Refusing) => return,
            Some(_) = connections.join_next() => {}
            Ok((client, _)) = listener.accept(), if connections.len() < MOST_CONNECTIONS => {
                connections.spawn(connection::serve(client, Arc::clone(shared)));
            }
        }
    }
}
