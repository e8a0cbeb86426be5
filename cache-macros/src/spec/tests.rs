use super::*;

/// `expected` holds a part of each message, in order.
#[track_caller]
pub(crate) fn check(attr: &str, item: &str, expected: &[&str]) {
    let shown = format!("#[redis_cached({attr})] {item}");
    let tokens = |text: &str| text.parse().expect("tokens");
    let function = Function::under("redis_cached", tokens(item));
    let found: Vec<String> = match read(tokens(attr), Span::call_site(), function, None) {
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
        ("batch(ids as id), ttl = 5", &["`batch(ids as id)`: there is no parameter `ids`"]),
        ("batch = |a, b| a + b, ttl = 5", &["write `batch(ids as id)`"]),
        ("batch(ids), ttl = 5", &["write `batch(ids as id)`"]),
        ("batch(ids as id, more), ttl = 5", &["write `batch(ids as id)`"]),
        ("verify, ttl = 5", &["`verify` is not supported yet"]),
        ("cache_err = true, ttl = 5", &["here it is `cache_err_if = |error| ..` with `err_ttl"]),
        ("stale_if_error = 0, ttl = 0", &["`ttl` is zero", "`stale_if_error` is zero"]),
        ("time = 5, ttl = 5", &["unknown argument `time`: here it is `ttl = \"5m\"`"]),
        (r#"convert = "x", ttl = 5"#, &["unknown argument `convert`: here it is `key = "]),
        ("sync_writes = true, ttl = 5", &["here it is nothing: a key is computed once"]),
        // Syntax errors stop: what was collected before comes with them.
        ("ttl", &["`ttl` needs a value: write `ttl = \"5m\"`"]),
        ("ttl =", &["`ttl` needs a value: write `ttl = \"5m\"`"]),
        ("codec = , ttl = 5", &["`codec` needs a value: write `codec = json`"]),
        (r#"ttl("5m")"#, &["`ttl` needs a value"]),
        ("ttl = 5 wait = 0", &["expected `,`"]),
        ("verify, wait", &["`verify` is not supported yet", "`wait` needs a value"]),
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
        (r#""user:{id.self}""#, &["`self` cannot be the name of a field or method"]),
        (
            r#""user:{id}:{T}""#,
            &["`T` is a type, and the names of types are not stable: give it a constant"],
        ),
        (
            r#""user:{id}:{U::KIND}""#,
            &["a path in a key begins with a type parameter or with `Self`, as in `{T::KIND}`"],
        ),
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
            &["`skip(limt)`: there is no parameter `limt`, did you mean `limit`?"],
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

/// Catalogue 50.
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
        "fn load(db: &Db, a @ b: u8) -> &str {}",
        &[
            "did you mean `ttl`?",
            "needs an async function",
            "the return type borrows",
            "gives two names",
            "unknown unit `x`",
            "`jitter`",
            "`skip(dbb)`",
            "`{idd}` in the key",
        ],
    );
}

#[test]
fn identities() {
    for (attr, expected) in [
        ("same_entries_as = users::load", &[][..]),
        ("same_entries_as = Self::load", &["write the name of the type"]),
        (r#"same_entries_as = load, name = "a""#, &["`name` and `same_entries_as` exclude"]),
        ("same_entries_as = load, clearable", &["`clearable` belongs to the function"]),
        (r#"name = "a b""#, &["at most 128 letters"]),
        ("codec = jsn", &["there is no codec `jsn`: did you mean `codec = json`?"]),
        ("codec = yaml", &["there is no codec `yaml`: write one of `bincode`"]),
    ] {
        check_args(&format!("ttl = 5, {attr}"), expected);
    }
}

#[test]
fn a_stored_error_has_a_life_of_its_own() {
    for (attr, expected) in [
        ("cache_err_if = |e| e.is_final(), err_ttl = 5", &[][..]),
        ("cache_err_if = Error::is_final, err_ttl = config.err_ttl(id)", &[]),
        ("cache_err_if = |_| true, err_ttl_with = |e| e.retry_after, share_err = copied", &[]),
        ("share_err = |e| e.copy()", &[]),
        (
            "cache_err_if = |_| true",
            &[r#"add `err_ttl = "10s"`, or `err_ttl_with = |error| error.retry_after`"#],
        ),
        (
            "cache_err_if = |_| true, err_ttl = 5, err_ttl_with = lives",
            &["`err_ttl` and `err_ttl_with` exclude each other: keep `err_ttl` if all"],
        ),
        ("err_ttl = 5", &["`err_ttl` is the life of stored errors, but no error is stored: say"]),
        ("err_ttl_with = lives", &["`err_ttl_with` is the life of stored errors, but no error"]),
        ("err_ttl = 5, err_ttl_with = lives", &["exclude each other"]),
        ("cache_err_if = |_| true, err_ttl = 0", &["`err_ttl` is zero: drop `cache_err_if`"]),
        (r#"cache_err_if = |_| true, err_ttl = "5x""#, &["`err_ttl`: unknown unit `x`"]),
        (
            "cache_err_if = true, err_ttl = 5",
            &["`cache_err_if` is a closure over the error, or the path of a function: write"],
        ),
        ("share_err = 5", &["`share_err` is a closure over the error"]),
        ("cache_err_if", &["write `cache_err_if = |error| error.is_not_found()`"]),
    ] {
        check_args(&format!("ttl = 5, {attr}"), expected);
    }
}

/// A flag may be left out of the key only where it has nothing to say of the value.
#[test]
fn flags_that_the_body_asks_too() {
    let attr = |condition: &str| format!(r#"ttl = 5, key = "x:{{id}}", {condition}"#);
    for (condition, item, expected) in [
        ("refresh_if = deep", "async fn f(id: u64, deep: bool) -> u64 { id }", &[][..]),
        ("bypass_if = deep", "async fn f(id: u64, deep: bool) -> u64 { g(id, deep) }", &[]),
        ("no_store_if = deep", "async fn f(id: u64, deep: bool) -> u64 { id }", &[]),
        ("busy = user.id", "async fn f(id: u64, user: User) -> u64 { id }", &[]),
        (
            "max_age = age",
            "async fn f(id: u64, age: Option<std::time::Duration>) -> u64 { id }",
            &[],
        ),
        ("max_age = age", "async fn f(id: u64, age: &Duration) -> u64 { id }", &[]),
        (
            // A call that does not store is served what the others store.
            "no_store_if = deep",
            "async fn f(id: u64, deep: bool) -> u64 { g(id, deep) }",
            &["That `no_store_if` asks it is not enough"],
        ),
        (
            "max_age = age",
            "async fn f(id: u64, age: Duration) -> u64 { g(id, age) }",
            &["That `max_age` asks it is not enough"],
        ),
        (
            "busy = user.id",
            "async fn f(id: u64, user: User) -> u64 { user.score }",
            &["That `busy` asks it is not enough"],
        ),
        (
            "busy = self.id",
            "async fn f(&self, id: u64) -> u64 { id }",
            &["`self` is neither in the key"],
        ),
        (
            "no_store_if = depth > 3, max_age = Duration::from_secs(depth)",
            "async fn f(id: u64, depth: u64) -> u64 { id }",
            &["`depth` is neither"],
        ),
        (
            "no_store_if = age.is_zero()",
            "async fn f(id: u64, age: Duration) -> u64 { id }",
            &["`age` is neither"],
        ),
        ("bypass_if = a || !b", "async fn f(id: u64, a: bool, b: bool) -> u64 { g(a, b) }", &[]),
        (
            "refresh_if = deep",
            "async fn f(id: u64, deep: bool) -> u64 { g(id, deep) }",
            &["`deep` is neither in the key nor in `skip`"],
        ),
        (
            "refresh_if = deep",
            r#"async fn f(id: u64, deep: bool) -> String { format!("{deep}") }"#,
            &["since the body, `save` or `load` mentions it too"],
        ),
        (
            "bypass_if = deep && id == 7",
            "async fn f(id: u64, deep: bool) -> u64 { g(id, deep) }",
            &["`deep` is neither"],
        ),
        (
            "bypass_if = ctx.deep, skip(ctx)",
            "async fn f(ctx: &Ctx, id: u64, deep: bool) -> u64 { id }",
            &["`deep` is neither"],
        ),
        (
            "refresh_if = list.iter().any(|deep| *deep), skip(list)",
            "async fn f(list: &[bool], id: u64, deep: bool) -> u64 { id }",
            &["`deep` is neither"],
        ),
        (
            "refresh_if = opts.0",
            "async fn f(id: u64, opts: (bool, bool)) -> u64 { id }",
            &["`opts` is neither"],
        ),
    ] {
        check(&attr(condition), item, expected);
    }
}

#[test]
fn types_that_a_skipped_argument_does_not_account_for() {
    for (item, expected) in [
        ("async fn f<D: Db>(db: &D, id: u64) -> u64 { db.get(id) }", &[][..]),
        (
            "async fn f<'e, E: Executor<'e, Database = D>, D>(db: E, id: u64) -> u64 { db.get(id) }",
            &[],
        ),
        (
            "async fn f<D: Db, T: Table<D>>(db: &D, id: u64) -> u64 { db.get(id) }",
            &["`T` can influence the value"],
        ),
        (
            "async fn f<T: Table>(db: PhantomData<T>, id: u64) -> u64 { T::get(id) }",
            &["`T` can influence the value"],
        ),
        (
            "async fn f<const N: usize>(db: [(); N], id: u64) -> u64 { N as u64 }",
            &["`N` can influence the value"],
        ),
    ] {
        check(r#"ttl = 5, key = "x:{id}", skip(db)"#, item, expected);
    }
}

#[test]
fn patterns_whose_names_cannot_be_seen() {
    check_fn("async fn f(wrapped!(id): W) -> u64 { id }", &["what a macro binds cannot be seen"]);
    check_fn("async fn f([first, rest @ ..]: [u64; 3]) -> u64 { first }", &[]);
}

#[test]
fn ages() {
    for (attr, expected) in [
        (r#"ttl = "5m", max_age = "1m""#, &[][..]),
        ("ttl = 300, max_age = 30", &[]),
        (r#"ttl = "5m", max_age = limits.age"#, &[]),
        (r#"ttl = limits.ttl, max_age = "1h""#, &[]),
        (r#"ttl = "5m", max_age = "1h", ttl_with = |user| user.ttl"#, &[]),
        (r#"ttl = "5m", max_age = "5m""#, &["`max_age` is not shorter than `ttl`"]),
        (r#"ttl = "5m", max_age = 0"#, &["`max_age` is zero: nothing stored is that young"]),
        (r#"ttl = "5m", max_age = "5x""#, &["`max_age`: "]),
    ] {
        check_args(attr, expected);
    }
}

#[test]
fn refresh_with() {
    let refresh = r#"ttl = "5m", refresh_before = "1m""#;
    for (attr, expected) in [
        (format!("{refresh}, refresh_with(db = pool().await)"), &[][..]),
        (format!("{refresh}, refresh_with(db = async {{ pool()? }}.await)"), &[]),
        (
            r#"ttl = "5m", refresh_with(db = pool())"#.to_owned(),
            &["without `refresh_before` or `soft_timeout` there is none"],
        ),
        (
            format!("{refresh}, refresh_with(db = pool()?)"),
            &["would end the refresh with a `None`"],
        ),
        (format!("{refresh}, refresh_with(id = 7)"), &["`id` names the entry"]),
        (format!("{refresh}, refresh_with(dbb = pool())"), &["did you mean `db`?"]),
        (format!("{refresh}, refresh_with(db = a(), db = b())"), &["`db` is given twice"]),
        (
            format!("{refresh}, refresh_with = pool()"),
            &["write `refresh_with(conn = self.pool.acquire().await?)`"],
        ),
    ] {
        check_args(&attr, expected);
    }
    check(
        r#"ttl = 5, tags = ["team:{team}"], refresh_before = "20%", refresh_with(team = 7)"#,
        "async fn f(id: u64, team: u64) -> u64 { id }",
        &["`team` names the entry"],
    );
    let exclusive = r#"key = "x:{id}", ttl = 5, refresh_before = "20%", skip(conn)"#;
    let function = "async fn f(id: u64, conn: &mut Conn) -> Result<u64, E> { id }";
    check(exclusive, function, &["`refresh_with(conn = self.pool.acquire().await?)`"]);
    check(&format!("{exclusive}, refresh_with(conn = pool().await?)"), function, &[]);
}

#[test]
fn batches() {
    let item = "async fn load(db: &Db, team: u32, ids: &[u64]) -> HashMap<u64, User> { body }";
    let of_vec = "async fn load(ids: Vec<u64>) -> HashMap<u64, User> { body }";
    for (attr, item, expected) in [
        (r#"key = "u:{team}:{id}", batch(ids as id), ttl = 5, skip(db)"#, item, &[][..]),
        ("batch(ids as id), ttl = 5, skip(db)", item, &[]),
        (r#"key = "u:{id}", batch(ids as id), ttl = 5"#, of_vec, &[]),
        (r#"key = "u:{id}", batch(ids as id), ttl = 5, bypass_if = ids.len() > 9"#, of_vec, &[]),
        (
            r#"key = "u:{id}", batch(ids as id), ttl = 5, skip(db)"#,
            item,
            &["parameter `team` is neither in the key nor in `skip`"],
        ),
        (
            r#"key = "u:{team}", batch(ids as id), ttl = 5, skip(db)"#,
            item,
            &["`id` is not in the key: all of `ids` would share one value"],
        ),
        (
            r#"key = "u:{ids}", batch(ids as id), ttl = 5"#,
            of_vec,
            &["there is no parameter `ids`, did you mean `id`?"],
        ),
        (
            r#"key = "u:{id.0}", batch(ids as id), ttl = 5"#,
            of_vec,
            &["only a part of `id` is in the key"],
        ),
        (
            r#"key = "u:{id}", batch(idz as id), ttl = 5"#,
            of_vec,
            &["`batch(idz as id)`: there is no parameter `idz`, did you mean `ids`?"],
        ),
        (
            r#"key = "u:{team}", batch(ids as team), ttl = 5, skip(db)"#,
            item,
            &["`team` is a parameter: give an element of `ids` a name that none has"],
        ),
        (
            r#"key = "u:{id}", batch(ids as id), ttl = 5, skip(ids)"#,
            of_vec,
            &["`ids` is what the batch is about: take it out of `skip`"],
        ),
        (
            r#"key = "u:{id}", batch(ids as id), ttl = 5"#,
            "async fn load(ids: impl IntoIterator<Item = u64>) -> HashMap<u64, User> { body }",
            &[
                "is not a list that a batch can take the missing ones of: write `ids: &[K]` or `ids: Vec<K>`",
            ],
        ),
        (
            r#"key = "u:{id}", batch(ids as id), ttl = 5"#,
            "async fn load(ids: &mut Vec<u64>) -> HashMap<u64, User> { body }",
            &["is not a list that a batch can take"],
        ),
        (
            r#"key = "u:{id}", batch(ids as id), ttl = 5, busy = HashMap::new()"#,
            of_vec,
            &[
                "`busy` would be answered for all of its keys, and is not supported in a batch: drop it",
            ],
        ),
        (
            r#"key = "u:{id}", batch(ids as id), ttl = ttl_of(id)"#,
            of_vec,
            &["`ttl = ..` is asked once for the whole batch, and can say nothing of `id`"],
        ),
        (
            r#"key = "u:{id}", batch(ids as id), ttl = 5, normalize(ids = sorted(ids))"#,
            of_vec,
            &["`normalize` is asked once for the whole batch, and can say nothing of `ids`"],
        ),
        (
            r#"key = "u:{id}", batch(ids as id), ttl = 5, bypass_if = id == 5"#,
            of_vec,
            &["`bypass_if = ..` is asked once for the whole batch"],
        ),
    ] {
        check(attr, item, expected);
    }
}
