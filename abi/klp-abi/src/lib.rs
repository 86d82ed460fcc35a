//! What a livepatch module, the tools that build it and the kernel agree on.
//!
//! * [`records`]: the arrays that `objtool klp` leaves in its output for the module's `init.c` and for the post-link
//!   step, and the checksums it leaves in objects (`tools/objtool/include/objtool/checksum_types.h`,
//!   `tools/objtool/include/objtool/klp.h`, `include/linux/livepatch_external.h`, v7.3);
//! * [`names`]: `.klp.sym.…` and `.klp.rela.…` (`Documentation/livepatch/module-elf-format.rst`,
//!   `kernel/livepatch/core.c`, v7.3);
//! * the numbers below, which no ELF standard has.
#![no_std]
#![forbid(unsafe_code)]
#![cfg_attr(
    not(test),
    deny(
        clippy::indexing_slicing,
        clippy::arithmetic_side_effects,
        clippy::as_conversions,
        clippy::panic_in_result_fn
    )
)]

#[cfg(test)]
extern crate std;

pub mod names;
pub mod records;

pub use names::{
    KlpRelaSection, KlpSymbol, NameError, OBJECT_NAME_BYTES, RELA_PREFIX, SYMBOL_NAME_BYTES,
    SYMBOL_PREFIX, parse_rela_section, parse_symbol,
};
pub use records::{FuncExt, ObjectExt, RelocRecord, SymChecksum};

/// `SHN_LIVEPATCH`: section number of a symbol that the livepatch core resolves (`include/uapi/linux/elf.h`, v7.3).
pub const SHN_LIVEPATCH: u16 = 0xff20;

/// `SHF_RELA_LIVEPATCH`: a relocation section that the livepatch core applies (`include/uapi/linux/elf.h`, v7.3).
pub const SHF_RELA_LIVEPATCH: u64 = 0x0010_0000;

/// Name under which symbols of the kernel itself are looked up, in place of a module's name.
pub const VMLINUX: &str = "vmlinux";
