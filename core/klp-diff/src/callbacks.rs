//! Callbacks around patching, which a patch declares with `KLP_PRE_PATCH_CALLBACK` and its siblings.
//!
//! Each is a pointer in a section of its own with a name that says when it is called and for which object
//! (`include/linux/livepatch_helpers.h`, v7.3).

use alloc::vec::Vec;

use elf_index::{Object, SymbolId};
use klp_abi::records::CALLBACKS_SECTION;

use crate::plan::Plan;

/// When a callback is called.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum CallbackKind {
    /// Before the object is patched; it may refuse.
    PrePatch,
    /// After it.
    PostPatch,
    /// Before the patch is taken back.
    PreUnpatch,
    /// After that.
    PostUnpatch,
}

const PREFIXES: [(&str, CallbackKind); 4] = [
    ("__klp_pre_patch_callback_", CallbackKind::PrePatch),
    ("__klp_post_patch_callback_", CallbackKind::PostPatch),
    ("__klp_pre_unpatch_callback_", CallbackKind::PreUnpatch),
    ("__klp_post_unpatch_callback_", CallbackKind::PostUnpatch),
];

impl Plan<'_> {
    /// The callbacks that the object after the change declares.
    #[must_use]
    pub fn callbacks(&self, after: &Object<'_>) -> Vec<(CallbackKind, SymbolId)> {
        let mut found = Vec::new();
        for (id, section) in after.sections_with_ids() {
            if section.name != CALLBACKS_SECTION {
                continue;
            }
            for reloc in after.relocs(id).iter() {
                let pointer = after.symbol_containing(id, reloc.offset);
                let name = pointer.and_then(|id| after.symbol(id)).map(|it| it.name);
                let kind = name.and_then(|name| {
                    let known = PREFIXES.iter().find(|(start, _)| name.starts_with(start));
                    known.map(|(_, kind)| *kind)
                });
                let callback = after.symbol(reloc.symbol).and_then(|symbol| {
                    if symbol.is_func() {
                        return Some(reloc.symbol);
                    }
                    let offset = symbol.value.wrapping_add_signed(reloc.addend);
                    after.symbol_containing(symbol.place.section()?, offset)
                });
                found.extend(kind.zip(callback));
            }
        }
        found
    }
}
