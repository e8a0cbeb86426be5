//! A server of one's own, and who runs on which core.

use std::net::{TcpListener, TcpStream};
use std::process::{Child, Command, Stdio};
use std::thread::sleep;
use std::time::{Duration, Instant};

use tempfile::TempDir;

use crate::Result;

/// As long as the server may take to start.
const PATIENCE: Duration = Duration::from_secs(10);

/// Ends with the value.
pub(crate) struct Server {
    _dir: TempDir,
    process: Child,
    port: u16,
}

impl Server {
    pub(crate) fn start() -> Result<Self> {
        let dir = tempfile::tempdir()?;
        let port = TcpListener::bind("127.0.0.1:0")?.local_addr()?.port();
        let process = Command::new("redis-server")
            .args(["--port", &port.to_string(), "--save", "", "--appendonly", "no"])
            .args(["--bind", "127.0.0.1"])
            .arg("--dir")
            .arg(dir.path())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()?;
        let server = Self { _dir: dir, process, port };
        let began = Instant::now();
        while TcpStream::connect(("127.0.0.1", port)).is_err() {
            if began.elapsed() > PATIENCE {
                return Err("redis-server does not start".into());
            }
            sleep(Duration::from_millis(10));
        }
        Ok(server)
    }

    pub(crate) fn url(&self) -> String {
        format!("redis://127.0.0.1:{}/", self.port)
    }

    pub(crate) fn pid(&self) -> u32 {
        self.process.id()
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

/// How long the first thread of a process has run, where the system tells. What else the machine does changes it little.
pub(crate) fn ran(pid: u32) -> Option<Duration> {
    let told = std::fs::read_to_string(format!("/proc/{pid}/schedstat")).ok()?;
    told.split_whitespace().next()?.parse().ok().map(Duration::from_nanos)
}

/// Keeps a process and its threads to a core; whether it could be done.
pub(crate) fn pin(pid: u32, core: u32) -> bool {
    let taskset = Command::new("taskset")
        .args(["-a", "-p", "-c", &core.to_string(), &pid.to_string()])
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .status();
    taskset.is_ok_and(|status| status.success())
}
