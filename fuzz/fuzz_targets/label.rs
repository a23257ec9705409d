//! Fuzzes the rules for labels; what must hold is in `src/label.rs`.
#![no_main]

libfuzzer_sys::fuzz_target!(|input: &[u8]| hyperfleet_fuzz::label::check(input));
