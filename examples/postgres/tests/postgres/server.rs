//! A Postgres of one test's own.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use redis_cached_tests::PATIENCE;
use sqlx::PgPool;
use sqlx::postgres::{PgConnectOptions, PgPoolOptions};
use tempfile::TempDir;

/// Reached over a unix socket in its own folder. Ends with the value.
pub(crate) struct Postgres {
    folder: TempDir,
    process: Child,
}

impl Postgres {
    pub(crate) fn start() -> Self {
        let folder = TempDir::new().expect("a temporary folder");
        let data = folder.path().join("data");
        fs::create_dir(&data).expect("a folder in a temporary folder");
        // It refuses to run as root, and whoever it runs as has to reach its folder.
        fs::set_permissions(folder.path(), fs::Permissions::from_mode(0o755)).expect("own folder");
        if is_root() {
            let given = Command::new("chown").arg("-R").arg("postgres").arg(folder.path()).status();
            assert!(given.is_ok_and(|status| status.success()), "there is no user `postgres`");
        }
        let made = program("initdb")
            .args(["--auth=trust", "--username=app", "--no-sync", "-D"])
            .arg(&data)
            .stdout(Stdio::null())
            .status()
            .expect("initdb can be started");
        assert!(made.success(), "initdb: {made}");
        let process = program("postgres")
            .args(["-c", "listen_addresses=", "-c", "fsync=off", "-c", "max_connections=50"])
            .arg("-c")
            .arg(format!("unix_socket_directories={}", folder.path().display()))
            .arg("-D")
            .arg(&data)
            .stderr(Stdio::null())
            .stdin(Stdio::null())
            .spawn()
            .expect("postgres can be started");
        Self { folder, process }
    }

    pub(crate) fn folder(&self) -> &Path {
        self.folder.path()
    }

    pub(crate) async fn pool(&self) -> PgPool {
        Self::pool_at(self.folder()).await
    }

    /// Over the socket in this folder.
    pub(crate) async fn pool_at(folder: &Path) -> PgPool {
        let options = PgConnectOptions::new_without_pgpass()
            .host(&folder.to_string_lossy())
            .username("app")
            .database("postgres");
        let until = Instant::now() + PATIENCE;
        loop {
            let pool = PgPoolOptions::new().max_connections(8).connect_with(options.clone()).await;
            match pool {
                Ok(pool) => return pool,
                Err(error) => assert!(Instant::now() < until, "postgres does not answer: {error}"),
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }
}

impl Drop for Postgres {
    fn drop(&mut self) {
        // At once, and with all of its own processes: what it leaves goes with the folder.
        let stopped = program("pg_ctl")
            .args(["stop", "--mode=immediate", "--silent", "-D"])
            .arg(self.folder.path().join("data"))
            .status();
        if !stopped.is_ok_and(|status| status.success()) {
            let _ = self.process.kill();
        }
        // Here a panic would abort the tests that are left.
        let _ = self.process.wait();
    }
}

fn is_root() -> bool {
    let id = Command::new("id").arg("-u").output().expect("there is `id`");
    id.stdout == b"0\n"
}

/// One of its programs, not as root.
fn program(name: &str) -> Command {
    let path = folder().join(name);
    if !is_root() {
        return Command::new(path);
    }
    let mut command = Command::new("setpriv");
    command.args(["--reuid=postgres", "--regid=postgres", "--clear-groups"]).arg(path);
    command.current_dir("/");
    command
}

/// Debian keeps them out of the `PATH`, by version.
fn folder() -> PathBuf {
    let versions = fs::read_dir("/usr/lib/postgresql").into_iter().flatten().flatten();
    let folders = versions.map(|version| version.path().join("bin"));
    let on_path = std::env::var_os("PATH");
    let on_path = on_path.iter().flat_map(std::env::split_paths);
    folders
        .chain(on_path)
        .find(|folder| Path::new(folder).join("initdb").exists())
        .expect("there is no Postgres: apt-get install postgresql")
}
