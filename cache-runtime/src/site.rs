//! One annotated function: its name, its policy and its fingerprint.

use std::any::{TypeId, type_name};
use std::collections::{BTreeMap, HashMap};
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};
use std::sync::{Mutex, OnceLock};
use std::time::Duration;

use serde::de::DeserializeOwned;

use crate::codec::Format;
use crate::codec::compression::Compression;
use crate::fingerprint;
use crate::key::{Piece, Segment};
use crate::places::Places;
use crate::sync::lock;
use crate::tags::Tag;
use crate::telemetry;

/// One annotated function. The macro makes it a `static`.
#[derive(Debug)]
pub struct Site {
    module: &'static str,
    function: &'static str,
    place: fn() -> &'static str,
    name: Option<&'static str>,
    same_entries_as: Option<fn() -> &'static Site>,
    template: &'static str,
    tags: &'static [&'static str],
    clearable: bool,
    pub(crate) policy: &'static Policy,
    /// Made at first use: every function has a `Site` in the user's binary, whether it runs or not.
    state: OnceLock<Box<State>>,
    /// The cache that has noted this function last; 0 is none.
    noted_by: AtomicU64,
}

/// What a function comes to know while it runs.
#[derive(Debug, Default)]
struct State {
    first: OnceLock<First>,
    /// Only a generic function, or a method of a generic type, has any.
    others: Mutex<Others>,
    /// The warnings that have been given, a bit each.
    warned: AtomicU32,
    places: OnceLock<Places>,
}

/// The value type that was used first, and by far the most functions have no other.
#[derive(Debug)]
struct First {
    value: TypeId,
    value_name: &'static str,
    owner: &'static str,
    fingerprint: u64,
}

/// The fingerprints of the other value types and owners.
type Others = HashMap<(TypeId, &'static str), u64>;

/// Warnings that are given once for each function.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Warning {
    SlowerThanTtl,
    SlowerThanLease,
    Fallback,
    NotStorable,
    Recursion,
    Key,
    Runtime,
    Server,
    Policy,
    Overdue,
    Clash,
    Tags,
}

impl Site {
    /// Describes a function; `function` is its name, `template` the text of its key. `place` names
    /// something that is declared where the function stands: the functions around it are in there.
    #[must_use]
    pub const fn new(
        module: &'static str,
        function: &'static str,
        place: fn() -> &'static str,
        template: &'static str,
        policy: &'static Policy,
    ) -> Self {
        Self {
            module,
            function,
            place,
            name: None,
            same_entries_as: None,
            template,
            tags: &[],
            clearable: false,
            policy,
            state: OnceLock::new(),
            noted_by: AtomicU64::new(0),
        }
    }

    /// A name that stays when the function moves.
    #[must_use]
    pub const fn name(mut self, name: &'static str) -> Self {
        self.name = Some(name);
        self
    }

    /// The function whose entries this one reads and writes as well.
    #[must_use]
    pub const fn same_entries_as(mut self, other: fn() -> &'static Site) -> Self {
        self.same_entries_as = Some(other);
        self
    }

    /// The templates of its tags.
    #[must_use]
    pub const fn tags(mut self, tags: &'static [&'static str]) -> Self {
        self.tags = tags;
        self
    }

    /// Gives the function a tag of its own, by which all its entries are invalidated together.
    #[must_use]
    pub const fn clearable(mut self) -> Self {
        self.clearable = true;
        self
    }

    fn state(&self) -> &State {
        self.state.get_or_init(Box::default)
    }

    pub(crate) fn module(&self) -> &'static str {
        self.module
    }

    pub(crate) fn function(&self) -> &'static str {
        self.function
    }

    pub(crate) fn template(&self) -> &'static str {
        self.template
    }

    pub(crate) fn tag_templates(&self) -> &'static [&'static str] {
        self.tags
    }

    /// The function whose entries these are: this one, or that of `same_entries_as`.
    pub(crate) fn origin(&self) -> &Self {
        // A chain that is longer, or a circle, is cut; nobody means one.
        let mut site = self;
        for _ in 0..8 {
            match site.same_entries_as {
                Some(other) => site = other(),
                None => break,
            }
        }
        site
    }

    /// What the entries are known by: the given name, or where the function stands.
    fn identity(&self) -> [&'static str; 3] {
        if let Some(name) = self.name {
            return ["", name, ""];
        }
        let place = (self.place)();
        let place = if self.stands_in_its_module(place) { "" } else { place };
        [self.module, self.function, place]
    }

    /// Whether its entries carry its own tag. With the entries of another function goes its tag: what
    /// clears them for that function clears them for all that share them.
    fn is_clearable(&self) -> bool {
        self.clearable || self.origin().clearable
    }

    /// The tag of all entries of this function.
    ///
    /// Named without the names of types, which differ between compilers: both sides of a rolling deploy
    /// must be reached. Functions of one name in one module have one tag, and are cleared together.
    pub(crate) fn own_tag(&self, namespace: &str) -> Tag {
        let [module, function, _] = self.origin().identity();
        let segments = if module.is_empty() {
            vec![Piece::Literal("fn:"), Piece::Value(&function)]
        } else {
            ["fn:", module, "::", function].map(Piece::Literal).to_vec()
        };
        let segments: Vec<Segment<'_>> = segments.into_iter().map(Segment).collect();
        Tag::render(namespace, &segments).expect("a text can be written")
    }

    /// The tags of an entry that are known before its body runs.
    pub(crate) fn tags_before(&self, namespace: &str) -> Vec<Tag> {
        if self.is_clearable() { vec![self.own_tag(namespace)] } else { Vec::new() }
    }

    /// Tells entries of this function and this value type from all others.
    ///
    /// Where another function of this program has the same already, a number of this process alone, so
    /// that neither is served the other's values.
    ///
    /// `owner` is the type whose method this is: two `impl` blocks of one module may hold functions
    /// of one name.
    pub(crate) fn fingerprint<V, F>(&self, owner: &'static str) -> u64
    where
        V: DeserializeOwned + 'static,
        F: Format,
    {
        let value = (TypeId::of::<V>(), type_name::<V>());
        self.fingerprint_of(value, fingerprint::schema_of::<V>, (F::IS_OF_USER, F::NAME), owner)
    }

    /// Not generic: compiled once.
    fn fingerprint_of(
        &self,
        (value, value_name): (TypeId, &'static str),
        schema: fn() -> String,
        codec: (bool, &str),
        owner: &'static str,
    ) -> u64 {
        let compute = || self.claimed(self.unclaimed(&schema(), codec, owner));
        let first = self.state().first.get().unwrap_or_else(|| {
            // Not inside `get_or_init`: the user's `Deserialize` runs here, and others would wait for it.
            let fingerprint = compute();
            let first = First { value, value_name, owner, fingerprint };
            self.state().first.get_or_init(|| first)
        });
        if first.value == value && first.owner == owner {
            return first.fingerprint;
        }
        let others = &self.state().others;
        if let Some(known) = lock(others).get(&(value, owner)) {
            return *known;
        }
        // Not under the lock: the user's `Deserialize` runs here.
        let fingerprint = compute();
        *lock(others).entry((value, owner)).or_insert(fingerprint)
    }

    fn unclaimed(&self, schema: &str, (is_of_user, codec): (bool, &str), owner: &str) -> u64 {
        let version = self.policy.version.to_string();
        let [module, function, place] = self.origin().identity();
        let mut parts = vec![module, function, place, owner, schema, &version, codec];
        parts.extend(is_of_user.then_some("custom"));
        parts.extend(self.tags);
        // Else the two sides of the deploy that brings it would find each other's entries unusable,
        // and overwrite them. No template of a tag looks like it.
        parts.extend(self.is_clearable().then_some("{}"));
        fingerprint::fingerprint(&parts)
    }

    /// Notes whose this fingerprint is. Two functions that have one `name`, key and type are nothing
    /// that can be told apart by their entries.
    fn claimed(&self, fingerprint: u64) -> u64 {
        static OWNERS: Mutex<BTreeMap<u64, (usize, [&'static str; 3])>> =
            Mutex::new(BTreeMap::new());
        let origin = self.origin();
        // Each is a `static`; two in one function, in blocks of their own, have one path.
        let address = std::ptr::from_ref(origin).addr();
        let mine = (address, [origin.module, origin.function, (origin.place)()]);
        let theirs = *lock(&OWNERS).entry(fingerprint).or_insert(mine);
        if theirs.0 == address {
            return fingerprint;
        }
        telemetry::same_identity(self, &theirs.1);
        fastrand::u64(..)
    }

    /// Whether this is one of the fingerprints that were asked for.
    pub(crate) fn has_fingerprint(&self, fingerprint: u64) -> bool {
        let first = self.state().first.get().is_some_and(|first| first.fingerprint == fingerprint);
        let among_others = || {
            let others = lock(&self.state().others);
            others.values().any(|known| *known == fingerprint)
        };
        first || among_others()
    }

    /// The value type that was used first.
    pub(crate) fn value_type(&self) -> Option<&'static str> {
        self.state().first.get().map(|first| first.value_name)
    }

    /// Module and name; of a method the type and name, once that is known.
    pub(crate) fn path(&self) -> String {
        let first = self.state().first.get();
        let owner = first.map(|first| first.owner).filter(|owner| !owner.is_empty());
        format!("{}::{}", owner.unwrap_or(self.module), self.function)
    }

    /// The names of types are the compiler's; most functions do without.
    fn stands_in_its_module(&self, place: &str) -> bool {
        place
            .strip_prefix(self.module)
            .and_then(|rest| rest.strip_prefix("::__"))
            .and_then(|rest| rest.strip_prefix(self.function))
            .is_some_and(|rest| rest == "_site::Place")
    }

    /// Where bodies of this function find a place, if there is a limit to them.
    pub(crate) fn places(&self) -> Option<&Places> {
        let most = self.policy.max_concurrency?;
        Some(self.state().places.get_or_init(|| Places::new(most)))
    }

    /// Whether `cache` has not noted this function yet, or not as the last one.
    pub(crate) fn is_new_to(&self, cache: u64) -> bool {
        self.noted_by.load(Ordering::Relaxed) != cache
    }

    pub(crate) fn noted_by(&self, cache: u64) {
        self.noted_by.store(cache, Ordering::Relaxed);
    }

    /// Whether this is the first time.
    pub(crate) fn first_warning(&self, warning: Warning) -> bool {
        let bit = 1 << warning as u32;
        self.state().warned.fetch_or(bit, Ordering::Relaxed) & bit == 0
    }
}

/// How long before the end of its ttl a hit is stale.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Window {
    Fixed(Duration),
    /// Of the ttl, whatever that is.
    Percent(u8),
}

impl Window {
    /// The window of an entry with this ttl; `None` where it would be stale from its first moment.
    pub(crate) fn of(self, ttl: Duration) -> Option<Duration> {
        match self {
            Self::Fixed(window) => Some(window).filter(|window| *window < ttl),
            // Never nothing: a window of 0 ms would be no refresh at all.
            Self::Percent(percent) => {
                // Divided first: a ttl that a value asks for may be of any length.
                Some((ttl / 100 * u32::from(percent)).max(Duration::from_millis(1)))
                    .filter(|window| *window < ttl)
            }
        }
    }
}

/// How long a function's values live and how its computations are shared.
///
/// Literal durations come in milliseconds: the macro has parsed and checked what the user wrote. What
/// is known only at run time comes as it is, and is checked here.
#[derive(Clone, Copy, Debug)]
pub struct Policy {
    pub(crate) ttl: Duration,
    pub(crate) window: Option<Window>,
    pub(crate) none_ttl: Option<Duration>,
    pub(crate) lock_ttl: Duration,
    pub(crate) wait: Duration,
    pub(crate) near: Option<Duration>,
    pub(crate) jitter_permille: u16,
    pub(crate) version: u32,
    pub(crate) compression: Compression,
    pub(crate) max_concurrency: Option<u32>,
}

/// What a literal may be at most, and so what a run-time value is clamped to.
const LONGEST: Duration = Duration::from_secs(3650 * 86_400);
/// A lease is renewed every third of it: shorter ones would be lost to an ordinary round trip.
const SHORTEST_LEASE: Duration = Duration::from_millis(100);

macro_rules! durations {
    ($($(#[$doc:meta])* $field:ident / $at_run_time:ident: |$policy:ident, $value:ident| $set:expr;)+) => {$(
        $(#[$doc])*
        #[must_use]
        pub const fn $field(mut self, ms: u64) -> Self {
            let $value = Duration::from_millis(ms);
            let $policy = &mut self;
            $set;
            self
        }

        /// The same, known only at run time.
        #[must_use]
        pub const fn $at_run_time(mut self, $value: Duration) -> Self {
            let $policy = &mut self;
            $set;
            self
        }
    )+};
}

impl Policy {
    /// A policy with this `ttl` and the defaults.
    #[must_use]
    pub const fn new(ttl_ms: u64) -> Self {
        Self {
            ttl: Duration::from_millis(ttl_ms),
            window: None,
            none_ttl: None,
            lock_ttl: Duration::from_secs(5),
            wait: Duration::from_secs(10),
            near: None,
            jitter_permille: 50,
            version: 0,
            compression: Compression::None,
            max_concurrency: None,
        }
    }

    durations! {
        /// How long a value may be served.
        ttl / ttl_at_run_time: |policy, value| policy.ttl = value;
        /// The window before the end of `ttl` in which a hit is stale.
        refresh_before / refresh_before_at_run_time:
            |policy, value| policy.window = Some(Window::Fixed(value));
        /// The `ttl` of `None`.
        none_ttl / none_ttl_at_run_time: |policy, value| policy.none_ttl = Some(value);
        /// How long a lease is held without being renewed.
        lock_ttl / lock_ttl_at_run_time: |policy, value| policy.lock_ttl = value;
        /// How long a caller waits for another's computation.
        wait / wait_at_run_time: |policy, value| policy.wait = value;
        /// How long a copy is kept in process.
        near / near_at_run_time: |policy, value| policy.near = Some(value);
    }

    /// The window as a part of the ttl.
    #[must_use]
    pub const fn refresh_percent(mut self, percent: u8) -> Self {
        self.window = Some(Window::Percent(percent));
        self
    }

    /// The part of `ttl` that may be taken away at random, in thousandths.
    #[must_use]
    pub const fn jitter_permille(mut self, permille: u16) -> Self {
        self.jitter_permille = permille;
        self
    }

    /// Raised by the user when the meaning of the value changes.
    #[must_use]
    pub const fn version(mut self, version: u32) -> Self {
        self.version = version;
        self
    }

    /// How payloads are compressed.
    #[must_use]
    pub const fn compress(mut self, compression: Compression) -> Self {
        self.compression = compression;
        self
    }

    /// How many bodies may run at once in this process.
    #[must_use]
    pub const fn max_concurrency(mut self, bodies: u32) -> Self {
        self.max_concurrency = Some(bodies);
        self
    }

    /// The policy of a value that may have a ttl of its own: what the value says comes first.
    pub(crate) fn with_ttl(mut self, none: bool, of_value: Option<Duration>) -> Self {
        let of_none = self.none_ttl.filter(|_| none);
        if let Some(ttl) = of_value.or(of_none) {
            self.ttl = ttl;
            // A window that is not shorter is no mistake here: this value just has none.
            self.window = self.window.filter(|window| window.of(ttl).is_some());
        }
        self
    }

    /// Whether hits are refreshed behind their callers.
    pub(crate) fn refreshes(&self) -> bool {
        self.window.is_some()
    }

    /// The policy with what it says at run time brought into the limits that literals have. The
    /// function's author is told once.
    pub(crate) fn checked(mut self, site: &Site) -> Self {
        let mut wrong = None;
        let mut clamp = |name, value: &mut Duration, least| {
            let clamped = (*value).clamp(least, LONGEST);
            if clamped != *value {
                wrong.get_or_insert((name, clamped));
                *value = clamped;
            }
        };
        let least = Duration::from_millis(1);
        clamp("ttl", &mut self.ttl, least);
        if let Some(none_ttl) = &mut self.none_ttl {
            clamp("none_ttl", none_ttl, least);
        }
        if let Some(Window::Fixed(window)) = &mut self.window {
            clamp("refresh_before", window, least);
        }
        clamp("lock_ttl", &mut self.lock_ttl, SHORTEST_LEASE);
        clamp("wait", &mut self.wait, Duration::ZERO);
        if let Some((name, taken)) = wrong {
            let detail = format!("`{name}` is outside of them, {taken:?} is taken");
            telemetry::warn_once(site, Warning::Policy, &detail);
        } else if self.window.is_some_and(|window| window.of(self.ttl).is_none()) {
            let detail = "`refresh_before` is not shorter than `ttl`, so nothing is refreshed";
            telemetry::warn_once(site, Warning::Policy, detail);
        }
        self
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::codec::{Bincode, MsgPack};

    const POLICY: Policy = Policy::new(1_000);

    fn nowhere() -> &'static str {
        ""
    }

    const fn site(function: &'static str) -> Site {
        Site::new("app", function, nowhere, "key", &POLICY)
    }

    #[test]
    fn c6_a_fingerprint_is_of_all_that_decides_how_bytes_are_read() {
        static OTHER: Site = site("other");
        let bincode = (false, "bincode");
        let of = |site: &Site| site.unclaimed("u64", bincode, "");
        let first = of(&site("load"));
        assert_eq!(of(&site("load")), first, "stable");
        let version = Box::leak(Box::new(POLICY.version(1)));
        for (what, fingerprint) in [
            ("codec", site("load").unclaimed("u64", (false, "msgpack"), "")),
            ("codec of a user", site("load").unclaimed("u64", (true, "bincode"), "")),
            ("type", site("load").unclaimed("u32", bincode, "")),
            ("owner", site("load").unclaimed("u64", bincode, "Repo")),
            ("function", of(&OTHER)),
            ("name", of(&site("load").name("load"))),
            ("place", of(&Site::new("app", "load", || "app::outer::inner", "key", &POLICY))),
            ("version", of(&Site::new("app", "load", nowhere, "key", version))),
            ("tags", of(&site("load").tags(&["team:{id}"]))),
            ("clearable", of(&site("load").clearable())),
        ] {
            assert_ne!(fingerprint, first, "{what}");
        }
        let shared = site("load").same_entries_as(|| &OTHER);
        assert_eq!(of(&shared), of(&OTHER));
    }

    #[test]
    fn c6_functions_that_nothing_tells_apart_share_nothing() {
        static ONE: Site = site("twin");
        static TWO: Site = site("twin");
        let of = |site: &Site| site.fingerprint::<u64, Bincode>("");
        assert_ne!(of(&ONE), of(&TWO));
        assert_eq!((of(&ONE), of(&TWO)), (of(&ONE), of(&TWO)));
    }

    #[test]
    fn the_codec_of_a_function_is_in_its_fingerprint() {
        static BINCODE: Site = site("codec");
        static MSGPACK: Site = site("codec");
        let expected = MSGPACK.unclaimed(&fingerprint::schema_of::<u64>(), (false, "msgpack"), "");
        BINCODE.fingerprint::<u64, Bincode>("");
        assert_eq!(MSGPACK.fingerprint::<u64, MsgPack>(""), expected);
    }

    #[test]
    fn c6_one_site_keeps_its_types_and_owners_apart() {
        let site = site("load");
        let all = [
            site.fingerprint::<u64, Bincode>("A"),
            site.fingerprint::<u64, Bincode>("B"),
            site.fingerprint::<String, Bincode>("A"),
        ];
        assert!(all[0] != all[1] && all[0] != all[2] && all[1] != all[2]);
        assert_eq!(site.fingerprint::<u64, Bincode>("B"), all[1]);
        assert!(all.iter().all(|fingerprint| site.has_fingerprint(*fingerprint)));
    }

    #[test]
    fn a_window_is_shorter_than_its_ttl() {
        let ms = Duration::from_millis;
        for (window, ttl, expected) in [
            (Window::Fixed(ms(10)), ms(100), Some(ms(10))),
            (Window::Fixed(ms(100)), ms(100), None),
            (Window::Percent(20), ms(100), Some(ms(20))),
            (Window::Percent(1), ms(10), Some(ms(1))),
            (Window::Percent(99), ms(1), None),
        ] {
            assert_eq!(window.of(ttl), expected, "{window:?} of {ttl:?}");
        }
    }
}
