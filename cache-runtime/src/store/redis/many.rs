//! Reads of many keys at once.

use std::collections::HashMap;
use std::collections::hash_map::Entry;

use bytes::Bytes;
use tokio::time::Instant;

use super::{MOST_AT_ONCE, Redis};
use crate::by_hand::Boxed;
use crate::key::Key;
use crate::store::{StoreError, ValueAndNonces};
use crate::tags::{Nonce, Tag};
use crate::together::together;

/// So many requests of one read are on their way at once.
const REQUESTS_AT_ONCE: usize = 16;

type Read = Result<Option<Bytes>, StoreError>;

impl Redis {
    /// What is stored under each of these keys, which differ, and under their tags, each of which is read once.
    pub(crate) async fn read_all(
        &self,
        wanted: &[(&Key, &[Tag])],
        deadline: Instant,
    ) -> Vec<Result<ValueAndNonces, StoreError>> {
        let mut names: Vec<&str> = wanted.iter().map(|(key, _)| key.name()).collect();
        let mut places: HashMap<&str, usize> = HashMap::new();
        for tag in wanted.iter().flat_map(|(_, tags)| *tags) {
            if let Entry::Vacant(vacant) = places.entry(tag.key()) {
                vacant.insert(names.len());
                names.push(tag.key());
            }
        }
        let mut values = self.each_string(&names, deadline).await;
        let nonces = values.split_off(wanted.len());
        let nonce = |tag: &Tag| match &nonces[places[tag.key()] - wanted.len()] {
            Ok(bytes) => Ok(bytes.clone().and_then(Nonce::new)),
            Err(error) => Err(error.clone()),
        };
        let of_key = |((_, tags), value): (&(&Key, &[Tag]), Read)| {
            let nonces = tags.iter().map(nonce).collect::<Result<_, _>>()?;
            Ok((value?.unwrap_or_default(), nonces))
        };
        wanted.iter().zip(values).map(of_key).collect()
    }

    fn read_one<'r>(&'r self, name: &'r str, deadline: Instant) -> Boxed<'r, Read> {
        Box::pin(async move { Ok(self.topology.read(name, &[], deadline).await?.0) })
    }

    /// In commands of a bounded length; where the keys lie on different nodes one for each, so that of a node that does
    /// not answer only what is there is missing. They are not read at one moment, and need not be: see `topology`.
    async fn each_string(&self, names: &[&str], deadline: Instant) -> Vec<Read> {
        if self.topology.is_cluster() {
            return self
                .topology
                .each(names, |name| name, |name| self.read_one(name, deadline))
                .await;
        }
        let chunks: Vec<&[&str]> = names.chunks(MOST_AT_ONCE).collect();
        let mut read = Vec::with_capacity(names.len());
        for chunks in chunks.chunks(REQUESTS_AT_ONCE) {
            let ask = |(at, names)| -> Boxed<'_, (usize, Vec<Read>)> {
                let names: &[&str] = names;
                Box::pin(async move {
                    let read = match self.topology.read(names[0], &names[1..], deadline).await {
                        Ok((first, more)) => [first].into_iter().chain(more).map(Ok).collect(),
                        Err(error) => vec![Err(error); names.len()],
                    };
                    (at, read)
                })
            };
            let chunks = chunks.iter().copied().enumerate();
            let mut answers = together(chunks.map(ask).collect()).await;
            answers.sort_unstable_by_key(|(at, _)| *at);
            read.extend(answers.into_iter().flat_map(|(_, read)| read));
        }
        read
    }
}
