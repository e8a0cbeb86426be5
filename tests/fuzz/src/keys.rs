//! Keys: what the macro accepts as a template can't collide when the runtime renders it.

use std::collections::HashSet;
use std::sync::Mutex;

use redis_cached_runtime::fuzzing;
use redis_cached_runtime::private::{self, literal, optional, value};

use crate::input::Input;
use crate::template::{Form, Segment, escaped, parse};

/// Of templates. What a literal may be, in pieces, and what may look like one.
const PIECES: [&str; 32] = [
    "user",
    ":",
    "/",
    "|",
    " ",
    "\t",
    "-",
    "_",
    "%",
    "%none",
    "%25",
    "{{",
    "}}",
    "{a}",
    "{b}",
    "{c}",
    "{a?}",
    "{b?}",
    "{c?}",
    "{a:hash}",
    "{b:hash}",
    "{c:hash}",
    "é",
    "日",
    "\u{a0}",
    "\u{2028}",
    "0",
    "F",
    ".lease",
    "3A",
    "\u{85}",
    "longer than what is short",
];
/// Of arguments.
const TEXTS: [&str; 32] = [
    "",
    "a",
    "b",
    "%",
    "%25",
    "%3A",
    "%none",
    "none",
    ":",
    "/",
    "|",
    "{",
    "}",
    "}{",
    "{}",
    " ",
    "\t",
    "\n",
    "\u{0}",
    "\u{85}",
    "\u{a0}",
    "\u{2028}",
    "é",
    "日",
    "-",
    "_",
    ".lease",
    "0",
    "F",
    "shop:{",
    "user",
    "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef",
];
/// Literals live as long as the program: of more than these nothing is learned.
const MOST_LITERALS: usize = 1 << 16;
const MOST_PLACEHOLDERS: usize = 8;

#[derive(Clone, Debug, PartialEq, Eq)]
enum Argument {
    Text(String),
    Optional(Option<String>),
    Hashed(Vec<Option<String>>),
}

/// Two calls of a function with this template have one key only where their arguments are the same.
pub(crate) fn keys(data: &[u8]) {
    let mut input = Input(data);
    let template: String = (0..input.below(12))
        .map(|_| *input.one(&PIECES))
        .fold("k".to_owned(), |all, one| all + one);
    let Ok(segments) = parse(&template) else { return };
    let forms: Vec<Form> = segments
        .iter()
        .filter_map(|segment| match segment {
            Segment::Placeholder(placeholder) => Some(placeholder.form),
            Segment::Literal(_) => None,
        })
        .collect();
    if forms.len() > MOST_PLACEHOLDERS {
        return;
    }
    let first: Vec<Argument> = forms.iter().map(|form| argument(&mut input, *form)).collect();
    let mut second = first.clone();
    // Near misses are what may collide.
    for _ in 0..=input.below(3) {
        if let Some(at) = forms.len().checked_sub(1).map(|last| input.below(last + 1)) {
            second[at] = argument(&mut input, forms[at]);
        }
    }
    let Some(keys) = rendered(&segments, &first).zip(rendered(&segments, &second)) else { return };
    assert_eq!(first == second, keys.0 == keys.1, "{template:?}: {first:?} and {second:?}");
    for key in [&keys.0, &keys.1] {
        assert!(key.starts_with("shop:{") && key.ends_with('}') && key.len() <= 264, "{key:?}");
        assert_eq!(key.matches('}').count(), 1, "{key:?} leaves its slot");
        assert!(key.matches('{').count() <= 2, "{key:?}");
    }
}

fn argument(input: &mut Input<'_>, form: Form) -> Argument {
    match form {
        Form::Display => Argument::Text(text(input)),
        Form::Optional => Argument::Optional(input.flag().then(|| text(input))),
        Form::Hash => Argument::Hashed(
            (0..input.below(4)).map(|_| input.flag().then(|| text(input))).collect(),
        ),
    }
}

fn text(input: &mut Input<'_>) -> String {
    let pieces = input.below(5);
    let mut text: String = (0..pieces).map(|_| *input.one(&TEXTS)).collect();
    text.push_str(&input.text(3));
    text
}

fn rendered(segments: &[Segment], arguments: &[Argument]) -> Option<String> {
    let hashes: Vec<_> = arguments
        .iter()
        .map(|argument| match argument {
            Argument::Hashed(list) => Some(private::hashed(list)),
            _ => None,
        })
        .collect();
    let mut left = arguments.iter().zip(&hashes);
    let mut rendered = Vec::new();
    for segment in segments {
        rendered.push(match segment {
            Segment::Literal(text) => literal(kept(&escaped(text))?),
            Segment::Placeholder(_) => match left.next()? {
                (Argument::Text(text), _) => value(text),
                (Argument::Optional(text), _) => optional(text),
                (Argument::Hashed(_), hash) => value(hash.as_ref()?),
            },
        });
    }
    fuzzing::key("shop", &rendered)
}

fn kept(text: &str) -> Option<&'static str> {
    static KEPT: Mutex<Option<HashSet<&'static str>>> = Mutex::new(None);
    let mut kept = KEPT.lock().ok()?;
    let kept = kept.get_or_insert_default();
    if let Some(known) = kept.get(text) {
        return Some(known);
    }
    if kept.len() >= MOST_LITERALS {
        return None;
    }
    let text = String::leak(text.to_owned());
    kept.insert(text);
    Some(text)
}
