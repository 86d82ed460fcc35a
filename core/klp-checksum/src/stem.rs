//! Names without what a compiler numbers.

/// The name without numbers that change from build to build, as `objtool` demangles it (v7.3).
///
/// `.llvm.<hash>` is cut off. Of a name with a dot, and of one that starts with `__UNIQUE_ID_`, digits, dots and
/// underscores at the end are cut off: `foo.isra.0` is `foo.isra`, `state.3` is `state`.
#[must_use]
pub fn stem(name: &str) -> &str {
    // A dot in front is the programmer's: `.Lror16` and `.Lror8` are two things.
    let rest = name.as_bytes().get(1..).unwrap_or_default();
    let has_dot = rest.contains(&b'.');
    if !has_dot && !name.starts_with("__UNIQUE_ID_") {
        return name;
    }
    let name = match name.find(".llvm.") {
        Some(at) => name.get(..at).unwrap_or(name),
        None => name,
    };
    let is_numbering = |letter: char| letter.is_ascii_digit() || matches!(letter, '.' | '_');
    let cut = name.trim_end_matches(is_numbering);
    if cut.is_empty() { name } else { cut }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_numbers_of_the_compiler_are_cut() {
        for (name, expected) in [
            ("foo", "foo"),
            ("foo_1", "foo_1"),
            ("foo.isra.0", "foo.isra"),
            ("foo.part.0.cold", "foo.part.0.cold"),
            ("state.12", "state"),
            (".Lror16", ".Lror16"),
            ("foo.llvm.1234", "foo"),
            (
                "__UNIQUE_ID_addressable_foo_12",
                "__UNIQUE_ID_addressable_foo",
            ),
            ("__UNIQUE_ID_12", "__UNIQUE_ID"),
        ] {
            assert_eq!(stem(name), expected);
        }
    }
}
