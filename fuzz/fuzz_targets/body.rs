//! Fuzzes the bodies of requests; what must hold is in `src/body.rs`.
#![no_main]

libfuzzer_sys::fuzz_target!(|input: &[u8]| hyperfleet_fuzz::body::check(input));
