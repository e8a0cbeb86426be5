use super::*;
use crate::key::{Key, Piece, Segment};

fn tags(numbers: std::ops::Range<usize>) -> Batch {
    numbers.map(|number| Subject::Tag(number.to_string())).collect()
}

#[test]
fn what_is_left_again_takes_no_more_room_and_begins_anew() {
    let (mut waiting, now) = (Waiting::default(), Instant::now());
    let key = Key::render("ns", &[Segment(Piece::Literal("user:1"))]).unwrap();
    for second in 0..100 {
        let batch = [Subject::Key(key.clone()), Subject::Tag("users".to_owned())];
        let lost =
            waiting.add(batch.into_iter().collect(), false, now + Duration::from_secs(second));
        assert_eq!(lost, 0);
    }
    assert_eq!(waiting.subjects.len(), 2);
    assert!(waiting.subjects.values().all(|turn| turn.since == now + Duration::from_secs(99)));
}

#[test]
fn what_finds_no_room_is_counted() {
    let (mut waiting, now) = (Waiting::default(), Instant::now());
    assert_eq!(waiting.add(tags(0..MOST), false, now), 0);
    assert_eq!(waiting.add(tags(MOST - 1..MOST + 2), false, now), 2, "one was there already");
    assert_eq!(waiting.subjects.len(), MOST);
}

#[test]
fn c1_what_finds_no_room_invalidates_all_of_a_clearable_cache() {
    let (mut waiting, now) = (Waiting::default(), Instant::now());
    assert_eq!(waiting.add(tags(0..MOST), true, now), 0);
    assert_eq!(waiting.add(tags(MOST..MOST + 1), true, now), 0);
    assert_eq!(waiting.subjects.len(), 1);
    assert!(waiting.subjects.contains_key(&Subject::Tag(tags::EVERYTHING.to_owned())));
}

#[test]
fn c1_behind_an_outage_it_is_repeated_as_soon_as_without() {
    let (left, start) = (LeftBehind::default(), Instant::now());
    lock(&left.waiting).add(tags(0..1), false, start);
    let pause = |now, outcome: &Outcome| {
        let due = left.due(now);
        left.settle(due, outcome, now, false);
        lock(&left.waiting).subjects.values().map(|turn| turn.due).min().unwrap()
    };
    let mut now = start;
    while now - start < Duration::from_secs(4) {
        now = pause(now, &Outcome::unconfirmed());
    }
    let next = pause(now, &Outcome::confirmed());
    assert!(next <= Instant::now() + BETWEEN_REPEATS, "{:?}", next - start);
}

#[test]
fn c1_what_is_left_again_during_an_attempt_is_not_settled_by_it() {
    let (left, now) = (LeftBehind::default(), Instant::now());
    lock(&left.waiting).add(tags(0..2), false, now);
    let due = left.due(now);
    assert_eq!(due.len(), 2);
    assert!(left.due(now).is_empty(), "one errand at a time");
    lock(&left.waiting).add(tags(1..2), false, now);
    left.settle(due, &Outcome::confirmed(), now, true);
    assert_eq!(left.due(now).len(), 1);
}
