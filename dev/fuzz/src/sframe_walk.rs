//! Traces through the recorded AArch64 program, as its kernel: with damaged SFrame data, and with a damaged stack.
//!
//! A trace with every frame proven is right, or it says that it is not to be relied on.

use std::sync::LazyLock;

use sframe_oracle::{Handler, Interrupted, Memory, Moment, ReadsCalls, Recording};
use sframe_unwind::unwind::CodeAddr;
use sframe_unwind::unwind::arm64::{Check, pt_regs};
use sframe_unwind::write::{Draft, Format, Starts};
use sframe_unwind::{
    Base, CfaRule, Placement, Policy, Row, Rules, Section, Tables, Unwind, Version, verify,
};

const PACKED: &[u8] = include_bytes!("../../sframe-oracle/recordings/aarch64.zst");
/// One instruction of so many is a seed.
const STEP: usize = 7;
/// Bytes of stack that are in an input, from the handler's record on.
const WINDOW: usize = 1024;

static RECORDING: LazyLock<Option<Recording>> = LazyLock::new(|| Recording::read(PACKED).ok());

/// Exceptions of the recording, with what a trace must be.
struct Case {
    moment: &'static Moment,
    machine: Interrupted<'static>,
    truth: Vec<CodeAddr>,
}

static CASES: LazyLock<Vec<Case>> = LazyLock::new(|| cases().unwrap_or_default());

fn cases() -> Option<Vec<Case>> {
    let recording = RECORDING.as_ref()?;
    let handler = Handler::of(recording)?;
    let section = section(&recording.sframe)?;
    let mut cases = Vec::new();
    let mut number = 0;
    recording.play(|moment, memory: &Memory<'static>| {
        number += 1;
        let machine = Interrupted::new(moment, memory, section, handler, ReadsCalls::Yes);
        let machine = machine.filter(|machine| machine.has_final_record(moment));
        if let Some(machine) = machine.filter(|_| number % STEP == 0) {
            let truth = machine.truth(moment);
            cases.push(Case {
                moment,
                machine,
                truth,
            });
        }
    });
    Some(cases)
}

fn section(bytes: &[u8]) -> Option<Section<'_>> {
    let section_addr = RECORDING.as_ref()?.sframe_addr;
    Section::parse(bytes, Placement { section_addr }).ok()
}

/// The case of an input, which its first two bytes number, and the rest.
fn split(bytes: &[u8]) -> Option<(&'static Case, &[u8])> {
    let (number, rest) = bytes.split_first_chunk()?;
    let number = usize::from(u16::from_le_bytes(*number));
    Some((CASES.get(number.checked_rem(CASES.len())?)?, rest))
}

fn numbered(rest_fn: impl Fn(&Case) -> Vec<u8>) -> Vec<Vec<u8>> {
    let cases = (0_u16..).zip(CASES.iter());
    let inputs = cases.map(|(number, case)| [&number.to_le_bytes()[..], &rest_fn(case)].concat());
    inputs.collect()
}

/// SFrame data in front of which there is the number of an exception.
pub(crate) fn section_seeds() -> Vec<Vec<u8>> {
    let sframe = without_entry().unwrap_or_default();
    numbered(|_case| sframe.clone())
}

/// The section without the program's start, which a kernel's section does not have either.
fn without_entry() -> Option<Vec<u8>> {
    let recording = RECORDING.as_ref()?;
    let mut draft = Draft::read(&section(&recording.sframe)?).ok()?;
    let has_caller = |row: &Row| row.unwind != Unwind::Outermost;
    draft
        .functions_mut()
        .retain(|function| function.rows.iter().all(has_caller));
    let format = Format {
        version: Version::V3,
        starts: Starts::Field,
        section_addr: recording.sframe_addr,
    };
    draft.write(&format).ok()
}

/// Stacks in front of which there is the number of the exception.
pub(crate) fn stack_seeds() -> Vec<Vec<u8>> {
    numbered(|case| window(&case.machine).to_vec())
}

fn window<'a>(machine: &'a Interrupted<'_>) -> &'a [u8] {
    let from = machine
        .handler_record
        .wrapping_sub(machine.memory.stack_addr);
    let from = usize::try_from(from).unwrap_or(usize::MAX);
    let stack = machine.memory.stack.get(from..).unwrap_or(&[]);
    stack.get(..WINDOW).unwrap_or(stack)
}

/// Walks, and says whether the trace is to be relied on and whether it is right.
fn walk(case: &Case, machine: &Interrupted<'_>, tables: &impl Tables) -> (bool, bool) {
    let mut walk = machine.walk(tables).check(Check::EveryFrame);
    let pcs: Vec<_> = walk.by_ref().take(4096).map(|frame| frame.pc).collect();
    assert!(pcs.len() < 4096, "a trace that does not end");
    (walk.outcome().is_ok(), pcs == case.truth)
}

/// A section that a kernel refuses is not used. One that it accepts is believed, as far as the stack and the code do
/// not contradict it: they cannot where a function calls itself, for then rules that take two of its frames
/// for one, or one for two, describe a stack that another run could have had.
pub(crate) fn damaged_section(bytes: &[u8]) {
    let Some((case, sframe)) = split(bytes) else {
        return;
    };
    let Some(section) = section(sframe) else {
        return;
    };
    let (is_reliable, is_right) = walk(case, &case.machine, &section);
    let report = verify(&section, Policy::KernelArm64, &mut |_finding| {});
    assert!(
        is_right || !is_reliable || report.errors > 0 || is_recursive(case),
        "relied on and wrong at {:#x}",
        case.moment.registers.pc
    );
}

/// Whether the interrupted function was called by itself, or has called itself and x30 is what is left of it.
fn is_recursive(case: &Case) -> bool {
    let function = |pc: u64| case.machine.section.find_fde(pc)?.ok().map(|fde| fde.start);
    let now = &case.moment.registers;
    let this = function(now.pc);
    let caller = case.moment.calls.last().map_or(0, |call| call.ra);
    [caller, now.link]
        .iter()
        .any(|ra| function(ra.wrapping_sub(1)) == this)
}

/// Words of the stack that are not what they were.
pub(crate) fn damaged_stack(bytes: &[u8]) {
    let Some((case, damaged)) = split(bytes) else {
        return;
    };
    let Some(section) = RECORDING
        .as_ref()
        .and_then(|recording| section(&recording.sframe))
    else {
        return;
    };
    let good = &case.machine;
    let mut machine = good.clone();
    let Some(moved) = words(damaged, window(good), good.handler_record) else {
        return;
    };
    for (addr, word) in moved {
        if is_another_stack(case, &section, addr, word) {
            return;
        }
        machine.memory.write(addr, word);
    }
    let (is_reliable, is_right) = walk(case, &machine, &section);
    assert!(
        is_right || !is_reliable,
        "relied on and wrong at {:#x}",
        case.moment.registers.pc
    );
}

/// Words of a damaged stack that changed, with their addresses.
fn words(damaged: &[u8], good: &[u8], addr: u64) -> Option<Vec<(u64, u64)>> {
    let pairs = damaged
        .as_chunks::<8>()
        .0
        .iter()
        .zip(good.as_chunks::<8>().0);
    let numbered = (0_u64..).zip(pairs);
    let changed = numbered.filter(|(_, (now, then))| now != then);
    let words: Vec<_> = changed
        .map(|(at, (now, _))| (addr.wrapping_add(8 * at), u64::from_le_bytes(*now)))
        .collect();
    (!words.is_empty()).then_some(words)
}

/// Whether with this word the stack is that of another run of the program, so that nobody can know: what was
/// executing, a return address behind another call, and, among frames of variable size, another frame's record.
fn is_another_stack(case: &Case, section: &Section<'_>, addr: u64, word: u64) -> bool {
    let now = &case.moment.registers;
    let regs = now.sp.wrapping_sub(pt_regs::SIZE);
    let executing = [pt_regs::PC, pt_regs::SP].map(|offset| regs.wrapping_add(offset));
    let is_call = case
        .machine
        .memory
        .call_before(word & 0xffff_ffff_ffff)
        .is_some();
    let is_variable = |ra: u64| {
        let found = section.find(ra.wrapping_sub(1)).ok().flatten();
        matches!(
            found.map(|found| found.row.unwind),
            Some(Unwind::Caller(Rules {
                cfa: CfaRule::Offset { base: Base::Fp, .. },
                ..
            }))
        )
    };
    let calls = &case.moment.calls;
    let is_record = calls.iter().any(|call| call.fp == word);
    executing.contains(&addr)
        || is_call
        || is_record && calls.iter().any(|call| is_variable(call.ra))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Damage to what is refused at once finds nothing.
    #[test]
    fn undamaged_traces_are_right_and_relied_on() {
        assert!(CASES.len() > 100);
        let sframe = &RECORDING.as_ref().unwrap().sframe;
        for case in CASES.iter() {
            let section = section(sframe).unwrap();
            assert_eq!(walk(case, &case.machine, &section), (true, true));
        }
        let entry_less = without_entry().unwrap();
        let report = verify(
            &section(&entry_less).unwrap(),
            Policy::KernelArm64,
            &mut |finding| {
                panic!("{finding}");
            },
        );
        assert_eq!((report.errors, report.functions), (0, 11));
        let not_recursive = CASES.iter().filter(|case| !is_recursive(case));
        assert!(not_recursive.count() > 20);
        assert_eq!(section_seeds().len(), CASES.len());
        assert!(stack_seeds().iter().all(|seed| seed.len() > 300));
    }
}
