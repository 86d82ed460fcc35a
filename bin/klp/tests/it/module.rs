//! The object of a change: what goes along, and what must not be left out in silence.

use std::path::{Path, PathBuf};
use std::process::Output;

use elf_index::{Object, Reloc, SymbolPlace};
use livepatch::Input;

use crate::compile::{Workshop, klp};

const EXPORTS: &str = "0x0\tprintk\tvmlinux\tEXPORT_SYMBOL\t\n0x0\tspaced\tvmlinux\tEXPORT_SYMBOL_GPL\tDEEP_SPACE\n\
                       0x0\tother_export\tdrivers/other/other\tEXPORT_SYMBOL\t\n";

/// Runs `klp diff -o` on two assembled objects of the module `own`.
fn diff(workshop: &Workshop, before: &str, after: &str) -> (Output, PathBuf) {
    let before = workshop.asm("before/unit", before);
    let after = workshop.asm("after/unit", after);
    let exports = workshop.path("Module.symvers");
    std::fs::write(&exports, EXPORTS).unwrap();
    let out = workshop.path("out.o");
    let output = klp([
        "diff".as_ref(),
        before.as_os_str(),
        after.as_os_str(),
        "--object".as_ref(),
        "own".as_ref(),
        "--symvers".as_ref(),
        exports.as_os_str(),
        "-o".as_ref(),
        out.as_os_str(),
    ]);
    (output, out)
}

/// A function that the tracer reaches, with more lines; what is behind it follows.
fn source(lines: &str, behind: &str) -> String {
    format!(
        "\t.file \"unit.c\"\n\t.section .text.f,\"ax\"\n\t.globl f\n\t.type f,@function\nf:\n1:\tcall __fentry__\n\
         {lines}\n\tret\n\t.size f,.-f\n\
         \t.section __mcount_loc,\"a\"\n\t.quad 1b\n{behind}\n"
    )
}

/// Where the relocations of a section lead: offset, place or name, and the distance behind it.
fn relocs(path: &Path, section: &str) -> Vec<(u64, String, i64)> {
    let input = Input::open(path).unwrap();
    let object = input.object().unwrap();
    let (id, _) = object
        .section_named(section)
        .unwrap_or_else(|| panic!("no {section}"));
    object
        .relocs(id)
        .iter()
        .map(|reloc| leads_to(&object, &reloc))
        .collect()
}

fn leads_to(object: &Object<'_>, reloc: &Reloc) -> (u64, String, i64) {
    let symbol = object.symbol(reloc.symbol).unwrap();
    match symbol.place {
        SymbolPlace::Section(_) => {
            let section = object.section_of(symbol).unwrap();
            let place = symbol.value.cast_signed() + reloc.addend;
            (reloc.offset, section.name.to_owned(), place)
        }
        _ => (reloc.offset, symbol.name.to_owned(), reloc.addend),
    }
}

fn bytes(path: &Path, section: &str) -> Vec<u8> {
    let input = Input::open(path).unwrap();
    let object = input.object().unwrap();
    let found = object.section_named(section);
    found
        .map(|(_, section)| section.data.to_vec())
        .unwrap_or_default()
}

fn text(output: &Output) -> String {
    let text = [output.stdout.clone(), output.stderr.clone()].concat();
    String::from_utf8(text).unwrap()
}

fn refused(behind: &str, lines: &str, words: &[&str]) {
    let workshop = Workshop::new();
    let change = |number: u32| source(&format!("\tmov ${number}, %eax\n{lines}"), behind);
    let (output, out) = diff(&workshop, &change(1), &change(2));
    assert_eq!(output.status.code(), Some(3), "{}", text(&output));
    for word in words {
        assert!(text(&output).contains(word), "{word}: {}", text(&output));
    }
    assert!(!out.exists());
}

const ALTERNATIVE: &str = "\t.section .altinstructions,\"a\"\n\t.long 2b - .\n\t.long 6f - .\n\t.long 7\n\t.byte 5, 3\n\
     \t.section .altinstr_replacement,\"ax\"\n\tnop\n6:\tmov helper_data(%rip), %al\n\tnop\n\t.previous\n";

/// Each entry about the function goes along with what it refers to; entries about others stay.
#[test]
fn entries_about_the_function_go_along_and_no_others() {
    let behind = "\t.section .text.other,\"ax\"\n\t.type other,@function\nother:\n3:\tret\n4:\tret\n\t.size other,.-other\n\
         \t.section __ex_table,\"a\"\n\t.long 3b - .\n\t.long 4b - .\n\t.long 7\n\
         \t.long 2b - .\n\t.long 9b - .\n\t.long 5\n\
         \t.section __bug_table,\"aw\"\n\t.long 3b - .\n\t.long .Lname - .\n\t.quad 0\n\
         8:\t.long 9b - .\n\t.long .Lname - .\n\t.quad 0x1100000022\n\
         \t.section .rodata.str1.1,\"aMS\",@progbits,1\n\t.string \"skipped\"\n.Lname:\n\t.string \"file.c\"\n";
    let change = |number: u32| {
        source(
            &format!("\tmov ${number}, %eax\n2:\tmov (%rax), %rax\n9:\tud2\n\tlea 8f(%rip), %rdi"),
            behind,
        )
    };
    let workshop = Workshop::new();
    let (output, out) = diff(&workshop, &change(1), &change(2));
    assert!(output.status.success(), "{}", text(&output));
    assert_eq!(bytes(&out, "__ex_table")[8..], [5, 0, 0, 0]);
    let place = |line: i64| (".text.f".to_owned(), line);
    let table = relocs(&out, "__ex_table");
    assert_eq!((table[0].1.clone(), table[0].2), place(10));
    assert_eq!((table[1].1.clone(), table[1].2), place(13));
    let bugs = relocs(&out, "__bug_table");
    assert_eq!(bytes(&out, "__bug_table").len(), 16);
    assert_eq!((bugs[0].1.clone(), bugs[0].2), place(13));
    // The function hands over its own entry, which is the first here.
    let own = relocs(&out, ".text.f");
    assert!(own.contains(&(18, "__bug_table".to_owned(), -4)), "{own:?}");
    assert_eq!(bytes(&out, ".rodata.str1.1"), b"file.c\0");
}

/// A replacement goes along whole, wherever it is in its section.
#[test]
fn the_replacement_of_an_alternative_goes_along() {
    let behind = format!(
        "{ALTERNATIVE}\t.section .data.helper_data,\"aw\"\n\t.type helper_data,@object\nhelper_data:\n\
                          \t.byte 1\n\t.size helper_data,1\n"
    );
    // Six bytes of an instruction: what is read has a name.
    let behind = behind.replace(".byte 5, 3", ".byte 6, 6");
    let change = |number: u32| source(&format!("\tmov ${number}, %eax\n2:\t.nops 6"), &behind);
    let workshop = Workshop::new();
    let (output, out) = diff(&workshop, &change(1), &change(2));
    assert!(output.status.success(), "{}", text(&output));
    assert_eq!(bytes(&out, ".altinstr_replacement"), [0x8a, 5, 0, 0, 0, 0]);
    assert_eq!(
        relocs(&out, ".altinstr_replacement"),
        [(
            2,
            ".klp.tombstone..klp.sym.own.helper_data,0".to_owned(),
            -4
        )]
    );
    let entry = relocs(&out, ".altinstructions");
    assert_eq!(
        (entry[1].1.as_str(), entry[1].2),
        (".altinstr_replacement", 0)
    );
}

#[test]
fn what_nobody_knows_about_the_inside_of_a_function_is_refused() {
    refused(
        "\t.section .new_kernel_table,\"a\"\n\t.long 2b - .\n",
        "2:\tnop",
        &["REFUSED f", ".new_kernel_table"],
    );
    // A table that is not what it was when this was written.
    refused(
        "\t.section __ex_table,\"a\"\n\t.quad 0\n\t.long 2b - .\n\t.long 2b - .\n",
        "2:\tnop",
        &["__ex_table", "layout is not known"],
    );
    refused(
        "\t.section runtime_shift_some_table,\"a\"\n\t.long 2b - 1 - .\n",
        "\tshr $12, %eax\n2:\tnop",
        &["REFUSED f", "runtime_shift_some_table"],
    );
}

/// The end of an array is counted from the array, and a variable of no bytes is one.
#[test]
fn the_end_of_a_variable_and_a_variable_of_no_bytes_are_understood() {
    let behind = "\t.section .data.array,\"aw\"\n\t.type array,@object\narray:\n\t.quad 1, 2\n\t.size array,16\n\
                  \t.section .bss.__key.0,\"aw\",@nobits\n\t.type __key.0,@object\n__key.0:\n\t.size __key.0,0\n";
    let change = |number: u32| {
        source(
            &format!("\tmov ${number}, %eax\n\tcmp $array+16, %rax\n\tmov $__key.0, %edi"),
            behind,
        )
    };
    let workshop = Workshop::new();
    let (output, out) = diff(&workshop, &change(1), &change(2));
    assert!(output.status.success(), "{}", text(&output));
    let found = relocs(&out, ".text.f");
    let tombstone = ".klp.tombstone..klp.sym.own.array,0".to_owned();
    assert!(found.contains(&(12, tombstone, 16)), "{found:?}");
    assert!(
        found.contains(&(17, ".bss.__key.0".to_owned(), 0)),
        "{found:?}"
    );
}

/// Where a replacement of no bytes would be, the replacement of another function begins.
#[test]
fn an_alternative_of_no_bytes_takes_nothing_along() {
    let behind = "\t.section .text.other,\"ax\"\n\t.type other,@function\nother:\n7:\tjmp 7b\n\t.size other,.-other\n\
                  \t.section .altinstructions,\"a\"\n\t.long 2b - .\n\t.long 6f - .\n\t.long 7\n\t.byte 2, 0\n\
                  \t.long 7b - .\n\t.long 6f - .\n\t.long 7\n\t.byte 2, 2\n\
                  \t.section .altinstr_replacement,\"ax\"\n6:\tmov %eax, %ecx\n\t.previous\n";
    let change = |number: u32| source(&format!("\tmov ${number}, %eax\n2:\tnop\n\tnop"), behind);
    let workshop = Workshop::new();
    let (output, out) = diff(&workshop, &change(1), &change(2));
    assert!(output.status.success(), "{}", text(&output));
    assert_eq!(bytes(&out, ".altinstructions").len(), 14);
    assert_eq!(bytes(&out, ".altinstr_replacement"), [0_u8; 0]);
    assert_eq!(relocs(&out, ".altinstructions").len(), 1);
}

#[test]
fn a_key_of_the_patched_module_is_refused() {
    refused(
        "\t.section __jump_table,\"aw\"\n\t.long 2b - ., 3b - .\n\t.quad key - .\n\
         \t.section .data.key,\"aw\"\n\t.type key,@object\nkey:\n\t.quad 0, 0\n\t.size key,16\n",
        "2:\t.nops 5\n3:\tnop",
        &["REFUSED key", "__jump_table", "static_key_enabled"],
    );
}

#[test]
fn code_without_a_name_is_refused() {
    refused(
        "\t.section .text.nameless,\"ax\"\n\tnop\n7:\tnop\n\tret\n",
        "\tjmp 7f",
        &["REFUSED", ".text.nameless"],
    );
}

/// An export in a namespace needs its import; one of another module is looked up there.
#[test]
fn namespaces_and_other_modules_are_told_to_the_module() {
    let change = |number: u32| {
        source(
            &format!("\tmov ${number}, %eax\n\tcall printk\n\tcall spaced\n\tcall other_export"),
            "",
        )
    };
    let workshop = Workshop::new();
    let (output, out) = diff(&workshop, &change(1), &change(2));
    assert!(output.status.success(), "{}", text(&output));
    assert_eq!(bytes(&out, ".modinfo"), b"import_ns=DEEP_SPACE\0");
    let symbols: Vec<(u64, String, i64)> = relocs(&out, "__klp_relocs.own");
    assert_eq!(symbols[1].1, ".klp.sym.other.other_export,0");
    let plain = relocs(&out, ".text.f");
    assert!(plain.iter().any(|(_, name, _)| name == "printk"));
}

/// The finished module is read as the kernel reads it, and only once made.
#[test]
fn records_become_livepatch_relocations_once() {
    let change = |number: u32| {
        source(
            &format!(
                "\tmov ${number}, %eax\n\tmov own_data(%rip), %eax\n\tmov own_data+8(%rip), %ecx"
            ),
            "\t.section .data.own_data,\"aw\"\n\t.type own_data,@object\nown_data:\n\t.quad 0, 0\n\t.size own_data,16\n",
        )
    };
    let workshop = Workshop::new();
    let (output, out) = diff(&workshop, &change(1), &change(2));
    assert!(output.status.success(), "{}", text(&output));
    let done = workshop.path("done.ko");
    let finish = |input: &Path| {
        klp([
            "link".as_ref(),
            input.as_os_str(),
            "-o".as_ref(),
            done.as_os_str(),
        ])
    };
    assert!(text(&finish(&out)).contains("2 livepatch relocations of 1 symbols"));
    let input = Input::open(&done).unwrap();
    let object = input.object().unwrap();
    let (id, section) = object.section_named(".klp.rela.own..text.f").unwrap();
    assert_eq!(section.flags.0, 0x10_0042);
    let entries: Vec<Reloc> = object.relocation_section(id).unwrap().iter().collect();
    assert_eq!(
        entries.iter().map(|it| it.addend).collect::<Vec<_>>(),
        [-4, 4]
    );
    for entry in &entries {
        let symbol = object.symbol(entry.symbol).unwrap();
        assert_eq!(symbol.name, ".klp.sym.own.own_data,0");
        assert_eq!(symbol.place, SymbolPlace::Reserved(0xff20));
        assert_eq!(entry.kind, 2);
    }
    let again = finish(&done);
    assert_eq!(again.status.code(), Some(1));
    assert!(
        text(&again).contains(".klp.rela.own..text.f has some already"),
        "{}",
        text(&again)
    );
}

#[test]
fn nothing_is_written_when_nothing_changed() {
    let workshop = Workshop::new();
    let (output, out) = diff(&workshop, &source("", ""), &source("", ""));
    assert!(output.status.success());
    assert!(text(&output).contains("nothing changed"));
    assert!(!out.exists());
}
