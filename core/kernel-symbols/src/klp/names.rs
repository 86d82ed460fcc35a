//! Names in livepatch modules.

use core::fmt;

use crate::name::Name;

const SYMBOL_PREFIX: &[u8] = b".klp.sym.";
const SECTION_PREFIX: &[u8] = b".klp.rela.";

/// Most characters of an object's name in either (`%55[^.]`, `kernel/livepatch/core.c`, v7.3).
pub const OBJECT_NAME_MAXIMUM: usize = 55;
/// Most characters of a symbol's name (`%511[^,]`; `KSYM_NAME_LEN` is 512).
pub const SYMBOL_NAME_MAXIMUM: usize = 511;

/// What the name of a livepatch symbol says.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct KlpSymbol<'d> {
    /// Object that it is in: `vmlinux`, or a module.
    pub object: Name<'d>,
    /// Its name there.
    pub name: Name<'d>,
    /// Its position among those of its name; 0 when it must be the only one.
    pub position: u64,
}

impl fmt::Display for KlpSymbol<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            object,
            name,
            position,
        } = self;
        write!(f, ".klp.sym.{object}.{name},{position}")
    }
}

/// What is wrong with a name.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum KlpNameError {
    /// It starts with something else.
    #[error("it does not start with {expected}")]
    Prefix {
        /// What it should start with.
        expected: &'static str,
    },
    /// No object, or no dot behind it.
    #[error("no object of 1 to 55 characters with a dot behind it")]
    Object,
    /// No symbol, or no comma behind it.
    #[error("no symbol of 1 to 511 characters with a comma behind it")]
    Symbol,
    /// No number behind the comma, or one too large.
    #[error("no position behind the comma")]
    Position,
    /// Something behind the position. The kernel reads over it.
    #[error("{bytes} bytes behind the position, which the kernel reads over")]
    Trailing {
        /// How many.
        bytes: usize,
    },
    /// No section behind the object. The kernel reads over it.
    #[error("no section behind the object")]
    Section,
}

/// Reads the name of a livepatch symbol, `.klp.sym.OBJECT.NAME,POSITION`.
///
/// # Errors
/// [`KlpNameError`].
pub fn parse_sym_name(name: &[u8]) -> Result<KlpSymbol<'_>, KlpNameError> {
    let expected = ".klp.sym.";
    let rest = name.strip_prefix(SYMBOL_PREFIX);
    let rest = rest.ok_or(KlpNameError::Prefix { expected })?;
    let (object, rest) = object(rest)?;
    let rest = rest.strip_prefix(b".").ok_or(KlpNameError::Object)?;
    let comma = rest.iter().position(|&byte| byte == b',');
    let comma = comma.filter(|length| (1..=SYMBOL_NAME_MAXIMUM).contains(length));
    let (name, rest) = comma
        .and_then(|length| rest.split_at_checked(length))
        .ok_or(KlpNameError::Symbol)?;
    let number = rest.strip_prefix(b",").unwrap_or_default();
    let digits = number
        .iter()
        .take_while(|byte| byte.is_ascii_digit())
        .count();
    let (digits, trailing) = number.split_at_checked(digits).unwrap_or_default();
    let position = core::str::from_utf8(digits)
        .ok()
        .and_then(|digits| digits.parse().ok());
    let position = position.ok_or(KlpNameError::Position)?;
    if !trailing.is_empty() {
        let bytes = trailing.len();
        return Err(KlpNameError::Trailing { bytes });
    }
    Ok(KlpSymbol {
        object: Name::new(object),
        name: Name::new(name),
        position,
    })
}

/// Reads the name of a section of livepatch relocations, `.klp.rela.OBJECT.SECTION`: the object and the section. The latter
/// has a dot of its own only if there are two.
///
/// # Errors
/// [`KlpNameError`].
pub fn parse_rela_section_name(name: &[u8]) -> Result<(Name<'_>, Name<'_>), KlpNameError> {
    let expected = ".klp.rela.";
    let rest = name.strip_prefix(SECTION_PREFIX);
    let rest = rest.ok_or(KlpNameError::Prefix { expected })?;
    let (object, rest) = object(rest)?;
    match rest.strip_prefix(b".") {
        Some(section) if !section.is_empty() => Ok((Name::new(object), Name::new(section))),
        _ => Err(KlpNameError::Section),
    }
}

/// The name of an object at the start, and what is behind it.
fn object(text: &[u8]) -> Result<(&[u8], &[u8]), KlpNameError> {
    let length = text.iter().take_while(|&&byte| byte != b'.').count();
    let is_name = (1..=OBJECT_NAME_MAXIMUM).contains(&length);
    let split = text.split_at_checked(length).filter(|_| is_name);
    split.ok_or(KlpNameError::Object)
}
