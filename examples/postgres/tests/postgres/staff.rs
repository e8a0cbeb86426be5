//! One table, changed by the application and behind its back.

use postgres_example::staff::{
    self, ChangeError, Person, headcount, headcount_entry, person, person_entry, team, team_entry,
};
use postgres_example::transaction::in_transaction;
use postgres_example::{App, changes};
use redis_cached_tests::eventually;

use crate::stage::{Stage, polled};

impl Stage {
    /// Three are hired, and all views are cached.
    async fn new() -> Self {
        let stage = Self::empty().await;
        let hired: Result<(), ChangeError> = in_transaction(&stage.here, async |db| {
            for id in 1..=3 {
                staff::hire(&stage.here, db, &new(id, 7)).await?;
            }
            Ok(())
        })
        .await;
        hired.expect("three are hired");
        stage.fill().await;
        stage
    }

    async fn fill(&self) {
        for app in [&self.here, &self.there] {
            for id in 1..=4 {
                person(app, id).await.unwrap();
            }
            for number in [7, 8] {
                team(app, number).await.unwrap();
            }
            headcount(app).await.unwrap();
        }
    }

    /// What a process sees: the names of the teams' members, through all three views.
    async fn seen(app: &App) -> (Vec<String>, Vec<String>, i64, Vec<Option<String>>) {
        let names = |people: Vec<Person>| people.into_iter().map(|person| person.name).collect();
        let mut details = Vec::new();
        for id in 1..=4 {
            details.push(person(app, id).await.unwrap().map(|person| person.name));
        }
        (
            names(team(app, 7).await.unwrap()),
            names(team(app, 8).await.unwrap()),
            headcount(app).await.unwrap(),
            details,
        )
    }

    /// What is in the database.
    async fn origin(app: &App) -> (Vec<String>, Vec<String>, i64, Vec<Option<String>>) {
        let names = |people: Vec<Person>| people.into_iter().map(|person| person.name).collect();
        let mut details = Vec::new();
        for id in 1..=4 {
            details.push(staff::person_uncached(app, id).await.unwrap().map(|person| person.name));
        }
        (
            names(staff::team_uncached(app, 7).await.unwrap()),
            names(staff::team_uncached(app, 8).await.unwrap()),
            staff::headcount_uncached(app).await.unwrap(),
            details,
        )
    }

    async fn both_see_the_origin(&self) -> bool {
        let origin = Self::origin(&self.here).await;
        Self::seen(&self.here).await == origin && Self::seen(&self.there).await == origin
    }
}

fn new(id: i64, team: i32) -> Person {
    Person { id, team, name: format!("person {id}") }
}

/// Renames one, moves another, hires a third.
async fn reorganize(app: &App, name: &str) -> Result<(), ChangeError> {
    in_transaction(app, async |db| {
        staff::rename(app, db, 1, name).await?;
        staff::transfer(app, db, 2, 8).await?;
        staff::hire(app, db, &new(4, 8)).await
    })
    .await
}

#[tokio::test]
async fn c1_what_was_committed_is_seen_by_all_processes_right_after() {
    let stage = Stage::new().await;
    reorganize(&stage.here, "Ada").await.unwrap();
    assert!(stage.both_see_the_origin().await);
    assert_eq!(team(&stage.there, 8).await.unwrap().len(), 2, "a row that is new to a cached list");
    assert_eq!(headcount(&stage.there).await.unwrap(), 4);
}

#[tokio::test]
async fn what_was_rolled_back_changes_and_invalidates_nothing() {
    let stage = Stage::new().await;
    let refused: Result<(), ChangeError> = in_transaction(&stage.here, async |db| {
        staff::rename(&stage.here, db, 1, "Ada").await?;
        // There is one already.
        staff::hire(&stage.here, db, &new(1, 7)).await
    })
    .await;
    assert!(matches!(refused, Err(ChangeError::Database(_))), "{refused:?}");
    assert!(person_entry(&stage.here, 1).peek().await.unwrap().is_some());
    assert!(team_entry(&stage.here, 7).peek().await.unwrap().is_some());
    assert!(headcount_entry(&stage.there).peek().await.unwrap().is_some());
    assert!(stage.both_see_the_origin().await);
}

#[tokio::test]
async fn a_write_without_a_transaction_around_is_an_error() {
    let stage = Stage::new().await;
    let mut db = stage.here.pool.acquire().await.unwrap();
    let refused = staff::rename(&stage.here, &mut db, 1, "Ada").await;
    assert!(matches!(refused, Err(ChangeError::Cache(error)) if error.is_ungathered()));
}

/// Also when COMMIT has been sent and its answer is not there yet.
#[tokio::test]
async fn c1_a_handler_that_is_dropped_at_any_await_leaves_no_old_value() {
    let stage = Stage::new().await;
    // So that COMMIT is on its way for a while.
    meddle(
        &stage.there,
        "CREATE FUNCTION slowly() RETURNS trigger LANGUAGE plpgsql AS $$
             BEGIN PERFORM pg_sleep(0.02); RETURN NULL; END $$;
         CREATE CONSTRAINT TRIGGER slowly AFTER UPDATE ON staff DEFERRABLE INITIALLY DEFERRED
             FOR EACH ROW EXECUTE FUNCTION slowly();",
    )
    .await;
    let (mut dropped, mut whole) = (0, 0);
    // An answer may be there at once, so one number of polls does not always reach equally far.
    for most in (1..=8).cycle().take(24).chain([u32::MAX]) {
        stage.fill().await;
        let rename = in_transaction(&stage.here, async |db| {
            tokio::task::yield_now().await;
            staff::rename(&stage.here, db, 1, &format!("name {dropped} {whole}")).await?;
            tokio::task::yield_now().await;
            staff::rename(&stage.here, db, 3, &format!("other {dropped} {whole}")).await
        });
        if polled(rename, most).await.is_some() {
            whole += 1;
        } else {
            dropped += 1;
        }
        eventually("all see what is in the database", async || stage.both_see_the_origin().await)
            .await;
    }
    assert!(dropped >= 6 && whole >= 1, "{dropped} dropped, {whole} not");
}

#[tokio::test]
async fn c1_a_commit_that_is_applied_and_reported_as_failed_is_invalidated() {
    let stage = Stage::new().await;
    let reported: Result<(), ChangeError> = in_transaction(&stage.here, async |db| {
        staff::rename(&stage.here, db, 1, "Ada").await?;
        sqlx::query("COMMIT").execute(&mut *db).await?;
        // What comes next, the commit itself, finds the connection gone.
        let _ = sqlx::query("SELECT pg_terminate_backend(pg_backend_pid())").execute(db).await;
        Ok(())
    })
    .await;
    assert!(matches!(reported, Err(ChangeError::Database(_))), "{reported:?}");
    eventually("all see it", async || stage.both_see_the_origin().await).await;
    assert_eq!(person(&stage.there, 1).await.unwrap().unwrap().name, "Ada");
}

/// A change by somebody who knows of no cache.
async fn meddle(app: &App, statement: &str) {
    sqlx::raw_sql(statement).execute(&app.pool).await.unwrap();
}

#[tokio::test]
async fn a_change_behind_the_applications_back_is_followed() {
    let stage = Stage::new().await;
    let following = tokio::spawn(changes::follow(stage.here.clone()));
    for statement in [
        "UPDATE staff SET name = 'Grace' WHERE id = 2",
        "INSERT INTO staff VALUES (4, 8, 'Edsger')",
        "UPDATE staff SET team = 8 WHERE id = 1",
        "DELETE FROM staff WHERE id = 3",
        "TRUNCATE staff",
    ] {
        stage.fill().await;
        meddle(&stage.there, statement).await;
        eventually(statement, async || stage.both_see_the_origin().await).await;
    }
    following.abort();
}

#[tokio::test]
async fn no_change_is_lost_while_the_listener_is_away() {
    let stage = Stage::new().await;
    let following = tokio::spawn(changes::follow(stage.here.clone()));
    for round in 0..5 {
        stage.fill().await;
        meddle(
            &stage.there,
            &format!(
                "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE query LIKE 'LISTEN%';
                 UPDATE staff SET name = 'name {round}' WHERE id = 1;"
            ),
        )
        .await;
        meddle(&stage.there, &format!("UPDATE staff SET name = 'other {round}' WHERE id = 2"))
            .await;
        eventually("all see it", async || stage.both_see_the_origin().await).await;
    }
    following.abort();
    assert!(following.await.is_err_and(|ended| ended.is_cancelled()));
    // And while there is none at all.
    stage.fill().await;
    meddle(&stage.there, "UPDATE staff SET name = 'late' WHERE id = 3").await;
    let following = tokio::spawn(changes::follow(stage.here.clone()));
    eventually("all see it", async || stage.both_see_the_origin().await).await;
    following.abort();
}

/// It has written its row first, and is visible last.
#[tokio::test]
async fn a_transaction_that_commits_behind_a_later_one_is_not_skipped() {
    let stage = Stage::new().await;
    let mut slow = stage.there.pool.begin().await.unwrap();
    sqlx::raw_sql("UPDATE staff SET name = 'slow' WHERE id = 1").execute(&mut *slow).await.unwrap();
    meddle(&stage.there, "UPDATE staff SET name = 'quick' WHERE id = 2").await;
    changes::catch_up(&stage.here).await.unwrap();
    assert!(stage.both_see_the_origin().await);
    changes::catch_up(&stage.here).await.unwrap();
    let quick = person_entry(&stage.here, 2).peek().await.unwrap();
    assert!(quick.is_some(), "what was read is not read again as long as the slow one runs");
    slow.commit().await.unwrap();
    changes::catch_up(&stage.here).await.unwrap();
    assert_eq!(person(&stage.there, 1).await.unwrap().unwrap().name, "slow");
    assert!(stage.both_see_the_origin().await);
    assert_eq!(written_down(&stage).await, 0, "what is done is not kept for ever");
}

async fn written_down(stage: &Stage) -> usize {
    changes::catch_up(&stage.here).await.unwrap();
    let left = sqlx::query("SELECT 1 FROM cache_changes").fetch_all(&stage.here.pool);
    left.await.unwrap().len()
}

#[tokio::test]
async fn after_more_changes_than_are_worth_it_everything_is_invalidated() {
    let stage = Stage::new().await;
    let many = "INSERT INTO staff SELECT n, n, 'new' FROM generate_series(10, 6000) n";
    meddle(&stage.there, many).await;
    changes::catch_up(&stage.here).await.unwrap();
    assert!(stage.both_see_the_origin().await);
    assert_eq!(written_down(&stage).await, 0);
    let one = "UPDATE staff SET name = 'Ada' WHERE id = 1";
    meddle(&stage.there, one).await;
    changes::catch_up(&stage.here).await.unwrap();
    assert!(person_entry(&stage.here, 2).peek().await.unwrap().is_some(), "and then one by one");
    assert!(stage.both_see_the_origin().await);
}

/// Numbers of transactions begin anew there.
#[tokio::test]
async fn a_dump_that_was_restored_into_another_cluster_is_followed() {
    let stage = Stage::new().await;
    meddle(
        &stage.there,
        "UPDATE cache_position SET seen = '99999999:99999999:';
         INSERT INTO cache_changes VALUES ('99999998', 'person:2');
         UPDATE staff SET name = 'Ada' WHERE id = 1;",
    )
    .await;
    changes::catch_up(&stage.here).await.unwrap();
    assert!(stage.both_see_the_origin().await);
    meddle(&stage.there, "UPDATE staff SET name = 'Grace' WHERE id = 3").await;
    changes::catch_up(&stage.here).await.unwrap();
    assert!(stage.both_see_the_origin().await);
    assert_eq!(written_down(&stage).await, 0);
}
