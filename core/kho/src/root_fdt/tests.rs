//! The root FDT against bytes of Linux, and against damage.

use std::sync::LazyLock;
use std::vec;

use proptest::prelude::*;

use super::*;
use crate::recorded;

const PAGE: PageSize = PageSize::Size4K;

/// The root FDT in a handover of Linux 7.3.4.
static LINUX: LazyLock<Vec<u8>> = LazyLock::new(|| recorded::page(0x5c_c000, 345));

fn seen() -> RootFdt {
    let subtree = |name: &str, data, size| Subtree {
        name: name.into(),
        data: Some(PhysAddr(data)),
        size_bytes: Some(size),
    };
    RootFdt {
        memory_map: PhysAddr(0x5c_b000),
        subtrees: vec![
            subtree("memblock", 0x86_f000, 0xd2),
            subtree("LUO", 0x87_f000, 32),
            subtree("kexec-metadata", 0x5d_2000, 73),
        ],
    }
}

#[test]
fn a_root_of_linux_is_read_and_written_byte_for_byte() {
    let root = RootFdt::read(&LINUX).unwrap();
    assert_eq!(root, seen());
    assert_eq!(root.to_bytes(PAGE).unwrap(), *LINUX);
}

#[test]
fn it_is_read_from_its_page() {
    let mut page = LINUX.to_vec();
    page.resize(4096, 0xff);
    assert_eq!(RootFdt::read(&page), Ok(seen()));
}

#[test]
fn subtrees_come_and_go_as_in_the_kernel() {
    let mut root = RootFdt {
        memory_map: PhysAddr(0x5c_b000),
        subtrees: vec![],
    };
    for subtree in seen().subtrees.iter().rev() {
        let (data, size) = subtree.blob().unwrap();
        root.add(&subtree.name, data, size, PAGE).unwrap();
    }
    assert_eq!(root, seen());
    assert_eq!(
        root.add("LUO", PhysAddr(0x1000), 8, PAGE),
        Err(SubtreeError::Exists { name: "LUO".into() })
    );
    assert_eq!(root.remove(PhysAddr(0x87_f000)).unwrap().name, "LUO");
    assert_eq!(root.remove(PhysAddr(0x87_f000)), None);
    assert_eq!(root.subtree("LUO"), None);
}

#[test]
fn a_page_holds_so_many_subtrees_and_no_more() {
    let mut root = RootFdt {
        memory_map: PhysAddr(0x1000),
        subtrees: vec![],
    };
    let full = (0_u64..).find_map(|n| {
        let name = std::format!("subtree-{n:03}");
        root.add(&name, PhysAddr(n << 12), 1, PAGE).err()
    });
    assert!(matches!(full, Some(SubtreeError::Full { wanted_bytes }) if wanted_bytes > 4096));
    // 60 bytes each: node 4, name 12, two properties 20 each, end 4. Without them: 0x38 of headers,
    // 56 of the root and the end, 57 of strings.
    assert_eq!(root.subtrees.len(), (4096 - 0x38 - 56 - 57) / 60);
    assert!(root.to_bytes(PAGE).unwrap().len() <= 4096);
}

/// The root with other properties, as some other writer might have it.
fn root_with(properties: &[(&str, &[u8])]) -> Vec<u8> {
    let with = |node: Node, (name, value): &(&str, &[u8])| node.with(name, value);
    properties
        .iter()
        .fold(Node::new(""), with)
        .to_fdt(&[], Layout::Packed)
}

#[test]
fn what_a_kernel_would_not_take_is_refused() {
    let map = (MEMORY_MAP_PROP_NAME, &0x1000_u64.to_ne_bytes()[..]);
    let version = ("compatible", &b"kho-v4\0"[..]);
    for (properties, expected) in [
        (
            &[("compatible", &b"kho-v3\0"[..]), map][..],
            RootFdtError::Compatible {
                found: "kho-v3".into(),
            },
        ),
        (
            &[("compatible", &b"kho-v4"[..]), map],
            RootFdtError::Compatible {
                found: "kho-v4".into(),
            },
        ),
        (&[map], RootFdtError::Compatible { found: "".into() }),
        (&[version], RootFdtError::NoMemoryMap),
        (
            &[version, (MEMORY_MAP_PROP_NAME, &[0; 8])],
            RootFdtError::NoMemoryMap,
        ),
        (
            &[version, (MEMORY_MAP_PROP_NAME, &[1; 4])],
            RootFdtError::MemoryMapLength { found_bytes: 4 },
        ),
    ] {
        assert_eq!(RootFdt::read(&root_with(properties)), Err(expected));
    }
    let several = root_with(&[("compatible", b"kho-v9\0kho-v4\0"), map]);
    assert!(RootFdt::read(&several).is_ok());
}

#[test]
fn a_subtree_that_is_not_complete_is_no_reason_to_refuse_the_rest() {
    let mut root = Node::new("")
        .with("compatible", b"kho-v4\0")
        .with(MEMORY_MAP_PROP_NAME, &0x1000_u64.to_ne_bytes());
    let half = Node::new("half").with(SUB_TREE_PROP_NAME, &[0; 4]);
    root.children = vec![half, Node::new("none")];
    let root = RootFdt::read(&root.to_fdt(&[], Layout::Packed)).unwrap();
    for subtree in &root.subtrees {
        assert!(matches!(
            subtree.blob(),
            Err(SubtreeError::Incomplete {
                property: SUB_TREE_PROP_NAME,
                ..
            })
        ));
    }
}

#[test]
fn a_root_that_is_cut_off_says_so() {
    for length in 0..LINUX.len() {
        let cut = &LINUX[..length];
        assert!(
            matches!(
                RootFdt::read(cut),
                Err(RootFdtError::Fdt(FdtError::Truncated { found, .. })) if found == length
            ),
            "{length}"
        );
    }
    assert!(matches!(
        RootFdt::read(&[0x7f, b'E', b'L', b'F']),
        Err(RootFdtError::Fdt(FdtError::Magic { found: 0x7f45_4c46 }))
    ));
}

proptest! {
    #[test]
    fn damage_is_an_error_or_another_root_and_never_a_panic(
        changes in proptest::collection::vec((0..LINUX.len(), any::<u8>()), 1..6)
    ) {
        let mut bytes = LINUX.to_vec();
        for (at, byte) in changes {
            bytes[at] = byte;
        }
        if let Ok(root) = RootFdt::read(&bytes) {
            assert!(root.subtrees.len() < LINUX.len());
        }
    }
}
