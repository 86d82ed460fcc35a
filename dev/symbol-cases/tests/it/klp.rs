//! Livepatch modules made here: one that is right, and each thing that can be wrong with one.

use std::process::Command;

use kernel_symbols::klp::{Finding, Severity, Target, check, parse_rela_sections};
use kernel_symbols::module::Phase;
use kernel_symbols::{Module, Traced, kallsyms};
use symbol_cases::{CODE, DATA, ElfBuilder, KLP_RELA, LIVEPATCH};

const BASE: u64 = 0xffff_ffff_c000_0000;
const FUNCTION: u8 = 0x02;
const KALLSYMS: &str = "\
ffffffff81000000 T _stext
ffffffff81000040 t dup
ffffffff81000080 t only
ffffffff810000c0 t dup
ffffffff82000000 B _end
";

/// The object `obj`: `late` is at higher addresses than its namesake, and a third is gone after loading.
fn object() -> Vec<u8> {
    let mut elf = ElfBuilder::default();
    elf.section(".modinfo", 0, b"license=GPL\0name=obj\0");
    let text = elf.section(".text", CODE, &[0x90; 64]);
    let init = elf.section(".init.text", CODE, &[0x90; 64]);
    elf.symbol("dup", FUNCTION, init, 0);
    elf.symbol("dup", FUNCTION, text, 32);
    elf.symbol("dup", FUNCTION, text, 0);
    elf.symbol("once", FUNCTION, text, 16);
    elf.build()
}

/// A livepatch whose symbols and sections `change` adds.
fn patch(change: impl FnOnce(&mut ElfBuilder, u16)) -> Vec<u8> {
    let mut elf = ElfBuilder::default();
    elf.section(".modinfo", 0, b"license=GPL\0livepatch=Y\0name=patch\0");
    let text = elf.section(".text.f", CODE, &[0x90; 64]);
    change(&mut elf, text);
    elf.build()
}

fn findings(patch: &[u8]) -> Vec<Finding> {
    let object = object();
    let object = Module::parse(&object).unwrap();
    let (live, loading) = (
        object.table(BASE, Phase::Live).unwrap(),
        object.table(BASE, Phase::Loading).unwrap(),
    );
    let vmlinux = kallsyms::parse(KALLSYMS.as_bytes(), &[]).unwrap();
    let targets = [
        Target {
            live: &vmlinux,
            loading: None,
            traced: None,
        },
        Target {
            live: &live,
            loading: Some(&loading),
            traced: None,
        },
    ];
    let mut found = check(&Module::parse(patch).unwrap(), &targets);
    // Of most patches here only the relocations count.
    found.retain(|finding| *finding != Finding::FunctionsNotRecorded);
    found
}

/// A patch with one symbol in one section.
fn one(symbol: &str, section: &str) -> Vec<u8> {
    patch(|elf, text| {
        let symbol = elf.symbol(symbol, 0x10, LIVEPATCH, 0);
        elf.relocations(section, KLP_RELA, text, &[(8, symbol)]);
    })
}

#[test]
fn a_right_patch_has_no_findings_and_is_read_like_readelf_reads_it() {
    let file = patch(|elf, text| {
        let first = elf.symbol(".klp.sym.vmlinux.dup,2", 0x10, LIVEPATCH, 0);
        let second = elf.symbol(".klp.sym.vmlinux.only,0", 0x10, LIVEPATCH, 0);
        let third = elf.symbol(".klp.sym.obj.once,1", 0x10, LIVEPATCH, 0);
        elf.relocations(
            ".klp.rela.vmlinux..text.f",
            KLP_RELA,
            text,
            &[(0, first), (8, second)],
        );
        elf.relocations(".klp.rela.obj..text.f", KLP_RELA, text, &[(16, third)]);
    });
    assert_eq!(findings(&file), []);
    let module = Module::parse(&file).unwrap();
    let sections = parse_rela_sections(&module);
    let counts: Vec<_> = sections
        .iter()
        .map(|it| (it.name.to_string(), it.relocations.len()))
        .collect();
    assert_eq!(
        counts,
        [
            (".klp.rela.vmlinux..text.f".into(), 2),
            (".klp.rela.obj..text.f".into(), 1)
        ]
    );
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("patch.ko");
    std::fs::write(&path, &file).unwrap();
    let output = Command::new("readelf")
        .args(["-rsW"])
        .arg(&path)
        .output()
        .unwrap();
    let text = String::from_utf8_lossy(&output.stdout);
    assert!(
        output.stderr.is_empty(),
        "{}",
        String::from_utf8_lossy(&output.stderr)
    );
    assert!(
        text.contains("'.klp.rela.vmlinux..text.f'") && text.contains("contains 2 entries"),
        "{text}"
    );
    assert!(
        text.contains("OS [0xff20] .klp.sym.vmlinux.dup,2"),
        "{text}"
    );
}

#[test]
fn names_that_the_kernel_cannot_read_are_found() {
    for name in [
        ".klp.sym.vmlinux.only",
        ".klp.sym.vmlinux,0",
        ".klp.sym.vmlinux.,0",
        ".klp.sym..only,0",
        "only",
    ] {
        let found = findings(&one(name, ".klp.rela.vmlinux..text.f"));
        assert!(
            matches!(&found[..], [Finding::SymbolName { .. }]),
            "{name}: {found:?}"
        );
    }
    let found = findings(&one(".klp.sym.vmlinux.only,0", ".klp.rela."));
    assert!(
        found
            .iter()
            .any(|it| matches!(it, Finding::SectionName { .. })),
        "{found:?}"
    );
}

#[test]
fn positions_that_do_not_resolve_are_found() {
    for (symbol, why) in [
        ("vmlinux.dup,0", "there are 2 of them"),
        ("vmlinux.dup,3", "at position 3: there are 2"),
        ("vmlinux.only,2", "at position 2: there are 1"),
        ("vmlinux.none,0", "there is no such symbol"),
    ] {
        let found = findings(&one(
            &format!(".klp.sym.{symbol}"),
            ".klp.rela.vmlinux..text.f",
        ));
        let [finding] = &found[..] else {
            panic!("{symbol}: {found:?}");
        };
        assert!(finding.to_string().contains(why), "{finding}");
        assert_eq!(finding.severity(), Severity::Error);
    }
}

#[test]
fn positions_that_depend_on_the_order_of_loading_are_found() {
    let found = findings(&one(".klp.sym.obj.dup,1", ".klp.rela.obj..text.f"));
    // While `obj` is loaded, the first `dup` is in its init memory.
    assert!(
        matches!(
            &found[..],
            [Finding::DependsOnOrder {
                live: 2,
                loading: 1,
                ..
            }]
        ),
        "{found:?}"
    );
    let found = findings(&one(".klp.sym.obj.dup,3", ".klp.rela.obj..text.f"));
    assert!(
        matches!(
            &found[..],
            [Finding::Sympos {
                phase: Phase::Live,
                ..
            }]
        ),
        "{found:?}"
    );
}

#[test]
fn relocations_in_the_wrong_place_are_found() {
    let found = findings(&one(".klp.sym.vmlinux.only,0", ".klp.rela.obj..text.f"));
    assert!(
        matches!(&found[..], [Finding::VmlinuxSymbol { .. }]),
        "{found:?}"
    );
    let found = findings(&one(".klp.sym.vmlinux.only,0", ".klp.rela.vmlinux..text.g"));
    assert!(
        matches!(&found[..], [Finding::TargetName { .. }]),
        "{found:?}"
    );
    let found = findings(&patch(|elf, text| {
        let symbol = elf.symbol(".klp.sym.vmlinux.only,0", 0x10, LIVEPATCH, 0);
        elf.relocations(".rela.text.f", 0x40, text, &[(8, symbol)]);
    }));
    assert!(
        matches!(
            &found[..],
            [
                Finding::OrdinaryRelocation { offset: 8, .. },
                Finding::Unused { .. }
            ]
        ),
        "{found:?}"
    );
    let found = findings(&patch(|elf, text| {
        let symbol = elf.symbol("ordinary", 0x10, text, 0);
        elf.relocations(".klp.rela.vmlinux..text.f", KLP_RELA, text, &[(8, symbol)]);
    }));
    assert!(
        matches!(&found[..], [Finding::NotLivepatchSymbol { entry: 0, .. }]),
        "{found:?}"
    );
    let found = findings(&patch(|elf, _| {
        let nothing = elf.section(".comment", 0, b"x");
        let symbol = elf.symbol(".klp.sym.vmlinux.only,0", 0x10, LIVEPATCH, 0);
        elf.relocations(
            ".klp.rela.vmlinux.comment",
            KLP_RELA,
            nothing,
            &[(0, symbol)],
        );
    }));
    assert!(matches!(&found[..], [Finding::Target { .. }]), "{found:?}");
    let found = findings(&patch(|elf, text| {
        let symbol = elf.symbol(".klp.sym.vmlinux.only,0", 0x10, LIVEPATCH, 0);
        elf.relocations(".klp.rela.vmlinux..text.f", 0x42, text, &[(8, symbol)]);
    }));
    assert!(
        found
            .iter()
            .any(|it| matches!(it, Finding::SectionNotMarked { .. })),
        "{found:?}"
    );
}

#[test]
fn objects_that_are_not_given_and_modules_that_are_no_livepatch_are_told() {
    let found = findings(&one(".klp.sym.other.f,0", ".klp.rela.other..text.f"));
    assert!(
        matches!(&found[..], [Finding::NotGiven { symbols: 1, .. }]),
        "{found:?}"
    );
    assert_eq!(findings(&object()), [Finding::NotMarked]);
}

/// A patch with records of one function of an object, as `klp diff` writes them; `change` may spoil them.
fn recorded(function: &str, object: Option<&str>, change: impl FnOnce(&mut ElfBuilder)) -> Vec<u8> {
    patch(|elf, text| {
        let names = [function, object.unwrap_or_default()].join("\0") + "\0";
        let strings = elf.section(".rodata.klp.str1.1", 0x2, names.as_bytes());
        let name = elf.symbol("function", 0, strings, 0);
        let object_name = elf.symbol("object", 0, strings, function.len() as u64 + 1);
        let new = elf.symbol("new", FUNCTION, text, 0);
        let funcs = elf.section(".init.klp_funcs", DATA, &[0; 24]);
        let first = elf.symbol("funcs", 0, funcs, 0);
        elf.relocations(".rela.init.klp_funcs", 0x40, funcs, &[(0, name), (8, new)]);
        let mut record = [0; 64];
        record[56] = 1;
        let objects = elf.section(".init.klp_objects", DATA, &record);
        let mut relocations = vec![(8, first)];
        relocations.extend(object.map(|_| (0, object_name)));
        elf.relocations(".rela.init.klp_objects", 0x40, objects, &relocations);
        change(elf);
    })
}

#[test]
fn recorded_functions_are_looked_up_like_the_kernel_does() {
    assert_eq!(findings(&recorded("only", None, |_| ())), []);
    assert_eq!(findings(&recorded("once", Some("obj"), |_| ())), []);
    let found = findings(&recorded("dup", None, |_| ()));
    assert!(
        matches!(&found[..], [Finding::Function { .. }]),
        "{found:?}"
    );
    assert!(
        found[0].to_string().contains("there are 2 of them"),
        "{found:?}"
    );
    let found = findings(&recorded("_end", None, |_| ()));
    assert!(
        matches!(&found[..], [Finding::NoCode { letter: 'B', .. }]),
        "{found:?}"
    );
    let found = findings(&recorded("f", Some("other"), |_| ()));
    assert!(
        matches!(
            &found[..],
            [Finding::FunctionsNotGiven { functions: 1, .. }]
        ),
        "{found:?}"
    );
}

#[test]
fn a_function_that_the_tracer_does_not_reach_is_found() {
    let object = {
        let mut elf = ElfBuilder::default();
        elf.section(".modinfo", 0, b"license=GPL\0name=obj\0");
        let text = elf.section(".text", CODE, &[0x90; 64]);
        let places = elf.section("__mcount_loc", 0x2, &[0; 8]);
        elf.symbol("silent", FUNCTION, text, 0);
        let traced = elf.symbol("traced", FUNCTION, text, 16);
        elf.symbol("last", FUNCTION, text, 48);
        elf.relocations(".rela__mcount_loc", 0x40, places, &[(0, traced)]);
        elf.build()
    };
    let object = Module::parse(&object).unwrap();
    let live = object.table(BASE, Phase::Live).unwrap();
    let traced = Traced::of_module(&object, BASE);
    let found = |function: &str| {
        let target = Target {
            live: &live,
            loading: None,
            traced: Some(&traced),
        };
        let patch = recorded(function, Some("obj"), |_| ());
        check(&Module::parse(&patch).unwrap(), &[target])
    };
    assert_eq!(found("traced"), []);
    for function in ["silent", "last"] {
        let found = found(function);
        assert!(
            matches!(&found[..], [Finding::NotTraceable { .. }]),
            "{function}: {found:?}"
        );
    }
}

#[test]
fn records_that_were_not_made_relocations_and_those_that_lead_nowhere_are_found() {
    let found = findings(&recorded("only", None, |elf| {
        elf.section("__klp_relocs.vmlinux", 0x2, &[0; 24]);
    }));
    assert_eq!(found, [Finding::NotLinked]);
    let broken = patch(|elf, _text| {
        let mut record = [0; 64];
        record[56] = 1;
        elf.section(".init.klp_funcs", DATA, &[0; 24]);
        elf.section(".init.klp_objects", DATA, &record);
    });
    let found = findings(&broken);
    assert!(matches!(&found[..], [Finding::Record(_)]), "{found:?}");
}
