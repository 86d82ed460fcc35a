//! [`LinkedFile`]: the kernel or module that runs, whose symbols the livepatch core counts.

use std::path::Path;

use elf_index::Object;
use kernel_symbols::module::{ElfError, Phase};
use kernel_symbols::{Module, Table, vmlinux};
use klp_diff::LinkedPositions;
use object::elf::ET_REL;

use crate::error::Error;
use crate::input::Input;

/// Where a module is laid out: no position depends on it.
pub(crate) const BASE: u64 = 0xffff_ffff_c000_0000;

/// A linked file with its symbols.
#[derive(Debug)]
pub struct LinkedFile<'i> {
    object: Object<'i>,
    table: Table<'static>,
    name: String,
}

impl<'i> LinkedFile<'i> {
    /// Reads `vmlinux`, or a module under the name that the livepatch core knows it by.
    ///
    /// # Errors
    ///
    /// [`Error::Object`], [`Error::Symbols`].
    pub fn new(input: &'i Input, name: &str) -> Result<Self, Error> {
        let object = input.object()?;
        let table = table(&object, input.bytes()).map_err(|source| Error::Symbols {
            path: input.path().to_owned(),
            source,
        })?;
        // The object of a module need not say its name; then its table has none.
        let own = table.objects().next().map(|it| it.name.to_string());
        let name = own.unwrap_or_else(|| name.to_owned());
        Ok(Self {
            object,
            table,
            name,
        })
    }

    /// Positions of the symbols of an object that the file was linked from.
    #[must_use]
    pub fn positions<'a, 'o, 'd>(&'a self, object: &'o Object<'d>) -> LinkedPositions<'a, 'o, 'd>
    where
        'i: 'a,
    {
        LinkedPositions::new(object, &self.object, &self.table, &self.name)
    }
}

fn table(object: &Object<'_>, bytes: &[u8]) -> Result<Table<'static>, ElfError> {
    let mut table = if object.header().kind == ET_REL {
        Module::parse(bytes)?.table(BASE, Phase::Live)?.into_owned()
    } else {
        vmlinux::parse(bytes)?.into_owned()
    };
    table.index_names();
    Ok(table)
}

/// The name that the livepatch core knows an object by: `name=` of its `.modinfo`, else that of its file.
#[must_use]
pub fn object_name(path: &Path, object: &Object<'_>) -> String {
    let modinfo = object.section_named(".modinfo");
    let bytes = modinfo.map(|(_, section)| section.data).unwrap_or_default();
    let said = bytes
        .split(|byte| *byte == 0)
        .find_map(|text| text.strip_prefix(b"name="));
    match said {
        Some(name) => String::from_utf8_lossy(name).into_owned(),
        None => {
            let stem = path.file_stem().unwrap_or_default();
            stem.to_string_lossy().replace('-', "_")
        }
    }
}
