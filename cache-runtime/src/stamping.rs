//! Which stamps an entry gets, once its body has ended and all of its tags are known.

use std::collections::BTreeMap;

use crate::faults::{self, Fault};
use crate::frame::{Gathered, Spoiled};
use crate::lease::Lease;
use crate::policy::Policy;
use crate::request::Request;
use crate::store::StoreError;
use crate::tags::{self, Nonce, Tag};

/// Why an entry gets no stamps, and so is not stored.
#[derive(Debug)]
pub(crate) enum Unstamped {
    /// One of the tags was invalidated while the body ran, or may have been.
    Invalidated,
    /// A value past its ttl was used: what is made of it is older than the entry would say.
    Past,
    /// Nobody knew that there would be such tags, so the journal's position was not taken.
    Unexpected,
    /// It will be the same the next time.
    Never(Spoiled),
    Unknown(StoreError),
}

/// The stamps of an entry that depends on `touched`.
///
/// Of a tag that was captured before the body, the nonce that was captured. Of any other the nonce that
/// is there now, and of a value that was used the one that it carries; for those the journal has to say
/// that they were not touched since the body began. What is captured goes first: what touches a tag says
/// so in the journal before it does.
pub(crate) async fn stamps(
    request: &Request,
    lease: &mut Lease,
    touched: &Gathered,
    policy: &Policy,
) -> Result<Vec<(Tag, Nonce)>, Unstamped> {
    match touched.spoiled {
        None => {}
        Some(Spoiled::Past) => return Err(Unstamped::Past),
        Some(Spoiled::Torn) => return Err(Unstamped::Invalidated),
        Some(why) => return Err(Unstamped::Never(why)),
    }
    #[cfg(test)]
    faults::ask_too_late(request, lease, policy).await;
    lease.outlive(&request.tags, policy).await;
    let captured = request.tags.iter().zip(lease.nonces());
    let mut stamps: BTreeMap<&str, (Tag, Nonce)> =
        captured.map(|(tag, nonce)| (tag.name(), (tag.clone(), nonce.clone()))).collect();
    for (name, nonce) in &touched.inherited {
        if let Some((_, captured)) = stamps.get_mut(&**name) {
            *captured = match captured.older(nonce) {
                Some(older) => older.clone(),
                None if faults::on(Fault::Overwritten) => nonce.clone(),
                None => return Err(Unstamped::Invalidated),
            };
        }
    }
    let late: Vec<Tag> = touched
        .names()
        .into_iter()
        .filter(|name| !stamps.contains_key(name))
        .map(|name| Tag::stamped(&request.cache.namespace, name))
        .collect();
    if stamps.len() + late.len() > tags::MOST {
        return Err(Unstamped::Never(Spoiled::TooMany));
    }
    let mut stamps: Vec<(Tag, Nonce)> = stamps.into_values().collect();
    stamps.extend(late_stamps(request, lease, touched, late, policy).await?);
    Ok(stamps)
}

async fn late_stamps(
    request: &Request,
    lease: &Lease,
    touched: &Gathered,
    late: Vec<Tag>,
    policy: &Policy,
) -> Result<Vec<(Tag, Nonce)>, Unstamped> {
    if late.is_empty() {
        return Ok(Vec::new());
    }
    let since = lease.position().ok_or(Unstamped::Unexpected)?;
    let (cache, life) = (&request.cache, policy.life_of_tags());
    let now = cache.store.capture(&late, life, cache.deadline()).await;
    let now = now.map_err(Unstamped::Unknown)?;
    let clean = cache.store.is_clean(&cache.namespace, since, &late, cache.deadline()).await;
    if !clean.map_err(Unstamped::Unknown)? && !faults::unlooked_up(touched, &late) {
        return Err(Unstamped::Invalidated);
    }
    #[cfg(test)]
    let now = faults::capture_again(request, &late, life, now).await;
    let stamp = |(tag, now): (Tag, Nonce)| {
        let nonce = match touched.inherited.get(tag.name()) {
            Some(_) if faults::on(Fault::Recaptured) => now,
            Some(inherited) => inherited.older(&now).cloned().ok_or(Unstamped::Invalidated)?,
            None => now,
        };
        Ok((tag, nonce))
    };
    late.into_iter().zip(now).map(stamp).collect()
}
