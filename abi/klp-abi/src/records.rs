//! Records in sections of object files. All fields are little-endian on every architecture that builds them so far;
//! pointers are 8 bytes, filled in by relocations.

use core::mem::{offset_of, size_of};

use zerocopy::little_endian::{U32, U64};
use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout, Unaligned};

/// Section of [`SymChecksum`] records, in objects that `klp checksum` has seen.
pub const SYM_CHECKSUM_SECTION: &str = ".discard.sym_checksum";

/// Section of [`ObjectExt`] records, in the output of a diff.
pub const OBJECTS_SECTION: &str = ".init.klp_objects";

/// Section of [`FuncExt`] records, in the output of a diff.
pub const FUNCS_SECTION: &str = ".init.klp_funcs";

/// Section of the strings that the records point to.
pub const STRINGS_SECTION: &str = ".rodata.klp.str1.1";

/// Prefix of sections of [`RelocRecord`]s; the name of the object they wait for follows.
pub const RELOCS_PREFIX: &str = "__klp_relocs.";

/// Prefix of the undefined symbols that hold the place of a livepatch relocation until the module is linked.
pub const TOMBSTONE_PREFIX: &str = ".klp.tombstone.";

/// Section of pointers to the callbacks of an object, written by `KLP_PRE_PATCH_CALLBACK` and its siblings.
pub const CALLBACKS_SECTION: &str = ".discard.klp_callback_ptrs";

/// Section of the duplicate-named symbols of `vmlinux.o`, from which the final link tells their order.
pub const SYMID_SECTION: &str = ".klp.symid";

/// `struct sym_checksum`: a symbol and the checksum of what it means.
#[doc(alias = "sym_checksum")]
#[derive(
    Clone, Copy, Debug, PartialEq, Eq, FromBytes, IntoBytes, Immutable, KnownLayout, Unaligned,
)]
#[repr(C)]
pub struct SymChecksum {
    /// Place of the symbol; a relocation fills it in.
    pub addr: U64,
    /// XXH3-64.
    pub checksum: U64,
}

/// `struct klp_reloc`: a relocation that the livepatch core must apply.
#[doc(alias = "klp_reloc")]
#[derive(
    Clone, Copy, Debug, PartialEq, Eq, FromBytes, IntoBytes, Immutable, KnownLayout, Unaligned,
)]
#[repr(C)]
pub struct RelocRecord {
    /// Place to relocate; a relocation fills it in.
    pub offset: U64,
    /// The `.klp.sym.…` symbol; a relocation fills it in.
    pub sym: U64,
    /// Relocation type of the architecture.
    pub kind: U32,
    /// Padding of the C structure.
    pub reserved: U32,
}

/// `struct klp_func_ext`: a function to replace.
#[doc(alias = "klp_func_ext")]
#[derive(
    Clone, Copy, Debug, PartialEq, Eq, FromBytes, IntoBytes, Immutable, KnownLayout, Unaligned,
)]
#[repr(C)]
pub struct FuncExt {
    /// Pointer to the name of the old function.
    pub old_name: U64,
    /// Pointer to the new function.
    pub new_func: U64,
    /// Which of several symbols of that name, from 1; 0 when there is one only.
    pub sympos: U64,
}

/// `struct klp_callbacks`: pointers to what runs around patching; null for none.
#[doc(alias = "klp_callbacks")]
#[derive(
    Clone, Copy, Debug, PartialEq, Eq, FromBytes, IntoBytes, Immutable, KnownLayout, Unaligned,
)]
#[repr(C)]
pub struct Callbacks {
    /// Runs before the object is patched.
    pub pre_patch: U64,
    /// Runs after it.
    pub post_patch: U64,
    /// Runs before the patch is taken back.
    pub pre_unpatch: U64,
    /// Runs after that.
    pub post_unpatch: U64,
    /// Whether `post_unpatch` will run; the kernel's own.
    pub post_unpatch_enabled: u8,
    /// Padding of the C structure.
    pub reserved: [u8; 7],
}

/// `struct klp_object_ext`: an object to patch.
#[doc(alias = "klp_object_ext")]
#[derive(
    Clone, Copy, Debug, PartialEq, Eq, FromBytes, IntoBytes, Immutable, KnownLayout, Unaligned,
)]
#[repr(C)]
pub struct ObjectExt {
    /// Pointer to the name of the module; null for the kernel itself.
    pub name: U64,
    /// Pointer to [`FuncExt`] records.
    pub funcs: U64,
    /// The callbacks of the object.
    pub callbacks: Callbacks,
    /// Number of functions.
    pub nr_funcs: U32,
    /// Padding of the C structure.
    pub reserved: U32,
}

const _: () = {
    assert!(size_of::<SymChecksum>() == 16);
    assert!(size_of::<RelocRecord>() == 24);
    assert!(offset_of!(RelocRecord, kind) == 16);
    assert!(size_of::<FuncExt>() == 24);
    assert!(size_of::<Callbacks>() == 40);
    assert!(size_of::<ObjectExt>() == 64);
    assert!(offset_of!(ObjectExt, callbacks) == 16);
    assert!(offset_of!(ObjectExt, nr_funcs) == 56);
};
