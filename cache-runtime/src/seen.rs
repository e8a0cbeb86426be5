//! What a look into the store has found under a key, and of its tags.

use std::borrow::Cow;
use std::collections::{BTreeMap, HashMap};
use std::sync::{Arc, Mutex};

use bytes::Bytes;
use tokio::time::Instant;

use crate::entry::{self, Entry, Found};
use crate::freshness;
use crate::key::Key;
use crate::request::Request;
use crate::site::Warning;
use crate::store::StoreError;
use crate::store::redis::{Telling, Tracked};
use crate::sync::lock;
use crate::tags::{self, Nonce, Standing, Tag};
use crate::telemetry;

/// Keys whose undeclared tags are remembered. Past this many, all are forgotten.
const MOST_REMEMBERED: usize = 16_384;
/// Late tags of one request, where many entries were read together.
const MOST_AT_ONCE: usize = 1_000;

/// What was read, all of it after the call began.
pub(crate) struct Seen<'r> {
    /// Nothing stored is empty: an entry never is.
    pub(crate) stored: Bytes,
    asked: Cow<'r, [Tag]>,
    nonces: Vec<Option<Nonce>>,
    /// What tells of its changes, where a copy may be made of it.
    pub(crate) telling: Option<Telling>,
}

/// Which tags the entries of keys carried besides the declared ones: a guess, so that one round trip does.
#[derive(Default)]
pub(crate) struct Remembered(Mutex<HashMap<u128, Arc<[Tag]>>>);

impl Remembered {
    fn of(&self, key: &Key) -> Option<Arc<[Tag]>> {
        lock(&self.0).get(&key.digest()).cloned()
    }

    fn remember(&self, key: &Key, tags: Vec<Tag>) {
        let mut remembered = lock(&self.0);
        if remembered.len() >= MOST_REMEMBERED {
            remembered.clear();
        }
        remembered.insert(key.digest(), tags.into());
    }
}

/// Reads an entry and the nonces of all its tags: one round trip, a second one where it carries tags that were neither
/// declared nor guessed, and one where the server's time has to be known and is not.
pub(crate) async fn see(request: &Request, deadline: Instant) -> Result<Seen<'_>, StoreError> {
    let asked = asked(request);
    let store = &request.cache.store;
    let mut telling = None;
    let (stored, nonces) = if request.place.is_some() {
        let (found, tracked) = store.read_tracked(&request.key, &asked, deadline).await?;
        match tracked {
            Tracked::By(by) => telling = Some(by),
            Tracked::NotNow => {}
            Tracked::Never(why) => telemetry::warn_once(request.site, Warning::Near, why),
        }
        found
    } else {
        store.read(&request.key, &asked, deadline).await?
    };
    let mut seen = Seen { stored, asked, nonces, telling };
    let unasked = seen.unasked(request);
    if !unasked.is_empty() {
        // Of these nothing would be told. The next look asks for them with the entry.
        seen.telling = None;
        // Boxed, as what comes behind it: most need no room for a second round trip.
        let nonces = Box::pin(store.nonces(&unasked, deadline)).await?;
        seen.complete(request, unasked, nonces);
    }
    if needs_time(request, &seen) {
        Box::pin(store.learn_time(&request.key, deadline)).await?;
    }
    Ok(seen)
}

/// The same of many entries, with as few requests as there can be: the tags that they have in common are read once.
pub(crate) async fn see_all<'r>(
    requests: &[&'r Request],
    deadline: Instant,
) -> Vec<Result<Seen<'r>, StoreError>> {
    let Some(store) = requests.first().map(|request| &request.cache.store) else {
        return Vec::new();
    };
    let asked: Vec<Cow<'r, [Tag]>> = requests.iter().map(|request| asked(request)).collect();
    let wanted: Vec<_> =
        requests.iter().zip(&asked).map(|(request, asked)| (&request.key, &**asked)).collect();
    let read = store.read_all(&wanted, deadline).await;
    let mut all: Vec<Result<Seen<'r>, _>> = asked
        .into_iter()
        .zip(read)
        .map(|(asked, read)| {
            read.map(|(stored, nonces)| Seen { stored, asked, nonces, telling: None })
        })
        .collect();
    let unasked: Vec<Vec<Tag>> = requests
        .iter()
        .zip(&all)
        .map(|(request, seen)| seen.as_ref().map_or(Vec::new(), |seen| seen.unasked(request)))
        .collect();
    let late: BTreeMap<&str, &Tag> =
        unasked.iter().flatten().map(|tag| (tag.name(), tag)).collect();
    if !late.is_empty() {
        let tags: Vec<Tag> = late.values().map(|tag| (*tag).clone()).collect();
        let mut nonces: Result<Vec<Option<Nonce>>, StoreError> = Ok(Vec::new());
        for tags in tags.chunks(MOST_AT_ONCE) {
            let more = store.nonces(tags, deadline).await;
            nonces = nonces.and_then(|nonces| Ok([nonces, more?].concat()));
        }
        let of_name: Result<BTreeMap<&str, Option<Nonce>>, _> =
            nonces.map(|nonces| late.keys().copied().zip(nonces).collect());
        for ((request, seen), unasked) in requests.iter().zip(&mut all).zip(&unasked) {
            if unasked.is_empty() {
                continue;
            }
            match (&mut *seen, &of_name) {
                (Ok(seen), Ok(of_name)) => {
                    let nonce = |tag: &Tag| of_name.get(tag.name()).cloned().flatten();
                    let nonces = unasked.iter().map(nonce).collect();
                    seen.complete(request, unasked.clone(), nonces);
                }
                (Ok(_), Err(error)) => *seen = Err(error.clone()),
                (Err(_), _) => {}
            }
        }
    }
    for (request, seen) in requests.iter().zip(&mut all) {
        let asks = |seen: &Seen<'_>| needs_time(request, seen);
        // Of each server once.
        if seen.as_ref().is_ok_and(asks)
            && let Err(error) = store.learn_time(&request.key, deadline).await
        {
            *seen = Err(error);
        }
    }
    all
}

/// Whether it is past its ttl only the clock can tell, where it is kept for longer and where others write to the server;
/// and doubt would count as past.
fn needs_time(request: &Request, seen: &Seen<'_>) -> bool {
    let cache = &request.cache;
    let asks =
        cache.settings.integrity.is_some() || entry::may_be_past(&seen.stored, request.fingerprint);
    asks && cache.store.latest_now(&request.key).is_none()
}

/// The same on a store that need not be waited for.
pub(crate) fn see_at_once(request: &Request) -> Option<Seen<'_>> {
    let asked = asked(request);
    let store = &request.cache.store;
    let (stored, nonces) = store.read_at_once(&request.key, &asked)?;
    let mut seen = Seen { stored, asked, nonces, telling: None };
    let unasked = seen.unasked(request);
    if !unasked.is_empty() {
        let nonces = store.nonces_at_once(&unasked)?;
        seen.complete(request, unasked, nonces);
    }
    Some(seen)
}

fn asked(request: &Request) -> Cow<'_, [Tag]> {
    let mut asked = Cow::Borrowed(&*request.tags);
    // Most functions have no late tags, and need not look.
    if request.site.tags_late()
        && let Some(guessed) = request.cache.remembered.of(&request.key)
    {
        let undeclared = guessed.iter().filter(|tag| !request.tags.contains(tag)).cloned();
        asked.to_mut().extend(undeclared);
    }
    asked
}

impl Seen<'_> {
    /// The tags that the entry carries and nobody asked for. It has not been checked yet: what is
    /// damaged costs a read too many, at most.
    fn unasked(&self, request: &Request) -> Vec<Tag> {
        let names = entry::stamped_names(&self.stored, request.fingerprint);
        let is_unasked = |name: &&str| !self.asked.iter().any(|tag| tag.name() == *name);
        let namespace = &request.cache.namespace;
        names.filter(is_unasked).map(|name| Tag::stamped(namespace, name)).collect()
    }

    fn complete(&mut self, request: &Request, unasked: Vec<Tag>, nonces: Vec<Option<Nonce>>) {
        self.asked.to_mut().extend(unasked);
        self.nonces.extend(nonces);
        request.site.note_tags(true);
        // Of this entry only: the tags of a key may change with every value.
        let undeclared = entry::stamped_names(&self.stored, request.fingerprint)
            .map(|name| Tag::stamped(&request.cache.namespace, name))
            .filter(|tag| !request.tags.contains(tag));
        request.cache.remembered.remember(&request.key, undeclared.collect());
    }

    pub(crate) fn find(&self, request: &Request) -> Found<'_> {
        let integrity = request.cache.settings.integrity.as_ref();
        let found = entry::find(&self.stored, request.fingerprint, &request.key, integrity);
        // Without integrity the server's own clock removes what has ended.
        if integrity.is_some()
            && let Found::Usable(entry) = &found
            && freshness::has_ended(&entry.life, request.cache.store.latest_now(&request.key))
        {
            return Found::Ended;
        }
        found
    }

    /// What an entry that was found here is by its tags.
    pub(crate) fn standing(&self, request: &Request, found: &Entry<'_>) -> Standing {
        tags::judge(&found.stamps, &request.tags, &self.asked, &self.nonces)
    }
}
