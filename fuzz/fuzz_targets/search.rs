//! Fuzzes the search language; what must hold is in `src/search.rs`.
#![no_main]

libfuzzer_sys::fuzz_target!(|input: &[u8]| hyperfleet_fuzz::search::check(input));
