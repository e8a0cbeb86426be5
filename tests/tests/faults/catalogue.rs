//! Whether every fault of the catalogue in `README.md` has a test.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

/// Without a test, and why.
const EXCEPT: [(u32, &str); 6] = [
    (21, "documented"),
    (23, "not promised"),
    (24, "there is nothing to switch on"),
    (65, "not yet: write-behind"),
    (66, "not yet: limiter"),
    (67, "not yet: exclusive runs"),
];
/// Where tests are, and how the table calls these places.
const PLACES: [(&str, &str); 5] = [
    ("tests/tests", ""),
    ("tests/deploys/tests", "deploys/"),
    ("tests/metrics/tests", ""),
    ("cache-runtime/src", "runtime/"),
    ("cache-macros/src", "macros/"),
];
const MARK: &str = "/// Catalogue ";

#[test]
fn every_fault_of_the_catalogue_has_a_test() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
    let mut found: BTreeMap<u32, BTreeSet<String>> = BTreeMap::new();
    for (place, called) in PLACES {
        let place = root.join(place);
        for file in sources(&place) {
            let name = file.strip_prefix(&place).expect("it is in there").with_extension("");
            let name = format!("`{called}{}`", name.display());
            for number in marked(&file) {
                found.entry(number).or_default().insert(name.clone());
            }
        }
    }
    let readme = std::fs::read_to_string(root.join("tests/README.md")).expect("it is there");
    let rows: BTreeMap<u32, &str> = readme.lines().filter_map(row).collect();
    let mut wrong = Vec::new();
    for number in 1..=67 {
        let except = EXCEPT.iter().find(|(except, _)| *except == number);
        let due = match (found.get(&number), except) {
            (Some(tests), None) => tests.iter().cloned().collect::<Vec<_>>().join(" "),
            (None, Some((_, why))) => (*why).to_owned(),
            (None, None) => {
                wrong.push(format!("{number} has no test"));
                continue;
            }
            (Some(tests), Some(_)) => {
                wrong.push(format!("{number} has tests, and is no exception: {tests:?}"));
                continue;
            }
        };
        if rows.get(&number) != Some(&&*due) {
            wrong.push(format!("{number} | {due} |"));
        }
    }
    assert!(wrong.is_empty(), "`tests/README.md` should say:\n{}", wrong.join("\n"));
    let known = 1..=67;
    assert!(found.keys().chain(rows.keys()).all(|number| known.contains(number)));
}

/// The number, and the last column.
fn row(line: &str) -> Option<(u32, &str)> {
    let cells: Vec<&str> = line.strip_prefix("| ")?.strip_suffix('|')?.split(" | ").collect();
    let [number, _, _, tests] = cells[..] else { return None };
    Some((number.parse().ok()?, tests.trim()))
}

fn sources(place: &Path) -> Vec<PathBuf> {
    let mut files = Vec::new();
    for entry in std::fs::read_dir(place).expect("it is a folder") {
        let path = entry.expect("it can be read").path();
        if path.is_dir() {
            files.extend(sources(&path));
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            files.push(path);
        }
    }
    files
}

/// The numbers that the tests of a file name.
///
/// # Panics
///
/// Where what is behind one is no function.
fn marked(file: &Path) -> Vec<u32> {
    let text = std::fs::read_to_string(file).expect("it can be read");
    let mut numbers = Vec::new();
    for (at, line) in text.lines().enumerate() {
        let Some(rest) = line.trim_start().strip_prefix(MARK) else { continue };
        let Some((named, _)) = rest.split_once('.') else { continue };
        let named: Result<Vec<u32>, _> = named.split(", ").map(str::parse).collect();
        numbers.extend(named.unwrap_or_else(|_| panic!("numbers: {}", line.trim())));
        let mut behind = text.lines().skip(at + 1).map(str::trim_start);
        let behind = behind.find(|line| !line.starts_with("///") && !line.starts_with("#["));
        let is_function = behind.is_some_and(|line| line.contains("fn "));
        assert!(is_function, "{}, line {}: is there no test?", file.display(), at + 1);
    }
    numbers
}
