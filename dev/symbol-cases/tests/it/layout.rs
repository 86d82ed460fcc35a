//! Where sections and symbols of a module are, computed by hand.

use kernel_symbols::module::{ElfError, Phase, SectionAddress};
use kernel_symbols::{End, Module, Table};
use symbol_cases::{CODE, DATA, ElfBuilder};

const BASE: u64 = 0xffff_ffff_c000_0000;
const FUNCTION: u8 = 0x02;
const OBJECT: u8 = 0x01;

/// Behind the data of a module the kernel keeps its symbols, which is where its last symbol ends: 4,000 bytes of data, then
/// 24 bytes for the first entry of the table and for each of five symbols are more than a page.
#[test]
fn pieces_of_memory_follow_each_other_by_pages_and_data_has_the_symbols_behind_it() {
    let mut elf = ElfBuilder::default();
    elf.section(".modinfo", 0, b"name=m\0");
    let data = elf.section(".data", DATA, &[0; 4000]);
    let text = elf.section(".text", CODE, &[0x90; 100]);
    let ro = elf.section(".rodata", 2, &[0; 8]);
    let init = elf.section(".init.text", CODE, &[0x90; 8]);
    let exit = elf.section(".exit.text", CODE, &[0x90; 8]);
    for (name, section) in [
        ("f", text),
        ("e", exit),
        ("r", ro),
        ("d", data),
        ("i", init),
    ] {
        elf.symbol(
            name,
            if name == "d" { OBJECT } else { FUNCTION },
            section,
            0,
        );
    }
    elf.symbol("last", OBJECT, data, 3992);
    let file = elf.build();
    let module = Module::parse(&file).unwrap();
    let table = module.table(BASE, Phase::Loading).unwrap();
    let at = |name: &str| table.by_name(name).next().unwrap().address() - BASE;
    // .exit.text is behind .text, aligned to 8.
    assert_eq!(
        [at("f"), at("e"), at("r"), at("d"), at("i")],
        [0, 104, 0x1000, 0x2000, 0x4000]
    );
    let last = table.lookup(BASE + 0x2000 + 3995).unwrap();
    assert_eq!(
        (last.symbol().name(), last.end() - BASE),
        ("last".into(), 0x4000)
    );
    assert_eq!(last.ends_at(), End::Region);
    assert!(table.lookup(BASE + 0x4000).is_some());
    let live = module.table(BASE, Phase::Live).unwrap();
    assert!(live.lookup(BASE + 0x4000).is_none(), "init memory is gone");
    assert!(live.sympos("i", "m", 0).is_err() && table.sympos("i", "m", 0).is_ok());
}

#[test]
fn a_module_whose_code_is_empty_has_no_symbol_there() {
    let mut elf = ElfBuilder::default();
    let text = elf.section(".text", CODE, &[]);
    elf.symbol("f", FUNCTION, text, 0);
    let file = elf.build();
    let table = Module::parse(&file)
        .unwrap()
        .table(BASE, Phase::Live)
        .unwrap()
        .into_owned();
    assert!(table.lookup(BASE).is_none());
}

#[test]
fn sections_that_no_kernel_would_load_are_refused_with_their_size() {
    let mut elf = ElfBuilder::default();
    let text = elf.section(".text", CODE, &[0x90; 64]);
    elf.symbol("f", FUNCTION, text, 0);
    let mut file = elf.build();
    // Section headers are at the end: the null one, then .text; its size is at 0x20.
    let headers = file.len() - 64 * 5;
    file[headers + 64 + 0x20..][..8].copy_from_slice(&(1_u64 << 40).to_le_bytes());
    let error = Module::parse(&file).unwrap_err();
    assert!(
        matches!(error, ElfError::SectionSize { section: 1, size_bytes, .. } if size_bytes == 1 << 40),
        "{error}"
    );
}

#[test]
fn per_cpu_data_and_sections_told_by_the_kernel() {
    let mut elf = ElfBuilder::default();
    elf.section(".modinfo", 0, b"name=m\0");
    let text = elf.section(".text", CODE, &[0x90; 64]);
    let per_cpu = elf.section(".data..percpu", DATA, &[0; 16]);
    elf.symbol("f", FUNCTION, text, 16);
    elf.symbol("counter", 0x01, per_cpu, 0);
    elf.symbol("printk", 0x10, 0, 0);
    let file = elf.build();
    let module = Module::parse(&file).unwrap();
    let sections = [SectionAddress {
        name: ".text",
        addr: BASE + 0x4000,
    }];
    let table: Table<'_> = module.table_at(&sections, Phase::Live).unwrap();
    let found = table.lookup(BASE + 0x4018).unwrap();
    assert_eq!(
        (found.to_string().as_str(), found.end()),
        ("f+0x8/0xff0 [m]", BASE + 0x5000)
    );
    // Livepatch counts it, though no address is in it.
    let counter = table.sympos("counter", "m", 0).unwrap();
    assert_eq!(counter.kind().letter(), 'a');
    assert!(table.lookup(counter.address()).is_none());
    assert!(table.sympos("printk", "m", 0).is_err());
    assert!(table.lookup(BASE + 0x5000).is_none() && table.lookup(BASE + 0x4008).is_none());
}
