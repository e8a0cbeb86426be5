//! Who reads: each of them a function of a number that gives a user.

use std::fmt;
use std::sync::LazyLock;
use std::time::Duration;

use redis::AsyncConnectionConfig;
use redis::aio::MultiplexedConnection;
use redis_cached::{Cache, redis_cached};

use crate::Result;
use crate::user::{Size, User};

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Contestant {
    /// The client alone: `GET`, and the same decoder.
    Floor,
    /// The annotated function, with so many tags.
    Ours(Tags),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Tags {
    None,
    One,
    Three,
    Most,
}

impl fmt::Display for Contestant {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Floor => "floor",
            Self::Ours(Tags::None) => "ours",
            Self::Ours(Tags::One) => "ours, 1 tag",
            Self::Ours(Tags::Three) => "ours, 3 tags",
            Self::Ours(Tags::Most) => "ours, 32 tags",
        })
    }
}

/// A miss is not to be measured, however little time there is on the machine, or under a tool that counts.
const PATIENCE: Duration = Duration::from_secs(20);

/// What the contestants need.
#[derive(Clone)]
pub(crate) struct Stage {
    pub(crate) connection: MultiplexedConnection,
}

impl Stage {
    pub(crate) async fn new(url: &str, connections: Option<usize>) -> Result<Self> {
        let mut builder = Cache::builder()
            .url(url)
            .namespace("bench")
            .deadline(PATIENCE)
            .connect_timeout(PATIENCE);
        if let Some(connections) = connections {
            builder = builder.connections(connections);
        }
        redis_cached::init(builder.build().await?)?;
        let client = redis::Client::open(url)?;
        let config = AsyncConnectionConfig::new()
            .set_connection_timeout(Some(PATIENCE))
            .set_response_timeout(Some(PATIENCE));
        let connection = client.get_multiplexed_async_connection_with_config(&config).await?;
        Ok(Self { connection })
    }

    /// Stores what the floor reads.
    pub(crate) async fn store(&mut self, id: u64, size: Size) -> Result<()> {
        let bytes = bincode::serde::encode_to_vec(User::new(id, size), CODEC)?;
        let key = floor_key(id, size);
        redis::cmd("SET").arg(key).arg(bytes).exec_async(&mut self.connection).await?;
        Ok(())
    }
}

const CODEC: bincode::config::Configuration = bincode::config::standard();

fn floor_key(id: u64, size: Size) -> String {
    format!("floor:{}:{id}", size.name())
}

pub(crate) async fn floor(
    connection: &mut MultiplexedConnection,
    id: u64,
    size: Size,
) -> Result<User> {
    let key = floor_key(id, size);
    let bytes: Vec<u8> = redis::cmd("GET").arg(key).query_async(connection).await?;
    Ok(bincode::serde::decode_from_slice(&bytes, CODEC)?.0)
}

macro_rules! annotated {
    ($($name:ident: $size:ident, $key:literal, $tags:tt;)*) => {
        $(#[redis_cached(key = $key, ttl = "1h", tags = $tags)]
        pub(crate) async fn $name(id: u64) -> User {
            User::new(id, Size::$size)
        })*
    };
}

annotated! {
    small: Small, "small:{id}", [];
    medium: Medium, "medium:{id}", [];
    large: Large, "large:{id}", [];
    one_tag: Medium, "one_tag:{id}", ["a"];
    three_tags: Medium, "three_tags:{id}", ["a", "b", "c"];
    most_tags: Medium, "most_tags:{id}", [
        "t0", "t1", "t2", "t3", "t4", "t5", "t6", "t7", "t8", "t9", "t10", "t11", "t12", "t13",
        "t14", "t15", "t16", "t17", "t18", "t19", "t20", "t21", "t22", "t23", "t24", "t25", "t26",
        "t27", "t28", "t29", "t30", "t31"
    ];
}

/// Has a function store all that it is going to read.
pub(crate) async fn warm(contestant: Contestant, size: Size) -> Result<()> {
    for id in 0..MOST_KEYS as u64 {
        match (contestant, size) {
            (Contestant::Floor, _) => {}
            (Contestant::Ours(Tags::None), Size::Small) => drop(small(id).await),
            (Contestant::Ours(Tags::None), Size::Medium) => drop(medium(id).await),
            (Contestant::Ours(Tags::None), Size::Large) => drop(large(id).await),
            (Contestant::Ours(Tags::One), _) => drop(one_tag(id).await),
            (Contestant::Ours(Tags::Three), _) => drop(three_tags(id).await),
            (Contestant::Ours(Tags::Most), _) => drop(most_tags(id).await),
        }
    }
    Ok(())
}

/// How often each number is asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Keys {
    Uniform,
    Zipf,
}

pub(crate) const MOST_KEYS: usize = 1_000;

/// Where the shares of the numbers end, of Zipf's law with the exponent 1.
static ZIPF: LazyLock<Vec<f64>> = LazyLock::new(|| {
    let mut sum = 0.0;
    let mut ends: Vec<f64> = (1..=MOST_KEYS)
        .map(|rank| {
            sum += 1.0 / f64::from(u32::try_from(rank).unwrap_or(u32::MAX));
            sum
        })
        .collect();
    for end in &mut ends {
        *end /= sum;
    }
    ends
});

impl Keys {
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Uniform => "uniform",
            Self::Zipf => "zipf",
        }
    }

    /// As many as a round goes through, again and again: drawn before it.
    pub(crate) fn draw(self, random: &mut fastrand::Rng) -> Vec<u64> {
        (0..4096)
            .map(|_| match self {
                Self::Uniform => random.u64(0..MOST_KEYS as u64),
                Self::Zipf => {
                    let dice = random.f64();
                    ZIPF.partition_point(|end| *end < dice) as u64
                }
            })
            .collect()
    }
}
