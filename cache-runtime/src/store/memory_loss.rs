//! What a server loses, and what arrives late, by a test's choice.

use super::*;

/// What can be lost.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Loss {
    Value,
    Lease,
    Nonce,
    Journal,
    /// The oldest invalidations in the journal.
    Trim,
    JournalOfKeys,
    TrimOfKeys,
}

/// A request, to be carried out once more.
pub(crate) type Late = Box<dyn Fn(&Memory) + Send>;

impl Memory {
    /// `false` where there is nothing to lose.
    pub(crate) fn lose(&self, loss: Loss, name: &str) -> bool {
        let mut contents = lock(&self.contents);
        match loss {
            Loss::Value | Loss::Nonce => {
                let there = contents.values.contains_key(name);
                contents.remove(name);
                there
            }
            Loss::Lease => contents.leases.remove(name).is_some(),
            Loss::Journal => contents.journal(Of::Tags).take().is_some(),
            Loss::Trim => contents.journal(Of::Tags).as_mut().is_some_and(Journal::trim_all),
            Loss::JournalOfKeys => contents.journal(Of::Keys).take().is_some(),
            Loss::TrimOfKeys => contents.journal(Of::Keys).as_mut().is_some_and(Journal::trim_all),
        }
    }

    /// Notes a request that has been sent, and may arrive once more.
    pub(super) fn sent(&self, again: impl Fn(&Self) + Send + 'static) {
        lock(&self.late).push(Box::new(again));
    }

    /// One of the requests arrives again. `false` where there was none.
    pub(crate) fn arrive_again(&self, choose: impl FnOnce(usize) -> usize) -> bool {
        let mut late = std::mem::take(&mut *lock(&self.late));
        if late.is_empty() {
            return false;
        }
        let again = late.swap_remove(choose(late.len()));
        again(self);
        // What it has sent itself is no other request.
        *lock(&self.late) = late;
        true
    }

    /// A value as it is, to be written back by whoever does not know better.
    pub(crate) fn copy(&self, key: &Key) -> Option<(Vec<u8>, u64)> {
        let now = self.now();
        let mut contents = lock(&self.contents);
        contents.value(key.name(), now).map(|stored| (stored.bytes.clone(), stored.ends_at))
    }

    /// What was to be noted before tags were touched.
    pub(crate) fn journalize<'t>(&self, of: Of, names: impl Iterator<Item = &'t str>) {
        lock(&self.contents).note(of, names);
    }

    pub(crate) fn put_back(&self, key: &Key, (bytes, ends_at): (Vec<u8>, u64)) {
        lock(&self.contents).insert(key.name(), bytes, ends_at, self.capacity);
    }
}

impl Contents {
    pub(super) fn revive(&mut self, key: &Key, content: &str) {
        if faults::on(Fault::RenewalRevives) {
            let lease = Lease { content: content.to_owned(), ends_at: u64::MAX };
            self.leases.insert(key.name().to_owned(), lease);
        }
    }

    /// An invalidation by somebody who counts.
    pub(super) fn count_up(&mut self, name: &str, now: u64) {
        let count = self.value(name, now).map(|stored| stored.bytes.clone());
        let count: u64 =
            count.and_then(|count| String::from_utf8(count).ok()?.parse().ok()).unwrap_or(0);
        let next = (count + 1).to_string().into_bytes();
        self.insert(name, next, now + 1_000_000, 1 << 20);
    }
}
