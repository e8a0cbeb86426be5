//! A row that is known by a natural key, renamed three calls below the handler.

use std::convert::Infallible;
use std::time::Duration;

use postgres_example::App;
use postgres_example::projects::{
    self, ChangeError, Project, project, project_entry, project_uncached, projects_of,
    projects_of_uncached, put_slug,
};
use postgres_example::transaction::in_transaction;
use redis_cached_tests::{Gate, eventually, in_time};
use sqlx::PgPool;
use sqlx::postgres::PgConnectOptions;
use tokio::time::{Instant, sleep};

use crate::proxy::{Commit, Proxy};
use crate::stage::{Stage, polled};

/// One project to be renamed, with two members, the second of whom is in another project, with somebody else.
struct Rename {
    old: String,
    new: String,
    other: String,
    members: [i64; 2],
    outsider: i64,
}

impl Rename {
    /// Of a number of its own, so that it has no key in common with those before.
    async fn new(stage: &Stage, number: u32) -> Self {
        let first = 3 * i64::from(number);
        let case = Self {
            old: format!("apollo-{number}"),
            new: format!("artemis-{number}"),
            other: format!("zeus-{number}"),
            members: [first, first + 1],
            outsider: first + 2,
        };
        let Self { members: [ada, both], .. } = case;
        for (slug, people) in [(&case.old, [ada, both]), (&case.other, [both, case.outsider])] {
            let made: Result<(), ChangeError> = in_transaction(&stage.here, async |db| {
                projects::create(&stage.here, db, &named(slug)).await?;
                for person in people {
                    projects::join(&stage.here, db, slug, person).await?;
                }
                Ok(())
            })
            .await;
            made.expect("nobody has this slug");
        }
        // That there is no project of the new slug, too, is cached from here on.
        assert!(case.is_seen_by_both(stage, false).await);
        case
    }

    /// What is to be seen.
    fn view(&self, renamed: bool) -> View {
        let slug = if renamed { &self.new } else { &self.old };
        let (is, other) = (Project { slug: slug.clone(), ..named(&self.old) }, named(&self.other));
        View {
            old: (!renamed).then(|| is.clone()),
            new: renamed.then(|| is.clone()),
            lists: vec![vec![is.clone()], vec![is, other.clone()], vec![other]],
        }
    }

    fn people(&self) -> impl Iterator<Item = i64> {
        self.members.into_iter().chain([self.outsider])
    }

    async fn is_seen_by_both(&self, stage: &Stage, renamed: bool) -> bool {
        let expected = self.view(renamed);
        View::of_cache(&stage.here, self).await == expected
            && View::of_cache(&stage.there, self).await == expected
    }

    /// By whoever begins to read a second later, however slow this machine is.
    async fn is_seen_by_both_within_a_second(&self, stage: &Stage, renamed: bool) {
        let second = Instant::now() + Duration::from_secs(1);
        loop {
            let is_late = Instant::now() > second;
            if self.is_seen_by_both(stage, renamed).await {
                return;
            }
            assert!(!is_late, "an old value after a second");
            sleep(Duration::from_millis(5)).await;
        }
    }

    /// By the handler, on a pool of its own.
    async fn run(&self, pool: &PgPool, stage: &Stage) -> Result<(), ChangeError> {
        let app = App { pool: pool.clone(), ..stage.here.clone() };
        put_slug(&app, self.members[0], &self.old, &self.new).await
    }

    /// Waits for the end of the transaction that has changed the row, while others go on reading, so that what is
    /// invalidated too early is stored again. Whether it has committed.
    async fn has_committed(&self, stage: &Stage) -> bool {
        let locked = sqlx::query_scalar("SELECT slug FROM projects WHERE title = $1 FOR UPDATE");
        let slug: String = tokio::select! {
            slug = locked.bind(&self.old).fetch_one(&stage.there.pool) => slug.unwrap(),
            never = self.read_on(stage) => match never {},
        };
        slug == self.new
    }

    async fn read_on(&self, stage: &Stage) -> Infallible {
        loop {
            View::of_cache(&stage.here, self).await;
            View::of_cache(&stage.there, self).await;
        }
    }
}

/// Its title is the slug that it was made with.
fn named(slug: &str) -> Project {
    Project { slug: slug.to_owned(), title: slug.to_owned() }
}

/// All that is cached of one case.
#[derive(Debug, PartialEq)]
struct View {
    old: Option<Project>,
    new: Option<Project>,
    /// Of each member, and of who is none.
    lists: Vec<Vec<Project>>,
}

impl View {
    async fn of_cache(app: &App, case: &Rename) -> Self {
        let mut lists = Vec::new();
        for person in case.people() {
            lists.push(projects_of(app, person).await.unwrap());
        }
        let (old, new) = (project(app, &case.old).await, project(app, &case.new).await);
        Self { old: old.unwrap(), new: new.unwrap(), lists }
    }

    async fn of_database(app: &App, case: &Rename) -> Self {
        let mut lists = Vec::new();
        for person in case.people() {
            lists.push(projects_of_uncached(app, person).await.unwrap());
        }
        let old = project_uncached(app, &case.old).await;
        Self { old: old.unwrap(), new: project_uncached(app, &case.new).await.unwrap(), lists }
    }
}

/// The same cache in front of no database: a hit is answered, and every body fails.
async fn hits_only(app: &App) -> App {
    let pool = PgPool::connect_lazy_with(PgConnectOptions::new_without_pgpass());
    pool.close().await;
    App { pool, cache: app.cache.clone() }
}

#[tokio::test]
async fn c1_a_rename_is_seen_by_all_processes_right_after() {
    let stage = Stage::empty().await;
    let case = Rename::new(&stage, 1).await;
    let (app, by) = (stage.here.clone(), case.members[1]);
    let (old, new) = (case.old.clone(), case.new.clone());
    // As a server runs its handlers: what they await has to be `Send`.
    let handler = tokio::spawn(async move { put_slug(&app, by, &old, &new).await });
    let renamed = tokio::select! {
        renamed = handler => renamed.unwrap(),
        never = case.read_on(&stage) => match never {},
    };
    renamed.unwrap();
    for app in [&stage.here, &stage.there] {
        let not_concerned = projects_of(&hits_only(app).await, case.outsider).await;
        assert_eq!(not_concerned.expect("a hit"), [named(&case.other)]);
    }
    for app in [&stage.there, &stage.here] {
        assert_eq!(View::of_cache(app, &case).await, case.view(true));
    }
    assert_eq!(View::of_database(&stage.there, &case).await, case.view(true));
}

async fn nothing_has_happened(stage: &Stage, case: &Rename) {
    for app in [&stage.here, &stage.there] {
        assert_eq!(View::of_cache(&hits_only(app).await, case).await, case.view(false));
    }
    assert_eq!(View::of_database(&stage.there, case).await, case.view(false));
}

#[tokio::test]
async fn a_rename_that_is_rolled_back_changes_and_invalidates_nothing() {
    let stage = Stage::empty().await;
    let case = Rename::new(&stage, 1).await;
    let claimed = "INSERT INTO project_slugs SELECT 'artemis-1'";
    sqlx::query(claimed).execute(&stage.here.pool).await.unwrap();
    let refused = put_slug(&stage.here, case.members[0], &case.old, &case.new).await;
    assert!(matches!(&refused, Err(ChangeError::Taken(slug)) if *slug == case.new), "{refused:?}");
    nothing_has_happened(&stage, &case).await;

    let case = Rename::new(&stage, 2).await;
    let refused = put_slug(&stage.here, case.outsider, &case.old, &case.new).await;
    assert!(matches!(refused, Err(ChangeError::NotMember(_))), "{refused:?}");
    nothing_has_happened(&stage, &case).await;
}

#[tokio::test]
async fn a_rename_without_a_transaction_around_is_refused() {
    let stage = Stage::empty().await;
    let case = Rename::new(&stage, 1).await;
    let mut db = stage.here.pool.acquire().await.unwrap();
    let refused = projects::rename(&stage.here, &mut db, &case.old, &case.new).await;
    assert!(matches!(refused, Err(ChangeError::Cache(_))), "{refused:?}");
    nothing_has_happened(&stage, &case).await;
}

/// Drops the handler at the first place where it waits, at the second, and so on until it comes to its end.
#[tokio::test]
async fn c1_a_rename_whose_handler_is_dropped_at_any_await_is_seen_within_a_second() {
    let stage = Stage::empty().await;
    let proxy = Proxy::start(&stage.postgres);
    let (mut rolled_back, mut unanswered, mut answered) = (0, 0, 0);
    for awaits in 0.. {
        let case = Rename::new(&stage, awaits).await;
        // A new one, so that each handler waits in the same places.
        let pool = proxy.pool().await;
        proxy.set(Commit::AnswerHeld);
        let ended = tokio::select! {
            ended = polled(case.run(&pool, &stage), awaits) => ended,
            // It goes on, and is dropped later.
            never = proxy.passes_when_held() => match never {},
        };
        if let Some(renamed) = ended {
            renamed.expect("what was dropped is not in the way");
            assert!(case.is_seen_by_both(&stage, true).await);
            break;
        }
        let committed = case.has_committed(&stage).await;
        match (committed, proxy.is(Commit::AnswerHeld)) {
            (false, _) => rolled_back += 1,
            (true, true) => unanswered += 1,
            (true, false) => answered += 1,
        }
        case.is_seen_by_both_within_a_second(&stage, committed).await;
        proxy.set(Commit::Passes);
        leaves_no_transaction(&pool, &stage).await;
    }
    assert!(rolled_back >= 5, "{rolled_back}");
    assert!(unanswered >= 1, "none was dropped between COMMIT and its answer");
    assert!(answered >= 1, "none was dropped while it invalidated");
}

/// Whatever is written next on the same connection would be part of it, and not be committed.
async fn leaves_no_transaction(pool: &PgPool, stage: &Stage) {
    eventually("all are back", async || pool.num_idle() == pool.size() as usize).await;
    let open = "SELECT count(*) FROM pg_stat_activity WHERE state LIKE 'idle in transaction%'";
    let open: i64 = sqlx::query_scalar(open).fetch_one(&stage.there.pool).await.unwrap();
    assert_eq!(open, 0, "a connection in a transaction is back in the pool");
}

/// COMMIT is on its way when the handler is dropped, and overtaken by the invalidation.
#[tokio::test]
async fn c1_a_rename_that_commits_behind_its_dropped_handler_is_seen_within_a_second() {
    let stage = Stage::empty().await;
    let proxy = Proxy::start(&stage.postgres);
    let case = Rename::new(&stage, 1).await;
    let pool = proxy.pool().await;
    proxy.set(Commit::Held);
    tokio::select! {
        ended = case.run(&pool, &stage) => panic!("COMMIT is held: {ended:?}"),
        () = proxy.holds() => {}
    }
    let entry = project_entry(&stage.there, &case.old);
    eventually("it is invalidated", async || entry.peek().await.unwrap().is_none()).await;
    assert!(case.is_seen_by_both(&stage, false).await, "and stored again");
    proxy.set(Commit::Passes);
    assert!(case.has_committed(&stage).await);
    case.is_seen_by_both_within_a_second(&stage, true).await;
}

#[tokio::test]
async fn c1_a_rename_that_is_applied_and_reported_as_failed_is_seen_within_a_second() {
    let stage = Stage::empty().await;
    let proxy = Proxy::start(&stage.postgres);
    let case = Rename::new(&stage, 1).await;
    let pool = proxy.pool().await;
    proxy.set(Commit::AnswerLost);
    let reported = tokio::select! {
        reported = case.run(&pool, &stage) => reported,
        never = case.read_on(&stage) => match never {},
    };
    assert!(matches!(reported, Err(ChangeError::Database(_))), "{reported:?}");
    assert!(case.has_committed(&stage).await);
    case.is_seen_by_both_within_a_second(&stage, true).await;
}

/// Her list is not known to who reads the members before he has the row.
#[tokio::test]
async fn c1_who_joins_while_a_rename_waits_sees_it_right_after() {
    let stage = Stage::empty().await;
    let case = Rename::new(&stage, 1).await;
    let (joined, renamed) = (Gate::closed(), Gate::closed());
    let Stage { here, there, .. } = &stage;
    let joining = async {
        let committed = in_transaction(there, async |db| {
            projects::join(there, db, &case.old, case.outsider).await?;
            joined.pass().await;
            Ok::<_, ChangeError>(())
        });
        committed.await.unwrap();
        renamed.started(1).await;
        // Between the two commits: of the old slug.
        let list = projects_of(there, case.outsider).await.unwrap();
        assert_eq!(list, [named(&case.old), named(&case.other)]);
        renamed.let_all_go();
    };
    let renaming = async {
        joined.started(1).await;
        let committed = in_transaction(here, async |db| {
            projects::rename(here, db, &case.old, &case.new).await?;
            renamed.pass().await;
            Ok::<_, ChangeError>(())
        });
        committed.await.unwrap();
    };
    let waiting = async {
        joined.started(1).await;
        let waits = "SELECT count(*) FROM pg_stat_activity WHERE wait_event_type = 'Lock'";
        eventually("it waits for the row", async || {
            sqlx::query_scalar(waits).fetch_one(&there.pool).await.is_ok_and(|count: i64| count > 0)
        })
        .await;
        joined.let_all_go();
    };
    in_time("both have committed", async { tokio::join!(joining, renaming, waiting) }).await;
    for app in [here, there] {
        let list = projects_of(app, case.outsider).await.unwrap();
        assert_eq!(list[0].slug, case.new);
    }
}
