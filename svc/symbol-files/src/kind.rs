//! What a file is.

/// Something that symbols are in.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum FileKind {
    /// Text, as in `/proc/kallsyms` and `System.map`.
    Text,
    /// A relocatable ELF file: a module.
    Module,
    /// Another ELF file: `vmlinux`.
    Vmlinux,
}

/// What a file is, by its first bytes. What is no ELF file is text.
#[must_use]
pub fn kind(bytes: &[u8]) -> FileKind {
    /// `ET_REL`, in the byte order of the file.
    const RELOCATABLE: [[u8; 2]; 2] = [[1, 0], [0, 1]];
    let Some(head) = bytes.strip_prefix(b"\x7fELF") else {
        return FileKind::Text;
    };
    // e_type is behind the 16 bytes of e_ident.
    match head.get(12..14) {
        Some(kind) if RELOCATABLE.iter().any(|it| it == kind) => FileKind::Module,
        _ => FileKind::Vmlinux,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn files_are_told_apart_by_their_first_bytes() {
        let elf = |kind: [u8; 2]| [&b"\x7fELF\x02\x01\x01\0\0\0\0\0\0\0\0\0"[..], &kind].concat();
        assert_eq!(kind(&elf([1, 0])), FileKind::Module);
        assert_eq!(kind(&elf([2, 0])), FileKind::Vmlinux);
        assert_eq!(kind(&elf([3, 0])), FileKind::Vmlinux);
        assert_eq!(kind(b"\x7fELF"), FileKind::Vmlinux);
        assert_eq!(kind(b"ffffffff81000000 T _stext\n"), FileKind::Text);
        assert_eq!(kind(b""), FileKind::Text);
    }
}
