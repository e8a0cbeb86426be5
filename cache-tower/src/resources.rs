//! What one process knows of resources before it asks the store for a response.

use std::collections::HashMap;
use std::mem;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use http::HeaderName;
use tokio::time::Instant;

use crate::stored::Unstorable;

/// So many are known. Of older ones it is learned again, at the price of a second look at the store.
const MOST: usize = 8_192;
/// How long requests for a resource go past the cache, once it has given a response that is not to be stored:
/// they would wait for each other, for nothing. Then one of them goes through it, and the others go on as before.
const PASSES: Duration = Duration::from_secs(60);
/// The same after a failure.
const PASSES_BRIEFLY: Duration = Duration::from_secs(5);

/// A URI, and whether requests for it carry credentials.
pub(crate) type Id = [u8; 32];

/// What is known of one resource.
#[derive(Clone, Debug, Default)]
pub(crate) struct Known {
    /// The headers that its responses vary on.
    pub(crate) vary: Arc<[HeaderName]>,
    passing: Option<Passing>,
}

/// Whether a request goes through the cache.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Way {
    Through,
    /// It is time to try again, and this request does, for all others.
    Again,
    Past,
}

#[derive(Clone, Copy, Debug)]
struct Passing {
    until: Instant,
    /// The head of a response tells that it may be stored after all.
    ends_by_head: bool,
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
        self.passing.is_some_and(|passing| Instant::now() < passing.until)
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

    /// Which way a request is to go.
    pub(crate) fn way(&self, id: &Id) -> Way {
        let known = self.get(id);
        let Some(passing) = known.passing else { return Way::Through };
        if known.passes() {
            return Way::Past;
        }
        let passing = Passing { until: Instant::now() + PASSES_BRIEFLY, ..passing };
        let known = Known { passing: Some(passing), ..known };
        self.with(|generations| generations.insert(*id, known));
        Way::Again
    }

    /// Notes what a response varies on. It may be stored, so requests for the resource go through the cache.
    pub(crate) fn learn(&self, id: &Id, vary: &[HeaderName]) {
        let known = self.get(id);
        if *known.vary != *vary || known.passing.is_some() {
            let known = Known { vary: vary.into(), passing: None };
            self.with(|generations| generations.insert(*id, known));
        }
    }

    /// For a while requests for it go past the cache.
    pub(crate) fn pass(&self, id: &Id, why: Unstorable) {
        let time = if why.always { PASSES } else { PASSES_BRIEFLY };
        let passing = Passing { until: Instant::now() + time, ends_by_head: why.is_told_by_head };
        let known = Known { passing: Some(passing), ..self.get(id) };
        self.with(|generations| generations.insert(*id, known));
    }

    /// What the head of a response that went past the cache tells.
    pub(crate) fn see(&self, id: &Id, judged: Result<(), Unstorable>) {
        let known = self.get(id);
        match judged {
            Err(why) => self.pass(id, why),
            Ok(()) if known.passing.is_some_and(|passing| passing.ends_by_head) => {
                self.learn(id, &known.vary);
            }
            Ok(()) => {}
        }
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

    fn why(always: bool, is_told_by_head: bool) -> Unstorable {
        Unstorable { why: "test", always, is_told_by_head }
    }

    #[tokio::test(start_paused = true)]
    async fn requests_pass_for_a_while_and_then_all_but_one() {
        for (why, time) in [(why(true, true), PASSES), (why(false, true), PASSES_BRIEFLY)] {
            let resources = Resources::default();
            resources.learn(&id(0), &[ACCEPT]);
            assert_eq!(resources.way(&id(0)), Way::Through);
            resources.pass(&id(0), why);
            assert_eq!(resources.way(&id(0)), Way::Past);
            assert_eq!(*resources.get(&id(0)).vary, [ACCEPT]);
            tokio::time::advance(time).await;
            assert_eq!(resources.way(&id(0)), Way::Again);
            assert_eq!(resources.way(&id(0)), Way::Past, "the others");
            resources.learn(&id(0), &[ACCEPT]);
            assert_eq!(resources.way(&id(0)), Way::Through);
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_head_ends_what_a_head_has_told() {
        for is_told_by_head in [true, false] {
            let resources = Resources::default();
            resources.pass(&id(0), why(true, is_told_by_head));
            resources.see(&id(0), Ok(()));
            assert_eq!(resources.way(&id(0)) == Way::Past, !is_told_by_head);
            resources.see(&id(0), Err(why(true, true)));
            assert_eq!(resources.way(&id(0)), Way::Past);
        }
    }
}
