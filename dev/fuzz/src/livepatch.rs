//! Livepatch modules: two objects compared, the object of their change, and the step after the link.

use elf_index::Object;
use kernel_symbols::Module;
use kernel_symbols::module::Phase;
use klp_abi::records::SYM_CHECKSUM_SECTION;
use klp_checksum::{Program, Rule, Transcript, Unchanged};
use klp_diff::{Difference, Exports, LinkedPositions, Plan, Side};
use klp_module::{Change, extract, link, with_checksums};

use crate::elf_seeds;

/// Where modules begin; no answer depends on it.
const BASE: u64 = 0xffff_ffff_c000_0000;

/// An object with the checksums of an object can be read, and has all of them.
fn checked(bytes: &[u8], object: &Object<'_>) {
    let symbols = object.symbols_with_ids().map(|(id, _)| (id, 1));
    if let Ok(Some(made)) = with_checksums(bytes, symbols) {
        let made = Object::parse(&made);
        let found = made
            .as_ref()
            .ok()
            .and_then(|made| made.section_named(SYM_CHECKSUM_SECTION));
        let len = found.map(|(_, section)| section.data.len());
        assert_eq!(len, Some(object.symbols().len() * 16));
    }
}

/// A damaged object is compared with the good one, both ways, and its module is planned.
pub(crate) fn compared_objects(bytes: &[u8]) {
    let good = elf_seeds::objects().concat();
    let (Ok(good), Ok(damaged)) = (Object::parse(&good), Object::parse(bytes)) else {
        return;
    };
    checked(bytes, &damaged);
    for (before, after) in [(&good, &damaged), (&damaged, &good)] {
        let (Some((old, before)), Some((program, after))) = (side(before), side(after)) else {
            return;
        };
        unchanged(&old, &program);
        let Ok(twins) = klp_diff::correlate(&before, &after) else {
            return;
        };
        let difference = klp_diff::compare(&before, &after, &twins);
        let inputs = klp_diff::Inputs {
            program: &program,
            after: &after,
            twins: &twins,
            difference: &difference,
        };
        let exports = Exports::default();
        let plan = Plan::new(inputs, &exports);
        assert!(plan.symbols.len() <= after.object().symbols().len());
        let made = module(&before, &after, &difference, &plan, &exports);
        if let Some(made) = made {
            linked(&made);
        }
    }
}

/// What is said to be unchanged has one transcript.
fn unchanged(before: &Program<'_, '_>, after: &Program<'_, '_>) {
    let unchanged = Unchanged::new(before, after);
    let (mut old, mut new) = (Transcript::new(), Transcript::new());
    for (one, two) in before.subjects().iter().zip(after.subjects()) {
        if !unchanged.has(*one, *two) {
            continue;
        }
        let done = (
            before.transcribe(*one, Rule::Content, &mut old),
            after.transcribe(*two, Rule::Content, &mut new),
        );
        assert_eq!(done, (Ok(()), Ok(())));
        assert_eq!(old.checksum(), new.checksum());
    }
}

fn side<'o, 'd>(object: &'o Object<'d>) -> Option<(Program<'o, 'd>, Side<'o, 'd>)> {
    let program = Program::new(object).ok()?;
    let mut transcript = Transcript::new();
    let mut sums = Vec::new();
    for subject in program.subjects() {
        let done = program.transcribe(*subject, Rule::Content, &mut transcript);
        sums.extend(
            done.is_ok()
                .then(|| (subject.symbol, transcript.checksum())),
        );
    }
    let mut side = Side::new(&program);
    side.tell(sums);
    Some((program, side))
}

/// The object of a change. It can be read, whatever the change was made of.
fn module(
    before: &Side<'_, '_>,
    after: &Side<'_, '_>,
    difference: &Difference,
    plan: &Plan<'_>,
    exports: &Exports<'_>,
) -> Option<Vec<u8>> {
    if !plan.obstacles.is_empty() {
        return None;
    }
    let good = elf_seeds::objects().concat();
    let table = Module::parse(&good).ok()?.table(BASE, Phase::Live).ok()?;
    let linked = Object::parse(&good).ok()?;
    let positions = LinkedPositions::new(before.object(), &linked, &table, "");
    let made = extract(Change {
        before: before.object(),
        after: after.object(),
        difference,
        plan,
        exports,
        positions: &positions,
        patched: "own",
    });
    let made = made.ok()?;
    let read = Object::parse(&made);
    assert!(read.is_ok(), "{:?}", read.err());
    Some(made)
}

/// What was linked can be read, and is not linked again.
pub(crate) fn linked(bytes: &[u8]) {
    let Ok(linked) = link(bytes) else {
        return;
    };
    let read = Object::parse(&linked.bytes);
    assert!(read.is_ok(), "{:?}", read.err());
    if linked.relocations > 0 {
        assert!(link(&linked.bytes).is_err());
    }
}

/// Objects of changes of the good object, one for each byte of code that makes one.
pub(crate) fn linked_seeds() -> Vec<Vec<u8>> {
    let good = elf_seeds::objects().concat();
    let mut seeds = Vec::new();
    for at in 0..good.len().min(512) {
        let mut changed = good.clone();
        changed[at] ^= 1;
        let (Ok(one), Ok(two)) = (Object::parse(&good), Object::parse(&changed)) else {
            continue;
        };
        let (Some((_, before)), Some((program, after))) = (side(&one), side(&two)) else {
            continue;
        };
        let Ok(twins) = klp_diff::correlate(&before, &after) else {
            continue;
        };
        let difference = klp_diff::compare(&before, &after, &twins);
        let exports = Exports::default();
        let plan = Plan::new(
            klp_diff::Inputs {
                program: &program,
                after: &after,
                twins: &twins,
                difference: &difference,
            },
            &exports,
        );
        let made = module(&before, &after, &difference, &plan, &exports);
        seeds.extend(made.filter(|made| link(made).is_ok_and(|linked| linked.relocations > 0)));
    }
    assert!(
        !seeds.is_empty(),
        "no change of the good object has livepatch relocations"
    );
    seeds
}
