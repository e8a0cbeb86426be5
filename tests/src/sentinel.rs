use std::os::unix::net::UnixStream;
use std::process::{Child, Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use redis::aio::MultiplexedConnection;
use redis::{AsyncConnectionConfig, Client};
use tempfile::TempDir;

use crate::server::{free_port, pause, signal};
use crate::{Certificates, PATIENCE, RedisServer, eventually};

/// How many have a say.
const SENTINELS: usize = 3;
/// After this many milliseconds without an answer a server is taken for dead.
const DOWN_AFTER_MS: u32 = 500;

/// A master with one replica, and three sentinels that look after them under the name `shop`. Ends with the value.
#[derive(Debug)]
pub struct Service {
    /// The first is the master until a failover.
    pub servers: Vec<RedisServer>,
    /// Two of them have to agree.
    pub sentinels: Vec<Sentinel>,
}

/// A sentinel of this test's own. Ends with the value.
#[derive(Debug)]
pub struct Sentinel {
    port: u16,
    tls: bool,
    password: Option<String>,
    dir: TempDir,
    process: Option<Child>,
}

/// What differs from one service to the other.
#[derive(Clone, Copy, Debug, Default)]
pub struct Setup<'s> {
    /// That the sentinels, and not the servers, ask for.
    pub sentinel_password: Option<&'s str>,
    /// Whether the first master takes no order to become a replica.
    pub stubborn: bool,
    /// After how many milliseconds without an answer a server is taken for dead. Default: 500.
    pub down_after_ms: Option<u32>,
    /// Where all of them speak TLS.
    pub certificates: Option<&'s Certificates>,
}

impl Service {
    /// # Panics
    ///
    /// When a server or a sentinel does not come up.
    pub async fn start() -> Self {
        Self::start_with(Setup::default()).await
    }

    /// # Panics
    ///
    /// As [`start`](Self::start).
    pub async fn start_with(setup: Setup<'_>) -> Self {
        let deaf = ["--rename-command", "SLAVEOF", "", "--rename-command", "REPLICAOF", ""];
        let servers = match setup.certificates {
            None => {
                let master = RedisServer::start_with(if setup.stubborn { &deaf } else { &[] });
                let replica = master.start_replica().await;
                vec![master, replica]
            }
            Some(certificates) => {
                let launch = |more: &[&str]| {
                    let more = [&["--tls-replication", "yes"], more].concat();
                    RedisServer::start_with_tls_and(certificates, true, &more)
                };
                let master = launch(&[]);
                let port = master.port().to_string();
                let replica = launch(&["--replicaof", "127.0.0.1", &port]);
                replica.follows().await;
                vec![master, replica]
            }
        };
        let sentinels = Sentinel::several(&servers, setup);
        let service = Self { servers, sentinels };
        for sentinel in &service.sentinels {
            sentinel.is_ready().await;
        }
        service
    }

    /// For the builder.
    #[must_use]
    pub fn url(&self) -> String {
        self.url_of(&self.sentinels.iter().collect::<Vec<_>>(), "shop")
    }

    /// With these sentinels, in this order, and another name.
    #[must_use]
    pub fn url_of(&self, sentinels: &[&Sentinel], name: &str) -> String {
        let hosts = sentinels.iter().map(|sentinel| format!("127.0.0.1:{}", sentinel.port));
        let hosts = hosts.collect::<Vec<_>>().join(",");
        let scheme = if self.sentinels[0].tls { "rediss-sentinel" } else { "redis-sentinel" };
        format!("{scheme}://{hosts}/{name}")
    }

    /// Makes the replica the master; returns when all sentinels say so. The old master learns of it a second later.
    ///
    /// # Panics
    ///
    /// When that does not come about.
    pub async fn fail_over(&self) {
        let (asked, new) = (&self.sentinels[0], self.servers[1].port());
        let mut cli = asked.cli().await;
        let order = redis::cmd("SENTINEL").arg("FAILOVER").arg("shop").clone();
        order.exec_async(&mut cli).await.expect("it is known");
        eventually("the failover is over", async || {
            if asked.master().await == new {
                return true;
            }
            // One that takes too long is given up, and nobody begins another. While one is under way this is refused.
            let _ = order.exec_async(&mut cli).await;
            false
        })
        .await;
        self.has_failed_over().await;
    }

    /// Waits until the old master takes itself for a replica, and keeps nobody's connection.
    ///
    /// # Panics
    ///
    /// When it does not.
    pub async fn is_demoted(&self) {
        let mut cli = self.servers[0].cli().await;
        eventually("the old master is a replica", async || {
            // It cuts this connection off, too.
            let role = redis::cmd("ROLE").query_async::<Vec<redis::Value>>(&mut cli).await;
            let Ok(role) = role else {
                cli = self.servers[0].cli().await;
                return false;
            };
            matches!(role.first(), Some(redis::Value::BulkString(role)) if role == b"slave")
        })
        .await;
    }

    /// Waits until all sentinels name the second server.
    ///
    /// # Panics
    ///
    /// When they do not.
    pub async fn has_failed_over(&self) {
        let new = self.servers[1].port();
        for sentinel in &self.sentinels {
            eventually("the sentinel names the new master", async || {
                sentinel.master().await == new
            })
            .await;
        }
    }
}

impl Sentinel {
    /// With these servers in view, and one another.
    fn several(servers: &[RedisServer], setup: Setup<'_>) -> Vec<Self> {
        let mut sentinels: Vec<Self> = (0..SENTINELS).map(|_| Self::new(setup)).collect();
        for at in 0..SENTINELS {
            let mut lines = vec![format!("sentinel myid {}", id(at))];
            for (peer, sentinel) in sentinels.iter().enumerate().filter(|(peer, _)| *peer != at) {
                let Self { port, .. } = sentinel;
                lines.push(format!("sentinel known-sentinel shop 127.0.0.1 {port} {}", id(peer)));
            }
            for server in &servers[1..] {
                lines.push(format!("sentinel known-replica shop 127.0.0.1 {}", server.port()));
            }
            sentinels[at].configure(&servers[0], lines, setup);
            sentinels[at].spawn();
        }
        sentinels
    }

    /// One that is cut off from the others: of a failover it never hears.
    ///
    /// # Panics
    ///
    /// When it does not come up.
    pub async fn cut_off(servers: &[RedisServer]) -> Self {
        let mut user = redis::cmd("ACL");
        // Sentinels hear of each other through channels of the servers, of which this one has none.
        user.arg("SETUSER").arg(&["mute", "on", ">mute", "+@all", "~*", "resetchannels"]);
        for server in servers {
            user.exec_async(&mut server.cli().await).await.expect("the server is up");
        }
        let mut sentinel = Self::new(Setup::default());
        let lines = ["sentinel auth-user shop mute", "sentinel auth-pass shop mute"];
        let lines = lines.map(str::to_owned).to_vec();
        sentinel.configure(&servers[0], lines, Setup::default());
        sentinel.spawn();
        sentinel
    }

    fn new(setup: Setup<'_>) -> Self {
        Self {
            port: free_port(),
            tls: setup.certificates.is_some(),
            password: setup.sentinel_password.map(str::to_owned),
            dir: TempDir::new().expect("a temporary directory"),
            process: None,
        }
    }

    fn configure(&self, master: &RedisServer, more: Vec<String>, setup: Setup<'_>) {
        let dir = self.dir.path().display();
        let mut lines = vec![
            "bind 127.0.0.1".to_owned(),
            format!("dir {dir}"),
            format!("logfile {dir}/sentinel.log"),
            format!("unixsocket {dir}/sentinel.sock"),
            format!("sentinel monitor shop 127.0.0.1 {} 2", master.port()),
            format!(
                "sentinel down-after-milliseconds shop {}",
                setup.down_after_ms.unwrap_or(DOWN_AFTER_MS)
            ),
            "sentinel failover-timeout shop 2000".to_owned(),
        ];
        match setup.certificates {
            Some(certificates) => {
                let file = |name| certificates.file(name).display().to_string();
                lines.extend([
                    "port 0".to_owned(),
                    format!("tls-port {}", self.port),
                    "tls-replication yes".to_owned(),
                    format!("tls-ca-cert-file {}", file("root.pem")),
                    format!("tls-cert-file {}", file("server.pem")),
                    format!("tls-key-file {}", file("server.key")),
                ]);
            }
            None => lines.push(format!("port {}", self.port)),
        }
        lines.extend(setup.sentinel_password.map(|password| format!("requirepass {password}")));
        lines.extend(more);
        let written = std::fs::write(self.dir.path().join("sentinel.conf"), lines.join("\n"));
        written.expect("it is this test's own");
    }

    fn spawn(&mut self) {
        let process = Command::new("redis-server")
            .arg(self.dir.path().join("sentinel.conf"))
            .arg("--sentinel")
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn();
        let process = self.process.insert(process.expect("redis-server can be started"));
        let until = Instant::now() + PATIENCE;
        // It opens this behind its port.
        let socket = self.dir.path().join("sentinel.sock");
        while UnixStream::connect(&socket).is_err() {
            let ended = process.try_wait().expect("one's own child can be waited for").is_some();
            assert!(!ended && Instant::now() < until, "no sentinel: {}", log(&self.dir));
            thread::sleep(Duration::from_millis(2));
        }
    }

    /// Looks at what it has to look at more often than is usual, and has seen both servers and its peers.
    async fn is_ready(&self) {
        let mut cli = self.cli().await;
        let mut hurry = redis::cmd("SENTINEL");
        // Not of `ping-period`: a replica that was asked longer ago than five of them is not promoted.
        hurry.arg("DEBUG").arg(&["info-period", "100", "ask-period", "100"]);
        hurry.arg(&["publish-period", "300"]);
        hurry.exec_async(&mut cli).await.expect("it is known");
        eventually("a sentinel is ready", async || {
            let ready = ["SENTINEL CKQUORUM shop", "INFO sentinel"];
            says(&mut cli, ready[0], "OK 3 usable").await
                && says(&mut cli, ready[1], "status=ok").await
                && says(&mut cli, ready[1], "slaves=1").await
        })
        .await;
        eventually("it has asked the replica", async || {
            let replicas = redis::cmd("SENTINEL").arg("REPLICAS").arg("shop").clone();
            let replicas: Vec<std::collections::HashMap<String, String>> =
                replicas.query_async(&mut cli).await.expect("it is up");
            replicas.iter().any(|one| one["master-link-status"] == "ok")
        })
        .await;
    }

    /// The port of the server that it names.
    ///
    /// # Panics
    ///
    /// When it does not answer.
    pub async fn master(&self) -> u16 {
        let mut ask = redis::cmd("SENTINEL");
        ask.arg("GET-MASTER-ADDR-BY-NAME").arg("shop");
        let named: (String, u16) = ask.query_async(&mut self.cli().await).await.expect("it is up");
        named.1
    }

    async fn cli(&self) -> MultiplexedConnection {
        let config = AsyncConnectionConfig::new()
            .set_connection_timeout(Some(PATIENCE))
            .set_response_timeout(Some(PATIENCE));
        let query = self.password.as_ref().map_or_else(String::new, |word| format!("?pass={word}"));
        let socket = self.dir.path().join("sentinel.sock");
        let url = format!("unix://{}{query}", socket.display());
        let client = Client::open(url).expect("the harness writes valid urls");
        client
            .get_multiplexed_async_connection_with_config(&config)
            .await
            .expect("the sentinel is up")
    }

    /// Kills it, as a crash would.
    pub fn stop(&mut self) {
        if let Some(mut process) = self.process.take() {
            // Here a panic would abort the tests that are left.
            let _ = process.kill();
            let _ = process.wait();
        }
    }

    /// Starts it again, as it was.
    ///
    /// # Panics
    ///
    /// When it does not come up.
    pub fn restart(&mut self) {
        self.spawn();
    }

    /// Starts it again, at the same address, as one that has never seen a failover: with this master, and alone.
    ///
    /// # Panics
    ///
    /// When it does not come up.
    pub fn restart_anew(&mut self, master: &RedisServer) {
        self.stop();
        self.configure(master, Vec::new(), Setup::default());
        self.spawn();
    }

    /// Stops it from running, so that it accepts connections and answers nothing.
    pub fn pause(&self) {
        pause(self.pid());
    }

    /// Undoes [`pause`](Self::pause).
    pub fn resume(&self) {
        signal(self.pid(), "CONT");
    }

    fn pid(&self) -> u32 {
        self.process.as_ref().expect("the sentinel is running").id()
    }
}

impl Drop for Sentinel {
    fn drop(&mut self) {
        self.stop();
    }
}

fn id(at: usize) -> String {
    format!("{at:040x}")
}

fn log(dir: &TempDir) -> String {
    std::fs::read_to_string(dir.path().join("sentinel.log")).unwrap_or_default()
}

async fn says(cli: &mut MultiplexedConnection, command: &str, text: &str) -> bool {
    let mut words = command.split(' ');
    let mut cmd = redis::cmd(words.next().unwrap_or_default());
    cmd.arg(words.collect::<Vec<_>>());
    // Some of what is not so yet is an error.
    cmd.query_async::<String>(cli).await.is_ok_and(|said| said.contains(text))
}
