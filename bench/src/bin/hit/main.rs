//! What a hit on Redis costs beside the client alone. README.md says how to read the table.

mod contestants;
mod round;
mod server;
mod user;

use std::env;
use std::error::Error;
use std::fmt::Write as _;
use std::time::Duration;

use contestants::{Contestant, Keys, MOST_KEYS, Stage, Tags};
use round::{Ask, Until, round};
use server::{Server, pin};
use user::Size;

type Result<T> = std::result::Result<T, Box<dyn Error + Send + Sync>>;

const USAGE: &str = "usage: hit [--only WORD,WORD..] [--rounds N] [--millis N] [--connections N] [--calls N NAME] \
                     (words: hit, tags, 100B, 1KiB, 32KiB, uniform, zipf, C=1, C=64, C=512)";
const CALLERS: [usize; 3] = [1, 64, 512];

struct Options {
    only: Vec<String>,
    rounds: usize,
    time: Duration,
    connections: Option<usize>,
    /// So many calls of one contestant, once, for a tool that counts what they do.
    calls: Option<(u64, String)>,
}

/// A line of the table: the first is what the others are compared with.
struct Cell {
    table: &'static str,
    size: Size,
    keys: Keys,
    callers: usize,
    contestants: Vec<Contestant>,
}

fn main() -> Result<()> {
    let options = Options::parse(env::args().skip(1))?;
    let server = Server::start()?;
    // The client's threads begin behind this, and inherit it.
    if !(pin(server.pid(), 0) && pin(std::process::id(), 1)) {
        println!(
            "warning: server and client are not pinned to a core each; single callers are not comparable"
        );
    }
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let mut stage = runtime.block_on(Stage::new(&server.url(), options.connections))?;
    for cell in cells().iter().filter(|cell| cell.is_wanted(&options.only)) {
        runtime.block_on(warm(&mut stage, cell))?;
        let ask = |&contestant: &Contestant| Ask {
            contestant,
            size: cell.size,
            keys: cell.keys,
            callers: cell.callers,
        };
        let asks: Vec<Ask> = cell.contestants.iter().map(ask).collect();
        if let Some((calls, name)) = &options.calls {
            let asked = asks.iter().find(|ask| ask.contestant.to_string() == *name);
            let asked = *asked.ok_or(USAGE)?;
            runtime.block_on(round(&stage, asked, Until::Calls(*calls)))?;
            return Ok(());
        }
        #[cfg(feature = "count")]
        println!("{}", counted(&runtime, &stage, cell, &asks)?);
        #[cfg(not(feature = "count"))]
        println!("{}", runtime.block_on(measured(&stage, server.pid(), cell, &asks, &options))?);
    }
    Ok(())
}

fn cells() -> Vec<Cell> {
    let mut cells = Vec::new();
    let contestants = vec![Contestant::Floor, Contestant::Ours(Tags::None)];
    for size in Size::ALL {
        for keys in [Keys::Uniform, Keys::Zipf] {
            for callers in CALLERS {
                let contestants = contestants.clone();
                cells.push(Cell { table: "hit", size, keys, callers, contestants });
            }
        }
    }
    let tagged = [Tags::None, Tags::One, Tags::Three, Tags::Most];
    let contestants = tagged.into_iter().map(Contestant::Ours).collect();
    cells.push(Cell {
        table: "tags",
        size: Size::Medium,
        keys: Keys::Uniform,
        callers: 64,
        contestants,
    });
    cells
}

impl Cell {
    fn name(&self) -> String {
        let Self { table, size, keys, callers, .. } = self;
        format!("{table:<5} {:<6} {:<8} C={callers:<4}", size.name(), keys.name())
    }

    fn is_wanted(&self, only: &[String]) -> bool {
        let name = self.name();
        only.iter().all(|wanted| name.split_whitespace().any(|word| word == wanted))
    }
}

/// Has everything stored that is going to be read.
async fn warm(stage: &mut Stage, cell: &Cell) -> Result<()> {
    for id in 0..MOST_KEYS as u64 {
        stage.store(id, cell.size).await?;
    }
    for &contestant in &cell.contestants {
        contestants::warm(contestant, cell.size).await?;
    }
    Ok(())
}

/// What the rounds of one contestant were like, each beside that of the first one.
#[cfg(not(feature = "count"))]
#[derive(Default)]
struct Rounds {
    speeds: Vec<f64>,
    ratios: Vec<f64>,
    /// Microseconds of a processor for each hit, of client and server.
    client: Vec<f64>,
    server: Vec<f64>,
}

#[cfg(not(feature = "count"))]
async fn measured(
    stage: &Stage,
    server: u32,
    cell: &Cell,
    asks: &[Ask],
    options: &Options,
) -> Result<String> {
    let ran = || [std::process::id(), server].map(|pid| server::ran(pid).unwrap_or_default());
    let mut all: Vec<Rounds> = asks.iter().map(|_| Rounds::default()).collect();
    for at in 0..options.rounds {
        // Whoever comes first has no advantage of it.
        for turn in 0..asks.len() {
            let turn = (turn + at) % asks.len();
            let before = ran();
            let (calls, took) = round(stage, asks[turn], Until::Time(options.time)).await?;
            let after = ran();
            #[expect(clippy::cast_precision_loss, reason = "some thousands")]
            let calls = calls as f64;
            let each = |at: usize| after[at].saturating_sub(before[at]).as_secs_f64() * 1e6 / calls;
            all[turn].speeds.push(calls / took.as_secs_f64());
            all[turn].client.push(each(0));
            all[turn].server.push(each(1));
        }
        let first = all[0].speeds[at];
        for rounds in &mut all {
            rounds.ratios.push(rounds.speeds[at] / first);
        }
    }
    let mut line = cell.name();
    for (ask, rounds) in asks.iter().zip(&mut all) {
        let (name, ratio, speed) =
            (ask.contestant, median(&mut rounds.ratios), median(&mut rounds.speeds));
        let (client, server) = (median(&mut rounds.client), median(&mut rounds.server));
        let told = if name == asks[0].contestant {
            format!("{:.1} k/s", speed / 1e3)
        } else {
            format!("{ratio:.2}")
        };
        write!(line, "   {name} {told} ({client:.2} + {server:.2} us)")?;
    }
    Ok(line)
}

#[cfg(not(feature = "count"))]
fn median(values: &mut [f64]) -> f64 {
    values.sort_by(f64::total_cmp);
    values[values.len() / 2]
}

#[cfg(feature = "count")]
fn counted(
    runtime: &tokio::runtime::Runtime,
    stage: &Stage,
    cell: &Cell,
    asks: &[Ask],
) -> Result<String> {
    const CALLS: u64 = 20_000;
    let mut line = format!("{} allocations a hit:", cell.name());
    for ask in asks {
        let count = |calls: u64| -> Result<u64> {
            let mut outcome = Ok((0, Duration::ZERO));
            let counted = allocation_counter::measure(|| {
                outcome = runtime.block_on(round(stage, *ask, Until::Calls(calls)));
            });
            outcome.map(|_| counted.count_total)
        };
        // What a round takes by itself is in both.
        let more = count(CALLS * 2)?.saturating_sub(count(CALLS)?);
        #[expect(clippy::cast_precision_loss, reason = "some thousands")]
        write!(line, "   {} {:.1}", ask.contestant, more as f64 / CALLS as f64)?;
    }
    Ok(line)
}

impl Options {
    fn parse(mut args: impl Iterator<Item = String>) -> Result<Self> {
        let mut options = Self {
            only: Vec::new(),
            rounds: 7,
            time: Duration::from_millis(300),
            connections: None,
            calls: None,
        };
        while let Some(arg) = args.next() {
            let mut value = || args.next().ok_or(USAGE);
            match arg.as_str() {
                "--only" => options.only = value()?.split(',').map(str::to_owned).collect(),
                "--rounds" => options.rounds = value()?.parse()?,
                "--millis" => options.time = Duration::from_millis(value()?.parse()?),
                "--connections" => options.connections = Some(value()?.parse()?),
                "--calls" => options.calls = Some((value()?.parse()?, value()?)),
                _ => return Err(USAGE.into()),
            }
        }
        if options.rounds == 0 {
            return Err(USAGE.into());
        }
        Ok(options)
    }
}
