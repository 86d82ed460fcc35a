//! Symbols: text, ELF files, names of livepatch.

use kernel_symbols::klp::{self, Target};
use kernel_symbols::linear::{LinearScan, Nearest};
use kernel_symbols::module::Phase;
use kernel_symbols::{Found, Module, Table, kallsyms, vmlinux};
use symbol_cases::{CODE, DATA, ElfBuilder, KLP_RELA, LIVEPATCH};

/// Where modules are laid out.
const BASE: u64 = 0xffff_ffff_c000_0000;

/// What is asked of every table: nothing panics, and the ways to ask agree.
fn ask(table: &Table<'_>) {
    let mut addrs: Vec<u64> = table
        .symbols()
        .map(|symbol| symbol.address())
        .take(200)
        .collect();
    addrs.extend([0, 1, BASE, BASE + 0x1234, u64::MAX]);
    addrs.sort_unstable();
    let show =
        |found: Option<Found<'_>>| found.map(|it| (it.symbol().index(), it.start(), it.end()));
    let single: Vec<_> = addrs.iter().map(|&addr| show(table.lookup(addr))).collect();
    for (found, addr) in single.iter().zip(&addrs) {
        assert!(
            found.is_none_or(|(_, start, end)| start <= *addr && start < end),
            "{found:x?}"
        );
    }
    let sorted: Vec<_> = table.lookup_sorted(&addrs).map(show).collect();
    assert_eq!(sorted, single);
    let mut batch = Vec::new();
    table.lookup_many(&addrs, |found| batch.push(show(found)));
    assert_eq!(batch, single);
    let aliases = addrs.iter().filter_map(|&addr| table.lookup(addr));
    let _count: usize = aliases.map(|found| found.aliases().count()).sum();
    let groups = table.duplicates();
    let _changes = groups.iter().filter(|group| group.order_changes()).count();
    let mut indexed = table.clone();
    indexed.index_names();
    for symbol in table.symbols().take(20) {
        if let (Some(name), Some(object)) = (symbol.name().as_str(), symbol.object().name.as_str())
        {
            let numbers = |table: &Table<'_>| -> Vec<u32> {
                table.by_name(name).map(|it| it.index()).collect()
            };
            assert_eq!(numbers(table), numbers(&indexed));
            for position in 0..3 {
                let found =
                    |table: &Table<'_>| table.sympos(name, object, position).map(|it| it.index());
                assert_eq!(found(table), found(&indexed));
            }
        }
    }
}

/// Text as in `/proc/kallsyms`.
pub(crate) fn text(bytes: &[u8]) {
    if let Ok(table) = kallsyms::parse(bytes, &[]) {
        ask(&table);
    }
}

pub(crate) fn text_seeds() -> Vec<Vec<u8>> {
    vec![
        b"0000000000000000 A percpu\nffffffff81000000 T _stext\nffffffff81000040 t dup\nffffffff81000040 W alias\n\
          ffffffff81000080 t dup\nffffffff82000000 B _end\nffffffffc0000000 t $x\t[m]\nffffffffc0000010 t dup\t[m]\n\
          ffffffffc0002000 d data\t[m]\nffffffffc0004000 t .klp.sym.m.dup,1\t[p]\nffffffffc0006000 t prog\t[bpf]\n"
            .to_vec(),
        b"c0100000 T start\nc0100010 t next\n1 a x\n".to_vec(),
    ]
}

/// ELF files: modules, patches, and the same bytes as `vmlinux`.
pub(crate) fn elf(bytes: &[u8]) {
    if let Ok(table) = vmlinux::parse(bytes) {
        ask(&table);
    }
    let Ok(module) = Module::parse(bytes) else {
        return;
    };
    for phase in [Phase::Live, Phase::Loading] {
        let Ok(table) = module.table(BASE, phase) else {
            continue;
        };
        ask(&table);
        let scan = LinearScan::new(&module, BASE, phase);
        for symbol in table.symbols().take(50) {
            let addr = symbol.address();
            let nearest = table.lookup(addr).map(|found| Nearest {
                index: found.symbol().index(),
                start: found.start(),
                end: found.end(),
            });
            // Damage can put pieces of memory over each other, and then the kernel's first is not ours.
            if !overlap(&module, phase) {
                assert_eq!(nearest, scan.find(addr), "{addr:#x} {phase:?}");
            }
        }
        let target = Target {
            live: &table,
            traced: None,
            loading: Some(&table),
        };
        let _findings = klp::check(&module, &[target]);
    }
}

fn overlap(module: &Module<'_>, phase: Phase) -> bool {
    let mut regions = module.regions_from(BASE, phase);
    regions.sort_unstable();
    let after = regions.iter().skip(1);
    regions
        .iter()
        .zip(after)
        .any(|(one, next)| next.start < one.end)
}

pub(crate) fn elf_seeds() -> Vec<Vec<u8>> {
    let mut module = ElfBuilder::default();
    module.section(".modinfo", 0, b"name=m\0license=GPL\0");
    let text = module.section(".text", CODE, &[0x90; 64]);
    let init = module.section(".init.text", CODE, &[0x90; 32]);
    let data = module.section(".data", DATA, &[0; 32]);
    let per_cpu = module.section(".data..percpu", DATA, &[0; 16]);
    for (name, section, value) in [
        ("dup", text, 32),
        ("dup", text, 0),
        ("alias", text, 0),
        ("$x", text, 8),
    ] {
        module.symbol(name, 2, section, value);
    }
    for (name, section, value) in [
        ("dup", init, 0),
        ("data", data, 16),
        ("cpu", per_cpu, 0),
        ("abs", 0xfff1, 7),
    ] {
        module.symbol(name, 1, section, value);
    }
    let mut patch = ElfBuilder::default();
    patch.section(".modinfo", 0, b"livepatch=Y\0name=p\0");
    let text = patch.section(".text.f", CODE, &[0x90; 64]);
    let one = patch.symbol(".klp.sym.vmlinux.f,1", 0x10, LIVEPATCH, 0);
    let other = patch.symbol(".klp.sym.m.dup,2", 0x10, LIVEPATCH, 0);
    patch.relocations(".klp.rela.vmlinux..text.f", KLP_RELA, text, &[(0, one)]);
    patch.relocations(
        ".klp.rela.m..text.f",
        KLP_RELA,
        text,
        &[(8, other), (16, one)],
    );
    vec![module.build(), patch.build()]
}

/// Names of livepatch: what is read is written so that it is read again.
pub(crate) fn klp_names(bytes: &[u8]) {
    if let Ok(symbol) = klp::parse_sym_name(bytes) {
        let [object, name] = [symbol.object, symbol.name].map(|it| it.as_bytes().len());
        assert!((1..=klp::OBJECT_NAME_MAXIMUM).contains(&object));
        assert!((1..=klp::SYMBOL_NAME_MAXIMUM).contains(&name));
        let written = symbol.to_string();
        if symbol.object.as_str().is_some() && symbol.name.as_str().is_some() {
            assert_eq!(klp::parse_sym_name(written.as_bytes()), Ok(symbol));
        }
    }
    if let Ok((object, section)) = klp::parse_rela_section_name(bytes) {
        assert!(!object.as_bytes().contains(&b'.') && !section.as_bytes().is_empty());
    }
}

pub(crate) fn klp_name_seeds() -> Vec<Vec<u8>> {
    [
        ".klp.sym.vmlinux.printk,0",
        ".klp.sym.ext4.foo.isra.0,18446744073709551615",
        ".klp.rela.vmlinux..text.unlikely",
    ]
    .map(|name| name.as_bytes().to_vec())
    .into()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn seeds_are_good() {
        for text in text_seeds() {
            kallsyms::parse(text, &[]).unwrap();
        }
        for file in elf_seeds() {
            Module::parse(&file)
                .unwrap()
                .table(BASE, Phase::Live)
                .unwrap();
        }
        let [symbols @ .., section] = &klp_name_seeds()[..] else {
            panic!("no seeds");
        };
        assert!(symbols.iter().all(|name| klp::parse_sym_name(name).is_ok()));
        assert!(klp::parse_rela_section_name(section).is_ok());
    }
}
