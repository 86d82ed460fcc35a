//! Version tags in a kernel: what it takes over, and from whom.
//!
//! A kernel takes over nothing under another tag than its own: `kho-v4`, `luo-v5`, and one for each
//! kind of file, `memfd-v2` (`include/linux/kho/abi/`, v7.3). The tags are strings of the kernel;
//! `kho` and `luo` stand alone in `.rodata`, those of file handlers in a structure behind pointers.

use alloc::collections::BTreeSet;
use alloc::string::String;

/// The tags in a kernel. More than one of a kind is possible; none may mean that it has none, or
/// that it was not found.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Tags {
    /// `kho-v…`: of the handover itself.
    pub kho: BTreeSet<String>,
    /// `luo-v…`: of sessions and files.
    pub luo: BTreeSet<String>,
    /// `memfd-v…`: of memfds.
    pub memfd: BTreeSet<String>,
}

impl Tags {
    /// Looks for tags in an unpacked kernel.
    pub fn find(kernel: &[u8]) -> Self {
        let mut tags = Self::default();
        for (prefix, found) in [
            ("kho-v", &mut tags.kho),
            ("luo-v", &mut tags.luo),
            ("memfd-v", &mut tags.memfd),
        ] {
            found.extend(with_prefix(kernel, prefix));
        }
        tags
    }

    /// Whether there is none at all.
    pub fn is_empty(&self) -> bool {
        self.kho.is_empty() && self.luo.is_empty() && self.memfd.is_empty()
    }
}

/// Strings that are `prefix` and a number: ended by a NUL, and behind what is no text.
fn with_prefix(kernel: &[u8], prefix: &str) -> BTreeSet<String> {
    let mut found = BTreeSet::new();
    for at in memchr::memmem::find_iter(kernel, prefix) {
        if !stands_alone(kernel, at) {
            continue;
        }
        let rest = kernel.get(at..).unwrap_or_default();
        let Some((_, number)) = rest.split_at_checked(prefix.len()) else {
            continue;
        };
        let digits = number.iter().take_while(|byte| byte.is_ascii_digit());
        // More than the version of anything.
        let digits = digits.take(6).count();
        if digits == 0 || number.get(digits) != Some(&0) {
            continue;
        }
        let whole = prefix.len().saturating_add(digits);
        let text = rest.get(..whole).map(String::from_utf8_lossy);
        found.extend(text.map(|text| text.into_owned()));
    }
    found
}

/// Whether `text` is a whole string in an unpacked kernel: ended by a NUL, and behind what is no text.
pub fn has_string(kernel: &[u8], text: &str) -> bool {
    memchr::memmem::find_iter(kernel, text).any(|at| {
        let end = at.checked_add(text.len());
        stands_alone(kernel, at) && end.is_some_and(|end| kernel.get(end) == Some(&0))
    })
}

/// Whether what is before is no text.
fn stands_alone(kernel: &[u8], at: usize) -> bool {
    let before = at.checked_sub(1).and_then(|before| kernel.get(before));
    !before.is_some_and(|byte| byte.is_ascii_graphic() || *byte == b' ')
}

/// The release in `Linux version …` of an unpacked kernel; `None` when there is none.
pub fn release(kernel: &[u8]) -> Option<String> {
    const BANNER: &str = "Linux version ";
    // The first may be a format string.
    memchr::memmem::find_iter(kernel, BANNER)
        .filter_map(|at| kernel.get(at.checked_add(BANNER.len())?..))
        .filter(|rest| rest.first().is_some_and(u8::is_ascii_digit))
        .find_map(|rest| {
            let rest = rest.get(..rest.len().min(65))?;
            let word = rest.split(|byte| !byte.is_ascii_graphic()).next()?;
            core::str::from_utf8(word).ok().map(String::from)
        })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn set(tags: &[&str]) -> BTreeSet<String> {
        tags.iter().map(|&tag| tag.into()).collect()
    }

    #[test]
    fn a_tag_is_ended_by_a_nul_and_not_the_end_of_a_word() {
        let kernel = b"\0kho-v4\0no-kho-v3\0 luo-v7\0\x81\xfffluo-v5\0\x90\x81memfd-v2\0\0memfd-v2a\0kho-v\0luo-v12345678\0";
        let tags = Tags::find(kernel);
        assert_eq!(tags.kho, set(&["kho-v4"]));
        assert_eq!(tags.memfd, set(&["memfd-v2"]));
        assert_eq!(tags.luo, set(&[]));
        let tags = Tags::find(b"luo-v5\0\0luo-v6\0");
        assert_eq!(tags.luo, set(&["luo-v5", "luo-v6"]));
    }

    #[test]
    fn a_string_is_a_whole_one() {
        let kernel = b"x\0kho_scratch\0nokho_bootmem\0kho_scratches\0";
        assert!(has_string(kernel, "kho_scratch"));
        assert!(!has_string(kernel, "kho_bootmem"));
        assert!(!has_string(b"kho_scratch", "kho_scratch"));
    }

    #[test]
    fn the_release_is_the_first_word_behind_the_banner() {
        let kernel = b"..Linux version %s (%s)\0Linux version 7.3.4-cloud (builder@host) #1\0";
        assert_eq!(release(kernel).as_deref(), Some("7.3.4-cloud"));
        assert_eq!(release(b"Linux version "), None);
        assert_eq!(release(b"Linux version 7"), Some("7".into()));
    }
}
