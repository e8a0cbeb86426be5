use crate::spec::tests::{check, check_args};

#[test]
fn ttl() {
    let item = "async fn f() -> u8 { 1 }";
    check("", item, &["`ttl` is missing: say how long a value may be served"]);
    for (attr, part) in [
        ("ttl = 0", "`ttl` is zero"),
        (r#"ttl = "0s""#, "`ttl` is zero"),
        (r#"ttl = "5x""#, "`ttl`: unknown unit `x`: write whole numbers with the units"),
        (r#"ttl = "5m5m""#, "`ttl`: the unit `m` is repeated"),
        (r#"ttl = "11000d""#, "`ttl`: it is too long: at most 10 years"),
        ("ttl = 99999999999999999999", "`ttl`: it is too long"),
        ("ttl = 5m", "`ttl`: write it as a string: `ttl = \"5m\"`"),
        ("ttl = 1.5", "`ttl`: fractions are not allowed"),
        ("ttl = -5", "`ttl`: durations that are known only at run time"),
        ("ttl = Duration::from_secs(5)", "write a literal, as in `ttl = \"5m\"`"),
        ("ttl = self.cfg.ttl", "not supported yet"),
    ] {
        check(attr, item, &[part]);
    }
}

#[test]
fn other_durations() {
    for (attr, part) in [
        (r#"refresh_before = "0s""#, "`refresh_before` is zero: drop it"),
        (r#"refresh_before = "5m""#, "`refresh_before` is not shorter than `ttl`"),
        ("refresh_before = 301", "`refresh_before` is not shorter than `ttl`"),
        (
            r#"refresh_before = "0%""#,
            "`refresh_before`: write a whole number of per cent from `\"1%\"` to `\"99%\"`",
        ),
        (r#"refresh_before = "100%""#, "`refresh_before`: write a whole number of per cent"),
        (r#"refresh_before = "5""#, "`refresh_before`: `5` has no unit"),
        ("none_ttl = 0", "`none_ttl` is zero: drop it to store `None` for `ttl`"),
        (r#"lock_ttl = "99ms""#, "`lock_ttl` is too short"),
        ("lock_ttl = 0", "`lock_ttl` is too short"),
        (r#"wait = "ten""#, "`wait`: a number is missing"),
        (
            r#"jitter = "51%""#,
            "`jitter`: write a whole number of per cent from `\"0%\"` to `\"50%\"`",
        ),
        ("jitter = 10", "`jitter`: write it as a string"),
        (r#"version = "2""#, "`version` is an integer"),
        ("version = 4294967296", "`version` is an integer"),
        ("version = -1", "`version` is an integer"),
        ("version = 1u8", "`version` is an integer"),
    ] {
        check_args(&format!(r#"ttl = "5m", {attr}"#), &[part]);
    }
}

#[test]
fn none_ttl_needs_an_option() {
    for (output, fits) in [
        ("Option<User>", true),
        ("Result<Option<User>, E>", true),
        ("Arc<Option<User>>", true),
        ("DbResult<User>", true),
        ("User", false),
        ("Result<User, Option<E>>", false),
        ("Vec<u8>", false),
    ] {
        let expected: &[&str] = if fits { &[] } else { &["the return type has no `Option`"] };
        check("ttl = 5, none_ttl = 1", &format!("async fn f() -> {output} {{}}"), expected);
    }
    check("ttl = 5, none_ttl = 1", "async fn f() {}", &["has no `Option`"]);
}
