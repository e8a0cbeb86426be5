//! Invalidations that count only when replicas have them, too.
//!
//! A server that waits for its replicas answers nothing else on that connection meanwhile. So they travel on lanes of
//! their own: an invalidation then is as one of another process. What undoes a request of this one, a release behind
//! its take, still travels behind it.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use ::redis::{Cmd, ErrorKind, Pipeline, RedisError, ServerErrorKind, Value};

use super::connection::Failure;
use super::{scripts, slots};
use crate::store::StoreError;

/// How many of them, and how long that may take.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Confirm {
    pub(crate) replicas: usize,
    pub(crate) within: Duration,
}

/// What goes out behind an invalidation, on the same connection: to the only server, or to each node of a cluster.
#[derive(Clone)]
pub(super) struct Confirmation {
    confirm: Confirm,
    mark: String,
    /// Each slot of a cluster has a mark of its own.
    of_slot: bool,
    wait: Cmd,
    /// Not while `build()` tries what it may do, which touches nothing that anybody wants.
    begun: Arc<AtomicBool>,
}

impl Confirmation {
    pub(super) fn new(confirm: Confirm, namespace: &str, in_cluster: bool) -> Self {
        let mark = format!("{namespace}.journal.mark");
        let mut wait = ::redis::cmd("WAIT");
        // Less than one is none, and none is without end.
        let ms = u64::try_from(confirm.within.as_millis()).unwrap_or(u64::MAX).max(1);
        wait.arg(confirm.replicas).arg(ms);
        Self { confirm, mark, of_slot: in_cluster, wait, begun: Arc::default() }
    }

    pub(super) fn begin(&self) {
        self.begun.store(true, Ordering::Relaxed);
    }

    pub(super) fn has_begun(&self) -> bool {
        self.begun.load(Ordering::Relaxed)
    }

    fn mark_beside(&self, name: &str) -> Cmd {
        let mut mark = ::redis::cmd("EVAL");
        mark.arg(scripts::MARK).arg(1);
        if self.of_slot {
            mark.arg(format!("{}:{{{}}}", self.mark, slots::hashed_of(name)));
        } else {
            mark.arg(&self.mark);
        }
        mark
    }

    pub(super) fn within(&self) -> Duration {
        self.confirm.within
    }

    /// `WAIT` waits for what its own connection has written last. Where another, or an attempt before this one, has removed
    /// the keys, that would be nothing, and replicas that still have them would confirm it.
    ///
    /// `asking`: each of the two that have a key says so for itself.
    pub(super) fn behind(&self, invalidation: &Cmd, name: &str, asking: bool) -> Pipeline {
        let mut all = ::redis::pipe();
        for cmd in [invalidation, &self.mark_beside(name)] {
            if asking {
                all.cmd("ASKING");
            }
            all.add_command(cmd.clone());
        }
        all.add_command(self.wait.clone());
        all
    }

    /// The reply to the invalidation, if there are enough of them.
    pub(super) fn judge(
        &self,
        mut replies: Vec<Value>,
        asking: bool,
    ) -> Result<Result<Value, Failure>, RedisError> {
        let mut last = || replies.pop().unwrap_or(Value::Nil).extract_error();
        let (replicas, marked) = (last(), last());
        if asking {
            last()?;
        }
        let invalidated = last()?;
        let confirmed = match marked.and(replicas) {
            Ok(Value::Int(confirmed)) => usize::try_from(confirmed).unwrap_or(0),
            Ok(_) => 0,
            // The slot moves: the key was here still, and the mark, as all that is new, belongs elsewhere.
            Err(error) if is_about_slots(&error) => 0,
            Err(error) => return Err(error),
        };
        let Confirm { replicas: wanted, within } = self.confirm;
        if confirmed < wanted {
            return Ok(Err(Failure::Unreplicated(StoreError::Replicas {
                confirmed,
                wanted,
                within,
            })));
        }
        Ok(Ok(invalidated))
    }
}

fn is_about_slots(error: &RedisError) -> bool {
    use ServerErrorKind::{Ask, Moved, TryAgain};
    matches!(error.kind(), ErrorKind::Server(Ask | Moved | TryAgain))
}
