use redis_cached::redis_cached;

#[redis_cached(key = "user:{id}", ttl = "5m", tags = ["t0", "t1", "t2", "t3", "t4", "t5", "t6", "t7", "t8", "t9", "t10", "t11", "t12", "t13", "t14", "t15", "t16", "t17", "t18", "t19", "t20", "t21", "t22", "t23", "t24", "t25", "t26", "t27", "t28", "t29", "t30", "t31", "t32"])]
async fn load(id: u64) -> u64 {
    id
}

fn main() {}
