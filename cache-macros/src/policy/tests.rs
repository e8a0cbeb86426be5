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
        ("ttl = -5", "`ttl`: a duration is not negative"),
        ("ttl = true", "`ttl`: write a duration, as in `ttl = \"5m\"`"),
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
        ("stale_if_error = 0", "`stale_if_error` is zero: drop it"),
        ("timeout = 0", "`timeout` is zero: drop it"),
        ("stale_if_error = 60, soft_timeout = 0", "`soft_timeout` is zero: drop it"),
        ("soft_timeout = 1", "without `stale_if_error` none is kept"),
        (
            "stale_if_error = 60, soft_timeout = 2, timeout = 2",
            "`soft_timeout` is not shorter than `timeout`",
        ),
        ("stale_if = |error| error.is_down()", "add `stale_if_error = \"1h\"`, or drop it"),
        ("stale_if_error = 60, stale_if = 7", "`stale_if` is a closure over the error"),
        (r#"near = "6m""#, "`near` is longer than `ttl`"),
        ("near = 0", "`near` is zero"),
        ("max_concurrency = 0", "`max_concurrency` is how many bodies"),
        ("max_concurrency = 2, wait = 0", "with `wait = 0` nobody waits for a place"),
        ("max_concurrency = limit", "`max_concurrency` is how many bodies"),
        (r#"version = "2""#, "`version` is an integer"),
        ("version = 4294967296", "`version` is an integer"),
        ("version = -1", "`version` is an integer"),
        ("version = 1u8", "`version` is an integer"),
    ] {
        check_args(&format!(r#"ttl = "5m", {attr}"#), &[part]);
    }
}

#[test]
fn what_is_known_only_at_run_time_is_an_expression() {
    for attr in [
        "ttl = Duration::from_secs(5)",
        "ttl = self.config.ttl, refresh_before = config.window(), none_ttl = TTL",
        "ttl = TTL, refresh_before = \"20%\", lock_ttl = lock(), wait = id.wait",
    ] {
        check_args(attr, &[]);
    }
}
