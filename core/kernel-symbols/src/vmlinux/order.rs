//! Which symbols of vmlinux the kernel has, and in which order.

/// Whether the kernel keeps a symbol of this letter and name in its own table (`scripts/mksysmap`, v7.3).
#[must_use]
pub fn is_kept(letter: u8, name: &[u8]) -> bool {
    let has_prefix = |prefix: &[u8]| name.starts_with(prefix);
    let has_suffix = |suffix: &[u8]| name.ends_with(suffix);
    let contains = |part: &[u8]| name.windows(part.len()).any(|window| window == part);
    !matches!(letter, b'a' | b'N' | b'U' | b'w')
        && !name.is_empty()
        && !PREFIXES.iter().any(|prefix| has_prefix(prefix))
        && !SUFFIXES.iter().any(|suffix| has_suffix(suffix))
        && !PARTS.iter().any(|part| contains(part))
        && !EXACT.contains(&name)
        && !is_linker_thunk(name)
        && !is_modinfo(name)
}

/// Local labels, what other linkers and tools make, checksums and strings of exports.
const PREFIXES: [&[u8]; 14] = [
    b"$",
    b".L",
    b"__efistub_",
    b"__pi_$",
    b"__pi_.L",
    b"__kvm_nvhe_$",
    b"__kvm_nvhe_.L",
    b"__kcfi_typeid_",
    b"__kvm_nvhe___kcfi_typeid_",
    b"__pi___kcfi_typeid_",
    b"__crc_",
    b"__kstrtab_",
    b"__kstrtabns_",
    b"__mod_device_table__",
];
const SUFFIXES: [&[u8]; 3] = [b"_from_arm", b"_from_thumb", b"_veneer"];
const PARTS: [&[u8]; 2] = [b".long_branch.", b".plt_branch."];
const EXACT: [&[u8]; 3] = [b"L0", b"_SDA_BASE_", b"_SDA2_BASE_"];

/// `__…Thunk_`, with letters and digits between.
fn is_linker_thunk(name: &[u8]) -> bool {
    let Some(rest) = name.strip_prefix(b"__") else {
        return false;
    };
    let word = rest
        .iter()
        .take_while(|byte| byte.is_ascii_alphanumeric())
        .count();
    let (word, rest) = rest.split_at_checked(word).unwrap_or_default();
    word.ends_with(b"Thunk") && rest.starts_with(b"_")
}

/// `__UNIQUE_ID_modinfo_` and a number.
fn is_modinfo(name: &[u8]) -> bool {
    let number = name.strip_prefix(b"__UNIQUE_ID_modinfo_");
    number.is_some_and(|number| number.iter().all(u8::is_ascii_digit))
}

/// Names that linker scripts give to the bounds of sections.
const STARTS: [&[u8]; 3] = [b"__start_", b"__stop_", b"__end_"];
const ENDS: [&[u8]; 2] = [b"_start", b"_end"];

/// A symbol that is kept. They sort by address; those of one address by `rank`, then as `nm -n` has them
/// (`compare_symbols`, `scripts/kallsyms.c`, v7.3).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Candidate<'d> {
    pub(super) addr: u64,
    rank: Rank,
    pub(super) name: &'d [u8],
    number: usize,
    pub(super) letter: u8,
    pub(super) name_at: u32,
}

/// What the kernel prefers least sorts last.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Rank {
    is_weak: bool,
    may_be_of_linker_script: bool,
    underscores: usize,
}

impl<'d> Candidate<'d> {
    pub(super) fn new(addr: u64, letter: u8, name: &'d [u8], number: usize, name_at: u32) -> Self {
        let may_be_of_linker_script = name.len() >= 8
            && name.starts_with(b"__")
            && (STARTS.iter().any(|start| name.starts_with(start))
                || ENDS.iter().any(|end| name.ends_with(end)));
        Self {
            addr,
            rank: Rank {
                is_weak: matches!(letter, b'w' | b'W'),
                may_be_of_linker_script,
                underscores: name.iter().take_while(|&&byte| byte == b'_').count(),
            },
            name,
            number,
            letter,
            name_at,
        }
    }
}
