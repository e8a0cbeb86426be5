//! What `build()` says to a server or a setting that can't be used; and no password in any text.

use std::error::Error as _;

use redis_cached::{BuildError, Cache};
use redis_cached_tests::{Gate, RedisServer};

use crate::stage::{connect, hits, load, patient};

const SECRET: &str = "hunter2-s3cret";

async fn refusal(url: &str) -> BuildError {
    Cache::builder().url(url).namespace("ns").build().await.expect_err("it can't be used")
}

/// Everything that this error can be made to say.
fn all_texts(error: &BuildError) -> String {
    let mut texts = format!("{error} {error:?} {error:#?}");
    let mut source = error.source();
    while let Some(cause) = source {
        texts = format!("{texts} {cause} {cause:?}");
        source = cause.source();
    }
    texts
}

#[tokio::test]
async fn the_right_password_is_accepted() {
    let server = RedisServer::start_with_password(SECRET);
    for url in [server.url(), server.unix_url()] {
        let (cache, gate) = (connect(&url).await, Gate::open());
        load(42, &cache, &gate).await;
        assert!(hits(42, &cache, &gate).await);
        assert!(!format!("{cache:?}").contains(SECRET));
    }
}

/// Catalogue 53.
#[tokio::test]
async fn a_wrong_password_is_loud_and_not_printed() {
    let server = RedisServer::start_with_password("another");
    let mut cli = server.cli().await;
    let user = ["SETUSER", "app", "on", ">right", "~*", "+@all"];
    redis::cmd("ACL").arg(&user).exec_async(&mut cli).await.unwrap();
    for credentials in [format!(":{SECRET}"), format!("app:{SECRET}"), format!("nobody:{SECRET}")] {
        let error = refusal(&server.url_as(&credentials)).await;
        assert!(error.is_authentication(), "{error:?}");
        assert!(!all_texts(&error).contains(SECRET), "{error:?}");
    }
    let error = refusal(&server.url_as("")).await;
    assert!(error.is_authentication(), "none was given: {error:?}");
}

/// Catalogue 53.
#[tokio::test]
async fn a_missing_permission_is_loud() {
    let server = RedisServer::start();
    let mut cli = server.cli().await;
    let secret = format!(">{SECRET}");
    for (name, rights) in [
        ("unscripted", vec!["~*", "+@all", "-@scripting"]),
        ("mute", vec!["~*", "+@all", "-get"]),
        ("elsewhere", vec!["~other:*", "+@all"]),
        // Needed inside scripts only: nothing but a whole computation shows it.
        ("unread", vec!["~*", "+@all", "-getrange"]),
        ("unpatched", vec!["~*", "+@all", "-setrange"]),
        ("unrenewed", vec!["~*", "+@all", "-pexpire"]),
        ("untagged", vec!["~ns:*", "+@all"]),
        ("unread-tags", vec!["~*", "+@all", "-mget"]),
    ] {
        let acl =
            redis::cmd("ACL").arg("SETUSER").arg(name).arg("on").arg(&secret).arg(rights).clone();
        acl.exec_async(&mut cli).await.unwrap();
        let error = refusal(&server.url_as(&format!("{name}:{SECRET}"))).await;
        assert!(error.is_permission(), "{name}: {error:?}");
        assert!(!all_texts(&error).contains(SECRET), "{error:?}");
    }
}

/// The rule that can be pasted, and those that the README lists.
#[tokio::test]
async fn the_permissions_that_the_docs_name_are_enough() {
    let docs = include_str!("../../../docs/operations.md");
    let rule = docs.lines().find_map(|line| line.strip_prefix("ACL SETUSER shop on >… "));
    let rule: Vec<&str> = rule.expect("it is in there").split(' ').collect();
    let readme = include_str!("../../../README.md");
    let listed = readme.split("needs the commands ").nth(1).expect("it lists them");
    let listed = listed.split('`').filter(|word| word.starts_with(char::is_alphabetic));
    let mut listed: Vec<String> =
        listed.take_while(|word| !word.starts_with("ns")).map(|word| format!("+{word}")).collect();
    listed.extend(["~shop:*", "~shop.tag:*", "~shop.journal*", "-@all"].map(str::to_owned));
    listed.sort_by_key(|word| word.starts_with('+'));
    for rights in [rule, listed.iter().map(String::as_str).collect()] {
        let server = RedisServer::start();
        let mut cli = server.cli().await;
        let mut user = redis::cmd("ACL");
        user.arg("SETUSER").arg("app").arg("on").arg(">pw").arg(&rights);
        user.exec_async(&mut cli).await.unwrap();
        let builder = patient().url(server.url_as("app:pw")).namespace("shop");
        let (cache, gate) = (builder.build().await.unwrap(), Gate::open());
        load(42, &cache, &gate).await;
        assert!(hits(42, &cache, &gate).await);
        crate::stage::load_entry(42, &cache).invalidate().await.unwrap();
        assert!(!hits(42, &cache, &gate).await);
        crate::stage::live(42, &cache, &gate).await;
        crate::stage::live_entry(42, &cache).expire().await.unwrap();
        crate::stage::live_entry(42, &cache).set(9).await.unwrap();
        assert!(crate::stage::live_entry(42, &cache).ttl().await.unwrap().is_some());
        cache.ping().await.unwrap();
    }
}

/// Each that is missing, also those that only scripts need, whose errors these catch.
#[tokio::test]
async fn each_missing_permission_of_the_docs_is_loud() {
    let docs = include_str!("../../../docs/operations.md");
    let rule = docs.lines().find_map(|line| line.strip_prefix("ACL SETUSER shop on >… "));
    let rule: Vec<&str> = rule.expect("it is in there").split(' ').collect();
    let server = RedisServer::start();
    let mut cli = server.cli().await;
    // Asked for only when the journal is full, by who may do without, or before anything else.
    let unnoticed = [
        "+zremrangebyscore",
        "+client|tracking",
        "+info",
        "+hello",
        "+ping",
        "+getrange",
        "+setrange",
    ];
    for missing in rule.iter().filter(|word| word.starts_with('+') && !unnoticed.contains(word)) {
        let mut user = redis::cmd("ACL");
        let rights: Vec<_> = rule.iter().filter(|word| word != &missing).collect();
        user.arg("SETUSER").arg("app").arg("reset").arg("on").arg(">pw").arg(&rights);
        user.exec_async(&mut cli).await.unwrap();
        let built = patient().url(server.url_as("app:pw")).namespace("shop").build().await;
        assert!(built.is_err_and(|error| error.is_permission()), "without {missing}");
    }
}

#[tokio::test]
async fn a_wrong_url_is_loud_and_its_password_not_printed() {
    for url in [
        "",
        "127.0.0.1",
        "redis//127.0.0.1",
        "http://user:hunter2-s3cret@127.0.0.1/",
        "reddis://:hunter2-s3cret@127.0.0.1/",
        "redis://:hunter2-s3cret@127.0.0.1:notaport/",
        "redis://:hunter2-s3cret@127.0.0.1/notadb",
        "redis://127.0.0.1:99999/",
    ] {
        let error = refusal(url).await;
        assert!(error.is_url(), "{url}: {error:?}");
        assert!(!all_texts(&error).contains(SECRET), "{error:?}");
    }
}

/// Catalogue 49.
#[tokio::test]
async fn a_namespace_that_would_break_keys_is_refused() {
    for namespace in ["{shop}", "shop:", "", "a b", "shöp", "a*"] {
        let error = Cache::builder().namespace(namespace).build().await.unwrap_err();
        assert!(error.is_namespace(), "{namespace:?}: {error:?}");
    }
}

#[tokio::test]
async fn an_unreachable_server_is_told_by_ping() {
    let mut server = RedisServer::start();
    server.stop();
    let cache = Cache::builder().url(server.url()).build().await.unwrap();
    let error = cache.ping().await.unwrap_err();
    assert!(error.is_unavailable() && !error.is_unconfirmed(), "{error:?}");
}

/// Two applications, or two databases of one server, share nothing.
#[tokio::test]
async fn namespaces_and_databases_keep_apart() {
    let server = RedisServer::start();
    let gate = Gate::open();
    for (database, namespace) in [(0, "one"), (0, "two"), (1, "one")] {
        let url = format!("{}{database}", server.url());
        let cache = Cache::builder().url(url).namespace(namespace).build().await.unwrap();
        assert!(!hits(42, &cache, &gate).await, "{database} {namespace}");
        assert!(hits(42, &cache, &gate).await);
    }
}

/// A server quotes what it does not understand, the password among it.
#[tokio::test]
async fn a_refused_handshake_does_not_show_the_password() {
    let server = RedisServer::start_with(&["--rename-command", "HELLO", ""]);
    let url = server.url().replace("redis://", "redis://:s3cret@");
    let texts = all_texts(&refusal(&url).await);
    assert!(texts.contains("HELLO") && !texts.contains("s3cret"), "{texts}");
}

/// The same holds for the key, when a script can't be run.
#[tokio::test]
async fn a_refused_script_does_not_show_the_key() {
    let server = RedisServer::start_with(&["--rename-command", "EVALSHA", ""]);
    let texts = all_texts(&refusal(&server.url()).await);
    assert!(texts.contains("EVALSHA") && !texts.contains("ns:{"), "{texts}");
}
