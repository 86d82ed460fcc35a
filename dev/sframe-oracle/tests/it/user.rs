//! Programs: every frame by SFrame data.
#![expect(
    clippy::unwrap_used,
    clippy::print_stdout,
    clippy::panic,
    reason = "what is not as it should be fails the test"
)]

use sframe_oracle::{Called, Caller, Machine, Memory, Moment, Recording};
use sframe_unwind::unwind::{
    Arch, Arm64, CodeAddr, Process, Reason, S390x, State, Step, X86_64, step, walk,
};
use sframe_unwind::write::{Draft, Format, Starts};
use sframe_unwind::{
    Base, CfaRule, Compiled, Placement, Recovery, Row, Rules, Section, Tables, Unwind, Version,
};

use crate::replay;

/// A program at an instruction.
pub(crate) struct Program<'a> {
    memory: &'a Memory<'a>,
    section: &'a Section<'a>,
}

impl<'a> Program<'a> {
    pub(crate) const fn new(memory: &'a Memory<'a>, section: &'a Section<'a>) -> Self {
        Self { memory, section }
    }
}

impl Process for Program<'_> {
    fn read_u64(&self, addr: u64) -> Option<u64> {
        self.memory.read(addr)
    }

    fn is_text(&self, pc: u64) -> bool {
        self.memory.text.contains(&pc)
    }

    fn stack_end(&self, addr: u64) -> Option<u64> {
        let range = self.memory.stack_range();
        // A stack pointer can be at the end.
        (range.start <= addr && addr <= range.end).then_some(range.end)
    }

    fn is_call(&self, ra: u64, callee: u64) -> bool {
        match self.memory.call_before(ra) {
            None => false,
            Some(Called::Unknown) => true,
            Some(Called::Function(function)) => {
                let of = self.section.find_fde(callee).and_then(Result::ok);
                // A handler's first instruction jumps to the rest of it.
                of.is_some_and(|fde| fde.start == function)
            }
        }
    }

    fn strip_pac(&self, pc: u64) -> u64 {
        match self.memory.machine {
            Machine::Aarch64 => pc & 0xffff_ffff_ffff,
            Machine::X86_64 | Machine::S390x => pc,
        }
    }
}

/// What came out of a recording.
#[derive(Debug, Default, PartialEq, Eq)]
struct Counts {
    instructions: usize,
    frames: usize,
    reliable: usize,
}

/// Unwinds from an instruction to the last frame and compares each step with the shadow stack.
fn unwind<A: Arch>(
    moment: &Moment,
    process: &Program<'_>,
    tables: &impl Tables,
    counts: &mut Counts,
) -> Result<(), Reason> {
    let now = &moment.registers;
    let mut state = State {
        pc: CodeAddr::Instruction(now.pc),
        sp: now.sp,
        fp: now.fp,
    };
    let registers = |number| known::<A>(moment, number);
    let mut top: Option<&dyn sframe_unwind::unwind::Registers> = Some(&registers);
    let mut calls = moment.calls.iter().rev();
    loop {
        let at = format!("{:#x}: {state:x?}", now.pc);
        counts.frames += 1;
        let Step::Caller { state: caller, cfa } = step::<A>(&state, top.take(), tables, process)?
        else {
            assert_eq!(calls.next(), None, "{at} is not the last frame");
            return Ok(());
        };
        let Some(call) = calls.next() else {
            panic!("{at} is the last frame, found {caller:x?}");
        };
        let pc = match call.caller {
            Caller::Call => CodeAddr::Return(call.ra),
            // Nothing has called a trampoline: its first instruction is what is looked up.
            Caller::Trampoline | Caller::Interrupted => CodeAddr::Instruction(call.ra),
        };
        assert_eq!((caller.pc, caller.fp, cfa), (pc, call.fp, call.cfa), "{at}");
        state = caller;
    }
}

/// The instructions of a trace that is to be relied on.
pub(crate) fn trace<A: Arch>(
    moment: &Moment,
    program: &Program<'_>,
) -> Result<Vec<CodeAddr>, Reason> {
    let now = &moment.registers;
    let top = State {
        pc: CodeAddr::Instruction(now.pc),
        sp: now.sp,
        fp: now.fp,
    };
    let mut pcs = Vec::new();
    let registers = |number| known::<A>(moment, number);
    walk::<A>(
        top,
        &registers,
        program.section,
        program,
        100,
        &mut |frame| {
            pcs.push(frame.pc);
        },
    )
    .map_err(|unreliable| unreliable.reason)?;
    Ok(pcs)
}

/// What is known of the topmost frame's registers.
fn known<A: Arch>(moment: &Moment, number: u32) -> Option<u64> {
    if Some(number) == A::LINK_REGISTER {
        return Some(moment.registers.link);
    }
    let mut extra = moment.extra.iter();
    extra
        .find(|(dwarf, _)| *dwarf == number)
        .map(|(_, value)| *value)
}

fn all<A: Arch>(recording: &Recording, tables: &impl Tables) -> (Counts, Vec<Reason>) {
    let (mut counts, mut reasons) = (Counts::default(), Vec::new());
    let section = replay::section(recording);
    recording.play(|moment, memory| {
        counts.instructions += 1;
        match unwind::<A>(moment, &Program::new(memory, &section), tables, &mut counts) {
            Ok(()) => counts.reliable += 1,
            Err(reason) => reasons.push(reason),
        }
    });
    (counts, reasons)
}

/// In place and in a table.
fn every_instruction<A: Arch>(name: &str) -> (Counts, Vec<Reason>) {
    let recording = replay::recording(name);
    let section = replay::section(&recording);
    let in_place = all::<A>(&recording, &section);
    let compiled = all::<A>(&recording, &Compiled::build(&[section]).unwrap());
    assert_eq!(in_place, compiled);
    println!("{name}: {:?}, not sure: {}", in_place.0, in_place.1.len());
    in_place
}

#[test]
fn every_instruction_of_aarch64_programs() {
    for name in ["aarch64", "aarch64-pauth"] {
        let (counts, reasons) = every_instruction::<Arm64>(name);
        assert_eq!(reasons, [], "{name}");
        assert!(counts.instructions > 700, "{counts:?}");
    }
}

#[test]
fn every_instruction_of_x86_64_programs() {
    for name in ["x86-64", "x86-64-frame-pointer"] {
        let (counts, reasons) = every_instruction::<X86_64>(name);
        assert_eq!(reasons, [], "{name}");
        assert!(counts.instructions > 700, "{counts:?}");
    }
}

#[test]
fn every_instruction_of_an_s390x_program() {
    let (counts, reasons) = every_instruction::<S390x>("s390x");
    assert_eq!(reasons, []);
    assert!(counts.instructions > 600, "{counts:?}");
}

/// What assemblers cannot express of a signal's frame is said, at each instruction of a handler and only there.
#[test]
fn handlers_are_uncertain_where_their_trampoline_is_not_described() {
    let is_handled = |moment: &Moment| {
        let mut calls = moment.calls.iter();
        calls.any(|call| call.caller == Caller::Interrupted)
    };
    let uncertain = |name: &str, (counts, reasons): (Counts, Vec<Reason>)| {
        let recording = replay::recording(name);
        let handled = recording.moments.iter().filter(|moment| is_handled(moment));
        assert_eq!(reasons.len(), handled.count());
        assert!(
            reasons.len() > 300 && counts.reliable > 700,
            "{name} {counts:?}"
        );
        for reason in reasons {
            let is_said = matches!(reason, Reason::NoRules { .. } | Reason::NotACall { .. });
            assert!(is_said, "{name} {reason}");
        }
    };
    uncertain(
        "aarch64-signals",
        every_instruction::<Arm64>("aarch64-signals"),
    );
    uncertain(
        "x86-64-signals",
        every_instruction::<X86_64>("x86-64-signals"),
    );
}

/// With its trampoline described, by a flexible descriptor that this repository's writer makes, a handler is unwound
/// to what it interrupted, and on.
#[test]
fn a_described_trampoline_is_crossed() {
    let recording = replay::recording("x86-64-signals");
    let section = replay::section(&recording);
    let mut draft = Draft::read(&section).unwrap();
    let mut trampolines = draft.functions_mut().iter_mut();
    let trampoline = trampolines.find(|function| function.is_signal_frame);
    let at_sp = |offset| Recovery::RegisterLoad {
        base: Base::Sp,
        offset,
    };
    // Registers in `struct rt_sigframe` of x86-64, from the stack pointer that the handler returns with.
    trampoline.unwrap().rows = vec![Row {
        start: 0,
        unwind: Unwind::Caller(Rules {
            cfa: CfaRule::Load {
                base: Base::Sp,
                offset: 160,
            },
            ra: at_sp(168),
            fp: at_sp(120),
            is_ra_signed: false,
        }),
    }];
    let format = Format {
        version: Version::V3,
        starts: Starts::Field,
        section_addr: recording.sframe_addr,
    };
    let written = draft.write(&format).unwrap();
    let placement = Placement {
        section_addr: recording.sframe_addr,
    };
    let section = Section::parse(&written, placement).unwrap();
    let (counts, reasons) = all::<X86_64>(&recording, &section);
    assert_eq!(reasons, []);
    assert_eq!(counts.reliable, counts.instructions);
    println!("x86-64-signals, described: {counts:?}");
}
