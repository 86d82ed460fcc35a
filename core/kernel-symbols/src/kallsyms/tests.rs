//! Text as the kernel writes it, and text that it does not write.

use std::string::{String, ToString as _};
use std::vec::Vec;

use super::*;
use crate::{End, ObjectKind, SymposError};

const TEXT: &str = "\
0000000000000000 A percpu_start
ffffffff81000000 T _stext
ffffffff81000000 T _text
ffffffff81000040 t dup
ffffffff81000080 t f
ffffffff810000c0 t dup
ffffffff81001000 T _etext
ffffffff81002000 d L0data
ffffffff81003000 B _end
ffffffffc0001080 t late\t[m]
ffffffffc0001000 t dup\t[m]
ffffffffc0001040 t early\t[m]
ffffffffc0001040 t alias\t[m]
ffffffffc0001090 t $x\t[m]
ffffffffc0001091 t .L1\t[m]
ffffffffc0003010 d dup\t[m]
0000000000001234 a percpu\t[m]
ffffffff81000080 ? .klp.sym.vmlinux.f,1\t[patch]
ffffffff81000080 U printk\t[patch]
ffffffffc0006000 t new_f\t[patch]
ffffffffc0008000 T dup\t[m]
ffffffffc0009000 t bpf_prog_1\t[bpf]
ffffffffc000a000 t ftrace_trampoline\t[__builtin__ftrace]
";

fn table() -> Table<'static> {
    parse(TEXT.as_bytes(), &[]).unwrap()
}

fn shown(table: &Table<'_>, addr: u64) -> String {
    table
        .lookup(addr)
        .map_or_else(|| "-".into(), |found| found.to_string())
}

#[test]
fn the_nearest_symbol_not_above_is_found_with_its_size() {
    let table = table();
    for (addr, expected) in [
        (0xffff_ffff_8100_0000, "_stext+0x0/0x40"),
        (0xffff_ffff_8100_003f, "_stext+0x3f/0x40"),
        (0xffff_ffff_8100_0081, "f+0x1/0x40"),
        (0xffff_ffff_c000_1000, "dup+0x0/0x40 [m]"),
        (0xffff_ffff_c000_1041, "early+0x1/0x40 [m]"),
        (0xffff_ffff_c000_6004, "new_f+0x4/0x1000 [patch]"),
        (0xffff_ffff_c000_9004, "bpf_prog_1+0x4/0x1000 [bpf]"),
        (
            0xffff_ffff_c000_a000,
            "ftrace_trampoline+0x0/0x1000 [__builtin__ftrace]",
        ),
    ] {
        assert_eq!(shown(&table, addr), expected, "{addr:#x}");
    }
}

#[test]
fn nothing_is_found_outside_of_the_kernel_and_far_behind_a_module() {
    let table = table();
    for addr in [
        0,
        1,
        0x1234,
        0xffff_ffff_80ff_ffff,
        0xffff_ffff_8100_3000,
        0xffff_ffff_c000_0fff,
        0xffff_ffff_c000_2000,
        0xffff_ffff_c000_7000,
        0xffff_ffff_c000_b000,
        u64::MAX,
    ] {
        assert_eq!(shown(&table, addr), "-", "{addr:#x}");
    }
}

#[test]
fn mapping_symbols_of_modules_are_passed_over_and_those_of_vmlinux_are_not() {
    let table = table();
    // The page is an estimate: text does not say where the region ends.
    assert_eq!(shown(&table, 0xffff_ffff_c000_1095), "late+0x15/0xf80 [m]");
    let late = table.lookup(0xffff_ffff_c000_1095).unwrap();
    assert_eq!(late.ends_at(), End::Page);
    assert_eq!(shown(&table, 0xffff_ffff_8100_2008), "L0data+0x8/0x1000");
}

#[test]
fn aliases_come_in_the_order_of_the_table() {
    let table = table();
    let names = |addr| -> Vec<String> {
        let found = table.lookup(addr).unwrap();
        found
            .aliases()
            .map(|symbol| symbol.name().to_string())
            .collect()
    };
    assert_eq!(names(0xffff_ffff_c000_1050), ["alias"]);
    assert_eq!(names(0xffff_ffff_8100_0010), ["_text"]);
    assert!(names(0xffff_ffff_8100_0080).is_empty());
}

#[test]
fn regions_that_are_known_end_symbols_exactly() {
    let region = |start, end| Region { start, end };
    let regions = [ModuleRegions {
        module: "m".into(),
        regions: [
            region(0xffff_ffff_c000_1000, 0xffff_ffff_c000_3000),
            region(0xffff_ffff_c000_3000, 0xffff_ffff_c000_4000),
        ]
        .into(),
    }];
    let table = parse(TEXT.as_bytes(), &regions).unwrap();
    // The two regions touch; the second has no symbol at its start.
    assert_eq!(shown(&table, 0xffff_ffff_c000_3004), "-");
    assert_eq!(
        shown(&table, 0xffff_ffff_c000_2500),
        "late+0x1480/0x1f80 [m]"
    );
    let dup = table.lookup(0xffff_ffff_c000_3fff).unwrap();
    assert_eq!(
        (dup.end(), dup.ends_at()),
        (0xffff_ffff_c000_4000, End::Region)
    );
    assert_eq!(shown(&table, 0xffff_ffff_c000_4000), "-");
}

#[test]
fn positions_are_counted_by_object_in_the_order_of_the_table() {
    let mut table = table();
    for _ in 0..2 {
        let at =
            |name, object, position| table.sympos(name, object, position).map(|it| it.address());
        assert_eq!(at("dup", "vmlinux", 1), Ok(0xffff_ffff_8100_0040));
        assert_eq!(at("dup", "vmlinux", 2), Ok(0xffff_ffff_8100_00c0));
        assert_eq!(at("dup", "m", 1), Ok(0xffff_ffff_c000_1000));
        assert_eq!(at("dup", "m", 2), Ok(0xffff_ffff_c000_3010));
        assert_eq!(at("late", "m", 0), Ok(0xffff_ffff_c000_1080));
        assert_eq!(at("late", "m", 1), Ok(0xffff_ffff_c000_1080));
        assert!(matches!(
            at("dup", "m", 0),
            Err(SymposError::Ambiguous { count: 2, .. })
        ));
        // The line behind the modules is what the tracer remembers, no symbol of the module.
        assert!(matches!(
            at("dup", "m", 3),
            Err(SymposError::OutOfRange { count: 2, .. })
        ));
        assert!(matches!(
            at("none", "m", 0),
            Err(SymposError::NotFound { .. })
        ));
        assert!(matches!(
            at("f", "bpf", 0),
            Err(SymposError::NoObject { .. })
        ));
        assert!(matches!(
            at("f", "nosuch", 0),
            Err(SymposError::NoObject { .. })
        ));
        assert!(matches!(
            at("printk", "patch", 0),
            Err(SymposError::NotFound { .. })
        ));
        assert!(matches!(
            at("percpu_start", "vmlinux", 0),
            Err(SymposError::AddressZero { .. })
        ));
        table.index_names();
    }
}

#[test]
fn names_are_found_in_all_objects_with_and_without_an_index() {
    let mut table = table();
    let found = |table: &Table<'_>| -> Vec<(u32, String)> {
        let symbols = table.by_name("dup");
        symbols
            .map(|it| (it.index(), it.object().name.to_string()))
            .collect()
    };
    let scanned = found(&table);
    assert_eq!(
        scanned.iter().map(|it| it.0).collect::<Vec<_>>(),
        [3, 5, 10, 15, 20]
    );
    table.index_names();
    assert_eq!(found(&table), scanned);
    assert_eq!(table.by_name("no").count(), 0);
    assert_eq!(
        table
            .objects()
            .filter(|it| it.kind == ObjectKind::Pseudo)
            .count(),
        3
    );
}

#[test]
fn batches_and_sorted_batches_answer_like_single_lookups() {
    let table = table();
    let base = [0, 0xffff_ffff_8100_0000, 0xffff_ffff_c000_0000_u64];
    let addrs: Vec<u64> = base
        .iter()
        .flat_map(|&base| (base..base + 0xc000).step_by(13))
        .collect();
    let show = |found: Option<crate::Found<'_>>| found.map(|it| it.to_string());
    let single: Vec<_> = addrs.iter().map(|&addr| show(table.lookup(addr))).collect();
    assert!(single.iter().flatten().count() > 1000);
    assert_eq!(
        table.lookup_sorted(&addrs).map(show).collect::<Vec<_>>(),
        single
    );
    let backwards: Vec<u64> = addrs.iter().rev().copied().collect();
    let expected: Vec<_> = single.iter().rev().cloned().collect();
    let mut batch = Vec::new();
    table.lookup_many(&backwards, |found| batch.push(show(found)));
    assert_eq!(batch, expected);
    assert_eq!(
        table
            .lookup_sorted(&backwards)
            .map(show)
            .collect::<Vec<_>>(),
        expected
    );
}

#[test]
fn hidden_addresses_are_an_error_that_says_so() {
    let text = "0000000000000000 T _stext\n0000000000000000 t f\t[m]\n";
    let error = parse(text.as_bytes(), &[]).unwrap_err();
    assert_eq!(error, KallsymsError::Restricted { symbols: 2 });
    assert!(error.to_string().contains("hides them"), "{error}");
}

#[test]
fn text_that_is_none_is_refused_with_its_place() {
    assert_eq!(
        parse(&b""[..], &[]).unwrap_err(),
        KallsymsError::Empty { bytes: 0 }
    );
    let error = parse(&b"0000000000000001 T a\nrubbish\xff\n"[..], &[]).unwrap_err();
    let KallsymsError::Line { line, offset, .. } = &error else {
        panic!("{error}");
    };
    assert_eq!((*line, *offset), (2, 21));
    assert!(error.to_string().contains("rubbish\\xff"), "{error}");
}

#[test]
fn long_names_are_whole() {
    let long = "x".repeat(511);
    let text = std::format!("0000000000001000 T {long}\t[m]\n");
    let table = parse(text.as_bytes(), &[]).unwrap();
    assert_eq!(table.lookup(0x1000).unwrap().symbol().name(), long.as_str());
    assert_eq!(table.by_name(&long).count(), 1);
}

#[test]
fn many_symbols_of_one_address_are_found_in_few_steps() {
    let text: String = (0..10_000)
        .map(|at| std::format!("0000000000001000 T f{at}\t[m]\n"))
        .collect();
    let table = parse(text.as_bytes(), &[]).unwrap();
    let found = table.lookup(0x1008).unwrap();
    assert_eq!(found.symbol().name(), "f0");
    assert_eq!(found.aliases().count(), 9_999);
}
