//! The letter of a symbol.

use core::fmt;

/// What a symbol is: the letter that `nm`, `System.map` and `/proc/kallsyms` have in front of the name,
/// and whether the kernel counts it.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct Kind(u8);

/// Letters are ASCII: the highest bit is free.
const UNCOUNTED: u8 = 0x80;

impl Kind {
    /// The kind of a letter; `U` is undefined.
    #[must_use]
    pub const fn of_letter(letter: u8) -> Self {
        match letter {
            b'U' => Self(letter | UNCOUNTED),
            _ => Self(letter & !UNCOUNTED),
        }
    }

    /// The same letter, of a symbol that the kernel passes over.
    #[must_use]
    pub const fn uncounted(self) -> Self {
        Self(self.0 | UNCOUNTED)
    }

    /// The letter.
    #[must_use]
    pub fn letter(self) -> char {
        char::from(self.0 & !UNCOUNTED)
    }

    /// Whether the kernel sees it: it is defined (`st_shndx` is not `SHN_UNDEF`), and the table it is
    /// in exists in this phase of the module.
    #[must_use]
    pub const fn is_counted(self) -> bool {
        self.0 & UNCOUNTED == 0
    }

    /// Whether it is in executable memory: `t` and `T`. Weak symbols have letters of their own, `w`
    /// and `W`, wherever they are.
    #[must_use]
    pub const fn is_text(self) -> bool {
        self.0 & !UNCOUNTED | 0x20 == b't'
    }

    /// Whether it is no place in memory that is mapped for all: `a` and `A`, absolute or per CPU.
    #[must_use]
    pub const fn is_absolute(self) -> bool {
        self.0 & !UNCOUNTED | 0x20 == b'a'
    }

    /// Whether it is weak, and not known to be data: `w` and `W`.
    #[must_use]
    pub const fn is_weak(self) -> bool {
        self.0 & !UNCOUNTED | 0x20 == b'w'
    }
}

impl fmt::Debug for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let counted = if self.is_counted() { "" } else { ", uncounted" };
        write!(f, "Kind({:?}{counted})", self.letter())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn undefined_symbols_are_not_counted() {
        assert!(!Kind::of_letter(b'U').is_counted());
        assert!(Kind::of_letter(b'u').is_counted());
        assert!(Kind::of_letter(b't').is_text() && Kind::of_letter(b'T').is_text());
        let gone = Kind::of_letter(b'T').uncounted();
        assert!(gone.is_text() && !gone.is_counted());
        assert_eq!(gone.letter(), 'T');
    }
}
