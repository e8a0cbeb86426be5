use proptest::prelude::*;

use super::*;

fn tag(text: &str) -> Tag {
    Tag::named("shop", text)
}

fn nonce(text: &str) -> Nonce {
    Nonce::new(text.as_bytes().to_vec()).unwrap()
}

fn judged(stamped: &[(&Tag, &str)], asked: &[&Tag], read: &[Option<&str>]) -> Standing {
    let stamps = stamped
        .iter()
        .map(|(tag, nonce)| Stamp { name: tag.name().as_bytes(), nonce: nonce.as_bytes() });
    let asked: Vec<Tag> = asked.iter().copied().cloned().collect();
    let read: Vec<Option<Nonce>> = read.iter().map(|text| text.map(nonce)).collect();
    judge(&stamps, &asked, &asked, &read)
}

#[test]
fn a_tag_is_what_it_reads_like_and_stays_inside_its_braces() {
    for (text, name) in [
        ("team:7", "team:7"),
        ("team:a:b/c|d", "team:a:b/c|d"),
        ("}{%", "%7D%7B%25"),
        ("a b", "a%20b"),
        ("日本", "日本"),
        ("", "%empty"),
        ("%all", "%25all"),
    ] {
        let tag = tag(text);
        assert_eq!(tag.key(), format!("shop.tag:{{{name}}}"));
        assert_eq!(tag.name(), name);
        assert_eq!(Tag::stamped("shop", name), tag);
    }
}

#[test]
fn a_template_gives_the_text_that_somebody_writes_by_hand() {
    let (team, none) = ("a:b", Segment(Piece::Absent));
    let segments = [Segment(Piece::Literal("team:")), Segment(Piece::Value(&team))];
    assert_eq!(text(&segments), Ok(Some(format!("team:{team}"))));
    assert_eq!(text(&[Segment(Piece::Literal("region:")), none]), Ok(None));
}

#[test]
fn a_long_tag_becomes_a_digest_that_no_text_can_imitate() {
    for head in
        ["t", "a head that is longer than half of what a whole name may have: it is 128", "日本"]
    {
        let long = |n| tag(&format!("{head}{}", "日".repeat(n)));
        assert!(long(200).name().len() <= LONGEST_NAME, "{:?}", long(200));
        assert_ne!(long(200), long(201));
        assert_ne!(tag(long(200).name()), long(200));
    }
    let just_short_enough = tag(&"x".repeat(LONGEST_NAME));
    assert_eq!(just_short_enough.name(), "x".repeat(LONGEST_NAME));
}

#[test]
fn a_nonce_fits_into_a_stamp() {
    assert!(Nonce::new(Vec::new()).is_none());
    assert!(Nonce::new(vec![7; LONGEST_NONCE]).is_some());
    assert!(Nonce::new(vec![7; LONGEST_NONCE + 1]).is_none());
}

#[test]
fn c1_an_entry_is_current_only_while_every_stamp_equals_what_was_read() {
    use Standing::{Current, Expired, Void};
    let (a, b) = (&tag("t:a"), &tag("t:b"));
    for (stamped, asked, read, expected) in [
        (&[][..], &[][..], &[][..], Current),
        (&[(a, "1")], &[a], &[Some("1")], Current),
        (&[(b, "2"), (a, "1")], &[a, b], &[Some("1"), Some("2")], Current),
        // Invalidated since, or evicted.
        (&[(a, "1")], &[a], &[Some("2")], Void),
        (&[(a, "1")], &[a], &[None], Void),
        (&[(a, "1"), (b, "2")], &[a, b], &[Some("1"), None], Void),
        (&[(a, "1"), (b, "2")], &[a, b], &[Some("1"), Some("1")], Void),
        // Of another's nonce.
        (&[(a, "2"), (b, "1")], &[a, b], &[Some("1"), Some("2")], Void),
        // A tag without a stamp, a stamp without a tag.
        (&[], &[a], &[Some("1")], Void),
        (&[], &[a], &[None], Void),
        (&[(a, "1")], &[a, b], &[Some("1"), None], Void),
        (&[(a, "1"), (b, "2")], &[a], &[Some("1")], Void),
        // Two stamps of one tag: one of them is wrong.
        (&[(a, "1"), (a, "2")], &[a], &[Some("1")], Void),
        (&[(a, "2"), (a, "1")], &[a], &[Some("1")], Void),
        // Fewer nonces than were asked for.
        (&[(a, "1")], &[a], &[], Void),
        // Expired since; expired before, and not since; expired and then invalidated.
        (&[(a, "1")], &[a], &[Some("1~1")], Expired),
        (&[(a, "1~1")], &[a], &[Some("1~2")], Expired),
        (&[(a, "1~1")], &[a], &[Some("1~1")], Current),
        (&[(a, "1~1")], &[a], &[Some("2~1")], Void),
        (&[(a, "1"), (b, "2")], &[a, b], &[Some("1~1"), Some("3")], Void),
        (&[(a, "1"), (b, "2")], &[a, b], &[Some("1~1"), Some("2")], Expired),
    ] {
        assert_eq!(judged(stamped, asked, read), expected, "{stamped:?} {asked:?} {read:?}");
    }
}

#[test]
fn a_tag_that_nobody_declared_needs_no_stamp_and_a_declared_one_does() {
    let (a, b) = (tag("a"), tag("b"));
    let stamps = [Stamp { name: b"a", nonce: b"1" }].into_iter();
    let (asked, read) = ([a.clone(), b.clone()], [Some(nonce("1")), Some(nonce("2"))]);
    assert_eq!(judge(&stamps, &[a], &asked, &read), Standing::Current);
    assert_eq!(judge(&stamps, &[b], &asked, &read), Standing::Void);
}

#[test]
fn c1_of_two_states_of_a_tag_the_older_one_counts() {
    for (one, other, older) in [
        ("1", "1", Some("1")),
        ("1", "1~1", Some("1")),
        ("1~10", "1~9", Some("1~9")),
        ("1", "2", None),
        ("1~1", "2~1", None),
    ] {
        let (one, other) = (nonce(one), nonce(other));
        assert_eq!(one.older(&other).cloned(), older.map(nonce), "{one:?} {other:?}");
        assert_eq!(other.older(&one).cloned(), older.map(nonce), "{other:?} {one:?}");
    }
    assert_eq!(expired(b"r.1"), b"r.1~1");
    assert_eq!(expired(b"r.1~9"), b"r.1~10");
}

proptest! {
    #[test]
    fn different_texts_give_different_tags(a in "[a:/|{}% x]{0,200}", b in "[a:/|{}% x]{0,200}") {
        prop_assert_eq!(a == b, tag(&a) == tag(&b));
        let tag = tag(&a);
        prop_assert!(tag.name().len() <= LONGEST_NAME && !tag.name().is_empty());
        prop_assert_eq!(tag.key().find('}'), Some(tag.key().len() - 1));
    }
}
