//! What `build()` finds out of a server, so that what can't work is known before the first call.

use std::sync::Arc;
use std::time::Duration;

use tokio::time::Instant;

use super::connection::{Link, Order, Via};
use super::{Redis, Refusal};
use crate::by_hand::Boxed;
use crate::codec;
use crate::codec::compression::Compressed;
use crate::entry::{self, Judged, Label, Life, Written};
use crate::freshness::millis;
use crate::key::{Key, Piece, Segment};
use crate::store::{Claim, StoreError, Take};
use crate::tags::Tag;
use crate::together::together;

impl Redis {
    /// Connects every lane to every server, and has each run all that a computation asks of it, so that a wrong password
    /// or a missing permission is known before the first call.
    pub(crate) async fn check(&self, namespace: &str) -> Result<(), Refusal> {
        let checked = async {
            self.topology.find().await?;
            self.check_each(namespace, &self.topology.links()).await
        };
        let checked = checked.await;
        let Some(confirmation) = self.topology.confirmation() else { return checked };
        confirmation.begin();
        checked?;
        for link in &self.topology.links() {
            self.check_replicas(namespace, link).await?;
        }
        Ok(())
    }

    async fn check_each(&self, namespace: &str, links: &[Arc<Link>]) -> Result<(), Refusal> {
        let each = |link| -> Boxed<'_, _> { Box::pin(self.check_one(namespace, link)) };
        let mut unreachable = Ok(());
        for outcome in together(links.iter().map(each).collect()).await {
            match outcome {
                // What has to be mended goes before what may end by itself.
                Err(refusal @ Refusal::Unreachable(_)) => unreachable = Err(refusal),
                outcome => outcome?,
            }
        }
        unreachable
    }

    async fn check_one(&self, namespace: &str, link: &Arc<Link>) -> Result<(), Refusal> {
        let pool = link.pool().map_err(|error| Refusal::Unreachable(error.to_string()))?;
        link.connect_all(&pool).await?;
        let deadline = Instant::now() + link.limits.connect;
        let named = |number| probe(namespace, number);
        // Of a node whose slots are all on their way, nothing can be said.
        let key_at = self.topology.number_on(link, |number| named(number).name().to_owned());
        let tag_at =
            self.topology.number_on(link, |number| tag(namespace, number).key().to_owned());
        let (Some(key_at), Some(tag_at)) = (key_at, tag_at) else { return Ok(()) };
        let (probe, tag) = (named(key_at), tag(namespace, tag_at));
        let claim = Claim::Token("probe".to_owned());
        let probes = [
            self.get(probe.name(), deadline).await.map(drop),
            self.release(&probe, &claim, deadline).await,
        ];
        for probe in probes {
            match probe {
                Err(StoreError::Server(text)) => return Err(Refusal::from_text(text)),
                Err(error) => return Err(Refusal::Unreachable(error.to_string())),
                Ok(()) => {}
            }
        }
        if self.topology.is_cluster() {
            // Whose user may not say so never follows a key that is ahead of its slot. It is of one command only, and with
            // the next one it is over.
            link.inquire(&::redis::cmd("ASKING")).await?;
            link.inquire(&::redis::cmd("PING")).await?;
        }
        Self::warn_of_evictions(link).await;
        match self.rehearse(namespace, &probe, &[tag], deadline).await {
            Err(StoreError::Server(text)) => match Refusal::from_text(text) {
                refusal @ Refusal::Permission(_) => Err(refusal),
                // Out of memory, or a replica at the moment: that may end by itself.
                _ => Ok(()),
            },
            _ => Ok(()),
        }
    }

    /// What invalidations wait for, where replicas have to confirm them.
    async fn check_replicas(&self, namespace: &str, link: &Arc<Link>) -> Result<(), Refusal> {
        let deadline = Instant::now() + link.limits.deadline;
        let name = |number| probe(namespace, number).name().to_owned();
        let Some(number) = self.topology.number_on(link, name) else { return Ok(()) };
        let (ping, name) = (::redis::cmd("PING"), name(number));
        let (order, via) = (Order::Invalidation(&ping), Via::LaneOf(&name));
        match link.carry_out(&order, via, false, deadline).await {
            Err(StoreError::Server(text)) => match Refusal::from_text(text) {
                refusal @ Refusal::Permission(_) => Err(refusal),
                _ => Ok(()),
            },
            Err(error @ StoreError::Replicas { .. }) => {
                tracing::warn!(
                    target: "redis_cached", why = %error,
                    "invalidations are to be confirmed by replicas, and are errors for as long as too few of them do"
                );
                Ok(())
            }
            _ => Ok(()),
        }
    }

    /// Tags are keys too. A server that evicts them takes with each all entries that carry it.
    async fn warn_of_evictions(link: &Link) {
        let mut info = ::redis::cmd("INFO");
        info.arg("memory");
        // Who may not ask is not warned.
        let Ok(reply) = link.inquire(&info).await else { return };
        let Ok(info) = ::redis::from_redis_value::<String>(reply) else { return };
        let said = |name: &str| info.lines().find_map(|line| line.strip_prefix(name)).unwrap_or("");
        let policy = said("maxmemory_policy:");
        if said("maxmemory:") != "0" && !matches!(policy, "" | "noeviction") {
            tracing::warn!(
                target: "redis_cached", policy,
                "the server evicts keys when its memory is full, the nonces of tags among them: all entries with \
                 such a tag are then computed anew, and none is served that should not be; give it enough \
                 `maxmemory`, and prefer `allkeys-lfu` or `volatile-ttl`, which spare what is read or lives long"
            );
        }
    }

    /// One computation of nothing, since scripts run only as far as their user's permissions.
    async fn rehearse(
        &self,
        namespace: &str,
        probe: &Key,
        tags: &[Tag],
        deadline: Instant,
    ) -> Result<(), StoreError> {
        let life = Duration::from_secs(1);
        // What a rehearsal that failed a moment ago has left would cut this one short.
        let probes = std::slice::from_ref(probe);
        self.invalidate(namespace, probes, deadline).await?;
        let taken = self.take(probe, &Judged::ABSENT, "rehearsal", life, deadline).await?;
        let Take::Granted(granted) = taken else { return Ok(()) };
        self.renew(probe, &granted.content, life, deadline).await?;
        let born_at = granted.server_ms;
        let ttl_end = born_at + millis(life);
        let label = Label {
            life: Life { born_at, due_at: ttl_end, ttl_end, end: ttl_end },
            fingerprint: 0,
            key: probe,
            written: Written { codec: codec::Id::Bincode, is_error: false },
            compressed: Compressed::Not,
            none: false,
            stamps: &[],
            integrity: None,
        };
        let sealed = entry::seal(&label, &[]);
        self.commit(probe, &granted.content, &sealed, false, deadline).await?;
        self.expire(namespace, probe, deadline).await?;
        self.remaining(probe, deadline).await?;
        self.invalidate(namespace, probes, deadline).await?;
        self.rehearse_journal_of_keys(namespace, probe, deadline).await?;
        self.capture(tags, "rehearsal", life, deadline).await?;
        // Once more, for what is done to a nonce that is there already.
        self.capture(tags, "rehearsal", life, deadline).await?;
        self.read(probe, tags, deadline).await?;
        self.rehearse_tags(namespace, tags, deadline).await
    }
}

/// No key of anybody: behind a `%` of theirs stand two hexadecimal digits.
const PROBE: &str = "%probe";

fn probe(namespace: &str, number: u32) -> Key {
    let segments = [Segment(Piece::Literal(PROBE)), Segment(Piece::Value(&number))];
    Key::render(namespace, &segments).expect("a number can be written")
}

fn tag(namespace: &str, number: u32) -> Tag {
    Tag::stamped(namespace, &format!("{PROBE}{number}"))
}
