//! Pages of a handover of Linux 7.3.4, for tests.

use std::io::Read as _;
use std::vec::Vec;

/// The first `bytes` of the recorded page at `addr`.
pub(crate) fn page(addr: u64, bytes: usize) -> Vec<u8> {
    let packed: &[u8] = include_bytes!("../../handover/testdata/linux-7.3.4/pages.zst");
    let index = include_str!("../../handover/testdata/linux-7.3.4/index.txt");
    let line = std::format!("{addr:#x}");
    let number = index
        .lines()
        .position(|entry| entry.split(' ').next() == Some(&line))
        .unwrap();
    let mut pages = Vec::new();
    ruzstd::decoding::StreamingDecoder::new(packed)
        .unwrap()
        .read_to_end(&mut pages)
        .unwrap();
    let start = number * 4096;
    pages[start..start + bytes].to_vec()
}
