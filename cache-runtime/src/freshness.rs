//! Decides what a stored entry may be used for. Pure: it never reads a clock.

use std::time::Duration;

use crate::entry::Life;
use crate::tags::Standing;

/// What a usable entry is to the caller that read it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Freshness {
    Fresh,
    /// Served at once, and refreshed in the background.
    Stale,
    /// Expired by hand, itself or one of its tags, and nobody would refresh it: a miss.
    Expired,
    /// Past its ttl, and kept to be served if computing a new one fails: a miss until then.
    Past,
}

/// `now` is the latest that the server's clock may show; `None` where it is unknown.
///
/// Doubt counts as past: a refresh too early costs one body, a refresh too late costs the promise
/// that a hot key never runs cold. The end of `ttl` is asked only of what is kept beyond it: of all else the server
/// enforces it, and where others write to the server, [`has_ended`].
///
/// `refreshes` is the reader's: `expire` reaches all entries under a key, and another function's may
/// have a window where this one's has none.
pub(crate) fn judge(
    life: &Life,
    standing: Standing,
    now: Option<u64>,
    refreshes: bool,
) -> Freshness {
    let has_window = life.due_at < life.ttl_end;
    let by_hand = life.due_at == 0 || standing == Standing::Expired;
    match now {
        // Whose `due_at` was patched may have had a window.
        _ if life.is_kept() && now.is_none_or(|now| now >= life.ttl_end) => Freshness::Past,
        _ if by_hand && !(refreshes && has_window) => Freshness::Expired,
        _ if by_hand => Freshness::Stale,
        _ if !has_window => Freshness::Fresh,
        Some(now) if now < life.due_at => Freshness::Fresh,
        _ => Freshness::Stale,
    }
}

/// Whether an entry is at its end, for those who do not leave that to the server. Here as well doubt counts as past.
pub(crate) fn has_ended(life: &Life, now: Option<u64>) -> bool {
    now.is_none_or(|now| now >= life.end)
}

/// Whether the computation of an entry began longer ago than `max_age`. Here as well doubt counts as past.
pub(crate) fn is_older(life: &Life, max_age: Duration, now: Option<u64>) -> bool {
    now.is_none_or(|now| now.saturating_sub(life.born_at) > millis(max_age))
}

/// When an entry whose computation began at `born_at` is due and when it ends.
///
/// `kept` is how long behind that it is served if computing a new one fails.
///
/// Jitter only ever shortens: `dice` is in `0..=1` and takes that part of `jitter_permille` away.
pub(crate) fn plan(
    born_at: u64,
    ttl: Duration,
    refresh_before: Option<Duration>,
    kept: Duration,
    jitter_permille: u16,
    dice: f64,
) -> Life {
    let ttl = millis(ttl);
    let most =
        ttl / 1000 * u64::from(jitter_permille) + ttl % 1000 * u64::from(jitter_permille) / 1000;
    #[expect(
        clippy::cast_precision_loss,
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "a random share of a ttl need not be exact, and `most` caps it"
    )]
    let cut = ((most as f64 * dice.clamp(0.0, 1.0)) as u64).min(most);
    let ttl = (ttl - cut).max(1);
    let ttl_end = born_at.saturating_add(ttl);
    let due_at = match refresh_before {
        // A window that jitter has swallowed whole still leaves the entry a fresh moment.
        Some(window) => ttl_end.saturating_sub(millis(window)).max(born_at + 1).min(ttl_end),
        None => ttl_end,
    };
    Life { born_at, due_at, ttl_end, end: ttl_end.saturating_add(millis(kept)) }
}

pub(crate) fn millis(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn an_entry_is_stale_inside_its_window_and_whenever_time_is_in_doubt() {
        let windowed = Life { born_at: 100, due_at: 200, ttl_end: 300, end: 300 };
        let plain = Life { due_at: 300, ..windowed };
        let expired = Life { due_at: 0, ..windowed };
        let kept = Life { end: 400, ..windowed };
        let kept_plain = Life { end: 400, ..plain };
        let kept_expired = Life { end: 400, ..expired };
        for (life, now, refreshes, expected) in [
            (windowed, Some(100), true, Freshness::Fresh),
            (windowed, Some(199), true, Freshness::Fresh),
            (windowed, Some(200), true, Freshness::Stale),
            (windowed, None, true, Freshness::Stale),
            (plain, Some(299), false, Freshness::Fresh),
            (plain, None, false, Freshness::Fresh),
            (expired, Some(101), true, Freshness::Stale),
            (expired, Some(101), false, Freshness::Expired),
            (kept, Some(199), true, Freshness::Fresh),
            (kept, Some(299), true, Freshness::Stale),
            (kept, Some(300), true, Freshness::Past),
            (kept, None, true, Freshness::Past),
            (kept_plain, Some(299), false, Freshness::Fresh),
            (kept_plain, Some(300), false, Freshness::Past),
            (kept_plain, None, false, Freshness::Past),
            (kept_expired, Some(101), false, Freshness::Expired),
            (kept_expired, Some(300), true, Freshness::Past),
        ] {
            assert_eq!(
                judge(&life, Standing::Current, now, refreshes),
                expected,
                "{life:?} at {now:?}"
            );
        }
    }

    #[test]
    fn an_entry_has_ended_at_its_end_and_whenever_time_is_in_doubt() {
        let life = Life { born_at: 100, due_at: 200, ttl_end: 300, end: 400 };
        for (now, expected) in [(Some(399), false), (Some(400), true), (None, true)] {
            assert_eq!(has_ended(&life, now), expected, "{now:?}");
        }
    }

    #[test]
    fn an_entry_is_too_old_past_its_age_and_whenever_time_is_in_doubt() {
        let life = Life { born_at: 100, due_at: 200, ttl_end: 300, end: 300 };
        for (max_age, now, expected) in [
            (50, Some(150), false),
            (50, Some(151), true),
            (0, Some(100), false),
            // Another server's clock may be behind.
            (0, Some(99), false),
            (1_000, None, true),
        ] {
            let max_age = Duration::from_millis(max_age);
            assert_eq!(is_older(&life, max_age, now), expected, "{max_age:?} at {now:?}");
        }
        assert!(!is_older(&life, Duration::MAX, Some(u64::MAX)));
    }

    proptest! {
        #[test]
        fn c3_jitter_only_shortens(
            born in 0u64..1 << 50, ttl in 1u64..1 << 40, window in 0u64..1 << 40,
            jitter in 0u16..=500, dice in 0.0f64..=1.0, kept in 0u64..1 << 40,
        ) {
            let ms = Duration::from_millis;
            let life = plan(born, ms(ttl), Some(ms(window)), ms(kept), jitter, dice);
            prop_assert!(life.end == life.ttl_end + kept);
            prop_assert!(life.ttl_end <= born + ttl);
            prop_assert!(life.ttl_end > born);
            prop_assert!(life.ttl_end - born >= ttl - ttl * u64::from(jitter) / 1000 - 1);
            prop_assert!(life.due_at <= life.ttl_end && life.due_at > born);
        }
    }
}
