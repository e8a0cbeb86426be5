use std::io::{self, ErrorKind, Read, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicU16, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use redis::aio::MultiplexedConnection;
use redis::{AsyncConnectionConfig, Client};
use tempfile::TempDir;

use crate::{Certificates, PATIENCE, eventually, faked_clock};

/// Which server.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// The distribution's `redis-server`, 7.0 or later.
    Redis,
    /// Redis 8.
    Redis8,
    /// Valkey 9.
    Valkey,
}

impl Kind {
    fn program(self) -> PathBuf {
        let fetched = PathBuf::from(concat!(env!("CARGO_MANIFEST_DIR"), "/../target/servers"));
        match self {
            Self::Redis => PathBuf::from("redis-server"),
            Self::Redis8 => fetched.join("redis-server-8"),
            Self::Valkey => fetched.join("valkey-server"),
        }
    }

    fn installed_by(self) -> &'static str {
        match self {
            Self::Redis => "apt-get install redis-server",
            Self::Redis8 | Self::Valkey => "scripts/servers",
        }
    }
}

/// A real redis-server of this test's own, on a loopback port and a unix socket. Ends with the value.
#[derive(Debug)]
pub struct RedisServer {
    kind: Kind,
    port: u16,
    dir: TempDir,
    password: Option<String>,
    /// Whether it speaks TLS on its port.
    tls: bool,
    arguments: Vec<String>,
    /// Where the nodes of its cluster talk to it, if it is one of them.
    bus: Option<u16>,
    /// By how much its clock is off, if it is.
    clock: Option<String>,
    process: Option<Child>,
}

impl RedisServer {
    /// Starts a server that keeps nothing on disk.
    ///
    /// # Panics
    ///
    /// When there is no `redis-server`, or it does not come up.
    #[must_use]
    pub fn start() -> Self {
        Self::start_kind(Kind::Redis)
    }

    /// Starts a server of this kind.
    ///
    /// # Panics
    ///
    /// As [`start`](Self::start).
    #[must_use]
    pub fn start_kind(kind: Kind) -> Self {
        Self::launch(kind, None, false, &[])
    }

    /// Starts a replica of this server, of the same kind; returns when it follows.
    ///
    /// # Panics
    ///
    /// As [`start`](Self::start).
    pub async fn start_replica(&self) -> Self {
        let port = self.port.to_string();
        let replica = Self::launch(self.kind, None, false, &["--replicaof", "127.0.0.1", &port]);
        replica.follows().await;
        replica
    }

    pub(crate) async fn follows(&self) {
        let mut cli = self.cli().await;
        eventually("the replica follows", async || {
            let info = redis::cmd("INFO").arg("replication").query_async::<String>(&mut cli).await;
            info.expect("it is up").contains("master_link_status:up")
        })
        .await;
    }

    /// Starts a server that asks for a password.
    ///
    /// # Panics
    ///
    /// As [`start`](Self::start).
    #[must_use]
    pub fn start_with_password(password: &str) -> Self {
        Self::launch(Kind::Redis, Some(password), false, &[])
    }

    /// Starts a server with more arguments (`["--maxmemory", "10mb"]`).
    ///
    /// # Panics
    ///
    /// As [`start`](Self::start).
    #[must_use]
    pub fn start_with(arguments: &[&str]) -> Self {
        Self::launch(Kind::Redis, None, false, arguments)
    }

    /// Starts a server that speaks TLS on its port, with these certificates; whether it wants some of its clients, too.
    ///
    /// # Panics
    ///
    /// As [`start`](Self::start).
    #[must_use]
    pub fn start_with_tls(certificates: &Certificates, of_clients: bool) -> Self {
        Self::start_with_tls_and(certificates, of_clients, &[])
    }

    pub(crate) fn start_with_tls_and(
        certificates: &Certificates,
        of_clients: bool,
        more: &[&str],
    ) -> Self {
        let arguments = tls_arguments(certificates, of_clients);
        let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
        Self::launch(Kind::Redis, None, true, &[&arguments, more].concat())
    }

    fn launch(kind: Kind, password: Option<&str>, tls: bool, arguments: &[&str]) -> Self {
        let mut server = Self::new(kind, password, tls, arguments);
        server.first_start();
        server
    }

    fn new(kind: Kind, password: Option<&str>, tls: bool, arguments: &[&str]) -> Self {
        Self {
            kind,
            port: 0,
            dir: TempDir::new().expect("a temporary directory"),
            password: password.map(str::to_owned),
            tls,
            arguments: arguments.iter().map(|&text| text.to_owned()).collect(),
            bus: None,
            clock: None,
            process: None,
        }
    }

    fn first_start(&mut self) {
        // Between choosing a port and binding it somebody else may take it.
        for _ in 0..50 {
            self.port = free_port();
            if self.bus.is_some() {
                self.bus = Some(free_port());
            }
            if self.spawn() {
                return;
            }
        }
        panic!("redis-server does not start: {}", self.log());
    }

    /// Starts a node of a cluster that does not know the others yet.
    pub(crate) fn start_node(kind: Kind, arguments: &[&str]) -> Self {
        let mut server = Self::new(kind, None, false, arguments);
        server.bus = Some(0);
        server.first_start();
        server
    }

    /// One whose clock is off by this, as `"+3600s"`. Of Redis 8: what Debian links its server with hangs under a faked clock.
    pub(crate) fn start_node_off_by(off: &str, arguments: &[&str]) -> Self {
        let mut server = Self::new(Kind::Redis8, None, false, arguments);
        server.bus = Some(0);
        server.clock = Some(off.to_owned());
        server.first_start();
        server
    }

    /// One that speaks TLS, with the others too.
    pub(crate) fn start_node_with_tls(certificates: &Certificates, arguments: &[&str]) -> Self {
        let tls = tls_arguments(certificates, false);
        let mut all: Vec<&str> = tls.iter().map(String::as_str).collect();
        all.extend(["--tls-cluster", "yes", "--tls-replication", "yes"]);
        all.extend(arguments);
        let mut server = Self::new(Kind::Redis, None, true, &all);
        server.bus = Some(0);
        server.first_start();
        server
    }

    /// Its port, and that at which the nodes of its cluster talk to it.
    pub(crate) fn ports(&self) -> (u16, Option<u16>) {
        (self.port, self.bus)
    }

    /// Starts a stopped server again, empty, at the same address.
    ///
    /// # Panics
    ///
    /// When it runs already, or does not come up.
    pub fn restart(&mut self) {
        assert!(self.process.is_none(), "the server is running; stop it first");
        let until = Instant::now() + PATIENCE;
        while !self.spawn() {
            assert!(Instant::now() < until, "redis-server does not start again: {}", self.log());
        }
    }

    /// Starts a stopped server again with what it has saved, and takes so long for each key. Returns while it loads.
    ///
    /// # Panics
    ///
    /// As [`restart`](Self::restart), and when it has loaded all at once.
    pub fn restart_loading(&mut self, each: Duration) {
        let arguments = self.arguments.clone();
        let each = each.as_micros().to_string();
        // Else it answers only now and then.
        let slowly = ["--key-load-delay", &each, "--loading-process-events-interval-bytes", "1024"];
        self.arguments.extend(slowly.map(str::to_owned));
        self.restart();
        self.arguments = arguments;
        let reply = reply_to_ping(&self.socket()).expect("the server answers");
        assert_eq!(&reply, LOADING, "it has loaded already");
    }

    /// Kills the server, as a crash would.
    ///
    /// # Panics
    ///
    /// When the process can't be waited for.
    pub fn stop(&mut self) {
        if let Some(mut process) = self.process.take() {
            process.kill().expect("one's own child can be killed");
            process.wait().expect("one's own child can be waited for");
        }
    }

    /// Whether it was started, and neither stopped nor killed since.
    #[must_use]
    pub fn is_running(&self) -> bool {
        self.process.is_some()
    }

    /// Stops the process from running, so that it accepts connections and answers nothing.
    pub fn pause(&self) {
        pause(self.pid());
    }

    /// Undoes [`pause`](Self::pause).
    pub fn resume(&self) {
        signal(self.pid(), "CONT");
    }

    /// On the loopback.
    #[must_use]
    pub fn port(&self) -> u16 {
        self.port
    }

    /// Where it is reached over TCP.
    #[must_use]
    pub fn url(&self) -> String {
        let Self { port, password, tls, .. } = self;
        let scheme = if *tls { "rediss" } else { "redis" };
        match password {
            Some(password) => format!("{scheme}://:{password}@127.0.0.1:{port}/"),
            None => format!("{scheme}://127.0.0.1:{port}/"),
        }
    }

    /// Its address with other credentials: `"user:password"`, or nothing.
    #[must_use]
    pub fn url_as(&self, credentials: &str) -> String {
        let at = if credentials.is_empty() { "" } else { "@" };
        format!("redis://{credentials}{at}127.0.0.1:{}/", self.port)
    }

    /// Where it is reached over its unix socket.
    #[must_use]
    pub fn unix_url(&self) -> String {
        let path = self.socket();
        let query = self.password.as_ref().map_or_else(String::new, |pass| format!("?pass={pass}"));
        format!("unix://{}{query}", path.display())
    }

    /// A connection to look behind the crate's back with.
    ///
    /// # Panics
    ///
    /// When the server does not answer.
    pub async fn cli(&self) -> MultiplexedConnection {
        let config = AsyncConnectionConfig::new()
            .set_connection_timeout(Some(PATIENCE))
            .set_response_timeout(None);
        let client = Client::open(self.unix_url()).expect("the harness writes valid urls");
        client
            .get_multiplexed_async_connection_with_config(&config)
            .await
            .expect("the server is up")
    }

    pub(crate) fn address(&self) -> SocketAddr {
        SocketAddr::from((Ipv4Addr::LOCALHOST, self.port))
    }

    pub(crate) fn directory(&self) -> &Path {
        self.dir.path()
    }

    pub(crate) fn socket(&self) -> PathBuf {
        self.dir.path().join("redis.sock")
    }

    pub(crate) fn pid(&self) -> u32 {
        self.process.as_ref().expect("the server is running").id()
    }

    /// `false` where the server ends at once: its port is taken.
    fn spawn(&mut self) -> bool {
        let mut command = Command::new(self.kind.program());
        command
            .args(["--bind", "127.0.0.1", "--save", "", "--appendonly", "no"])
            // A replica need not wait for others that may come.
            .args(["--repl-diskless-sync-delay", "0"])
            .args([if self.tls { "--tls-port" } else { "--port" }, &self.port.to_string()])
            .args(if self.tls { &["--port", "0"][..] } else { &[] })
            .args(["--daemonize", "no"])
            .arg("--unixsocket")
            .arg(self.socket())
            .arg("--dir")
            .arg(self.dir.path())
            .arg("--logfile")
            .arg(self.log_file());
        if let Some(password) = &self.password {
            command.args(["--requirepass", password]);
        }
        if let Some(bus) = self.bus {
            command.args(["--cluster-enabled", "yes", "--cluster-port", &bus.to_string()]);
        }
        if let Some(off) = &self.clock {
            command.envs(faked_clock(off));
        }
        command
            .args(&self.arguments)
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null());
        let process = match command.spawn() {
            Ok(process) => process,
            Err(error) if error.kind() == ErrorKind::NotFound => {
                panic!("there is no such server, {:?}: {}", self.kind, self.kind.installed_by())
            }
            Err(error) => panic!("redis-server can't be started: {error}"),
        };
        let socket = self.socket();
        let process = self.process.insert(process);
        let until = Instant::now() + PATIENCE;
        loop {
            if process.try_wait().expect("one's own child can be waited for").is_some() {
                self.process = None;
                return false;
            }
            // Asked over the socket in its own directory: nobody else's server can answer there, and
            // a server opens it after its port.
            if answers(&socket) {
                return true;
            }
            assert!(Instant::now() < until, "redis-server does not answer: {}", self.log());
            thread::sleep(Duration::from_millis(2));
        }
    }

    fn log_file(&self) -> PathBuf {
        self.dir.path().join("redis.log")
    }

    fn log(&self) -> String {
        std::fs::read_to_string(self.log_file()).unwrap_or_default()
    }
}

impl Drop for RedisServer {
    fn drop(&mut self) {
        if let Some(mut process) = self.process.take() {
            // Here a panic would abort the tests that are left.
            let _ = process.kill();
            let _ = process.wait();
        }
    }
}

fn tls_arguments(certificates: &Certificates, of_clients: bool) -> [String; 8] {
    let file = |name| certificates.file(name).display().to_string();
    let wants = if of_clients { "yes" } else { "no" };
    [
        "--tls-ca-cert-file".to_owned(),
        file("root.pem"),
        "--tls-cert-file".to_owned(),
        file("server.pem"),
        "--tls-key-file".to_owned(),
        file("server.key"),
        "--tls-auth-clients".to_owned(),
        wants.to_owned(),
    ]
}

/// Below the range from which outgoing connections take their ports, so that a stopped server finds
/// its own still free.
pub(crate) fn free_port() -> u16 {
    static NEXT: AtomicU16 = AtomicU16::new(0);
    const FIRST: u32 = 11_000;
    const PORTS: u32 = 20_000;
    loop {
        let step = u32::from(NEXT.fetch_add(1, Ordering::Relaxed));
        let port = FIRST + (std::process::id() * 97 + step) % PORTS;
        let port = u16::try_from(port).expect("the range ends below 65,536");
        if TcpListener::bind((Ipv4Addr::LOCALHOST, port)).is_ok() {
            return port;
        }
    }
}

/// Any reply will do: `+PONG`, that a password is wanted, or that it loads.
fn answers(socket: &Path) -> bool {
    let reply = reply_to_ping(socket);
    reply.is_ok_and(|reply| [b"+PONG\r\n", b"-NOAUTH", LOADING].contains(&&reply))
}

const LOADING: &[u8; 7] = b"-LOADIN";

/// Its beginning.
fn reply_to_ping(socket: &Path) -> io::Result<[u8; 7]> {
    let mut stream = UnixStream::connect(socket)?;
    stream.set_read_timeout(Some(Duration::from_secs(1)))?;
    stream.write_all(b"PING\r\n")?;
    let mut reply = [0; 7];
    stream.read_exact(&mut reply)?;
    Ok(reply)
}

/// Returns when the process has stopped.
pub(crate) fn pause(pid: u32) {
    signal(pid, "STOP");
    let until = Instant::now() + PATIENCE;
    while !is_stopped(pid) {
        assert!(Instant::now() < until, "process {pid} does not stop");
        thread::sleep(Duration::from_millis(1));
    }
}

pub(crate) fn signal(pid: u32, name: &str) {
    let status = Command::new("kill").arg(format!("-{name}")).arg(pid.to_string()).status();
    assert!(status.is_ok_and(|status| status.success()), "kill -{name} {pid}");
}

/// The state stands behind the name, which is in parentheses and may hold anything.
fn is_stopped(pid: u32) -> bool {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).expect("the process is there");
    stat.rsplit_once(')').is_some_and(|(_, rest)| rest.trim_start().starts_with('T'))
}
