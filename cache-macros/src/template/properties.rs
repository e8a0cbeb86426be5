//! That a key which compiles cannot collide, and that no template is refused without need.
//!
//! Keys are rendered as a program renders them: by the runtime, from literals escaped as the macro does.
//!
//! 10,000 cases of each property; `PROPTEST_CASES` makes it more, and `PROPTEST_RNG_SEED` repeats a run.
//! What a macro depends on is compiled without optimization, unless told otherwise:
//!
//! ```sh
//! export CARGO_PROFILE_RELEASE_BUILD_OVERRIDE_OPT_LEVEL=3 PROPTEST_CASES=10000000
//! cargo test --release -p redis-cached-macros properties -- --nocapture
//! ```

use std::cell::{Cell, RefCell};
use std::collections::HashSet;
use std::env;
use std::fmt::Debug;
use std::iter::repeat_n;
use std::pin::pin;
use std::task::{Context, Poll, Waker};

use proptest::collection::vec;
use proptest::prelude::*;
use proptest::sample::select;
use proptest::test_runner::{RngAlgorithm, TestCaseResult, TestRunner};
use redis_cached_runtime::{Cache, private};

use super::{Form, Segment, escaped, parse, split};

const CASES: u32 = 10_000;

/// Of templates, as they are written there.
const LITERALS: [&str; 40] = [
    "a", ":", "/", "|", " ", "\t", "-", "-", "-", "_", "_", "%", "%", "{{", "}}", "F", "0", "none",
    "%none", "%25", "3A", "%7B", ".", "?", ",", "\\", "\"", "é", "日", "ß", "🦀", "\u{0}",
    "\u{7f}", "\u{85}", "\u{a0}", "\u{2003}", "\u{2028}", "\u{200b}", "\u{3000}", "\u{feff}",
];

const SEPARATORS: [&str; 10] =
    [":", "/", "|", " ", "\t", "\u{0}", "\u{85}", "\u{a0}", "\u{2028}", "\u{3000}"];

/// Of arguments.
const TEXTS: [&str; 64] = [
    "a", "b", "", "é", "e\u{301}", "日本", "🦀", "0", "F", "7", "25", "3A", "7B", "%", "%2", "%25",
    "%3A", "%7B", "%7b", "%7D", "%none", "none", "%25none", "-", "_", ".", ":", "::", "/", "|",
    "{", "}", "{}", "}{", "}.lease", ".lease", "shop:{", "\t", "\n", "\u{b}", "\u{c}", "\r", " ",
    "\u{0}", "\u{1b}", "\u{7f}", "\u{85}", "\u{9f}", "\u{a0}", "\u{1680}", "\u{2000}", "\u{2003}",
    "\u{2028}", "\u{2029}", "\u{200b}", "\u{200d}", "\u{202e}", "\u{202f}", "\u{205f}", "\u{2060}",
    "\u{3000}", "\u{feff}", DIGESTS[0], LONG,
];

/// What `{x:hash}` gives, and what may look like it.
const DIGESTS: [&str; 3] = [
    "0000000000000000000000000000000000000000000000000000000000000000",
    "a0a0a0a0a0a0a0a0a0a0a0a0a0a0a0a0a0a0a0a0a0a0a0a0a0a0a0a0a0a0a0a0",
    "af1349b9f5f9a1a6a0404dea36dcc9499bcb25c9adc112b7cc9a93cae41f3262",
];

/// With a few others of its kind, it takes a key over the 256 bytes from which it is shortened.
const LONG: &str =
    "xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx";

const NAMESPACES: [&str; 4] =
    ["shop", "s", "a-b_C9", "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef"];

/// The value of one placeholder.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Argument {
    Text(String),
    Optional(Option<String>),
    /// Its rendering.
    Hashed(&'static str),
}

impl Argument {
    fn text(&self) -> &str {
        match self {
            Self::Text(text) => text,
            Self::Optional(text) => text.as_deref().unwrap_or("%none"),
            Self::Hashed(digest) => digest,
        }
    }

    /// The same placeholder, of another text; a digest can't be chosen.
    fn of(&self, text: impl Into<String>) -> Self {
        match self {
            Self::Text(_) => Self::Text(text.into()),
            Self::Optional(_) => Self::Optional(Some(text.into())),
            Self::Hashed(digest) => Self::Hashed(digest),
        }
    }

    fn is_hashed(&self) -> bool {
        matches!(self, Self::Hashed(_))
    }
}

/// Two calls of one function.
#[derive(Clone, Debug)]
struct Calls {
    namespace: usize,
    template: String,
    first: Vec<Argument>,
    second: Vec<Argument>,
}

/// A part of an argument.
#[derive(Clone, Debug)]
enum Part {
    Text(&'static str),
    Char(char),
    /// One of the template's own, as it is or escaped.
    Literal(usize, bool),
}

#[derive(Clone, Debug)]
struct Value {
    parts: Vec<Part>,
    absent: bool,
    digest: &'static str,
}

/// A placeholder, the literal behind it, and what it is in either call.
#[derive(Clone, Debug)]
struct Place {
    placeholder: &'static str,
    behind: String,
    values: [Value; 2],
}

/// How the second call differs from the first.
#[derive(Clone, Copy, Debug)]
enum Change {
    Nothing,
    All,
    One,
    Swapped,
    /// What two arguments and all between them print, divided at another place.
    Moved,
    /// The same, where what stands between them is escaped.
    MovedEscaped,
    /// Everything in one argument.
    Joined,
    Escaped,
    Absent,
}

/// How long the key of the first call is.
#[derive(Clone, Copy, Debug)]
enum Size {
    AsItIs,
    /// This many bytes between the braces, where it was shorter.
    Of(usize),
    With10kB,
}

fn value() -> impl Strategy<Value = Value> {
    let part = prop_oneof![
        8 => select(&TEXTS[..]).prop_map(Part::Text),
        1 => any::<char>().prop_map(Part::Char),
        3 => (0..8usize, any::<bool>()).prop_map(|(index, escaped)| Part::Literal(index, escaped)),
    ];
    (vec(part, 0..=3), prop::bool::weighted(0.2), select(&DIGESTS[..]))
        .prop_map(|(parts, absent, digest)| Value { parts, absent, digest })
}

/// `separated`: how often a separator stands between two placeholders.
fn place(separated: f64) -> impl Strategy<Value = Place> {
    const FORMS: [&str; 8] =
        ["{a}", "{b?}", "{c:hash}", "{d.e}", "{f.g()?}", "{T::KIND}", "{h}", "{i?}"];
    let behind = (
        vec(select(&LITERALS[..]), 0..=1),
        prop::option::weighted(separated, select(&SEPARATORS[..])),
        vec(select(&LITERALS[..]), 0..=1),
    )
        .prop_map(|(one, separator, two)| one.into_iter().chain(separator).chain(two).collect());
    (select(&FORMS[..]), behind, [value(), value()])
        .prop_map(|(placeholder, behind, values)| Place { placeholder, behind, values })
}

fn calls(separated: f64, places: std::ops::RangeInclusive<usize>) -> impl Strategy<Value = Calls> {
    let change = select(vec![
        Change::Nothing,
        Change::All,
        Change::One,
        Change::Swapped,
        Change::Moved,
        Change::MovedEscaped,
        Change::Joined,
        Change::Escaped,
        Change::Absent,
    ]);
    let size = prop_oneof![
        90 => Just(Size::AsItIs),
        8 => (254..=258usize).prop_map(Size::Of),
        2 => Just(Size::With10kB),
    ];
    let head = (
        vec(select(&LITERALS[..]), 1..=3),
        // A head of 128 bytes is not kept in a shortened key.
        prop_oneof![30 => Just(0), 1 => 124..=128usize, 1 => Just(300)],
    )
        .prop_map(|(parts, long)| parts.into_iter().chain(repeat_n("h", long)).collect());
    let whole = (0..NAMESPACES.len(), head, vec(place(separated), places), change, size, 0..8usize);
    whole.prop_map(|(namespace, head, places, change, size, pick)| {
        let template = places
            .iter()
            .fold(head, |template: String, place| template + place.placeholder + &place.behind);
        let segments = split(&template, &mut Vec::new());
        let mut first = arguments(&segments, &places, 0);
        let fresh = arguments(&segments, &places, 1);
        let mut second = second_call(&segments, &mut first, &fresh, change, pick);
        // Not every change is one for every call.
        if second == first && !matches!(change, Change::Nothing) {
            second = fresh;
        }
        resize(&segments, [&mut first, &mut second], size, pick);
        Calls { namespace, template, first, second }
    })
}

fn arguments(segments: &[Segment], places: &[Place], call: usize) -> Vec<Argument> {
    let literals: Vec<&str> = segments.iter().filter_map(literal).collect();
    let placeholders = segments.iter().filter_map(form).zip(places);
    placeholders
        .map(|(form, place)| {
            let value = &place.values[call];
            let text = value.parts.iter().fold(String::new(), |mut text, part| {
                match part {
                    Part::Text(part) => text.push_str(part),
                    Part::Char(c) => text.push(*c),
                    Part::Literal(index, false) => text.push_str(literals[index % literals.len()]),
                    Part::Literal(index, true) => {
                        text.push_str(&escaped_value(literals[index % literals.len()]));
                    }
                }
                text
            });
            match form {
                Form::Display => Argument::Text(text),
                Form::Optional => Argument::Optional((!value.absent).then_some(text)),
                Form::Hash => Argument::Hashed(value.digest),
            }
        })
        .collect()
}

fn second_call(
    segments: &[Segment],
    first: &mut [Argument],
    fresh: &[Argument],
    change: Change,
    pick: usize,
) -> Vec<Argument> {
    let mut second = first.to_vec();
    // Those that can be chosen.
    let free: Vec<usize> = (0..first.len()).filter(|at| !first[*at].is_hashed()).collect();
    let pair = free.windows(2).nth(pick % free.len().saturating_sub(1).max(1));
    let one = pick % first.len().max(1);
    match (change, pair) {
        _ if first.is_empty() => {}
        (Change::Nothing, _) => {}
        (Change::One, _) => second[one] = fresh[one].clone(),
        (Change::Swapped, Some(&[one, other])) => {
            second[one] = first[one].of(first[other].text());
            second[other] = first[other].of(first[one].text());
        }
        (Change::Moved | Change::MovedEscaped, Some(&[one, other])) => {
            let mut between = between(segments, first, one, other);
            if matches!(change, Change::MovedEscaped) {
                between = escaped_value(&between);
            }
            if pick.is_multiple_of(2) {
                first[other] = first[other].of(format!("{between}{}", first[other].text()));
            }
            let all = format!("{}{between}{}", first[one].text(), first[other].text());
            let ends = all.char_indices().map(|(at, _)| at).chain([all.len()]);
            let ends: Vec<usize> = ends.filter(|at| all[*at..].starts_with(&between)).collect();
            let end = ends[ends.len() - 1 - pick / 2 % ends.len()];
            second[one] = first[one].of(&all[..end]);
            second[other] = first[other].of(&all[end + between.len()..]);
        }
        (Change::Joined, Some(_)) => {
            let (one, last) = (free[0], free[free.len() - 1]);
            let between = between(segments, first, one, last);
            let all = format!("{}{between}{}", first[one].text(), first[last].text());
            for at in &free {
                second[*at] = first[*at].of("");
            }
            second[one] = first[one].of(all);
        }
        (Change::Escaped, _) => second[one] = first[one].of(escaped_value(first[one].text())),
        (Change::Absent, _) => {
            if let Argument::Optional(text) = &mut second[one] {
                *text = match text {
                    None => Some(["", "%none", "none", "%25none"][pick % 4].to_owned()),
                    Some(_) => None,
                };
            }
        }
        _ => return fresh.to_vec(),
    }
    second
}

/// Makes both calls longer by the same text.
fn resize(segments: &[Segment], calls: [&mut Vec<Argument>; 2], size: Size, pick: usize) {
    let more = match size {
        Size::AsItIs => 0,
        Size::Of(length) => length.saturating_sub(plain(segments, calls[0]).len()),
        Size::With10kB => 10_000,
    };
    let arguments = calls[0].len().max(1);
    for call in calls {
        if let Some(argument) = call.get_mut(pick % arguments)
            && more > 0
        {
            *argument = argument.of(format!("{}{}", argument.text(), "x".repeat(more)));
        }
    }
}

/// What should stand between the braces, were it never shortened.
fn plain(segments: &[Segment], arguments: &[Argument]) -> String {
    let mut arguments = arguments.iter();
    segments.iter().fold(String::new(), |text, segment| match segment {
        Segment::Literal(literal) => text + &escaped(literal),
        Segment::Placeholder(_) => match arguments.next() {
            Some(Argument::Optional(None)) | None => text + "%none",
            Some(argument) => text + &escaped_value(argument.text()),
        },
    })
}

/// What the template and the arguments have between two of them.
fn between(segments: &[Segment], arguments: &[Argument], one: usize, other: usize) -> String {
    let mut at = 0;
    segments.iter().fold(String::new(), |mut text, segment| {
        match segment {
            Segment::Literal(literal) if (one + 1..=other).contains(&at) => text.push_str(literal),
            Segment::Literal(_) => {}
            Segment::Placeholder(_) => {
                if (one + 1..other).contains(&at) {
                    text.push_str(arguments[at].text());
                }
                at += 1;
            }
        }
        text
    })
}

/// Written anew, like the next, so that neither the macro's nor the runtime's is tested by itself.
fn is_delimiter(c: char) -> bool {
    c == ':' || c == '/' || c == '|' || c.is_whitespace() || c.is_control()
}

fn escaped_value(text: &str) -> String {
    let mut escaped = String::new();
    for c in text.chars() {
        if is_delimiter(c) || ['%', '{', '}'].contains(&c) {
            escaped.extend(c.to_string().bytes().map(|byte| format!("%{byte:02X}")));
        } else {
            escaped.push(c);
        }
    }
    escaped
}

fn literal(segment: &Segment) -> Option<&str> {
    match segment {
        Segment::Literal(text) => Some(text),
        Segment::Placeholder(_) => None,
    }
}

fn form(segment: &Segment) -> Option<Form> {
    match segment {
        Segment::Literal(_) => None,
        Segment::Placeholder(placeholder) => Some(placeholder.form),
    }
}

/// Renders keys by the runtime.
struct Runtime {
    /// One for each namespace.
    caches: Vec<(Cache, &'static private::Site)>,
    /// Literals are `'static`, and few are new.
    literals: RefCell<HashSet<&'static str>>,
}

impl Runtime {
    fn new() -> Self {
        let caches = NAMESPACES.map(|namespace| {
            let cache = pin!(Cache::builder().url("memory://").namespace(namespace).build());
            let polled = cache.poll(&mut Context::from_waker(Waker::noop()));
            let Poll::Ready(Ok(cache)) = polled else { panic!("the embedded store is just there") };
            let policy = private::Policy::new(1000);
            let site = private::Site::new(
                "module",
                "function",
                private::nowhere,
                "",
                Box::leak(Box::new(policy)),
            );
            (cache, &*Box::leak(Box::new(site)))
        });
        Self { caches: caches.into(), literals: RefCell::default() }
    }

    fn literal(&self, text: &str) -> private::Segment<'static> {
        let text = escaped(text);
        let mut known = self.literals.borrow_mut();
        let known = known.get(text.as_str()).copied().unwrap_or_else(|| {
            let text: &'static str = text.leak();
            known.insert(text);
            text
        });
        private::literal(known)
    }

    fn key(&self, namespace: usize, segments: &[Segment], arguments: &[Argument]) -> String {
        let mut arguments = arguments.iter();
        let segments: Vec<private::Segment<'_>> = segments
            .iter()
            .map(|segment| match segment {
                Segment::Literal(text) => self.literal(text),
                Segment::Placeholder(_) => match arguments.next().expect("one for each") {
                    Argument::Text(text) => private::value(text),
                    Argument::Optional(text) => private::optional(text),
                    Argument::Hashed(digest) => private::value(digest),
                },
            })
            .collect();
        let (cache, site) = &self.caches[namespace];
        let target = private::Target::new(site, "", private::chosen(cache), &segments);
        private::entry(target, private::returns!(u64)).key().to_owned()
    }
}

/// Which of the 16,384 slots of a cluster a key is in, after the cluster specification: what stands
/// between the first `{` and the first `}` behind it decides, if it is not empty.
fn slot(key: &str) -> u16 {
    let tag = key.split_once('{').and_then(|(_, rest)| Some(rest.split_once('}')?.0));
    crc16(tag.filter(|tag| !tag.is_empty()).unwrap_or(key)) % 16_384
}

/// XMODEM: polynomial 0x1021, not reflected, from 0.
fn crc16(text: &str) -> u16 {
    const TABLE: [u16; 256] = {
        let mut table = [0; 256];
        let mut index = 0u16;
        while index < 256 {
            let mut crc = index << 8;
            let mut bit = 0;
            while bit < 8 {
                crc = (crc << 1) ^ if crc & 0x8000 == 0 { 0 } else { 0x1021 };
                bit += 1;
            }
            table[index as usize] = crc;
            index += 1;
        }
        table
    };
    text.bytes().fold(0, |crc, byte| (crc << 8) ^ TABLE[usize::from((crc >> 8) as u8 ^ byte)])
}

/// The key stays in its namespace, behind its function's literal head, and in one slot with its lease.
fn stays_in_its_place(key: &str, namespace: usize, segments: &[Segment]) -> TestCaseResult {
    let namespace = NAMESPACES[namespace];
    prop_assert_eq!(key.find('{'), Some(namespace.len() + 1), "{}", key);
    prop_assert_eq!(key.find('}'), Some(key.len() - 1), "{}", key);
    prop_assert!(key.starts_with(namespace) && key[namespace.len()..].starts_with(":{"), "{}", key);

    let inside = &key[namespace.len() + 2..key.len() - 1];
    prop_assert!(inside.len() <= 256, "{}", key);
    let head = escaped(literal(&segments[0]).expect("a template starts with a literal"));
    if let Some((before, digest)) = inside.split_once('{') {
        let is_digest = |c: char| matches!(c, '0'..='9' | 'a'..='f');
        prop_assert!(digest.len() == 64 && digest.chars().all(is_digest), "{}", key);
        prop_assert_eq!(before, if head.len() < 128 { head.as_str() } else { "" }, "{}", key);
    } else {
        prop_assert!(inside.starts_with(&head), "{}", key);
    }

    let of_all_inside = crc16(inside) % 16_384;
    prop_assert_eq!(slot(key), of_all_inside, "{}", key);
    prop_assert_eq!(slot(&format!("{key}.lease")), of_all_inside, "{}", key);
    Ok(())
}

/// For a template in which two placeholders are not kept apart: two calls that have one key.
fn colliding(segments: &[Segment], calls: &Calls) -> Option<[Vec<Argument>; 2]> {
    let mut at = 0;
    let mut before = None;
    for segment in segments {
        match segment {
            Segment::Literal(text) if text.contains(is_delimiter) => before = None,
            Segment::Literal(_) => {}
            Segment::Placeholder(_) if calls.first[at].is_hashed() => at += 1,
            Segment::Placeholder(_) => {
                if let Some(one) = before {
                    let [mut first, mut second] = [calls.first.clone(), calls.first.clone()];
                    let between = between(segments, &calls.first, one, at);
                    let [start, end] = [calls.first[one].text(), calls.first[at].text()];
                    let more = format!("{between}{}", if between.is_empty() { "a" } else { "" });
                    // With `-` between them: (`x`, `-y`) and (`x-`, `y`).
                    first[at] = first[at].of(format!("{more}{end}"));
                    second[one] = second[one].of(format!("{start}{more}"));
                    first[one] = first[one].of(start);
                    second[at] = second[at].of(end);
                    return Some([first, second]);
                }
                before = Some(at);
                at += 1;
            }
        }
    }
    None
}

#[derive(Default)]
struct Tally {
    accepted: Cell<u32>,
    refused: Cell<u32>,
    equal: Cell<u32>,
    shortened: Cell<u32>,
}

impl Tally {
    fn count(counter: &Cell<u32>) {
        counter.set(counter.get() + 1);
    }

    fn count_keys(&self, [one, other]: [&str; 2]) {
        if one == other {
            Self::count(&self.equal);
        }
        if one.matches('{').count() > 1 {
            Self::count(&self.shortened);
        }
    }

    /// That the cases are not all of one kind.
    fn check(&self, name: &str, cases: u32, often: &[&Cell<u32>]) {
        println!(
            "{name}: {cases} cases, {} accepted and {} refused templates, {} pairs of equal keys, \
             {} of shortened ones",
            self.accepted.get(),
            self.refused.get(),
            self.equal.get(),
            self.shortened.get()
        );
        for counter in often {
            assert!(cases < 1000 || counter.get() > cases / 100, "{name}: too few of a kind");
        }
    }
}

/// Returns the number of cases.
fn run<S: Strategy>(cases: &S, property: impl Fn(S::Value) -> TestCaseResult) -> u32
where
    S::Value: Debug,
{
    let mut config = ProptestConfig {
        failure_persistence: None,
        // Without it, most of the time is spent on random bytes.
        rng_algorithm: RngAlgorithm::XorShift,
        ..ProptestConfig::default()
    };
    if env::var_os("PROPTEST_CASES").is_none() {
        config.cases = CASES;
    }
    let count = config.cases;
    if let Err(error) = TestRunner::new(config).run(cases, property) {
        panic!("{error}");
    }
    count
}

/// A template that is accepted has one key for each tuple of arguments; for one that is refused, two
/// tuples have one key.
fn is_injective_or_refused(runtime: &Runtime, tally: &Tally, calls: &Calls) -> TestCaseResult {
    let mut mistakes = Vec::new();
    let segments = split(&calls.template, &mut mistakes);
    prop_assert_eq!(mistakes, Vec::<String>::new());
    let key = |arguments: &[Argument]| runtime.key(calls.namespace, &segments, arguments);
    match parse(&calls.template) {
        Ok(_) => {
            Tally::count(&tally.accepted);
            let [one, other] = [key(&calls.first), key(&calls.second)];
            prop_assert_eq!(calls.first == calls.second, one == other, "{} {}", one, other);
            stays_in_its_place(&one, calls.namespace, &segments)?;
            stays_in_its_place(&other, calls.namespace, &segments)?;
            tally.count_keys([&one, &other]);
        }
        Err(mistakes) => {
            Tally::count(&tally.refused);
            prop_assert!(mistakes.iter().all(|it| it.contains("stands between")), "{:?}", mistakes);
            let pair = colliding(&segments, calls);
            prop_assert!(pair.is_some(), "refused without need: {:?}", mistakes);
            if let Some([one, other]) = pair {
                prop_assert_ne!(&one, &other);
                let keys = [key(&one), key(&other)];
                prop_assert_eq!(&keys[0], &keys[1], "refused without need: {:?}", mistakes);
                tally.count_keys([&keys[0], &keys[1]]);
            }
        }
    }
    Ok(())
}

/// Catalogue 46.
#[test]
fn keys_of_accepted_templates_do_not_collide() {
    let (runtime, tally) = (Runtime::new(), Tally::default());
    let cases = run(&calls(0.97, 0..=4), |calls| is_injective_or_refused(&runtime, &tally, &calls));
    tally.check("accepted", cases, &[&tally.accepted, &tally.equal, &tally.shortened]);
}

#[test]
fn keys_of_refused_templates_collide() {
    let (runtime, tally) = (Runtime::new(), Tally::default());
    let cases = run(&calls(0.1, 2..=4), |calls| is_injective_or_refused(&runtime, &tally, &calls));
    tally.check("refused", cases, &[&tally.accepted, &tally.refused, &tally.shortened]);
}

/// Two functions: each key starts with the literal head of its own, whatever the arguments are. So only
/// those can meet of which one head is the beginning of the other.
#[test]
fn keys_start_with_the_head_of_their_own_function() {
    let (runtime, tally) = (Runtime::new(), Tally::default());
    let cases = run(&(calls(0.97, 0..=3), calls(0.97, 0..=3)), |(one, other)| {
        let (Ok(segments), Ok(others)) = (parse(&one.template), parse(&other.template)) else {
            return Ok(());
        };
        Tally::count(&tally.accepted);
        let namespace = one.namespace;
        let key = runtime.key(namespace, &segments, &one.first);
        // As near to the key of the other function as an argument can bring it.
        let imitated: Vec<Argument> = other
            .first
            .iter()
            .map(|argument| argument.of(&key[NAMESPACES[namespace].len() + 2..key.len() - 1]))
            .collect();
        stays_in_its_place(&key, namespace, &segments)?;
        let heads = [&segments, &others].map(|segments| literal(&segments[0]).map(escaped));
        let [Some(head), Some(other_head)] = heads else { panic!("both start with a literal") };
        let can_meet = head.starts_with(&other_head) || other_head.starts_with(&head);
        for arguments in [&other.first, &other.second, &imitated] {
            let other_key = runtime.key(namespace, &others, arguments);
            stays_in_its_place(&other_key, namespace, &others)?;
            prop_assert!(key != other_key || can_meet, "{}", key);
        }
        Ok(())
    });
    tally.check("heads", cases, &[&tally.accepted]);
}

/// Why `{x:hash}` needs no separator, and may stand here as any 64 digits.
#[test]
fn hashed_arguments_are_64_digits() {
    let (cache, site) = &Runtime::new().caches[0];
    for argument in [&b""[..], b"\0", &[0xff; 10_000]] {
        let hashed = private::hashed(argument);
        let segments = [private::literal("a"), private::value(&hashed)];
        let target = private::Target::new(site, "", private::chosen(cache), &segments);
        let entry = private::entry(target, private::returns!(u64));
        let digest = entry.key().strip_prefix("shop:{a").and_then(|key| key.strip_suffix('}'));
        let digest = digest.expect("a key of its namespace");
        let is_digest = |c: char| matches!(c, '0'..='9' | 'a'..='f');
        assert!(digest.len() == 64 && digest.chars().all(is_digest), "{digest}");
    }
}

/// The examples of the cluster specification, and the check value of the checksum.
/// Catalogue 48.
#[test]
fn slots_are_those_of_the_specification() {
    assert_eq!(crc16("123456789"), 0x31C3);
    for (key, tag) in [
        ("{user1000}.following", "user1000"),
        ("foo{}{bar}", "foo{}{bar}"),
        ("foo{{bar}}zap", "{bar"),
        ("foo{bar}{zap}", "bar"),
    ] {
        assert_eq!(slot(key), crc16(tag) % 16_384, "{key}");
    }
    assert_eq!(slot("foo"), 12_182);
}
