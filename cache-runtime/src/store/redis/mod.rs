//! The steps of the protocol as Redis commands. Redis 7 or later.

mod batch;
mod breaker;
mod check;
mod cluster;
mod connection;
mod endpoint;
mod epoch;
mod many;
mod near;
mod reads;
mod replicas;
mod scripts;
mod sentinel;
mod sentinel_url;
mod slots;
mod tagged;
mod tls;
mod topology;
mod watch;

use std::time::Duration;

use ::redis::{Cmd, ConnectionInfo, Value};
use bytes::Bytes;
use tokio::time::Instant;

use super::{
    Claim, Commit, FIRST_PASS, Granted, Old, Polling, Seize, StoreError, Take, Waited, lease_text,
};
use crate::by_hand::Boxed;
use crate::config::Tls;
use crate::entry::{self, Judged};
use crate::freshness::millis;
use crate::journal::{self, Of};
use crate::key::Key;
pub(crate) use connection::Limits;
use connection::{Order, Via};
pub(crate) use endpoint::Location;
pub(crate) use near::{Telling, Tracked};
pub(crate) use replicas::Confirm;
use replicas::Confirmation;
use scripts::{Says, Script};
pub(crate) use sentinel_url::Service;
use topology::Topology;

/// Commits of large values get this much more time for each byte: 10 MB/s.
const NANOS_PER_BYTE: u64 = 100;

/// Tags or keys of one request; more go out in several.
const MOST_AT_ONCE: usize = 1000;

pub(crate) struct Redis {
    topology: Topology,
}

impl Redis {
    pub(crate) fn one(
        at: Location,
        limits: Limits,
        tls: &Tls,
        confirm: Option<Confirm>,
        namespace: &str,
    ) -> Result<Self, ::redis::RedisError> {
        let confirmation = confirm.map(|confirm| Confirmation::new(confirm, namespace, false));
        Ok(Self { topology: Topology::one(at, limits, tls, confirmation)? })
    }

    /// A cluster, which is asked at these nodes where its slots are.
    pub(crate) fn cluster(
        seeds: Vec<ConnectionInfo>,
        limits: Limits,
        tls: &Tls,
        confirm: Option<Confirm>,
        namespace: &str,
    ) -> Result<Self, ::redis::RedisError> {
        let confirmation = confirm.map(|confirm| Confirmation::new(confirm, namespace, true));
        Ok(Self { topology: Topology::cluster(seeds, limits, tls, confirmation)? })
    }

    /// Whether what one key says of the time can be compared with what another says.
    pub(crate) fn has_one_clock(&self) -> bool {
        self.topology.has_one_clock()
    }

    async fn get(&self, name: &str, deadline: Instant) -> Result<Option<Bytes>, StoreError> {
        let mut get = ::redis::cmd("GET");
        get.arg(name);
        string(self.ask(name, &get, Says::Value, deadline).await?)
            .map(|value| value.map(Bytes::from))
    }

    pub(crate) async fn take(
        &self,
        key: &Key,
        judged: &Judged,
        token: &str,
        lock_ttl: Duration,
        deadline: Instant,
    ) -> Result<Take, StoreError> {
        let keys = [key.name(), &key.lease()];
        let length = judged.length.to_string();
        let life = millis(lock_ttl).to_string();
        let args: [&[u8]; 4] =
            [judged.head(), length.as_bytes(), token.as_bytes(), life.as_bytes()];
        let (status, content, server_ms) =
            self.lease_reply(key, &scripts::TAKE, &keys, &args, deadline).await?;
        match status.as_str() {
            "granted" => Ok(Take::Granted(Granted { content, server_ms })),
            "changed" => Ok(Take::Changed),
            "held" => Ok(Take::Held(content)),
            "pass" => {
                let said = lease_text::parse_pass(&content);
                Ok(Take::Pass(said.map_or(Old::Stays, |(_, _, old)| old)))
            }
            other => Err(StoreError::Server(format!("unknown reply {other:?} to a take"))),
        }
    }

    pub(crate) async fn seize(
        &self,
        namespace: &str,
        key: &Key,
        token: &str,
        lock_ttl: Duration,
        what_for: Seize<'_>,
        deadline: Instant,
    ) -> Result<Option<Granted>, StoreError> {
        let (mut keys, mut args) = (vec![key.lease()], vec![token.to_owned()]);
        args.push(millis(lock_ttl).to_string());
        match what_for {
            Seize::Newer(Some(version)) => {
                keys.push(version.key.clone());
                args.extend([version.text(), millis(version.life).to_string()]);
            }
            Seize::Newer(None) | Seize::Judged => args.extend([String::new(), String::new()]),
        }
        if let Seize::Newer(_) = what_for {
            let journal = journal_of(Of::Keys, namespace);
            if self.note_apart(&journal, &[key.name()], deadline).await? == Noted::ByTheScript {
                keys.push(journal);
                args.extend(journal_bounds());
                args.push(key.name().to_owned());
            }
        }
        let keys: Vec<&str> = keys.iter().map(String::as_str).collect();
        let args: Vec<&[u8]> = args.iter().map(String::as_bytes).collect();
        let (status, content, server_ms) =
            self.lease_reply(key, &scripts::SEIZE, &keys, &args, deadline).await?;
        Ok((status == "granted").then_some(Granted { content, server_ms }))
    }

    /// Asks for a lease, to be given only while somebody waits for it: one that is given later, by a server that stood
    /// still, is in everybody's way for as long as a lease lives.
    async fn lease_reply(
        &self,
        key: &Key,
        script: &Script,
        keys: &[&str],
        args: &[&[u8]],
        deadline: Instant,
    ) -> Result<(String, String, u64), StoreError> {
        let waits = deadline.saturating_duration_since(Instant::now());
        let latest = self.latest_now(key).map(|now| now.saturating_add(millis(waits)));
        let reply = self.lease_reply_by(latest, key, script, keys, args, deadline).await?;
        if reply.0 != "late" {
            return Ok(reply);
        }
        // The reply is here, and so in time: what was known of the server's clock was wrong, or it is another server.
        self.lease_reply_by(None, key, script, keys, args, deadline).await
    }

    /// Every reply that names the server's time also sets the clock.
    async fn lease_reply_by(
        &self,
        latest: Option<u64>,
        key: &Key,
        script: &Script,
        keys: &[&str],
        args: &[&[u8]],
        deadline: Instant,
    ) -> Result<(String, String, u64), StoreError> {
        let latest = latest.map_or_else(String::new, |latest| latest.to_string());
        let args = [&[latest.as_bytes()], args].concat();
        let sent = Instant::now();
        let (order, via) = (Order::Script { script, keys, args: &args }, Via::LaneOf(key.name()));
        let (reply, pool) = self.topology.answered(key.name(), order, via, deadline).await?;
        let parsed: (String, String, u64) = ::redis::from_redis_value(reply)
            .map_err(|_| StoreError::Server("unexpected reply about a lease".to_owned()))?;
        if parsed.0 == "late" {
            pool.clock.forget();
        }
        pool.clock.sample(sent, parsed.2);
        Ok(parsed)
    }

    pub(crate) async fn renew(
        &self,
        key: &Key,
        content: &str,
        lock_ttl: Duration,
        deadline: Instant,
    ) -> Result<bool, StoreError> {
        let life = millis(lock_ttl).to_string();
        let args = [content.as_bytes(), life.as_bytes()];
        let reply = self.script(key, &scripts::RENEW, &[&key.lease()], &args, deadline).await?;
        Ok(reply == Value::Int(1))
    }

    pub(crate) async fn commit(
        &self,
        key: &Key,
        content: &str,
        sealed: &[u8],
        alone: bool,
        deadline: Instant,
    ) -> Result<Commit, StoreError> {
        let _touching = self.touching(std::iter::once(key.name()));
        let deadline = deadline + Duration::from_nanos(sealed.len() as u64 * NANOS_PER_BYTE);
        let keys = [key.name(), &key.lease()];
        let fingerprint = entry::fingerprint_of(sealed).to_le_bytes();
        let alone: &[u8] = if alone { b"alone" } else { b"" };
        let args: [&[u8]; 4] = [content.as_bytes(), sealed, &fingerprint, alone];
        let reply = self.script(key, &scripts::COMMIT, &keys, &args, deadline).await?;
        match &reply {
            Value::BulkString(text) if text == b"stored" => Ok(Commit::Stored),
            Value::BulkString(text) if text == b"refused" => Ok(Commit::Refused),
            Value::BulkString(text) if text == b"late" => Ok(Commit::Late),
            other => Err(unexpected(other)),
        }
    }

    pub(crate) async fn pass(
        &self,
        key: &Key,
        content: &str,
        longest: Duration,
        old: Old,
        deadline: Instant,
    ) -> Result<bool, StoreError> {
        let _touching = (old == Old::Goes).then(|| self.touching(std::iter::once(key.name())));
        let first = millis(FIRST_PASS).to_string();
        let longest = millis(longest).to_string();
        let says = old.text().as_bytes();
        let args = [content.as_bytes(), first.as_bytes(), longest.as_bytes(), says];
        let lease = key.lease();
        // Without the value it can be done while the slot is being moved.
        let keys: &[&str] = if old == Old::Goes { &[&lease, key.name()] } else { &[&lease] };
        let reply = self.script(key, &scripts::PASS, keys, &args, deadline).await?;
        Ok(reply == Value::Int(1))
    }

    pub(crate) async fn release(
        &self,
        key: &Key,
        claim: &Claim,
        deadline: Instant,
    ) -> Result<(), StoreError> {
        let (text, beginning) = match claim {
            Claim::Content(content) => (content, b"0"),
            Claim::Token(token) => (token, b"1"),
        };
        let args: [&[u8]; 2] = [text.as_bytes(), beginning];
        self.script(key, &scripts::RELEASE, &[&key.lease()], &args, deadline).await.map(drop)
    }

    pub(crate) async fn remove(
        &self,
        key: &Key,
        judged: &Judged,
        deadline: Instant,
    ) -> Result<(), StoreError> {
        let _touching = self.touching(std::iter::once(key.name()));
        let length = judged.length.to_string();
        let args = [judged.head(), length.as_bytes()];
        let reply = self.script(key, &scripts::REMOVE, &[key.name()], &args, deadline).await?;
        if reply == Value::Int(0) {
            // It is not there: what was read was another key's, or somebody was quicker.
            self.topology.link_of(key.name())?.pool()?.distrust_reads();
        }
        Ok(())
    }

    pub(crate) async fn invalidate(
        &self,
        namespace: &str,
        keys: &[Key],
        deadline: Instant,
    ) -> Result<(), StoreError> {
        let _touching = self.touching(keys.iter().map(Key::name));
        let journal = journal_of(Of::Keys, namespace);
        let mut outcome = Ok(());
        for keys in keys.chunks(MOST_AT_ONCE) {
            let names: Vec<&str> = keys.iter().map(Key::name).collect();
            // All are attempted, whatever becomes of the first.
            let sent = match self.note_apart(&journal, &names, deadline).await {
                Ok(Noted::ByTheScript) => self.invalidate_by_script(&journal, keys, deadline).await,
                Ok(Noted::Apart) => self.delete_each(keys, deadline).await,
                // What is not noted is not final, and better deleted than not.
                Err(error) => self.delete_each(keys, self.again(deadline)).await.and(Err(error)),
            };
            outcome = outcome.and(sent);
        }
        outcome
    }

    async fn invalidate_by_script(
        &self,
        journal: &str,
        keys: &[Key],
        deadline: Instant,
    ) -> Result<(), StoreError> {
        let bounds = journal_bounds();
        let args = bounds.each_ref().map(String::as_bytes);
        let leases: Vec<String> = keys.iter().map(Key::lease).collect();
        let mut names = vec![journal];
        for (key, lease) in keys.iter().zip(&leases) {
            names.extend([lease, key.name()]);
        }
        self.script(&keys[0], &scripts::INVALIDATE, &names, &args, deadline).await.map(drop)
    }

    /// Hardly any two keys share a slot, so each is deleted by a command of its own.
    async fn delete_each(&self, keys: &[Key], deadline: Instant) -> Result<(), StoreError> {
        let delete = |key| -> Boxed<'_, _> { Box::pin(self.delete(key, deadline)) };
        self.topology.each(keys, Key::name, delete).await.into_iter().collect()
    }

    async fn delete(&self, key: &Key, deadline: Instant) -> Result<(), StoreError> {
        let lease = key.lease();
        let delete = async |names: &[&str]| {
            let mut del = ::redis::cmd("DEL");
            del.arg(names);
            self.topology.carry_out(key.name(), Order::Invalidation(&del), deadline).await.map(drop)
        };
        match delete(&[&lease, key.name()]).await {
            // One behind the other: a value that is gone could come back by a lease that is there still.
            Err(StoreError::Moving) => {
                delete(&[&lease]).await?;
                delete(&[key.name()]).await
            }
            deleted => deleted,
        }
    }

    pub(crate) async fn expire(
        &self,
        namespace: &str,
        key: &Key,
        deadline: Instant,
    ) -> Result<(), StoreError> {
        let _touching = self.touching(std::iter::once(key.name()));
        let (lease, journal) = (key.lease(), journal_of(Of::Keys, namespace));
        let mut keys = vec![key.name(), &lease];
        let noted = self.note_apart(&journal, &[key.name()], deadline).await;
        let deadline = if noted.is_ok() { deadline } else { self.again(deadline) };
        if let Ok(Noted::ByTheScript) = noted {
            keys.push(&journal);
        }
        let bounds = journal_bounds();
        let args = bounds.each_ref().map(String::as_bytes);
        let sent = match self.script(key, &scripts::EXPIRE, &keys, &args, deadline).await {
            // To patch the value is a matter of one script with the lease. That nothing is served is always right.
            Err(StoreError::Moving) => self.delete(key, deadline).await,
            sent => sent.map(drop),
        };
        sent.and(noted.map(drop))
    }

    /// For what is tried behind something that may have used up all the time.
    fn again(&self, deadline: Instant) -> Instant {
        deadline.max(Instant::now() + self.topology.limits().deadline)
    }

    /// Where a journal lies elsewhere than what is about to be touched, it is told of that first, by a step of its own.
    async fn note_apart(
        &self,
        journal: &str,
        names: &[&str],
        deadline: Instant,
    ) -> Result<Noted, StoreError> {
        if !self.topology.is_cluster() {
            return Ok(Noted::ByTheScript);
        }
        let bounds = journal_bounds();
        let bounds = bounds.iter().map(String::as_bytes);
        let args: Vec<&[u8]> = bounds.chain(names.iter().map(|name| name.as_bytes())).collect();
        let order = Order::Script { script: &scripts::NOTE, keys: &[journal], args: &args };
        self.topology.carry_out(journal, order, deadline).await.map(|_| Noted::Apart)
    }

    pub(crate) async fn remaining(
        &self,
        key: &Key,
        deadline: Instant,
    ) -> Result<Option<Duration>, StoreError> {
        let mut pttl = ::redis::cmd("PTTL");
        pttl.arg(key.name());
        match self.ask(key.name(), &pttl, Says::Number, deadline).await? {
            Value::Int(ms) => Ok(u64::try_from(ms).ok().map(Duration::from_millis)),
            other => Err(unexpected(&other)),
        }
    }

    pub(crate) async fn wait_for_lease(
        &self,
        key: &Key,
        held: &str,
        until: Instant,
    ) -> Result<Waited, StoreError> {
        let name = key.lease();
        let mut get = ::redis::cmd("GET");
        get.arg(&name);
        let mut polling = Polling::new();
        loop {
            // Another one by now, where the slot has moved.
            let link = self.topology.link_of(key.name())?;
            let watched = link.pool()?.watcher.listen(&name);
            let ended = watched.ended();
            tokio::pin!(ended);
            // Listening begins before asking, so that no push falls between the two.
            ended.as_mut().enable();
            if Instant::now() >= until {
                return Ok(Waited::TimedOut);
            }
            let deadline = Instant::now() + link.limits.deadline;
            let asked = self.topology.answered(
                key.name(),
                Order::Read(&get, Says::Value),
                Via::Tracked,
                deadline,
            );
            match asked.await?.0 {
                Value::BulkString(content) if content == held.as_bytes() => {}
                _ => return Ok(Waited::Ended),
            }
            let _ = tokio::time::timeout_at(polling.next(until), ended).await;
        }
    }

    pub(crate) fn latest_now(&self, key: &Key) -> Option<u64> {
        let link = self.topology.link_of(key.name()).ok()?;
        let pool = link.pool().ok()?;
        let now = Instant::now();
        if pool.clock.wants_sample(now) {
            link.sample_clock(&pool, key.lane(pool.lanes()));
        }
        pool.clock.latest(now)
    }

    /// Asks for the server's time.
    pub(crate) async fn learn_time(&self, key: &Key, deadline: Instant) -> Result<(), StoreError> {
        let sent = Instant::now();
        let time = ::redis::cmd("TIME");
        // Of no key: it is not sent on to where one has moved.
        let link = self.topology.link_of(key.name())?;
        let (order, via) = (Order::Read(&time, Says::List), Via::LaneOf(key.name()));
        let (reply, pool) = link.carry_out(&order, via, false, deadline).await?;
        let (seconds, micros): (u64, u64) = ::redis::from_redis_value(reply)
            .map_err(|_| StoreError::Server("unexpected reply about the time".to_owned()))?;
        pool.clock.sample(sent, seconds * 1000 + micros / 1000);
        Ok(())
    }

    /// Of a cluster each that has keys.
    pub(crate) async fn ping(&self, deadline: Instant) -> Result<(), StoreError> {
        self.topology.ping(deadline).await
    }

    async fn script(
        &self,
        key: &Key,
        script: &Script,
        keys: &[&str],
        args: &[&[u8]],
        deadline: Instant,
    ) -> Result<Value, StoreError> {
        let order = Order::Script { script, keys, args };
        self.topology.carry_out(key.name(), order, deadline).await
    }

    async fn ask(
        &self,
        name: &str,
        cmd: &Cmd,
        says: Says,
        deadline: Instant,
    ) -> Result<Value, StoreError> {
        self.topology.carry_out(name, Order::Read(cmd, says), deadline).await
    }
}

/// Who tells a journal of what is touched.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Noted {
    /// The script that touches it: between the two nothing can come.
    ByTheScript,
    /// That has been done.
    Apart,
}

fn journal_of(of: Of, namespace: &str) -> String {
    match of {
        Of::Tags => format!("{namespace}.journal"),
        Of::Keys => format!("{namespace}.journal.keys"),
    }
}

/// Why a server that was reached, or not, can't be used.
#[derive(Clone, Debug)]
pub(crate) enum Refusal {
    Unreachable(String),
    Authentication(String),
    Permission(String),
    /// TLS was refused, by either side.
    Certificate(String),
    /// It is not what the url says.
    Url(&'static str),
    /// No sentinel knows the service of this name.
    Service(String),
    Other(String),
}

impl Refusal {
    fn from_text(text: String) -> Self {
        let code = text.split([' ', ':']).next().unwrap_or_default();
        match code {
            _ if text.contains("user executing the script") => Self::Permission(text),
            "WRONGPASS" | "NOAUTH" | "AuthenticationFailed" => Self::Authentication(text),
            "NOPERM" => Self::Permission(text),
            "LOADING" | "BUSY" | "MASTERDOWN" => Self::Unreachable(text),
            _ => Self::Other(text),
        }
    }
}

/// How many names a journal holds, and how many are trimmed at once: arguments of what notes.
fn journal_bounds() -> [String; 2] {
    [journal::MOST.to_string(), journal::TRIMMED.to_string()]
}

fn string(reply: Value) -> Result<Option<Vec<u8>>, StoreError> {
    match reply {
        Value::BulkString(bytes) => Ok(Some(bytes)),
        Value::Nil => Ok(None),
        other => Err(unexpected(&other)),
    }
}

fn unexpected(value: &Value) -> StoreError {
    // The kind only: a reply may hold a user's data.
    let kind = match value {
        Value::Nil => "nil",
        Value::Int(_) => "an integer",
        Value::BulkString(_) => "a string",
        Value::Array(_) => "an array",
        _ => "something else",
    };
    StoreError::Server(format!("unexpected reply: {kind}"))
}
