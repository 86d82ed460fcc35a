//! The target `symbol_elf` of the crate `fuzz`.
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| fuzz::parse("symbol_elf", bytes));
