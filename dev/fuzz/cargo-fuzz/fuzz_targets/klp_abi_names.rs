//! The target `klp_abi_names` of the crate `fuzz`.
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| fuzz::parse("klp_abi_names", bytes));
