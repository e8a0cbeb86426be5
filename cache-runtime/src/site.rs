//! One annotated function: its name, its policy and its fingerprint.

use std::any::{TypeId, type_name};
use std::collections::{BTreeMap, HashMap};
use std::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, Ordering};
use std::sync::{Mutex, OnceLock};

use serde::de::DeserializeOwned;

use crate::codec::Format;
use crate::fingerprint;
use crate::lease::Journals;
#[cfg(feature = "metrics")]
use crate::metrics::OfFunction;
use crate::places::Places;
use crate::policy::Policy;
use crate::sync::lock;
use crate::tags::Tag;
use crate::telemetry;

/// One annotated function. The macro makes it a `static`.
#[derive(Debug)]
pub struct Site {
    module: &'static str,
    function: &'static str,
    place: fn() -> &'static str,
    template: &'static str,
    pub(crate) policy: &'static Policy,
    extras: Option<&'static Extras>,
    /// Made at first use: every function has a `Site` in the user's binary, whether it runs or not.
    state: OnceLock<Box<State>>,
}

/// What few functions say of themselves: apart from the rest, so that only those have it.
#[derive(Debug)]
pub struct Extras {
    name: Option<&'static str>,
    same_entries_as: Option<fn() -> &'static Site>,
    tags: &'static [&'static str],
    clearable: bool,
    tags_late: bool,
}

/// What a function comes to know while it runs.
#[derive(Debug, Default)]
struct State {
    /// The cache that has noted this function last; 0 is none.
    noted_by: AtomicU64,
    first: OnceLock<First>,
    /// Only a generic function, or a method of a generic type, has any.
    others: Mutex<Others>,
    /// The warnings that have been given, a bit each.
    warned: AtomicU32,
    /// Whether values past their ttl are being served.
    fails: AtomicBool,
    places: OnceLock<Places>,
    /// To tell of tags that were not known before.
    tags_late: Habit,
    /// To tell of tags inside the body, which none of its templates does.
    tags_inside: Habit,
    /// To have values at hand for other entries.
    primes: Habit,
    #[cfg(feature = "metrics")]
    metrics: OfFunction,
}

/// Something that bodies may do, and that has to be prepared for before they run.
#[derive(Debug, Default)]
struct Habit(
    /// How many have ended without it. Once one has done it, `SHOWN`.
    AtomicU32,
);

const SHOWN: u32 = u32::MAX;
/// After this many bodies that have not a function is taken not to do it.
const PLAIN: u32 = 4;

impl Habit {
    /// Whether a body has done it.
    fn is_shown(&self) -> bool {
        self.0.load(Ordering::Relaxed) == SHOWN
    }

    /// Whether one may.
    fn may_be(&self) -> bool {
        self.is_shown() || self.0.load(Ordering::Relaxed) < PLAIN
    }

    /// Notes whether one has.
    fn note(&self, shown: bool) {
        if shown {
            self.0.store(SHOWN, Ordering::Relaxed);
        } else {
            let next = |bodies| (bodies < PLAIN).then(|| bodies + 1);
            let _ = self.0.fetch_update(Ordering::Relaxed, Ordering::Relaxed, next);
        }
    }
}

/// The value type that was used first, and by far the most functions have no other.
#[derive(Debug)]
struct First {
    used: Used,
    value_name: &'static str,
    fingerprint: u64,
}

/// The fingerprints of the other value types and owners.
type Others = HashMap<Used, u64>;

/// By which types, of value and stored error, and as whose method a function is used.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
struct Used {
    value: TypeId,
    made_into: Option<TypeId>,
    error: Option<TypeId>,
    owner: &'static str,
}

/// What a stored value or error is: all of it that decides how its bytes are to be read.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Kind {
    id: TypeId,
    name: &'static str,
    schema: fn() -> String,
    /// Whether the codec is a user's own, and its name.
    codec: (bool, &'static str),
    /// What is made of it, where that is another type: whose bytes are nothing to those who make nothing of them.
    made_into: Option<(TypeId, &'static str)>,
}

impl Kind {
    pub(crate) fn of<V: DeserializeOwned + 'static, F: Format>() -> Self {
        Self {
            id: TypeId::of::<V>(),
            name: type_name::<V>(),
            schema: fingerprint::schema_of::<V>,
            codec: (F::IS_OF_USER, F::NAME),
            made_into: None,
        }
    }

    pub(crate) fn made_into<T: 'static>(self) -> Self {
        Self { made_into: Some((TypeId::of::<T>(), type_name::<T>())), ..self }
    }
}

/// Warnings that are given once for each function.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Warning {
    SlowerThanTtl,
    SlowerThanLease,
    Fallback,
    NotStorable,
    NotLoaded,
    ErrorNotStorable,
    Recursion,
    Key,
    Runtime,
    Server,
    Primed,
    Put,
    Policy,
    Overdue,
    Clash,
    Tags,
    Unauthenticated,
    Near,
}

impl Extras {
    const NONE: Self = Self::new();

    /// Nothing, to begin with.
    #[must_use]
    #[expect(clippy::new_without_default, reason = "generated code only")]
    pub const fn new() -> Self {
        Self { name: None, same_entries_as: None, tags: &[], clearable: false, tags_late: false }
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

    /// Its bodies tell of tags, the first of them already.
    #[must_use]
    pub const fn tags_late(mut self) -> Self {
        self.tags_late = true;
        self
    }

    /// Gives the function a tag of its own, by which all its entries are invalidated together.
    #[must_use]
    pub const fn clearable(mut self) -> Self {
        self.clearable = true;
        self
    }
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
        Self { module, function, place, template, policy, extras: None, state: OnceLock::new() }
    }

    /// What else is said of the function.
    #[must_use]
    pub const fn with(mut self, extras: &'static Extras) -> Self {
        self.extras = Some(extras);
        self
    }

    fn extras(&self) -> &'static Extras {
        self.extras.unwrap_or(&Extras::NONE)
    }

    fn state(&self) -> &State {
        self.state.get_or_init(Box::default)
    }

    #[cfg(feature = "metrics")]
    pub(crate) fn metrics(&self) -> &OfFunction {
        &self.state().metrics
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
        self.extras().tags
    }

    /// The function whose entries these are: this one, or that of `same_entries_as`.
    pub(crate) fn origin(&self) -> &Self {
        // A chain that is longer, or a circle, is cut; nobody means one.
        let mut site = self;
        for _ in 0..8 {
            match site.extras().same_entries_as {
                Some(other) => site = other(),
                None => break,
            }
        }
        site
    }

    /// What the entries are known by: the given name, or where the function stands.
    fn identity(&self) -> [&'static str; 3] {
        if let Some(name) = self.extras().name {
            return ["", name, ""];
        }
        let place = (self.place)();
        let place = if self.stands_in_its_module(place) { "" } else { place };
        [self.module, self.function, place]
    }

    /// Whether its entries carry its own tag. With the entries of another function goes its tag: what
    /// clears them for that function clears them for all that share them.
    fn is_clearable(&self) -> bool {
        self.extras().clearable || self.origin().extras().clearable
    }

    /// The tag of all entries of this function.
    ///
    /// Named without the names of types, which differ between compilers: both sides of a rolling deploy
    /// must be reached. Functions of one name in one module have one tag, and are cleared together.
    pub(crate) fn own_tag(&self, namespace: &str) -> Tag {
        let [module, function, _] = self.origin().identity();
        let path = if module.is_empty() { "" } else { "::" };
        Tag::named(namespace, &format!("fn:{module}{path}{function}"))
    }

    /// Of which journals a body may need to know where they were when it began.
    ///
    /// Asking costs a command for each before the body, so a function that has shown no need is not asked. Should it
    /// have some after all, one value is not stored, or those that it has at hand for others.
    pub(crate) fn journals(&self) -> Journals {
        let keys = self.state().primes.may_be();
        // What is primed has tags too, and all of them are known late.
        let tags = keys || self.extras().tags_late || self.state().tags_late.may_be();
        Journals { tags, keys }
    }

    /// Whether its entries carry tags that are not known before.
    pub(crate) fn tags_late(&self) -> bool {
        self.state().tags_late.is_shown()
    }

    /// Notes whether a body has told of tags that were not known before.
    pub(crate) fn note_tags(&self, any: bool) {
        self.state().tags_late.note(any);
    }

    /// Notes whether a body has told of tags inside, itself or by what it calls.
    pub(crate) fn note_tags_inside(&self, any: bool) {
        self.state().tags_inside.note(any);
    }

    /// Whether a body has.
    pub(crate) fn tags_inside(&self) -> bool {
        self.state().tags_inside.is_shown()
    }

    /// Notes whether a body has had values at hand for other entries.
    pub(crate) fn note_primes(&self, any: bool) {
        self.state().primes.note(any);
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
    /// of one name. Where `errors` are stored beside values, which are read as which decides the type of each.
    pub(crate) fn fingerprint(
        &self,
        value: &Kind,
        errors: Option<&Kind>,
        owner: &'static str,
    ) -> u64 {
        let made_into = value.made_into.map(|(id, _)| id);
        let used =
            Used { value: value.id, made_into, error: errors.map(|errors| errors.id), owner };
        let compute = || {
            let errors = errors.map(|errors| (errors.schema)());
            let schema = (value.schema)();
            self.claimed(self.unclaimed(&schema, errors.as_deref(), value, owner))
        };
        let first = self.state().first.get().unwrap_or_else(|| {
            // Not inside `get_or_init`: the user's `Deserialize` runs here, and others would wait for it.
            let fingerprint = compute();
            let first = First { used, value_name: value.name, fingerprint };
            self.state().first.get_or_init(|| first)
        });
        if first.used == used {
            return first.fingerprint;
        }
        let others = &self.state().others;
        if let Some(known) = lock(others).get(&used) {
            return *known;
        }
        // Not under the lock: the user's `Deserialize` runs here.
        let fingerprint = compute();
        *lock(others).entry(used).or_insert(fingerprint)
    }

    fn unclaimed(
        &self,
        schema: &str,
        schema_of_errors: Option<&str>,
        value: &Kind,
        owner: &str,
    ) -> u64 {
        let (is_of_user, codec) = value.codec;
        let version = self.policy.version.to_string();
        let [module, function, place] = self.origin().identity();
        let mut parts = vec![module, function, place, owner, schema, &version, codec];
        parts.extend(is_of_user.then_some("custom"));
        parts.extend(self.extras().tags);
        // Else the two sides of the deploy that brings it would find each other's entries unusable,
        // and overwrite them. No template of a tag looks like it.
        parts.extend(self.is_clearable().then_some("{}"));
        parts.extend(schema_of_errors.map(|schema| ["{!}", schema]).into_iter().flatten());
        parts.extend(value.made_into.map(|(_, name)| ["{>}", name]).into_iter().flatten());
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
        let owner = first.map(|first| first.used.owner).filter(|owner| !owner.is_empty());
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
        self.state().noted_by.load(Ordering::Relaxed) != cache
    }

    pub(crate) fn noted_by(&self, cache: u64) {
        self.state().noted_by.store(cache, Ordering::Relaxed);
    }

    /// Notes whether computing fails at the moment; says whether that is news.
    pub(crate) fn fails(&self, fails: bool) -> bool {
        self.state().fails.swap(fails, Ordering::Relaxed) != fails
    }

    /// Whether this is the first time.
    pub(crate) fn first_warning(&self, warning: Warning) -> bool {
        let bit = 1 << warning as u32;
        self.state().warned.fetch_or(bit, Ordering::Relaxed) & bit == 0
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::codec::{Bincode, MsgPack};

    fn of<V: DeserializeOwned + 'static>(site: &Site, owner: &'static str) -> u64 {
        site.fingerprint(&Kind::of::<V, Bincode>(), None, owner)
    }

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
        let bincode = &Kind::of::<u64, Bincode>();
        let of = |site: &Site| site.unclaimed("u64", None, bincode, "");
        let first = of(&site("load"));
        assert_eq!(of(&site("load")), first, "stable");
        // What is stored today has to be found tomorrow.
        let parts = ["app", "load", "", "", "u64", "0", "bincode"];
        assert_eq!(fingerprint::fingerprint(&parts), first);
        let erring = |errors| site("load").unclaimed("u64", Some(errors), bincode, "");
        assert_ne!(erring("u8"), erring("u16"));
        let of_user = &Kind { codec: (true, "bincode"), ..*bincode };
        let made_into = &bincode.made_into::<u64>();
        let version = Box::leak(Box::new(POLICY.version(1)));
        for (what, fingerprint) in [
            ("codec", site("load").unclaimed("u64", None, &Kind::of::<u64, MsgPack>(), "")),
            ("codec of a user", site("load").unclaimed("u64", None, of_user, "")),
            ("what is made of it", site("load").unclaimed("u64", None, made_into, "")),
            ("type", site("load").unclaimed("u32", None, bincode, "")),
            ("errors", erring("u8")),
            ("owner", site("load").unclaimed("u64", None, bincode, "Repo")),
            ("function", of(&OTHER)),
            ("name", of(&site("load").with(const { &Extras::new().name("load") }))),
            ("place", of(&Site::new("app", "load", || "app::outer::inner", "key", &POLICY))),
            ("version", of(&Site::new("app", "load", nowhere, "key", version))),
            ("tags", of(&site("load").with(const { &Extras::new().tags(&["team:{id}"]) }))),
            ("clearable", of(&site("load").with(const { &Extras::new().clearable() }))),
        ] {
            assert_ne!(fingerprint, first, "{what}");
        }
        let shared = site("load").with(const { &Extras::new().same_entries_as(|| &OTHER) });
        assert_eq!(of(&shared), of(&OTHER));
    }

    #[test]
    fn c6_functions_that_nothing_tells_apart_share_nothing() {
        static ONE: Site = site("twin");
        static TWO: Site = site("twin");
        let both = || (of::<u64>(&ONE, ""), of::<u64>(&TWO, ""));
        assert_ne!(both().0, both().1);
        assert_eq!(both(), both());
    }

    #[test]
    fn the_codec_of_a_function_is_in_its_fingerprint() {
        static BINCODE: Site = site("codec");
        static MSGPACK: Site = site("codec");
        let expected = MSGPACK.unclaimed(
            &fingerprint::schema_of::<u64>(),
            None,
            &Kind::of::<u64, MsgPack>(),
            "",
        );
        of::<u64>(&BINCODE, "");
        assert_eq!(MSGPACK.fingerprint(&Kind::of::<u64, MsgPack>(), None, ""), expected);
    }

    #[test]
    fn c6_one_site_keeps_its_types_and_owners_apart() {
        let site = site("load");
        let erring = |errors| site.fingerprint(&Kind::of::<u64, Bincode>(), Some(&errors), "A");
        let all = [
            of::<u64>(&site, "A"),
            of::<u64>(&site, "B"),
            of::<String>(&site, "A"),
            erring(Kind::of::<u8, Bincode>()),
            erring(Kind::of::<u16, Bincode>()),
        ];
        let distinct: std::collections::BTreeSet<_> = all.iter().collect();
        assert_eq!(distinct.len(), all.len());
        assert_eq!(of::<u64>(&site, "B"), all[1]);
        assert!(all.iter().all(|fingerprint| site.has_fingerprint(*fingerprint)));
    }
}
