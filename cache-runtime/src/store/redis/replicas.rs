//! Invalidations that count only when replicas have them, too.
//!
//! A server that waits for its replicas answers nothing else on that connection meanwhile. So they travel on lanes of
//! their own: an invalidation then is as one of another process. What undoes a request of this one, a release behind
//! its take, still travels behind it.

use std::time::Duration;

use ::redis::{Cmd, Pipeline, RedisError, Value};

use super::connection::Failure;
use super::scripts;
use crate::store::StoreError;

/// How many of them, and how long that may take.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Confirm {
    pub(crate) replicas: usize,
    pub(crate) within: Duration,
}

/// What goes out behind an invalidation, on the same connection.
pub(super) struct Confirmation {
    confirm: Confirm,
    mark: Cmd,
    wait: Cmd,
}

impl Confirmation {
    pub(super) fn new(confirm: Confirm, namespace: &str) -> Self {
        let mut mark = ::redis::cmd("EVAL");
        mark.arg(scripts::MARK).arg(1).arg(format!("{namespace}.journal.mark"));
        let mut wait = ::redis::cmd("WAIT");
        // Less than one is none, and none is without end.
        let ms = u64::try_from(confirm.within.as_millis()).unwrap_or(u64::MAX).max(1);
        wait.arg(confirm.replicas).arg(ms);
        Self { confirm, mark, wait }
    }

    pub(super) fn within(&self) -> Duration {
        self.confirm.within
    }

    /// `WAIT` waits for what its own connection has written last. Where another, or an attempt before this one, has removed
    /// the keys, that would be nothing, and replicas that still have them would confirm it.
    pub(super) fn behind(&self, invalidation: &Cmd) -> Pipeline {
        let mut all = ::redis::pipe();
        for cmd in [invalidation, &self.mark, &self.wait] {
            all.add_command(cmd.clone());
        }
        all
    }

    /// The reply to the invalidation, if there are enough of them.
    pub(super) fn judge(&self, replies: Vec<Value>) -> Result<Result<Value, Failure>, RedisError> {
        let replies = replies.into_iter().map(Value::extract_error);
        let replies = replies.collect::<Result<Vec<Value>, RedisError>>()?;
        let Confirm { replicas: wanted, within } = self.confirm;
        let confirmed = match replies.get(2) {
            Some(Value::Int(confirmed)) => usize::try_from(*confirmed).unwrap_or(0),
            _ => 0,
        };
        if confirmed < wanted {
            return Ok(Err(Failure::Unreplicated(StoreError::Replicas {
                confirmed,
                wanted,
                within,
            })));
        }
        Ok(Ok(replies.into_iter().next().unwrap_or(Value::Nil)))
    }
}
