//! Fuzzes the tokens of pages; what must hold is in `src/page_token.rs`.
#![no_main]

libfuzzer_sys::fuzz_target!(|input: &[u8]| hyperfleet_fuzz::page_token::check(input));
