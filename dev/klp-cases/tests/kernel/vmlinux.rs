//! Two builds of the whole `vmlinux.o`: what `klp` and `objtool` make of them.
//!
//! The second build is the first one with numbers changed in it, in place: which is what a compiler does with a patch that
//! changes a constant.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;
use std::process::Command;

use elf_index::{Object, SectionId, SymbolId};
use kernel_build::LivepatchFiles;
use klp_cases::Meaning;
use klp_checksum::{Insns, Program, Rule};
use klp_diff::{Difference, Exports, Side, compare, correlate};
use klp_module::{Change, extract, with_checksums};
use livepatch::{Comparison, Input, LinkedFile, checksums};

use crate::{kernel, name, run};

/// Functions that are changed in one build.
const FUNCTIONS: usize = 60;

/// Places that are changed when it does not matter whether a compiler could have done it.
const PLACES: usize = 400;

/// Where in the file a number is that a function loads into a register, if it does: the operand of `mov $imm32, %reg`.
fn number_in(object: &Object<'_>, id: SymbolId) -> Option<usize> {
    let symbol = object.symbol(id).filter(|symbol| symbol.is_func())?;
    let section_id = symbol.place.section()?;
    let section = object.section(section_id)?;
    let code = section.bytes(symbol.value, symbol.size)?;
    let relocs = object.relocs(section_id);
    let is_traced = relocs
        .within(symbol.value..symbol.end())
        .iter()
        .any(|reloc| {
            let called = object.symbol(reloc.symbol);
            called.is_some_and(|called| called.name == "__fentry__")
        });
    // Constants have names without a size: `objtool` copies the names and no bytes (v7.3), and the module reads whatever
    // is there.
    let mut used = relocs.within(symbol.value..symbol.end()).iter();
    let uses_constant = used.any(|reloc| {
        let constant = object.symbol(reloc.symbol);
        constant.is_some_and(|constant| constant.name.starts_with(".LC"))
    });
    // One name is enough.
    let mut names = object.symbols_in(section_id).iter();
    let has_aliases = names.any(|other| {
        *other != id
            && object
                .symbol(*other)
                .is_some_and(|other| other.value == symbol.value)
    });
    if !is_traced || has_aliases || uses_constant || !section.name.starts_with(".text.") {
        return None;
    }
    let insn = Insns::new(code, symbol.value).find(|insn| {
        let opcode = section.bytes(insn.offset, 1);
        let is_mov = opcode.is_some_and(|opcode| (0xb8..=0xbf).contains(&opcode[0]));
        is_mov && insn.len == 5 && relocs.within(insn.offset..insn.end()).is_empty()
    })?;
    usize::try_from(section.offset + insn.offset + 1).ok()
}

/// Functions with a constant that is written when the kernel starts: `objtool` leaves the placeholder in (v7.3), `klp` does
/// not.
fn with_runtime_constants(object: &Object<'_>) -> BTreeSet<SectionId> {
    let mut found = BTreeSet::new();
    for (id, section) in object.sections_with_ids() {
        if section.name.starts_with("runtime_") {
            let symbols = object.relocs(id).iter().map(|reloc| reloc.symbol);
            let places = symbols.filter_map(|id| object.symbol(id)?.place.section());
            found.extend(places);
        }
    }
    found
}

/// Changes a number in functions from all over the kernel; returns their names in the order of symbols.
fn edit_functions(object: &Object<'_>, bytes: &mut [u8]) -> Vec<String> {
    let unlike = with_runtime_constants(object);
    let mut candidates: Vec<(SymbolId, usize)> = Vec::new();
    for (id, symbol) in object.symbols_with_ids() {
        let is_like = symbol
            .place
            .section()
            .is_some_and(|section| !unlike.contains(&section));
        if is_like && !symbol.name.contains(".cold") {
            candidates.extend(number_in(object, id).map(|at| (id, at)));
        }
    }
    let step = candidates.len() / FUNCTIONS;
    let chosen = candidates.into_iter().step_by(step).take(FUNCTIONS);
    let edited = chosen.map(|(id, at)| {
        bytes[at] ^= 1;
        name(object, id).to_owned()
    });
    edited.collect()
}

fn of_objtool(kernel: &LivepatchFiles, folder: &Path) -> Meaning {
    for side in ["orig", "patched"] {
        run(Command::new(&kernel.objtool)
            .args(["klp", "checksum"])
            .arg(folder.join(side).join("vmlinux.o")));
    }
    run(Command::new(&kernel.objtool).current_dir(folder).args([
        "klp",
        "diff",
        "orig/vmlinux.o",
        "patched/vmlinux.o",
        "theirs.o",
    ]));
    let out = Input::open(&folder.join("theirs.o")).unwrap();
    Meaning::of(&out.object().unwrap())
}

fn of_ours(kernel: &LivepatchFiles, folder: &Path) -> (Vec<String>, Meaning) {
    let open = |side: &str| Input::open(&folder.join(side).join("vmlinux.o")).unwrap();
    let (before, after) = (open("orig"), open("patched"));
    let (before_object, after_object) = (before.object().unwrap(), after.object().unwrap());
    let linked = Input::open(&kernel.vmlinux).unwrap();
    let linked = LinkedFile::new(&linked, "vmlinux").unwrap();
    let symvers = fs::read_to_string(&kernel.module_symvers).unwrap();
    let exports = Exports::parse(&symvers, "vmlinux").unwrap();
    let found = Comparison::new(
        (&before_object, before.path()),
        (&after_object, after.path()),
    )
    .unwrap();
    assert_eq!(found.difference.refusals, []);
    let plan = found.plan(&exports);
    let obstacles: Vec<String> = plan
        .obstacles
        .iter()
        .map(|obstacle| livepatch::words::obstacle(*obstacle, &after_object))
        .collect();
    assert_eq!(obstacles, [""; 0]);
    let made = extract(Change {
        before: &before_object,
        after: &after_object,
        difference: &found.difference,
        plan: &plan,
        exports: &exports,
        positions: &linked.positions(&before_object),
        patched: "vmlinux",
    });
    let changed = found.difference.changed.iter();
    let changed = changed.map(|(_, id)| name(&after_object, *id).to_owned());
    let made = made.unwrap();
    (
        changed.collect(),
        Meaning::of(&Object::parse(&made).unwrap()),
    )
}

#[test]
fn the_object_of_a_change_of_the_whole_kernel_is_that_of_objtool() {
    let Some(kernel) = kernel() else {
        return;
    };
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path();
    let mut bytes = fs::read(&kernel.vmlinux_o).unwrap();
    let edited = {
        let original = bytes.clone();
        edit_functions(&Object::parse(&original).unwrap(), &mut bytes)
    };
    for side in ["orig", "patched"] {
        fs::create_dir(path.join(side)).unwrap();
    }
    fs::copy(&kernel.vmlinux_o, path.join("orig/vmlinux.o")).unwrap();
    fs::copy(&kernel.vmlinux, path.join("orig/vmlinux")).unwrap();
    fs::copy(&kernel.module_symvers, path.join("Module.symvers")).unwrap();
    fs::write(path.join("patched/vmlinux.o"), &bytes).unwrap();
    let (changed, ours) = of_ours(&kernel, path);
    assert_eq!(changed, edited);
    let theirs = of_objtool(&kernel, path);
    assert_eq!(ours.difference(&theirs), None);
    assert!(theirs.bytes.len() > FUNCTIONS, "{}", theirs.bytes.len());
}

/// What `objtool klp checksum` leaves, section by section.
#[test]
fn an_object_with_checksums_is_that_of_objtool() {
    let Some(kernel) = kernel() else {
        return;
    };
    let folder = tempfile::tempdir().unwrap();
    let copy = folder.path().join("vmlinux.o");
    fs::copy(&kernel.vmlinux_o, &copy).unwrap();
    run(Command::new(&kernel.objtool)
        .args(["klp", "checksum"])
        .arg(&copy));
    let theirs = Input::open(&copy).unwrap();
    let theirs = theirs.object().unwrap();
    let input = Input::open(&kernel.vmlinux_o).unwrap();
    let object = input.object().unwrap();
    let program = Program::new(&object).unwrap();
    let sums = checksums(&program, Rule::Objtool).unwrap();
    let sums = sums.into_iter().map(|sum| (sum.symbol, sum.checksum));
    let ours = with_checksums(input.bytes(), sums).unwrap().unwrap();
    assert_eq!(with_checksums(&ours, []).unwrap(), None);
    let ours = Object::parse(&ours).unwrap();
    assert_eq!(ours.sections().len(), theirs.sections().len());
    for ((id, ours_of), theirs_of) in ours.sections_with_ids().zip(theirs.sections()) {
        let header = |section: &elf_index::Section<'_>| {
            let numbers = (section.kind, section.flags, section.link, section.info);
            (
                section.name.to_owned(),
                numbers,
                section.entry_size,
                section.align,
            )
        };
        assert_eq!(header(ours_of), header(theirs_of), "{id}");
        // The names of sections are in the order in which they were added.
        if ours_of.name != ".shstrtab" {
            assert!(ours_of.data == theirs_of.data, "{}", ours_of.name);
        }
    }
}

/// Changes of any kind, and what is not compared because it is the same byte for byte: both ways find the same.
#[test]
fn what_is_not_decoded_is_what_did_not_change() {
    let Some(kernel) = kernel() else {
        return;
    };
    let original = fs::read(&kernel.vmlinux_o).unwrap();
    let mut bytes = original.clone();
    let before = Object::parse(&original).unwrap();
    let mut state = 0x9e37_79b9_7f4a_7c15_u64;
    let mut below = |limit: u64| {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        state % limit
    };
    let candidates: Vec<&elf_index::Section<'_>> = before
        .sections()
        .iter()
        .filter(|it| !it.data.is_empty() && (it.is_alloc() || it.name.starts_with(".rela.")))
        .filter(|it| !it.name.contains(".discard") && !it.name.contains(".orc_"))
        .collect();
    // Every other place is in a table beside the code, which is small.
    let tables: Vec<&elf_index::Section<'_>> = candidates
        .iter()
        .copied()
        .filter(|it| {
            let name = it.name.trim_start_matches(".rela");
            let tables = [
                ".altinstr",
                "__jump_table",
                "__ex_table",
                ".rodata.str",
                ".rodata.cst",
            ];
            tables.iter().any(|table| name.starts_with(table))
        })
        .collect();
    assert!(tables.len() > 8, "{}", tables.len());
    for number in 0..PLACES {
        let from = if number % 2 == 0 {
            &candidates
        } else {
            &tables
        };
        let section = from[usize::try_from(below(from.len() as u64)).unwrap()];
        let at = match section.name.starts_with(".rela.") {
            // The low byte of the addend, or of the symbol.
            true => below(section.size / 24) * 24 + [12, 16][usize::try_from(below(2)).unwrap()],
            false => below(section.size),
        };
        bytes[usize::try_from(section.offset + at).unwrap()] ^= 1;
    }
    let after = Object::parse(&bytes).unwrap();
    let lazy = Comparison::new((&before, Path::new("before")), (&after, Path::new("after")));
    let lazy = lazy.unwrap();
    let programs = [
        Program::new(&before).unwrap(),
        Program::new(&after).unwrap(),
    ];
    let sides = [&programs[0], &programs[1]].map(|program| {
        let mut side = Side::new(program);
        let sums = checksums(program, Rule::Content).unwrap();
        side.tell(sums.into_iter().map(|sum| (sum.symbol, sum.checksum)));
        side
    });
    let twins = correlate(&sides[0], &sides[1]).unwrap();
    let full = compare(&sides[0], &sides[1], &twins);
    let all = |found: &Difference| {
        let Difference {
            changed,
            added,
            removed,
            refusals,
        } = found.clone();
        (changed, added, removed, refusals)
    };
    assert_eq!(all(&lazy.difference), all(&full));
    assert!(full.changed.len() > PLACES / 4, "{}", full.changed.len());
    assert!(!full.refusals.is_empty());
}
