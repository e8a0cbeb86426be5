//! What one process knows of resources before it asks the store for a response.

use std::collections::HashMap;
use std::mem;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use http::HeaderName;
use tokio::time::Instant;

/// So many are known. Of older ones it is learned again, at the price of a second look at the store.
const MOST: usize = 8_192;
/// How long requests for a resource go past the cache, once it has given a response that is not to be stored:
/// they would wait for each other, for nothing.
const PASSES: Duration = Duration::from_secs(60);

/// A URI, and whether requests for it carry credentials.
pub(crate) type Id = [u8; 32];

/// What is known of one resource.
#[derive(Clone, Debug, Default)]
pub(crate) struct Known {
    /// The headers that its responses vary on.
    pub(crate) vary: Arc<[HeaderName]>,
    passes_until: Option<Instant>,
}

/// In two generations, so that what is asked for stays known and the others are forgotten.
#[derive(Debug, Default)]
pub(crate) struct Resources(Mutex<Generations>);

#[derive(Debug, Default)]
struct Generations {
    young: HashMap<Id, Known>,
    old: HashMap<Id, Known>,
}

impl Known {
    /// Whether requests for it are to go past the cache.
    pub(crate) fn passes(&self) -> bool {
        self.passes_until.is_some_and(|until| Instant::now() < until)
    }
}

impl Resources {
    pub(crate) fn get(&self, id: &Id) -> Known {
        self.with(|generations| {
            if let Some(known) = generations.young.get(id) {
                return known.clone();
            }
            match generations.old.remove(id) {
                Some(known) => {
                    generations.insert(*id, known.clone());
                    known
                }
                None => Known::default(),
            }
        })
    }

    /// Notes what a response varies on. It may be stored, so requests for the resource go through the cache.
    pub(crate) fn learn(&self, id: &Id, vary: &[HeaderName]) {
        let known = self.get(id);
        if *known.vary != *vary || known.passes_until.is_some() {
            let known = Known { vary: vary.into(), passes_until: None };
            self.with(|generations| generations.insert(*id, known));
        }
    }

    /// For a while requests for it go past the cache.
    pub(crate) fn pass(&self, id: &Id) {
        let passes_until = Some(Instant::now() + PASSES);
        let known = Known { passes_until, ..self.get(id) };
        self.with(|generations| generations.insert(*id, known));
    }

    fn with<R>(&self, look: impl FnOnce(&mut Generations) -> R) -> R {
        look(&mut self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

impl Generations {
    fn insert(&mut self, id: Id, known: Known) {
        self.young.insert(id, known);
        if self.young.len() >= MOST / 2 {
            self.old = mem::take(&mut self.young);
        }
    }
}

#[cfg(test)]
mod tests {
    use http::header::{ACCEPT, ORIGIN};

    use super::*;

    fn id(n: u64) -> Id {
        *blake3::hash(&n.to_le_bytes()).as_bytes()
    }

    #[test]
    fn what_is_asked_for_stays_known_and_the_number_is_bounded() {
        let resources = Resources::default();
        resources.learn(&id(0), &[ACCEPT, ORIGIN]);
        for n in 1..100_000 {
            resources.learn(&id(n), &[ACCEPT]);
            assert_eq!(*resources.get(&id(0)).vary, [ACCEPT, ORIGIN], "{n}");
            resources.with(|all| assert!(all.young.len() + all.old.len() <= MOST));
        }
        assert!(resources.get(&id(1)).vary.is_empty());
    }

    #[tokio::test(start_paused = true)]
    async fn requests_pass_for_a_while_or_until_a_response_may_be_stored() {
        let resources = Resources::default();
        resources.learn(&id(0), &[ACCEPT]);
        resources.pass(&id(0));
        assert!(resources.get(&id(0)).passes() && *resources.get(&id(0)).vary == [ACCEPT]);
        tokio::time::advance(PASSES).await;
        assert!(!resources.get(&id(0)).passes());
        resources.pass(&id(0));
        resources.learn(&id(0), &[ACCEPT]);
        assert!(!resources.get(&id(0)).passes());
    }
}
