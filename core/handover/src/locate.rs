//! Finds handovers in a memory image.

use kho::{PhysAddr, PhysMem, RadixTree, RootFdt};

/// Whether a root FDT is in the page at `addr`, and leads to a tree that can be read to its first
/// node: a page of memory may look like a root by chance, or be left from an earlier boot.
pub fn locate(mem: &impl PhysMem, addr: PhysAddr) -> Option<RootFdt> {
    // Most pages end here, without a page of memory for each.
    let magic: u32 = mem.read_value(addr).ok()?;
    if magic != u32::from_be_bytes([0xd0, 0x0d, 0xfe, 0xed]).to_be() {
        return None;
    }
    let root = RootFdt::read(&mem.read_page(addr).ok()?).ok()?;
    let mut tree = RadixTree::at(root.memory_map).visit(mem);
    matches!(tree.next(), Some(Ok(_))).then_some(root)
}
