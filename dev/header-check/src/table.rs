//! What is compared: every layout, constant and string of the ABI crates beside its C name.
//!
//! The private modules `handover`, `livepatch` and `uapi` have the entries of the crates.

mod handover;
mod livepatch;
mod uapi;

use std::collections::BTreeSet;

use kho_abi::PageSize;

use crate::Release;

/// Everything that is compared for one page size.
#[derive(Debug, Clone)]
pub struct Table {
    /// Page size the numbers are for.
    pub page_size: PageSize,
    /// Headers to include, as C writes them.
    pub includes: Vec<&'static str>,
    /// Structures.
    pub layouts: Vec<Layout>,
    /// Numbers.
    pub constants: Vec<Constant>,
    /// Strings.
    pub strings: Vec<Text>,
    /// Objects whose bytes are compared.
    pub images: Vec<Image>,
    /// Names the crates leave out on purpose.
    pub not_modelled: Vec<&'static str>,
}

/// A structure.
#[derive(Debug, Clone)]
pub struct Layout {
    /// File that defines it, relative to the source tree.
    pub header: &'static str,
    /// Name after `struct`.
    pub c_name: &'static str,
    /// Bytes.
    pub size: usize,
    /// Fields that have an address.
    pub fields: Vec<Field>,
    /// Bytes no field covers: bit-fields.
    pub unnamed_bytes: usize,
}

/// A field of a structure.
#[derive(Debug, Clone, Copy)]
pub struct Field {
    /// Name in C.
    pub c_name: &'static str,
    /// Bytes from the start of the structure.
    pub offset: usize,
    /// Bytes.
    pub size: usize,
}

/// A number.
#[derive(Debug, Clone, Copy)]
pub struct Constant {
    /// File that defines it.
    pub header: &'static str,
    /// Macro or enumerator.
    pub c_name: &'static str,
    /// Our value.
    pub value: u64,
    /// A macro is looked for with `#ifdef`; an enumerator is not.
    pub is_macro: bool,
}

/// A string.
#[derive(Debug, Clone, Copy)]
pub struct Text {
    /// File that defines it.
    pub header: &'static str,
    /// Macro.
    pub c_name: &'static str,
    /// Our value.
    pub value: &'static str,
}

/// An object initialised in C, compared with our bytes: the way to prove bit-fields.
#[derive(Debug, Clone)]
pub struct Image {
    /// File that defines the type.
    pub header: &'static str,
    /// Name after `struct`.
    pub c_name: &'static str,
    /// Initialiser in C.
    pub initializer: &'static str,
    /// Our bytes.
    pub bytes: Vec<u8>,
}

impl Table {
    /// Files the entries come from.
    #[must_use]
    pub fn headers(&self) -> BTreeSet<&'static str> {
        self.layouts
            .iter()
            .map(|layout| layout.header)
            .chain(self.constants.iter().map(|constant| constant.header))
            .chain(self.strings.iter().map(|string| string.header))
            .chain(self.images.iter().map(|image| image.header))
            .collect()
    }
}

/// Returns the table of all crates for one release and page size.
#[must_use]
pub fn table(release: Release, page_size: PageSize) -> Table {
    let mut table = Table {
        page_size,
        includes: vec![
            "linux/types.h",
            "linux/fcntl.h",
            "linux/errno.h",
            handover::scratch_include(release),
            "asm/setup_data.h",
            "linux/kho/abi/block.h",
            "linux/kho/abi/kexec_handover.h",
            "linux/kho/abi/kexec_metadata.h",
            "linux/kho/abi/luo.h",
            "linux/kho/abi/memblock.h",
            "linux/kho/abi/memfd.h",
            "linux/livepatch_external.h",
            "uapi/linux/liveupdate.h",
        ],
        layouts: Vec::new(),
        constants: Vec::new(),
        strings: Vec::new(),
        images: Vec::new(),
        not_modelled: Vec::new(),
    };
    handover::add(&mut table, release);
    livepatch::add(&mut table);
    uapi::add(&mut table);
    table
}

/// Size of the field that `_field_fn` returns.
fn field_size<S, F>(_field_fn: fn(&S) -> &F) -> usize {
    size_of::<F>()
}

/// A number as the table holds it.
fn count(value: usize) -> u64 {
    u64::try_from(value).unwrap_or(u64::MAX)
}

/// A macro of a header.
const fn define(header: &'static str, c_name: &'static str, value: u64) -> Constant {
    Constant {
        header,
        c_name,
        value,
        is_macro: true,
    }
}

/// An enumerator of a header.
const fn enumerator(header: &'static str, c_name: &'static str, value: u64) -> Constant {
    Constant {
        header,
        c_name,
        value,
        is_macro: false,
    }
}

/// `layout!(header, "c_name" = RustType { rust_field: "c_field", ... }, unnamed bytes)`.
macro_rules! layout {
    ($header:expr, $c_name:literal = $rust:ty { $($field:ident: $c_field:literal),* $(,)? }, $unnamed:literal) => {
        $crate::table::Layout {
            header: $header,
            c_name: $c_name,
            size: size_of::<$rust>(),
            fields: vec![$($crate::table::Field {
                c_name: $c_field,
                offset: core::mem::offset_of!($rust, $field),
                size: $crate::table::field_size(|value: &$rust| &value.$field),
            }),*],
            unnamed_bytes: $unnamed,
        }
    };
}
use layout;
