//! A linked file beside what `nm` and the rules of the kernel's build make of it.

use std::fmt::Write as _;
use std::process::Command;

use kernel_symbols::{kallsyms, vmlinux};

/// Duplicate names, aliases, weak and absolute symbols, and names that the kernel leaves out.
const SOURCE: &str = r#"
.text
.globl _stext, f, weak_alias
_stext:
.type f, @function
f: nop
.weak weak_alias
.set weak_alias, f
.globl _under, __start_f
.set _under, f
.set __start_f, f
.local dup
.type dup, @function
dup: nop
.section .rodata
.globl table
table: .quad 1
.globl __crc_f, __kstrtab_f, __UNIQUE_ID_modinfo_12
__crc_f: .long 0
__kstrtab_f: .long 0
__UNIQUE_ID_modinfo_12: .long 0
.data
.globl data
data: .quad f
.bss
.globl _end, bss
bss: .skip 64
_end:
.set local_absolute, 0x1234
.globl global_absolute
.set global_absolute, 0x5678
"#;
const SECOND: &str = ".text\ndup: nop\n.globl g\ng: nop\n";

#[test]
fn vmlinux_is_read_as_its_system_map_is() {
    let folder = tempfile::tempdir().unwrap();
    let path = |name: &str| folder.path().join(name);
    std::fs::write(path("a.s"), SOURCE).unwrap();
    std::fs::write(path("b.s"), SECOND).unwrap();
    let run = |program: &str, arguments: &[&str]| {
        let output = Command::new(program)
            .args(arguments)
            .current_dir(folder.path())
            .output()
            .unwrap();
        assert!(
            output.status.success(),
            "{program}: {}",
            String::from_utf8_lossy(&output.stderr)
        );
        String::from_utf8(output.stdout).unwrap()
    };
    run("as", &["-o", "a.o", "a.s"]);
    run("as", &["-o", "b.o", "b.s"]);
    run(
        "ld",
        &[
            "-Ttext=0xffffffff81000000",
            "-e",
            "f",
            "-o",
            "vmlinux",
            "a.o",
            "b.o",
        ],
    );
    // nm, filtered by the rules of scripts/mksysmap, is System.map.
    let mut map = String::new();
    for line in run("nm", &["-n", "vmlinux"]).lines() {
        let letter = line.as_bytes()[17];
        if vmlinux::is_kept(letter, &line.as_bytes()[19..]) {
            writeln!(map, "{line}").unwrap();
        }
    }
    let file = std::fs::read(path("vmlinux")).unwrap();
    let table = vmlinux::parse(&file).unwrap();
    let from_text = kallsyms::parse(map.as_bytes(), &[]).unwrap();
    let shown = |table: &kernel_symbols::Table<'_>| {
        let mut lines: Vec<_> = table
            .symbols()
            .map(|it| (it.address(), it.kind().letter(), it.name().to_string()))
            .collect();
        lines.sort_unstable();
        lines
    };
    assert_eq!(shown(&table), shown(&from_text));
    assert!(shown(&table).len() > 8 && table.by_name("dup").count() == 2);
    for gone in [
        "__crc_f",
        "__kstrtab_f",
        "__UNIQUE_ID_modinfo_12",
        "local_absolute",
    ] {
        assert_eq!(table.by_name(gone).count(), 0, "{gone}");
    }
    let names: Vec<_> = table
        .symbols()
        .filter(|it| it.address() == 0xffff_ffff_8100_0000)
        .collect();
    let names: Vec<_> = names.iter().map(|it| it.name().to_string()).collect();
    // Weak ones last, before them what may be of the linker script, before these by underscores.
    assert_eq!(names, ["f", "_stext", "_under", "__start_f", "weak_alias"]);
    let found = table.lookup(0xffff_ffff_8100_0000).unwrap();
    assert_eq!(found.to_string(), "f+0x0/0x1");
    assert_eq!(found.aliases().count(), 4);
    let positions: Vec<_> = (1..=2)
        .map(|at| table.sympos("dup", "vmlinux", at).unwrap().address())
        .collect();
    assert!(positions.is_sorted() && positions[0] < positions[1]);
}
