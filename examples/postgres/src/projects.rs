//! Projects, known by a slug that can change, and who is in them. Cached are a project by its slug, also that there is
//! none, and the list of each person.
//!
//! A rename changes what is cached under the old slug and the new one, and the lists of all members. The function that
//! writes the row says so ([`set_slug`]); who calls it, and how deep, need not know of a cache. What is said there is
//! sent when the transaction around has committed.

use redis_cached::{InvalidateError, redis_cached, redis_invalidate};
use serde::{Deserialize, Serialize};
use sqlx::postgres::PgRow;
use sqlx::{PgConnection, Row as _};

use crate::App;
use crate::transaction::in_transaction;

/// A row.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Project {
    /// By which it is known.
    pub slug: String,
    /// What it is called.
    pub title: String,
}

/// One project. `None` is cached as well: whoever gives a slug has to say so.
///
/// # Errors
///
/// Those of the database.
#[redis_cached(key = "project:{slug}", ttl = "10m", cache = app.cache, skip(app))]
pub async fn project(app: &App, slug: &str) -> sqlx::Result<Option<Project>> {
    let row = sqlx::query("SELECT slug, title FROM projects WHERE slug = $1").bind(slug);
    row.fetch_optional(&app.pool).await?.map(|row| read(&row)).transpose()
}

/// The projects of one person.
///
/// # Errors
///
/// Those of the database.
#[redis_cached(key = "projects-of:{person}", ttl = "10m", cache = app.cache, skip(app))]
pub async fn projects_of(app: &App, person: i64) -> sqlx::Result<Vec<Project>> {
    let rows = sqlx::query(
        "SELECT slug, title FROM projects JOIN project_members ON project = slug
         WHERE person = $1 ORDER BY slug",
    );
    rows.bind(person).fetch_all(&app.pool).await?.iter().map(read).collect()
}

fn read(row: &PgRow) -> sqlx::Result<Project> {
    Ok(Project { slug: row.try_get(0)?, title: row.try_get(1)? })
}

/// Why a change was not made.
#[derive(Debug, thiserror::Error)]
pub enum ChangeError {
    /// The database has refused it.
    #[error(transparent)]
    Database(#[from] sqlx::Error),
    /// Nothing has this slug.
    #[error("there is no project {0:?}")]
    NotFound(String),
    /// A project has this slug, or has had it.
    #[error("the slug {0:?} is taken")]
    Taken(String),
    /// Only members may change a project.
    #[error("{0} is not in this project")]
    NotMember(i64),
    /// It was made outside of [`in_transaction`].
    #[error(transparent)]
    Cache(#[from] InvalidateError),
}

/// The handler of `PUT /projects/{old}/slug`.
///
/// # Errors
///
/// Those of [`rename`]; and when `by` is not a member.
pub async fn put_slug(app: &App, by: i64, old: &str, new: &str) -> Result<(), ChangeError> {
    in_transaction(app, async |db| {
        let members = rename(app, db, old, new).await?;
        if members.contains(&by) { Ok(()) } else { Err(ChangeError::NotMember(by)) }
    })
    .await
}

/// The service: gives a project another slug, one that none has ever had, and tells who is in it. In the transaction of
/// `db`.
///
/// # Errors
///
/// Those of the database and of [`set_slug`]; and when the slug is taken.
pub async fn rename(
    app: &App,
    db: &mut PgConnection,
    old: &str,
    new: &str,
) -> Result<Vec<i64>, ChangeError> {
    let members = set_slug(app, db, old, new).await?;
    claim(db, new).await?;
    Ok(members)
}

/// The repository: writes the new slug, and returns the members.
///
/// Their lists are known when this has returned, which is before the commit. A function that commits by itself would
/// have to know them beforehand, or give the lists a tag: dropped while it commits, it returns nothing.
///
/// With `on_failure = "error"` it does not run outside of a transaction that gathers invalidations.
///
/// # Errors
///
/// Those of the database; when there is no such project; and outside of [`in_transaction`].
#[redis_invalidate(
    project(app, old),
    project(app, new),
    for person in &ret => projects_of(app, *person),
    after_commit,
    on_failure = "error",
)]
pub async fn set_slug(
    app: &App,
    db: &mut PgConnection,
    old: &str,
    new: &str,
) -> Result<Vec<i64>, ChangeError> {
    let update = sqlx::query("UPDATE projects SET slug = $2 WHERE slug = $1").bind(old).bind(new);
    if update.execute(&mut *db).await?.rows_affected() == 0 {
        return Err(ChangeError::NotFound(old.to_owned()));
    }
    // Only now, and not in one statement with the update: that would not see who has joined while it waited for the
    // row. From here on nobody joins until this transaction has ended.
    let members = sqlx::query_scalar("SELECT person FROM project_members WHERE project = $1");
    Ok(members.bind(new).fetch_all(db).await?)
}

async fn claim(db: &mut PgConnection, slug: &str) -> Result<(), ChangeError> {
    let insert = sqlx::query("INSERT INTO project_slugs (slug) VALUES ($1) ON CONFLICT DO NOTHING");
    match insert.bind(slug).execute(db).await?.rows_affected() {
        0 => Err(ChangeError::Taken(slug.to_owned())),
        _ => Ok(()),
    }
}

/// Makes a project that nobody is in yet, in the transaction of `db`.
///
/// # Errors
///
/// Those of the database; when the slug is taken; and outside of [`in_transaction`].
#[redis_invalidate(project(app, &new.slug), after_commit, on_failure = "error")]
pub async fn create(app: &App, db: &mut PgConnection, new: &Project) -> Result<(), ChangeError> {
    claim(db, &new.slug).await?;
    let insert = sqlx::query("INSERT INTO projects (slug, title) VALUES ($1, $2)");
    insert.bind(&new.slug).bind(&new.title).execute(db).await?;
    Ok(())
}

/// Adds a person to a project, in the transaction of `db`.
///
/// # Errors
///
/// Those of the database, also when there is no such project; and outside of [`in_transaction`].
#[redis_invalidate(projects_of(app, person), after_commit, on_failure = "error")]
pub async fn join(
    app: &App,
    db: &mut PgConnection,
    slug: &str,
    person: i64,
) -> Result<(), ChangeError> {
    let insert = sqlx::query("INSERT INTO project_members (project, person) VALUES ($1, $2)");
    insert.bind(slug).bind(person).execute(db).await?;
    Ok(())
}
