//! `"1h30m"`, `"250ms"` → `Duration`, and `"20%"` → per cent. Knows nothing of tokens.

use std::time::Duration;

/// Largest first: the order in which they are written.
const UNITS: [(&str, u64); 6] = [
    ("w", 7 * 24 * 60 * 60 * 1000),
    ("d", 24 * 60 * 60 * 1000),
    ("h", 60 * 60 * 1000),
    ("m", 60 * 1000),
    ("s", 1000),
    ("ms", 1),
];

/// Longer is a slip (`"5000d"` for seconds), and keeps every sum of two durations far from overflow.
const MAX_MILLIS: u64 = 3650 * 24 * 60 * 60 * 1000;

const FORM: &str = "write whole numbers with the units `w`, `d`, `h`, `m`, `s`, `ms`, \
                    each at most once and the largest first, as in `\"1h30m\"`";

pub(crate) fn parse(text: &str) -> Result<Duration, String> {
    if text.is_empty() {
        return Err(format!("it is empty: {FORM}"));
    }
    let mut rest = text;
    let mut total: u64 = 0;
    let mut previous: Option<usize> = None;
    while !rest.is_empty() {
        let (number, after) = leading(rest, |c| c.is_ascii_digit());
        let (unit, after) = leading(after, char::is_alphabetic);
        rest = after;
        let index = unit_index(number, unit, after)?;
        check_order(previous, index)?;
        previous = Some(index);
        total = number
            .parse::<u64>()
            .ok()
            .and_then(|number| number.checked_mul(UNITS[index].1))
            .and_then(|millis| total.checked_add(millis))
            .ok_or_else(too_long)?;
    }
    bounded(total)
}

pub(crate) fn from_seconds(seconds: u64) -> Result<Duration, String> {
    bounded(seconds.checked_mul(1000).ok_or_else(too_long)?)
}

/// `"20%"` → 20, if it lies in `allowed`.
pub(crate) fn parse_percent(
    text: &str,
    allowed: std::ops::RangeInclusive<u16>,
) -> Result<u16, String> {
    text.strip_suffix('%')
        .filter(|number| number.chars().all(|c| c.is_ascii_digit()))
        .and_then(|number| number.parse().ok())
        .filter(|percent| allowed.contains(percent))
        .ok_or_else(|| {
            format!(
                "write a whole number of per cent from `\"{}%\"` to `\"{}%\"`",
                allowed.start(),
                allowed.end()
            )
        })
}

fn leading(text: &str, belongs: impl Fn(char) -> bool) -> (&str, &str) {
    text.split_at(text.find(|c| !belongs(c)).unwrap_or(text.len()))
}

fn unit_index(number: &str, unit: &str, after: &str) -> Result<usize, String> {
    if number.is_empty() {
        return Err(format!("a number is missing: {FORM}"));
    }
    if unit.is_empty() {
        return Err(match after.chars().next() {
            None => format!(
                "`{number}` has no unit: write `\"{number}s\"`, or the integer {number} for seconds"
            ),
            Some('.' | ',') => {
                format!("fractions are not allowed (`\"1500ms\"`, not `\"1.5s\"`): {FORM}")
            }
            Some(other) => format!("unexpected {other:?} after `{number}`: {FORM}"),
        });
    }
    UNITS
        .iter()
        .position(|(name, _)| *name == unit)
        .ok_or_else(|| format!("unknown unit `{unit}`: {FORM}"))
}

fn check_order(previous: Option<usize>, index: usize) -> Result<(), String> {
    let unit = UNITS[index].0;
    match previous {
        Some(previous) if previous == index => {
            Err(format!("the unit `{unit}` is repeated: {FORM}"))
        }
        Some(previous) if previous > index => {
            Err(format!("`{unit}` stands after the smaller `{}`: {FORM}", UNITS[previous].0))
        }
        _ => Ok(()),
    }
}

fn bounded(millis: u64) -> Result<Duration, String> {
    if millis > MAX_MILLIS {
        return Err(too_long());
    }
    Ok(Duration::from_millis(millis))
}

fn too_long() -> String {
    "it is too long: at most 10 years (`\"3650d\"`) are allowed".to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(input: &str, expected: Result<u64, &str>) {
        match (parse(input), expected) {
            (Ok(found), Ok(millis)) => assert_eq!(found, Duration::from_millis(millis), "{input}"),
            (Err(message), Err(part)) => assert!(message.contains(part), "{input}: {message}"),
            (found, expected) => panic!("{input}: {found:?}, expected {expected:?}"),
        }
    }

    #[test]
    fn durations() {
        for (input, millis) in [
            ("250ms", 250),
            ("0ms", 0),
            ("0s", 0),
            ("1s", 1_000),
            ("007s", 7_000),
            ("90s", 90_000),
            ("5m", 300_000),
            ("1h", 3_600_000),
            ("1h30m", 5_400_000),
            ("1d", 86_400_000),
            ("1w", 604_800_000),
            ("1w2d3h4m5s6ms", 788_645_006),
            ("1m1ms", 60_001),
            ("3650d", MAX_MILLIS),
            ("521w3d", MAX_MILLIS),
        ] {
            check(input, Ok(millis));
        }
    }

    #[test]
    fn mistakes() {
        for (input, part) in [
            ("", "empty"),
            ("5", "`5` has no unit: write `\"5s\"`"),
            ("1h5", "`5` has no unit"),
            ("m", "a number is missing"),
            ("-5m", "a number is missing"),
            ("+5m", "a number is missing"),
            (" 5m", "a number is missing"),
            ("5 m", "unexpected ' ' after `5`"),
            ("1h 5m", "a number is missing"),
            ("5m ", "a number is missing"),
            ("5_000ms", "unexpected '_'"),
            ("1.5h", "fractions are not allowed"),
            ("1,5h", "fractions are not allowed"),
            ("5M", "unknown unit `M`"),
            ("5min", "unknown unit `min`"),
            ("5sec", "unknown unit `sec`"),
            ("5us", "unknown unit `us`"),
            ("1y", "unknown unit `y`"),
            ("5µs", "unknown unit `µs`"),
            ("٥m", "a number is missing"),
            ("20%", "unexpected '%'"),
            ("5m5m", "the unit `m` is repeated"),
            ("5s1h", "`h` stands after the smaller `s`"),
            ("5ms1s", "`s` stands after the smaller `ms`"),
            ("3651d", "too long"),
            ("3650d1ms", "too long"),
            ("99999999999999999999s", "too long"),
            ("18446744073709551615w", "too long"),
        ] {
            check(input, Err(part));
        }
    }

    #[test]
    fn seconds() {
        assert_eq!(from_seconds(0), Ok(Duration::ZERO));
        assert_eq!(from_seconds(300), Ok(Duration::from_secs(300)));
        assert!(from_seconds(3650 * 86_400).is_ok());
        assert!(from_seconds(3650 * 86_400 + 1).is_err());
        assert!(from_seconds(u64::MAX).is_err());
    }

    #[test]
    fn percentages() {
        for (input, expected) in [
            ("1%", Some(1)),
            ("20%", Some(20)),
            ("99%", Some(99)),
            ("0%", None),
            ("100%", None),
            ("0.5%", None),
            ("-1%", None),
            ("+1%", None),
            ("%", None),
            ("20", None),
            ("20 %", None),
            ("70000%", None),
        ] {
            assert_eq!(parse_percent(input, 1..=99).ok(), expected, "{input}");
        }
        assert_eq!(
            parse_percent("60%", 0..=50),
            Err("write a whole number of per cent from `\"0%\"` to `\"50%\"`".to_owned())
        );
    }
}
