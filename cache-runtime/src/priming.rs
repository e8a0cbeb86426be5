//! Values that a body has at hand for the entries of other functions.
//!
//! Such a value is as old as the body: what was invalidated since that began must not come back by it. Its key is known
//! only when the body has read it, so nobody has held the lease of it meanwhile; the journal of keys says instead what
//! happened, and is asked when the lease is held, before the commit.

use std::collections::HashMap;

use crate::body;
use crate::by_hand::{AtHand, Boxed};
use crate::entry::{Found, Judged};
use crate::faults::{self, Fault};
use crate::frame::{Gathered, Spoiled};
use crate::lease::{self, Began, Taken};
use crate::request::FlightKey;
use crate::seen;
use crate::site::Warning;
use crate::store::StoreError;
use crate::tags;
use crate::telemetry;
use crate::together::in_turns;

/// So many are kept for one body, and together so many bytes; what comes then is not stored.
pub(crate) const MOST: usize = 1_000;
pub(crate) const MOST_BYTES: usize = 16 << 20;
/// So many are on their way at once.
pub(crate) const AT_ONCE: usize = 32;

/// What a body has said of other entries, to be stored when it has ended.
#[derive(Default)]
pub(crate) struct Primes {
    pub(crate) values: HashMap<FlightKey, AtHand>,
    /// What the body had read of, apart from what its own function is tagged with.
    pub(crate) gathered: Gathered,
}

impl Primes {
    pub(crate) fn is_empty(&self) -> bool {
        self.values.is_empty()
    }

    /// Stores all of them, as old as `began`. Those that can't be are left to their functions.
    pub(crate) fn stored(self, began: Began) -> Boxed<'static, ()> {
        let Self { values, gathered } = self;
        let each = move |at_hand: AtHand| -> Boxed<'static, ()> {
            let (began, gathered) = (began.clone(), gathered.clone());
            Box::pin(async move {
                let (site, key) = (at_hand.request.site, at_hand.request.key.clone());
                if let Err(error) = stored(at_hand, began, gathered).await {
                    telemetry::store_trouble(site, &key, &error);
                }
            })
        };
        Box::pin(async { drop(in_turns(values.into_values().collect(), AT_ONCE, each).await) })
    }
}

async fn stored(at_hand: AtHand, began: Began, mut gathered: Gathered) -> Result<(), StoreError> {
    let AtHand { request, product, tags } = at_hand;
    gathered.absorb(&tags);
    request.tags.iter().for_each(|tag| gathered.add(tag.name()));
    let too_many = (gathered.names().len() > tags::MOST).then_some(Spoiled::TooMany);
    if let Some(why) = gathered.spoiled.or(too_many) {
        telemetry::warn_once(request.site, Warning::Primed, &why.to_string());
        return Ok(());
    }
    let deadline = request.cache.deadline();
    let judged = {
        let seen = seen::see(&request, deadline).await?;
        if let Found::Usable(found) = seen.find(&request)
            && found.life.born_at >= began.by_clock_of(&request.cache, &request.key)
        {
            telemetry::step(request.site, &request.key, "a newer value is there");
            return Ok(());
        }
        Judged::of(&seen.stored)
    };
    if faults::on(Fault::JudgedBeforeTheLease)
        && !began.is_untouched(&request.cache, &request.key, false).await?
    {
        return Ok(());
    }
    let policy = &request.policy;
    let taken = lease::take(&request.cache, &request.key, &judged, policy, deadline).await;
    let mut lease = match taken {
        Taken::Granted(lease) => *lease,
        Taken::Unknown(error) => return Err(error),
        Taken::Changed | Taken::Held(_) | Taken::Pass(_) => {
            telemetry::step(request.site, &request.key, "left to another");
            return Ok(());
        }
    };
    lease.of_another(began, false);
    // What went wrong has been told.
    body::commit(&request, lease, &product, &gathered).await.map(drop)
}
