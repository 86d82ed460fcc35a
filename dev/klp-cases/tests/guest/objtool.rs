//! The object of a change and the finished module, beside those of the kernel's own tool.

use std::fs;
use std::path::Path;
use std::process::Command;

use klp_cases::{Meaning, Outcome, Verdict};
use klp_checksum::Reason;
use livepatch::{Input, Replace};

use crate::Lab;
use crate::cases::CASES;
use crate::sets::Sets;

fn meaning(path: &Path) -> Meaning {
    let input = Input::open(path).unwrap();
    Meaning::of(&input.object().unwrap())
}

fn of_objtool(lab: &Lab, pair: &Path) -> Verdict {
    let folder = lab.new_folder();
    let side = |side: &str| pair.join(format!("vmlinux.{side}.o"));
    let verdict = lab
        .objtool()
        .compare(&side("orig"), &side("patched"), &folder);
    verdict.unwrap()
}

fn of_ours(lab: &Lab, pair: &Path) -> Meaning {
    let out = pair.join("out.o");
    let (before, after) = (
        Input::open(&pair.join("vmlinux.orig.o")).unwrap(),
        Input::open(&pair.join("vmlinux.patched.o")).unwrap(),
    );
    let linked = Input::open(&lab.files.vmlinux).unwrap();
    let linked = livepatch::LinkedFile::new(&linked, "vmlinux").unwrap();
    let symvers = fs::read_to_string(&lab.files.module_symvers).unwrap();
    let exports = klp_diff::Exports::parse(&symvers, "vmlinux").unwrap();
    let (before_object, after_object) = (before.object().unwrap(), after.object().unwrap());
    let found = livepatch::Comparison::new(
        (&before_object, before.path()),
        (&after_object, after.path()),
    )
    .unwrap();
    let plan = found.plan(&exports);
    let bytes = klp_module::extract(klp_module::Change {
        before: &before_object,
        after: &after_object,
        difference: &found.difference,
        plan: &plan,
        exports: &exports,
        positions: &linked.positions(&before_object),
        patched: "vmlinux",
    });
    fs::write(&out, bytes.unwrap()).unwrap();
    meaning(&out)
}

#[test]
fn the_object_of_a_change_is_that_of_objtool_but_where_that_drops_something() {
    let Some(lab) = Lab::open() else {
        return;
    };
    for case in &CASES {
        let (built, _) = lab.build(case.name, case.edits, Replace::All);
        assert!(built.refusals.is_empty(), "{}", case.name);
        let pair = lab.folder.path().join(case.name);
        let (ours, theirs) = (of_ours(&lab, &pair), of_objtool(&lab, &pair));
        let side = |side: &str| pair.join(format!("vmlinux.{side}.o"));
        let sets = Sets::of(&side("orig"), &side("patched"), theirs.clone());
        assert_eq!(sets.ours, sets.theirs_without_gaps(), "{}", case.name);
        // The strings that a table without a counterpart leads to.
        let gaps: &[_] = match case.name {
            "switch-table" => &[("show_initstate", Reason::String)],
            _ => &[],
        };
        let found = sets.gaps.iter();
        let found: Vec<(&str, Reason)> = found.map(|(name, it)| (name.as_str(), *it)).collect();
        assert_eq!(found, gaps, "{}", case.name);
        match (case.name, &theirs.outcome) {
            // No instruction changed.
            ("switch-table", Outcome::Nothing) => {}
            // One of two functions of its name.
            ("locked-list", Outcome::Refused) if theirs.lacks_positions() => {}
            // The placeholder stays, and nothing is looked up for it.
            ("runtime-constant", Outcome::Object(object)) => {
                let text = ".text.do_getname.constprop.0";
                let placeholder = 0x0123_4567_89ab_cdef_u64.to_le_bytes();
                let has = |meaning: &Meaning| {
                    let code = &meaning.bytes[text];
                    code.windows(8).any(|window| window == placeholder)
                };
                assert!(has(&meaning(object)) && !has(&ours));
            }
            (name, Outcome::Object(object)) => same(name, &ours, &meaning(object)),
            (name, _) => panic!("{name}: {theirs:?}"),
        }
    }
}

fn same(name: &str, ours: &Meaning, theirs: &Meaning) {
    assert_eq!(ours.difference(theirs), None, "{name}");
}

/// The last step makes of a module what `objtool klp post-link` makes of it.
#[test]
fn a_finished_module_is_that_of_objtool() {
    let Some(lab) = Lab::open() else {
        return;
    };
    let case = &CASES[0];
    let (_, module) = lab.build(case.name, case.edits, Replace::All);
    let unlinked = lab.unlinked(case.name);
    let theirs = lab.folder.path().join("theirs.ko");
    fs::copy(&unlinked, &theirs).unwrap();
    let ran = lab
        .objtool()
        .run(lab.folder.path(), &["post-link", "theirs.ko"]);
    let output = ran.unwrap();
    assert!(output.status.success(), "{output:?}");
    let dump = |path: &Path| {
        let output = Command::new("readelf")
            .env("LC_ALL", "C")
            .args(["--relocs", "--symbols", "--wide"])
            .arg(path)
            .output()
            .unwrap();
        let text = String::from_utf8(output.stdout).unwrap();
        // Where a section is in the file is all that may differ.
        let lines = text
            .lines()
            .map(|line| match line.split_once(" at offset ") {
                Some((start, rest)) => {
                    format!(
                        "{start}{}",
                        rest.split_once(' ').map_or("", |(_, rest)| rest)
                    )
                }
                None => line.to_owned(),
            });
        lines.collect::<Vec<_>>()
    };
    let (ours, theirs) = (dump(&module), dump(&theirs));
    assert!(
        ours.iter().any(|line| line.contains(".klp.rela.vmlinux.")),
        "{ours:#?}"
    );
    assert_eq!(ours, theirs);
}
