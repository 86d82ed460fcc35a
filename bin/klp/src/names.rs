//! Numbers of ELF files as people know them.

use elf_index::{Object, Section, Symbol, SymbolPlace};
use object::elf::{self, FileType, Machine, SectionFlags, SectionType};

/// Names an `e_machine`.
pub(crate) fn machine(number: Machine) -> String {
    match number {
        elf::EM_X86_64 => "x86-64".into(),
        elf::EM_AARCH64 => "arm64".into(),
        elf::EM_PPC64 => "powerpc64".into(),
        elf::EM_S390 => "s390".into(),
        elf::EM_LOONGARCH => "loongarch".into(),
        elf::EM_RISCV => "riscv".into(),
        _ => format!("machine {}", number.0),
    }
}

/// Names an `e_type`.
pub(crate) fn file_kind(number: FileType) -> String {
    match number {
        elf::ET_REL => "relocatable".into(),
        elf::ET_EXEC => "executable".into(),
        elf::ET_DYN => "shared object".into(),
        elf::ET_CORE => "core".into(),
        _ => format!("type {:#x}", number.0),
    }
}

/// Names an `sh_type` as `readelf` does.
pub(crate) fn section_kind(number: SectionType) -> String {
    let name = match number {
        elf::SHT_NULL => "NULL",
        elf::SHT_PROGBITS => "PROGBITS",
        elf::SHT_SYMTAB => "SYMTAB",
        elf::SHT_STRTAB => "STRTAB",
        elf::SHT_RELA => "RELA",
        elf::SHT_HASH => "HASH",
        elf::SHT_DYNAMIC => "DYNAMIC",
        elf::SHT_NOTE => "NOTE",
        elf::SHT_NOBITS => "NOBITS",
        elf::SHT_REL => "REL",
        elf::SHT_DYNSYM => "DYNSYM",
        elf::SHT_INIT_ARRAY => "INIT_ARRAY",
        elf::SHT_FINI_ARRAY => "FINI_ARRAY",
        elf::SHT_GROUP => "GROUP",
        elf::SHT_SYMTAB_SHNDX => "SYMTAB SECTION INDICES",
        _ => return format!("{:#x}", number.0),
    };
    name.into()
}

/// Letters of `sh_flags` as `readelf` prints them; `o` is a livepatch relocation section, as every flag of the operating system.
pub(crate) fn section_flags(flags: SectionFlags) -> String {
    let letters = [
        (elf::SHF_WRITE, 'W'),
        (elf::SHF_ALLOC, 'A'),
        (elf::SHF_EXECINSTR, 'X'),
        (elf::SHF_MERGE, 'M'),
        (elf::SHF_STRINGS, 'S'),
        (elf::SHF_INFO_LINK, 'I'),
        (elf::SHF_LINK_ORDER, 'L'),
        (elf::SHF_GROUP, 'G'),
        (elf::SHF_TLS, 'T'),
        (elf::SHF_COMPRESSED, 'C'),
        (SectionFlags(klp_abi::SHF_RELA_LIVEPATCH), 'o'),
    ];
    letters
        .iter()
        .filter(|(flag, _)| flags.contains(*flag))
        .map(|(_, letter)| *letter)
        .collect()
}

/// Names the place of a symbol as `readelf` does.
pub(crate) fn place(place: SymbolPlace) -> String {
    match place {
        SymbolPlace::Undefined => "UND".into(),
        SymbolPlace::Absolute => "ABS".into(),
        SymbolPlace::Section(section) => section.to_string(),
        SymbolPlace::Reserved(number) if number == elf::SHN_COMMON.0 => "COM".into(),
        SymbolPlace::Reserved(klp_abi::SHN_LIVEPATCH) => "KLP".into(),
        SymbolPlace::Reserved(number) => format!("{number:#x}"),
    }
}

/// The name of a symbol, of a section symbol that of its section.
pub(crate) fn symbol<'d>(object: &Object<'d>, symbol: &Symbol<'d>) -> &'d str {
    let section = || {
        object
            .section_of(symbol)
            .map(|section: &Section<'d>| section.name)
    };
    match symbol.name {
        "" if symbol.is_section() => section().unwrap_or_default(),
        name => name,
    }
}
