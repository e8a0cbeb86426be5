//! What a run is about: an origin with versions, who has acknowledged what, and the functions.

use std::cell::RefCell;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use crate::cache::Cache;
use crate::config::Settings;
use crate::key::Key;
use crate::private::{self, Policy, Segment, Site, Tagging, Target, chosen, entry, literal};
use crate::store::Store;
use crate::store::memory::Memory;
use crate::store::memory::loss::Loss;
use crate::sync::lock;
use crate::tags::Tag;
use crate::{Entry, tag};

use super::scheduler::point;

const fn policy() -> Policy {
    Policy::new(300_000).refresh_before(60_000).jitter_permille(0)
}

fn nowhere() -> &'static str {
    ""
}

macro_rules! sites {
    ($($name:ident = $function:literal;)*) => {
        $(static $name: Site = Site::new("model", $function, nowhere, $function, &policy());)*
    };
}

sites! {
    PLAIN = "plain";
    TAGGED = "tagged";
    LATE = "late";
    VALUED = "valued";
    OUTER = "outer";
    OUTER_TAGGED = "outer-tagged";
    OUTER_LATE = "outer-late";
    SHAKY = "shaky";
    PRIMING = "priming";
    PRIMING_TAGGED = "priming-tagged";
    PRIMING_VALUED = "priming-valued";
}

/// Under the key of `PLAIN`, with entries of its own.
static NEWER: Site = Site::new("model", "newer", nowhere, "plain", &policy());

const fn kept() -> Policy {
    Policy::new(300_000).stale_if_error(600_000).jitter_permille(0)
}

static KEPT: Site = Site::new("model", "kept", nowhere, "kept", &kept());
static KEPT_TAGGED: Site = Site::new("model", "kept-tagged", nowhere, "kept-tagged", &kept());
static KEPT_SOFTLY: Site =
    Site::new("model", "kept-softly", nowhere, "kept-softly", &kept().soft_timeout(50));

/// The functions that are called.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Function {
    /// No tags.
    Plain,
    /// As `Plain`, and of another version of the program.
    Newer,
    /// Tagged `a` by its arguments.
    Tagged,
    /// As `Tagged`, under the same key, for callers whose arguments say `b`.
    OtherwiseTagged,
    /// Tagged `a` inside its body.
    Late,
    /// Tagged `a` by its value, and `b` by its arguments.
    Valued,
    /// Calls `Tagged`.
    Outer,
    /// Calls `Tagged`, and is tagged `a` by its arguments itself.
    OuterTagged,
    /// Calls `Late`.
    OuterLate,
    /// No tags; every other body fails.
    Shaky,
    /// No tags; every other body fails, and then a value past its ttl is served.
    Kept,
    /// As `Kept`, tagged `a` by its arguments.
    KeptTagged,
    /// As `Kept`, and callers with such a value wait for a moment only.
    KeptSoftly,
    /// Has a value at hand for `Plain`.
    Priming,
    /// Has one at hand for `Tagged`.
    PrimingTagged,
    /// Has one at hand for `Valued`.
    PrimingValued,
}

impl Function {
    fn site(self) -> &'static Site {
        match self {
            Self::Plain => &PLAIN,
            Self::Newer => &NEWER,
            Self::Tagged | Self::OtherwiseTagged => &TAGGED,
            Self::Late => &LATE,
            Self::Valued => &VALUED,
            Self::Outer => &OUTER,
            Self::OuterTagged => &OUTER_TAGGED,
            Self::OuterLate => &OUTER_LATE,
            Self::Shaky => &SHAKY,
            Self::Kept => &KEPT,
            Self::KeptTagged => &KEPT_TAGGED,
            Self::KeptSoftly => &KEPT_SOFTLY,
            Self::Priming => &PRIMING,
            Self::PrimingTagged => &PRIMING_TAGGED,
            Self::PrimingValued => &PRIMING_VALUED,
        }
    }

    fn declared(self) -> Option<&'static str> {
        match self {
            Self::Tagged | Self::OuterTagged | Self::KeptTagged => Some("a"),
            Self::OtherwiseTagged | Self::Valued => Some("b"),
            _ => None,
        }
    }

    fn primes(self) -> Option<Self> {
        match self {
            Self::Priming => Some(Self::Plain),
            Self::PrimingTagged => Some(Self::Tagged),
            Self::PrimingValued => Some(Self::Valued),
            _ => None,
        }
    }

    fn inner(self) -> Option<Self> {
        match self {
            Self::Outer | Self::OuterTagged => Some(Self::Tagged),
            Self::OuterLate => Some(Self::Late),
            _ => None,
        }
    }

    /// Whether an invalidation is about it.
    fn is_subject_to(self, invalidation: Invalidation) -> bool {
        match invalidation {
            Invalidation::Key(function) => function.site().template() == self.site().template(),
            Invalidation::Tag("a") => {
                let tagged = [Self::Tagged, Self::Late, Self::Valued, Self::KeptTagged];
                let calls_tagged = [Self::Outer, Self::OuterTagged, Self::OuterLate];
                tagged.contains(&self) || calls_tagged.contains(&self)
            }
            Invalidation::Tag(tag) => self.declared() == Some(tag),
            Invalidation::Both => {
                ["a", "b"].map(Invalidation::Tag).iter().any(|tag| self.is_subject_to(*tag))
            }
            Invalidation::Everything => true,
        }
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Invalidation {
    Key(Function),
    Tag(&'static str),
    /// Tags `a` and `b`, by one request.
    Both,
    Everything,
}

/// What all parties of a run share.
pub(crate) struct World {
    /// Nothing goes wrong on the way, so nobody has a reason to wait for long.
    pub(crate) is_smooth: bool,
    pub(crate) store: Arc<Memory>,
    processes: Mutex<Vec<Process>>,
    books: Mutex<Books>,
}

/// What one process is between its start and its end.
struct Process {
    cache: Cache,
    life: usize,
}

fn started(store: &Arc<Memory>, life: usize) -> Process {
    let store = Store::Memory(Arc::clone(store));
    Process { cache: Cache::new(store, "ns".to_owned(), Settings::default()), life }
}

#[derive(Default)]
struct Books {
    origin: u64,
    acknowledged: Vec<(Invalidation, u64)>,
    expired: Vec<(Invalidation, u64)>,
    bodies: u64,
    /// What each value that was set is worth: it is as new as the origin was when the lease was seized.
    sets: Vec<(Vec<u8>, u64)>,
    broken: Option<String>,
    trace: Vec<String>,
}

impl World {
    pub(crate) fn new(processes: usize, is_smooth: bool) -> Arc<Self> {
        let store = Arc::new(Memory::new(1 << 20));
        let processes = Mutex::new((0..processes).map(|life| started(&store, life)).collect());
        // What functions have learned from other runs is the same in all of them.
        for site in [&LATE, &VALUED, &OUTER, &OUTER_TAGGED, &OUTER_LATE] {
            site.note_tags(true);
        }
        let primes = [&PRIMING, &PRIMING_TAGGED, &PRIMING_VALUED];
        let kept = [&KEPT, &KEPT_TAGGED, &KEPT_SOFTLY];
        for site in [&PLAIN, &NEWER, &TAGGED, &SHAKY].iter().chain(&primes).chain(&kept) {
            (0..8).for_each(|_| site.note_tags(false));
        }
        let others =
            [&PLAIN, &NEWER, &TAGGED, &LATE, &VALUED, &OUTER, &OUTER_TAGGED, &OUTER_LATE, &SHAKY];
        for site in others.iter().chain(&kept) {
            (0..8).for_each(|_| site.note_primes(false));
        }
        for site in primes {
            site.note_primes(true);
        }
        let world = Arc::new(Self { is_smooth, store, processes, books: Mutex::default() });
        CURRENT.set(Some(Arc::clone(&world)));
        world
    }

    pub(crate) fn cache(&self, process: usize) -> Cache {
        lock(&self.processes)[process].cache.clone()
    }

    pub(crate) fn life(&self, process: usize) -> usize {
        lock(&self.processes)[process].life
    }

    /// Starts a process again that has ended, knowing nothing.
    pub(crate) fn start_again(&self, process: usize) {
        let mut processes = lock(&self.processes);
        let life = processes.iter().map(|process| process.life).max().unwrap_or(0) + 1;
        processes[process] = started(&self.store, life);
    }

    /// A value to set that is like no other, so that it is known again.
    pub(crate) fn value_to_set(&self) -> u64 {
        let mut books = lock(&self.books);
        books.bodies += 1;
        SET + books.bodies
    }

    /// The version that a value stands for.
    pub(crate) fn version(&self, value: u64) -> u64 {
        if value < SET {
            return value;
        }
        let outgoing = returns(Function::Plain).form().outgoing(&value, || unreachable!());
        let bytes = outgoing.ok().and_then(|outgoing| outgoing.encoded);
        let bytes = bytes.map(|encoded| encoded.bytes).unwrap_or_default();
        let books = lock(&self.books);
        books.sets.iter().find(|(set, _)| *set == bytes).map_or(u64::MAX, |(_, version)| *version)
    }

    pub(crate) fn told(&self, what: String) {
        lock(&self.books).trace.push(what);
    }

    pub(crate) fn trace(&self) -> Vec<String> {
        lock(&self.books).trace.clone()
    }

    /// The first promise that was broken, with what led to it.
    pub(crate) fn broken(&self) -> Option<String> {
        let books = lock(&self.books);
        books.broken.as_ref().map(|broken| format!("{broken}\n  {}", books.trace.join("\n  ")))
    }

    pub(crate) fn breaks(&self, what: String) {
        lock(&self.books).broken.get_or_insert(what);
    }

    pub(crate) fn change(&self) -> u64 {
        let mut books = lock(&self.books);
        books.origin += 1;
        let version = books.origin;
        books.trace.push(format!("the origin changes to {version}"));
        version
    }

    pub(crate) fn origin(&self) -> u64 {
        lock(&self.books).origin
    }

    pub(crate) fn acknowledge(&self, invalidation: Invalidation, version: u64, expired: bool) {
        let mut books = lock(&self.books);
        let list = if expired { &mut books.expired } else { &mut books.acknowledged };
        list.push((invalidation, version));
        books.trace.push(format!("{invalidation:?} of {version} is acknowledged"));
    }

    /// The oldest version that a call may return from now on; and that it may be told is fresh.
    pub(crate) fn due(&self, function: Function) -> (u64, u64) {
        let books = lock(&self.books);
        let newest = |list: &[(Invalidation, u64)]| {
            let about = list.iter().filter(|(what, _)| function.is_subject_to(*what));
            about.map(|(_, version)| *version).max().unwrap_or(0)
        };
        (newest(&books.acknowledged), newest(&books.expired))
    }

    pub(crate) fn returned(&self, what: &str, function: Function, value: u64, due: u64) {
        let version = self.version(value);
        self.told(format!("{what} {function:?} returns {version}"));
        if version < due {
            self.breaks(format!(
                "{what} {function:?} returns {version}, which was invalidated by {due} before the call"
            ));
        }
    }

    pub(crate) fn target(&self, function: Function, process: usize) -> Target {
        let site = function.site();
        let cache = chosen(&self.cache(process));
        let target = Target::new(site, "", cache, &[literal(site.template())]);
        match function.declared() {
            Some(tag) => target.tags(&[&[literal(tag)]]),
            None => target,
        }
    }

    pub(crate) fn entry(&self, function: Function, process: usize) -> Entry<Result<u64, String>> {
        let target = self.target(function, process);
        if function == Function::Valued {
            entry(target, returns(function))
        } else {
            entry(target, private::returns!(Result<u64, String>))
        }
    }

    /// The key or tag that a loss is about.
    pub(crate) fn lose(&self, loss: Loss, of: Function) -> bool {
        let name = if loss == Loss::Nonce {
            Tag::named("ns", "a").key().to_owned()
        } else {
            let segments: [Segment<'_>; 1] = [literal(of.site().template())];
            Key::render("ns", &segments).expect("a text can be written").name().to_owned()
        };
        let was_there = self.store.lose(loss, &name);
        if was_there {
            self.told(format!("{loss:?} of {of:?} is lost"));
        }
        was_there
    }
}

thread_local! {
    static CURRENT: RefCell<Option<Arc<World>>> = const { RefCell::new(None) };
}

/// Values from here on were set.
const SET: u64 = 1_000_000;

/// Notes how new a value is that is to be set: what it is read from is read when its lease is seized.
pub(crate) fn seized(payload: &[u8]) {
    CURRENT.with_borrow(|world| {
        if let Some(world) = world {
            let mut books = lock(&world.books);
            let origin = books.origin;
            books.sets.push((payload.to_vec(), origin));
        }
    });
}

fn returns(function: Function) -> private::Returns<u64, Result<u64, String>, private::Said<u64>> {
    let tags: fn(&u64, &mut Tagging<'_>) = match function {
        Function::Valued => |_, tags| tags.extend(["a"]),
        _ => |_, _| {},
    };
    private::returns!(Result<u64, String>).tags(tags)
}

/// One call's arguments.
#[derive(Clone)]
pub(crate) struct Call {
    pub(crate) world: Arc<World>,
    pub(crate) function: Function,
    pub(crate) process: usize,
}

impl Call {
    /// What the function does where there is no value.
    async fn body(self) -> Result<u64, String> {
        let (world, function) = (&self.world, self.function);
        let bodies = {
            let mut books = lock(&world.books);
            books.bodies += 1;
            books.bodies
        };
        point("body").await;
        if matches!(function, Function::Late) {
            tag("a");
        }
        let mut version = world.origin();
        world.told(format!("a body of {function:?} reads {version}"));
        if let Some(inner) = function.inner() {
            let inner = Self { function: inner, ..self.clone() };
            version = version.min(Box::pin(inner.answered(false)).await?);
        }
        if let Some(other) = function.primes() {
            world.entry(other, self.process).prime(version);
        }
        point("body ends").await;
        if function == Function::Shaky && bodies % 2 == 1 {
            return Err("this one fails".to_owned());
        }
        let is_kept =
            matches!(function, Function::Kept | Function::KeptTagged | Function::KeptSoftly);
        if is_kept && bodies % 2 == 0 {
            return Err("this one fails".to_owned());
        }
        Ok(version)
    }

    pub(crate) fn answered(
        self,
        forced: bool,
    ) -> std::pin::Pin<Box<dyn Future<Output = Result<u64, String>> + Send>> {
        Box::pin(async move {
            let target = |call: &Self, _| call.world.target(call.function, call.process);
            let cache = chosen(&self.world.cache(self.process));
            let returns = returns(self.function);
            let call = private::call(forced, cache, returns, self, target, Self::body);
            let mut call = call.refreshing(|call: &Self| call.clone().body());
            private::answer(&mut call).await
        })
    }
}

/// A party that waits longer than this, while nobody stands still, waits in vain.
pub(crate) const IN_VAIN: Duration = Duration::from_secs(8);
