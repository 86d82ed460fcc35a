//! `struct boot_params`, the zero page. C header: `arch/x86/include/uapi/asm/bootparam.h`, v7.2 and
//! v7.3; rules: `Documentation/arch/x86/boot.rst`, "64-bit Boot Protocol".

use alloc::vec;
use alloc::vec::Vec;

use kho::PhysAddr;
use kimage::BzImage;
use kimage::bzimage::{LoadFlags, SETUP_HEADER_OFFSET};

use crate::memory_map::MemoryMap;

/// `acpi_rsdp_addr`.
const RSDP_OFFSET: usize = 0x70;
/// `ext_ramdisk_image`: the high half of the address; then the high half of the size.
const EXT_RAMDISK_IMAGE_OFFSET: usize = 0xc0;
const EXT_RAMDISK_SIZE_OFFSET: usize = 0xc4;
/// `ext_cmd_line_ptr`.
const EXT_CMD_LINE_OFFSET: usize = 0xc8;
/// `e820_entries`.
pub(crate) const E820_COUNT_OFFSET: usize = 0x1e8;
/// `hdr.type_of_loader`.
const LOADER_TYPE_OFFSET: usize = 0x210;
/// A boot loader without a number of its own.
const LOADER_TYPE: u8 = 0xff;
/// `hdr.loadflags`.
const LOAD_FLAGS_OFFSET: usize = 0x211;
/// `hdr.ramdisk_image`, `hdr.ramdisk_size`: low halves.
const RAMDISK_IMAGE_OFFSET: usize = 0x218;
const RAMDISK_SIZE_OFFSET: usize = 0x21c;
/// `hdr.cmd_line_ptr`: the low half.
const CMD_LINE_OFFSET: usize = 0x228;
/// `hdr.setup_data`.
const SETUP_DATA_OFFSET: usize = 0x250;
/// `e820_table`.
pub(crate) const E820_TABLE_OFFSET: usize = 0x2d0;
const BYTES: usize = 4096;

/// Where things are that `boot_params` points to.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Pointers {
    pub(crate) command_line: PhysAddr,
    /// Address and bytes.
    pub(crate) initrd: Option<(PhysAddr, u64)>,
    pub(crate) setup_data: PhysAddr,
    pub(crate) rsdp: Option<PhysAddr>,
}

/// Fills a zero page: the image's own header, then what a boot loader has to say.
pub(crate) fn zero_page(kernel: &BzImage<'_>, map: &MemoryMap, to: Pointers) -> Vec<u8> {
    let mut page = vec![0; BYTES];
    let mut put = |offset: usize, bytes: &[u8]| {
        let room = page.iter_mut().skip(offset);
        room.zip(bytes).for_each(|(to, from)| *to = *from);
    };
    put(SETUP_HEADER_OFFSET, kernel.setup_header());
    put(LOADER_TYPE_OFFSET, &[LOADER_TYPE]);
    let load_flags = kernel.load_flags().0 | LoadFlags::LOADED_HIGH.0;
    put(LOAD_FLAGS_OFFSET, &[load_flags]);
    put_split(
        &mut put,
        [CMD_LINE_OFFSET, EXT_CMD_LINE_OFFSET],
        to.command_line.0,
    );
    let (addr, bytes) = to.initrd.unwrap_or((PhysAddr(0), 0));
    let image = [RAMDISK_IMAGE_OFFSET, EXT_RAMDISK_IMAGE_OFFSET];
    put_split(&mut put, image, addr.0);
    let size = [RAMDISK_SIZE_OFFSET, EXT_RAMDISK_SIZE_OFFSET];
    put_split(&mut put, size, bytes);
    put(SETUP_DATA_OFFSET, &to.setup_data.0.to_le_bytes());
    let rsdp = to.rsdp.unwrap_or(PhysAddr(0));
    put(RSDP_OFFSET, &rsdp.0.to_le_bytes());
    // At most `memory_map::MAX_ENTRIES`, so it fits in a byte and the table in the page.
    let count = u8::try_from(map.entries().len()).unwrap_or(u8::MAX);
    put(E820_COUNT_OFFSET, &[count]);
    put(E820_TABLE_OFFSET, &map.to_table());
    page
}

/// The ACPI root pointer in a `struct boot_params`; `None` when nobody told the kernel, which then
/// looks for it in the BIOS area.
pub fn rsdp(boot_params: &[u8]) -> Option<PhysAddr> {
    let bytes = boot_params.get(RSDP_OFFSET..)?.first_chunk()?;
    let addr = u64::from_le_bytes(*bytes);
    (addr != 0).then_some(PhysAddr(addr))
}

/// Puts a value into two fields of 32 bits: the low half, then the high half.
fn put_split(put: &mut impl FnMut(usize, &[u8]), [low, high]: [usize; 2], value: u64) {
    let bytes = value.to_le_bytes();
    let (low_half, high_half) = bytes.split_at(4);
    put(low, low_half);
    put(high, high_half);
}
