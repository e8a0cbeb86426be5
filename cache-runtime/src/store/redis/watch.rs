//! Who waits for the end of which lease, woken by the server's invalidation pushes.

use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::sync::{Arc, Mutex};

use ::redis::{PushInfo, PushKind, Value};
use tokio::sync::Notify;
use tokio::sync::futures::Notified;

use crate::sync::lock;

/// Shared by the tracking connection, which reports, and by the waiters, who listen.
#[derive(Clone, Default)]
pub(crate) struct Watcher(Arc<Mutex<HashMap<String, Listened>>>);

struct Listened {
    ended: Arc<Notify>,
    listeners: usize,
}

/// One waiter's interest in one lease; ends with the value.
pub(crate) struct Listening {
    watcher: Watcher,
    name: String,
    ended: Arc<Notify>,
}

impl Watcher {
    pub(crate) fn listen(&self, name: &str) -> Listening {
        let mut map = lock(&self.0);
        let listened = map
            .entry(name.to_owned())
            .or_insert_with(|| Listened { ended: Arc::default(), listeners: 0 });
        listened.listeners += 1;
        let ended = Arc::clone(&listened.ended);
        Listening { watcher: self.clone(), name: name.to_owned(), ended }
    }

    /// Called by the connection's own task for every push, in the order of the stream.
    pub(crate) fn pushed(&self, push: &PushInfo) {
        match (&push.kind, push.data.first()) {
            (PushKind::Invalidate, Some(Value::Array(names))) => {
                for name in names {
                    if let Value::BulkString(name) = name {
                        self.wake(&String::from_utf8_lossy(name));
                    }
                }
            }
            // FLUSHALL names nothing, and after a disconnect no push can come any more.
            (PushKind::Invalidate | PushKind::Disconnection, _) => self.wake_all(),
            _ => {}
        }
    }

    fn wake(&self, name: &str) {
        if let Some(listened) = lock(&self.0).get(name) {
            listened.ended.notify_waiters();
        }
    }

    fn wake_all(&self) {
        for listened in lock(&self.0).values() {
            listened.ended.notify_waiters();
        }
    }
}

impl Listening {
    pub(crate) fn ended(&self) -> Notified<'_> {
        self.ended.notified()
    }
}

impl Drop for Listening {
    fn drop(&mut self) {
        let mut map = lock(&self.watcher.0);
        if let Entry::Occupied(mut entry) = map.entry(std::mem::take(&mut self.name)) {
            entry.get_mut().listeners -= 1;
            if entry.get().listeners == 0 {
                entry.remove();
            }
        }
    }
}
