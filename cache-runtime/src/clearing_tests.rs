//! Clearable functions through the whole lookup, on the embedded store with a paused clock.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use crate::private::{self, Extras, Policy, Site, Target, all, chosen, entry, literal};
use crate::{Cache, Entries, Entry};

const MINUTE: u64 = 60_000;
const DAY: Duration = Duration::from_secs(86_400);

const fn policy() -> Policy {
    Policy::new(5 * MINUTE).refresh_before(MINUTE).jitter_permille(0)
}

fn place() -> &'static str {
    ""
}

static LOAD: Site =
    Site::new("app::users", "load", place, "cleared", &policy()).with(&Extras::new().clearable());
static PLAIN: Site = Site::new("app::users", "plain", place, "plain", &policy());
static OTHER: Site =
    Site::new("app::users", "other", place, "other", &policy()).with(&Extras::new().clearable());
static NAMED: Site = Site::new("app::users", "named", place, "named", &policy())
    .with(&Extras::new().name("all:users").clearable());
static SHARING: Site = Site::new("app::other", "sharing", place, "cleared", &policy())
    .with(&Extras::new().same_entries_as(|| &LOAD));

/// What the bodies of a test do.
#[derive(Clone)]
struct Origin {
    cache: Cache,
    runs: Arc<AtomicUsize>,
    /// The run in which all entries of `LOAD` are invalidated.
    clears_in: Arc<AtomicUsize>,
}

impl Origin {
    async fn new() -> Self {
        let cache = Cache::builder().url("memory://").namespace("ns").build().await.unwrap();
        Self { cache, runs: Arc::default(), clears_in: Arc::default() }
    }

    fn clears_in(&self, run: usize) {
        self.clears_in.store(run, Ordering::SeqCst);
    }

    async fn body(self) -> usize {
        let run = self.runs.fetch_add(1, Ordering::SeqCst) + 1;
        if run == self.clears_in.load(Ordering::SeqCst) {
            self.all(&LOAD).invalidate().await.unwrap();
        }
        run
    }

    fn target(&self, site: &'static Site) -> Target {
        Target::new(site, "", chosen(&self.cache), &[literal(site.template())])
    }

    fn all(&self, site: &'static Site) -> Entries {
        all(site, chosen(&self.cache))
    }

    fn entry(&self, site: &'static Site) -> Entry<usize> {
        entry(self.target(site), private::returns!(usize))
    }

    async fn call_forced(&self, site: &'static Site, forced: bool) -> usize {
        let target = |origin: &Self, _| origin.target(site);
        let (chosen, returns) = (chosen(&self.cache), private::returns!(usize));
        let call = private::call(forced, chosen, returns, self.clone(), target, Self::body);
        let mut call = call.refreshing(|origin: &Self| origin.clone().body());
        private::answer(&mut call).await
    }

    /// A call whose value lives for a day, whatever its function says.
    async fn call_for_a_day(&self) -> usize {
        let returns = private::returns!(usize).ttl_with(|_| DAY);
        let target = |origin: &Self, _| origin.target(&LOAD);
        let chosen = chosen(&self.cache);
        let mut call = private::call(false, chosen, returns, self.clone(), target, Self::body);
        private::answer(&mut call).await
    }

    async fn call(&self, site: &'static Site) -> usize {
        self.call_forced(site, false).await
    }

    async fn peek(&self, site: &'static Site) -> Option<usize> {
        self.entry(site).peek().await.unwrap().map(|seen| seen.value)
    }
}

/// Lets background work end. The clock is paused, so this takes no time.
async fn settle() {
    tokio::time::sleep(Duration::from_secs(2)).await;
}

#[tokio::test(start_paused = true)]
async fn a_clearable_function_hits_like_any_other() {
    let origin = Origin::new().await;
    for _ in 0..3 {
        assert_eq!(origin.call(&LOAD).await, 1);
    }
    assert_eq!(origin.peek(&LOAD).await, Some(1));
    tokio::time::sleep(Duration::from_secs(299)).await;
    assert_eq!(origin.peek(&LOAD).await, Some(1), "the tag outlives the entry");
}

#[tokio::test(start_paused = true)]
async fn c1_clearing_reaches_the_function_and_no_other() {
    let origin = Origin::new().await;
    let sites = [&LOAD, &PLAIN, &OTHER, &NAMED];
    for (at, site) in sites.into_iter().enumerate() {
        assert_eq!(origin.call(site).await, at + 1);
    }
    origin.all(&LOAD).invalidate().await.unwrap();
    assert_eq!(origin.peek(&LOAD).await, None);
    for (site, value) in sites.into_iter().zip([5, 2, 3, 4]) {
        assert_eq!(origin.call(site).await, value);
    }
    origin.all(&NAMED).invalidate().await.unwrap();
    for (site, value) in sites.into_iter().zip([5, 2, 3, 6]) {
        assert_eq!(origin.call(site).await, value);
    }
    // Once more, and where nothing is stored.
    for _ in 0..2 {
        origin.all(&LOAD).invalidate().await.unwrap();
    }
    assert_eq!(origin.call(&LOAD).await, 7);
}

#[tokio::test(start_paused = true)]
async fn c1_clearing_during_a_foreground_body() {
    let origin = Origin::new().await;
    origin.clears_in(1);
    assert_eq!(origin.call(&LOAD).await, 1, "who called before gets the old value");
    assert_eq!(origin.peek(&LOAD).await, None, "but nobody else does");
    assert_eq!(origin.call(&LOAD).await, 2);
    assert_eq!(origin.call(&LOAD).await, 2);
}

#[tokio::test(start_paused = true)]
async fn c1_clearing_during_a_background_refresh() {
    let origin = Origin::new().await;
    origin.call(&LOAD).await;
    origin.entry(&LOAD).expire().await.unwrap();
    origin.clears_in(2);
    assert_eq!(origin.call(&LOAD).await, 1);
    settle().await;
    assert_eq!(origin.runs.load(Ordering::SeqCst), 2, "refreshed");
    assert_eq!(origin.peek(&LOAD).await, None);
    assert_eq!(origin.call(&LOAD).await, 3);
}

#[tokio::test(start_paused = true)]
async fn what_a_background_refresh_stores_is_served() {
    let origin = Origin::new().await;
    origin.call(&LOAD).await;
    origin.entry(&LOAD).expire().await.unwrap();
    assert_eq!(origin.call(&LOAD).await, 1);
    settle().await;
    assert_eq!(origin.peek(&LOAD).await, Some(2));
    assert_eq!(origin.call(&LOAD).await, 2);
}

#[tokio::test(start_paused = true)]
async fn c1_a_stale_entry_that_was_cleared_is_a_miss() {
    let origin = Origin::new().await;
    origin.call(&LOAD).await;
    origin.entry(&LOAD).expire().await.unwrap();
    origin.all(&LOAD).invalidate().await.unwrap();
    assert_eq!(origin.call(&LOAD).await, 2, "served without a refresh behind it");
    settle().await;
    assert_eq!(origin.runs.load(Ordering::SeqCst), 2);
}

#[tokio::test(start_paused = true)]
async fn c1_clearing_during_a_forced_refresh() {
    let origin = Origin::new().await;
    assert_eq!(origin.call_forced(&LOAD, true).await, 1);
    assert_eq!(origin.call(&LOAD).await, 1, "what it stores is served");
    origin.clears_in(2);
    assert_eq!(origin.call_forced(&LOAD, true).await, 2);
    assert_eq!(origin.peek(&LOAD).await, None);
    assert_eq!(origin.call(&LOAD).await, 3);
}

#[tokio::test(start_paused = true)]
async fn a_value_is_set_after_clearing_and_cleared_again() {
    let origin = Origin::new().await;
    origin.call(&LOAD).await;
    origin.all(&LOAD).invalidate().await.unwrap();
    origin.entry(&LOAD).set(99).await.unwrap();
    assert_eq!(origin.peek(&LOAD).await, Some(99));
    assert_eq!(origin.call(&LOAD).await, 99);
    origin.all(&LOAD).invalidate().await.unwrap();
    assert_eq!(origin.call(&LOAD).await, 2);
}

#[tokio::test(start_paused = true)]
async fn a_value_that_lives_longer_than_its_function_says_is_served_to_its_end() {
    let origin = Origin::new().await;
    for _ in 0..2 {
        assert_eq!(origin.call_for_a_day().await, 1);
        tokio::time::sleep(DAY / 2).await;
    }
    assert_eq!(origin.peek(&LOAD).await, None);
}

#[tokio::test(start_paused = true)]
async fn c1_clearing_during_the_body_of_a_value_that_lives_longer_than_its_function_says() {
    let origin = Origin::new().await;
    origin.clears_in(1);
    assert_eq!(origin.call_for_a_day().await, 1);
    assert_eq!(origin.peek(&LOAD).await, None);
    assert_eq!(origin.call(&LOAD).await, 2);
}

/// Both sides of the deploy that brings `clearable`, and two sites of one name.
#[tokio::test(start_paused = true)]
async fn c1_an_entry_without_the_tag_is_not_served_to_a_clearable_function() {
    static BEFORE: Site = Site::new("app::users", "load", place, "cleared", &policy());
    let origin = Origin::new().await;
    assert_eq!(origin.call(&BEFORE).await, 1);
    assert_eq!(origin.call(&LOAD).await, 2);
    // And they do not overwrite each other.
    assert_eq!(origin.call(&BEFORE).await, 1);
    origin.all(&LOAD).invalidate().await.unwrap();
    assert_eq!(origin.call(&LOAD).await, 3);
}

#[tokio::test(start_paused = true)]
async fn c1_who_shares_a_clearable_functions_entries_is_cleared_with_it() {
    let origin = Origin::new().await;
    assert_eq!(origin.call(&LOAD).await, 1);
    assert_eq!(origin.call(&SHARING).await, 1);
    origin.all(&SHARING).invalidate().await.unwrap();
    assert_eq!(origin.call(&SHARING).await, 2);
    assert_eq!(origin.call(&LOAD).await, 2);
    origin.all(&LOAD).invalidate().await.unwrap();
    assert_eq!(origin.call(&SHARING).await, 3);
}

#[test]
fn a_functions_tag_is_its_path_or_its_name_and_nothing_that_a_compiler_made() {
    for (site, key) in [
        (&LOAD, "ns.tag:{fn:app::users::load}"),
        (&SHARING, "ns.tag:{fn:app::users::load}"),
        (&NAMED, "ns.tag:{fn:all:users}"),
    ] {
        assert_eq!(site.own_tag("ns").key(), key);
    }
    assert!(PLAIN.tags_before("ns").is_empty());
}

#[tokio::test(start_paused = true)]
async fn without_a_cache_nothing_looks_as_if_it_was_cleared() {
    assert!(all(&LOAD, private::bypassed()).invalidate().await.is_err());
    let shown = format!("{:?}", all(&LOAD, private::bypassed()));
    assert!(shown.contains("load"), "{shown}");
}
