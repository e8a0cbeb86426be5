//! What near copies are made of: reads that the server tracks, what it pushes, and whether it still does.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Weak};
use std::time::Duration;

use ::redis::aio::MultiplexedConnection;
use ::redis::{PushInfo, PushKind, Value};
use tokio::time::{Instant, sleep, timeout};

use super::connection::{Order, Pool, Tracking, Via};
use super::scripts::Says;
use super::topology::Topology;
use super::{Redis, string, unexpected};
use crate::key::Key;
use crate::near::{Channel, Marks, Told, Touching};
use crate::store::{StoreError, ValueAndNonces};
use crate::tags::{Nonce, Tag};

/// A bound holds so many pings: one may be late without a copy being asked for anew.
const PINGS_OF_A_BOUND: u32 = 4;

/// What a read says of its copies.
pub(crate) enum Tracked {
    By(Telling),
    /// The connection for it is not there at the moment.
    NotNow,
    /// None of this store ever is, and why.
    Never(&'static str),
}

/// The connection by which the server tells when what was read by it changes.
pub(crate) struct Telling {
    pub(crate) told: Told,
    pool: Weak<Pool>,
    connection: MultiplexedConnection,
}

impl Telling {
    /// Has the connection asked, for as long as there is a copy, whether it still tells.
    pub(crate) fn attend(&self, until: Instant, bound: Duration) {
        let channel = &self.told.channel;
        if channel.need(until) {
            let (pool, channel) = (Weak::clone(&self.pool), Arc::clone(channel));
            tokio::spawn(attend(pool, channel, self.connection.clone(), bound));
        }
    }
}

impl Redis {
    /// As [`read`](Self::read), by the connection whose reads the server tracks, each key by itself.
    ///
    /// Not by what begins like the namespace (`BCAST`): then every write of every process, leases included, would be told
    /// to all processes, whoever has a copy. So each key that was read is told of once, and costs the server a place in
    /// its table, which is bounded (`tracking-table-max-keys`): of what drops out of it, it tells as well.
    pub(crate) async fn read_tracked(
        &self,
        key: &Key,
        tags: &[Tag],
        deadline: Instant,
    ) -> Result<(ValueAndNonces, Tracked), StoreError> {
        let plainly = async |tracked| Ok((self.read(key, tags, deadline).await?, tracked));
        let Topology::One(link) = &self.topology else {
            return plainly(Tracked::Never(
                "the store is a cluster, of which no near copies are made",
            ))
            .await;
        };
        let pool = link.pool()?;
        let (connection, channel) = match pool.tracking() {
            Tracking::On(connection, channel) => (connection, channel),
            Tracking::Unconnected => {
                // No reader waits for what it can do without.
                link.start_tracking(&pool);
                return plainly(Tracked::NotNow).await;
            }
            Tracking::Refused => {
                return plainly(Tracked::Never(
                    "the server does not let this user have its reads tracked (`+client|tracking`)",
                ))
                .await;
            }
        };
        let mut names = vec![key.name()];
        names.extend(tags.iter().map(Tag::key));
        // Before the read is sent: whatever is told from now on may be news to what it finds.
        let marked = link.marks.note(names.iter().copied());
        let (mut get, says) = match tags {
            [] => (::redis::cmd("GET"), Says::Value),
            _ => (::redis::cmd("MGET"), Says::List),
        };
        get.arg(&names);
        let order = Order::Read(&get, says);
        let (reply, _) = link.carry_out(&order, Via::Tracked, false, deadline).await?;
        let found = value_and_nonces(reply, names.len())?;
        // A read that was sent once more, by the next connection, is told of by that one.
        let tracked = match pool.tracking() {
            Tracking::On(_, same) if Arc::ptr_eq(&same, &channel) => {
                let told = Told { channel, marked };
                Tracked::By(Telling { told, pool: Arc::downgrade(&pool), connection })
            }
            _ => Tracked::NotNow,
        };
        Ok((found, tracked))
    }

    /// Until it is dropped this process may do something to these names; then no copy of before is served any more.
    pub(super) fn touching<'n>(
        &self,
        names: impl Iterator<Item = &'n str>,
    ) -> Option<Touching<'_>> {
        match &self.topology {
            Topology::One(link) => Some(link.marks.touching(names)),
            Topology::Cluster(_) => None,
        }
    }

    /// The same of all names, at once.
    pub(super) fn touched_all(&self) {
        if let Topology::One(link) = &self.topology {
            link.marks.touch_all();
        }
    }
}

fn value_and_nonces(reply: Value, many: usize) -> Result<ValueAndNonces, StoreError> {
    let values = match reply {
        Value::Array(values) if values.len() == many => values,
        value if many == 1 => vec![value],
        other => return Err(unexpected(&other)),
    };
    let mut strings = Vec::with_capacity(many);
    for value in values {
        strings.push(string(value)?);
    }
    let mut strings = strings.into_iter();
    let value = strings.next().flatten().unwrap_or_default();
    Ok((value.into(), strings.map(|nonce| nonce.and_then(Nonce::new)).collect()))
}

/// Applies a push to what near copies were made of. Called by the connection's own task, in the order of the stream.
pub(super) fn pushed(push: &PushInfo, marks: &Marks, ended: &AtomicBool) {
    match (&push.kind, push.data.first()) {
        (PushKind::Invalidate, Some(Value::Array(names))) => {
            for name in names {
                if let Value::BulkString(name) = name {
                    marks.touch(name);
                }
            }
        }
        // FLUSHALL names nothing.
        (PushKind::Invalidate, _) => marks.touch_all(),
        (PushKind::Disconnection, _) => ended.store(true, Ordering::Release),
        _ => {}
    }
}

/// Asks a connection now and then, until no copy needs it any more, it is given up, or its cache is gone.
async fn attend(
    pool: Weak<Pool>,
    channel: Arc<Channel>,
    mut connection: MultiplexedConnection,
    bound: Duration,
) {
    while !channel.has_ended() {
        // Where replies have got out of step, an old one must not pass for this one's.
        let token = format!("{:016x}", fastrand::u64(..));
        let (mut ping, sent) = (::redis::cmd("PING"), Instant::now());
        ping.arg(&token);
        match timeout(bound, connection.send_packed_command(&ping)).await {
            Ok(Ok(Value::BulkString(said))) if said == token.as_bytes() => channel.prove(sent),
            _ => {
                // What it keeps to itself nobody knows.
                channel.end();
                if let Some(pool) = pool.upgrade() {
                    pool.end_tracking(&channel);
                }
                return;
            }
        }
        sleep(bound / PINGS_OF_A_BOUND).await;
        if pool.strong_count() == 0 || channel.is_needless(Instant::now()) {
            return;
        }
    }
}
