//! Compression, both ways.

use redis_cached_runtime::fuzzing::{Compression, MAX_VALUE, compress, expand};

use crate::input::Input;
use crate::memory::{SLACK, within};

/// Any bytes are expanded into no more than a value may have, and what was compressed comes back.
pub(crate) fn both_ways(data: &[u8]) {
    let mut input = Input(data);
    let by = input.byte() % 4;
    let stored = if input.flag() {
        // A length that does not lie is seldom found by chance.
        let length = u32::try_from(input.below(1 << 14)).expect("it is small");
        [&length.to_le_bytes(), input.0].concat()
    } else {
        input.0.to_vec()
    };
    // LZ4: no byte stands for more than 255. Zstandard says nothing of that, so the limit is that of values.
    let limit = if by == 1 { stored.len() * 256 } else { MAX_VALUE };
    let plain = within(SLACK + limit, "to expand", || expand(by, &stored).map(|plain| plain.len()));
    assert!(plain.unwrap_or(0) <= MAX_VALUE);

    let plain = input.0.repeat(1 + input.below(64));
    for how in [
        Compression::None,
        Compression::Lz4 { above: 0 },
        Compression::Zstd { above: 0 },
        Compression::Lz4 { above: 100 },
    ] {
        let (by, stored) = compress(how, &plain);
        assert!(stored.len() <= plain.len(), "{how:?}");
        assert_eq!(expand(by, &stored).as_deref(), Some(&*plain), "{how:?}");
    }
}
