//! How a pool reads: a caller that comes alone sends its own command, and those who come together share one.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use ::redis::{Cmd, Value};
use bytes::Bytes;
use tokio::time::{Instant, timeout_at};

use super::super::StoreError;
use super::batch::{Failed, Frozen, Joined, Values, hash_of};
use super::breaker::Admission;
use super::connection::{Failure, Link, Pool, Sending, Way};
use super::scripts::Says;
use super::{string, unexpected};
use crate::by_hand::Boxed;
use crate::metrics::Timer;
use crate::sync::lock;

/// From so many bytes on a value is read by itself: what stands behind it in one reply would wait for it.
const LARGE: usize = 64 << 10;
/// As many large values are told from others, as long as they meet no other one in their place.
const PLACES: usize = 1024;

/// Under which names large values were found lately, by their hashes. To be wrong costs some time, and nothing else.
pub(super) struct Large([AtomicU64; PLACES]);

impl Large {
    pub(super) fn none() -> Self {
        Self([const { AtomicU64::new(0) }; PLACES])
    }

    fn place(&self, hash: u64) -> &AtomicU64 {
        &self.0[usize::try_from(hash >> 32).unwrap_or(0) % PLACES]
    }

    fn has(&self, hash: u64) -> bool {
        self.place(hash).load(Ordering::Relaxed) == hash
    }

    fn note(&self, hash: u64, bytes: usize) {
        if bytes >= LARGE {
            self.place(hash).store(hash, Ordering::Relaxed);
        } else if self.has(hash) {
            self.place(hash).store(0, Ordering::Relaxed);
        }
    }
}

impl Link {
    /// Reads what is stored under a name, and under `more`, all of it after this call has begun.
    ///
    /// May be dropped at any await: what others share is carried on by a task.
    pub(super) async fn read(
        self: &Arc<Self>,
        name: &str,
        more: &[&str],
        deadline: Instant,
    ) -> Result<Values, StoreError> {
        let pool = self.pool()?;
        let admission = self.admitted(&pool, Sending::READ)?;
        let hash = hash_of(name);
        let lane = pool.lane_of(hash);
        let gathering = pool.gathering(hash);
        let apart = |pool, under_way| {
            self.read_apart(pool, lane, Wanted { hash, name, more }, admission, deadline, under_way)
        };
        if pool.large.has(hash) {
            return apart(pool, None).await;
        }
        let joined = lock(gathering).join(hash, name, more, deadline);
        let ticket = match joined {
            Joined::Alone => {
                let under_way = UnderWay { link: self, pool: Arc::clone(&pool), hash };
                return apart(pool, Some(under_way)).await;
            }
            Joined::Shared(ticket) => ticket,
            Joined::Led(ticket) => {
                self.spawn_driver(&pool, hash);
                ticket
            }
        };
        let began = Instant::now();
        match timeout_at(deadline, ticket.wait()).await {
            Ok(Ok(read)) => Ok(read),
            Ok(Err(Failed::Refused)) => apart(pool, None).await,
            Ok(Err(Failed::Unanswered(text))) => {
                pool.unanswered(Sending::READ, admission);
                Err(StoreError::Unconnected(text))
            }
            Ok(Err(Failed::Late)) | Err(_) => {
                Err(self.timed_out(&pool, ticket.lane(), Sending::READ, admission, began))
            }
        }
    }

    /// Reads by a command of one's own. Boxed: those who share one need no room for it.
    fn read_apart<'r>(
        self: &'r Arc<Self>,
        pool: Arc<Pool>,
        lane: usize,
        wanted: Wanted<'r>,
        admission: Admission,
        deadline: Instant,
        under_way: Option<UnderWay<'r>>,
    ) -> Boxed<'r, Result<Values, StoreError>> {
        Box::pin(async move {
            let _under_way = under_way;
            let Wanted { hash, name, more } = wanted;
            let count = 1 + more.len();
            let (cmd, says) = command(std::iter::once(name).chain(more.iter().copied()), count);
            let (way, sending) = (Way::by(lane), Sending { says, ..Sending::READ });
            let reply = self.send_admitted(&pool, way, &cmd, sending, admission, deadline).await?;
            let mut values = values(reply, count)?;
            let first = values.next().flatten();
            pool.large.note(hash, first.as_ref().map_or(0, Bytes::len));
            Ok((first, values.collect()))
        })
    }

    /// For what is gathered with this hash.
    fn spawn_driver(self: &Arc<Self>, pool: &Arc<Pool>, hash: u64) {
        let (link, pool) = (Arc::clone(self), Arc::clone(pool));
        let driving = Driving { link, pool: Arc::clone(&pool), hash, does: Does::Freeze };
        pool.handle.spawn(driving.drive());
    }

    /// Reads over one lane what was gathered, and tells those who wait.
    async fn read_batch(&self, pool: &Pool, hash: u64, lane: usize, frozen: Frozen) {
        let wanted = frozen.names.len();
        let (cmd, says) = command(frozen.names.iter(), wanted);
        let once = || self.send_once(pool, Way::by(lane), &cmd, says, None);
        let attempt = async {
            match once().await {
                Err(Failure::Lost(_)) => once().await,
                other => other,
            }
        };
        let timer = Timer::start();
        let reply = match timeout_at(frozen.until, attempt).await {
            Ok(Ok(reply)) => Ok(reply),
            Ok(Err(Failure::Lost(text) | Failure::Unconnected(text))) => {
                Err(StoreError::Unconnected(text))
            }
            Ok(Err(Failure::Server(text))) => Err(StoreError::Server(text)),
            Ok(Err(Failure::Replica)) => Err(StoreError::Server("READONLY".to_owned())),
            Ok(Err(Failure::Unreplicated(error))) => Err(error),
            Err(_) => Err(StoreError::Deadline(self.limits.deadline)),
        };
        self.metrics.ended(timer, Sending::READ.may.into(), &cmd, &reply);
        match reply {
            Ok(reply) => {
                pool.has_answered(lane, Sending::READ);
                let Ok(values) = values(reply, wanted) else {
                    return frozen.failed(Failed::Refused);
                };
                let values: Vec<_> = values.collect();
                let mut bytes = 0;
                for (value, hash) in values.iter().zip(frozen.names.hashes()) {
                    let length = value.as_ref().map_or(0, Bytes::len);
                    pool.large.note(hash, length);
                    bytes += length;
                }
                lock(pool.gathering(hash)).note_bytes(bytes / wanted);
                frozen.read(values.into_iter());
            }
            Err(StoreError::Unconnected(text)) => frozen.failed(Failed::Unanswered(text)),
            Err(StoreError::Deadline(_)) => frozen.failed(Failed::Late),
            Err(_) => frozen.failed(Failed::Refused),
        }
    }
}

/// What one caller asks for.
#[derive(Clone, Copy)]
struct Wanted<'n> {
    hash: u64,
    name: &'n str,
    more: &'n [&'n str],
}

/// One name or several by one command, and what it is answered with.
fn command<'n>(names: impl Iterator<Item = &'n str>, count: usize) -> (Cmd, Says) {
    let one = count == 1;
    let mut cmd = ::redis::cmd(if one { "GET" } else { "MGET" });
    for name in names {
        cmd.arg(name);
    }
    (cmd, if one { Says::Value } else { Says::Values(count) })
}

/// What was read under so many names.
fn values(reply: Value, count: usize) -> Result<impl Iterator<Item = Option<Bytes>>, StoreError> {
    let (one, several) = match reply {
        Value::Array(values) if count > 1 && values.len() == count => (None, values),
        Value::BulkString(_) | Value::Nil if count == 1 => (Some(reply), Vec::new()),
        other => return Err(unexpected(&other)),
    };
    // Of another kind there is none: it was asked for when the reply came.
    let value = |value| string(value).ok().flatten().map(Bytes::from);
    Ok(one.into_iter().chain(several).map(value))
}

/// Goes on with what is gathered until there is nothing more, for callers that may leave at any time.
struct Driving {
    link: Arc<Link>,
    pool: Arc<Pool>,
    hash: u64,
    does: Does,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Does {
    /// It is about to freeze a batch.
    Freeze,
    /// It reads one by this lane.
    Read(usize),
    Nothing,
}

impl Driving {
    async fn drive(mut self) {
        loop {
            // Those who are ready to run may join first.
            once_behind_others().await;
            let gathering = self.pool.gathering(self.hash);
            let Some((lane, frozen)) = lock(gathering).freeze() else {
                self.does = Does::Nothing;
                return;
            };
            self.does = Does::Read(lane);
            self.link.read_batch(&self.pool, self.hash, lane, frozen).await;
            lock(gathering).again(lane);
            self.does = Does::Freeze;
        }
    }
}

impl Drop for Driving {
    /// Where the runtime ends: nobody will drive on it any more.
    fn drop(&mut self) {
        let lane = match self.does {
            Does::Nothing => return,
            Does::Freeze => None,
            Does::Read(lane) => Some(lane),
        };
        let left = lock(self.pool.gathering(self.hash)).abandon(lane);
        drop(left);
    }
}

/// A read of one caller.
struct UnderWay<'r> {
    link: &'r Arc<Link>,
    pool: Arc<Pool>,
    hash: u64,
}

impl Drop for UnderWay<'_> {
    fn drop(&mut self) {
        if lock(self.pool.gathering(self.hash)).end() {
            self.link.spawn_driver(&self.pool, self.hash);
        }
    }
}

async fn once_behind_others() {
    let mut is_behind = false;
    std::future::poll_fn(|cx| {
        if is_behind {
            return std::task::Poll::Ready(());
        }
        is_behind = true;
        cx.waker().wake_by_ref();
        std::task::Poll::Pending
    })
    .await;
}
