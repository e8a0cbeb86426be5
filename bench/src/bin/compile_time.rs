//! What annotated functions cost the crate they stand in when it is compiled: with redis-cached,
//! with `cached`, and without a cache. README.md says how to read the table.

use std::env;
use std::error::Error;
use std::fmt::Write as _;
use std::fs;
use std::path::PathBuf;
use std::process::{Command, Output};
use std::time::{Duration, Instant};

type Result<T> = std::result::Result<T, Box<dyn Error>>;

const USAGE: &str = "usage: compile_time [FUNCTIONS] [--rounds ROUNDS]";
const MODULES: u32 = 10;

fn main() -> Result<()> {
    let options = Options::parse(env::args().skip(1))?;
    let crates = generate_all(&options)?;
    let mut bench = Bench { options, crates, edits: 0 };
    let sizes = bench.warm_up()?;
    let times = bench.measure()?;
    println!("{}", bench.report(&sizes, &times)?);
    Ok(())
}

struct Options {
    functions: u32,
    rounds: u32,
}

impl Options {
    fn parse(mut args: impl Iterator<Item = String>) -> Result<Self> {
        let mut options = Self { functions: 100, rounds: 5 };
        while let Some(arg) = args.next() {
            if arg == "--rounds" {
                options.rounds = args.next().ok_or(USAGE)?.parse()?;
            } else {
                options.functions = arg.parse().map_err(|_| USAGE)?;
            }
        }
        if options.functions < MODULES || options.rounds == 0 {
            return Err(format!("at least {MODULES} functions and 1 round; {USAGE}").into());
        }
        Ok(options)
    }

    /// The size of the smaller crate that the growth of the binary is counted from.
    fn few(&self) -> u32 {
        self.functions / 10
    }
}

#[derive(Clone, Copy)]
enum Kind {
    RedisCached,
    Cached,
    Plain,
}

impl Kind {
    const ALL: [Self; 3] = [Self::RedisCached, Self::Cached, Self::Plain];

    fn folder(self) -> &'static str {
        match self {
            Self::RedisCached => "redis_cached",
            Self::Cached => "cached",
            Self::Plain => "plain",
        }
    }

    fn dependency(self) -> String {
        match self {
            Self::RedisCached => {
                format!("redis-cached = {{ path = '{}' }}", repository().display())
            }
            Self::Cached => "cached = { version = \"4.1\", features = [\"redis_tokio\"] }".into(),
            Self::Plain => String::new(),
        }
    }

    /// What each module imports.
    fn imports(self) -> &'static str {
        match self {
            Self::RedisCached => "use redis_cached::redis_cached;\n",
            Self::Cached => "use cached::macros::concurrent_cached;\n",
            Self::Plain => "",
        }
    }

    /// The attribute in the shortest form that the documentation of its crate shows.
    fn attribute(self, index: u32) -> String {
        match self {
            Self::RedisCached => format!(
                "#[redis_cached(key = \"row_{index}:{{id}}:{{lang}}\", ttl = \"5m\", skip(db))]\n"
            ),
            Self::Cached => format!(
                "#[concurrent_cached(redis = true, ttl_secs = 300, key = \"String\", \
                 convert = {{ format!(\"row_{index}:{{id}}:{{lang}}\") }})]\n"
            ),
            Self::Plain => String::new(),
        }
    }

    /// What the error type needs beyond what it is in all three crates.
    fn error_impl(self) -> &'static str {
        match self {
            Self::Cached => CACHED_ERROR,
            Self::RedisCached | Self::Plain => "",
        }
    }

    /// What `main` does first.
    fn setup(self) -> &'static str {
        match self {
            Self::RedisCached => REDIS_CACHED_SETUP,
            Self::Cached | Self::Plain => "",
        }
    }
}

const CACHED_ERROR: &str = "
impl From<cached::RedisCacheError> for Error {
    fn from(error: cached::RedisCacheError) -> Self {
        Self(error.to_string())
    }
}
";

const REDIS_CACHED_SETUP: &str = r#"
    let url = std::env::var("REDIS_URL")?;
    let cache = redis_cached::Cache::builder().url(&url).namespace("bench").build().await?;
    redis_cached::init(cache)?;"#;

#[derive(Clone, Copy, PartialEq)]
enum Values {
    Shared,
    Own,
}

impl Values {
    const ALL: [Self; 2] = [Self::Shared, Self::Own];

    fn name(self) -> &'static str {
        match self {
            Self::Shared => "shared",
            Self::Own => "own",
        }
    }

    fn explanation(self) -> &'static str {
        match self {
            Self::Shared => "all functions return the same struct",
            Self::Own => "each function returns a struct of its own",
        }
    }

    fn type_name(self, index: u32) -> String {
        match self {
            Self::Shared => "Row".into(),
            Self::Own => format!("Row{index}"),
        }
    }
}

fn repository() -> PathBuf {
    let repository = manifest_dir().join("..");
    std::path::absolute(&repository).unwrap_or(repository)
}

/// Where this package is now: the binary may have been built where it no longer stands.
fn manifest_dir() -> PathBuf {
    env::var_os("CARGO_MANIFEST_DIR").map_or_else(|| PathBuf::from("."), PathBuf::from)
}

fn output_folder() -> PathBuf {
    let target = env::var_os("CARGO_TARGET_DIR")
        .map_or_else(|| manifest_dir().join("target"), PathBuf::from);
    std::path::absolute(&target).unwrap_or(target).join("compile-time")
}

// ---- The crates that are compiled

/// A generated package.
struct Generated {
    kind: Kind,
    values: Values,
    functions: u32,
    package: String,
    /// Of all packages of this kind, with one lock file and one target folder.
    workspace: PathBuf,
}

impl Generated {
    fn new(kind: Kind, values: Values, functions: u32) -> Self {
        Self {
            kind,
            values,
            functions,
            package: format!("{}-{functions}", values.name()),
            workspace: output_folder().join(kind.folder()),
        }
    }

    fn src(&self) -> PathBuf {
        self.workspace.join(&self.package).join("src")
    }

    fn write(&self) -> Result<()> {
        fs::create_dir_all(self.src())?;
        fs::write(self.src().with_file_name("Cargo.toml"), self.manifest())?;
        fs::write(self.src().join("common.rs"), common(self.kind, self.values))?;
        for module in 0..MODULES {
            let path = self.src().join(format!("m{module}.rs"));
            fs::write(path, self.module(module))?;
        }
        self.write_main(0)
    }

    /// The only file that is edited between measurements; a new `edit` is a new crate to rustc.
    fn write_main(&self, edit: u32) -> Result<()> {
        Ok(fs::write(self.src().join("main.rs"), self.main(edit))?)
    }

    fn manifest(&self) -> String {
        format!(
            "[package]\nname = {:?}\nversion = \"0.0.0\"\nedition = \"2024\"\npublish = false\n\n\
             [dependencies]\n{}\n\
             serde = {{ version = \"1\", features = [\"derive\"] }}\n\
             tokio = {{ version = \"1\", features = [\"full\"] }}\n",
            self.package,
            self.kind.dependency(),
        )
    }

    fn module(&self, module: u32) -> String {
        let indices: Vec<u32> =
            (0..self.functions).filter(|index| index % MODULES == module).collect();
        let mut code = format!("{}use crate::common::*;\n", self.kind.imports());
        for &index in &indices {
            code.push_str(&self.function(index));
        }
        code.push_str(&call_all(&indices));
        code
    }

    fn function(&self, index: u32) -> String {
        let name = self.values.type_name(index);
        let own = if self.values == Values::Own { row_struct(&name) } else { String::new() };
        format!(
            "{own}
{attribute}pub async fn load_{index}(db: &Db, id: u64, lang: &str) -> Result<{name}, Error> {{
    let record = db.query({index}, id, lang).await?;
    let Record {{ id, name, tags, score, note }} = record;
    Ok({name} {{ id, name, tags, score, note }})
}}
",
            attribute = self.kind.attribute(index),
        )
    }

    fn main(&self, edit: u32) -> String {
        let mut code = String::from("mod common;\n");
        let mut calls = String::new();
        for module in 0..MODULES {
            // Writing to a `String` cannot fail.
            let _ = writeln!(code, "mod m{module};");
            let _ = writeln!(calls, "    sum += m{module}::call_all(&db, id, &lang).await?;");
        }
        format!(
            "{code}
const EDIT: u64 = {edit};

#[tokio::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {{{setup}
    let db = common::Db::default();
    let lang = std::env::args().next().unwrap_or_default();
    let (id, mut sum) = (EDIT, 0.0);
{calls}    println!(\"{{sum}}\");
    Ok(())
}}
",
            setup = self.kind.setup(),
        )
    }

    fn binary(&self) -> PathBuf {
        let name = format!("{}{}", self.package, env::consts::EXE_SUFFIX);
        self.workspace.join("target/release").join(name)
    }
}

fn row_struct(name: &str) -> String {
    format!(
        "
#[derive(Clone, Debug, serde::Serialize, serde::Deserialize)]
pub struct {name} {{
    pub id: u64,
    pub name: String,
    pub tags: Vec<String>,
    pub score: f64,
    pub note: Option<String>,
}}
"
    )
}

/// Calls all functions of a module, so that none is dead code.
///
/// The future is boxed, as those of handlers and tasks are. Unboxed it would be a part of `main`'s,
/// and the optimizer repeats that in each branch of the runtime's: every function would be in the
/// binary three times.
fn call_all(indices: &[u32]) -> String {
    let mut calls = String::new();
    for index in indices {
        let _ = writeln!(calls, "        let row = load_{index}(db, id, lang).await?;");
        calls.push_str("        sum += row.score + (row.name.len() + row.tags.len()) as f64;\n");
        calls.push_str("        sum += (row.id + u64::from(row.note.is_some())) as f64;\n");
    }
    format!(
        "
pub fn call_all<'a>(db: &'a Db, id: u64, lang: &'a str) -> Calls<'a> {{
    Box::pin(async move {{
        let mut sum = 0.0;
{calls}        Ok(sum)
    }})
}}
"
    )
}

fn common(kind: Kind, values: Values) -> String {
    let shared = if values == Values::Shared { row_struct("Row") } else { String::new() };
    format!("{COMMON}{}{shared}", kind.error_impl())
}

const COMMON: &str = r#"#[derive(Clone, Default)]
pub struct Db(std::sync::Arc<std::sync::Mutex<u64>>);

pub struct Record {
    pub id: u64,
    pub name: String,
    pub tags: Vec<String>,
    pub score: f64,
    pub note: Option<String>,
}

impl Db {
    pub async fn query(&self, table: u64, id: u64, lang: &str) -> Result<Record, Error> {
        tokio::task::yield_now().await;
        let mut count = self.0.lock().map_err(|error| Error(error.to_string()))?;
        *count += table;
        Ok(Record {
            id,
            name: format!("{lang}-{table}"),
            tags: vec![lang.to_owned()],
            score: *count as f64,
            note: None,
        })
    }
}

#[derive(Clone, Debug)]
pub struct Error(pub String);

impl std::fmt::Display for Error {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for Error {}

pub type Calls<'a> = std::pin::Pin<Box<dyn Future<Output = Result<f64, Error>> + Send + 'a>>;
"#;

fn generate_all(options: &Options) -> Result<Vec<Generated>> {
    let mut crates = Vec::new();
    for kind in Kind::ALL {
        let mut members = Vec::new();
        for values in Values::ALL {
            for functions in [options.functions, options.few()] {
                let generated = Generated::new(kind, values, functions);
                generated.write()?;
                members.push(generated.package.clone());
                crates.push(generated);
            }
        }
        let workspace = format!(
            "[workspace]\nresolver = \"3\"\nmembers = {members:?}\n\n\
             [profile.dev]\ndebug = false\n\n[profile.release]\ndebug = false\nstrip = true\n"
        );
        fs::write(output_folder().join(kind.folder()).join("Cargo.toml"), workspace)?;
    }
    Ok(crates)
}

// ---- Compiling them

#[derive(Clone, Copy)]
enum Mode {
    Check,
    Release,
}

impl Mode {
    const ALL: [Self; 2] = [Self::Check, Self::Release];

    fn args(self) -> &'static [&'static str] {
        match self {
            Self::Check => &["check"],
            Self::Release => &["build", "--release"],
        }
    }
}

/// Runs cargo on a generated package.
fn cargo(generated: &Generated, mode: Mode) -> Result<Output> {
    let output = Command::new(env::var_os("CARGO").unwrap_or_else(|| "cargo".into()))
        .args(mode.args())
        .args(["--package", &generated.package])
        .current_dir(&generated.workspace)
        .env("CARGO_TARGET_DIR", generated.workspace.join("target"))
        .env("CARGO_INCREMENTAL", "0")
        .env("CARGO_TERM_COLOR", "never")
        // A wrapper that caches would answer in place of the compiler.
        .env("RUSTC_WRAPPER", "")
        .output()?;
    if output.status.success() {
        Ok(output)
    } else {
        Err(String::from_utf8_lossy(&output.stderr).into())
    }
}

/// How long cargo takes after an edit, all dependencies having been compiled before.
fn time_after_edit(generated: &Generated, mode: Mode, edit: u32) -> Result<Duration> {
    generated.write_main(edit)?;
    let start = Instant::now();
    let output = cargo(generated, mode)?;
    let time = start.elapsed();
    let told = String::from_utf8_lossy(&output.stderr);
    let compiled: Vec<&str> = told
        .lines()
        .map(str::trim_start)
        .filter(|line| line.starts_with("Checking ") || line.starts_with("Compiling "))
        .collect();
    if compiled.len() == 1 && compiled[0].contains(&generated.package) {
        Ok(time)
    } else {
        Err(format!("not the crate alone was compiled:\n{told}").into())
    }
}

/// The size of each crate's binary, in the order of `Bench::crates`.
type Sizes = Vec<u64>;

struct Sample {
    kind: Kind,
    values: Values,
    mode: Mode,
    time: Duration,
}

struct Bench {
    options: Options,
    crates: Vec<Generated>,
    edits: u32,
}

impl Bench {
    /// Compiles everything once, dependencies included.
    fn warm_up(&self) -> Result<Sizes> {
        let mut sizes = Sizes::new();
        for generated in &self.crates {
            eprintln!("compiling {}/{}", generated.kind.folder(), generated.package);
            for mode in Mode::ALL {
                cargo(generated, mode)?;
            }
            sizes.push(fs::metadata(generated.binary())?.len());
        }
        Ok(sizes)
    }

    fn measure(&mut self) -> Result<Vec<Sample>> {
        let mut samples = Vec::new();
        for round in 0..self.options.rounds {
            eprintln!("round {} of {}", round + 1, self.options.rounds);
            let mut kinds = Kind::ALL;
            kinds.rotate_left(round as usize % 3);
            for values in Values::ALL {
                for mode in Mode::ALL {
                    for kind in kinds {
                        let time = self.sample(kind, values, mode)?;
                        samples.push(Sample { kind, values, mode, time });
                    }
                }
            }
        }
        Ok(samples)
    }

    fn sample(&mut self, kind: Kind, values: Values, mode: Mode) -> Result<Duration> {
        self.edits += 1;
        let index = self.find(kind, values, self.options.functions);
        time_after_edit(&self.crates[index], mode, self.edits)
    }

    fn find(&self, kind: Kind, values: Values, functions: u32) -> usize {
        let wanted = Generated::new(kind, values, functions);
        self.crates
            .iter()
            .position(|one| one.package == wanted.package && one.workspace == wanted.workspace)
            .expect("each combination was generated")
    }

    // ---- The table

    fn report(&self, sizes: &Sizes, samples: &[Sample]) -> Result<String> {
        let Options { functions, rounds } = self.options;
        let mut text = format!(
            "{functions} functions; median of {rounds} rounds\n\
             redis-cached {}, cached {}, {}\n",
            locked_version(Kind::RedisCached, "redis-cached")?,
            locked_version(Kind::Cached, "cached")?,
            rustc_version()?,
        );
        for values in Values::ALL {
            write!(text, "\n{}: {}\n{}", values.name(), values.explanation(), header())?;
            for (mode, label) in Mode::ALL.into_iter().zip(["check", "build --release"]) {
                let seconds = Kind::ALL.map(|kind| median(samples, kind, values, mode));
                text.push_str(&row(label, "s", 2, seconds));
            }
            let total = Kind::ALL.map(|kind| self.size(sizes, kind, values, functions));
            text.push_str(&row("stripped binary", "KiB", 0, total));
            let growth = Kind::ALL.map(|kind| self.growth(sizes, kind, values));
            text.push_str(&row("growth per function", "KiB", 2, growth));
            let [ours, cached, plain] = growth;
            text.push_str(&added("  of it by the cache", "KiB", [ours - plain, cached - plain]));
        }
        Ok(text)
    }

    /// In KiB.
    fn size(&self, sizes: &Sizes, kind: Kind, values: Values, functions: u32) -> f64 {
        let bytes = sizes[self.find(kind, values, functions)];
        f64::from(u32::try_from(bytes).unwrap_or(u32::MAX)) / 1024.0
    }

    fn growth(&self, sizes: &Sizes, kind: Kind, values: Values) -> f64 {
        let Options { functions, .. } = self.options;
        let few = self.options.few();
        let more = self.size(sizes, kind, values, functions) - self.size(sizes, kind, values, few);
        more / f64::from(functions - few)
    }
}

fn median(samples: &[Sample], kind: Kind, values: Values, mode: Mode) -> f64 {
    let wanted = (kind.folder(), values.name(), mode.args());
    let mut times: Vec<f64> = samples
        .iter()
        .filter(|one| (one.kind.folder(), one.values.name(), one.mode.args()) == wanted)
        .map(|one| one.time.as_secs_f64())
        .collect();
    times.sort_by(f64::total_cmp);
    f64::midpoint(times[(times.len() - 1) / 2], times[times.len() / 2])
}

/// What a cache adds to the plain function.
fn added(label: &str, unit: &str, [ours, cached]: [f64; 2]) -> String {
    let label = format!("{label}, {unit}");
    format!("{label:<26}{ours:>13.2}{cached:>13.2}{:>13}{:>12.2}x\n", "", ours / cached)
}

fn header() -> String {
    format!(
        "{:<26}{:>13}{:>13}{:>13}{:>13}{:>13}\n",
        "", "redis-cached", "cached", "plain", "to cached", "to plain"
    )
}

fn row(label: &str, unit: &str, decimals: usize, [ours, cached, plain]: [f64; 3]) -> String {
    format!(
        "{:<26}{ours:>13.decimals$}{cached:>13.decimals$}{plain:>13.decimals$}\
         {:>12.2}x{:>12.2}x\n",
        format!("{label}, {unit}"),
        ours / cached,
        ours / plain,
    )
}

/// The version that was compiled, from the lock file of the generated workspace.
fn locked_version(kind: Kind, package: &str) -> Result<String> {
    let lock = fs::read_to_string(output_folder().join(kind.folder()).join("Cargo.lock"))?;
    let (_, after) = lock
        .split_once(&format!("name = \"{package}\"\nversion = \""))
        .ok_or_else(|| format!("{package} is not in the lock file"))?;
    Ok(after.chars().take_while(|&c| c != '"').collect())
}

fn rustc_version() -> Result<String> {
    let output = Command::new("rustc").arg("--version").output()?;
    Ok(String::from_utf8(output.stdout)?.trim().to_owned())
}
