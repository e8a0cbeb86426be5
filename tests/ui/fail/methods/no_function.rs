struct Repo;

#[redis_cached::methods]
impl Repo {
    async fn load(&self, id: u64) -> u64 {
        id
    }
}

fn main() {}
