//! Tags over parameters, over what is returned, and by a closure.

use redis_cached::{Cache, redis_cached, tag};
use serde::{Deserialize, Serialize};

#[derive(Clone, Debug, Serialize, Deserialize)]
struct User {
    org: u64,
    region: Option<String>,
    teams: Vec<u32>,
}

type Answer<T> = Result<T, std::io::Error>;

fn user(id: u64) -> User {
    User { org: id, region: None, teams: vec![1, 2] }
}

/// `team` is in a tag only: calls that differ in it have different tags.
#[redis_cached(key = "user:{id}", ttl = "5m", tags = ["team:{team}", "users", "org:{ret.org}", "region:{ret.region?}"])]
async fn load(team: u32, id: u64) -> Answer<Option<User>> {
    tag(format!("user:{id}"));
    Ok((team > 0).then(|| user(id)))
}

/// A whole value, a method of it, a hash of it.
#[redis_cached(key = "count:{org}", ttl = "5m", tags = ["count:{ret}"])]
async fn count(org: u64) -> u64 {
    org
}

#[redis_cached(
    key = "teams:{id}", ttl = "5m", refresh_before = "1m", tags = ["len:{ret.len()}", "all:{ret:hash}"],
    tags_with = |teams| teams.iter().map(|team| format!("team:{team}"))
)]
async fn teams(id: u64) -> Vec<u32> {
    user(id).teams
}

fn of_user(user: &User) -> Vec<&'static str> {
    if user.teams.is_empty() { vec![] } else { vec!["with-teams"] }
}

#[redis_cached(key = "path:{id}", ttl = "5m", tags_with = of_user)]
async fn by_path(id: u64) -> User {
    user(id)
}

struct Repo {
    tenant: u32,
}

trait Kind {
    const KIND: &'static str;
}

#[redis_cached::methods]
impl Repo {
    #[redis_cached(key = "repo:{self.tenant}:{T::KIND}:{id}", ttl = "5m", tags = ["tenant:{self.tenant}", "kind:{T::KIND}"])]
    async fn find<T: Kind>(&self, id: u64) -> u64 {
        id
    }

    #[redis_cached(key = "by_name:{name}", ttl = "5m", tags = ["tenant:{self.tenant}", "name:{name}"], skip(self))]
    async fn by_name(&self, name: &str) -> String {
        name.to_owned()
    }
}

struct Admin;

impl Kind for Admin {
    const KIND: &'static str = "admin";
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let cache = Cache::builder().url("memory://").build().await?;
    let all = async {
        let repo = Repo { tenant: 3 };
        for tag in
            ["team:7", "users", "org:5", "user:5", "count:5", "len:2", "team:1", "with-teams", "tenant:3", "name:a:b", "kind:admin"]
        {
            load(7, 5).await?;
            count(5).await;
            teams(5).await;
            by_path(5).await;
            repo.find::<Admin>(5).await;
            repo.by_name("a:b").await;
            redis_cached::invalidate_tags([tag]).await?;
            let left = [
                load_entry(7, 5).peek().await?.is_some(),
                count_entry(5).peek().await?.is_some(),
                teams_entry(5).peek().await?.is_some(),
                by_path_entry(5).peek().await?.is_some(),
                repo.find_entry::<Admin>(5).peek().await?.is_some(),
                repo.by_name_entry("a:b").peek().await?.is_some(),
            ];
            let gone = left.iter().filter(|left| !**left).count();
            assert_eq!(gone, if tag == "tenant:3" { 2 } else { 1 }, "{tag}: {left:?}");
        }
        Ok::<(), Box<dyn std::error::Error>>(())
    };
    cache.scope(all).await
}
