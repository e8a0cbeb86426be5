use redis_cached::redis_cached;

struct Repo;

trait Load {
    async fn load(&self, id: u64) -> u64;
    async fn find(&self, name: &str) -> u64;
    async fn list(&self) -> Vec<u64>;
}

#[redis_cached::methods]
impl Load for Repo {
    #[redis_cached(key = "user:{idd}", ttl = "5m", skip(self))]
    async fn load(&self, id: u64) -> u64 {
        id
    }

    #[redis_cached(key = "find:{name}", skip(self))]
    async fn find(&self, name: &str) -> u64 {
        name.len() as u64
    }

    // What is right has what belongs to it, in spite of the others.
    #[redis_cached(key = "list", ttl = "5m", skip(self))]
    async fn list(&self) -> Vec<u64> {
        Vec::new()
    }
}

async fn caller(repo: &Repo) -> u64 {
    let _ = repo.list_refresh().await;
    repo.load(1).await + repo.find("a").await
}

fn main() {
    let _ = caller(&Repo);
}
