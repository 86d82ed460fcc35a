//! The recorded handover of Linux 7.3.4, the seed of everything that reads handovers.

use std::io::Read as _;
use std::sync::LazyLock;

use handover::PageImage;
use kho::{PageSize, PhysAddr, PhysMemMut as _, SparseMemory};

/// Address of its root FDT.
pub(crate) const ROOT: PhysAddr = PhysAddr(0x5c_c000);
/// Memory of the machine it was taken from.
const RAM: std::ops::Range<u64> = 0x1000..0x4000_0000;
const INDEX: &str = include_str!("../../../core/handover/testdata/linux-7.3.4/index.txt");
const PACKED: &[u8] = include_bytes!("../../../core/handover/testdata/linux-7.3.4/pages.zst");

/// Logs that a kernel found of the one before it.
pub(crate) const PSTORE_KHO: &[u8] =
    include_bytes!("../../../core/handover/testdata/pstore-kho/blob.bin");

/// Its pages, in the order of the index.
pub(crate) static PAGES: LazyLock<Vec<u8>> = LazyLock::new(|| {
    let mut pages = Vec::new();
    if let Ok(mut unpacked) = ruzstd::decoding::StreamingDecoder::new(PACKED) {
        // Nothing is read when the file is damaged; the tests of the crate `handover` say so.
        let _length = unpacked.read_to_end(&mut pages);
    }
    pages
});

/// Pages where the recorded ones were; what is missing at the end is zeros.
pub(crate) fn image(pages: &[u8]) -> Option<PageImage> {
    let mut bytes = pages.to_vec();
    bytes.resize(PAGES.len(), 0);
    PageImage::new(PageSize::Size4K, INDEX, bytes).ok()
}

/// The same in a memory a machine can be started in.
pub(crate) fn memory(image: &PageImage) -> Option<SparseMemory> {
    use kho::PhysMem as _;
    let mut memory = SparseMemory::new(PageSize::Size4K, &[RAM]);
    for addr in image.addresses() {
        let page = image.read_page(addr).ok()?;
        memory.write(addr, &page).ok()?;
    }
    Some(memory)
}
