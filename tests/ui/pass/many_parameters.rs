#![deny(warnings)]

use redis_cached::redis_cached;

#[redis_cached(
    key = "many:{a}:{b}:{c}:{d}:{e}:{f}:{g}:{h}:{i}:{j}:{k}:{l}:{m}:{n}",
    ttl = "5m",
    refresh_before = "10%"
)]
#[allow(clippy::many_single_char_names, clippy::too_many_arguments)]
async fn many(
    a: u8,
    b: u16,
    c: u32,
    d: u64,
    e: u128,
    f: i8,
    g: i16,
    h: bool,
    i: char,
    j: String,
    k: &str,
    l: std::net::IpAddr,
    m: std::num::NonZeroU8,
    n: usize,
) -> String {
    format!("{a}{b}{c}{d}{e}{f}{g}{h}{i}{j}{k}{l}{m}{n}")
}

fn main() {
    let _ = many;
}
