use proptest::prelude::*;

use super::*;
use crate::key::Piece;

fn tag(literal: &'static str, value: &str) -> Tag {
    Tag::render("shop", &[Segment(Piece::Literal(literal)), Segment(Piece::Value(&value))]).unwrap()
}

fn nonce(text: &str) -> Nonce {
    Nonce::new(text.as_bytes().to_vec()).unwrap()
}

fn holds(stamped: &[(&Tag, &str)], asked: &[&Tag], read: &[Option<&str>]) -> bool {
    let stamps =
        stamped.iter().map(|(tag, nonce)| Stamp { name: tag.name(), nonce: nonce.as_bytes() });
    let asked: Vec<Tag> = asked.iter().copied().cloned().collect();
    let read: Vec<Option<Nonce>> = read.iter().map(|text| text.map(nonce)).collect();
    hold(&stamps, &asked, &read)
}

#[test]
fn a_tag_is_rendered_like_a_key() {
    for (value, name) in
        [("7", "team:7"), ("a:b", "team:a%3Ab"), ("}{", "team:%7D%7B"), ("日本", "team:日本")]
    {
        let tag = tag("team:", value);
        assert_eq!(tag.key(), format!("shop.tag:{{{name}}}"));
        assert_eq!(tag.name(), name.as_bytes());
    }
}

#[test]
fn a_long_tag_becomes_a_digest_that_no_value_can_imitate() {
    let heads = [
        "t",
        "a head of thirty-two bytes, about",
        "a head that is longer than half of what a whole name may have, which is 128",
    ];
    for head in heads {
        let (long, other) = (tag(head, &"x".repeat(500)), tag(head, &"x".repeat(501)));
        assert!(long.name().len() <= LONGEST_NAME, "{long:?}");
        assert_ne!(long, other);
    }
    let long = tag("t", &"x".repeat(500));
    let digest = std::str::from_utf8(&long.name()[1..]).unwrap();
    assert_ne!(tag("t", digest), long);
    let just_short_enough = tag("t:", &"x".repeat(LONGEST_NAME - 2));
    assert_eq!(just_short_enough.name().len(), LONGEST_NAME);
    assert!(just_short_enough.name().ends_with(b"xx"));
}

#[test]
fn a_nonce_fits_into_a_stamp() {
    assert!(Nonce::new(Vec::new()).is_none());
    assert!(Nonce::new(vec![7; LONGEST_NONCE]).is_some());
    assert!(Nonce::new(vec![7; LONGEST_NONCE + 1]).is_none());
}

#[test]
fn c1_stamps_hold_only_while_every_one_equals_what_was_read() {
    let (a, b) = (&tag("t:", "a"), &tag("t:", "b"));
    for (stamped, asked, read, expected) in [
        (&[][..], &[][..], &[][..], true),
        (&[(a, "1")], &[a], &[Some("1")], true),
        (&[(b, "2"), (a, "1")], &[a, b], &[Some("1"), Some("2")], true),
        // Invalidated since, or evicted.
        (&[(a, "1")], &[a], &[Some("2")], false),
        (&[(a, "1")], &[a], &[None], false),
        (&[(a, "1"), (b, "2")], &[a, b], &[Some("1"), None], false),
        (&[(a, "1"), (b, "2")], &[a, b], &[Some("1"), Some("1")], false),
        // Of another's nonce.
        (&[(a, "2"), (b, "1")], &[a, b], &[Some("1"), Some("2")], false),
        // A tag without a stamp, a stamp without a tag.
        (&[], &[a], &[Some("1")], false),
        (&[], &[a], &[None], false),
        (&[(a, "1")], &[a, b], &[Some("1"), None], false),
        (&[(a, "1"), (b, "2")], &[a], &[Some("1")], false),
        // Two stamps of one tag: one of them is wrong.
        (&[(a, "1"), (a, "2")], &[a], &[Some("1")], false),
        (&[(a, "2"), (a, "1")], &[a], &[Some("1")], false),
        // Fewer nonces than were asked for.
        (&[(a, "1")], &[a], &[], false),
    ] {
        assert_eq!(holds(stamped, asked, read), expected, "{stamped:?} {asked:?} {read:?}");
    }
}

proptest! {
    #[test]
    fn different_values_give_different_tags(a in "[a:/|{}% x]{0,200}", b in "[a:/|{}% x]{0,200}") {
        prop_assert_eq!(a == b, tag("t:", &a) == tag("t:", &b));
        let tag = tag("t:", &a);
        prop_assert!(tag.name().len() <= LONGEST_NAME && !tag.name().is_empty());
        prop_assert_eq!(tag.key().find('}'), Some(tag.key().len() - 1));
    }
}
