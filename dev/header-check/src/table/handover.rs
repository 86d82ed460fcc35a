//! Entries of `kho-abi`.

use kho_abi::kexec_handover::{self as kho, VmallocFlags, test_kho};
use kho_abi::memfd::{FolioFlags, FolioSer, MemfdSer, Seals};
use kho_abi::setup_data::{KhoData, SetupData, SetupType};
use kho_abi::{PageSize, block, kexec_metadata, luo, memblock, memfd};
use zerocopy::IntoBytes as _;

use crate::Release;

use super::{Constant, Image, Layout, Table, Text, count, define, enumerator, layout};

const BLOCK: &str = "include/linux/kho/abi/block.h";
const KHO: &str = "include/linux/kho/abi/kexec_handover.h";
const LUO: &str = "include/linux/kho/abi/luo.h";
const MEMBLOCK: &str = "include/linux/kho/abi/memblock.h";
const MEMFD: &str = "include/linux/kho/abi/memfd.h";
const METADATA: &str = "include/linux/kho/abi/kexec_metadata.h";
const SETUP_DATA: &str = "arch/x86/include/uapi/asm/setup_data.h";
const FCNTL: &str = "include/uapi/linux/fcntl.h";
const UTSNAME: &str = "include/uapi/linux/utsname.h";
const KHO_C: &str = "kernel/liveupdate/kexec_handover.c";
const BLOCK_C: &str = "kernel/liveupdate/kho_block.c";
const FLB_C: &str = "kernel/liveupdate/luo_flb.c";
const MEMBLOCK_C: &str = "mm/memblock.c";
const TEST_C: &str = "lib/test_kho.c";

/// Header of `struct kho_scratch`, as C includes it; it moved after 7.2.
pub(super) fn scratch_include(release: Release) -> &'static str {
    if release <= Release::V7_2 {
        "linux/kexec_handover.h"
    } else {
        "asm-generic/kexec_handover.h"
    }
}

/// Adds the entries.
pub(super) fn add(table: &mut Table, release: Release) {
    let scratch = if release <= Release::V7_2 {
        "include/linux/kexec_handover.h"
    } else {
        "include/asm-generic/kexec_handover.h"
    };
    table.layouts.push(layout!(
        scratch,
        "kho_scratch" = kho::Scratch {
            addr: "addr",
            size: "size"
        },
        0
    ));
    table.constants.push(key_width(release, table.page_size));
    table.layouts.extend(layouts());
    if table.page_size == PageSize::Size4K {
        table.layouts.extend(page_layouts());
    } else {
        table
            .not_modelled
            .extend(["kho_vmalloc_chunk", "kho_radix_node", "kho_radix_leaf"]);
    }
    table.constants.extend(page_constants(table.page_size));
    table.constants.extend(constants());
    table.constants.extend(setup_types());
    table.constants.extend(seals());
    table.strings.extend(strings());
    table.images.extend(folio_images());
}

fn layouts() -> Vec<Layout> {
    vec![
        layout!(
            BLOCK,
            "kho_block_header_ser" = block::BlockHeader {
                next: "next",
                count: "count"
            },
            0
        ),
        layout!(KHO, "kho_vmalloc_hdr" = kho::VmallocHdr { next: "next" }, 0),
        layout!(
            KHO,
            "kho_vmalloc" = kho::Vmalloc {
                first: "first",
                total_pages: "total_pages",
                flags: "flags",
                order: "order"
            },
            0
        ),
        layout!(
            LUO,
            "luo_ser" = luo::LuoSer {
                compatible: "compatible",
                liveupdate_num: "liveupdate_num",
                sessions_pa: "sessions_pa",
                flbs_pa: "flbs_pa"
            },
            0
        ),
        layout!(
            LUO,
            "luo_file_ser" = luo::FileSer {
                compatible: "compatible",
                data: "data",
                token: "token"
            },
            0
        ),
        layout!(
            LUO,
            "luo_file_set_ser" = luo::FileSetSer {
                files: "files",
                count: "count"
            },
            0
        ),
        layout!(
            LUO,
            "luo_session_ser" = luo::SessionSer {
                name: "name",
                file_set_ser: "file_set_ser"
            },
            0
        ),
        layout!(
            LUO,
            "luo_flb_header_ser" = luo::FlbHeaderSer {
                pgcnt: "pgcnt",
                count: "count"
            },
            0
        ),
        layout!(
            LUO,
            "luo_flb_ser" = luo::FlbSer {
                name: "name",
                data: "data",
                count: "count"
            },
            0
        ),
        layout!(
            MEMFD,
            "memfd_luo_ser" = MemfdSer {
                pos: "pos",
                size: "size",
                seals: "seals",
                flags: "flags",
                nr_folios: "nr_folios",
                folios: "folios"
            },
            0
        ),
        // The word of bit-fields has no address in C; `folio_images` compares it.
        layout!(
            MEMFD,
            "memfd_luo_folio_ser" = FolioSer { index: "index" },
            8
        ),
        layout!(
            METADATA,
            "kho_kexec_metadata" = kexec_metadata::KexecMetadata {
                version: "version",
                previous_release: "previous_release",
                kexec_count: "kexec_count"
            },
            0
        ),
        layout!(
            SETUP_DATA,
            "setup_data" = SetupData {
                next: "next",
                kind: "type",
                len: "len"
            },
            0
        ),
        layout!(
            SETUP_DATA,
            "kho_data" = KhoData {
                fdt_addr: "fdt_addr",
                fdt_size: "fdt_size",
                scratch_addr: "scratch_addr",
                scratch_size: "scratch_size"
            },
            0
        ),
    ]
}

/// Structures that are one page of 4 KiB.
fn page_layouts() -> Vec<Layout> {
    vec![
        layout!(
            KHO,
            "kho_vmalloc_chunk" = kho::VmallocChunk {
                hdr: "hdr",
                phys: "phys"
            },
            0
        ),
        layout!(KHO, "kho_radix_node" = kho::RadixNode { table: "table" }, 0),
        layout!(
            KHO,
            "kho_radix_leaf" = kho::RadixLeaf { bitmap: "bitmap" },
            0
        ),
    ]
}

/// Bits of a radix key; 7.2 counts them without the one of order 0.
fn key_width(release: Release, page: PageSize) -> Constant {
    let width = u64::from(page.radix_key_width());
    if release <= Release::V7_2 {
        enumerator(KHO, "KHO_ORDER_0_LOG2", width - 1)
    } else {
        enumerator(KHO, "KHO_RADIX_KEY_WIDTH", width)
    }
}

/// Numbers that follow from the page size.
fn page_constants(page: PageSize) -> Vec<Constant> {
    vec![
        define(BLOCK, "KHO_BLOCK_SIZE", count(page.bytes())),
        define(KHO, "KHO_VMALLOC_SIZE", count(page.vmalloc_chunk_entries())),
        enumerator(
            KHO,
            "KHO_TABLE_SIZE_LOG2",
            u64::from(page.radix_table_bits()),
        ),
        enumerator(
            KHO,
            "KHO_BITMAP_SIZE_LOG2",
            u64::from(page.radix_bitmap_bits()),
        ),
        enumerator(KHO, "KHO_TREE_MAX_DEPTH", u64::from(page.radix_levels())),
    ]
}

fn constants() -> Vec<Constant> {
    vec![
        define(BLOCK_C, "KHO_MAX_BLOCKS", block::MAX_BLOCKS),
        define(KHO_C, "KHO_PAGE_MAGIC", u64::from(kho::PAGE_MAGIC)),
        define(KHO_C, "KHO_VMALLOC_ALLOC", u64::from(VmallocFlags::ALLOC.0)),
        define(
            KHO_C,
            "KHO_VMALLOC_HUGE_VMAP",
            u64::from(VmallocFlags::HUGE_VMAP.0),
        ),
        define(TEST_C, "KHO_TEST_MAGIC", u64::from(test_kho::MAGIC)),
        define(LUO, "LUO_ABI_COMPAT_LEN", count(luo::COMPATIBLE_LENGTH)),
        define(
            LUO,
            "LIVEUPDATE_HNDL_COMPAT_LENGTH",
            count(luo::HANDLER_COMPATIBLE_LENGTH),
        ),
        define(
            LUO,
            "LIVEUPDATE_FLB_COMPAT_LENGTH",
            count(luo::FLB_COMPATIBLE_LENGTH),
        ),
        define(FLB_C, "LUO_FLB_PGCNT", luo::FLB_PAGE_COUNT),
        define(
            METADATA,
            "KHO_KEXEC_METADATA_VERSION",
            u64::from(kexec_metadata::VERSION),
        ),
        define(
            UTSNAME,
            "__NEW_UTS_LEN",
            count(kexec_metadata::RELEASE_LENGTH - 1),
        ),
        define(
            MEMBLOCK_C,
            "RESERVE_MEM_NAME_SIZE",
            count(memblock::LABEL_LENGTH),
        ),
        define(
            MEMBLOCK_C,
            "RESERVE_MEM_MAX_ENTRIES",
            count(memblock::MAX_REGIONS),
        ),
        define(
            MEMFD,
            "MEMFD_LUO_FOLIO_DIRTY",
            u64::from(FolioFlags::DIRTY.0),
        ),
        define(
            MEMFD,
            "MEMFD_LUO_FOLIO_UPTODATE",
            u64::from(FolioFlags::UPTODATE.0),
        ),
        define(MEMFD, "MEMFD_LUO_ALL_SEALS", u64::from(Seals::ALL.0)),
    ]
}

fn setup_types() -> Vec<Constant> {
    let of = |name, kind: SetupType| define(SETUP_DATA, name, u64::from(kind.0));
    vec![
        of("SETUP_NONE", SetupType::NONE),
        of("SETUP_E820_EXT", SetupType::E820_EXT),
        of("SETUP_DTB", SetupType::DTB),
        of("SETUP_PCI", SetupType::PCI),
        of("SETUP_EFI", SetupType::EFI),
        of("SETUP_APPLE_PROPERTIES", SetupType::APPLE_PROPERTIES),
        of("SETUP_JAILHOUSE", SetupType::JAILHOUSE),
        of("SETUP_CC_BLOB", SetupType::CC_BLOB),
        of("SETUP_IMA", SetupType::IMA),
        of("SETUP_RNG_SEED", SetupType::RNG_SEED),
        of("SETUP_KEXEC_KHO", SetupType::KEXEC_KHO),
        // Nothing lies between the last type we know and the last type there is.
        of("SETUP_ENUM_MAX", SetupType::KEXEC_KHO),
    ]
}

fn seals() -> Vec<Constant> {
    let of = |name, seal: Seals| define(FCNTL, name, u64::from(seal.0));
    vec![
        of("F_SEAL_SEAL", Seals::SEAL),
        of("F_SEAL_SHRINK", Seals::SHRINK),
        of("F_SEAL_GROW", Seals::GROW),
        of("F_SEAL_WRITE", Seals::WRITE),
        of("F_SEAL_FUTURE_WRITE", Seals::FUTURE_WRITE),
        of("F_SEAL_EXEC", Seals::EXEC),
    ]
}

fn strings() -> Vec<Text> {
    let of = |header, c_name, value| Text {
        header,
        c_name,
        value,
    };
    vec![
        of(KHO, "KHO_FDT_COMPATIBLE", kho::COMPATIBLE),
        of(
            KHO,
            "KHO_FDT_MEMORY_MAP_PROP_NAME",
            kho::MEMORY_MAP_PROP_NAME,
        ),
        of(KHO, "KHO_SUB_TREE_PROP_NAME", kho::SUB_TREE_PROP_NAME),
        of(
            KHO,
            "KHO_SUB_TREE_SIZE_PROP_NAME",
            kho::SUB_TREE_SIZE_PROP_NAME,
        ),
        of(LUO, "LUO_KHO_ENTRY_NAME", luo::ENTRY_NAME),
        of(LUO, "LUO_ABI_COMPATIBLE", luo::COMPATIBLE),
        of(MEMBLOCK, "MEMBLOCK_KHO_FDT", memblock::NODE_NAME),
        of(
            MEMBLOCK,
            "MEMBLOCK_KHO_NODE_COMPATIBLE",
            memblock::COMPATIBLE,
        ),
        of(
            MEMBLOCK,
            "RESERVE_MEM_KHO_NODE_COMPATIBLE",
            memblock::REGION_COMPATIBLE,
        ),
        of(MEMFD, "MEMFD_LUO_FH_COMPATIBLE", memfd::COMPATIBLE),
        of(
            METADATA,
            "KHO_METADATA_NODE_NAME",
            kexec_metadata::NODE_NAME,
        ),
        of(TEST_C, "KHO_TEST_FDT", test_kho::NODE_NAME),
        of(TEST_C, "KHO_TEST_COMPAT", test_kho::COMPATIBLE),
    ]
}

/// The bit-fields of a folio at their limits and in between.
fn folio_images() -> Vec<Image> {
    let of = |initializer, pfn, flags, index| Image {
        header: MEMFD,
        c_name: "memfd_luo_folio_ser",
        initializer,
        bytes: FolioSer::new(pfn, FolioFlags(flags), index)
            .map(|folio| folio.as_bytes().to_vec())
            .unwrap_or_default(),
    };
    vec![
        of(
            "{ .pfn = 0x123456789abcd, .flags = 3, .index = 7 }",
            0x1_2345_6789_abcd,
            3,
            7,
        ),
        of(
            "{ .pfn = 0xfffffffffffff, .flags = 0, .index = -1ULL }",
            0xf_ffff_ffff_ffff,
            0,
            u64::MAX,
        ),
        of("{ .pfn = 1, .flags = 0xfff, .index = 0 }", 1, 0xfff, 0),
    ]
}
