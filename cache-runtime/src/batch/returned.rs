//! What a batch returns, and what of that belongs to each of its keys.

use std::collections::{BTreeMap, HashMap};
use std::hash::{BuildHasher, Hash};

/// What a batch may return.
#[diagnostic::on_unimplemented(
    message = "a batch can't return `{Self}`",
    label = "the answer of a batch must say which value belongs to which key",
    note = "return a `HashMap<K, V>` or a `BTreeMap<K, V>`, a `Result` of one, or a map of `Result`s, `HashMap<K, \
            Result<V, E>>`, where each key may fail for itself"
)]
pub trait Batched {
    /// What the values are found by.
    type Id;
    /// What a function for one key would return.
    type Each;
    /// The same, where it may find nothing.
    type EachOrNone;
}

impl<I, V, S> Batched for HashMap<I, V, S> {
    type Id = I;
    type Each = V;
    type EachOrNone = Option<V>;
}

impl<I, V> Batched for BTreeMap<I, V> {
    type Id = I;
    type Each = V;
    type EachOrNone = Option<V>;
}

impl<M: Batched, E> Batched for Result<M, E> {
    type Id = M::Id;
    type Each = Result<M::Each, E>;
    type EachOrNone = Result<M::EachOrNone, E>;
}

/// What a body has given for the keys that it was asked for, in their order.
#[derive(Debug)]
pub enum Parts<O> {
    /// For each what a function for one key would have returned, if there is anything.
    Each(Vec<Option<O>>),
    /// One error for all.
    Failed(O),
}

/// A batch that gives each of its keys one `O`.
#[diagnostic::on_unimplemented(
    message = "a batch can't return `{Self}`",
    label = "the answer of a batch must say which value belongs to which key",
    note = "return a `HashMap<K, V>` or a `BTreeMap<K, V>`, whose `K` is `Eq + Hash` or `Ord`; a `Result` of one, or a map \
            of `Result`s, `HashMap<K, Result<V, E>>`, where each key may fail for itself"
)]
pub trait BatchOf<O>: Batched + Sized {
    #[doc(hidden)]
    fn parted(self, ids: &[Self::Id]) -> Parts<O>;
    /// The answer for these keys; of the errors that are for all, the first.
    #[doc(hidden)]
    fn joined(parts: Vec<(Self::Id, O)>) -> Self;
}

impl<I: Eq + Hash, V, S: BuildHasher + Default> BatchOf<V> for HashMap<I, V, S> {
    fn parted(mut self, ids: &[I]) -> Parts<V> {
        Parts::Each(ids.iter().map(|id| self.remove(id)).collect())
    }

    fn joined(parts: Vec<(I, V)>) -> Self {
        parts.into_iter().collect()
    }
}

impl<I: Eq + Hash, V, S: BuildHasher + Default> BatchOf<Option<V>> for HashMap<I, V, S> {
    fn parted(mut self, ids: &[I]) -> Parts<Option<V>> {
        Parts::Each(ids.iter().map(|id| Some(self.remove(id))).collect())
    }

    fn joined(parts: Vec<(I, Option<V>)>) -> Self {
        parts.into_iter().filter_map(|(id, value)| Some((id, value?))).collect()
    }
}

impl<I: Ord, V> BatchOf<V> for BTreeMap<I, V> {
    fn parted(mut self, ids: &[I]) -> Parts<V> {
        Parts::Each(ids.iter().map(|id| self.remove(id)).collect())
    }

    fn joined(parts: Vec<(I, V)>) -> Self {
        parts.into_iter().collect()
    }
}

impl<I: Ord, V> BatchOf<Option<V>> for BTreeMap<I, V> {
    fn parted(mut self, ids: &[I]) -> Parts<Option<V>> {
        Parts::Each(ids.iter().map(|id| Some(self.remove(id))).collect())
    }

    fn joined(parts: Vec<(I, Option<V>)>) -> Self {
        parts.into_iter().filter_map(|(id, value)| Some((id, value?))).collect()
    }
}

impl<O, M: BatchOf<O>, E> BatchOf<Result<O, E>> for Result<M, E> {
    fn parted(self, ids: &[M::Id]) -> Parts<Result<O, E>> {
        match self.map(|map| map.parted(ids)) {
            Ok(Parts::Each(each)) => Parts::Each(each.into_iter().map(|one| one.map(Ok)).collect()),
            Ok(Parts::Failed(failed)) => Parts::Failed(Ok(failed)),
            Err(error) => Parts::Failed(Err(error)),
        }
    }

    fn joined(parts: Vec<(M::Id, Result<O, E>)>) -> Self {
        let parts: Result<Vec<_>, E> = parts.into_iter().map(|(id, one)| Ok((id, one?))).collect();
        parts.map(M::joined)
    }
}

/// A batch each of whose keys may have an error of its own.
#[diagnostic::on_unimplemented(
    message = "the error of `{Self}` is one for all keys of the batch, and can't be stored under each",
    label = "`cache_err_if` says which errors of a key are stored",
    note = "return a map of `Result`s, as `HashMap<K, Result<V, E>>`, or drop `cache_err_if`"
)]
pub trait ErrorsOfEach {}

impl<I, V, E, S> ErrorsOfEach for HashMap<I, Result<V, E>, S> {}

impl<I, V, E> ErrorsOfEach for BTreeMap<I, Result<V, E>> {}
