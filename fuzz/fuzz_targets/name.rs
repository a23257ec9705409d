//! Fuzzes the rules for names; what must hold is in `src/name.rs`.
#![no_main]

libfuzzer_sys::fuzz_target!(|input: &[u8]| hyperfleet_fuzz::name::check(input));
