//! What `klp diff` says about pairs of objects, each with one kind of change.

use std::fmt::Write as _;

use crate::compile::{Workshop, klp};

/// The exit code and the lines for two sources.
fn diff(before: &str, after: &str) -> (i32, Vec<String>) {
    let workshop = Workshop::new();
    let before = workshop.traced_c("before/unit", before);
    let after = workshop.traced_c("after/unit", after);
    let output = klp([
        "diff".as_ref(),
        before.as_os_str(),
        after.as_os_str(),
        "--removed".as_ref(),
    ]);
    let text = String::from_utf8(output.stdout).unwrap();
    let errors = String::from_utf8(output.stderr).unwrap();
    assert!(errors.is_empty(), "{errors}");
    let lines = text.lines().filter(|line| !line.starts_with(' '));
    (
        output.status.code().unwrap(),
        lines.map(str::to_owned).collect(),
    )
}

/// A source with each `X` replaced.
fn changed(source: &str, from: &str, to: &str) -> (i32, Vec<String>) {
    assert!(source.contains(from), "{from}");
    diff(source, &source.replace(from, to))
}

const FUNCTIONS: &str = "
    int printk(const char *, ...);
    static int counter;
    int exported(int n) { return n + counter; }
    static __attribute__((noinline)) int helper(int n) { counter++; return printk(\"%d\", n) * 3; }
    int caller(int n) { return helper(n) + 1; }";

#[test]
fn the_same_source_twice_is_no_change() {
    assert_eq!(
        diff(FUNCTIONS, FUNCTIONS),
        (0, vec!["nothing changed".into()])
    );
}

#[test]
fn a_changed_function_is_named_with_its_file() {
    let (code, lines) = changed(FUNCTIONS, "* 3", "* 5");
    assert_eq!(
        (code, lines),
        (0, vec!["changed function unit.c: helper".into()])
    );
}

#[test]
fn a_new_function_and_new_data_are_named() {
    let (code, lines) = changed(
        FUNCTIONS,
        "int caller(int n) { return",
        "int fresh = 3; int more(int n) { return n * fresh; }\nint caller(int n) { return more(n) +",
    );
    assert_eq!(code, 0);
    assert_eq!(
        lines,
        [
            "changed function caller",
            "new function more",
            "new data fresh"
        ]
    );
}

#[test]
fn a_gone_function_is_named_where_that_is_asked_for() {
    let (code, lines) = changed(FUNCTIONS, "int exported(int n) { return n + counter; }", "");
    assert_eq!(
        (code, lines),
        (0, vec!["removed exported".into(), "nothing changed".into()])
    );
}

/// G5: `insmod` would refuse it.
#[test]
fn a_function_that_cannot_be_traced_is_refused() {
    let source = "
        __attribute__((no_instrument_function)) int hidden(int n) { return n + 1; }
        int seen(int n) { return n + 2; }";
    let (code, lines) = changed(source, "n + 1", "n + 7");
    assert_eq!(code, 3);
    assert!(
        lines[1].starts_with("REFUSED hidden: it does not begin with a call"),
        "{lines:?}"
    );
    let (code, _) = changed(source, "n + 2", "n + 7");
    assert_eq!(code, 0);
}

/// G6: the new variable of `f0` has the name and number that another function's had.
#[test]
fn a_static_of_another_function_is_never_taken_for_a_new_one() {
    let source = |f0: &str, f1: &str, f2: &str| {
        format!(
            "int f0(int n) {{ {f0} return n; }}\nint f1(int n) {{ {f1} return n + 1; }}\n\
             int f2(int n) {{ {f2} return n + 2; }}"
        )
    };
    let counts = "static int count; n += ++count;";
    let (code, lines) = diff(&source("", counts, counts), &source(counts, counts, ""));
    assert_eq!(code, 0, "{lines:?}");
    let of = |what: &str| lines.iter().filter(|line| line.starts_with(what)).count();
    assert!(
        lines.contains(&"changed function f0".to_owned()),
        "{lines:?}"
    );
    assert!(
        lines.contains(&"changed function f2".to_owned()),
        "{lines:?}"
    );
    // Not f1: its variable is the one it had.
    assert_eq!(
        (of("changed"), of("new data"), of("removed")),
        (2, 1, 1),
        "{lines:?}"
    );
}

/// Even when there is one of that name on each side.
#[test]
fn the_only_static_of_a_name_is_not_taken_over_by_another_function() {
    let counts = "static int count; n += ++count;";
    let source = |f0: &str, f1: &str| {
        format!("int f0(int n) {{ {f0} return n; }}\nint f1(int n) {{ {f1} return n + 1; }}")
    };
    let (code, lines) = diff(&source(counts, ""), &source("", counts));
    assert_eq!(code, 0);
    assert!(
        lines.contains(&"new data unit.c: count.0".to_owned()),
        "{lines:?}"
    );
    assert!(
        lines.contains(&"removed unit.c: count.0".to_owned()),
        "{lines:?}"
    );
}

/// G7: `state` of `f1` keeps its twin though `f0` got one of that name, and `f1` changed, too.
#[test]
fn state_is_kept_when_another_function_gets_a_static_of_its_name() {
    let source = |f0: &str, step: &str| {
        format!(
            "int f0(int n) {{ {f0} return n; }}\n\
             int f1(int n) {{ static int state; state += {step}; return n + state; }}"
        )
    };
    let (code, lines) = diff(
        &source("", "1"),
        &source("static int state; n += ++state;", "2"),
    );
    assert_eq!(code, 0, "{lines:?}");
    let new: Vec<_> = lines
        .iter()
        .filter(|line| line.starts_with("new data"))
        .collect();
    assert_eq!(new.len(), 1, "{lines:?}");
    assert!(
        !lines.iter().any(|line| line.starts_with("removed")),
        "{lines:?}"
    );
}

/// What cannot be told is refused, not guessed.
#[test]
fn state_that_cannot_be_told_apart_is_refused() {
    let source = |more: &str, step: &str| {
        format!(
            "int f(int n) {{ {{ static int v; v += n; n ^= v; }} {{ static int v; v += n * 3; n ^= v; }} \
             {more} return n + {step}; }}"
        )
    };
    let (code, lines) = diff(
        &source("", "1"),
        &source("{ static int v; n += ++v; }", "2"),
    );
    assert_eq!(code, 3, "{lines:?}");
    let refused = lines
        .iter()
        .filter(|line| line.contains("fresh copy of this static"));
    assert!(refused.count() >= 1, "{lines:?}");
}

/// Functions of the given names, each with a section and a number of its own, and who calls them.
fn numbered_functions(functions: &[(&str, u32)]) -> String {
    let mut text = "\t.file \"unit.c\"\n".to_owned();
    for (name, number) in functions {
        write!(
            text,
            "\t.section .text.{name},\"ax\"\n\t.globl {name}\n\t.type {name},@function\n{name}:\n\tcall __fentry__\n\
             \tmov ${number}, %eax\n\tret\n\t.size {name},.-{name}\n"
        )
        .unwrap();
    }
    text
}

fn diff_of_functions(before: &[(&str, u32)], after: &[(&str, u32)]) -> (i32, Vec<String>) {
    let workshop = Workshop::new();
    let before = workshop.asm("before/unit", &numbered_functions(before));
    let after = workshop.asm("after/unit", &numbered_functions(after));
    let output = klp([
        "diff".as_ref(),
        "--removed".as_ref(),
        before.as_os_str(),
        after.as_os_str(),
    ]);
    let text = String::from_utf8(output.stdout).unwrap();
    let lines = text.lines().map(str::to_owned).collect();
    (output.status.code().unwrap(), lines)
}

/// Link-time optimisation numbers the functions of a file, and gives a changed file another number.
#[test]
fn functions_of_a_changed_lto_module_are_known_by_their_siblings() {
    let before = [
        ("f.llvm.11", 1),
        ("f.llvm.22", 2),
        ("f.llvm.33", 3),
        ("g.llvm.22", 9),
        ("h.llvm.33", 9),
    ];
    // Two modules changed, and are in another order.
    let after = [
        ("h.llvm.88", 9),
        ("f.llvm.11", 1),
        ("f.llvm.77", 5),
        ("f.llvm.88", 4),
        ("g.llvm.77", 9),
    ];
    let (code, lines) = diff_of_functions(&before, &after);
    let mut lines = lines;
    lines.sort();
    assert_eq!(
        (code, lines),
        (
            0,
            vec![
                "changed function f.llvm.77".to_owned(),
                "changed function f.llvm.88".to_owned()
            ]
        )
    );
}

/// What the compiler split off and numbered anew: the one that is left changed, and of two it cannot be told.
#[test]
fn of_several_numbered_functions_one_may_change() {
    let before = [("f.part.0", 1), ("f.part.1", 2), ("f.part.2", 3)];
    let (code, lines) = diff_of_functions(
        &before,
        &[("f.part.0", 3), ("f.part.1", 7), ("f.part.2", 1)],
    );
    assert_eq!(
        (code, lines),
        (0, vec!["changed function f.part.1".to_owned()])
    );
    let (code, lines) = diff_of_functions(
        &before,
        &[("f.part.0", 8), ("f.part.1", 7), ("f.part.2", 1)],
    );
    assert_eq!(code, 3);
    let refused = lines
        .iter()
        .filter(|line| line.starts_with("REFUSED f.part."));
    assert_eq!(refused.count(), 2, "{lines:?}");
}

/// Pointers of `tracepoint_string()`: several in a function, in a section of variables that nobody writes. The same two
/// variables elsewhere might be swapped.
#[test]
fn constants_of_one_function_are_told_apart_by_their_contents_and_state_is_not() {
    let source = |section: &str, step: &str| {
        format!(
            "void told(const char *);\n\
             int f(int n) {{ {{ static const char *volatile v SECTION = \"one\"; told(v); }}\n\
             {{ static const char *volatile v SECTION = \"two\"; told(v); }} return n + {step}; }}"
        )
        .replace("SECTION", section)
    };
    let strings = "__attribute__((section(\"__tracepoint_str\")))";
    let (code, lines) = diff(&source(strings, "1"), &source(strings, "2"));
    assert_eq!((code, lines.len()), (0, 1), "{lines:?}");
    let (code, lines) = diff(&source("", "1"), &source("", "2"));
    assert_eq!(code, 3, "{lines:?}");
}

#[test]
fn every_refusal_is_listed_at_once() {
    let source = "
        struct thing { int a; FIELD } thing = { 1 };
        int number = NUMBER;
        __attribute__((section(\".init.text\"))) int setup(void) { return NUMBER; }
        __attribute__((no_instrument_function)) int hidden(int n) { return n + NUMBER; }
        int use(void) { return thing.a + number; }";
    let with = |field: &str, number: &str| source.replace("FIELD", field).replace("NUMBER", number);
    let (code, lines) = diff(&with("", "1"), &with("int b;", "2"));
    assert_eq!(code, 3);
    let mut missing = String::new();
    for wanted in [
        "REFUSED thing: its size changed from 4 to 8",
        "REFUSED number: its initial contents changed",
        "REFUSED setup: it ran, or was read, when",
        "REFUSED hidden: it does not begin",
    ] {
        if !lines.iter().any(|line| line.starts_with(wanted)) {
            writeln!(missing, "{wanted}").unwrap();
        }
    }
    assert!(missing.is_empty(), "{missing}of {lines:#?}");
}

/// Compilers split functions anew in every build; what is split off belongs to its function.
#[test]
fn a_change_in_the_cold_part_changes_the_function() {
    let source = "
        __attribute__((cold)) void fail(int); void use(int);
        int f(int n) { if (n < 0) { use(n); fail(NUMBER); use(n * 3); } return n + 1; }";
    let (code, lines) = diff(
        &source.replace("NUMBER", "22"),
        &source.replace("NUMBER", "23"),
    );
    assert_eq!((code, lines), (0, vec!["changed function f".into()]));
}

#[test]
fn objects_of_other_sources_are_not_compared() {
    let workshop = Workshop::new();
    let before = workshop.traced_c("before/unit", FUNCTIONS);
    let after = workshop.traced_c("after/other", FUNCTIONS);
    let output = klp(["diff".as_ref(), before.as_os_str(), after.as_os_str()]);
    assert_eq!(output.status.code(), Some(1));
    let text = String::from_utf8(output.stderr).unwrap();
    assert!(text.contains("was `unit.c` and is `other.c`"), "{text}");
}

/// What a module takes along, with the rows of `Module.symvers` that its kernel has.
fn plan(before: &str, after: &str, symvers: &str, object: &str) -> Vec<String> {
    let workshop = Workshop::new();
    let before = workshop.traced_c("before/unit", before);
    let after = workshop.traced_c("after/unit", after);
    let exports = workshop.path("Module.symvers");
    std::fs::write(&exports, symvers).unwrap();
    let output = klp([
        "diff".as_ref(),
        before.as_os_str(),
        after.as_os_str(),
        "--object".as_ref(),
        object.as_ref(),
        "--symvers".as_ref(),
        exports.as_os_str(),
        "--linked".as_ref(),
        before.as_os_str(),
    ]);
    let errors = String::from_utf8(output.stderr).unwrap();
    assert!(errors.is_empty(), "{errors}");
    let text = String::from_utf8(output.stdout).unwrap();
    text.lines().map(str::to_owned).collect()
}

const EXPORTS: &str = "0x0\tprintk\tvmlinux\tEXPORT_SYMBOL\t\n0x0\t__fentry__\tvmlinux\tEXPORT_SYMBOL\t\n\
                       0x0\tfor_kvm\tvmlinux\tEXPORT_SYMBOL_GPL\tmodule:kvm\n\
                       0x0\tother_export\tdrivers/other/other\tEXPORT_SYMBOL\t\n\
                       0x0\town_export\tfs/own/own\tEXPORT_SYMBOL\t\n";

#[test]
fn each_reference_of_a_changed_function_is_reached_in_its_way() {
    let source = "
        int printk(const char *, ...); int other_export(void);
        static int counter;
        __attribute__((noinline)) int own_export(int n) { return n + counter; }
        int shared[4];
        static __attribute__((noinline)) int helper(int n) { counter++; return printk(\"same\") * n; }
        int f(int n)
        {
            FRESH
            return helper(n) + shared[n] + own_export(n) + other_export() + counter + NUMBER;
        }";
    let with = |fresh: &str, number: &str| source.replace("FRESH", fresh).replace("NUMBER", number);
    let lines = plan(
        &with("", "1"),
        &with("static int calls; if (calls++) printk(\"called\");", "2"),
        EXPORTS,
        "own",
    );
    for wanted in [
        "copies f",
        "copies calls.0",
        "uses the export printk",
        "uses the export __fentry__",
        "looks up .klp.sym.own.helper,0",
        "looks up .klp.sym.own.counter,0",
        "looks up .klp.sym.own.shared,0",
        // The patched module's own export: its symbol is found in it.
        "looks up .klp.sym.own.own_export,0",
        "looks up .klp.sym.other.other_export,0",
    ] {
        assert!(lines.contains(&wanted.to_owned()), "{wanted}: {lines:#?}");
    }
    assert!(
        lines
            .iter()
            .any(|line| line.starts_with("copies from .rodata.") && line.contains(".str1"))
    );
    assert!(!lines.contains(&"copies helper".to_owned()), "{lines:#?}");
}

#[test]
fn an_export_for_one_module_is_looked_up_and_an_unknown_symbol_is_told() {
    let source = "
        int nowhere(int);
        __attribute__((noinline)) int for_kvm(int n) { return n; }
        int f(int n) { return for_kvm(n) + nowhere(n) + NUMBER; }";
    let lines = plan(
        &source
            .replace("NUMBER", "1")
            .replace("return n;", "return nowhere(n);"),
        &source
            .replace("NUMBER", "2")
            .replace("return n;", "return nowhere(n);"),
        EXPORTS,
        "vmlinux",
    );
    assert!(
        lines.contains(&"UNKNOWN nowhere: nobody exports it".to_owned()),
        "{lines:#?}"
    );
    assert!(
        lines.contains(&"looks up .klp.sym.vmlinux.for_kvm,0".to_owned()),
        "{lines:#?}"
    );
    assert!(
        !lines.contains(&"uses the export for_kvm".to_owned()),
        "{lines:#?}"
    );
}

/// The second of two functions of one name, in the order of the module's symbols.
#[test]
fn the_position_of_an_equally_named_function_is_told() {
    let workshop = Workshop::new();
    let one = "int helper_one(void);\nstatic __attribute__((noinline)) int twin(int n) { return n * 3 + helper_one(); }\n\
               int one(int n) { return twin(n) + 1; }";
    let two = |number: &str| {
        format!(
            "int helper_two(void);\nstatic __attribute__((noinline)) int twin(int n) {{ return n * 5 + helper_two(); }}\n\
             int two(int n) {{ return twin(n) + {number}; }}"
        )
    };
    let before = workshop.linked("before", &[("one", one), ("two", &two("1"))]);
    let after = workshop.linked("after", &[("one", one), ("two", &two("2"))]);
    let exports = workshop.path("Module.symvers");
    std::fs::write(&exports, EXPORTS).unwrap();
    let output = klp([
        "diff".as_ref(),
        before.as_os_str(),
        after.as_os_str(),
        "--object".as_ref(),
        "own".as_ref(),
        "--symvers".as_ref(),
        exports.as_os_str(),
    ]);
    let text = String::from_utf8(output.stdout).unwrap();
    assert!(text.contains("looks up .klp.sym.own.twin,2\n"), "{text}");
    assert!(!text.contains("twin,1"), "{text}");
}

#[test]
fn a_damaged_symvers_is_refused_with_its_line() {
    let workshop = Workshop::new();
    let object = workshop.traced_c("unit", FUNCTIONS);
    let exports = workshop.path("Module.symvers");
    std::fs::write(
        &exports,
        "0x0\tprintk\tvmlinux\tEXPORT_SYMBOL\t\nnonsense\n",
    )
    .unwrap();
    let output = klp([
        "diff".as_ref(),
        object.as_os_str(),
        object.as_os_str(),
        "--symvers".as_ref(),
        exports.as_os_str(),
    ]);
    assert_eq!(output.status.code(), Some(1));
    let text = String::from_utf8(output.stderr).unwrap();
    assert!(text.contains("line 2 of Module.symvers"), "{text}");
}
