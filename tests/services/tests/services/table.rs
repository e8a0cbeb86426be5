//! What the services read from.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use redis_cached_tests::Gate;

/// Rows that tests change, and a gate behind every read. Clones are one table.
pub(crate) struct Table<K, V>(Arc<Inner<K, V>>);

struct Inner<K, V> {
    rows: Mutex<BTreeMap<K, V>>,
    gate: Gate,
}

impl<K, V> Clone for Table<K, V> {
    fn clone(&self) -> Self {
        Self(Arc::clone(&self.0))
    }
}

impl<K: Ord, V: Clone> Table<K, V> {
    pub(crate) fn new(rows: impl IntoIterator<Item = (K, V)>) -> Self {
        Self::behind(Gate::open(), rows)
    }

    pub(crate) fn behind(gate: Gate, rows: impl IntoIterator<Item = (K, V)>) -> Self {
        let rows = Mutex::new(rows.into_iter().collect());
        Self(Arc::new(Inner { rows, gate }))
    }

    /// Read first, and then held by the gate: what is in flight is old.
    pub(crate) async fn read(&self, key: &K) -> Option<V> {
        let row = self.read_now(key);
        self.0.gate.pass().await;
        row
    }

    pub(crate) fn write(&self, key: K, value: V) {
        self.rows().insert(key, value);
    }

    /// As it is now, past the gate.
    pub(crate) fn read_now(&self, key: &K) -> Option<V> {
        self.rows().get(key).cloned()
    }

    /// As many as bodies, in a service whose bodies read once.
    pub(crate) fn reads(&self) -> usize {
        self.0.gate.runs()
    }

    pub(crate) fn gate(&self) -> &Gate {
        &self.0.gate
    }

    fn rows(&self) -> MutexGuard<'_, BTreeMap<K, V>> {
        self.0.rows.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
