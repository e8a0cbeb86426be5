//! What users write into attributes. Panics in there are a compiler's, and unpleasant.

use std::time::Duration;

use crate::template::{Segment, parse};
use crate::{duration, template};

const TEN_YEARS: Duration = Duration::from_secs(3650 * 24 * 60 * 60);

/// Any text, as a key.
pub(crate) fn templates(data: &[u8]) {
    let text = String::from_utf8_lossy(data);
    match parse(&text) {
        Ok(segments) => {
            let printed = printed(&segments);
            assert_eq!(parse(&printed), Ok(segments), "{text:?} prints as {printed:?}");
            assert_eq!(printed, text, "what is written in two ways is read in two");
        }
        Err(mistakes) => {
            assert!(!mistakes.is_empty(), "{text:?} is refused for nothing");
            assert!(mistakes.iter().all(|mistake| !mistake.is_empty()));
        }
    }
    let escaped = template::escaped(&text);
    assert!(!escaped.contains(['{', '}']), "{escaped:?}");
}

fn printed(segments: &[Segment]) -> String {
    segments
        .iter()
        .map(|segment| match segment {
            Segment::Literal(text) => text.replace('{', "{{").replace('}', "}}"),
            Segment::Placeholder(placeholder) => placeholder.to_string(),
        })
        .collect()
}

/// Any text, as a duration.
pub(crate) fn durations(data: &[u8]) {
    let text = String::from_utf8_lossy(data);
    if let Ok(duration) = duration::parse(&text) {
        assert!(duration <= TEN_YEARS);
        let printed = printed_duration(duration);
        assert_eq!(duration::parse(&printed), Ok(duration), "{text:?} prints as {printed:?}");
    }
    if let Ok(percent) = duration::parse_percent(&text, 1..=50) {
        assert!((1..=50).contains(&percent));
        assert_eq!(duration::parse_percent(&format!("{percent}%"), 1..=50), Ok(percent));
    }
    if let Ok(seconds) = text.parse::<u64>()
        && let Ok(duration) = duration::from_seconds(seconds)
    {
        assert_eq!(duration, Duration::from_secs(seconds));
    }
}

fn printed_duration(duration: Duration) -> String {
    let mut left = duration.as_millis();
    let mut printed = String::new();
    for (unit, millis) in [("w", 604_800_000), ("d", 86_400_000), ("h", 3_600_000), ("m", 60_000)] {
        if left >= millis {
            printed = format!("{printed}{}{unit}", left / millis);
            left %= millis;
        }
    }
    format!("{printed}{}s{}ms", left / 1000, left % 1000)
}
