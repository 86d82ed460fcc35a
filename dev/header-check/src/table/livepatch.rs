//! Entries of `klp-abi`.

use klp_abi::names::{RELA_PREFIX, SYMBOL_PREFIX};
use klp_abi::records::Callbacks;
use klp_abi::{FuncExt, ObjectExt};

use super::{Table, Text, layout};

const HEADER: &str = "include/linux/livepatch_external.h";

/// Adds the entries.
pub(super) fn add(table: &mut Table) {
    table.layouts.extend([
        layout!(
            HEADER,
            "klp_callbacks" = Callbacks {
                pre_patch: "pre_patch",
                post_patch: "post_patch",
                pre_unpatch: "pre_unpatch",
                post_unpatch: "post_unpatch",
                post_unpatch_enabled: "post_unpatch_enabled",
            },
            7
        ),
        layout!(
            HEADER,
            "klp_func_ext" = FuncExt {
                old_name: "old_name",
                new_func: "new_func",
                sympos: "sympos",
            },
            0
        ),
        layout!(
            HEADER,
            "klp_object_ext" = ObjectExt {
                name: "name",
                funcs: "funcs",
                callbacks: "callbacks",
                nr_funcs: "nr_funcs",
            },
            4
        ),
    ]);
    table.strings.extend([
        Text {
            header: HEADER,
            c_name: "KLP_RELOC_SEC_PREFIX",
            value: RELA_PREFIX,
        },
        Text {
            header: HEADER,
            c_name: "KLP_SYM_PREFIX",
            value: SYMBOL_PREFIX,
        },
    ]);
}
