//! What is wrong before userspace: `setup_data`, scratch, FDT, tree, metadata.

use kho::{Key, Order, PageSize, PhysAddr, PhysMemMut as _, RadixTree};
use kho_abi::kexec_handover::{MEMORY_MAP_PROP_NAME, SUB_TREE_SIZE_PROP_NAME};
use kho_abi::kexec_metadata::NODE_NAME;

use super::{Case, Outcome, Rig, setup_page};

/// Past the memory of the machine.
const OUTSIDE: u64 = 0x2_0000_0000;

/// Where a kernel goes that has no choice, see [`one_place`]; and the bytes of that array.
const ONE_PLACE: u64 = 0x1a00_0000;
const ONE_PLACE_BYTES: u8 = 96;

/// One line each.
pub(crate) const CASES: &[Case] = &[
    Case {
        name: "nothing_wrong",
        change_fn: |_| Ok(()),
        outcome: Outcome::Received(None),
    },
    Case {
        name: "fdt_of_kho_v3",
        change_fn: |rig| {
            *rig.property("", "compatible")? = b"kho-v3\0".to_vec();
            Ok(())
        },
        outcome: Outcome::Cold("is incompatible with 'kho-v4': 1"),
    },
    Case {
        name: "fdt_of_kho_v3_and_v4",
        change_fn: |rig| {
            *rig.property("", "compatible")? = b"kho-v3\0kho-v4\0".to_vec();
            Ok(())
        },
        outcome: Outcome::Received(None),
    },
    Case {
        name: "fdt_without_magic",
        change_fn: |rig| {
            rig.fdt_changes.push((0, vec![0; 4]));
            Ok(())
        },
        outcome: Outcome::Cold("is invalid: -9"),
    },
    Case {
        name: "fdt_total_of_1_mib",
        change_fn: |rig| {
            rig.fdt_changes.push((4, vec![0, 0x10, 0, 0]));
            Ok(())
        },
        outcome: Outcome::Received(None),
    },
    Case {
        name: "memory_map_of_4_bytes",
        change_fn: |rig| {
            rig.property("", MEMORY_MAP_PROP_NAME)?.truncate(4);
            Ok(())
        },
        outcome: Outcome::Cold("failed to get preserved memory map"),
    },
    Case {
        name: "memory_map_at_0",
        change_fn: |rig| {
            rig.property("", MEMORY_MAP_PROP_NAME)?.fill(0);
            Ok(())
        },
        outcome: Outcome::Cold(""),
    },
    Case {
        name: "memory_map_in_big_endian",
        change_fn: |rig| {
            rig.property("", MEMORY_MAP_PROP_NAME)?.reverse();
            Ok(())
        },
        outcome: Outcome::Hangs,
    },
    Case {
        name: "fdt_at_0",
        change_fn: |rig| {
            rig.setup_changes.push((setup_page::FDT_ADDR, vec![0; 8]));
            Ok(())
        },
        outcome: Outcome::Cold("handover FDT (0x0) is invalid: -9"),
    },
    Case {
        name: "fdt_of_0_bytes",
        change_fn: |rig| {
            rig.setup_changes.push((setup_page::FDT_SIZE, vec![0; 8]));
            Ok(())
        },
        outcome: Outcome::Cold("failed to memremap FDT"),
    },
    Case {
        name: "payload_of_8_bytes",
        change_fn: |rig| {
            rig.setup_changes.push((setup_page::LEN, vec![8, 0, 0, 0]));
            Ok(())
        },
        outcome: Outcome::Received(None),
    },
    Case {
        name: "scratch_array_of_15_bytes",
        change_fn: |rig| {
            rig.setup_changes.push((setup_page::SCRATCH_SIZE, vec![15]));
            Ok(())
        },
        outcome: Outcome::Hangs,
    },
    Case {
        name: "scratch_array_with_half_an_area_more",
        change_fn: |rig| {
            rig.setup_changes.push((setup_page::SCRATCH_SIZE, vec![56]));
            Ok(())
        },
        outcome: Outcome::Received(None),
    },
    Case {
        name: "scratch_past_memory",
        change_fn: |rig| {
            // Too small for the kernel, which may put itself into any area.
            let area = [OUTSIDE, 4 << 20].map(u64::to_ne_bytes).concat();
            rig.setup_changes.push((setup_page::AREAS + 16, area));
            Ok(())
        },
        outcome: Outcome::Received(None),
    },
    Case {
        name: "scratch_of_4_mib",
        change_fn: |rig| {
            let areas = [0x1000_0000, 4 << 20, 0, 0, 0, 0_u64];
            let areas = areas.map(u64::to_ne_bytes).concat();
            rig.setup_changes.push((setup_page::AREAS, areas));
            Ok(())
        },
        outcome: Outcome::Hangs,
    },
    Case {
        name: "scratch_with_one_place_for_the_kernel",
        change_fn: |rig| {
            rig.setup_changes
                .push((setup_page::SCRATCH_SIZE, vec![ONE_PLACE_BYTES]));
            let areas = one_place(rig);
            rig.setup_changes.push((setup_page::AREAS, areas));
            Ok(())
        },
        outcome: Outcome::Received(None),
    },
    Case {
        name: "scratch_array_where_the_kernel_goes",
        change_fn: array_in_one_place,
        outcome: Outcome::Hangs,
    },
    Case {
        name: "scratch_array_where_the_kernel_would_go",
        change_fn: |rig| {
            rig.command_line.push_str(" nokaslr");
            array_in_one_place(rig)
        },
        outcome: Outcome::Received(None),
    },
    Case {
        name: "tree_node_not_aligned",
        change_fn: |rig| {
            let node = rig.tree_node(1)?;
            let (parent, at) = (rig.tree_node(2)?, PhysAddr(node.0 + 8));
            point(rig, parent, node, at)
        },
        outcome: Outcome::Resets,
    },
    Case {
        name: "tree_node_past_memory",
        change_fn: |rig| {
            let (parent, node) = (rig.tree_node(2)?, rig.tree_node(1)?);
            point(rig, parent, node, PhysAddr(OUTSIDE))
        },
        outcome: Outcome::Hangs,
    },
    Case {
        name: "tree_node_that_leads_to_itself",
        change_fn: |rig| {
            let (parent, node) = (rig.tree_node(2)?, rig.tree_node(1)?);
            point(rig, parent, node, parent)
        },
        outcome: Outcome::Received(None),
    },
    Case {
        name: "block_past_memory",
        change_fn: |rig| add_key(rig, OUTSIDE, 0),
        outcome: Outcome::Resets,
    },
    Case {
        name: "block_in_scratch",
        change_fn: |rig| add_key(rig, 0x1a00_0000, 0),
        outcome: Outcome::Received(None),
    },
    Case {
        name: "blocks_that_overlap",
        change_fn: |rig| {
            let addr = rig.metadata()?.0;
            add_key(rig, addr & !0x1f_ffff, 9)
        },
        outcome: Outcome::Received(None),
    },
    Case {
        name: "key_without_order_bit",
        change_fn: |rig| {
            let mut node = rig.composed.kho.tree().root();
            for _ in 1..PageSize::Size4K.radix_levels() {
                let next = kho::PageAlloc::alloc_page(rig.memory());
                let next = next.ok_or_else(|| anyhow::anyhow!("no page"))?;
                rig.memory().write_value(node, &next.0)?;
                node = next;
            }
            Ok(rig.memory().write_value(node, &1_u8)?)
        },
        outcome: Outcome::Received(None),
    },
    Case {
        name: "subtree_without_blob_size",
        change_fn: |rig| {
            rig.property(NODE_NAME, SUB_TREE_SIZE_PROP_NAME)?.clear();
            Ok(())
        },
        outcome: Outcome::WithoutMetadata(Some("missing or invalid blob-size property")),
    },
    Case {
        name: "metadata_of_version_2",
        change_fn: |rig| {
            let addr = rig.metadata()?;
            Ok(rig.memory().write_value(addr, &2_u32)?)
        },
        outcome: Outcome::WithoutMetadata(Some(
            "kexec-metadata version 2 not supported (expected 1)",
        )),
    },
    Case {
        name: "metadata_of_72_bytes",
        change_fn: |rig| {
            let size = rig.property(NODE_NAME, SUB_TREE_SIZE_PROP_NAME)?;
            *size = 72_u64.to_ne_bytes().to_vec();
            Ok(())
        },
        outcome: Outcome::WithoutMetadata(Some("kexec-metadata blob too small for v1 (72 < 73)")),
    },
    Case {
        name: "metadata_at_an_address_nobody_preserved",
        change_fn: |rig| {
            let addr = rig.metadata()?;
            let key = Key::new(addr, Order(0), PageSize::Size4K)?;
            let tree = rig.composed.kho.tree();
            tree.del(rig.memory(), key)?;
            Ok(())
        },
        outcome: Outcome::Received(None),
    },
];

/// An area that the kernel just fits into, and areas that are too small for it: it has no choice
/// where it unpacks itself.
fn one_place(rig: &Rig) -> Vec<u8> {
    let small = (0..5).map(|index| [0x1200_0000 + (index << 24), 16 << 20]);
    let areas = [[ONE_PLACE, rig.kernel_bytes.next_multiple_of(2 << 20)]]
        .into_iter()
        .chain(small);
    areas.flatten().flat_map(u64::to_ne_bytes).collect()
}

/// The scratch array apart from its node, in the one place for the kernel.
fn array_in_one_place(rig: &mut Rig) -> anyhow::Result<()> {
    let areas = one_place(rig);
    let page = rig.page(&areas)?;
    let to = ONE_PLACE + (8 << 20);
    rig.moved.push((page, PhysAddr(to)));
    rig.setup_changes
        .push((setup_page::SCRATCH_ADDR, to.to_ne_bytes().to_vec()));
    rig.setup_changes
        .push((setup_page::SCRATCH_SIZE, vec![ONE_PLACE_BYTES]));
    Ok(())
}

fn add_key(rig: &mut Rig, addr: u64, order: u32) -> anyhow::Result<()> {
    let key = Key::new(PhysAddr(addr), Order(order), PageSize::Size4K)?;
    let tree: RadixTree = rig.composed.kho.tree();
    Ok(tree.add(rig.memory(), key)?)
}

/// Makes the entry of `parent` that leads to `node` lead to `to`.
fn point(rig: &mut Rig, parent: PhysAddr, node: PhysAddr, to: PhysAddr) -> anyhow::Result<()> {
    for slot in (parent.0..parent.0 + 4096).step_by(8).map(PhysAddr) {
        let entry: u64 = kho::PhysMem::read_value(rig.memory(), slot)?;
        if entry == node.0 {
            rig.memory().write_value(slot, &to.0)?;
        }
    }
    Ok(())
}
