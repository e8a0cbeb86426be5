//! Who reads what, and who changes and invalidates what: to be added to line by line.

use std::ops::Range;
use std::pin::Pin;

use redis_cached::{Error, Invalidation};

use crate::functions::{
    Context, GROUP, Pair, REGISTERS, Reading, brisk, brisk_entry, brisk_refresh, change, cleared,
    cleared_all, cleared_entry, kept, kept_entry, late, late_refresh, listed, live, live_entry,
    live_refresh, member, member_entry, member_refresh, mixed, mixed_refresh, outer, outer_refresh,
    plain, plain_entry, plain_refresh, put, put_entry, put_refresh, tagged, tagged_entry, valued,
    valued_refresh,
};
use crate::record::{Function, now};

use Function::{
    Brisk, Cleared, Kept, Late, Listed, Live, Member, Mixed, Outer, Plain, Put, Tagged, Valued,
};

type Boxed<'a, T> = Pin<Box<dyn Future<Output = T> + Send + 'a>>;
type Answered<'a> = Boxed<'a, Result<Answer, String>>;
type Invalidated<'a> = Boxed<'a, Result<(), Error>>;

/// What was read, of which registers, and when that began.
pub(crate) struct Answer {
    pub(crate) readings: Vec<Reading>,
    pub(crate) born: u64,
}

impl From<Reading> for Answer {
    fn from(reading: Reading) -> Self {
        Self { readings: vec![reading], born: reading.born }
    }
}

impl From<Pair> for Answer {
    fn from(pair: Pair) -> Self {
        Self { readings: pair.readings.to_vec(), born: pair.born }
    }
}

pub(crate) struct Reader {
    pub(crate) function: Function,
    /// Never served what was begun before.
    pub(crate) forced: bool,
    /// How often it is chosen.
    pub(crate) weight: u32,
    pub(crate) call: for<'a> fn(&'a Context, [u64; 2]) -> Answered<'a>,
}

macro_rules! readers {
    ($($weight:literal $function:ident $forced:ident |$context:ident, $a:ident, $b:ident| $call:expr;)*) => {
        &[$(Reader {
            function: $function,
            forced: $forced,
            weight: $weight,
            call: |$context, [$a, $b]| Box::pin(async move { $call.await.map(Answer::from) }),
        }),*]
    };
}

pub(crate) const READERS: &[Reader] = readers![
    14 Plain false |c, r, _b| plain(r, c);
    1 Plain true |c, r, _b| plain_refresh(r, c);
    14 Brisk false |c, r, _b| brisk(r, c.clone());
    1 Brisk true |c, r, _b| brisk_refresh(r, c.clone());
    14 Cleared false |c, r, _b| cleared(r, c.clone());
    14 Put false |c, r, _b| put(r, c.clone());
    1 Put true |c, r, _b| put_refresh(r, c.clone());
    14 Tagged false |c, r, _b| tagged(r, r / GROUP, c);
    14 Live false |c, r, _b| live(r, r / GROUP, c.clone());
    1 Live true |c, r, _b| live_refresh(r, r / GROUP, c.clone());
    14 Valued false |c, r, _b| valued(r, c);
    1 Valued true |c, r, _b| valued_refresh(r, c);
    14 Late false |c, r, _b| late(r, c);
    1 Late true |c, r, _b| late_refresh(r, c);
    20 Outer false |c, a, b| outer(a, b, c);
    1 Outer true |c, a, b| outer_refresh(a, b, c);
    20 Mixed false |c, a, b| mixed(a, b, c.clone());
    1 Mixed true |c, a, b| mixed_refresh(a, b, c.clone());
    20 Kept false |c, r, _b| kept(r, r / GROUP, c.clone());
    14 Member false |c, r, _b| member(r, c.clone());
    1 Member true |c, r, _b| member_refresh(r, c.clone());
    14 Listed false |c, a, b| listed(a, b, c.clone());
];

/// Which registers a writer changes.
#[derive(Clone, Copy)]
pub(crate) enum Reach {
    One,
    Group,
    All,
}

impl Reach {
    pub(crate) fn of(self, register: u64) -> Range<u64> {
        match self {
            Self::One => register..register + 1,
            Self::Group => register - register % GROUP..register - register % GROUP + GROUP,
            Self::All => 0..REGISTERS,
        }
    }
}

pub(crate) struct Writer {
    pub(crate) name: &'static str,
    pub(crate) weight: u32,
    pub(crate) reach: Reach,
    /// For which its `Ok` is final.
    pub(crate) functions: &'static [Function],
    /// Whether no other change of the register may come between, as the promise about `set` demands.
    pub(crate) alone: bool,
    pub(crate) run: Run,
}

pub(crate) enum Run {
    /// Behind the change, with the register and its new version.
    Behind(for<'a> fn(&'a Context, u64, u64) -> Invalidated<'a>),
    /// It changes the register itself, and gives the new version where that is acknowledged.
    Around(for<'a> fn(&'a Context, u64) -> Boxed<'a, Option<u64>>),
}

macro_rules! writers {
    ($($weight:literal $name:literal $reach:ident $functions:expr, $alone:ident,
       |$context:ident, $register:ident, $version:ident| $run:expr;)*
     $(changes $its_weight:literal $its_name:literal $its_functions:expr,
       |$its_context:ident, $its_register:ident| $change:expr;)*) => {
        &[$(Writer {
            name: $name,
            weight: $weight,
            reach: Reach::$reach,
            functions: &$functions,
            alone: $alone,
            run: Run::Behind(|$context, $register, $version| Box::pin(async move { $run.await })),
        },)* $(Writer {
            name: $its_name,
            weight: $its_weight,
            reach: Reach::One,
            functions: &$its_functions,
            alone: false,
            run: Run::Around(|$its_context, $its_register| {
                Box::pin(async move { Some($change.await.ok()?.version) })
            }),
        }),*]
    };
}

const TAGGED: [Function; 7] = [Tagged, Live, Valued, Late, Outer, Mixed, Kept];
/// Of functions without `refresh_before`, to expire is to invalidate.
const TAGGED_AND_NEVER_STALE: [Function; 4] = [Tagged, Valued, Late, Outer];
/// All but those that are `set`, for which no other change may come between.
const NOT_SET: [Function; 11] =
    [Plain, Brisk, Cleared, Tagged, Live, Valued, Late, Outer, Mixed, Member, Kept];

pub(crate) const WRITERS: &[Writer] = writers![
    24 "plain_entry.invalidate" One [Plain], false, |c, r, _v| plain_entry(r, c).invalidate();
    8 "plain_entry.expire" One [Plain], false, |c, r, _v| plain_entry(r, c).expire();
    4 "plain_entry.invalidate_after_commit" One [Plain], false, |c, r, _v| committed(c, r);
    24 "brisk_entry.invalidate" One [Brisk], false, |c, r, _v| brisk_entry(r, c.clone()).invalidate();
    8 "brisk_entry.expire" One [], false, |c, r, _v| brisk_entry(r, c.clone()).expire();
    1 "cleared_all.invalidate" All [Cleared], false, |c, _r, _v| cleared_all(c.clone()).invalidate();
    8 "cleared_entry.invalidate" One [Cleared], false, |c, r, _v| cleared_entry(r, c.clone()).invalidate();
    24 "put_entry.set" One [Put], true, |c, r, v| set(c, r, v);
    8 "put_entry.invalidate" One [Put], true, |c, r, _v| put_entry(r, c.clone()).invalidate();
    8 "invalidate_tags(put)" One [Put], true, |c, r, _v| c.cache.invalidate_tags([format!("put:{r}")]);
    8 "tagged_entry.invalidate" One [Tagged], false,
        |c, r, _v| tagged_entry(r, r / GROUP, c).invalidate();
    8 "live_entry.expire" One [], false, |c, r, _v| live_entry(r, r / GROUP, c.clone()).expire();
    32 "invalidate_tags(register)" One TAGGED, false,
        |c, r, _v| c.cache.invalidate_tags([format!("register:{r}")]);
    5 "invalidate_tags(group)" Group TAGGED, false,
        |c, r, _v| c.cache.invalidate_tags([format!("group:{}", r / GROUP)]);
    1 "invalidate_tags(groups)" All TAGGED, false,
        |c, _r, _v| c.cache.invalidate_tags((0..REGISTERS / GROUP).map(|group| format!("group:{group}")));
    12 "expire_tags(register)" One TAGGED_AND_NEVER_STALE, false,
        |c, r, _v| c.cache.expire_tags([format!("register:{r}")]);
    8 "kept_entry.invalidate" One [Kept], false,
        |c, r, _v| kept_entry(r, r / GROUP, c.clone()).invalidate();
    4 "kept_entry.expire" One [], false, |c, r, _v| kept_entry(r, r / GROUP, c.clone()).expire();
    12 "member_entry.invalidate" One [Member], false, |c, r, _v| member_entry(r, c.clone()).invalidate();
    4 "member_entry.expire" One [], false, |c, r, _v| member_entry(r, c.clone()).expire();
    8 "invalidate_tags(member)" One [Member], false,
        |c, r, _v| c.cache.invalidate_tags([format!("member:{r}")]);
    3 "invalidate_tags(members)" Group [Member], false,
        |c, r, _v| c.cache.invalidate_tags([format!("members:{}", r / GROUP)]);
    1 "clear" All NOT_SET, false, |c, _r, _v| c.cache.clear();
    changes 24 "change" [Member], |c, r| change(r, c);
];

async fn set(context: &Context, register: u64, version: u64) -> Result<(), Error> {
    put_entry(register, context.clone()).set(Reading { register, version, born: now() }).await
}

async fn committed(context: &Context, register: u64) -> Result<(), Error> {
    let transaction = async { plain_entry(register, context).invalidate_after_commit() };
    let (gathered, mut invalidation) = Invalidation::collect(transaction).await;
    gathered?;
    invalidation.send().await
}
