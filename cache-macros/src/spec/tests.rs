use super::*;

/// `expected` holds a part of each message, in order.
#[track_caller]
pub(crate) fn check(attr: &str, item: &str, expected: &[&str]) {
    let shown = format!("#[redis_cached({attr})] {item}");
    let tokens = |text: &str| text.parse().expect("tokens");
    let found: Vec<String> = match read(tokens(attr), tokens(item)) {
        Ok(_) => Vec::new(),
        Err(errors) => errors.into_iter().map(|error| error.to_string()).collect(),
    };
    assert_eq!(found.len(), expected.len(), "{shown}\n{found:#?}");
    for (message, part) in found.iter().zip(expected) {
        assert!(message.contains(part), "{shown}\n{message}\nlacks\n{part}");
    }
}

/// For arguments whose function does not matter.
#[track_caller]
pub(crate) fn check_args(attr: &str, expected: &[&str]) {
    let item = "async fn load(db: &Db, id: u64) -> Option<User> {}";
    check(&format!(r#"key = "user:{{id}}", skip(db), {attr}"#), item, expected);
}

/// For functions whose arguments do not matter.
#[track_caller]
pub(crate) fn check_fn(item: &str, expected: &[&str]) {
    check("ttl = 5", item, expected);
}

#[test]
fn what_is_allowed() {
    for attr in [
        r#"ttl = "5m""#,
        "ttl = 300",
        r#"ttl = "1h30m", refresh_before = "30s","#,
        r#"ttl = "1h", refresh_before = 59, none_ttl = "250ms""#,
        r#"ttl = "10ms", refresh_before = "1%""#,
        r#"ttl = "5m", lock_ttl = "100ms", wait = 0, jitter = "0%", version = 0"#,
        r#"ttl = "5m", wait = "0s", jitter = "50%", version = 4294967295"#,
        r#"ttl = "5m", cache = state.cache.as_ref(), crate = crate::cached"#,
    ] {
        check_args(attr, &[]);
    }
    for item in [
        "async fn f() {}",
        "pub(crate) async fn f(mut id: u64, _name: &str) -> Result<User, &'static str> {}",
        "async fn f(r#type: u64) -> Result<(), Box<dyn Error + Send + Sync + 'static>> {}",
    ] {
        check_fn(item, &[]);
    }
}

#[test]
fn arguments() {
    for (attr, expected) in [
        (r#"tll = "5m""#, &["unknown argument `tll`: did you mean `ttl`?", "`ttl` is missing"][..]),
        (r#"ttl = 5, refresh_bfore = "1s""#, &["did you mean `refresh_before`?"]),
        ("ttl = 5, banana", &["unknown argument `banana`: the arguments are `key`, `ttl`"]),
        ("ttl = 5, ttl = 6", &["`ttl` is given twice"]),
        (r#"ttl = 5, key = "x:{id}""#, &["`key` is given twice"]),
        ("ttl = 5, skip(id)", &["`skip` is given twice"]),
        (r#"tags = ["team:{team}", "x"], ttl = 5"#, &["`tags` is not supported yet"]),
        ("cache_if = |a, b| a + b, ttl = 5", &["`cache_if` is not supported yet"]),
        ("batch(ids as id), ttl = 5", &["`batch` is not supported yet"]),
        ("normalize(a = b, c = d), clearable, ttl = 5", &["`normalize` is", "`clearable` is"]),
        ("vis = pub(crate), ttl = 5", &["`vis` is not supported yet"]),
        ("near = 0, ttl = 0", &["`near` is not", "`ttl` is zero"]),
        // Syntax errors stop: what was collected before comes with them.
        ("ttl", &["`ttl` needs a value: write `ttl = ..`"]),
        (r#"ttl("5m")"#, &["`ttl` needs a value"]),
        ("ttl = 5 wait = 0", &["expected `,`"]),
        ("near = 0, wait", &["`near` is not supported yet", "`wait` needs a value"]),
    ] {
        check_args(attr, expected);
    }
    let item = "async fn f(db: Db) {}";
    check("skip = db", item, &["write `skip(db, client)`"]);
    check("skip(&db)", item, &["write `skip(db, client)`"]);
    check(r#""5m""#, item, &["expected an argument, as in `ttl = \"5m\"`"]);
}

#[test]
fn placeholders() {
    for (key, expected) in [
        (
            r#""user:{idd}""#,
            &["`{idd}` in the key: there is no parameter `idd`, did you mean `id`?"][..],
        ),
        (r#""user:{teem.x}:{zzzz}""#, &["`{teem.x}` in the key", "there are `db`, `team`, `id`"]),
        (r#""user:{self.x}""#, &["`{self.x}` in the key: this function has no `self`"]),
        (r#""user:{id.self}""#, &["`self` cannot be the name of a field"]),
        (r#""user:{id}:{T}""#, &["`T` is a generic parameter"]),
        (
            r#""user:{id}{team}""#,
            &["the key \"user:{id}{team}\": nothing stands between `{id}` and `{team}`"],
        ),
        (r#""user:{id:?}""#, &["`{id:?}`: `Debug` output is not stable"]),
        (r#""""#, &["the key \"\": it is empty"]),
        ("KEY", &["`key` is a string literal"]),
        (r#"concat!("a", "b")"#, &["`key` is a string literal"]),
        ("5", &["`key` is a string literal"]),
    ] {
        let item = "async fn load<T>(db: &Db<T>, team: u32, id: u64) -> u8 {}";
        check(&format!("ttl = 5, key = {key}, skip(db)"), item, expected);
    }
}

#[test]
fn every_parameter_is_in_the_key_or_skipped() {
    let item = "async fn load(db: &Db, id: u64, limit: u32) -> u8 {}";
    for (attr, expected) in [
        (r#"key = "user:{id}:{limit}", skip(db)"#, &[][..]),
        (r#"key = "user:{id.0}:{limit}", skip(db)"#, &[]),
        (
            r#"key = "user:{id}", skip(db)"#,
            &[
                "parameter `limit` is neither in the key nor in `skip`: two calls that differ only in \
               it would share one value. Put it into the key: `key = \"user:{id}:{limit}\"`, or, if \
               it does not influence the value, write `skip(db, limit)`",
            ],
        ),
        (r#"key = "user:{id}:", skip(db)"#, &["`key = \"user:{id}:{limit}\"`"]),
        (r#"key = "user:{id}""#, &["parameter `db` is neither", "parameter `limit` is neither"]),
        (
            r#"key = "user:{id}", skip(db, limt)"#,
            &[
                "`skip(limt)`: there is no parameter `limt`, did you mean `limit`?",
                "`limit` is neither in the key nor in `skip`: two calls that differ only in it would share one value. Put it into the key: `key = \"user:{id}:{limit}\"`, or, if it does not influence the value, write `skip(db, limit)`",
            ],
        ),
        (r#"key = "user:{id}:{limit}", skip(db, db)"#, &["`db` stands twice in `skip`"]),
        (r#"key = "user:{id}:{limit}", skip(db, limit)"#, &["`limit` is in the key and in `skip`"]),
        (
            r#"key = "user:{id}:{limit}", skip(self, db)"#,
            &["`skip(self)`: there is no parameter `self`"],
        ),
        ("skip(db)", &[]),
        ("", &[]),
    ] {
        check(&format!("ttl = 5, {attr}"), item, expected);
    }
}

#[test]
fn receivers_are_explicit() {
    let item = "async fn load(&self, id: u64) -> u8 {}";
    for (attr, expected) in [
        (r#"key = "u:{self.tenant}:{id}""#, &[][..]),
        (r#"key = "u:{self}:{id}""#, &[]),
        (r#"key = "u:{id}", skip(self)"#, &[]),
        ("skip(self)", &[]),
        (
            r#"key = "u:{id}""#,
            &[
                "`self` is neither in the key nor in `skip`: two calls that differ only in it would \
               share one value. Put those of its fields that influence the value into the key: \
               `key = \"u:{id}:{self.field}\"`, or, if it does not influence the value, write \
               `skip(self)`",
            ],
        ),
        ("", &["`key = \"load:{id}:{self.field}\"`"]),
        (r#"key = "u:{self.x}:{id}", skip(self)"#, &["`self` is in the key and in `skip`"]),
    ] {
        check(&format!("ttl = 5, {attr}"), item, expected);
    }
}

#[test]
fn generics() {
    for (item, expected) in [
        ("async fn f<T>(x: u8, db: Db) -> Vec<T> {}", &["`T` stands in the return type"][..]),
        ("async fn f<T>(x: Id<T>, db: Db) -> T {}", &["`T` stands in the return type"]),
        ("async fn f<T>(x: u8, db: Db) -> DbResult<T> {}", &["`T` stands in the return type"]),
        ("async fn f<T>(x: u8, db: Db) -> u8 {}", &["`T` can influence the value"]),
        (
            "async fn f<const N: usize>(x: u8, db: Db) -> [u8; N] {}",
            &["`N` stands in the return type"],
        ),
        ("async fn f<T, U>(x: u8, db: Db) -> T {}", &["`skip(db, T)`", "`skip(db, U)`"]),
        // `UserId(5)` and `TeamId(5)` print alike.
        ("async fn f<T>(x: T, db: Db) -> u8 {}", &["`T` can influence the value"]),
        ("async fn f<const N: usize>(x: Id<N>, db: Db) -> u8 {}", &["`N` can influence the value"]),
        ("async fn f<T>(x: T, db: Db<T>) -> u8 {}", &["`T` can influence the value"]),
        ("async fn f<'a>(x: &'a str, db: Db) -> u8 {}", &[]),
        ("async fn f<'e, E>(x: u8, db: E) -> u8 where E: Executor<'e>, { }", &[]),
        ("async fn f<'e, D, E: Executor<'e, Database = D>>(x: u8, db: E) -> u8 {}", &[]),
    ] {
        check(r#"ttl = 5, key = "f:{x}", skip(db)"#, item, expected);
    }
    let item = "async fn f<T>(x: u8) -> T {}";
    check("ttl = 5, skip(T)", item, &[]);
    check("ttl = 5, skip(T, U)", item, &["`skip(U)`: there is no parameter `U`, did you mean"]);
}

#[test]
fn all_errors_come_at_once() {
    check(
        r#"key = "user:{idd}", ttl = "5x", tll = 5, skip(dbb), jitter = 1"#,
        "fn load(db: &Db, (a, b): (u8, u8)) -> &str {}",
        &[
            "did you mean `ttl`?",
            "needs an async function",
            "the return type borrows",
            "needs a name",
            "unknown unit `x`",
            "`jitter`",
            "`skip(dbb)`",
            "`{idd}` in the key",
        ],
    );
}
