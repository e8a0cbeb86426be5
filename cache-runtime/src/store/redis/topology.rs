//! Which server has a key: the only one, or in a cluster the master of its slot.

use std::collections::HashMap;
use std::sync::Arc;

use ::redis::{ConnectionInfo, RedisError, Value};
use tokio::time::Instant;

use super::super::StoreError;
use super::batch::Values;
use super::cluster::Cluster;
use super::connection::{Limits, Link, Order, Pool, Via};
use super::endpoint::Location;
use super::replicas::Confirmation;
use super::{Refusal, slots};
use crate::by_hand::Boxed;
use crate::config::Tls;
use crate::together::together;

/// So many requests of one step are on their way to one node at once.
const AT_ONCE: usize = 64;

pub(super) enum Topology {
    One(Arc<Link>),
    Cluster(Arc<Cluster>),
}

impl Topology {
    pub(super) fn one(
        at: Location,
        limits: Limits,
        tls: &Tls,
        confirmation: Option<Confirmation>,
    ) -> Result<Self, RedisError> {
        Ok(Self::One(Arc::new(Link::new(at, limits, tls, confirmation)?)))
    }

    /// One that is asked at these nodes where its slots are.
    pub(super) fn cluster(
        seeds: Vec<ConnectionInfo>,
        limits: Limits,
        tls: &Tls,
        confirmation: Option<Confirmation>,
    ) -> Result<Self, RedisError> {
        Ok(Self::Cluster(Arc::new(Cluster::new(seeds, limits, tls, confirmation)?)))
    }

    /// What invalidations wait for, if for anything: the same on all nodes of a cluster.
    pub(super) fn confirmation(&self) -> Option<&Confirmation> {
        match self {
            Self::One(link) => link.confirmation(),
            Self::Cluster(cluster) => cluster.confirmation.as_ref(),
        }
    }

    pub(super) fn limits(&self) -> Limits {
        match self {
            Self::One(link) => link.limits,
            Self::Cluster(cluster) => cluster.limits,
        }
    }

    /// Whether keys that do not belong together may lie on different servers, which have clocks of their own.
    pub(super) fn is_cluster(&self) -> bool {
        matches!(self, Self::Cluster(_))
    }

    /// Whether all that it says of the time can be compared. Of a service another server may take over, with a clock of
    /// its own.
    pub(super) fn has_one_clock(&self) -> bool {
        matches!(self, Self::One(link) if !link.may_change_servers())
    }

    /// Has something done by the server that has this key.
    pub(super) async fn carry_out(
        &self,
        name: &str,
        order: Order<'_>,
        deadline: Instant,
    ) -> Result<Value, StoreError> {
        self.answered(name, order, Via::LaneOf(name), deadline).await.map(|(value, _)| value)
    }

    /// As [`carry_out`](Self::carry_out), and tells by whom it was.
    pub(super) async fn answered(
        &self,
        name: &str,
        order: Order<'_>,
        via: Via<'_>,
        deadline: Instant,
    ) -> Result<(Value, Arc<Pool>), StoreError> {
        match self {
            Self::One(link) => {
                link.carry_out(&order, via, false, deadline).await.map_err(explained)
            }
            Self::Cluster(cluster) => {
                if let Order::Script { keys, .. } = order {
                    debug_assert!(
                        keys.iter().all(|key| slots::slot_of(key) == slots::slot_of(name)),
                        "a script has keys of several slots"
                    );
                }
                cluster.carry_out(name, order, via, deadline).await
            }
        }
    }

    /// Reads what is stored under these names: by one command, or where they lie on different nodes one for each.
    ///
    /// Those are not read at one moment, and need not be. Each is sent when the call has begun, so each sees what was
    /// invalidated before: if that was a tag of the value, its nonce is gone; if it was the key, the value is. What
    /// changes between the reads was not acknowledged when the call began. And a value that is read before its tag is
    /// invalidated and captured anew does not match the new nonce.
    pub(super) async fn read(
        &self,
        name: &str,
        more: &[&str],
        deadline: Instant,
    ) -> Result<Values, StoreError> {
        match self {
            Self::One(link) => link.read(name, more, deadline).await.map_err(explained),
            Self::Cluster(cluster) => self.read_each(cluster, name, more, deadline).await,
        }
    }

    /// Boxed: reads from a single server need no room for it.
    fn read_each<'r>(
        &'r self,
        cluster: &'r Arc<Cluster>,
        name: &'r str,
        more: &'r [&'r str],
        deadline: Instant,
    ) -> Boxed<'r, Result<Values, StoreError>> {
        Box::pin(async move {
            if more.is_empty() {
                return Ok((cluster.read(name, deadline).await?, Vec::new()));
            }
            let names: Vec<&str> = [name].into_iter().chain(more.iter().copied()).collect();
            let read = |name: &&'r str| -> Boxed<'_, _> { Box::pin(cluster.read(name, deadline)) };
            let mut values = self.each(&names, |name| name, read).await.into_iter();
            let first = values.next().transpose()?.flatten();
            Ok((first, values.collect::<Result<_, _>>()?))
        })
    }

    /// Has something done about each of these keys, side by side, and says what each has come to, in their order. Of a
    /// node that does not answer only what is there waits for it.
    pub(super) async fn each<'a, V: Sync, T: Send + 'a>(
        &self,
        values: &'a [V],
        name: impl Fn(&V) -> &str,
        done: impl Fn(&'a V) -> Boxed<'a, Result<T, StoreError>> + Sync,
    ) -> Vec<Result<T, StoreError>> {
        let mut nodes: HashMap<Option<usize>, Vec<(usize, &'a V)>> = HashMap::new();
        for (at, value) in values.iter().enumerate() {
            // Few go out together, wherever they are.
            let node = (values.len() > AT_ONCE).then(|| self.link_of(name(value)).ok());
            let node = node.flatten().map(|link| Arc::as_ptr(&link).addr());
            nodes.entry(node).or_default().push((at, value));
        }
        let of_node = |values: Vec<(usize, &'a V)>| -> Boxed<'_, _> {
            let done = &done;
            Box::pin(async move {
                let mut outcomes = Vec::with_capacity(values.len());
                for values in values.chunks(AT_ONCE) {
                    let one = |&(at, value): &(usize, &'a V)| -> Boxed<'a, _> {
                        let done = done(value);
                        Box::pin(async move { (at, done.await) })
                    };
                    outcomes.extend(together(values.iter().map(one).collect()).await);
                }
                outcomes
            })
        };
        let of_nodes = together(nodes.into_values().map(of_node).collect()).await;
        let mut outcomes: Vec<_> = of_nodes.into_iter().flatten().collect();
        outcomes.sort_unstable_by_key(|(at, _)| *at);
        outcomes.into_iter().map(|(_, outcome)| outcome).collect()
    }

    /// What the server that has this key is reached by.
    pub(super) fn link_of(&self, name: &str) -> Result<Arc<Link>, StoreError> {
        match self {
            Self::One(link) => Ok(Arc::clone(link)),
            Self::Cluster(cluster) => cluster.link_of(slots::slot_of(name)),
        }
    }

    /// All that have keys.
    pub(super) fn links(&self) -> Vec<Arc<Link>> {
        match self {
            Self::One(link) => vec![Arc::clone(link)],
            Self::Cluster(cluster) => cluster.links(),
        }
    }

    /// The same, where none may be left out that has come meanwhile.
    pub(super) async fn links_by_now(&self) -> Result<Vec<Arc<Link>>, StoreError> {
        if let Self::Cluster(cluster) = self {
            let found = cluster.find().await;
            found.map_err(|refusal| StoreError::Unconnected(refusal.text()))?;
        }
        Ok(self.links())
    }

    /// Whether all of them answer.
    pub(super) async fn ping(&self, deadline: Instant) -> Result<(), StoreError> {
        let links = self.links();
        let ping = ::redis::cmd("PING");
        let each = |link: &Arc<Link>| -> Boxed<'_, _> {
            let (ping, link) = (&ping, Arc::clone(link));
            Box::pin(async move {
                let (order, via) = (Order::Question(ping), Via::LaneOf(""));
                link.carry_out(&order, via, false, deadline).await.map(drop)
            })
        };
        let answered = if links.is_empty() {
            Err(StoreError::Unconnected("no node of the cluster is known".to_owned()))
        } else {
            together(links.iter().map(each).collect()).await.into_iter().collect()
        };
        if let (Self::Cluster(cluster), Err(_)) = (self, &answered) {
            cluster.refresh_behind();
        }
        answered
    }

    /// Finds out where they are, for `build()`, and whether they are what the url says.
    pub(super) async fn find(&self) -> Result<(), Refusal> {
        match self {
            Self::One(link) => {
                let said = link.inquire(&::redis::cmd("HELLO")).await?;
                if says_of_mode(&said, b"cluster") {
                    return Err(Refusal::Url(
                        "the server is a node of a cluster: write `redis-cluster://`, or `rediss-cluster://`",
                    ));
                }
                Ok(())
            }
            Self::Cluster(cluster) => cluster.find().await.map(drop),
        }
    }

    /// A number for which this name is a key of this server.
    pub(super) fn number_on(&self, link: &Arc<Link>, name: impl Fn(u32) -> String) -> Option<u32> {
        match self {
            Self::One(_) => Some(0),
            Self::Cluster(cluster) => {
                let mut numbers = 0..1 << 20;
                numbers.find(|&number| cluster.is_on(slots::slot_of(&name(number)), link))
            }
        }
    }
}

fn says_of_mode(hello: &Value, mode: &[u8]) -> bool {
    let Value::Map(said) = hello else { return false };
    let is =
        |value: &Value, text: &[u8]| matches!(value, Value::BulkString(bytes) if bytes == text);
    said.iter().any(|(name, value)| is(name, b"mode") && is(value, mode))
}

/// A node of a cluster that was not there yet when the cache was built can still be met.
fn explained(error: StoreError) -> StoreError {
    match error {
        StoreError::Server(text)
            if ["MOVED ", "ASK ", "CLUSTERDOWN", "CROSSSLOT"]
                .iter()
                .any(|code| text.starts_with(code)) =>
        {
            StoreError::Server(format!(
                "{text}; the server is a node of a cluster: write `redis-cluster://` in the url"
            ))
        }
        error => error,
    }
}
