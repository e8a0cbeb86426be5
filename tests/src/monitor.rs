use redis::aio::MultiplexedConnection;
use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader, Lines};
use tokio::net::UnixStream;

use crate::{RedisServer, in_time};

/// Sees every command that any client sends, in the order in which the server runs them.
#[derive(Debug)]
pub struct Monitor {
    lines: Lines<BufReader<UnixStream>>,
    cli: MultiplexedConnection,
    marks: usize,
}

/// One command.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Seen {
    /// Its name and its arguments.
    pub words: Vec<String>,
    /// Whether a script has sent it.
    pub by_script: bool,
}

impl Monitor {
    /// Starts to watch. For a server without a password.
    ///
    /// # Panics
    ///
    /// When the server does not answer.
    pub async fn start(server: &RedisServer) -> Self {
        let mut stream = UnixStream::connect(server.socket()).await.expect("the server is up");
        stream.write_all(b"MONITOR\r\n").await.expect("the server is up");
        let mut lines = BufReader::new(stream).lines();
        let reply = in_time("the server monitors", lines.next_line()).await;
        assert_eq!(reply.expect("the server is up").as_deref(), Some("+OK"));
        Self { lines, cli: server.cli().await, marks: 0 }
    }

    /// The commands since the last call, each with its arguments. What scripts do inside is left out.
    ///
    /// # Panics
    ///
    /// When the server is gone.
    pub async fn seen(&mut self) -> Vec<Vec<String>> {
        let seen = self.seen_with_scripts().await;
        seen.into_iter().filter(|seen| !seen.by_script).map(|seen| seen.words).collect()
    }

    /// The same, with what scripts do inside.
    ///
    /// # Panics
    ///
    /// When the server is gone.
    pub async fn seen_with_scripts(&mut self) -> Vec<Seen> {
        self.marks += 1;
        let mark = format!("mark {}", self.marks);
        let sent = redis::cmd("ECHO").arg(&mark).exec_async(&mut self.cli).await;
        sent.expect("the server is up");
        let mut seen = Vec::new();
        loop {
            let line = in_time("the monitor speaks", self.lines.next_line()).await;
            let line = line.expect("the server is up").expect("the server is up");
            let Some((head, command)) = line.split_once("] ") else { continue };
            let words = words(command);
            if words.get(1) == Some(&mark) {
                return seen;
            }
            seen.push(Seen { by_script: head.ends_with(" lua"), words });
        }
    }
}

/// `"GET" "a\"b"` → `GET`, `a"b`.
fn words(command: &str) -> Vec<String> {
    let mut words = Vec::new();
    let mut chars = command.chars();
    while let Some(c) = chars.next() {
        if c != '"' {
            continue;
        }
        let mut word = String::new();
        loop {
            match chars.next() {
                Some('\\') => word.extend(chars.next()),
                None | Some('"') => break,
                Some(other) => word.push(other),
            }
        }
        words.push(word);
    }
    words
}
