//! `Cache-Control`, as RFC 9111 §5.2 and RFC 5861 say.

use http::HeaderMap;
use http::header::CACHE_CONTROL;

/// The directives that are heeded. Others are ignored, as they have to be.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[expect(clippy::struct_excessive_bools, reason = "so is the header")]
pub(crate) struct CacheControl {
    pub(crate) no_store: bool,
    /// Also where it names fields: that a cache may do more than is asked of it, RFC 9111 §5.2.2.4 says.
    pub(crate) no_cache: bool,
    /// The same, §5.2.2.7.
    pub(crate) private: bool,
    pub(crate) public: bool,
    /// `must-revalidate` or `proxy-revalidate`: never to be served stale.
    pub(crate) revalidate: bool,
    pub(crate) max_age: Option<u64>,
    pub(crate) s_maxage: Option<u64>,
    pub(crate) stale_while_revalidate: Option<u64>,
}

/// RFC 9111 §1.2.2: what is larger counts as this.
const MOST_SECONDS: u64 = 1 << 31;

impl CacheControl {
    pub(crate) fn of(headers: &HeaderMap) -> Self {
        let mut all = Self::default();
        for value in headers.get_all(CACHE_CONTROL) {
            match std::str::from_utf8(value.as_bytes()) {
                Ok(text) => all.read(text),
                // Whatever it says, it may be that.
                Err(_) => all.no_store = true,
            }
        }
        all
    }

    fn read(&mut self, text: &str) {
        if ends_quoted(text) {
            // Whatever is in there may be meant.
            self.no_store = true;
        }
        for directive in split(text) {
            let (name, value) = match directive.split_once('=') {
                Some((name, value)) => (name.trim(), value.trim()),
                None => (directive, ""),
            };
            match name.to_ascii_lowercase().as_str() {
                "no-store" => self.no_store = true,
                "no-cache" => self.no_cache = true,
                "private" => self.private = true,
                "public" => self.public = true,
                "must-revalidate" | "proxy-revalidate" => self.revalidate = true,
                "max-age" => note(&mut self.max_age, value),
                "s-maxage" => note(&mut self.s_maxage, value),
                "stale-while-revalidate" => note(&mut self.stale_while_revalidate, value),
                _ => {}
            }
        }
    }

    /// How long a shared cache may use a response: `s-maxage` before `max-age`, RFC 9111 §4.2.1.
    pub(crate) fn freshness(&self) -> Option<u64> {
        self.s_maxage.or(self.max_age)
    }
}

/// Of one directive given twice the shorter counts, and what is no number is stale: RFC 9111 §4.2.1.
fn note(seconds: &mut Option<u64>, value: &str) {
    let value = value.strip_prefix('"').and_then(|value| value.strip_suffix('"')).unwrap_or(value);
    let is_number = !value.is_empty() && value.bytes().all(|byte| byte.is_ascii_digit());
    let given = if is_number { value.parse().unwrap_or(u64::MAX).min(MOST_SECONDS) } else { 0 };
    *seconds = Some(seconds.map_or(given, |known| known.min(given)));
}

fn ends_quoted(text: &str) -> bool {
    let (mut quoted, mut escaped) = (false, false);
    for c in text.chars() {
        let is_escaped = escaped;
        escaped = quoted && c == '\\' && !is_escaped;
        quoted ^= c == '"' && !is_escaped;
    }
    quoted
}

/// The members of a list; commas between quotes do not part them.
pub(crate) fn split(text: &str) -> impl Iterator<Item = &str> {
    let (mut quoted, mut escaped) = (false, false);
    text.split(move |c| {
        let is_escaped = escaped;
        escaped = quoted && c == '\\' && !is_escaped;
        quoted ^= c == '"' && !is_escaped;
        c == ',' && !quoted
    })
    .map(str::trim)
    .filter(|member| !member.is_empty())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> CacheControl {
        let mut all = CacheControl::default();
        all.read(text);
        all
    }

    #[test]
    fn directives_are_read_as_the_rfc_says() {
        let expected = CacheControl {
            public: true,
            max_age: Some(60),
            s_maxage: Some(5),
            ..CacheControl::default()
        };
        assert_eq!(read("Public , MAX-AGE=60,, s-maxage=\"5\", x=\"no-store, private\""), expected);
        assert_eq!(read(r#"x="a\", no-store", max-age=1"#).max_age, Some(1));
        assert!(!read(r#"x="a\", no-store""#).no_store);
        assert!(read("private=\"set-cookie\"").private && read("no-cache=\"a, b\"").no_cache);
        assert!(read("no-store").no_store && read("max-age=1, x=\"open, no-store").no_store);
        assert!(read("must-revalidate").revalidate && read("proxy-revalidate").revalidate);
    }

    #[test]
    fn a_number_in_doubt_is_the_shorter_one() {
        for (text, expected) in [
            ("max-age=5, max-age=3", 3),
            ("max-age=-1", 0),
            ("max-age", 0),
            ("max-age=1.5", 0),
            ("max-age=99999999999999999999999", MOST_SECONDS),
        ] {
            assert_eq!(read(text).max_age, Some(expected), "{text}");
        }
    }
}
