//! "Did you mean": the candidate nearest to a misspelt name.

/// The nearest candidate, if it is near enough to be a slip of the pen.
pub(crate) fn closest<'a>(
    name: &str,
    candidates: impl IntoIterator<Item = &'a str>,
) -> Option<&'a str> {
    let limit = (name.chars().count() / 3).max(1);
    candidates
        .into_iter()
        .map(|candidate| (edit_distance(name, candidate), candidate))
        // Of two as near, the one written first: `min_by_key` keeps it.
        .min_by_key(|(distance, _)| *distance)
        .filter(|(distance, _)| *distance <= limit)
        .map(|(_, candidate)| candidate)
}

/// The optimal string alignment distance: swapped neighbours (`tll`) count as one slip.
fn edit_distance(a: &str, b: &str) -> usize {
    let a: Vec<char> = a.chars().collect();
    let b: Vec<char> = b.chars().collect();
    let mut rows = vec![vec![0; b.len() + 1]; a.len() + 1];
    for (i, row) in rows.iter_mut().enumerate() {
        row[0] = i;
    }
    for (j, cell) in rows[0].iter_mut().enumerate() {
        *cell = j;
    }
    for i in 1..=a.len() {
        for j in 1..=b.len() {
            let replaced = rows[i - 1][j - 1] + usize::from(a[i - 1] != b[j - 1]);
            let mut best = replaced.min(rows[i - 1][j] + 1).min(rows[i][j - 1] + 1);
            if i > 1 && j > 1 && a[i - 1] == b[j - 2] && a[i - 2] == b[j - 1] {
                best = best.min(rows[i - 2][j - 2] + 1);
            }
            rows[i][j] = best;
        }
    }
    rows[a.len()][b.len()]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn distance() {
        for (a, b, expected) in [
            ("", "", 0),
            ("", "abc", 3),
            ("ttl", "ttl", 0),
            ("tll", "ttl", 1),
            ("tlt", "ttl", 1),
            ("refresh", "refresh_before", 7),
            ("größe", "grosse", 3),
            ("id", "limit", 4),
        ] {
            assert_eq!(edit_distance(a, b), expected, "{a} → {b}");
            assert_eq!(edit_distance(b, a), expected, "{b} → {a}");
        }
    }

    #[test]
    fn closest_name() {
        let names = ["key", "ttl", "refresh_before", "none_ttl", "skip", "wait"];
        for (given, expected) in [
            ("tll", Some("ttl")),
            ("ttl", Some("ttl")),
            ("refesh_before", Some("refresh_before")),
            ("refresh_bfeore", Some("refresh_before")),
            ("nonettl", Some("none_ttl")),
            ("skp", Some("skip")),
            ("keys", Some("key")),
            ("expiry", None),
            ("x", None),
            ("", None),
        ] {
            assert_eq!(closest(given, names), expected, "{given}");
        }
    }
}
