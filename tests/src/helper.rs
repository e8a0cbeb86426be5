use std::io::{BufRead, BufReader, Write};
use std::process::{Child, ChildStdin, Command, Stdio};
use std::thread;

use tokio::sync::mpsc::{self, UnboundedReceiver};

use crate::in_time;
use crate::server::{pause, signal};

const ROLE: &str = "REDIS_CACHED_TEST_ROLE";
/// What the test runner itself prints does not begin like this.
const MARK: &str = "@ ";

/// Another process, as a rule of the same program, which talks in lines. Ends with the value.
#[derive(Debug)]
pub struct Helper {
    process: Child,
    orders: ChildStdin,
    told: UnboundedReceiver<String>,
}

impl Helper {
    /// Runs the test `helper_process` of the running test binary in a process of its own, where
    /// [`role`] is `role`.
    ///
    /// # Panics
    ///
    /// When it can't be started.
    #[must_use]
    pub fn start(role: &str, environment: &[(&str, &str)]) -> Self {
        let program = std::env::current_exe().expect("the test binary knows where it is");
        let mut command = Command::new(program);
        command.args(["helper_process", "--exact", "--nocapture", "--test-threads=1"]);
        command.env(ROLE, role).envs(environment.iter().copied());
        Self::spawn(command)
    }

    /// Runs another program, which talks in the same way.
    ///
    /// # Panics
    ///
    /// When it can't be started.
    #[must_use]
    pub fn program(path: &str, environment: &[(&str, &str)]) -> Self {
        let mut command = Command::new(path);
        command.envs(environment.iter().copied());
        Self::spawn(command)
    }

    fn spawn(mut command: Command) -> Self {
        command.stdin(Stdio::piped()).stdout(Stdio::piped());
        let mut process = command.spawn().expect("the program is there");
        let orders = process.stdin.take().expect("it was asked for");
        let stdout = process.stdout.take().expect("it was asked for");
        let (tell, told) = mpsc::unbounded_channel();
        thread::spawn(move || {
            for line in BufReader::new(stdout).lines().map_while(Result::ok) {
                if let Some(line) = line.strip_prefix(MARK)
                    && tell.send(line.to_owned()).is_err()
                {
                    return;
                }
            }
        });
        Self { process, orders, told }
    }

    /// What it says next.
    ///
    /// # Panics
    ///
    /// When it says nothing more.
    pub async fn says(&mut self) -> String {
        in_time("a helper process speaks", self.told.recv())
            .await
            .expect("the helper process has ended")
    }

    /// What it has said and nobody has heard yet, if anything.
    pub fn said(&mut self) -> Option<String> {
        self.told.try_recv().ok()
    }

    /// # Panics
    ///
    /// When what it says next is anything else.
    pub async fn must_say(&mut self, line: &str) {
        assert_eq!(self.says().await, line);
    }

    /// # Panics
    ///
    /// When it has ended.
    pub fn order(&mut self, line: &str) {
        writeln!(self.orders, "{line}").expect("the helper process listens");
    }

    /// Kills the process, as a crash would.
    ///
    /// # Panics
    ///
    /// When it can't be waited for.
    pub fn kill(&mut self) {
        // It may have ended by itself.
        let _ = self.process.kill();
        self.process.wait().expect("one's own child can be waited for");
    }

    /// Kills the process, and returns what it has said and nobody has heard yet. The last line may be
    /// unfinished.
    ///
    /// # Panics
    ///
    /// As [`kill`](Self::kill).
    pub async fn end(&mut self) -> Vec<String> {
        self.kill();
        let mut rest = Vec::new();
        while let Some(line) = in_time("its pipe ends", self.told.recv()).await {
            rest.push(line);
        }
        rest
    }

    /// Stops the process from running; returns when it has stopped.
    pub fn pause(&self) {
        pause(self.process.id());
    }

    /// Undoes [`pause`](Self::pause).
    pub fn resume(&self) {
        signal(self.process.id(), "CONT");
    }
}

impl Drop for Helper {
    fn drop(&mut self) {
        // Here a panic would abort the tests that are left.
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

/// In a helper process: which part it plays.
#[must_use]
pub fn role() -> Option<String> {
    std::env::var(ROLE).ok()
}

/// In a helper process: says a line. Past the test runner, which might keep it to itself.
///
/// # Panics
///
/// When nobody listens any more.
pub fn tell(line: &str) {
    // The runner may have left a line of its own unfinished.
    writeln!(std::io::stdout().lock(), "\n{MARK}{line}").expect("the parent process listens");
}

/// In a helper process: what the parent orders, line by line. Ends when the parent has.
#[must_use]
pub fn orders() -> UnboundedReceiver<String> {
    let (send, orders) = mpsc::unbounded_channel();
    thread::spawn(move || {
        for line in std::io::stdin().lines().map_while(Result::ok) {
            if send.send(line).is_err() {
                return;
            }
        }
    });
    orders
}
