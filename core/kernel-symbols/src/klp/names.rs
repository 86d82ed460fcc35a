//! Names in livepatch modules.

use core::fmt;

pub use klp_abi::{
    NameError as KlpNameError, OBJECT_NAME_BYTES as OBJECT_NAME_MAXIMUM,
    SYMBOL_NAME_BYTES as SYMBOL_NAME_MAXIMUM,
};

use crate::name::Name;

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
        write!(f, "{}{object}.{name},{position}", klp_abi::SYMBOL_PREFIX)
    }
}

/// Reads the name of a livepatch symbol, `.klp.sym.OBJECT.NAME,POSITION`.
///
/// # Errors
/// [`KlpNameError`].
pub fn parse_sym_name(name: &[u8]) -> Result<KlpSymbol<'_>, KlpNameError> {
    let (object, name, position) = klp_abi::parse_symbol(name)?;
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
    let (object, section) = klp_abi::parse_rela_section(name)?;
    Ok((Name::new(object), Name::new(section)))
}
