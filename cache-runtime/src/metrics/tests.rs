//! That `docs/operations.md` says what is there.

use std::collections::BTreeMap;

use super::handles::Words;
use super::labels::{Called, Committed, Direction, Invalidated, Operation};
use super::table::{self, ALL, Metric};
use super::{Access, Awaited, Ran, Refreshed, Subject};
use crate::rejection::Rejection;
use crate::site::Warning;

fn page() -> String {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../docs/operations.md");
    std::fs::read_to_string(path).expect("the page is there")
}

/// The words that a metric's labels may have, of each label.
fn words() -> BTreeMap<&'static str, Vec<Vec<&'static str>>> {
    fn of<W: Words>(all: impl IntoIterator<Item = W>) -> Vec<Vec<&'static str>> {
        let mut texts: Vec<_> = all.into_iter().map(Words::texts).collect();
        texts.sort();
        texts
    }
    [
        (&table::CALLS, of(Called::ALL)),
        (&table::BODY, of(Ran::ALL)),
        (&table::WAIT, of(Awaited::ALL)),
        (&table::REFRESHES, of(Refreshed::ALL)),
        (&table::COMMITS, of(Committed::ALL)),
        (&table::REJECTIONS, of(Rejection::ALL)),
        (&table::WARNINGS, of(Warning::ALL)),
        (&table::INVALIDATIONS, of(Invalidated::all())),
        (&table::OPERATIONS, of(Operation::all())),
        (&table::OPERATION, of(Access::ALL)),
        (&table::IO, of(Direction::ALL)),
        (&table::BREAKER, of(Access::ALL)),
    ]
    .into_iter()
    .map(|(metric, words)| (metric.name, words))
    .collect()
}

/// Each with the words of its own labels.
fn values<'w>(
    metric: &Metric,
    words: &'w BTreeMap<&'static str, Vec<Vec<&'static str>>>,
) -> BTreeMap<&'static str, Vec<&'w str>> {
    let mut values: BTreeMap<_, Vec<&str>> = BTreeMap::new();
    for texts in words.get(metric.name).into_iter().flatten() {
        let labels = &metric.labels[metric.labels.len() - texts.len()..];
        for (label, text) in labels.iter().zip(texts) {
            values.entry(*label).or_default().push(text);
        }
    }
    values
}

#[test]
fn the_page_has_the_same_table() {
    let (page, words) = (page(), words());
    let rows: Vec<&str> =
        page.lines().filter(|line| line.starts_with("| `redis_cached.")).collect();
    assert_eq!(rows.len(), ALL.len());
    for (row, metric) in rows.into_iter().zip(ALL) {
        let labels: Vec<String> = metric.labels.iter().map(|label| format!("`{label}`")).collect();
        let labels = labels.join(" ");
        let begins = format!("| `{}` | {} |{}", metric.name, metric.kind_and_unit(), {
            if labels.is_empty() { " |".to_owned() } else { format!(" {labels} |") }
        });
        assert!(row.starts_with(&begins), "{begins}\n{row}");
        for word in values(metric, &words).into_values().flatten() {
            assert!(row.contains(&format!("`{word}`")), "no {word} in {row}");
        }
    }
}

/// A query for what is not there gives nothing, and an alert over it is silent for ever.
#[test]
fn alerts_ask_for_what_is_there() {
    let (page, words) = (page(), words());
    let alerts = page.split("```yaml\n").nth(1).and_then(|rest| rest.split("```").next());
    let alerts = alerts.expect("there are alerts");
    assert!(alerts.matches("- alert: ").count() >= 5);
    let mut asked = 0;
    for (at, _) in alerts.match_indices("redis_cached_") {
        let rest = &alerts[at..];
        let end = rest.find(|c: char| !c.is_ascii_lowercase() && c != '_').unwrap_or(rest.len());
        let (name, rest) = rest.split_at(end);
        let known = ALL.iter().find(|metric| metric.name.replace('.', "_") == name);
        let metric = known.unwrap_or_else(|| panic!("there is no {name}"));
        asked += 1;
        let Some(inside) = rest.strip_prefix('{') else { continue };
        let (label, value) = inside.split_once('}').unwrap().0.split_once('=').unwrap();
        let label = label.trim_end_matches('!');
        let values = values(metric, &words);
        let known = values.get(label).unwrap_or_else(|| panic!("{name} has no {label}"));
        for word in value.trim_start_matches('~').trim_matches('"').split('|') {
            assert!(known.contains(&word), "{label} of {name} is never {word}");
        }
    }
    assert!(asked >= 10);
    for by in alerts.split("by (").skip(1) {
        for label in by.split(')').next().unwrap().split(", ") {
            let is_there = ALL.iter().any(|metric| metric.labels.contains(&label));
            assert!(label == "instance" || is_there, "no metric has {label}");
        }
    }
}

#[test]
fn each_word_has_a_place_of_its_own() {
    fn check<W: Words>(all: impl IntoIterator<Item = W>) {
        let mut places: Vec<usize> = all.into_iter().map(Words::index).collect();
        assert!(places.iter().all(|place| *place < W::COUNT));
        let count = places.len();
        places.sort_unstable();
        places.dedup();
        assert_eq!(places.len(), count);
    }
    check(Called::ALL);
    check(Subject::ALL);
    check(Rejection::ALL);
    check(Warning::ALL);
    check(Invalidated::all());
    check(Operation::all());
}
