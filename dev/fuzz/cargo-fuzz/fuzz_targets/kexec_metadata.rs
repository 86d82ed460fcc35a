//! The target `kexec_metadata` of the crate `fuzz`.
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| fuzz::parse("kexec_metadata", bytes));
