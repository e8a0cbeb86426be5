//! Rules of the protocol that a test can switch off, to see that another test notices.
//!
//! Outside of tests all rules hold, and this file is nothing.
//!
//! Rules without code have no fault. Of a near cache: a fill is dropped that an invalidation has overtaken,
//! pushes count in the order of their connection, freshness counts from the sending of a ping, what was written by
//! oneself is dropped, and no body reads from it. Of reads that share a round trip: nobody joins one that has been
//! sent, and no caller drives it.
//!
//! A `set` in one step has none either: it is promised to be as new as the moment at which it takes the lease, and
//! with one step that is the moment at which it writes.

/// A rule that somebody would honestly have written, or forgotten.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(not(test), expect(dead_code, reason = "switched on by tests only"))]
pub(crate) enum Fault {
    /// A commit does not ask for its lease.
    CommitWithoutLease,
    /// A commit is refused where another's lease is, and not where there is none.
    AbsentLeaseHolds,
    /// A commit asks for its own random part only, and not for all of the lease.
    CommitByToken,
    /// What a lease holds is not made unique by the server.
    LeaseNotUnique,
    /// A renewal does not ask whether the lease is there still.
    RenewalRevives,
    /// An invalidation removes the value, and then the lease.
    ValueBeforeLease,
    /// Whoever comes is answered by the flight that is there.
    Unsealed,
    /// A flight is sealed only where its leader has a lease.
    SealedWithLeaseOnly,
    /// A flight is sealed when a look has come back, and not when it is sent.
    LookUnsealed,
    /// A leader that is dropped leaves its flight to itself.
    NotHandedOver,
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
    /// An entry answers whoever has its key, whatever tags the call has.
    UndeclaredAccepted,
    /// `set` writes without a lease.
    SetUnfenced,
    /// `expire` reads, patches, and writes back.
    ExpirePutsBack,
    /// `expire` patches, and then removes the lease.
    DueBeforeLease,
    /// `expire` leaves the lease.
    ExpireKeepsTheLease,
    /// A miss that meets the marker `pass` waits for somebody to compute.
    PassIsWaitedFor,
    /// Stamps of an inner value are not handed on, but captured anew.
    Recaptured,
    /// Late tags are not looked up in the journal.
    WithoutJournal,
    /// Stamps of an inner value are not looked up in the journal.
    InheritedUnchecked,
    /// The journal is asked, and then nonces of late tags are captured.
    CleanBeforeCapture,
    /// What an inner call without stamps has read is not handed on.
    UnstampedIgnored,
    /// Of two nonces of one tag the inherited one counts.
    Overwritten,
    /// A journal that was lost is taken for the one that was there.
    JournalWithoutIdentity,
    /// Without a journal, nothing is taken to be invalidated.
    AbsentJournalIsClean,
    /// What was trimmed from the journal is taken for not invalidated.
    JournalWithoutFloor,
    /// An invalidation that can't be added to the journal is not.
    JournalSkipped,
    /// A tag's nonce is removed, and then the journal is added to.
    NonceBeforeJournal,
    /// The journal's position is asked behind the body.
    PositionBehindTheBody,
    /// An invalidation of a key is not noted in the journal.
    KeyUnnoted,
    /// A key's lease and value are removed, and then the journal is added to.
    KeyBeforeJournal,
    /// `expire` is not noted in the journal.
    ExpireUnnoted,
    /// A value from another body is stored without asking the journal of keys.
    Unjudged,
    /// The journal of keys is asked, and then the lease is taken.
    JudgedBeforeTheLease,
    /// What a writer puts is not noted in the journal.
    PutUnnoted,
    /// A writer puts its value whatever was invalidated meanwhile, and invalidates nothing where it can't.
    PutOnly,
    /// The value past its ttl that a leader has found goes to all who wait for it.
    KeptForAll,
    /// A value past its ttl is kept for errors also where a tag of it was invalidated.
    KeptThoughVoid,
}

#[cfg(test)]
impl Fault {
    pub(crate) const ALL: [Self; 42] = [
        Self::CommitWithoutLease,
        Self::AbsentLeaseHolds,
        Self::CommitByToken,
        Self::LeaseNotUnique,
        Self::RenewalRevives,
        Self::ValueBeforeLease,
        Self::Unsealed,
        Self::SealedWithLeaseOnly,
        Self::LookUnsealed,
        Self::NotHandedOver,
        Self::CaptureBehindTheBody,
        Self::NonceNotUnique,
        Self::Counters,
        Self::MissingNonceMatches,
        Self::StampsUnread,
        Self::UndeclaredAccepted,
        Self::SetUnfenced,
        Self::ExpirePutsBack,
        Self::DueBeforeLease,
        Self::ExpireKeepsTheLease,
        Self::PassIsWaitedFor,
        Self::Recaptured,
        Self::WithoutJournal,
        Self::InheritedUnchecked,
        Self::CleanBeforeCapture,
        Self::UnstampedIgnored,
        Self::Overwritten,
        Self::JournalWithoutIdentity,
        Self::AbsentJournalIsClean,
        Self::JournalWithoutFloor,
        Self::JournalSkipped,
        Self::NonceBeforeJournal,
        Self::PositionBehindTheBody,
        Self::KeyUnnoted,
        Self::KeyBeforeJournal,
        Self::ExpireUnnoted,
        Self::Unjudged,
        Self::JudgedBeforeTheLease,
        Self::PutUnnoted,
        Self::PutOnly,
        Self::KeptForAll,
        Self::KeptThoughVoid,
    ];
}

#[cfg(not(test))]
pub(crate) const fn on(_: Fault) -> bool {
    false
}

#[cfg(not(test))]
pub(crate) const fn unlooked_up(_: &crate::frame::Gathered, _: &[crate::tags::Tag]) -> bool {
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
pub(crate) use of_steps::{
    ask_too_late, capture_again, due_before_lease, kept_for_all, key_before_journal,
    nonce_before_journal, put_back_expired, unlooked_up, value_before_lease,
};

/// Steps that come apart, or come too late.
#[cfg(test)]
mod of_steps {
    use std::time::Duration;

    use super::{Fault, on};
    use crate::body;
    use crate::computation::Computation;
    use crate::entry;
    use crate::frame::Gathered;
    use crate::journal::Of;
    use crate::key::Key;
    use crate::lease::{Journals, Lease};
    use crate::policy::Policy;
    use crate::request::{Request, Shared};
    use crate::steps::step;
    use crate::store::memory::Memory;
    use crate::store::memory::loss::Loss;
    use crate::store::{StoreError, Touch};
    use crate::tags::{Nonce, Tag};

    pub(crate) async fn value_before_lease(store: &Memory, keys: &[Key]) -> Result<(), StoreError> {
        for key in keys {
            step("remove the value", || store.lose(Loss::Value, key.name())).await?;
            step("remove the lease", || store.lose(Loss::Lease, key.name())).await?;
        }
        Ok(())
    }

    pub(crate) async fn key_before_journal(store: &Memory, keys: &[Key]) -> Result<(), StoreError> {
        step("invalidate", || store.invalidate(keys)).await?;
        step("add to the journal", || store.journalize(Of::Keys, keys.iter().map(Key::name))).await
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

    pub(crate) async fn due_before_lease(store: &Memory, key: &Key) -> Result<(), StoreError> {
        step("expire", || store.expire(key)).await?;
        step("remove the lease", || store.lose(Loss::Lease, key.name())).await.map(drop)
    }

    pub(crate) async fn nonce_before_journal(
        store: &Memory,
        tags: &[Tag],
        touch: Touch,
    ) -> Result<(), StoreError> {
        step("touch_tags", || store.touch_tags(tags, touch)).await?;
        step("add to the journal", || store.journalize(Of::Tags, tags.iter().map(Tag::name))).await
    }

    pub(crate) fn unlooked_up(touched: &Gathered, late: &[Tag]) -> bool {
        let is_inherited = |tag: &Tag| touched.inherited.contains_key(tag.name());
        on(Fault::WithoutJournal)
            || (on(Fault::InheritedUnchecked) && late.iter().all(is_inherited))
    }

    /// The nonces as they are by now, where that is what counts.
    pub(crate) async fn capture_again(
        request: &Request,
        late: &[Tag],
        life: Duration,
        nonces: Vec<Nonce>,
    ) -> Vec<Nonce> {
        if !on(Fault::CleanBeforeCapture) {
            return nonces;
        }
        let cache = &request.cache;
        cache.store.capture(late, life, cache.deadline()).await.unwrap_or(nonces)
    }

    /// What a leader that fails has found itself, for those who wait for it.
    pub(crate) fn kept_for_all(
        request: &Request,
        computation: &mut dyn Computation,
    ) -> Option<Shared> {
        if !on(Fault::KeptForAll) {
            return None;
        }
        computation.answer().adopt_kept()?;
        let product = body::encode(request, computation).product?;
        Some(Shared::Stored(product.written, product.payload?))
    }

    pub(crate) async fn ask_too_late(request: &Request, lease: &mut Lease, policy: &Policy) {
        if !on(Fault::CaptureBehindTheBody) && !on(Fault::PositionBehindTheBody) {
            return;
        }
        let before = lease.nonces().to_vec();
        let deadline = request.cache.deadline();
        // Without what it asks for nothing is stored, as before the body.
        let journals = Journals { tags: true, keys: true };
        let _ = lease.capture(&request.tags, policy, journals, deadline).await;
        if on(Fault::PositionBehindTheBody) {
            lease.captured_before(before, policy);
        }
    }
}
