//! The object of a change and the finished module, beside those of the kernel's own tool.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;
use std::process::{Command, Output};

use elf_index::{Object, SymbolPlace};
use livepatch::{Input, Replace};

use crate::Lab;
use crate::cases::CASES;

/// What an object means: for each section its bytes, and for each place where it leads.
#[derive(Debug, Default, PartialEq, Eq)]
struct Meaning {
    bytes: BTreeMap<String, Vec<u8>>,
    /// Section, offset and type of the relocation; where it leads, and the distance behind it.
    relocs: BTreeMap<(String, u64, u32), (String, i64)>,
}

fn meaning(path: &Path) -> Meaning {
    let input = Input::open(path).unwrap();
    let object = input.object().unwrap();
    let mut meaning = Meaning::default();
    for (id, section) in object.sections_with_ids() {
        let is_content = section.is_alloc() || section.name.starts_with(".discard");
        // Strings are compared where they are used: their order is nobody's business. `.modinfo` says where objects are from.
        if !is_content || section.name.contains(".str1") || section.name == ".modinfo" {
            continue;
        }
        meaning
            .bytes
            .insert(section.name.to_owned(), section.data.to_vec());
        for reloc in object.relocs(id).iter() {
            let key = (section.name.to_owned(), reloc.offset, reloc.kind);
            meaning.relocs.insert(key, leads_to(&object, &reloc));
        }
    }
    meaning
}

fn leads_to(object: &Object<'_>, reloc: &elf_index::Reloc) -> (String, i64) {
    let symbol = object.symbol(reloc.symbol).unwrap();
    let SymbolPlace::Section(_) = symbol.place else {
        // What keeps a place is named as each tool likes.
        let name = match symbol.name.strip_prefix(".klp.tombstone.") {
            Some(_) => ".klp.tombstone",
            None => symbol.name,
        };
        return (name.to_owned(), reloc.addend);
    };
    let section = object.section_of(symbol).unwrap();
    let place = symbol.value.wrapping_add_signed(reloc.addend);
    if section.name.contains(".str1") {
        let string = section.string(place).unwrap_or_default();
        return (String::from_utf8_lossy(string).into_owned(), 0);
    }
    (section.name.to_owned(), place.cast_signed())
}

fn objtool(lab: &Lab, folder: &Path, arguments: &[&str]) -> Output {
    let mut command = Command::new(&lab.files.objtool);
    let output = command.current_dir(folder).arg("klp").args(arguments);
    output.output().unwrap()
}

/// What `objtool` makes of a pair of objects.
#[derive(Debug, PartialEq, Eq)]
enum Theirs {
    /// It finds no change.
    Nothing,
    /// It cannot tell which of several symbols is meant: for that it needs all of the kernel.
    NotTold,
    Made(Meaning),
}

fn of_objtool(lab: &Lab, pair: &Path) -> Theirs {
    let folder = tempfile::tempdir_in(lab.folder.path()).unwrap();
    let path = folder.path();
    fs::copy(&lab.files.module_symvers, path.join("Module.symvers")).unwrap();
    fs::write(path.join("modinfo"), b"name=vmlinux\0").unwrap();
    for side in ["orig", "patched"] {
        let side_folder = path.join(side);
        fs::create_dir(&side_folder).unwrap();
        let object = side_folder.join("vmlinux.o");
        fs::copy(pair.join(format!("vmlinux.{side}.o")), &object).unwrap();
        fs::copy(&lab.files.vmlinux, side_folder.join("vmlinux")).unwrap();
        // A part of the kernel does not say what it is part of, and objtool asks.
        let status = Command::new("objcopy")
            .current_dir(path)
            .args([
                "--remove-section=.modinfo",
                "--add-section=.modinfo=modinfo",
            ])
            .args(["--set-section-flags", ".modinfo=alloc,readonly"])
            .arg(&object)
            .status()
            .unwrap();
        assert!(status.success());
        let object = format!("{side}/vmlinux.o");
        let output = objtool(lab, path, &["checksum", &object]);
        assert!(output.status.success(), "{output:?}");
    }
    let output = objtool(
        lab,
        path,
        &["diff", "orig/vmlinux.o", "patched/vmlinux.o", "out.o"],
    );
    let errors = String::from_utf8_lossy(&output.stderr);
    if errors.contains("no .klp.symid entry") {
        return Theirs::NotTold;
    }
    assert!(output.status.success(), "{output:?}");
    let out = path.join("out.o");
    if !out.exists() {
        return Theirs::Nothing;
    }
    Theirs::Made(meaning(&out))
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
    let plan = klp_diff::Plan::new(
        klp_diff::Inputs {
            program: &found.program,
            after: &found.after,
            twins: &found.twins,
            difference: &found.difference,
        },
        &exports,
    );
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
        match (case.name, theirs) {
            // No instruction changed.
            ("switch-table", Theirs::Nothing) => {}
            // One of two functions of its name.
            ("locked-list", Theirs::NotTold) => {}
            // The placeholder stays, and nothing is looked up for it.
            ("runtime-constant", Theirs::Made(theirs)) => {
                let text = ".text.do_getname.constprop.0";
                let placeholder = 0x0123_4567_89ab_cdef_u64.to_le_bytes();
                let has = |meaning: &Meaning| {
                    let code = &meaning.bytes[text];
                    code.windows(8).any(|window| window == placeholder)
                };
                assert!(has(&theirs) && !has(&ours));
            }
            (name, Theirs::Made(theirs)) => same(name, &ours, &theirs),
            (name, theirs) => panic!("{name}: {theirs:?}"),
        }
    }
}

fn same(name: &str, ours: &Meaning, theirs: &Meaning) {
    let names = |meaning: &Meaning| meaning.bytes.keys().cloned().collect::<Vec<_>>();
    assert_eq!(names(ours), names(theirs), "{name}");
    for (section, bytes) in &theirs.bytes {
        assert_eq!(&ours.bytes[section], bytes, "{name}: {section}");
    }
    for (place, target) in &theirs.relocs {
        assert_eq!(ours.relocs.get(place), Some(target), "{name}: {place:?}");
    }
    assert_eq!(ours.relocs.len(), theirs.relocs.len(), "{name}");
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
    let output = objtool(&lab, lab.folder.path(), &["post-link", "theirs.ko"]);
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
