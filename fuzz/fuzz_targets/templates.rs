#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| redis_cached_tests_fuzz::target("templates")(data));
