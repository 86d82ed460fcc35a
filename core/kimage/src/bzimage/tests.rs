//! Headers built field by field, and every way to break one.

use std::vec;
use std::vec::Vec;

use proptest::prelude::*;

use super::*;

/// A bzImage of 1 setup sector, 4 KiB of code and a payload in it, with the numbers of a real
/// 7.3 where they do not depend on the size.
fn image() -> Vec<u8> {
    with_payload(&[0x1f, 0x8b], 0x200)
}

/// The same with what is in the payload, which is as long as is said, or longer.
pub(crate) fn with_payload(payload: &[u8], bytes: usize) -> Vec<u8> {
    let bytes = bytes.max(payload.len());
    let mut file = vec![0; 2 * 512 + (0x100 + bytes).max(4096)];
    let paragraphs = (file.len() - 1024).div_ceil(16);
    file.resize(1024 + paragraphs * 16, 0);
    let mut put = |offset: usize, bytes: &[u8]| {
        file[offset..offset + bytes.len()].copy_from_slice(bytes);
    };
    put(0x1f1, &[1]);
    put(0x1f4, &u32::try_from(paragraphs).unwrap().to_le_bytes());
    put(0x1fe, &0xaa55_u16.to_le_bytes());
    put(0x200, &[0xeb, 106]);
    put(0x202, b"HdrS");
    put(0x206, &0x020f_u16.to_le_bytes());
    put(0x20e, &0x0100_u16.to_le_bytes());
    put(0x211, &[1]);
    put(0x22c, &0x7fff_ffff_u32.to_le_bytes());
    put(0x230, &0x20_0000_u32.to_le_bytes());
    put(0x234, &[1]);
    put(0x236, &0x63_u16.to_le_bytes());
    put(0x238, &2047_u32.to_le_bytes());
    put(0x248, &0x100_u32.to_le_bytes());
    put(0x24c, &u32::try_from(bytes).unwrap().to_le_bytes());
    put(0x258, &0x100_0000_u64.to_le_bytes());
    put(0x260, &0x119_3000_u32.to_le_bytes());
    put(0x300, b"7.3.4 (builder@host) #1\0");
    put(1024 + 0x100, payload);
    file
}

fn broken(offset: usize, bytes: &[u8]) -> Result<(), BzImageError> {
    let mut file = image();
    file[offset..offset + bytes.len()].copy_from_slice(bytes);
    BzImage::parse(&file).map(|_| ())
}

#[test]
fn every_field_comes_from_its_place() {
    let file = image();
    let kernel = BzImage::parse(&file).unwrap();
    assert_eq!(kernel.protocol(), Protocol(0x020f));
    assert_eq!(std::format!("{}", kernel.protocol()), "2.15");
    assert_eq!(kernel.version(), Some("7.3.4 (builder@host) #1"));
    assert_eq!(kernel.release(), Some("7.3.4"));
    assert_eq!(kernel.setup_header(), &file[0x1f1..0x202 + 106]);
    assert_eq!(kernel.protected_mode_code(), &file[1024..]);
    assert_eq!(kernel.payload(), &file[1024 + 0x100..1024 + 0x300]);
    assert!(kernel.is_relocatable());
    assert!(kernel.load_flags().contains(LoadFlags::LOADED_HIGH));
    assert!(kernel.xload_flags().contains(XLoadFlags::KERNEL_64));
    assert!(kernel.xload_flags().contains(XLoadFlags::ABOVE_4G));
    assert_eq!(kernel.preferred_address(), 0x100_0000);
    assert_eq!(kernel.needed_bytes(), 0x119_3000);
    assert_eq!(kernel.alignment(), 0x20_0000);
    assert_eq!(kernel.initrd_max_address(), 0x7fff_ffff);
    assert_eq!(kernel.command_line_max_bytes(), 2047);
}

#[test]
fn other_files_are_told_by_what_is_at_the_magics_place() {
    let found = broken(0x1fe, &[0, 0]);
    assert_eq!(found, Err(BzImageError::BootFlag { found: 0 }));
    let found = broken(0x202, b"ELF!");
    assert_eq!(found, Err(BzImageError::Magic { found: 0x2146_4c45 }));
}

#[test]
fn a_protocol_without_xloadflags_is_too_old() {
    assert!(matches!(
        broken(0x206, &0x020b_u16.to_le_bytes()),
        Err(BzImageError::Protocol {
            found: Protocol(0x020b),
            ..
        })
    ));
    assert_eq!(broken(0x206, &0x020c_u16.to_le_bytes()), Ok(()));
}

#[test]
fn a_payload_outside_of_the_code_is_refused() {
    for (offset, value) in [(0x248, 0x0f01_u32), (0x24c, 0x0f01), (0x248, u32::MAX)] {
        let found = broken(offset, &value.to_le_bytes());
        assert!(
            matches!(found, Err(BzImageError::Payload { .. })),
            "{found:?}"
        );
    }
}

#[test]
fn code_that_is_cut_off_is_refused() {
    let mut file = image();
    file.pop();
    assert_eq!(
        BzImage::parse(&file).unwrap_err(),
        BzImageError::Truncated {
            what: "protected-mode code",
            needed_bytes: 5120,
            found_bytes: 5119
        }
    );
    // 0 setup sectors are 4.
    let found = broken(0x1f1, &[0]);
    assert!(
        matches!(
            found,
            Err(BzImageError::Truncated {
                needed_bytes: 6656,
                ..
            })
        ),
        "{found:?}"
    );
}

#[test]
fn numbers_that_no_loader_can_obey_are_refused() {
    let found = broken(0x260, &4095_u32.to_le_bytes());
    assert!(
        matches!(
            found,
            Err(BzImageError::InitSize {
                init_size_bytes: 4095,
                code_bytes: 4096
            })
        ),
        "{found:?}"
    );
    assert_eq!(
        broken(0x201, &[0x8f]),
        Err(BzImageError::HeaderEnd { end: 0x291 })
    );
    for alignment in [0_u32, 0x30_0000] {
        let found = broken(0x230, &alignment.to_le_bytes());
        assert_eq!(found, Err(BzImageError::Alignment { found: alignment }));
    }
}

#[test]
fn a_version_that_is_not_there_is_none() {
    for pointer in [0_u16, 0xffff, 0x1ff] {
        let mut file = image();
        file[0x20e..0x210].copy_from_slice(&pointer.to_le_bytes());
        let version = BzImage::parse(&file).unwrap().version();
        assert!(version.is_none_or(str::is_empty), "{version:?}");
    }
}

proptest! {
    #[test]
    fn any_bytes_are_answered(mut file in proptest::collection::vec(any::<u8>(), 0..4096), sane in any::<bool>()) {
        if sane && file.len() > 0x264 {
            file[0x1fe..0x200].copy_from_slice(&[0x55, 0xaa]);
            file[0x202..0x206].copy_from_slice(b"HdrS");
        }
        if let Ok(kernel) = BzImage::parse(&file) {
            let _whatever = (kernel.version(), kernel.payload(), kernel.release());
        }
    }
}
