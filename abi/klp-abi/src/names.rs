//! Names with a meaning for the livepatch core.
//!
//! `kernel/livepatch/core.c` (v7.3) reads a symbol as `.klp.sym.%55[^.].%511[^,],%lu` and a relocation section as
//! `.klp.rela.%55[^.]`, so an object's name has no dot and at most 55 bytes, and a symbol's no comma and at most 511.

use core::fmt;

/// Start of the name of a symbol that the livepatch core resolves.
pub const SYMBOL_PREFIX: &str = ".klp.sym.";

/// Start of the name of a relocation section that the livepatch core applies.
pub const RELA_PREFIX: &str = ".klp.rela.";

/// Most bytes of an object's name: `MODULE_NAME_LEN` less the terminator.
pub const OBJECT_NAME_BYTES: usize = 55;

/// Most bytes of a symbol's name: `KSYM_NAME_LEN` less the terminator.
pub const SYMBOL_NAME_BYTES: usize = 511;

/// The name of a symbol that the livepatch core resolves: `.klp.sym.<object>.<symbol>,<sympos>`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct KlpSymbol<'n> {
    object: &'n str,
    symbol: &'n str,
    sympos: u64,
}

/// A name that the livepatch core would not understand.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum NameError {
    /// Another prefix.
    #[error("name does not start with {expected}")]
    Prefix {
        /// What it must start with.
        expected: &'static str,
    },
    /// No object, one with a dot or of more than 55 bytes.
    #[error("object's name of {len} bytes: 1 to 55 without a dot are allowed")]
    Object {
        /// Bytes found.
        len: usize,
    },
    /// No symbol, one with a comma or of more than 511 bytes.
    #[error("symbol's name of {len} bytes: 1 to 511 without a comma are allowed")]
    Symbol {
        /// Bytes found.
        len: usize,
    },
    /// No decimal position behind the comma, or one too large.
    #[error("no decimal symbol position behind the comma")]
    Position,
    /// Something behind the position. The kernel reads over it.
    #[error("{bytes} bytes behind the position, which the kernel reads over")]
    Trailing {
        /// How many.
        bytes: usize,
    },
    /// No section behind the object.
    #[error("no section's name behind the object's")]
    Section,
}

impl<'n> KlpSymbol<'n> {
    /// Makes a name of its parts.
    ///
    /// # Errors
    ///
    /// When the kernel would read other parts from it.
    pub fn new(object: &'n str, symbol: &'n str, sympos: u64) -> Result<Self, NameError> {
        check_object(object)?;
        let len = symbol.len();
        if len == 0 || len > SYMBOL_NAME_BYTES || symbol.contains(',') {
            return Err(NameError::Symbol { len });
        }
        Ok(Self {
            object,
            symbol,
            sympos,
        })
    }

    /// Reads a name.
    ///
    /// # Errors
    ///
    /// When the kernel could not read it.
    pub fn parse(name: &'n str) -> Result<Self, NameError> {
        let (object, symbol, sympos) = parse_symbol(name.as_bytes())?;
        // Split at characters of one byte, text stays text.
        let text = |bytes| core::str::from_utf8(bytes).unwrap_or_default();
        Self::new(text(object), text(symbol), sympos)
    }

    /// Name of the module, or `vmlinux`.
    #[must_use]
    pub const fn object(&self) -> &'n str {
        self.object
    }

    /// Name of the symbol in that object.
    #[must_use]
    pub const fn symbol(&self) -> &'n str {
        self.symbol
    }

    /// Which of several symbols of that name, from 1; 0 when there must be one only.
    #[must_use]
    pub const fn sympos(&self) -> u64 {
        self.sympos
    }
}

impl fmt::Display for KlpSymbol<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            object,
            symbol,
            sympos,
        } = self;
        write!(f, "{SYMBOL_PREFIX}{object}.{symbol},{sympos}")
    }
}

/// The name of a relocation section that the livepatch core applies: `.klp.rela.<object>.<section>`.
///
/// The section keeps its own leading dot, so that of `.text` ends in `..text`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct KlpRelaSection<'n> {
    object: &'n str,
    section: &'n str,
}

impl<'n> KlpRelaSection<'n> {
    /// Makes a name of its parts.
    ///
    /// # Errors
    ///
    /// When the kernel would read other parts from it.
    pub fn new(object: &'n str, section: &'n str) -> Result<Self, NameError> {
        check_object(object)?;
        if section.is_empty() {
            return Err(NameError::Section);
        }
        Ok(Self { object, section })
    }

    /// Reads a name.
    ///
    /// # Errors
    ///
    /// When the kernel could not read it.
    pub fn parse(name: &'n str) -> Result<Self, NameError> {
        let (object, section) = parse_rela_section(name.as_bytes())?;
        let text = |bytes| core::str::from_utf8(bytes).unwrap_or_default();
        Self::new(text(object), text(section))
    }

    /// Name of the module whose loading the relocations wait for, or `vmlinux`.
    #[must_use]
    pub const fn object(&self) -> &'n str {
        self.object
    }

    /// Name of the section they apply to.
    #[must_use]
    pub const fn section(&self) -> &'n str {
        self.section
    }
}

impl fmt::Display for KlpRelaSection<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{RELA_PREFIX}{}.{}", self.object, self.section)
    }
}

/// Object, symbol and position in the name of a symbol, whose bytes need be no text.
///
/// # Errors
///
/// When the kernel could not read it, or would read over a part of it.
pub fn parse_symbol(name: &[u8]) -> Result<(&[u8], &[u8], u64), NameError> {
    let (object, rest) = split_object(name, SYMBOL_PREFIX)?;
    let rest = rest.unwrap_or_default();
    let len = rest.iter().take_while(|&&byte| byte != b',').count();
    let is_name = (1..=SYMBOL_NAME_BYTES).contains(&len);
    let split = rest.split_at_checked(len).filter(|_| is_name);
    let (symbol, rest) = split.ok_or(NameError::Symbol { len })?;
    let number = rest.strip_prefix(b",").ok_or(NameError::Position)?;
    let digits = number.iter().take_while(|it| it.is_ascii_digit()).count();
    let (digits, trailing) = number.split_at_checked(digits).unwrap_or_default();
    let sympos = core::str::from_utf8(digits)
        .ok()
        .and_then(|digits| digits.parse().ok());
    let sympos = sympos.ok_or(NameError::Position)?;
    if !trailing.is_empty() {
        let bytes = trailing.len();
        return Err(NameError::Trailing { bytes });
    }
    Ok((object, symbol, sympos))
}

/// Object and section in the name of a section of relocations. The section has a dot of its own only if there are two.
///
/// # Errors
///
/// When the kernel could not read it, or would read over a part of it.
pub fn parse_rela_section(name: &[u8]) -> Result<(&[u8], &[u8]), NameError> {
    let (object, section) = split_object(name, RELA_PREFIX)?;
    let section = section.filter(|section| !section.is_empty());
    Ok((object, section.ok_or(NameError::Section)?))
}

/// The object behind the prefix, and what is behind its dot.
fn split_object<'n>(
    name: &'n [u8],
    expected: &'static str,
) -> Result<(&'n [u8], Option<&'n [u8]>), NameError> {
    let rest = name.strip_prefix(expected.as_bytes());
    let rest = rest.ok_or(NameError::Prefix { expected })?;
    let len = rest.iter().take_while(|&&byte| byte != b'.').count();
    let is_name = (1..=OBJECT_NAME_BYTES).contains(&len);
    let split = rest.split_at_checked(len).filter(|_| is_name);
    let (object, rest) = split.ok_or(NameError::Object { len })?;
    Ok((object, rest.strip_prefix(b".")))
}

fn check_object(object: &str) -> Result<(), NameError> {
    let len = object.len();
    if len == 0 || len > OBJECT_NAME_BYTES || object.contains('.') {
        return Err(NameError::Object { len });
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::string::ToString as _;

    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_symbol_with_dots_is_read_as_the_kernel_reads_it() {
        let name = KlpSymbol::parse(".klp.sym.vmlinux.foo.isra.0,2").unwrap();
        assert_eq!(
            (name.object(), name.symbol(), name.sympos()),
            ("vmlinux", "foo.isra.0", 2)
        );
    }

    #[test]
    fn names_that_the_kernel_would_not_read_are_refused() {
        for wrong in [
            "foo",
            ".klp.sym.",
            ".klp.sym.vmlinux",
            ".klp.sym..foo,0",
            ".klp.sym.vmlinux.,0",
            ".klp.sym.vmlinux.foo",
            ".klp.sym.vmlinux.foo,",
            ".klp.sym.vmlinux.foo,+1",
            ".klp.sym.vmlinux.foo,1,2",
            ".klp.sym.vmlinux.foo,99999999999999999999",
        ] {
            assert!(KlpSymbol::parse(wrong).is_err(), "{wrong}");
        }
        let long = "x".repeat(56);
        assert_eq!(
            KlpSymbol::new(&long, "f", 0),
            Err(NameError::Object { len: 56 })
        );
        let long = "x".repeat(512);
        assert_eq!(
            KlpSymbol::new("m", &long, 0),
            Err(NameError::Symbol { len: 512 })
        );
    }

    #[test]
    fn a_relocation_section_keeps_the_dot_of_its_target() {
        let name = KlpRelaSection::new("fuse", ".text").unwrap();
        assert_eq!(name.to_string(), ".klp.rela.fuse..text");
        assert_eq!(KlpRelaSection::parse(".klp.rela.fuse..text"), Ok(name));
        assert!(KlpRelaSection::parse(".klp.rela.fuse").is_err());
        assert!(KlpRelaSection::parse(".klp.rela..text").is_err());
    }

    proptest! {
        #[test]
        fn what_is_written_is_read(object in "[a-z_]{1,55}", symbol in "[a-zA-Z_.$]{1,60}", sympos: u64) {
            let name = KlpSymbol::new(&object, &symbol, sympos).unwrap();
            let text = name.to_string();
            prop_assert_eq!(KlpSymbol::parse(&text), Ok(name));
        }

        #[test]
        fn no_text_makes_the_reader_panic(text in ".*") {
            let _any = KlpSymbol::parse(&text);
            let _any = KlpRelaSection::parse(&text);
        }
    }
}
