//! `klp show`: what is in an object, a vmlinux or a livepatch module.

use std::collections::BTreeMap;
use std::io::{self, Write};
use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::Result;
use elf_index::{Object, SectionId};
use klp_abi::{KlpRelaSection, KlpSymbol, SHF_RELA_LIVEPATCH, SHN_LIVEPATCH, records};
use livepatch::Input;
use object::elf;

use crate::names;

/// Shows what is in an object file, a vmlinux or a livepatch module
#[derive(Debug, clap::Args)]
pub(crate) struct Show {
    /// A 64-bit ELF file
    file: PathBuf,

    /// List every section
    #[arg(long)]
    sections: bool,

    /// List every symbol
    #[arg(long)]
    symbols: bool,

    /// List every relocation
    #[arg(long)]
    relocs: bool,
}

impl Show {
    pub(crate) fn run(&self, output: &mut dyn Write) -> Result<ExitCode> {
        let input = Input::open(&self.file)?;
        let object = input.object()?;
        summary(&object, output)?;
        livepatch(&object, output)?;
        if self.sections {
            sections(&object, output)?;
        }
        if self.symbols {
            symbols(&object, output)?;
        }
        if self.relocs {
            relocs(&object, output)?;
        }
        Ok(ExitCode::SUCCESS)
    }
}

fn summary(object: &Object<'_>, output: &mut dyn Write) -> io::Result<()> {
    let header = object.header();
    let count = |predicate: fn(&elf_index::Symbol<'_>) -> bool| {
        object
            .symbols()
            .iter()
            .filter(|symbol| predicate(symbol))
            .count()
    };
    let relocs: usize = (0..)
        .take(object.sections().len())
        .filter_map(|index| object.relocation_section(SectionId(index)).ok())
        .map(|relocs| relocs.len())
        .sum();
    writeln!(
        output,
        "{} {} {:?}-endian",
        names::machine(header.machine),
        names::file_kind(header.kind),
        header.endian
    )?;
    writeln!(
        output,
        "{} sections, {} symbols ({} functions, {} objects, {} source files), {relocs} relocations",
        object.sections().len(),
        object.symbols().len(),
        count(|symbol| symbol.is_func()),
        count(|symbol| symbol.is_object()),
        count(|symbol| symbol.is_file()),
    )?;
    for (key, value) in modinfo(object) {
        writeln!(output, "modinfo {key}={value}")?;
    }
    Ok(())
}

/// `key=value` strings of a module.
fn modinfo(object: &Object<'_>) -> Vec<(String, String)> {
    let section = object.section_named(".modinfo");
    let bytes = section.map(|(_, section)| section.data).unwrap_or_default();
    bytes
        .split(|byte| *byte == 0)
        .map(String::from_utf8_lossy)
        .filter_map(|text| {
            let (key, value) = text.split_once('=')?;
            Some((key.to_owned(), value.to_owned()))
        })
        .collect()
}

fn livepatch(object: &Object<'_>, output: &mut dyn Write) -> io::Result<()> {
    for (id, section) in object.sections_with_ids() {
        let count = |size: usize| section.data.len() / size;
        match section.name {
            records::OBJECTS_SECTION => {
                writeln!(
                    output,
                    "diff output: {} objects",
                    count(size_of::<klp_abi::ObjectExt>())
                )?;
            }
            records::FUNCS_SECTION => {
                writeln!(
                    output,
                    "diff output: {} functions",
                    count(size_of::<klp_abi::FuncExt>())
                )?;
            }
            records::SYM_CHECKSUM_SECTION => {
                writeln!(
                    output,
                    "{} checksums",
                    count(size_of::<klp_abi::SymChecksum>())
                )?;
            }
            name if section.kind == elf::SHT_PROGBITS
                && name.starts_with(records::RELOCS_PREFIX) =>
            {
                let count = count(size_of::<klp_abi::RelocRecord>());
                writeln!(
                    output,
                    "diff output: {count} livepatch relocations in {name}"
                )?;
            }
            name if section.flags.0 & SHF_RELA_LIVEPATCH != 0 => {
                let of = match KlpRelaSection::parse(name) {
                    Ok(parts) => format!("of {}, waiting for {}", parts.section(), parts.object()),
                    Err(error) => format!("WRONG NAME: {error}"),
                };
                let relocs = object
                    .relocation_section(id)
                    .map_or(0, |relocs| relocs.len());
                writeln!(output, "{relocs} livepatch relocations {of}")?;
            }
            _ => {}
        }
    }
    let mut by_object: BTreeMap<&str, usize> = BTreeMap::new();
    let livepatch = elf_index::SymbolPlace::Reserved(SHN_LIVEPATCH);
    for symbol in object
        .symbols()
        .iter()
        .filter(|symbol| symbol.place == livepatch)
    {
        match KlpSymbol::parse(symbol.name) {
            Ok(name) => *by_object.entry(name.object()).or_default() += 1,
            Err(error) => writeln!(
                output,
                "livepatch symbol {}: WRONG NAME: {error}",
                symbol.name
            )?,
        }
    }
    for (name, count) in by_object {
        writeln!(output, "{count} livepatch symbols of {name}")?;
    }
    Ok(())
}

fn sections(object: &Object<'_>, output: &mut dyn Write) -> io::Result<()> {
    writeln!(
        output,
        "\nnumber\tname\ttype\tflags\taddress\toffset\tsize\tentry\tlink\tinfo\talign"
    )?;
    for (id, section) in object.sections_with_ids() {
        writeln!(
            output,
            "{id}\t{}\t{}\t{}\t{:x}\t{:x}\t{:x}\t{:x}\t{}\t{}\t{}",
            section.name,
            names::section_kind(section.kind),
            names::section_flags(section.flags),
            section.address,
            section.offset,
            section.size,
            section.entry_size,
            section.link,
            section.info,
            section.align,
        )?;
    }
    Ok(())
}

fn symbols(object: &Object<'_>, output: &mut dyn Write) -> io::Result<()> {
    writeln!(output, "\nnumber\tvalue\tsize\ttype\tbinding\tplace\tname")?;
    for (id, symbol) in object.symbols_with_ids() {
        let number =
            |name: Option<&str>, number: u8| name.map_or_else(|| number.to_string(), Into::into);
        writeln!(
            output,
            "{id}\t{:x}\t{}\t{}\t{}\t{}\t{}",
            symbol.value,
            symbol.size,
            number(symbol.kind.name(), symbol.kind.0),
            number(symbol.binding.name(), symbol.binding.0),
            names::place(symbol.place),
            names::symbol(object, symbol),
        )?;
    }
    Ok(())
}

fn relocs(object: &Object<'_>, output: &mut dyn Write) -> Result<()> {
    writeln!(output, "\nsection\toffset\ttype\taddend\tsymbol")?;
    for (id, section) in object.sections_with_ids() {
        if section.kind != elf::SHT_RELA {
            continue;
        }
        for reloc in object.relocation_section(id)?.iter() {
            let symbol = object.symbol(reloc.symbol);
            writeln!(
                output,
                "{}\t{:x}\t{}\t{:x}\t{}",
                section.name,
                reloc.offset,
                reloc.kind,
                reloc.addend,
                symbol.map_or("", |symbol| names::symbol(object, symbol)),
            )?;
        }
    }
    Ok(())
}
