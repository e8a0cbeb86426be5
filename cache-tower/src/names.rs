//! How tags are spelled in headers.

use redis_cached_runtime::private;

use crate::asking::OF_URI;

/// How a tag is spelled in `Surrogate-Key` and `Cache-Tag`: what a CDN is to purge when the tag is
/// invalidated.
///
/// Most tags are spelled as they are. What could not stand in a header, or would split it, is
/// percent-encoded: white space, control characters, `%`, `{`, `}`, commas, and all that is not ASCII.
/// Of a tag of more than 128 bytes a digest takes the place of its end.
///
/// ```
/// use redis_cached::tower::surrogate_key;
///
/// assert_eq!(surrogate_key("team:7"), "team:7");
/// assert_eq!(surrogate_key("Zürich, Mitte"), "Z%C3%BCrich%2C%20Mitte");
/// ```
#[must_use]
pub fn surrogate_key(tag: &str) -> String {
    spelled(&private::tag_name(tag))
}

/// How a tag that is called so in the store is spelled. White space is escaped there already.
pub(crate) fn spelled(name: &str) -> String {
    let mut key = String::with_capacity(name.len());
    for byte in name.bytes() {
        if byte.is_ascii_graphic() && byte != b',' {
            key.push(char::from(byte));
        } else {
            let digit = |four: u8| char::from(b"0123456789ABCDEF"[usize::from(four)]);
            key.extend(['%', digit(byte >> 4), digit(byte & 15)]);
        }
    }
    key
}

/// Whether a name is one that the cache gives itself. Behind a `%` of a user's text stand two digits,
/// and the empty text has a word of its own.
pub(crate) fn is_internal(name: &str) -> bool {
    let Some(rest) = name.strip_prefix('%') else { return false };
    let is_digit = |byte: &u8| matches!(byte, b'0'..=b'9' | b'A'..=b'F');
    let of_text = rest.len() >= 2 && rest.as_bytes()[..2].iter().all(is_digit);
    !of_text && rest != "empty"
}

/// Whether a name is that of all entries of a function.
pub(crate) fn is_of_function(name: &str) -> bool {
    name.starts_with("fn:")
}

/// Whether a name is that of the responses of a URI.
pub(crate) fn is_of_uri(name: &str) -> bool {
    name.starts_with(OF_URI)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn names_of_the_cache_itself_are_told_from_those_of_texts() {
        assert!(is_internal("%all"));
        for text in ["", " ", "%all", "{x}", "é", "team:7", ",", "%"] {
            assert!(!is_internal(&private::tag_name(text)), "{text:?}");
        }
    }

    proptest! {
        #[test]
        fn a_key_neither_splits_nor_breaks_a_header(text in any::<String>()) {
            let key = surrogate_key(&text);
            prop_assert!(!key.is_empty() && key.len() <= 1024);
            prop_assert!(key.bytes().all(|byte| byte.is_ascii_graphic() && byte != b','));
        }

        #[test]
        fn short_tags_that_differ_are_spelled_differently(a in ".{0,12}", b in ".{0,12}") {
            prop_assert_eq!(surrogate_key(&a) == surrogate_key(&b), a == b);
        }
    }
}
