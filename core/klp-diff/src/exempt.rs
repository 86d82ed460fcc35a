//! What has no twin: each build makes its own, and nobody asks which.

use elf_index::{Section, Symbol};

/// Static variables that macros of the kernel make at every use: flags, keys and descriptors whose old state no longer
/// matters when their function is replaced (`include/linux/once.h`, `lockdep.h`, `printk.h`, `dynamic_debug.h`, v7.3),
/// and what compilers make of a function's own text.
const STATICS: [&str; 14] = [
    "__already_done",
    "__func__",
    "__FUNCTION__",
    "__PRETTY_FUNCTION__",
    "__key",
    "__warned",
    "__print_once",
    "_entry",
    "_entry_ptr",
    "_rs",
    "descriptor",
    "CSWTCH",
    "switch.table",
    "__const",
];

/// Tells whether a symbol has no twin, though another build may have one of its name.
#[must_use]
pub fn is_exempt(symbol: &Symbol<'_>, section: &Section<'_>) -> bool {
    let name = symbol.name;
    if name.is_empty() || name.starts_with(".L") {
        return true;
    }
    if name.starts_with("__pfx_") || name.starts_with("__cfi_") {
        return true;
    }
    if section.is_strings() || section.name == ".data..once" {
        return true;
    }
    // References for the linker, and tables that are made again for each module.
    let is_made_anew = [
        "__UNIQUE_ID_",
        "___ADDRESSABLE_",
        "__initcall_",
        "__initstub__",
    ]
    .iter()
    .any(|start| name.starts_with(start));
    is_made_anew || (symbol.is_local() && symbol.is_object() && is_static_of_macro(name))
}

/// GCC writes `name.N`, Clang `function.name` and `function.name.N`.
fn is_static_of_macro(name: &str) -> bool {
    let is_number = |part: &str| !part.is_empty() && part.bytes().all(|byte| byte.is_ascii_digit());
    let mut parts = name.rsplit('.');
    let last = parts.next().unwrap_or_default();
    let own = if is_number(last) {
        name.strip_suffix(last)
            .and_then(|rest| rest.strip_suffix('.'))
            .unwrap_or(name)
    } else {
        name
    };
    STATICS.iter().any(|known| {
        let is_of_function = own
            .strip_suffix(known)
            .is_some_and(|function| function.ends_with('.'));
        own == *known || is_of_function
    })
}

/// Tells whether a compiler numbered the name: a static variable of a function.
pub(crate) fn is_numbered(name: &str) -> bool {
    name.rsplit_once('.').is_some_and(|(own, number)| {
        !own.is_empty() && !number.is_empty() && number.bytes().all(|byte| byte.is_ascii_digit())
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn statics_of_macros_are_known_by_every_compiler() {
        for name in [
            "__func__.3",
            "_rs.12",
            "CSWTCH.4",
            "probe.__already_done",
            "probe._rs.7",
        ] {
            assert!(is_static_of_macro(name), "{name}");
        }
        for name in [
            "state.3",
            "my_rs",
            "probe.state",
            "__warned_about.1",
            "first_entry.2",
        ] {
            assert!(!is_static_of_macro(name), "{name}");
        }
    }

    #[test]
    fn only_a_number_at_the_end_makes_a_static_of_a_function() {
        assert!(is_numbered("state.3"));
        for name in ["state", ".3", "foo.cold", "foo.", "state.3a"] {
            assert!(!is_numbered(name), "{name}");
        }
    }
}
