//! `#[redis_put]`: what a writer puts, in front of other processes.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use redis_cached::{Cache, redis_cached, redis_invalidate, redis_put};
use redis_cached_tests::{Gate, eventually, in_time};
use tokio::task::{JoinHandle, JoinSet, yield_now};

use crate::stage::Stage;

/// A row, which counts its writes.
type Row = Arc<AtomicUsize>;

#[redis_cached(
    key = "put:{id}", ttl = "5m", refresh_before = "1m", wait = "1m", jitter = "0%", tags = ["put-team:{team}"],
    clearable, cache = cache, skip(cache, row, gate)
)]
async fn read(team: u32, id: u64, cache: &Cache, row: &Row, gate: &Gate) -> usize {
    let _ = cache;
    let read = row.load(Ordering::SeqCst);
    gate.pass().await;
    read
}

/// The same row in another form.
#[redis_cached(key = "put:{id}", ttl = "5m", jitter = "0%", cache = cache, skip(cache, row))]
async fn read_as_text(id: u64, cache: &Cache, row: &Row) -> String {
    let _ = cache;
    yield_now().await;
    row.load(Ordering::SeqCst).to_string()
}

#[redis_cached(key = "put-list:{number}", ttl = "5m", wait = "1m", cache = cache, skip(cache, row, gate))]
async fn list(number: usize, cache: &Cache, row: &Row, gate: &Gate) -> usize {
    let read = row.load(Ordering::SeqCst);
    gate.pass().await;
    read_entry(1, 7, cache).prime(read);
    read
}

/// `UPDATE .. RETURNING`, and then it takes its time.
#[redis_put(read(1, 7, cache), cache = cache, on_failure = "retry")]
async fn write(cache: &Cache, row: &Row, gate: &Gate) -> Result<usize, String> {
    let _ = cache;
    let written = row.fetch_add(1, Ordering::SeqCst) + 1;
    gate.pass().await;
    if written == 666 { Err("the number of the beast".to_owned()) } else { Ok(written) }
}

#[redis_invalidate(read(1, 7, cache), cache = cache, on_failure = "retry")]
async fn write_and_invalidate(cache: &Cache, row: &Row) {
    let _ = cache;
    row.fetch_add(1, Ordering::SeqCst);
    yield_now().await;
}

async fn stored(cache: &Cache) -> Option<usize> {
    read_entry(1, 7, cache).peek().await.unwrap().map(|seen| seen.value)
}

/// A write that has committed and not returned.
async fn writing(cache: &Cache, row: &Row, gate: &Gate) -> JoinHandle<Result<usize, String>> {
    let (cache, row, own) = (cache.clone(), row.clone(), gate.clone());
    let call = tokio::spawn(async move { write(&cache, &row, &own).await });
    gate.started(1).await;
    call
}

async fn written(call: JoinHandle<Result<usize, String>>, gate: &Gate) -> usize {
    gate.let_all_go();
    in_time("the writer returns", call).await.expect("it does not panic").expect("it succeeds")
}

pub(super) async fn c1_what_is_put_is_served_in_every_process(stage: Stage) {
    let ((a, b), row, never) = (stage.two().await, Row::default(), Gate::closed());
    for cache in [&a, &b, &a] {
        let value = write(cache, &row, &Gate::open()).await.unwrap();
        for cache in [&b, &a] {
            let read = read(1, 7, cache, &row, &never);
            assert_eq!(in_time("it is a hit", read).await, value);
        }
    }
    // By whatever it is invalidated otherwise, it is.
    for way in 0..3 {
        write(&a, &row, &Gate::open()).await.unwrap();
        match way {
            0 => b.invalidate_tags(["put-team:1"]).await.unwrap(),
            1 => read_all(&b).invalidate().await.unwrap(),
            _ => read_entry(1, 7, &b).invalidate().await.unwrap(),
        }
        assert_eq!(stored(&a).await, None, "{way}");
    }
}

pub(super) async fn c1_what_another_process_touches_during_the_body_is_not_put(stage: Stage) {
    for there in [false, true] {
        for act in 0..10 {
            let ((a, b), row, gate) = (stage.two().await, Row::default(), Gate::closed());
            let open = Gate::open();
            read_entry(1, 7, &a).invalidate().await.unwrap();
            if there {
                read(1, 7, &b, &row, &open).await;
            }
            let call = writing(&a, &row, &gate).await;
            let (what, expected) = match act {
                0 => ("nothing", Some(1)),
                1 => {
                    read_entry(1, 8, &b).invalidate().await.unwrap();
                    b.invalidate_tags(["put-team:2"]).await.unwrap();
                    ("others", Some(1))
                }
                2 => {
                    read_entry(1, 7, &b).invalidate().await.unwrap();
                    ("key", None)
                }
                3 => {
                    b.invalidate_tags(["put-team:1"]).await.unwrap();
                    ("tag", None)
                }
                4 => {
                    read_all(&b).invalidate().await.unwrap();
                    ("all", None)
                }
                5 => {
                    read_entry(1, 7, &b).expire().await.unwrap();
                    ("expire", None)
                }
                6 => {
                    read_entry(1, 7, &b).set(99).await.unwrap();
                    ("set", None)
                }
                7 => {
                    read_refresh(1, 7, &b, &row, &open).await;
                    ("refresh", None)
                }
                8 => {
                    write(&b, &row, &open).await.unwrap();
                    ("another put", None)
                }
                _ => {
                    write_and_invalidate(&b, &row).await;
                    ("another writer", None)
                }
            };
            written(call, &gate).await;
            for cache in [&a, &b] {
                assert_eq!(stored(cache).await, expected, "{what}, there: {there}");
            }
        }
    }
}

pub(super) async fn c1_clearing_during_the_body_keeps_a_put_away(stage: Stage) {
    for clearable in [false, true] {
        let (a, b) = if clearable { stage.two_clearable().await } else { stage.two().await };
        for recreated in [false, true] {
            let (row, gate) = (Row::default(), Gate::closed());
            let call = writing(&a, &row, &gate).await;
            b.clear().await.unwrap();
            if recreated {
                list(1, &b, &row, &Gate::open()).await;
                read_entry(1, 7, &b).invalidate().await.unwrap();
            }
            written(call, &gate).await;
            assert_eq!(stored(&b).await, None, "{clearable} {recreated}");
            b.clear().await.unwrap();
        }
    }
}

pub(super) async fn c1_two_writers_leave_the_last_value_or_none(stage: Stage) {
    for last_ends_first in [false, true] {
        for read_between in [false, true] {
            let ((a, b), row) = (stage.two().await, Row::default());
            read_entry(1, 7, &a).invalidate().await.unwrap();
            let gates = [Gate::closed(), Gate::closed()];
            let first = writing(&a, &row, &gates[0]).await;
            let last = writing(&b, &row, &gates[1]).await;
            let mut ends = [(first, &gates[0]), (last, &gates[1])];
            if last_ends_first {
                ends.reverse();
            }
            for (call, gate) in ends {
                let value = written(call, gate).await;
                for cache in [&a, &b] {
                    let stored = stored(cache).await;
                    assert!(stored.is_none_or(|stored| stored >= value), "{stored:?} of {value}");
                }
                if read_between {
                    assert!(read(1, 7, &b, &row, &Gate::open()).await >= value);
                }
            }
            for cache in [&a, &b] {
                let stored = stored(cache).await;
                assert!(stored.is_none_or(|stored| stored == 2), "{stored:?}");
            }
        }
    }
}

/// At once, with no gates, on many threads: whatever happens, nothing older than the last is left.
pub(super) async fn c1_many_writers_of_one_row_leave_the_last_value_or_none(stage: Stage) {
    let ((a, b), open) = (stage.two().await, Gate::open());
    let mut put = 0;
    for round in 0..30 {
        let row = Row::default();
        read_entry(1, 7, &a).invalidate().await.unwrap();
        let mut parts = JoinSet::new();
        for part in 0..12 {
            let cache = if part % 2 == 0 { a.clone() } else { b.clone() };
            let (row, open) = (row.clone(), open.clone());
            parts.spawn(async move {
                match part % 4 {
                    0 | 1 => {
                        let value = write(&cache, &row, &open).await.unwrap();
                        let stored = stored(&cache).await;
                        assert!(
                            stored.is_none_or(|stored| stored >= value),
                            "{stored:?} of {value}"
                        );
                    }
                    2 => drop(list(12 * round + part, &cache, &row, &open).await),
                    _ => drop(read(1, 7, &cache, &row, &open).await),
                }
            });
        }
        in_time("everybody ends", parts.join_all()).await;
        let (last, stored) = (row.load(Ordering::SeqCst), stored(&b).await);
        assert!(stored.is_none_or(|stored| stored == last), "{stored:?} of {last}");
        // One alone is put.
        let value = write(&a, &row, &open).await.unwrap();
        put += usize::from(self::stored(&b).await == Some(value));
    }
    assert_eq!(put, 30);
}

pub(super) async fn c1_who_computes_meanwhile_is_not_stored(stage: Stage) {
    let ((a, b), row, gate) = (stage.two().await, Row::default(), Gate::closed());
    let reading = {
        let (b, row, gate) = (b.clone(), row.clone(), gate.clone());
        tokio::spawn(async move { read(1, 7, &b, &row, &gate).await })
    };
    gate.started(1).await;
    write(&a, &row, &Gate::open()).await.unwrap();
    for cache in [&a, &b] {
        let late = read(1, 7, cache, &row, &gate);
        assert_eq!(in_time("it does not wait for the old body", late).await, 1);
    }
    gate.let_all_go();
    assert_eq!(in_time("the old call", reading).await.unwrap(), 0);
    for cache in [&a, &b] {
        assert_eq!(stored(cache).await, Some(1), "its commit was refused");
    }
}

pub(super) async fn c1_a_list_that_was_read_before_does_not_prime_what_is_put_behind(stage: Stage) {
    let ((a, b), row, gate) = (stage.two().await, Row::default(), Gate::closed());
    let reading = {
        let (b, row, gate) = (b.clone(), row.clone(), gate.clone());
        tokio::spawn(async move { list(0, &b, &row, &gate).await })
    };
    gate.started(1).await;
    write(&a, &row, &Gate::open()).await.unwrap();
    gate.let_all_go();
    in_time("the list", reading).await.unwrap();
    assert_eq!(stored(&b).await, Some(1));
}

/// In a rolling deploy each half has an entry of its own under the key.
pub(super) async fn c1_a_put_reaches_every_entry_under_its_key(stage: Stage) {
    let ((a, b), row, open) = (stage.two().await, Row::default(), Gate::open());
    read(1, 7, &a, &row, &open).await;
    assert_eq!(read_as_text(7, &b, &row).await, "0");
    assert_eq!(stored(&a).await, Some(0), "both stand in one string");
    write(&a, &row, &open).await.unwrap();
    assert_eq!(stored(&a).await, Some(1));
    assert_eq!(read_as_text(7, &b, &row).await, "1", "the other half is served an old value");
}

pub(super) async fn c1_a_failed_or_dropped_writer_invalidates(stage: Stage) {
    let ((a, b), open) = (stage.two().await, Gate::open());
    for fails in [false, true] {
        let (row, gate) = (Row::new(AtomicUsize::new(665)), Gate::closed());
        read(1, 7, &b, &row, &open).await;
        let call = writing(&a, &row, &gate).await;
        assert_eq!(stored(&b).await, Some(665));
        if fails {
            gate.let_all_go();
            in_time("it fails", call).await.unwrap().unwrap_err();
            assert_eq!(stored(&b).await, None, "before it returns");
        } else {
            call.abort();
            in_time("it is dropped", call).await.unwrap_err();
            eventually("it is invalidated", async || stored(&b).await.is_none()).await;
        }
        // For ten seconds again: nothing to wait for here.
    }
}

pub(super) async fn c3_what_is_put_is_as_old_as_its_body(stage: Stage) {
    let ((a, b), row, gate) = (stage.two().await, Row::default(), Gate::closed());
    let call = writing(&a, &row, &gate).await;
    // It is the time that must pass.
    let held = Duration::from_millis(80);
    tokio::time::sleep(held).await;
    written(call, &gate).await;
    let left = read_entry(1, 7, &b).ttl().await.unwrap().expect("it is put");
    assert!(left + held <= Duration::from_secs(300), "{left:?}");
}
