//! Fuzzes the problem documents; what must hold is in `src/problem.rs`.
#![no_main]

libfuzzer_sys::fuzz_target!(|input: &[u8]| hyperfleet_fuzz::problem::check(input));
