//! Gathers tags around what is no cached function: around a request.

use std::sync::Arc;

use crate::frame::{self, Frame, Spoiled};
use crate::tags;

/// Gathers the tags that are touched while something runs.
#[derive(Clone)]
pub struct Gathering(Arc<Frame>);

impl Gathering {
    /// Of at most so many tags.
    #[must_use]
    pub fn of_most(tags: usize) -> Self {
        Self(Frame::of_most(tags))
    }

    /// The same, where anybody around gathers.
    #[must_use]
    pub fn around(tags: usize) -> Option<Self> {
        frame::gathers().then(|| Self::of_most(tags))
    }

    /// Runs something, or a part of it, whose tags are gathered.
    pub fn within<R>(&self, run: impl FnOnce() -> R) -> R {
        self.0.within(run)
    }

    /// The names of all tags that were touched; `None` where not all of them are known. From now on nothing
    /// is gathered, and a body around this has them too.
    #[must_use]
    pub fn end(self) -> Option<Vec<String>> {
        let gathered = self.0.close();
        frame::hand_on(None, &gathered);
        let incomplete = matches!(gathered.spoiled, Some(Spoiled::TooMany | Spoiled::Unwritten));
        (!incomplete).then(|| gathered.names().into_iter().map(str::to_owned).collect())
    }
}

/// What a tag that is written so is called in the store.
#[must_use]
pub fn tag_name(text: &str) -> String {
    tags::name(text)
}
