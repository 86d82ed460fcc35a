//! [`Meaning`]: what the object of a change says, however it is laid out.

use std::collections::BTreeMap;

use elf_index::{Object, Reloc, Section, SectionId, SymbolPlace};
use klp_abi::RelocRecord;
use klp_abi::records::RELOCS_PREFIX;
use zerocopy::FromBytes as _;

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
            if !is_content || has_strings(section.name) || section.name == ".modinfo" {
                continue;
            }
            if section.name.starts_with(RELOCS_PREFIX) {
                meaning.records(object, id, section);
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

    /// Livepatch relocations to be; their order is nobody's business, either.
    fn records(&mut self, object: &Object<'_>, id: SectionId, section: &Section<'_>) {
        let (records, _rest) = section.data.as_chunks::<{ size_of::<RelocRecord>() }>();
        for (start, bytes) in (0_u64..).step_by(size_of::<RelocRecord>()).zip(records) {
            let field = |at: u64| {
                let at = start + at;
                let reloc = object.relocs(id).within(at..at + 1).first();
                reloc.map_or_else(Default::default, |reloc| leads_to(object, &reloc))
            };
            let (relocated, offset) = field(0);
            let record = RelocRecord::read_from_bytes(bytes);
            let kind = record.map_or(0, |record| record.kind.get());
            let name = format!("{} for {relocated}", section.name);
            self.relocs
                .insert((name, offset.cast_unsigned(), kind), field(8));
        }
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

/// Strings of any kind; of `__func__` there are several in a section when functions of many files are in an object.
fn has_strings(name: &str) -> bool {
    name.contains(".str1") || name.starts_with(".rodata.__func__")
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
    if has_strings(section.name) {
        let string = section.string(place).unwrap_or_default();
        return (String::from_utf8_lossy(string).into_owned(), 0);
    }
    (section.name.to_owned(), place.cast_signed())
}
