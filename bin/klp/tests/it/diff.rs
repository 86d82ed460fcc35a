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
