//! [`Meaning`]: what the object of a change says, however it is laid out.

use std::collections::BTreeMap;

use elf_index::{Object, Reloc, SymbolPlace};

/// For each section its bytes, and for each relocation where it leads.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Meaning {
    /// Bytes by name of the section.
    pub bytes: BTreeMap<String, Vec<u8>>,
    /// Section, offset and type of the relocation; where it leads, and the distance behind it.
    pub relocs: BTreeMap<(String, u64, u32), (String, i64)>,
}

impl Meaning {
    /// Reads an object. Strings are read where they are used: their order is nobody's business.
    #[must_use]
    pub fn of(object: &Object<'_>) -> Self {
        let mut meaning = Self::default();
        for (id, section) in object.sections_with_ids() {
            let is_content = section.is_alloc() || section.name.starts_with(".discard");
            // `.modinfo` says where objects are from.
            if !is_content || section.name.contains(".str1") || section.name == ".modinfo" {
                continue;
            }
            let name = section.name.to_owned();
            meaning.bytes.insert(name.clone(), section.data.to_vec());
            for reloc in object.relocs(id).iter() {
                let key = (name.clone(), reloc.offset, reloc.kind);
                meaning.relocs.insert(key, leads_to(object, &reloc));
            }
        }
        meaning
    }

    /// The first thing in which another one differs.
    #[must_use]
    pub fn difference(&self, other: &Self) -> Option<String> {
        let names = |meaning: &Self| meaning.bytes.keys().cloned().collect::<Vec<_>>();
        if names(self) != names(other) {
            return Some(format!("{:?} and {:?}", names(self), names(other)));
        }
        for (name, bytes) in &self.bytes {
            if other.bytes.get(name) != Some(bytes) {
                let found = other.bytes.get(name);
                return Some(format!("{name}: {bytes:02x?} and {found:02x?}"));
            }
        }
        for (place, target) in &self.relocs {
            if other.relocs.get(place) != Some(target) {
                let found = other.relocs.get(place);
                return Some(format!("{place:?}: {target:?} and {found:?}"));
            }
        }
        (self.relocs.len() != other.relocs.len()).then(|| "more relocations".to_owned())
    }
}

fn leads_to(object: &Object<'_>, reloc: &Reloc) -> (String, i64) {
    let Some(symbol) = object.symbol(reloc.symbol) else {
        return Default::default();
    };
    let SymbolPlace::Section(_) = symbol.place else {
        // What keeps a place is named as each tool likes.
        let name = match symbol.name.strip_prefix(".klp.tombstone.") {
            Some(_) => ".klp.tombstone",
            None => symbol.name,
        };
        return (name.to_owned(), reloc.addend);
    };
    let Some(section) = object.section_of(symbol) else {
        return Default::default();
    };
    let place = symbol.value.wrapping_add_signed(reloc.addend);
    if section.name.contains(".str1") {
        let string = section.string(place).unwrap_or_default();
        return (String::from_utf8_lossy(string).into_owned(), 0);
    }
    (section.name.to_owned(), place.cast_signed())
}
