use crate::spec::tests::{check, check_fn};

#[test]
fn signatures() {
    for (item, part) in [
        ("fn load() {}", "needs an async function: write `async fn load`"),
        ("fn load() -> Pin<Box<dyn Future<Output = u8>>> {}", "add `+ Send` behind `Future<..>`"),
        ("fn load() -> impl Future<Output = u8> {}", "add `+ Send` behind `Future<..>`"),
        ("fn load() -> LocalBoxFuture<'static, u8> {}", "write `BoxFuture`"),
        ("fn load() -> Handle<u8> {}", "or return a `BoxFuture<'_, T>`"),
        ("impl Repo { async fn load() {} }", "write `#[redis_cached::methods]`"),
        ("async unsafe fn f() {}", "an `unsafe fn`"),
        ("const async fn f() {}", "a `const fn`"),
        (r#"async extern "C" fn f() {}"#, "an `extern fn`"),
        ("async fn f() -> u8;", "needs the function's body"),
        ("struct User;", "stands on an async function"),
    ] {
        check_fn(item, &[part]);
    }
}

#[test]
fn recursion() {
    let message = &["`load` calls itself, and the future of an `async fn` cannot hold its own"];
    for (body, expected) in [
        ("{ Box::pin(load(id - 1)).await }", &message[..]),
        ("{ if a { Self::load(id - 1) } }", message),
        ("{ self.load(id) }", &[]),
        ("{ other::load(id) }", &[]),
        ("{ let load = 1; load + 1 }", &[]),
        ("{ fn load(x: u8) {} }", &[]),
    ] {
        check_fn(&format!("async fn load(id: u8) -> u8 {body}"), expected);
    }
    check_fn(
        "fn load(id: u8) -> BoxFuture<'static, u8> { Box::pin(async move { load(id).await }) }",
        &[],
    );
}

#[test]
fn returns() {
    for (item, part) in [
        ("async fn f() -> impl Display {}", "`impl Trait` in the return type"),
        ("async fn f() -> Result<Vec<impl Display>, E> {}", "`impl Trait` in the return type"),
        ("async fn f(x: &str) -> &str {}", "the return type borrows (`&str`)"),
        ("async fn f() -> &'static str {}", "the return type borrows (`&'static str`)"),
        ("async fn f() -> Option<&'static str> {}", "the return type borrows"),
        ("async fn f<'a>(x: &'a str) -> Cow<'a, str> {}", "the return type borrows (`'a`)"),
        ("async fn f() -> Result<u8, &str> {}", "the return type borrows (`&str`)"),
        ("async fn f() -> Result<u8, Box<dyn Error>> {}", "`Box<dyn Error + Send + Sync>`"),
        ("async fn f() -> Result<u8, Box<dyn std::error::Error + 'static>> {}", "cross threads"),
    ] {
        check_fn(item, &[part]);
    }
}

#[test]
fn parameters() {
    for (item, part) in [
        ("async fn f(ref x: u8) {}", "write `x`, and borrow it in the body"),
        ("async fn f(a @ (b, c): (u8, u8)) {}", "`a @ ..` gives two names to one thing"),
        ("async fn f(#[cfg(test)] x: u8) {}", "a parameter cannot have a `cfg`"),
        (
            "async fn f(x: &mut u8) {}",
            "`x` is in the key, but the body may change what a `&mut` refers to: take it as `x: &u8`, or write `skip(x)`",
        ),
        ("async fn f(x: impl Display) {}", "`x` is in the key, but its type has no name"),
        ("async fn f(x: Vec<impl Display>) {}", "`x` is in the key, but its type has no name"),
    ] {
        check_fn(item, &[part]);
    }
}

#[test]
fn what_a_refresh_cannot_own() {
    for (param, expected) in [
        ("x: u8", &[][..]),
        ("x: &str", &[]),
        ("x: &[String]", &[]),
        ("x: &'static [&'static str]", &[]),
        ("x: Arc<dyn Fn(&str) -> &str + Send + Sync>", &[]),
        ("x: fn(&str) -> u8", &[]),
        ("&self", &[]),
        ("self: Arc<Self>", &[]),
        ("x: &mut Db", &["`x: &mut Db` cannot be cloned for the background refresh"]),
        ("&mut self", &["`&mut self` cannot be cloned for the background refresh"]),
        ("x: impl Display", &["`x: impl Display` has no name"]),
        ("x: Option<&str>", &["`x: Option<&str>` borrows, but the background refresh outlives"]),
        ("x: &[&str]", &["`x: &[&str]` borrows"]),
        ("x: Cow<'_, str>", &["borrows"]),
    ] {
        let skip = if param.contains("self") { "self" } else { "x" };
        check(
            &format!(r#"ttl = 5, refresh_before = 1, key = "f", skip({skip})"#),
            &format!("async fn f({param}) {{}}"),
            expected,
        );
        check(
            &format!(r#"ttl = 5, key = "f", skip({skip})"#),
            &format!("async fn f({param}) {{}}"),
            &[],
        );
    }
}
