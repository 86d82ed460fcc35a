//! The few instructions of our own, and the tables they need.
//!
//! Each array stands beside its assembly (Intel syntax); operands that are addresses are filled in
//! little-endian where the comment says so.

use alloc::vec::Vec;

use kho::PhysAddr;

/// Bytes of [`stub64`], rounded up to what the far jump's target needs.
const STUB_BYTES: usize = 0x20;
/// Where the 32-bit entry is in its page: behind the GDT and its descriptor.
pub(crate) const ENTRY32_OFFSET: u64 = 0x40;
/// `__BOOT_CS` and `__BOOT_DS` of boot.rst, "64-bit Boot Protocol".
const BOOT_CS: u8 = 0x10;
const BOOT_DS: u8 = 0x18;
/// Page directory entries per table, each for 2 MiB.
const ENTRIES: u64 = 512;
/// Page directories: 1 GiB each, 4 GiB in all.
const DIRECTORIES: u64 = 4;
const PRESENT_WRITABLE: u64 = 0x3;
const LARGE_PAGE: u64 = 0x80;
const LARGE_PAGE_SHIFT: u32 = 21;

/// Starts the kernel: in long mode, on pages mapped one to one, with no stack, GDT or IDT.
///
/// The kernel wants `boot_params` in RSI and interrupts off (boot.rst, "64-bit Boot Protocol").
pub(crate) fn stub64(boot_params: PhysAddr, kernel_entry: PhysAddr) -> Vec<u8> {
    let mut code = Vec::with_capacity(STUB_BYTES);
    code.push(0xfa); // cli
    code.push(0xfc); // cld
    code.extend([0x48, 0xbe]); // movabs rsi, boot_params
    code.extend(boot_params.0.to_le_bytes());
    code.extend([0x48, 0xb8]); // movabs rax, kernel_entry
    code.extend(kernel_entry.0.to_le_bytes());
    code.extend([0xff, 0xe0]); // jmp rax
    code
}

/// Where the parts of the way into long mode are; all below 4 GiB.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Trampoline {
    /// Page of the GDT and of the 32-bit entry.
    pub(crate) page: u32,
    /// First of [`TABLE_PAGES`] pages.
    pub(crate) tables: u32,
    /// Where [`stub64`] is.
    pub(crate) stub: u32,
}

/// Pages of [`Trampoline::tables`]: one PML4, one PDPT, four page directories.
pub(crate) const TABLE_PAGES: u64 = 6;

impl Trampoline {
    /// GDT, its descriptor and the 32-bit entry. The PVH protocol enters it in protected mode, flat,
    /// without paging (comment at the head of `arch/x86/platform/pvh/head.S`, v7.3).
    pub(crate) fn code(self) -> Vec<u8> {
        let mut page = Vec::new();
        // The GDT at 0: two null descriptors, then 0x10 and 0x18.
        page.extend([0; 16]);
        page.extend(0x00af_9a00_0000_ffff_u64.to_le_bytes()); // 64-bit code, ring 0
        page.extend(0x00cf_9200_0000_ffff_u64.to_le_bytes()); // data, ring 0
        // Its descriptor at 0x20: limit and base.
        let descriptor = self.page.saturating_add(0x20);
        page.extend([0x1f, 0x00]);
        page.extend(self.page.to_le_bytes());
        page.resize(usize::try_from(ENTRY32_OFFSET).unwrap_or_default(), 0);

        page.push(0xfa); // cli
        page.push(0xfc); // cld
        page.extend([0x0f, 0x01, 0x15]); // lgdt [descriptor]
        page.extend(descriptor.to_le_bytes());
        page.extend([0xb8, BOOT_DS, 0, 0, 0]); // mov eax, __BOOT_DS
        page.extend([0x8e, 0xd8]); // mov ds, eax
        page.extend([0x8e, 0xc0]); // mov es, eax
        page.extend([0x8e, 0xd0]); // mov ss, eax
        page.push(0xb8); // mov eax, tables
        page.extend(self.tables.to_le_bytes());
        page.extend([0x0f, 0x22, 0xd8]); // mov cr3, eax
        page.extend([0x0f, 0x20, 0xe0]); // mov eax, cr4
        page.extend([0x83, 0xc8, 0x20]); // or eax, CR4.PAE
        page.extend([0x0f, 0x22, 0xe0]); // mov cr4, eax
        page.extend([0xb9, 0x80, 0x00, 0x00, 0xc0]); // mov ecx, IA32_EFER
        page.extend([0x0f, 0x32]); // rdmsr
        page.extend([0x0d, 0x00, 0x01, 0x00, 0x00]); // or eax, EFER.LME
        page.extend([0x0f, 0x30]); // wrmsr
        page.extend([0x0f, 0x20, 0xc0]); // mov eax, cr0
        page.extend([0x0d, 0x00, 0x00, 0x00, 0x80]); // or eax, CR0.PG
        page.extend([0x0f, 0x22, 0xc0]); // mov cr0, eax
        page.push(0xea); // jmp far __BOOT_CS:stub
        page.extend(self.stub.to_le_bytes());
        page.extend([BOOT_CS, 0]);
        page
    }

    /// Page tables that map the first 4 GiB one to one in pages of 2 MiB.
    pub(crate) fn tables(self) -> Vec<u8> {
        let page = |number: u64| {
            let offset = number.saturating_mul(crate::span::PAGE);
            u64::from(self.tables).saturating_add(offset) | PRESENT_WRITABLE
        };
        let mut words = Vec::new();
        let mut table = |used: &mut dyn Iterator<Item = u64>| {
            let mut entries: Vec<u64> = used.collect();
            entries.resize(usize::try_from(ENTRIES).unwrap_or_default(), 0);
            words.extend(entries);
        };
        table(&mut [page(1)].into_iter());
        table(
            &mut (2..)
                .map(page)
                .take(usize::try_from(DIRECTORIES).unwrap_or_default()),
        );
        for directory in 0..DIRECTORIES {
            let first = directory.saturating_mul(ENTRIES);
            let frames = first..first.saturating_add(ENTRIES);
            table(
                &mut frames.map(|frame| {
                    frame.wrapping_shl(LARGE_PAGE_SHIFT) | PRESENT_WRITABLE | LARGE_PAGE
                }),
            );
        }
        words.iter().flat_map(|word| word.to_le_bytes()).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn word(bytes: &[u8], index: usize) -> u64 {
        u64::from_le_bytes(bytes[index * 8..index * 8 + 8].try_into().unwrap())
    }

    const AT: Trampoline = Trampoline {
        page: 0x10_0000,
        tables: 0x20_0000,
        stub: 0x30_0000,
    };

    #[test]
    fn tables_map_each_address_below_4_gib_to_itself() {
        let tables = AT.tables();
        assert_eq!(tables.len() as u64, TABLE_PAGES * 4096);
        let next = |entry: u64| usize::try_from(entry & !0xfff).unwrap() - 0x20_0000;
        for addr in [0_u64, 0x10_0040, 0x7fff_ffff, 0xffff_ffff] {
            let index = |shift: u32| usize::try_from(addr >> shift & 511).unwrap();
            let pdpt = next(word(&tables, index(39)));
            let directory = next(word(&tables, pdpt / 8 + index(30)));
            let entry = word(&tables, directory / 8 + index(21));
            assert_eq!(entry & 0xfff, 0x83);
            assert_eq!((entry & !0x1f_ffff) | addr & 0x1f_ffff, addr);
        }
        assert_eq!(word(&tables, 512 + 4), 0);
    }

    #[test]
    fn code_names_its_tables_and_ends_in_the_jump() {
        let code = AT.code();
        assert_eq!(code[0x20..0x26], [0x1f, 0, 0, 0, 0x10, 0]);
        assert_eq!(code[0x42..0x49], [0x0f, 0x01, 0x15, 0x20, 0, 0x10, 0]);
        assert!(code.ends_with(&[0xea, 0, 0, 0x30, 0, 0x10, 0]));
        let stub = stub64(PhysAddr(0x1122_3344_5566_7788), PhysAddr(0x99));
        assert!(stub.len() <= STUB_BYTES);
        assert_eq!(word(&stub, 0) >> 32, 0x5566_7788);
        assert!(stub.ends_with(&[0x99, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xe0]));
    }
}
