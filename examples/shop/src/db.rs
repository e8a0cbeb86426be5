//! A few connections to one database file. Knows nothing of the cache.

use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use anyhow::{Context, ensure};
use rusqlite::Connection;
use tokio::sync::Semaphore;
use tokio::task::spawn_blocking;

use crate::fill;

const CONNECTIONS: usize = 4;

/// The database. Cheap to clone.
#[derive(Clone)]
pub(crate) struct Db(Arc<Pool>);

struct Pool {
    path: PathBuf,
    places: Arc<Semaphore>,
    /// Never more of them than places.
    idle: Mutex<Vec<Connection>>,
}

impl Db {
    /// Opens the file; makes and fills it first if it is not there.
    pub(crate) async fn open(path: impl Into<PathBuf>, scale: f64) -> anyhow::Result<Self> {
        ensure!((0.001..=10.0).contains(&scale), "SHOP_SCALE is {scale}: it must be 0.001 to 10");
        let pool = Pool {
            path: path.into(),
            places: Arc::new(Semaphore::new(CONNECTIONS)),
            idle: Mutex::default(),
        };
        let path = pool.path.display().to_string();
        let filled = spawn_blocking(move || {
            if let Some(folder) = pool.path.parent() {
                std::fs::create_dir_all(folder)?;
            }
            let mut connection = pool.connect()?;
            // Readers go on while a price is written.
            connection.pragma_update(None, "journal_mode", "wal")?;
            fill::fill(&mut connection, scale)?;
            anyhow::Ok(pool)
        });
        let pool = filled.await?.with_context(|| format!("SHOP_DB: the database {path}"))?;
        Ok(Self(Arc::new(pool)))
    }

    /// Runs a query where it may block.
    ///
    /// It goes on to its end if the caller is dropped meanwhile.
    pub(crate) async fn run<T, Q>(&self, query: Q) -> anyhow::Result<T>
    where
        T: Send + 'static,
        Q: FnOnce(&Connection) -> rusqlite::Result<T> + Send + 'static,
    {
        let pool = Arc::clone(&self.0);
        let place = Arc::clone(&pool.places).acquire_owned().await?;
        spawn_blocking(move || {
            // Given back when the query has ended, not when its caller is gone.
            let _place = place;
            let idle = pool.idle().pop();
            let connection = idle.map_or_else(|| pool.connect(), Ok)?;
            let result = query(&connection);
            pool.idle().push(connection);
            Ok(result?)
        })
        .await?
    }
}

impl Pool {
    fn connect(&self) -> rusqlite::Result<Connection> {
        let connection = Connection::open(&self.path)?;
        connection.busy_timeout(Duration::from_secs(5))?;
        Ok(connection)
    }

    fn idle(&self) -> std::sync::MutexGuard<'_, Vec<Connection>> {
        self.idle.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
