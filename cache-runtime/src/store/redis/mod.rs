//! The steps of the protocol as Redis commands. Redis 7 or later.

mod breaker;
mod connection;
mod scripts;
mod tagged;
mod tls;
mod watch;

use std::time::Duration;

use ::redis::{Cmd, ConnectionInfo, Value};
use tokio::time::Instant;

use super::{
    Claim, Commit, FIRST_PASS, Granted, Old, Polling, Seize, StoreError, Take, Waited, lease_text,
};
use crate::codec;
use crate::codec::compression::Compressed;
use crate::config::Tls;
use crate::entry::{self, Judged, Label, Life, Written};
use crate::freshness::millis;
use crate::journal::{self, Of};
use crate::key::Key;
use crate::tags::Tag;
pub(crate) use connection::Limits;
use connection::Link;
use scripts::Script;

/// Commits of large values get this much more time for each byte: 10 MB/s.
const NANOS_PER_BYTE: u64 = 100;

/// Tags or keys of one request; more go out in several.
const MOST_AT_ONCE: usize = 1000;

pub(crate) struct Redis {
    link: Link,
}

impl Redis {
    pub(crate) fn new(
        info: ConnectionInfo,
        limits: Limits,
        tls: &Tls,
    ) -> Result<Self, ::redis::RedisError> {
        Ok(Self { link: Link::new(info, limits, tls)? })
    }

    async fn get(&self, key: &Key, deadline: Instant) -> Result<Vec<u8>, StoreError> {
        let pool = self.link.pool()?;
        let mut get = ::redis::cmd("GET");
        get.arg(key.name());
        let reply = self.link.send(&pool, key.lane(pool.lanes()), &get, deadline).await?;
        Ok(string(reply)?.unwrap_or_default())
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
        let mut keys =
            vec![key.lease(), key.name().to_owned(), tagged::journal(Of::Keys, namespace)];
        let noted = if let Seize::Newer(_) = what_for { "newer" } else { "judged" };
        let mut args = vec![token.to_owned(), millis(lock_ttl).to_string(), noted.to_owned()];
        args.extend(journal_bounds());
        if let Seize::Newer(Some(version)) = what_for {
            keys.push(version.key.clone());
            args.extend([version.text(), millis(version.life).to_string()]);
        }
        let keys: Vec<&str> = keys.iter().map(String::as_str).collect();
        let args: Vec<&[u8]> = args.iter().map(String::as_bytes).collect();
        let (status, content, server_ms) =
            self.lease_reply(key, &scripts::SEIZE, &keys, &args, deadline).await?;
        Ok((status == "granted").then_some(Granted { content, server_ms }))
    }

    /// Every reply that names the server's time also sets the clock.
    async fn lease_reply(
        &self,
        key: &Key,
        script: &Script,
        keys: &[&str],
        args: &[&[u8]],
        deadline: Instant,
    ) -> Result<(String, String, u64), StoreError> {
        let pool = self.link.pool()?;
        let sent = Instant::now();
        let reply =
            self.link.script(&pool, key.lane(pool.lanes()), script, keys, args, deadline).await?;
        let parsed: (String, String, u64) = ::redis::from_redis_value(reply)
            .map_err(|_| StoreError::Server("unexpected reply about a lease".to_owned()))?;
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
        let first = millis(FIRST_PASS).to_string();
        let longest = millis(longest).to_string();
        let old = old.text().as_bytes();
        let args = [content.as_bytes(), first.as_bytes(), longest.as_bytes(), old];
        let keys = [&key.lease(), key.name()];
        let reply = self.script(key, &scripts::PASS, &keys, &args, deadline).await?;
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
        let length = judged.length.to_string();
        let args = [judged.head(), length.as_bytes()];
        self.script(key, &scripts::REMOVE, &[key.name()], &args, deadline).await.map(drop)
    }

    pub(crate) async fn invalidate(
        &self,
        namespace: &str,
        keys: &[Key],
        deadline: Instant,
    ) -> Result<(), StoreError> {
        let journal = tagged::journal(Of::Keys, namespace);
        let bounds = journal_bounds();
        let args = bounds.each_ref().map(String::as_bytes);
        let mut outcome = Ok(());
        for keys in keys.chunks(MOST_AT_ONCE) {
            let leases: Vec<String> = keys.iter().map(Key::lease).collect();
            let mut names = vec![journal.as_str()];
            for (key, lease) in keys.iter().zip(&leases) {
                names.extend([lease, key.name()]);
            }
            // All are attempted, whatever becomes of the first.
            let sent = self.script(&keys[0], &scripts::INVALIDATE, &names, &args, deadline).await;
            outcome = outcome.and(sent.map(drop));
        }
        outcome
    }

    pub(crate) async fn expire(
        &self,
        namespace: &str,
        key: &Key,
        deadline: Instant,
    ) -> Result<(), StoreError> {
        let keys = [key.name(), &key.lease(), &tagged::journal(Of::Keys, namespace)];
        let bounds = journal_bounds();
        let args = bounds.each_ref().map(String::as_bytes);
        self.script(key, &scripts::EXPIRE, &keys, &args, deadline).await.map(drop)
    }

    pub(crate) async fn remaining(
        &self,
        key: &Key,
        deadline: Instant,
    ) -> Result<Option<Duration>, StoreError> {
        let mut pttl = ::redis::cmd("PTTL");
        pttl.arg(key.name());
        match self.command(key, &pttl, deadline).await? {
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
        let pool = self.link.pool()?;
        let name = key.lease();
        let watched = pool.watcher.listen(&name);
        let mut get = ::redis::cmd("GET");
        get.arg(&name);
        let mut polling = Polling::new();
        loop {
            let ended = watched.ended();
            tokio::pin!(ended);
            // Listening begins before asking, so that no push falls between the two.
            ended.as_mut().enable();
            if Instant::now() >= until {
                return Ok(Waited::TimedOut);
            }
            let deadline = Instant::now() + self.link.limits.deadline;
            match self.link.send_tracked(&pool, &get, deadline).await? {
                Value::BulkString(content) if content == held.as_bytes() => {}
                _ => return Ok(Waited::Ended),
            }
            let _ = tokio::time::timeout_at(polling.next(until), ended).await;
        }
    }

    pub(crate) fn latest_now(&self, key: &Key) -> Option<u64> {
        let pool = self.link.pool().ok()?;
        if pool.clock.wants_sample() {
            self.link.sample_clock(&pool, key.lane(pool.lanes()));
        }
        pool.clock.latest()
    }

    /// Asks for the server's time.
    pub(crate) async fn learn_now(&self, key: &Key, deadline: Instant) -> Result<(), StoreError> {
        let pool = self.link.pool()?;
        let sent = Instant::now();
        let time = ::redis::cmd("TIME");
        let reply = self.link.send(&pool, key.lane(pool.lanes()), &time, deadline).await?;
        let (seconds, micros): (u64, u64) = ::redis::from_redis_value(reply).map_err(|_| {
            StoreError::Server("unexpected reply to a question for the time".to_owned())
        })?;
        pool.clock.sample(sent, seconds * 1000 + micros / 1000);
        Ok(())
    }

    pub(crate) async fn ping(&self, deadline: Instant) -> Result<(), StoreError> {
        let pool = self.link.pool()?;
        self.link.send_unrefused(&pool, 0, &::redis::cmd("PING"), deadline).await.map(drop)
    }

    /// Connects every lane and runs a script that touches one key of the namespace, so that a wrong
    /// password or a missing permission is known before the first call.
    pub(crate) async fn check(&self, namespace: &str) -> Result<(), Refusal> {
        let pool = self.link.pool().map_err(|error| Refusal::Unreachable(error.to_string()))?;
        self.link.connect_all(&pool).await?;
        let deadline = Instant::now() + self.link.limits.connect;
        let tag = Tag::named(namespace, "");
        let Ok(probe) = Key::render(namespace, &[]) else {
            return Err(Refusal::Unreachable(String::new()));
        };
        let claim = Claim::Token("probe".to_owned());
        let probes = [
            self.get(&probe, deadline).await.map(drop),
            self.release(&probe, &claim, deadline).await,
        ];
        for probe in probes {
            match probe {
                Err(StoreError::Server(text)) => return Err(Refusal::from_text(text)),
                Err(error) => return Err(Refusal::Unreachable(error.to_string())),
                Ok(()) => {}
            }
        }
        self.warn_of_evictions(deadline).await;
        match self.rehearse(namespace, &probe, &[tag], deadline).await {
            Err(StoreError::Server(text)) => match Refusal::from_text(text) {
                refusal @ Refusal::Permission(_) => Err(refusal),
                // Out of memory, or a replica at the moment: that may end by itself.
                _ => Ok(()),
            },
            _ => Ok(()),
        }
    }

    /// Tags are keys too. A server that evicts them takes with each all entries that carry it.
    async fn warn_of_evictions(&self, deadline: Instant) {
        let Ok(pool) = self.link.pool() else { return };
        let mut info = ::redis::cmd("INFO");
        info.arg("memory");
        // Who may not ask is not warned.
        let Ok(reply) = self.link.send(&pool, 0, &info, deadline).await else { return };
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
            key_digest: probe.digest(),
            written: Written { codec: codec::Id::Bincode, is_error: false },
            compressed: Compressed::Not,
            none: false,
            stamps: &[],
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

    async fn script(
        &self,
        key: &Key,
        script: &Script,
        keys: &[&str],
        args: &[&[u8]],
        deadline: Instant,
    ) -> Result<Value, StoreError> {
        let pool = self.link.pool()?;
        self.link.script(&pool, key.lane(pool.lanes()), script, keys, args, deadline).await
    }

    async fn command(&self, key: &Key, cmd: &Cmd, deadline: Instant) -> Result<Value, StoreError> {
        let pool = self.link.pool()?;
        self.link.send(&pool, key.lane(pool.lanes()), cmd, deadline).await
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
