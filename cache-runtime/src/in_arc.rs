//! Values behind an `Arc` are stored as what is in it, with or without serde's feature `rc`.

use std::sync::Arc;

use serde::de::{Deserialize, Deserializer};
use serde::{Serialize, Serializer};

use crate::returns::Stored;

/// What an [`Arc`] may hold to be stored: what could be stored itself, `str`, and slices.
pub trait InArc: Serialize + Send + Sync + 'static {
    /// What it is read as.
    type Owned: Stored;
    #[doc(hidden)]
    fn shared(owned: Self::Owned) -> Arc<Self>;
}

impl<T: Stored + Sync> InArc for T {
    type Owned = T;

    fn shared(owned: T) -> Arc<T> {
        Arc::new(owned)
    }
}

impl InArc for str {
    type Owned = String;

    fn shared(owned: String) -> Arc<str> {
        owned.into()
    }
}

impl<T: Stored + Sync> InArc for [T] {
    type Owned = Vec<T>;

    fn shared(owned: Vec<T>) -> Arc<[T]> {
        owned.into()
    }
}

/// An `Arc` that is written and read as what is in it.
pub(crate) struct Held<T: ?Sized>(pub(crate) Arc<T>);

impl<T: InArc + ?Sized> Serialize for Held<T> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        (*self.0).serialize(serializer)
    }
}

impl<'de, T: InArc + ?Sized> Deserialize<'de> for Held<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        T::Owned::deserialize(deserializer).map(|owned| Self(T::shared(owned)))
    }
}
