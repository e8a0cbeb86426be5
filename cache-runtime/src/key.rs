//! Renders the name of an entry: `ns:{user:42}`.
//!
//! Different arguments give different keys, because a rendered value cannot contain the characters
//! that separate values (the macro sees to it that a separator stands between any two, digests of a
//! fixed length aside), and no rendered value can leave the braces that decide its slot in a Redis
//! Cluster.

use std::fmt::{self, Display, Write as _};

use xxhash_rust::xxh3::{xxh3_64, xxh3_128};

/// Above this many bytes between the braces, a digest takes the place of the values.
pub(crate) const LONGEST: usize = 256;

/// One piece of a key: text of the template, or an argument.
#[derive(Clone, Copy)]
pub struct Segment<'a>(pub(crate) Piece<'a>);

#[derive(Clone, Copy)]
pub(crate) enum Piece<'a> {
    Literal(&'static str),
    Value(&'a dyn Display),
    /// An optional argument that is `None`.
    Absent,
}

/// The full name of one entry and of its lease.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Key {
    name: String,
}

impl Key {
    /// Fails where an argument's `Display` fails: half a key would stand for more than one value.
    pub(crate) fn render(namespace: &str, segments: &[Segment<'_>]) -> Result<Self, fmt::Error> {
        let mut name = String::with_capacity(namespace.len() + 64);
        name.push_str(namespace);
        name.push_str(":{");
        let start = name.len();
        render_between(&mut name, start, segments)?;
        name.push('}');
        Ok(Self { name })
    }

    pub(crate) fn name(&self) -> &str {
        &self.name
    }

    pub(crate) fn lease(&self) -> String {
        format!("{}.lease", self.name)
    }

    /// Where it is noted which version of its value was set last; `apart` tells values of one key apart.
    pub(crate) fn version(&self, apart: Option<u64>) -> String {
        match apart {
            None => format!("{}.version", self.name),
            Some(apart) => format!("{}.version.{apart:016x}", self.name),
        }
    }

    /// Stored in every entry, so that a value which strays under another key is not served.
    pub(crate) fn digest(&self) -> u128 {
        xxh3_128(self.name.as_bytes())
    }

    /// Which of several connections carries this key: always the same one, so that a request and
    /// what undoes it arrive in the order they were sent.
    pub(crate) fn lane(&self, lanes: usize) -> usize {
        lane_of(&self.name, lanes)
    }
}

pub(crate) fn lane_of(name: &str, lanes: usize) -> usize {
    lane_of_hash(xxh3_64(name.as_bytes()), lanes)
}

pub(crate) fn lane_of_hash(hash: u64, lanes: usize) -> usize {
    usize::try_from(hash % lanes as u64).expect("a remainder of a usize fits a usize")
}

/// Writes what stands between the braces; `start` is where.
fn render_between(name: &mut String, start: usize, segments: &[Segment<'_>]) -> fmt::Result {
    for segment in segments {
        match segment.0 {
            Piece::Literal(text) => name.push_str(text),
            Piece::Value(value) => write!(Escaped(name), "{value}")?,
            // No value renders to this: behind a `%` of theirs stand two hexadecimal digits.
            Piece::Absent => name.push_str("%none"),
        }
    }
    if name.len() - start > LONGEST {
        shorten(name, start, segments);
    }
    Ok(())
}

/// Keeps the literal head and puts a digest for the rest.
///
/// A raw `{` marks the digest. Values and the macro's literals never hold one, so no argument can
/// be chosen to look like the digest of another.
fn shorten(name: &mut String, start: usize, segments: &[Segment<'_>]) {
    let digest = blake3::hash(&name.as_bytes()[start..]).to_hex();
    let head = match segments.first() {
        Some(Segment(Piece::Literal(text))) if text.len() < LONGEST / 2 => text.len(),
        _ => 0,
    };
    name.truncate(start + head);
    name.push('{');
    name.push_str(&digest);
}

/// Percent-escapes what separates values, opens or closes a slot tag, or hides in a terminal.
struct Escaped<'a>(&'a mut String);

impl fmt::Write for Escaped<'_> {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        let mut clean = 0;
        for (at, c) in text.char_indices() {
            if !must_escape(c) {
                continue;
            }
            self.0.push_str(&text[clean..at]);
            push_escaped(self.0, c);
            clean = at + c.len_utf8();
        }
        self.0.push_str(&text[clean..]);
        Ok(())
    }
}

pub(crate) fn push_escaped(text: &mut String, c: char) {
    let mut buffer = [0; 4];
    for byte in c.encode_utf8(&mut buffer).bytes() {
        let digit =
            |four: u8| char::from_digit(u32::from(four), 16).unwrap_or('0').to_ascii_uppercase();
        text.extend(['%', digit(byte >> 4), digit(byte & 15)]);
    }
}

fn must_escape(c: char) -> bool {
    matches!(c, ':' | '/' | '|' | '{' | '}' | '%') || c.is_whitespace() || c.is_control()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn render(a: &str, b: &str) -> String {
        let segments = [
            Segment(Piece::Literal("user:")),
            Segment(Piece::Value(&a)),
            Segment(Piece::Literal("/")),
            Segment(Piece::Value(&b)),
        ];
        Key::render("shop", &segments).unwrap().name().to_owned()
    }

    /// Catalogue 48.
    #[test]
    fn values_are_escaped_and_stay_inside_their_braces() {
        for (a, b, expected) in [
            ("1", "2", "shop:{user:1/2}"),
            ("a:b", "c", "shop:{user:a%3Ab/c}"),
            ("a", "b:c", "shop:{user:a/b%3Ac}"),
            ("", "", "shop:{user:/}"),
            ("}{", "%", "shop:{user:%7D%7B/%25}"),
            ("a\u{2028}b", "\n", "shop:{user:a%E2%80%A8b/%0A}"),
            ("naïve", "日本", "shop:{user:naïve/日本}"),
        ] {
            assert_eq!(render(a, b), expected);
        }
    }

    /// Catalogue 47.
    #[test]
    fn a_long_key_becomes_a_digest_that_no_argument_can_imitate() {
        let long = "x".repeat(10_000);
        let key = render(&long, "");
        assert!(key.starts_with("shop:{user:{"), "{key}");
        assert!(key.len() < 100, "{key}");
        let digest = &key["shop:{user:".len()..key.len() - 1];
        assert_ne!(render(digest, ""), key);
        assert_ne!(render(&long, "y"), key);
    }

    #[test]
    fn a_failing_display_gives_no_key() {
        struct Broken;
        impl Display for Broken {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("half")?;
                Err(fmt::Error)
            }
        }
        assert!(Key::render("ns", &[Segment(Piece::Value(&Broken))]).is_err());
    }

    proptest! {
        /// Catalogue 46.
        #[test]
        fn different_arguments_give_different_keys(
            a in "[a:/|{}% \u{0}-\u{20}]{0,6}", b in "[a:/|{}% \u{0}-\u{20}]{0,6}",
            c in "[a:/|{}% \u{0}-\u{20}]{0,6}", d in "[a:/|{}% \u{0}-\u{20}]{0,6}",
        ) {
            prop_assert_eq!((&a, &b) == (&c, &d), render(&a, &b) == render(&c, &d));
            let key = render(&a, &b);
            prop_assert_eq!(key.find('}'), Some(key.len() - 1));
            prop_assert_eq!(key.find('{'), Some("shop:".len()));
        }
    }
}
