//! Speaks HTTP with the built service, as `curl` would.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::path::PathBuf;
use std::process::{Child, ChildStdout, Command, Stdio};
use std::time::Duration;
use std::{fs, io};

use serde_json::{Value, json};

/// The service with a small database of its own. Killed when the test ends, however it does.
struct Shop {
    process: Child,
    output: BufReader<ChildStdout>,
    address: String,
    folder: PathBuf,
}

impl Shop {
    fn start(name: &str, redis_url: &str) -> Self {
        let folder = PathBuf::from(env!("CARGO_TARGET_TMPDIR"))
            .join(format!("shop-{name}-{}", std::process::id()));
        let mut process = Command::new(env!("CARGO_BIN_EXE_shop"))
            .env("SHOP_ADDR", "127.0.0.1:0")
            .env("SHOP_DB", folder.join("shop.db"))
            .env("SHOP_SCALE", "0.01")
            .env("REDIS_URL", redis_url)
            .stdout(Stdio::piped())
            .spawn()
            .expect("the built service starts");
        let output = BufReader::new(process.stdout.take().expect("it is piped"));
        let mut shop = Self { process, output, address: String::new(), folder };
        let line = shop.line();
        line.strip_prefix("listening on http://")
            .unwrap_or_else(|| panic!("the service said {line:?}"))
            .clone_into(&mut shop.address);
        shop
    }

    /// The next line that it prints.
    fn line(&mut self) -> String {
        let mut line = String::new();
        self.output.read_line(&mut line).expect("its output can be read");
        line.trim().to_owned()
    }

    fn get(&self, path: &str) -> Answer {
        self.send("GET", path, "")
    }

    fn put(&self, path: &str, body: &str) -> Answer {
        self.send("PUT", path, body)
    }

    fn send(&self, method: &str, path: &str, body: &str) -> Answer {
        let ask = || -> io::Result<String> {
            let mut stream = TcpStream::connect(&self.address)?;
            stream.set_read_timeout(Some(Duration::from_secs(10)))?;
            let length = body.len();
            write!(
                stream,
                "{method} {path} HTTP/1.1\r\nhost: shop\r\nconnection: close\r\n\
                 content-type: application/json\r\ncontent-length: {length}\r\n\r\n{body}"
            )?;
            let mut answer = String::new();
            stream.read_to_string(&mut answer)?;
            Ok(answer)
        };
        let answer = ask().unwrap_or_else(|error| panic!("{method} {path}: {error}"));
        let (head, body) = answer.split_once("\r\n\r\n").expect("a head and a body");
        Answer { head: head.to_lowercase(), body: body.to_owned() }
    }
}

impl Drop for Shop {
    fn drop(&mut self) {
        // It may have ended by itself, and a panic here would hide the one of the test.
        let _ = self.process.kill();
        let _ = self.process.wait();
        let _ = fs::remove_dir_all(&self.folder);
    }
}

#[derive(Debug)]
struct Answer {
    head: String,
    body: String,
}

impl Answer {
    fn status(&self) -> &str {
        self.head.split(' ').nth(1).expect("a status")
    }

    fn header(&self, name: &str) -> &str {
        self.head
            .lines()
            .find_map(|line| line.strip_prefix(name)?.strip_prefix(": "))
            .unwrap_or_else(|| panic!("no header {name} in {}", self.head))
    }

    fn json(&self) -> Value {
        assert_eq!(self.status(), "200", "{self:?}");
        serde_json::from_str(&self.body).expect("the body is JSON")
    }
}

#[test]
fn a_product_is_cached_until_its_price_changes() {
    let shop = Shop::start("product", "memory://");

    let first = shop.get("/products/42");
    assert_eq!(first.header("x-cache"), "miss");
    assert_eq!(first.header("age"), "0");
    assert_eq!(first.json()["id"], 42);

    let second = shop.get("/products/42");
    assert_eq!(second.header("x-cache"), "hit");
    assert!(second.header("x-cache-age-ms").parse::<u64>().is_ok());
    assert_eq!(second.json(), first.json());

    let put = shop.put("/products/42/price", r#"{"price_cents": 123}"#);
    assert_eq!(put.json(), json!({ "id": 42, "price_cents": 123 }));

    let third = shop.get("/products/42");
    assert_eq!(third.header("x-cache"), "miss");
    assert_eq!(third.json()["price_cents"], 123);
}

#[test]
fn a_report_is_cached_until_a_price_in_it_changes() {
    let shop = Shop::start("report", "memory://");

    let first = shop.get("/reports/best-sellers");
    assert_eq!(first.header("x-cache"), "miss");
    let ten = first.json();
    assert_eq!(ten.as_array().map(Vec::len), Some(10));

    let three = shop.get("/reports/best-sellers?limit=3");
    assert_eq!(three.header("x-cache"), "hit");
    assert_eq!(three.json().as_array().map(Vec::as_slice), ten.as_array().map(|ten| &ten[..3]));

    let best = &ten[0]["id"];
    let put = shop.put(&format!("/products/{best}/price"), r#"{"price_cents": 7777}"#);
    assert_eq!(put.status(), "200", "{put:?}");

    let second = shop.get("/reports/best-sellers");
    assert_eq!(second.header("x-cache"), "miss");
    assert_eq!(second.json()[0]["price_cents"], 7_777);
}

#[test]
fn that_a_product_does_not_exist_is_cached() {
    let shop = Shop::start("none", "memory://");
    for expected in ["miss", "hit"] {
        let answer = shop.get("/products/999999");
        assert_eq!(answer.status(), "404");
        assert_eq!(answer.header("x-cache"), expected);
        assert_eq!(answer.body, "there is no product 999999\n");
    }
    let put = shop.put("/products/999999/price", r#"{"price_cents": 1}"#);
    assert_eq!(put.status(), "404");
}

#[test]
fn bad_input_is_refused_with_a_reason() {
    let shop = Shop::start("bad", "memory://");
    for (method, path, body, status, reason) in [
        ("GET", "/products/abc", "", "400", "`abc`"),
        ("GET", "/reports/best-sellers?limit=0", "", "400", "1 to 100"),
        ("GET", "/reports/best-sellers?limit=1000000000", "", "400", "1 to 100"),
        ("GET", "/reports/best-sellers?limit=ten", "", "400", "invalid digit"),
        ("PUT", "/products/42/price", r#"{"price_cents": -1}"#, "422", "`-1`, expected u32"),
        ("PUT", "/products/42/price", r#"{"price": 1}"#, "422", "missing field `price_cents`"),
        ("PUT", "/products/42/price", "cheap", "400", "as JSON"),
        ("GET", "/prices", "", "404", ""),
        ("DELETE", "/products/42", "", "405", ""),
    ] {
        let answer = shop.send(method, path, body);
        assert_eq!(answer.status(), status, "{method} {path} {body}");
        assert!(answer.body.contains(reason), "{method} {path} {body}: {answer:?}");
    }
}

/// Reads go on, but a write must not look as if every reader saw it.
#[test]
fn without_its_cache_the_shop_reads_and_says_what_a_write_did() {
    // Nothing listens there.
    let shop = Shop::start("alone", "redis://127.0.0.1:1/");
    for _ in 0..2 {
        let answer = shop.get("/products/42");
        assert_eq!(answer.header("x-cache"), "miss");
        assert_eq!(answer.json()["id"], 42);
    }
    let put = shop.put("/products/42/price", r#"{"price_cents": 123}"#);
    assert_eq!(put.status(), "503");
    assert!(put.body.contains("is saved"), "{put:?}");
    assert!(put.body.contains("up to 5 minutes"), "{put:?}");
    assert_eq!(shop.get("/products/42").json()["price_cents"], 123);

    let health = shop.get("/healthz").json();
    assert_eq!(health["database"], "ok");
    assert_ne!(health["cache"], "ok");
}

#[cfg(unix)]
#[test]
fn it_stops_when_told_to() {
    let mut shop = Shop::start("stop", "memory://");
    assert_eq!(shop.get("/healthz").json(), json!({ "database": "ok", "cache": "ok" }));
    let pid = shop.process.id().to_string();
    let kill = Command::new("kill").args(["-TERM", &pid]).status();
    assert!(kill.expect("`kill` runs").success());
    assert_eq!(shop.line(), "stopped");
    let status = shop.process.wait().expect("it can be waited for");
    assert!(status.success(), "{status}");
}
