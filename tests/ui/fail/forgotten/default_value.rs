use redis_cached::redis_cached;

struct Settings;

impl Settings {
    async fn get(&self, name: &str) -> Option<u32> {
        name.parse().ok()
    }
}

#[redis_cached(key = "setting:{name}", ttl = "5m", skip(settings))]
async fn setting(settings: &Settings, name: &str, default: u32) -> u32 {
    settings.get(name).await.unwrap_or(default)
}

fn main() {}
