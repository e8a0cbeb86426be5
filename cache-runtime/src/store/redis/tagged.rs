//! What concerns tags: reads with their nonces, captures, the journal, invalidations.

use std::time::Duration;

use ::redis::Value;
use tokio::time::Instant;

use super::scripts::Says;
use super::{MOST_AT_ONCE, Redis, journal_bounds, scripts, string, unexpected};
use crate::freshness::millis;
use crate::journal::{Of, Position};
use crate::key::{Key, lane_of};
use crate::store::{StoreError, Touch, ValueAndNonces};
use crate::tags::{Nonce, Tag};

/// Longer than any body is waited for: a body that began before the journal ended is refused.
const JOURNAL_LIFE: Duration = Duration::from_secs(600);
/// Keys that a walk through the server asks for, and removes, at once.
const WALK: usize = 1000;

pub(super) fn journal(of: Of, namespace: &str) -> String {
    match of {
        Of::Tags => format!("{namespace}.journal"),
        Of::Keys => format!("{namespace}.journal.keys"),
    }
}

impl Redis {
    pub(crate) async fn read(
        &self,
        key: &Key,
        tags: &[Tag],
        deadline: Instant,
    ) -> Result<ValueAndNonces, StoreError> {
        if tags.is_empty() {
            return Ok((self.get(key, deadline).await?, Vec::new()));
        }
        let mut mget = ::redis::cmd("MGET");
        mget.arg(key.name());
        for tag in tags {
            mget.arg(tag.key());
        }
        let pool = self.link.pool()?;
        let lane = key.lane(pool.lanes());
        let mut values = match self.link.ask(&pool, lane, &mget, Says::List, deadline).await? {
            Value::Array(values) if values.len() == 1 + tags.len() => values.into_iter(),
            other => return Err(unexpected(&other)),
        };
        let value = string(values.next().unwrap_or(Value::Nil))?.unwrap_or_default();
        let nonces = values.map(|value| Ok(string(value)?.and_then(Nonce::new)));
        Ok((value, nonces.collect::<Result<_, StoreError>>()?))
    }

    pub(crate) async fn capture(
        &self,
        tags: &[Tag],
        random: &str,
        life: Duration,
        deadline: Instant,
    ) -> Result<Vec<Nonce>, StoreError> {
        let Some(first) = tags.first() else { return Ok(Vec::new()) };
        let pool = self.link.pool()?;
        let keys: Vec<&str> = tags.iter().map(Tag::key).collect();
        let life = millis(life).to_string();
        let args = [random.as_bytes(), life.as_bytes()];
        let lane = first.lane(pool.lanes());
        match self.link.script(&pool, lane, &scripts::CAPTURE, &keys, &args, deadline).await? {
            Value::Array(values) if values.len() == tags.len() => {
                let nonce = |value| {
                    string(value)?.and_then(Nonce::new).ok_or_else(|| {
                        StoreError::Server("what stands under a tag is no nonce".to_owned())
                    })
                };
                values.into_iter().map(nonce).collect()
            }
            other => Err(unexpected(&other)),
        }
    }

    pub(crate) async fn nonces(
        &self,
        tags: &[Tag],
        deadline: Instant,
    ) -> Result<Vec<Option<Nonce>>, StoreError> {
        let Some(first) = tags.first() else { return Ok(Vec::new()) };
        let pool = self.link.pool()?;
        let mut mget = ::redis::cmd("MGET");
        for tag in tags {
            mget.arg(tag.key());
        }
        let lane = first.lane(pool.lanes());
        match self.link.ask(&pool, lane, &mget, Says::List, deadline).await? {
            Value::Array(values) if values.len() == tags.len() => {
                values.into_iter().map(|value| Ok(string(value)?.and_then(Nonce::new))).collect()
            }
            other => Err(unexpected(&other)),
        }
    }

    pub(crate) async fn position(
        &self,
        of: Of,
        namespace: &str,
        random: &str,
        deadline: Instant,
    ) -> Result<Position, StoreError> {
        let life = millis(JOURNAL_LIFE).to_string();
        let args = [random.as_bytes(), life.as_bytes()];
        let journal = journal(of, namespace);
        let reply = self.of_journal(&journal, &scripts::POSITION, &[], &args, deadline).await?;
        let (identity, sequence, server_ms): (String, String, u64) =
            ::redis::from_redis_value(reply)
                .map_err(|_| StoreError::Server("unexpected reply about a journal".to_owned()))?;
        let sequence = sequence
            .parse()
            .map_err(|_| StoreError::Server("the journal has no sequence".to_owned()))?;
        Ok(Position { identity, sequence, server_ms })
    }

    pub(crate) async fn is_clean(
        &self,
        namespace: &str,
        since: &Position,
        tags: &[Tag],
        deadline: Instant,
    ) -> Result<bool, StoreError> {
        let names: Vec<&str> = tags.iter().map(Tag::name).collect();
        self.clean(&journal(Of::Tags, namespace), since, &names, false, deadline).await
    }

    pub(crate) async fn is_untouched(
        &self,
        namespace: &str,
        since: &Position,
        key: &Key,
        then_note: bool,
        deadline: Instant,
    ) -> Result<bool, StoreError> {
        self.clean(&journal(Of::Keys, namespace), since, &[key.name()], then_note, deadline).await
    }

    async fn clean(
        &self,
        journal: &str,
        since: &Position,
        names: &[&str],
        then_note: bool,
        deadline: Instant,
    ) -> Result<bool, StoreError> {
        let sequence = since.sequence.to_string();
        let [most, trimmed] = journal_bounds();
        let note: &[u8] = if then_note { b"note" } else { b"" };
        let mut args = vec![since.identity.as_bytes(), sequence.as_bytes()];
        args.extend([most.as_bytes(), trimmed.as_bytes(), note]);
        args.extend(names.iter().map(|name| name.as_bytes()));
        let script = if then_note { &scripts::CLEAN_AND_NOTE } else { &scripts::CLEAN };
        let reply = self.of_journal(journal, script, &[], &args, deadline).await?;
        Ok(reply == Value::Int(1))
    }

    pub(crate) async fn touch_tags(
        &self,
        namespace: &str,
        tags: &[Tag],
        touch: Touch,
        deadline: Instant,
    ) -> Result<(), StoreError> {
        let what: &[u8] = match touch {
            Touch::Invalidate => b"invalidate",
            Touch::Expire => b"expire",
        };
        let [most, trimmed] = journal_bounds();
        let journal = journal(Of::Tags, namespace);
        let mut outcome = Ok(());
        for tags in tags.chunks(MOST_AT_ONCE) {
            let keys: Vec<&str> = tags.iter().map(Tag::key).collect();
            let mut args = vec![what, most.as_bytes(), trimmed.as_bytes()];
            args.extend(tags.iter().map(|tag| tag.name().as_bytes()));
            let sent = self.of_journal(&journal, &scripts::TAGS, &keys, &args, deadline).await;
            // All are attempted, whatever becomes of the first.
            outcome = outcome.and(sent.map(drop));
        }
        outcome
    }

    /// Two walks. Whoever computes when this begins loses its lease in the first, unless it has
    /// committed by then, and then its entry is there before the second begins. The journals go before: what a body has
    /// at hand for other keys has no lease yet, and is refused from then on.
    pub(crate) async fn clear(&self, namespace: &str) -> Result<(), StoreError> {
        let mut del = ::redis::cmd("UNLINK");
        del.arg(&[Of::Tags, Of::Keys].map(|of| journal(of, namespace)));
        let pool = self.link.pool()?;
        self.link.send_invalidation(&pool, 0, &del, self.next_deadline()).await?;
        for _ in 0..2 {
            self.clear_what_matches(&format!("{namespace}:{{*")).await?;
        }
        self.clear_what_matches(&format!("{namespace}.tag:{{*")).await
    }

    async fn clear_what_matches(&self, pattern: &str) -> Result<(), StoreError> {
        let pool = self.link.pool()?;
        let mut cursor = "0".to_owned();
        loop {
            let mut scan = ::redis::cmd("SCAN");
            scan.arg(&cursor).arg("MATCH").arg(pattern).arg("COUNT").arg(WALK);
            let reply = self.link.send(&pool, 0, &scan, self.next_deadline()).await?;
            let (next, found): (String, Vec<Vec<u8>>) = ::redis::from_redis_value(reply)
                .map_err(|_| StoreError::Server("unexpected reply to a scan".to_owned()))?;
            for keys in found.chunks(WALK) {
                let mut unlink = ::redis::cmd("UNLINK");
                unlink.arg(keys);
                self.link.send_invalidation(&pool, 0, &unlink, self.next_deadline()).await?;
            }
            if next == "0" {
                return Ok(());
            }
            cursor = next;
        }
    }

    fn next_deadline(&self) -> Instant {
        Instant::now() + self.link.limits.deadline
    }

    async fn of_journal(
        &self,
        journal: &str,
        script: &scripts::Script,
        tags: &[&str],
        args: &[&[u8]],
        deadline: Instant,
    ) -> Result<Value, StoreError> {
        let pool = self.link.pool()?;
        let lane = lane_of(journal, pool.lanes());
        let mut keys = vec![journal];
        keys.extend(tags);
        self.link.script(&pool, lane, script, &keys, args, deadline).await
    }

    /// As a rehearsal of what values for other keys need: see `check`.
    pub(super) async fn rehearse_journal_of_keys(
        &self,
        namespace: &str,
        key: &Key,
        deadline: Instant,
    ) -> Result<(), StoreError> {
        let position = self.position(Of::Keys, namespace, "rehearsal", deadline).await?;
        self.is_untouched(namespace, &position, key, true, deadline).await.map(drop)
    }

    /// As a rehearsal of what tags need: see `check`.
    pub(super) async fn rehearse_tags(
        &self,
        namespace: &str,
        tags: &[Tag],
        deadline: Instant,
    ) -> Result<(), StoreError> {
        let position = self.position(Of::Tags, namespace, "rehearsal", deadline).await?;
        self.is_clean(namespace, &position, tags, deadline).await?;
        self.touch_tags(namespace, tags, Touch::Expire, deadline).await?;
        self.touch_tags(namespace, tags, Touch::Invalidate, deadline).await
    }
}
