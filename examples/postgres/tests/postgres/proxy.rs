//! Between the application and Postgres, where a COMMIT and its answer can be held up or lost.

use std::convert::Infallible;
use std::future::pending;
use std::io;
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};

use redis_cached_tests::in_time;
use sqlx::PgPool;
use tempfile::TempDir;
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::unix::{OwnedReadHalf, OwnedWriteHalf};
use tokio::net::{UnixListener, UnixStream};
use tokio::sync::watch;
use tokio::task::JoinSet;

use crate::server::Postgres;

const SOCKET: &str = ".s.PGSQL.5432";
/// As sqlx sends it.
const COMMIT: &[u8] = b"Q\0\0\0\x0bCOMMIT\0";

/// What becomes of a COMMIT.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Commit {
    Passes,
    /// It does not arrive yet.
    Held,
    /// It is carried out, and nothing is heard of it yet.
    AnswerHeld,
    /// It is carried out, and the connection ends without an answer.
    AnswerLost,
}

pub(crate) struct Proxy {
    folder: TempDir,
    commit: watch::Sender<Commit>,
    holds: watch::Sender<bool>,
    /// Ends with the value.
    _running: JoinSet<()>,
}

impl Proxy {
    pub(crate) fn start(postgres: &Postgres) -> Self {
        let folder = TempDir::new().expect("a temporary folder");
        let listener = UnixListener::bind(folder.path().join(SOCKET)).expect("own folder");
        let (commit, holds) = (watch::Sender::new(Commit::Passes), watch::Sender::new(false));
        let origin = postgres.folder().join(SOCKET);
        let mut running = JoinSet::new();
        let (rules, held) = (commit.clone(), holds.clone());
        running.spawn(async move {
            let mut connections = JoinSet::new();
            while let Ok((client, _)) = listener.accept().await {
                let connection = Connection {
                    commit: rules.subscribe(),
                    holds: held.clone(),
                    is_sent: AtomicBool::new(false),
                };
                let origin = origin.clone();
                // Ended by either side.
                connections
                    .spawn(async move { connection.run(client, &origin).await.unwrap_or(()) });
            }
        });
        Self { folder, commit, holds, _running: running }
    }

    /// It has one connection.
    pub(crate) async fn pool(&self) -> PgPool {
        Postgres::pool_at(self.folder.path()).await
    }

    pub(crate) fn set(&self, commit: Commit) {
        self.holds.send_replace(false);
        self.commit.send_replace(commit);
    }

    pub(crate) fn is(&self, commit: Commit) -> bool {
        *self.commit.borrow() == commit
    }

    /// Waits until there is a COMMIT, or the answer to one, that is held.
    pub(crate) async fn holds(&self) {
        let mut holds = self.holds.subscribe();
        in_time("a COMMIT", holds.wait_for(|holds| *holds)).await.expect("it is running");
    }

    /// Lets go what it holds, as soon as it does.
    pub(crate) async fn passes_when_held(&self) -> Infallible {
        let mut holds = self.holds.subscribe();
        holds.wait_for(|holds| *holds).await.expect("it is running");
        self.set(Commit::Passes);
        pending().await
    }
}

struct Connection {
    commit: watch::Receiver<Commit>,
    holds: watch::Sender<bool>,
    /// Whether what Postgres says next is the answer to COMMIT.
    is_sent: AtomicBool,
}

impl Connection {
    async fn run(&self, client: UnixStream, origin: &Path) -> io::Result<()> {
        let origin = UnixStream::connect(origin).await?;
        let (asked, answer) = client.into_split();
        let (answered, ask) = origin.into_split();
        tokio::select! {
            ended = self.forth(asked, ask) => ended,
            ended = self.back(answered, answer) => ended,
        }
    }

    async fn forth(&self, mut from: OwnedReadHalf, mut to: OwnedWriteHalf) -> io::Result<()> {
        // The first message alone has no letter in front of its length.
        let mut message = Vec::new();
        read_counted(&mut from, &mut message).await?;
        loop {
            if message == COMMIT {
                self.hold(Commit::Held).await;
                self.is_sent.store(true, Ordering::Relaxed);
            }
            to.write_all(&message).await?;
            message = vec![from.read_u8().await?];
            read_counted(&mut from, &mut message).await?;
        }
    }

    async fn back(&self, mut from: OwnedReadHalf, mut to: OwnedWriteHalf) -> io::Result<()> {
        let mut answer = vec![0; 16 * 1024];
        loop {
            let length = from.read(&mut answer).await?;
            if length == 0 {
                return Ok(());
            }
            if self.is_sent.swap(false, Ordering::Relaxed) {
                self.hold(Commit::AnswerHeld).await;
                if *self.commit.borrow() == Commit::AnswerLost {
                    return Ok(());
                }
            }
            to.write_all(&answer[..length]).await?;
        }
    }

    async fn hold(&self, place: Commit) {
        let mut commit = self.commit.clone();
        if *commit.borrow() == place {
            self.holds.send_replace(true);
        }
        commit.wait_for(|commit| *commit != place).await.map(drop).unwrap_or_default();
    }
}

/// A length that counts its own four bytes, and what it counts.
async fn read_counted(from: &mut (impl AsyncRead + Unpin), into: &mut Vec<u8>) -> io::Result<()> {
    let length = from.read_u32().await?;
    into.extend(length.to_be_bytes());
    let start = into.len();
    into.resize(start + length as usize - 4, 0);
    from.read_exact(&mut into[start..]).await.map(drop)
}
