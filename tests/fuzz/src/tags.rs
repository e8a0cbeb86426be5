//! Tags, nonces and leases: the texts that stand in the store.

use redis_cached_runtime::fuzzing::{STAMPS, expired, older, parse_pass, pass, stands};
use redis_cached_runtime::private::tag_name;

use crate::input::Input;

/// Names are made of any text, and nonces may be anything that somebody has stored.
pub(crate) fn tags(data: &[u8]) {
    let mut input = Input(data);
    let (one, other) = (input.text(200), input.text(200));
    for text in [&one, &other] {
        let name = tag_name(text);
        assert!((1..=STAMPS[1]).contains(&name.len()), "{name:?}");
        assert!(!name.contains('}') && name.matches('{').count() <= 1, "{name:?}");
        assert!(!name.chars().any(|c| c.is_whitespace() || c.is_control()), "{name:?}");
    }
    assert_eq!(one == other, tag_name(&one) == tag_name(&other), "{one:?} and {other:?}");

    let (one, other) = (input.bytes(80), input.bytes(80));
    for (stamp, nonce) in [(one, one), (one, other), (other, one)] {
        let stands = stands("team:7", stamp, Some(nonce));
        assert!(stamp != nonce || stands == usable(nonce).then_some(false));
        assert_eq!(
            older(stamp, nonce).is_some(),
            usable(stamp) && usable(nonce) && stands.is_some()
        );
    }
    assert_eq!(stands("team:7", one, None), None, "a nonce that is not there is a miss");
    let next = expired(one);
    if usable(&next) && usable(one) {
        // At the end of what is counted the nonce stays: none is expired so often.
        let same = next == one;
        assert_eq!(stands("team:7", one, Some(&next)), Some(!same));
        assert_eq!(older(one, &next).as_deref(), Some(one));
    }

    let (until, failures) = (input.number(), u32::from(input.byte()));
    assert_eq!(parse_pass(&pass(until, failures)), Some((until, failures)));
    let _ = parse_pass(&format!("pass.{}", input.text(40)));
}

fn usable(nonce: &[u8]) -> bool {
    (1..=STAMPS[2]).contains(&nonce.len())
}
