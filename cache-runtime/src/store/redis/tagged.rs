//! What concerns tags: reads with their nonces, captures, the journal, invalidations.

use std::time::Duration;

use ::redis::Value;
use tokio::time::Instant;

use super::connection::{Order, Via};
use super::scripts::Says;
use super::{MOST_AT_ONCE, Noted, Redis, journal_bounds, journal_of, scripts, string, unexpected};
use crate::by_hand::Boxed;
use crate::freshness::millis;
use crate::journal::{Of, Position};
use crate::key::Key;
use crate::store::{StoreError, Touch, ValueAndNonces};
use crate::tags::{Nonce, Tag};

/// Longer than any body is waited for: a body that began before the journal ended is refused.
const JOURNAL_LIFE: Duration = Duration::from_secs(600);
/// Keys that a walk through the server asks for, and removes, at once.
const WALK: usize = 1000;

impl Redis {
    pub(crate) async fn read(
        &self,
        key: &Key,
        tags: &[Tag],
        deadline: Instant,
    ) -> Result<ValueAndNonces, StoreError> {
        if tags.is_empty() {
            return Ok((self.get(key.name(), deadline).await?.unwrap_or_default(), Vec::new()));
        }
        let mut names = vec![key.name()];
        names.extend(tags.iter().map(Tag::key));
        let mut values = self.strings(&names, deadline).await?.into_iter();
        let value = values.next().flatten().unwrap_or_default();
        Ok((value, values.map(|value| value.and_then(Nonce::new)).collect()))
    }

    /// What is stored under each of these: one command, or where they lie on different nodes one for each.
    ///
    /// Those are not read at one moment, and need not be. Each is sent when the call has begun, so each sees what was
    /// invalidated before: if that was a tag of the value, its nonce is gone; if it was the key, the value is. What
    /// changes between the reads was not acknowledged when the call began. And a value that is read before its tag is
    /// invalidated and captured anew does not match the new nonce.
    pub(super) async fn strings(
        &self,
        names: &[&str],
        deadline: Instant,
    ) -> Result<Vec<Option<Vec<u8>>>, StoreError> {
        if self.topology.is_cluster() {
            let got =
                self.topology.each(names, |name| name, |name| Box::pin(self.get(name, deadline)));
            return got.await.into_iter().collect();
        }
        let mut mget = ::redis::cmd("MGET");
        mget.arg(names);
        match self.ask(names[0], &mget, Says::List, deadline).await? {
            Value::Array(values) if values.len() == names.len() => {
                values.into_iter().map(string).collect()
            }
            other => Err(unexpected(&other)),
        }
    }

    pub(crate) async fn capture(
        &self,
        tags: &[Tag],
        random: &str,
        life: Duration,
        deadline: Instant,
    ) -> Result<Vec<Nonce>, StoreError> {
        if !self.topology.is_cluster() {
            return self.capture_together(tags, random, life, deadline).await;
        }
        // All of them before the body, in whatever order.
        let capture = |tag| -> Boxed<'_, _> {
            Box::pin(self.capture_together(std::slice::from_ref(tag), random, life, deadline))
        };
        let captured = self.topology.each(tags, Tag::key, capture).await;
        captured.into_iter().collect::<Result<Vec<_>, _>>().map(|nonces| nonces.concat())
    }

    async fn capture_together(
        &self,
        tags: &[Tag],
        random: &str,
        life: Duration,
        deadline: Instant,
    ) -> Result<Vec<Nonce>, StoreError> {
        let Some(first) = tags.first() else { return Ok(Vec::new()) };
        let keys: Vec<&str> = tags.iter().map(Tag::key).collect();
        let life = millis(life).to_string();
        let args = [random.as_bytes(), life.as_bytes()];
        let order = Order::Script { script: &scripts::CAPTURE, keys: &keys, args: &args };
        match self.topology.carry_out(first.key(), order, deadline).await? {
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
        if tags.is_empty() {
            return Ok(Vec::new());
        }
        let names: Vec<&str> = tags.iter().map(Tag::key).collect();
        let values = self.strings(&names, deadline).await?;
        Ok(values.into_iter().map(|value| value.and_then(Nonce::new)).collect())
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
        let journal = journal_of(of, namespace);
        let reply = self.of_journal(&journal, &scripts::POSITION, &args, deadline).await?;
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
        self.clean(&journal_of(Of::Tags, namespace), since, &names, false, deadline).await
    }

    pub(crate) async fn is_untouched(
        &self,
        namespace: &str,
        since: &Position,
        key: &Key,
        then_note: bool,
        deadline: Instant,
    ) -> Result<bool, StoreError> {
        self.clean(&journal_of(Of::Keys, namespace), since, &[key.name()], then_note, deadline)
            .await
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
        let reply = self.of_journal(journal, script, &args, deadline).await?;
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
        let journal = journal_of(Of::Tags, namespace);
        let mut outcome = Ok(());
        for tags in tags.chunks(MOST_AT_ONCE) {
            let names: Vec<&str> = tags.iter().map(Tag::name).collect();
            // All are attempted, whatever becomes of the first.
            let sent = match self.note_apart(&journal, &names, deadline).await {
                Ok(Noted::ByTheScript) => self.touch(tags, what, Some(&journal), deadline).await,
                Ok(Noted::Apart) => self.touch_each(tags, what, deadline).await,
                // What is not noted is not final, and better touched than not.
                Err(error) => {
                    self.touch_each(tags, what, self.again(deadline)).await.and(Err(error))
                }
            };
            outcome = outcome.and(sent);
        }
        outcome
    }

    /// Hardly any two tags share a slot.
    async fn touch_each(
        &self,
        tags: &[Tag],
        what: &[u8],
        deadline: Instant,
    ) -> Result<(), StoreError> {
        let touch = |tag| -> Boxed<'_, _> {
            Box::pin(self.touch(std::slice::from_ref(tag), what, None, deadline))
        };
        self.topology.each(tags, Tag::key, touch).await.into_iter().collect()
    }

    async fn touch(
        &self,
        tags: &[Tag],
        what: &[u8],
        journal: Option<&str>,
        deadline: Instant,
    ) -> Result<(), StoreError> {
        let bounds = journal_bounds();
        let mut keys: Vec<&str> = tags.iter().map(Tag::key).collect();
        let mut args = vec![what];
        if let Some(journal) = journal {
            keys.push(journal);
            args.extend(bounds.iter().map(String::as_bytes));
            args.extend(tags.iter().map(|tag| tag.name().as_bytes()));
        }
        let order = Order::Script { script: &scripts::TAGS, keys: &keys, args: &args };
        // With a journal all of them go by its lane, and one behind the other.
        let name = journal.unwrap_or(keys[0]);
        self.topology.carry_out(name, order, deadline).await.map(drop)
    }

    /// Two walks. Whoever computes when this begins loses its lease in the first, unless it has
    /// committed by then, and then its entry is there before the second begins. The journals go before: what a body has
    /// at hand for other keys has no lease yet, and is refused from then on.
    ///
    /// In a cluster once more: a slot may move behind one of the walks, from a node that it has not come to to one that it
    /// has been at.
    pub(crate) async fn clear(&self, namespace: &str) -> Result<(), StoreError> {
        let journals = [Of::Tags, Of::Keys].map(|of| journal_of(of, namespace));
        self.unlink(&journals).await?;
        let once_more = usize::from(self.topology.is_cluster());
        for _ in 0..2 + once_more {
            self.clear_what_matches(&format!("{namespace}:{{*")).await?;
        }
        for _ in 0..=once_more {
            self.clear_what_matches(&format!("{namespace}.tag:{{*")).await?;
        }
        Ok(())
    }

    async fn clear_what_matches(&self, pattern: &str) -> Result<(), StoreError> {
        for link in self.topology.links_by_now().await? {
            let mut cursor = "0".to_owned();
            loop {
                let mut scan = ::redis::cmd("SCAN");
                scan.arg(&cursor).arg("MATCH").arg(pattern).arg("COUNT").arg(WALK);
                let (order, via) = (Order::Read(&scan, Says::List), Via::LaneOf(pattern));
                let (reply, _) = link.carry_out(&order, via, false, self.next_deadline()).await?;
                let (next, found): (String, Vec<Vec<u8>>) = ::redis::from_redis_value(reply)
                    .map_err(|_| StoreError::Server("unexpected reply to a scan".to_owned()))?;
                // What is no text is not of this crate.
                let found: Vec<String> =
                    found.into_iter().filter_map(|name| String::from_utf8(name).ok()).collect();
                self.unlink(&found).await?;
                if next == "0" {
                    break;
                }
                cursor = next;
            }
        }
        Ok(())
    }

    async fn unlink(&self, names: &[String]) -> Result<(), StoreError> {
        if self.topology.is_cluster() {
            let unlink = |name| -> Boxed<'_, _> {
                Box::pin(self.unlink_together(std::slice::from_ref(name)))
            };
            return self.topology.each(names, String::as_str, unlink).await.into_iter().collect();
        }
        self.unlink_together(names).await
    }

    async fn unlink_together(&self, names: &[String]) -> Result<(), StoreError> {
        let Some(first) = names.first() else { return Ok(()) };
        let mut unlink = ::redis::cmd("UNLINK");
        unlink.arg(names);
        let order = Order::Invalidation(&unlink);
        self.topology.carry_out(first, order, self.next_deadline()).await.map(drop)
    }

    fn next_deadline(&self) -> Instant {
        Instant::now() + self.topology.limits().deadline
    }

    async fn of_journal(
        &self,
        journal: &str,
        script: &scripts::Script,
        args: &[&[u8]],
        deadline: Instant,
    ) -> Result<Value, StoreError> {
        let order = Order::Script { script, keys: &[journal], args };
        self.topology.carry_out(journal, order, deadline).await
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
