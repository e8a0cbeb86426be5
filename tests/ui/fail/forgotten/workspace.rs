use redis_cached::redis_cached;

#[derive(Clone)]
struct Pool;

#[derive(serde::Serialize, serde::Deserialize)]
struct Document {
    id: u64,
}

#[redis_cached(key = "document:{document_id}", ttl = "10m", skip(pool))]
async fn document(pool: &Pool, workspace_id: u64, document_id: u64) -> Option<Document> {
    let _ = (pool, workspace_id);
    Some(Document { id: document_id })
}

fn main() {}
