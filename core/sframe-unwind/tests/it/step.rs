//! Steps of the three processors, on stacks written out.

use std::collections::BTreeMap;

use sframe_unwind::unwind::{
    Arch, Arm64, CodeAddr, Process, Reason, Registers, S390x, State, Step, X86_64, step, walk,
};
use sframe_unwind::{Base, CfaRule, Cover, Malformed, Recovery, Rules, Tables, Unwind};

const TEXT: std::ops::Range<u64> = 0x1000..0x2000;
const SP: u64 = 0x8100;

/// Words of a stack from 0x8000 to 0x9000.
struct Program(BTreeMap<u64, u64>);

impl Process for Program {
    fn read_u64(&self, addr: u64) -> Option<u64> {
        (0x8000..0x9000)
            .contains(&addr)
            .then(|| self.0.get(&addr).copied().unwrap_or(0))
    }

    fn is_text(&self, pc: u64) -> bool {
        TEXT.contains(&pc)
    }

    fn stack_end(&self, addr: u64) -> Option<u64> {
        (0x8000..=0x9000).contains(&addr).then_some(0x9000)
    }
}

/// One function up to 0x1100, another from there on.
struct Two {
    below: Cover,
    above: Cover,
}

impl Tables for Two {
    fn cover(&self, pc: u64) -> Result<Option<Cover>, Malformed> {
        let cover = if pc < 0x1100 { self.below } else { self.above };
        Ok(TEXT.contains(&pc).then_some(cover))
    }
}

fn caller(offset: i32, ra: Recovery, fp: Recovery) -> Cover {
    let base = Base::Sp;
    Cover {
        unwind: Unwind::Caller(Rules {
            cfa: CfaRule::Offset { base, offset },
            ra,
            fp,
            is_ra_signed: false,
        }),
        is_signal_frame: false,
    }
}

const LAST: Cover = Cover {
    unwind: Unwind::Outermost,
    is_signal_frame: false,
};

fn everywhere(cover: Cover) -> Two {
    Two {
        below: cover,
        above: cover,
    }
}

fn at(pc: CodeAddr) -> State {
    State {
        pc,
        sp: SP,
        fp: 0x8800,
    }
}

fn go<A: Arch>(
    state: &State,
    registers: Option<&dyn Registers>,
    tables: &Two,
    words: &[(u64, u64)],
) -> Result<Step, Reason> {
    let program = Program(words.iter().copied().collect());
    step::<A>(state, registers, tables, &program)
}

const SAVED: Recovery = Recovery::Saved(-8);

/// A call that never returns can be the last instruction of a function: what it returns to is the next function.
#[test]
fn a_return_address_is_looked_up_in_front_of_it() {
    let tables = Two {
        below: caller(16, SAVED, Recovery::Unchanged),
        above: LAST,
    };
    let words = [(SP + 8, 0x1234)];
    let called = go::<X86_64>(&at(CodeAddr::Return(0x1100)), None, &tables, &words);
    assert!(
        matches!(called, Ok(Step::Caller { cfa, .. }) if cfa == SP + 16),
        "{called:?}"
    );
    let interrupted = go::<X86_64>(&at(CodeAddr::Instruction(0x1100)), None, &tables, &words);
    assert_eq!(interrupted, Ok(Step::Last));
}

#[test]
fn the_link_register_is_known_in_the_topmost_frame_only() {
    let tables = everywhere(caller(32, Recovery::Unchanged, Recovery::Unchanged));
    let registers = |number| (number == 30).then_some(0x1234);
    let top = at(CodeAddr::Instruction(0x1010));
    let stepped = go::<Arm64>(&top, Some(&registers), &tables, &[]);
    let state = State {
        pc: CodeAddr::Return(0x1234),
        sp: SP + 32,
        fp: top.fp,
    };
    assert_eq!(
        stepped,
        Ok(Step::Caller {
            state,
            cfa: SP + 32
        })
    );
    let unknown = Err(Reason::NoRegister { number: 30 });
    assert_eq!(go::<Arm64>(&state, None, &tables, &[]), unknown);
    let unknown = Err(Reason::NoRegister { number: 14 });
    assert_eq!(
        go::<S390x>(
            &state,
            None,
            &everywhere(caller(192, Recovery::Unchanged, Recovery::Unchanged)),
            &[]
        ),
        unknown
    );
}

/// Its CFA is behind what a caller keeps free for its callee.
#[test]
fn the_stack_pointer_of_s390x_is_160_below_the_cfa() {
    let tables = everywhere(caller(320, Recovery::Saved(-48), Recovery::Saved(-72)));
    let words = [(SP + 320 - 48, 0x1234), (SP + 320 - 72, 0x8900)];
    let stepped = go::<S390x>(&at(CodeAddr::Return(0x1010)), None, &tables, &words);
    let state = State {
        pc: CodeAddr::Return(0x1234),
        sp: SP + 160,
        fp: 0x8900,
    };
    assert_eq!(
        stepped,
        Ok(Step::Caller {
            state,
            cfa: SP + 320
        })
    );
}

/// What is left below the stack pointer is good in the topmost frame of x86-64, and nowhere else.
#[test]
fn below_the_stack_pointer_nothing_is_read_but_in_the_red_zone() {
    let tables = everywhere(caller(8, SAVED, Recovery::Saved(-16)));
    let words = [(SP, 0x1234), (SP - 8, 0x8900)];
    let top = go::<X86_64>(&at(CodeAddr::Instruction(0x1010)), None, &tables, &words);
    assert!(
        matches!(top, Ok(Step::Caller { state, .. }) if state.fp == 0x8900),
        "{top:?}"
    );
    let outside = Err(Reason::OutsideStack { addr: SP - 8 });
    assert_eq!(
        go::<X86_64>(&at(CodeAddr::Return(0x1010)), None, &tables, &words),
        outside
    );
}

/// The trampoline of a signal was not called, and its caller was interrupted.
#[test]
fn what_a_signal_interrupted_is_an_instruction() {
    let mut trampoline = caller(0x200, Recovery::Saved(-0x100), Recovery::Unchanged);
    trampoline.is_signal_frame = true;
    let words = [(SP + 0x100, 0x1100)];
    let stepped = go::<X86_64>(
        &at(CodeAddr::Return(0x1010)),
        None,
        &everywhere(trampoline),
        &words,
    );
    assert!(
        matches!(stepped, Ok(Step::Caller { state, .. }) if state.pc == CodeAddr::Instruction(0x1100)),
        "{stepped:?}"
    );
}

#[test]
fn frames_go_up_on_their_stack() {
    let refused = |offset, words: &[(u64, u64)]| {
        let tables = everywhere(caller(offset, SAVED, Recovery::Unchanged));
        go::<X86_64>(&at(CodeAddr::Return(0x1010)), None, &tables, words)
    };
    let wrong = |addr| Err(Reason::WrongDirection { addr, than: SP });
    assert_eq!(refused(0, &[]), wrong(SP));
    assert_eq!(refused(-16, &[]), wrong(SP - 16));
    assert_eq!(refused(12, &[]), Err(Reason::Misaligned { addr: SP + 12 }));
    assert_eq!(
        refused(0x1000, &[]),
        Err(Reason::OutsideStack { addr: SP + 0x1000 })
    );
    assert_eq!(refused(16, &[]), Err(Reason::NotText { pc: 0 }));
    assert_eq!(
        refused(16, &[(SP + 8, 0x2000)]),
        Err(Reason::NotText { pc: 0x2000 })
    );
}

#[test]
fn a_walk_ends_at_the_last_frame_or_says_that_there_are_more() {
    let tables = Two {
        below: caller(16, SAVED, Recovery::Unchanged),
        above: LAST,
    };
    let frames = |most, words: &[(u64, u64)]| {
        let program = Program(words.iter().copied().collect());
        let mut pcs = Vec::new();
        let top = at(CodeAddr::Instruction(0x1010));
        let none = |_number| None;
        let ended = walk::<X86_64>(top, &none, &tables, &program, most, &mut |frame| {
            pcs.push(frame.pc.addr());
        });
        (
            pcs,
            ended.map_err(|unreliable| (unreliable.frame, unreliable.reason)),
        )
    };
    let words = [(SP + 8, 0x1020), (SP + 24, 0x1180)];
    assert_eq!(frames(10, &words), (vec![0x1010, 0x1020, 0x1180], Ok(3)));
    assert_eq!(
        frames(2, &words),
        (vec![0x1010, 0x1020], Err((2, Reason::TooDeep(2))))
    );
    let cut = frames(10, &words[..1]);
    assert_eq!(
        cut,
        (vec![0x1010, 0x1020], Err((1, Reason::NotText { pc: 0 })))
    );
}
