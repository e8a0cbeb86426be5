//! What callers notice while their Redis is in trouble: a minute of load, and a line for each second of it.
//! README.md says how to read the table.

mod delay;
mod load;
mod plot;
mod servers;
mod table;

use std::env;
use std::error::Error;
use std::path::PathBuf;
use std::time::Duration;

use tokio::time::{Instant, sleep_until};

use load::Load;
use servers::Servers;

type Result<T> = std::result::Result<T, Box<dyn Error + Send + Sync>>;

const USAGE: &str = "usage: outage [--plot FILE.png]";

/// What is done to the server for so many seconds.
struct Phase {
    name: &'static str,
    seconds: u64,
    trouble: Trouble,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Trouble {
    None,
    Killed,
    Paused,
    Slow,
    Full,
    FailedOver,
}

const fn phase(name: &'static str, seconds: u64, trouble: Trouble) -> Phase {
    Phase { name, seconds, trouble }
}

const PHASES: [Phase; 10] = [
    phase("well", 6, Trouble::None),
    phase("killed", 8, Trouble::Killed),
    phase("back", 5, Trouble::None),
    phase("paused", 8, Trouble::Paused),
    phase("back", 5, Trouble::None),
    phase("slow", 6, Trouble::Slow),
    phase("back", 4, Trouble::None),
    phase("full", 6, Trouble::Full),
    phase("back", 4, Trouble::None),
    phase("failed over", 8, Trouble::FailedOver),
];

/// The names of the phases and the second that each begins with, from 0.
fn beginnings() -> Vec<(u64, &'static str)> {
    let mut second = 0;
    PHASES
        .iter()
        .map(|phase| {
            let begins = (second, phase.name);
            second += phase.seconds;
            begins
        })
        .collect()
}

#[tokio::main]
async fn main() -> Result<()> {
    let plot = options(env::args().skip(1))?;
    let mut servers = Servers::start().await?;
    let load = Load::start(&servers.url()).await?;
    let mut next = Instant::now();
    for phase in &PHASES {
        servers.begin(phase.trouble).await?;
        next += Duration::from_secs(phase.seconds);
        sleep_until(next).await;
        servers.end(phase.trouble).await?;
    }
    let seconds = load.end().await;
    println!("{}", table::of(&seconds));
    if let Some(path) = plot {
        plot::draw(&seconds, &path)?;
    }
    Ok(())
}

fn options(mut args: impl Iterator<Item = String>) -> Result<Option<PathBuf>> {
    match (args.next().as_deref(), args.next()) {
        (None, _) => Ok(None),
        (Some("--plot"), Some(path)) => Ok(Some(path.into())),
        _ => Err(USAGE.into()),
    }
}
