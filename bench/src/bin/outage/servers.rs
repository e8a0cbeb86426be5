//! A master, a replica, a sentinel, and what goes wrong with them. All of them end with the value.

use std::net::TcpListener;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use tempfile::TempDir;
use tokio::time::{Instant, sleep};

use crate::delay::Delay;
use crate::{Result, Trouble};

/// As long as a server may take to start.
const PATIENCE: Duration = Duration::from_secs(10);
/// What a slow server's replies are late by: within the cache's deadline of 250 ms.
const BROWN_OUT: Duration = Duration::from_millis(200);

pub(crate) struct Servers {
    dir: TempDir,
    master: Server,
    _replica: Server,
    sentinel: Server,
    /// In front of the master.
    delay: Delay,
}

struct Server {
    port: u16,
    process: Child,
}

impl Servers {
    pub(crate) async fn start() -> Result<Self> {
        let dir = tempfile::tempdir()?;
        let master = Server::start(dir.path(), free_port()?, &[]).await?;
        let delay = Delay::before(master.port).await?;
        let replica_of = format!("127.0.0.1 {}", master.port);
        let replica =
            Server::start(dir.path(), free_port()?, &["--replicaof", &replica_of]).await?;
        let config = dir.path().join("sentinel.conf");
        // It fails over when it is told to, and not by itself.
        let text = format!(
            "sentinel monitor shop 127.0.0.1 {} 1\nsentinel down-after-milliseconds shop 3600000\n\
             sentinel failover-timeout shop 10000\n",
            delay.port()
        );
        std::fs::write(&config, text)?;
        let config = config.to_str().ok_or("the path of a temporary file is no text")?;
        let sentinel = Server::start(dir.path(), free_port()?, &[config, "--sentinel"]).await?;
        sentinel
            .until("the replica is known", &["sentinel", "replicas", "shop"], "127.0.0.1")
            .await?;
        Ok(Self { dir, master, _replica: replica, sentinel, delay })
    }

    pub(crate) fn url(&self) -> String {
        format!("redis-sentinel://127.0.0.1:{}/shop", self.sentinel.port)
    }

    pub(crate) async fn begin(&mut self, trouble: Trouble) -> Result<()> {
        match trouble {
            Trouble::None => {}
            Trouble::Killed => self.master.signal("KILL")?,
            Trouble::Paused => self.master.signal("STOP")?,
            Trouble::Slow => self.delay.by(BROWN_OUT),
            Trouble::Full => self.master.order(&["config", "set", "maxmemory", "1"]).await?,
            Trouble::FailedOver => self.sentinel.order(&["sentinel", "failover", "shop"]).await?,
        }
        Ok(())
    }

    pub(crate) async fn end(&mut self, trouble: Trouble) -> Result<()> {
        match trouble {
            Trouble::None | Trouble::FailedOver => {}
            Trouble::Killed => {
                self.master.process.wait()?;
                self.master = Server::start(self.dir.path(), self.master.port, &[]).await?;
            }
            Trouble::Paused => self.master.signal("CONT")?,
            Trouble::Slow => self.delay.by(Duration::ZERO),
            Trouble::Full => self.master.order(&["config", "set", "maxmemory", "0"]).await?,
        }
        Ok(())
    }
}

impl Server {
    /// On a port of loopback, without a file that it would keep.
    async fn start(dir: &Path, port: u16, more: &[&str]) -> Result<Self> {
        let port_text = port.to_string();
        let mut command = Command::new("redis-server");
        command.args(more).args(["--port", &port_text, "--bind", "127.0.0.1"]);
        if !more.contains(&"--sentinel") {
            command.args(["--save", "", "--appendonly", "no", "--repl-diskless-sync-delay", "0"]);
        }
        let process =
            command.current_dir(dir).stdin(Stdio::null()).stdout(Stdio::null()).spawn().map_err(
                |error| {
                    format!("redis-server can't be started: {error}; apt-get install redis-server")
                },
            )?;
        let server = Self { port, process };
        server.until("it answers", &["ping"], "PONG").await?;
        Ok(server)
    }

    async fn order(&self, args: &[&str]) -> Result<()> {
        let said = self.cli(args).await?;
        if said.starts_with("OK") { Ok(()) } else { Err(format!("{args:?}: {said}").into()) }
    }

    async fn cli(&self, args: &[&str]) -> Result<String> {
        let port = self.port.to_string();
        let asked = tokio::process::Command::new("redis-cli")
            .args(["-h", "127.0.0.1", "-p", &port])
            .args(args)
            .output()
            .await?;
        Ok(String::from_utf8_lossy(&asked.stdout).into_owned())
    }

    async fn until(&self, what: &str, asked: &[&str], expected: &str) -> Result<()> {
        let began = Instant::now();
        while !self.cli(asked).await?.contains(expected) {
            if began.elapsed() > PATIENCE {
                return Err(format!("not within {PATIENCE:?}: {what}").into());
            }
            sleep(Duration::from_millis(50)).await;
        }
        Ok(())
    }

    fn signal(&self, name: &str) -> Result<()> {
        let sent =
            Command::new("kill").args(["-s", name, &self.process.id().to_string()]).status()?;
        if sent.success() { Ok(()) } else { Err(format!("{name} was not sent").into()) }
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        // It may have ended by itself.
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

fn free_port() -> Result<u16> {
    Ok(TcpListener::bind(("127.0.0.1", 0))?.local_addr()?.port())
}
