//! How an x86 kernel is told about the handover. C header:
//! `arch/x86/include/uapi/asm/setup_data.h`, v7.2 and v7.3.
//!
//! `boot_params` points to a list of [`SetupData`] headers, each followed by its payload. The one
//! of type [`SetupType::KEXEC_KHO`] carries a [`KhoData`]; its position in the list is not fixed.

use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout};

/// Header of one node of the list; 16 bytes.
#[doc(alias = "setup_data")]
#[repr(C)]
#[derive(Clone, Copy, Debug, PartialEq, Eq, FromBytes, IntoBytes, Immutable, KnownLayout)]
pub struct SetupData {
    /// Physical address of the next node; 0 in the last one.
    pub next: u64,
    /// What the payload is.
    pub kind: SetupType,
    /// Bytes of the payload, which follows this header.
    pub len: u32,
}

/// Type of a [`SetupData`] node; unknown values are kept.
#[repr(transparent)]
#[derive(Clone, Copy, Debug, PartialEq, Eq, FromBytes, IntoBytes, Immutable, KnownLayout)]
pub struct SetupType(pub u32);

impl SetupType {
    /// Nothing.
    #[doc(alias = "SETUP_NONE")]
    pub const NONE: Self = Self(0);
    /// More E820 entries.
    #[doc(alias = "SETUP_E820_EXT")]
    pub const E820_EXT: Self = Self(1);
    /// A device tree.
    #[doc(alias = "SETUP_DTB")]
    pub const DTB: Self = Self(2);
    /// A PCI option ROM.
    #[doc(alias = "SETUP_PCI")]
    pub const PCI: Self = Self(3);
    /// EFI state for kexec.
    #[doc(alias = "SETUP_EFI")]
    pub const EFI: Self = Self(4);
    /// Apple's device properties.
    #[doc(alias = "SETUP_APPLE_PROPERTIES")]
    pub const APPLE_PROPERTIES: Self = Self(5);
    /// Jailhouse's platform description.
    #[doc(alias = "SETUP_JAILHOUSE")]
    pub const JAILHOUSE: Self = Self(6);
    /// Confidential-computing blob.
    #[doc(alias = "SETUP_CC_BLOB")]
    pub const CC_BLOB: Self = Self(7);
    /// IMA measurement list.
    #[doc(alias = "SETUP_IMA")]
    pub const IMA: Self = Self(8);
    /// Seed of the random number generator.
    #[doc(alias = "SETUP_RNG_SEED")]
    pub const RNG_SEED: Self = Self(9);
    /// A Kexec Handover: [`KhoData`].
    #[doc(alias = "SETUP_KEXEC_KHO")]
    pub const KEXEC_KHO: Self = Self(10);
    /// Flag: the payload is an indirection.
    #[doc(alias = "SETUP_INDIRECT")]
    pub const INDIRECT: Self = Self(1 << 31);
}

/// Payload of [`SetupType::KEXEC_KHO`]; 32 bytes, packed in C (it follows a 16-byte header, so
/// every field is naturally aligned where the node is).
#[doc(alias = "kho_data")]
#[repr(C)]
#[derive(Clone, Copy, Debug, PartialEq, Eq, FromBytes, IntoBytes, Immutable, KnownLayout)]
pub struct KhoData {
    /// Physical address of the KHO FDT page.
    pub fdt_addr: u64,
    /// Bytes of it: always one page, not the FDT's own total.
    pub fdt_size: u64,
    /// Physical address of the copy of the scratch array.
    pub scratch_addr: u64,
    /// Bytes of it: 16 for each [`Scratch`](crate::kexec_handover::Scratch).
    pub scratch_size: u64,
}

const _: () = {
    use core::mem::offset_of;
    assert!(size_of::<SetupData>() == 16);
    assert!(offset_of!(SetupData, kind) == 8);
    assert!(offset_of!(SetupData, len) == 12);
    assert!(size_of::<KhoData>() == 32);
    assert!(offset_of!(KhoData, fdt_size) == 8);
    assert!(offset_of!(KhoData, scratch_addr) == 16);
    assert!(offset_of!(KhoData, scratch_size) == 24);
};
