//! Rules of the protocol that a test can switch off, to see that another test notices.
//!
//! Outside of tests all rules hold, and this file is nothing.

/// A rule that somebody would honestly have written, or forgotten.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(not(test), expect(dead_code, reason = "switched on by tests only"))]
pub(crate) enum Fault {
    /// A commit does not ask for its lease.
    CommitWithoutLease,
    /// A commit asks for its own random part only, and not for all of the lease.
    CommitByToken,
    /// What a lease holds is not made unique by the server.
    LeaseNotUnique,
    /// An invalidation removes the value, and then the lease.
    ValueBeforeLease,
    /// Whoever comes is answered by the flight that is there.
    Unsealed,
    /// A flight is sealed only where its leader has a lease.
    SealedWithLeaseOnly,
    /// Nonces are captured when the body has ended.
    CaptureBehindTheBody,
    /// A nonce is not made unique by the server.
    NonceNotUnique,
    /// Tags count up, and an evicted counter starts again.
    Counters,
    /// A tag without a nonce is as good as the entry's stamp.
    MissingNonceMatches,
    /// Nobody looks at the stamps of an entry.
    StampsUnread,
    /// An entry need not carry the tags that are declared.
    UndeclaredAccepted,
    /// `set` writes without a lease.
    SetUnfenced,
    /// `expire` reads, patches, and writes back.
    ExpirePutsBack,
    /// `expire` leaves the lease.
    ExpireKeepsTheLease,
    /// A miss that meets the marker `pass` waits for somebody to compute.
    PassIsWaitedFor,
    /// Stamps of an inner value are not handed on, but captured anew.
    Recaptured,
    /// Late tags are not looked up in the journal.
    WithoutJournal,
    /// What an inner call without stamps has read is not handed on.
    UnstampedIgnored,
    /// Of two nonces of one tag the inherited one counts.
    Overwritten,
    /// A journal that was lost is taken for the one that was there.
    JournalWithoutIdentity,
    /// What was trimmed from the journal is taken for not invalidated.
    JournalWithoutFloor,
    /// An invalidation that can't be added to the journal is not.
    JournalSkipped,
    /// The journal's position is asked behind the body.
    PositionBehindTheBody,
}

#[cfg(not(test))]
pub(crate) const fn on(_: Fault) -> bool {
    false
}

#[cfg(test)]
std::thread_local! {
    static ON: std::cell::Cell<Option<Fault>> = const { std::cell::Cell::new(None) };
}

#[cfg(test)]
pub(crate) fn on(fault: Fault) -> bool {
    ON.get() == Some(fault)
}

/// For this thread.
#[cfg(test)]
pub(crate) fn switch(fault: Option<Fault>) {
    ON.set(fault);
}

#[cfg(test)]
pub(crate) use of_steps::{ask_too_late, put_back_expired, value_before_lease};

/// Steps that come apart, or come too late.
#[cfg(test)]
mod of_steps {
    use std::time::Duration;

    use super::{Fault, on};
    use crate::entry;
    use crate::key::Key;
    use crate::lease::Lease;
    use crate::request::Request;
    use crate::steps::step;
    use crate::store::StoreError;
    use crate::store::memory::Memory;
    use crate::store::memory::loss::Loss;

    pub(crate) async fn value_before_lease(store: &Memory, key: &Key) -> Result<(), StoreError> {
        step("remove the value", || store.lose(Loss::Value, key.name())).await?;
        step("remove the lease", || store.lose(Loss::Lease, key.name())).await.map(drop)
    }

    pub(crate) async fn put_back_expired(store: &Memory, key: &Key) -> Result<(), StoreError> {
        let Some((mut bytes, ends_at)) = step("get", || store.copy(key)).await? else {
            return Ok(());
        };
        for at in entry::due_offsets(&bytes).collect::<Vec<_>>() {
            bytes[at..at + 8].fill(0);
        }
        step("put back", || store.put_back(key, (bytes.clone(), ends_at))).await?;
        step("remove the lease", || store.lose(Loss::Lease, key.name())).await.map(drop)
    }

    pub(crate) async fn ask_too_late(request: &Request, lease: &mut Lease, ttl: Duration) {
        if !on(Fault::CaptureBehindTheBody) && !on(Fault::PositionBehindTheBody) {
            return;
        }
        let before = lease.nonces().to_vec();
        let deadline = request.cache.deadline();
        // Without what it asks for nothing is stored, as before the body.
        let _ = lease.capture(&request.tags, ttl, true, deadline).await;
        if on(Fault::PositionBehindTheBody) {
            lease.captured_before(before, ttl);
        }
    }
}
