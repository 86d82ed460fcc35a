//! Which changes the checksums see. Each pair of objects differs in one thing.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use crate::compile::{Workshop, klp, klp_text};

/// Names whose checksum differs between two objects.
fn changed(before: &Path, after: &Path, options: &[&str]) -> Vec<String> {
    let sums = |file: &Path| -> BTreeMap<String, String> {
        let mut arguments: Vec<&dyn AsRef<std::ffi::OsStr>> = vec![&"checksum", &file];
        arguments.extend(
            options
                .iter()
                .map(|option| option as &dyn AsRef<std::ffi::OsStr>),
        );
        let text = klp_text(&arguments);
        let lines = text.lines().filter_map(|line| line.split_once(' '));
        lines
            .map(|(sum, name)| (name.to_owned(), sum.to_owned()))
            .collect()
    };
    let (before, after) = (sums(before), sums(after));
    before
        .iter()
        .filter(|(name, sum)| after.get(*name).is_some_and(|other| other != *sum))
        .map(|(name, _)| name.clone())
        .collect()
}

/// Compiles a source twice, once with every `BEFORE` replaced by each text.
fn pair(workshop: &Workshop, source: &str, replaced: [&str; 2]) -> [std::path::PathBuf; 2] {
    let [before, after] = replaced;
    [
        workshop.c("before/unit", &source.replace("CHANGE", before)),
        workshop.c("after/unit", &source.replace("CHANGE", after)),
    ]
}

/// What the default rule and objtool's see of a change.
fn seen(source: &str, replaced: [&str; 2]) -> [Vec<String>; 2] {
    let workshop = Workshop::new();
    let [before, after] = pair(&workshop, source, replaced);
    [
        changed(&before, &after, &[]),
        changed(&before, &after, &["--compat"]),
    ]
}

#[test]
fn the_same_source_twice_is_unchanged() {
    let source = "extern int g(const char *); int f(int n) { return g(\"CHANGE\") + n; }";
    let [ours, compat] = seen(source, ["same", "same"]);
    assert!(ours.is_empty() && compat.is_empty(), "{ours:?} {compat:?}");
}

#[test]
fn code_strings_and_constants_are_seen_by_both_rules() {
    for (source, replaced) in [
        ("int f(int n) { return n CHANGE 3; }", ["+", "-"]),
        (
            "int g(const char *); int f(void) { return g(\"CHANGE\") + 1; }",
            ["one", "two"],
        ),
        (
            "int g(void), h(void); int f(void) { return CHANGE() + 1; }",
            ["g", "h"],
        ),
        ("int a[4]; int f(void) { return a[CHANGE]; }", ["1", "2"]),
    ] {
        let [ours, compat] = seen(source, replaced);
        assert_eq!(
            (ours, compat),
            (vec!["f".into()], vec!["f".into()]),
            "{source}"
        );
    }
}

#[test]
fn a_mergeable_constant_is_seen_by_both_rules() {
    let source = |number: u32| {
        format!(
            ".section .text.f,\"ax\"\n.globl f\n.type f,@function\nf: mov .LC0(%rip),%rax\nret\n.size f,.-f\n\
             .section .rodata.cst8,\"aM\",@progbits,8\n.LC0: .quad {number}\n"
        )
    };
    let workshop = Workshop::new();
    let before = workshop.asm("before/unit", &source(5));
    let after = workshop.asm("after/unit", &source(6));
    for options in [&[][..], &["--compat"]] {
        assert_eq!(changed(&before, &after, options), ["f"]);
    }
}

/// G1: `CSWTCH.N` has no counterpart by name, and its contents are a part of the function.
#[test]
fn a_constant_in_a_switch_that_became_a_table_is_seen() {
    let source = "
        int f(int n)
        {
            switch (n) {
            case 0: return 11; case 1: return 5; case 2: return CHANGE; case 3: return 94;
            case 4: return 3; case 5: return 77; case 6: return 28; case 7: return 60;
            default: return -22;
            }
        }
        int other(int n) { return n + 1; }";
    let [ours, compat] = seen(source, ["42", "43"]);
    // The table itself differs for both; it has no counterpart by name, so nobody asks for it.
    assert!(ours.contains(&"f".to_owned()), "{ours:?}");
    assert!(!ours.contains(&"other".to_owned()), "{ours:?}");
    assert!(!compat.contains(&"f".to_owned()), "{compat:?}");
}

/// G2: the initialiser is copied from read-only data that has no symbol.
#[test]
fn a_constant_in_the_initialiser_of_a_local_array_is_seen() {
    let source = "
        void use(int *);
        void f(void)
        {
            int local[96] = { 1, 2, 3, [3 ... 40] = 7, CHANGE, 13, [42 ... 95] = 5 };
            use(local);
        }
        int other(int n) { return n + 1; }";
    let [ours, compat] = seen(source, ["12", "99"]);
    assert_eq!((ours, compat), (vec!["f".into()], vec![]));
}

/// G3: two slots of a jump table are exchanged whose targets begin alike.
#[test]
fn exchanged_slots_of_a_jump_table_are_seen() {
    let source = |slots: &str| {
        format!(
            ".section .text.f,\"ax\"\n.globl f\n.type f,@function\nf: jmp *.rodata.f(,%rdi,8)\n\
             .La: mov $1,%eax\nret\n.Lb: mov $1,%eax\nnop\nret\n.size f,.-f\n\
             .section .rodata.f,\"a\"\n.align 8\n{slots}\n"
        )
    };
    let workshop = Workshop::new();
    let before = workshop.asm("before/unit", &source(".quad .La, .Lb"));
    let after = workshop.asm("after/unit", &source(".quad .Lb, .La"));
    assert_eq!(changed(&before, &after, &[]), ["f"]);
    assert!(changed(&before, &after, &["--compat"]).is_empty());
}

/// Not in objtool's list of gaps either: it takes the first relocation of an instruction only.
#[test]
fn the_second_relocation_of_an_instruction_is_seen() {
    let source = "extern int a, b; int *p; void f(void) { p = &CHANGE; }";
    let [ours, compat] = seen(source, ["a", "b"]);
    assert_eq!(ours, ["f"]);
    assert!(compat.is_empty(), "{compat:?}");
}

/// Another key in an entry of `__jump_table`: the code stays the same.
#[test]
fn another_static_key_at_the_same_place_is_seen() {
    let source = |key: &str| {
        format!(
            ".section .text.f,\"ax\"\n.globl f\n.type f,@function\nf: nopl 0(%rax,%rax)\nret\n\
             .Lyes: mov $1,%eax\nret\n.size f,.-f\n\
             .section __jump_table,\"aw\"\n.long f-., .Lyes-.\n.quad {key}-.\n"
        )
    };
    let workshop = Workshop::new();
    let before = workshop.asm("before/unit", &source("key_one"));
    let after = workshop.asm("after/unit", &source("key_two"));
    assert_eq!(changed(&before, &after, &[]), ["f"]);
    assert!(changed(&before, &after, &["--compat"]).is_empty());
}

/// Code of 7.3 refers to the entry of a warning. Its place and its line, and those of its neighbours, are no change; its
/// format is.
#[test]
fn of_a_warning_the_format_is_seen_and_the_place_is_not() {
    let source = |line: u32, padding: &str, format: &str| {
        format!(
            ".section .text.g,\"ax\"\n.globl g\n.type g,@function\ng: {padding}\n.Lg: ud2\nret\n.size g,.-g\n\
             .section .text.f,\"ax\"\n.globl f\n.type f,@function\n\
             f: lea .Lentry(%rip),%rdi\n.Lf: ud1 (%rcx),%edi\nret\n.size f,.-f\n\
             .section .rodata.str1.1,\"aMS\",@progbits,1\n.Lformat: .string \"{format}\"\n.Lfile: .string \"unit.c\"\n\
             .section __bug_table,\"aw\"\n.long .Lg-., 0, .Lfile-.\n.short {line}, 3\n\
             .Lentry: .long .Lf-., .Lformat-., .Lfile-.\n.short {line}, 5\n\
             .long .Lg-., 0, .Lfile-.\n.short {line}, 3\n"
        )
    };
    let workshop = Workshop::new();
    let before = workshop.asm("before/unit", &source(7, "", "a format"));
    let moved = workshop.asm("moved/unit", &source(9, "nop", "a format"));
    let after = workshop.asm("after/unit", &source(7, "", "the format"));
    assert_eq!(changed(&before, &moved, &[]), ["g"]);
    assert_eq!(changed(&before, &after, &[]), ["f"]);
    assert!(changed(&before, &after, &["--compat"]).is_empty());
}

#[test]
fn exchanged_statics_of_one_name_are_seen() {
    let source = "
        int f(int n)
        {
            int *one, *two;
            { static int v; one = &v; }
            { static int v; two = &v; }
            *CHANGE = n;
            return *one + *two * 3;
        }";
    let [ours, _] = seen(source, ["one", "two"]);
    assert_eq!(ours, ["f"]);
}

#[test]
fn a_function_further_up_does_not_change_those_below() {
    let source = "
        int g(const char *, ...);
        CHANGE
        static int state;
        int table(int n)
        {
            int local[96] = { 1, 2, 3, [3 ... 40] = 7, 12, 13, [42 ... 95] = 5 };
            static int calls;
            g(\"%p\", local);
            switch (n) {
            case 0: return 11; case 1: return 5; case 2: return 17; case 3: return 94;
            case 4: return 3; case 5: return 77; case 6: return 28; case 7: return 60;
            default: return state++ + calls++;
            }
        }";
    let added = "
        void use(int *);
        int added(int n)
        {
            int local[96] = { 9, 9, 3, [3 ... 40] = 7, 12, 13, [42 ... 95] = 6 };
            static int calls;
            use(local);
            switch (n) {
            case 0: return 1; case 1: return 5; case 2: return 7; case 3: return 4;
            case 4: return 33; case 5: return 7; case 6: return 8; case 7: return 6;
            default: return g(\"zero\") + calls++;
            }
        }";
    let [ours, compat] = seen(source, ["", added]);
    let functions = |names: &[String]| names.iter().any(|name| name == "table");
    assert!(
        !functions(&ours) && !functions(&compat),
        "{ours:?} {compat:?}"
    );
}

/// G4: a literal of Rust has no symbol; and line numbers further down are no change.
#[test]
fn a_rust_literal_is_seen_and_a_moved_line_is_not() {
    let source = "#![no_std]
        pub trait Emit { fn emit(&mut self, text: &str); }
        CHANGE_LINE
        #[no_mangle] pub fn f(to: &mut dyn Emit) { to.emit(\"CHANGE\") }
        #[no_mangle] pub fn below(v: &[u32], n: usize) -> u32 { v[n] }
        ";
    let workshop = Workshop::new();
    let build = |name: &str, line: &str, text: &str| {
        let source = source.replace("CHANGE_LINE", line).replace("CHANGE", text);
        workshop.rust(name, &source)
    };
    let before = build("before/unit", "", "one text");
    let after = build("after/unit", "", "two text");
    assert_eq!(changed(&before, &after, &[]), ["f"]);
    let moved = build("moved/unit", "\n\n\n", "one text");
    assert!(changed(&before, &moved, &[]).is_empty());
}

#[test]
fn explain_shows_the_first_difference_and_what_objtool_misses() {
    let source = "
        void use(int *);
        void f(void)
        {
            int local[96] = { 1, 2, 3, [3 ... 40] = 7, CHANGE, 13, [42 ... 95] = 5 };
            use(local);
        }";
    let workshop = Workshop::new();
    let [before, after] = pair(&workshop, source, ["12", "99"]);
    let output = klp([before.as_os_str(), after.as_os_str()]
        .iter()
        .fold(
            vec!["explain".into()],
            |mut arguments: Vec<std::ffi::OsString>, path| {
                arguments.push((*path).to_owned());
                arguments
            },
        )
        .into_iter()
        .chain(["f".into()]));
    assert_eq!(output.status.code(), Some(2));
    let text = String::from_utf8(output.stdout).unwrap();
    assert!(text.contains("f: changed"), "{text}");
    assert!(text.contains(": unnamed data "), "{text}");
    assert!(text.contains("objtool's checksum is the same"), "{text}");
}

/// Every byte of code, tables, strings and constants counts.
#[test]
fn any_flipped_byte_of_a_function_or_what_only_it_uses_is_seen() {
    let source = "
        int g(const char *, ...);
        void use(int *);
        int f(int n)
        {
            int local[96] = { 1, 2, 3, [3 ... 40] = 7, 12, 13, [42 ... 95] = 5 };
            use(local);
            switch (n) {
            case 0: return 11; case 1: return 5; case 2: return 17; case 3: return 94;
            case 4: return 3; case 5: return 77; case 6: return 28; case 7: return 60;
            default: return g(\"text\");
            }
        }";
    let workshop = Workshop::new();
    let before = workshop.c("before/unit", source);
    let bytes = fs::read(&before).unwrap();
    let shown = klp_text(&[&"show", &before, &"--sections"]);
    let mut flips = 0;
    for line in shown.lines() {
        let fields: Vec<&str> = line.split('\t').collect();
        let [_, name, "PROGBITS", flags, _, offset, size, ..] = fields.as_slice() else {
            continue;
        };
        if !flags.contains('A') || name.starts_with(".note") {
            continue;
        }
        let number = |text: &str| usize::from_str_radix(text, 16).unwrap();
        for at in (number(offset)..number(offset) + number(size)).step_by(3) {
            let mut flipped = bytes.clone();
            flipped[at] ^= 0x10;
            let after = workshop.path("after.o");
            fs::write(&after, &flipped).unwrap();
            assert!(
                changed(&before, &after, &[]).contains(&"f".to_owned()),
                "byte {at:#x} of {name}"
            );
            flips += 1;
        }
    }
    assert!(flips > 80, "{flips}");
}
