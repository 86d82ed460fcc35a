//! The walk through the AArch64 kernel, point by point, on stacks written out.

#![expect(
    clippy::expect_used,
    reason = "what is not as it should be fails the test"
)]

use std::collections::BTreeMap;
use std::ops::Range;

use sframe_unwind::unwind::arm64::{
    Check, Frame, Kernel, KernelWalk, META_FINAL, META_PT_REGS, Regs, Rewrite, Source, Start,
    pt_regs,
};
use sframe_unwind::unwind::{CodeAddr, Reason, Unreliable};
use sframe_unwind::{Base, CfaRule, Cover, Malformed, Recovery, Rules, Tables, Unwind};

const TEXT: Range<u64> = 0x1000..0x2000;
const STACK: Range<u64> = 0x8000..0x9000;
/// `task_pt_regs(task)->stackframe`.
const FINAL: u64 = STACK.end - pt_regs::SIZE + pt_regs::STACKFRAME;

/// A kernel with some words of memory, zeros elsewhere on the stack.
#[derive(Default)]
struct Machine {
    words: BTreeMap<u64, u64>,
    rewrites: BTreeMap<u64, Rewrite>,
    obscured: Option<u64>,
    stacks: Vec<Range<u64>>,
    faults: Option<u64>,
}

impl Machine {
    /// One that ends where it has to.
    fn new(words: &[(u64, u64)]) -> Self {
        let mut machine = Self {
            words: words.iter().copied().collect(),
            stacks: vec![STACK],
            ..Self::default()
        };
        machine.words.insert(FINAL + 16, META_FINAL);
        machine
    }
}

impl Kernel for Machine {
    /// There is no code behind its addresses.
    fn is_call(&self, _ra: u64, _callee: u64) -> bool {
        true
    }

    fn read_u64(&self, addr: u64) -> Option<u64> {
        let word = self.words.get(&addr).copied().unwrap_or(0);
        (self.faults != Some(addr)).then_some(word)
    }

    fn stacks(&self) -> impl IntoIterator<Item = Range<u64>> {
        self.stacks.clone()
    }

    fn final_record(&self) -> u64 {
        FINAL
    }

    fn is_text(&self, pc: u64) -> bool {
        TEXT.contains(&pc)
    }

    fn strip_pac(&self, pc: u64) -> u64 {
        pc & 0xffff_ffff_ffff
    }

    fn rewrite(&self, _fp: u64, pc: u64) -> Rewrite {
        self.rewrites.get(&pc).copied().unwrap_or(Rewrite::None)
    }

    fn is_obscured(&self, pc: u64) -> bool {
        self.obscured == Some(pc)
    }
}

/// The same rules for all code.
struct Everywhere(Option<Unwind>);

impl Tables for Everywhere {
    fn cover(&self, _pc: u64) -> Result<Option<Cover>, Malformed> {
        Ok(self.0.map(|unwind| Cover {
            unwind,
            is_signal_frame: false,
        }))
    }
}

fn rules(base: Base, offset: i32, fp: Recovery, ra: Recovery) -> Everywhere {
    Everywhere(Some(Unwind::Caller(Rules {
        cfa: CfaRule::Offset { base, offset },
        ra,
        fp,
        is_ra_signed: false,
    })))
}

fn leaf() -> Everywhere {
    rules(Base::Sp, 0, Recovery::Unchanged, Recovery::Unchanged)
}

/// Interrupted at 0x1100 with x30 0x1200 and x29 at the final record.
fn regs(sp: u64) -> Start {
    Start::Regs(Regs {
        pc: 0x1100,
        sp,
        fp: FINAL,
        lr: 0x1200,
    })
}

/// As the kernel's series walks: what is checked across exceptions is to be seen by itself.
fn trace(
    start: Start,
    tables: &Everywhere,
    machine: &Machine,
) -> (Vec<(u64, Source)>, Result<(), Reason>) {
    let mut walk = KernelWalk::new(start, tables, machine).check(Check::Exceptions);
    let frames: Vec<Frame> = walk.by_ref().collect();
    let frames = frames
        .iter()
        .map(|frame| (frame.pc.addr(), frame.source))
        .collect();
    let outcome = walk.outcome().map_err(|Unreliable { reason, .. }| reason);
    (frames, outcome)
}

fn reason(start: Start, tables: &Everywhere, machine: &Machine) -> Reason {
    let (_, outcome) = trace(start, tables, machine);
    outcome.expect_err("not reliable")
}

const TOP: (u64, Source) = (0x1100, Source::RegsPc);

/// SFrame data is not asked for where there is a frame record.
#[test]
fn calls_are_crossed_by_frame_records_alone() {
    let machine = Machine::new(&[
        (0x8100, 0x8200),
        (0x8108, 0x1300),
        (0x8200, FINAL),
        (0x8208, 0x1400),
    ]);
    let start = Start::Task {
        pc: 0x1100,
        fp: 0x8100,
    };
    let (frames, outcome) = trace(start, &Everywhere(None), &machine);
    let record = Source::FrameRecord;
    assert_eq!(
        frames,
        [(0x1100, Source::Start), (0x1300, record), (0x1400, record)]
    );
    assert_eq!(outcome, Ok(()));
}

#[test]
fn a_leaf_returns_to_the_link_register() {
    let (frames, outcome) = trace(regs(0x8400), &leaf(), &Machine::new(&[]));
    assert_eq!(frames, [TOP, (0x1200, Source::RegsLr)]);
    assert_eq!(outcome, Ok(()));
}

#[test]
fn a_saved_return_address_is_read_and_its_code_stripped() {
    let tables = rules(Base::Sp, 32, Recovery::Saved(-32), Recovery::Saved(-24));
    let machine = Machine::new(&[(0x8400, FINAL), (0x8408, 0xabcd_0000_0000_1300)]);
    let (frames, outcome) = trace(regs(0x8400), &tables, &machine);
    assert_eq!(frames, [TOP, (0x1300, Source::Sframe)]);
    assert_eq!(outcome, Ok(()));
}

/// A kernel branch tested `cfa & 0x15`, which takes ...8 and refuses ...10.
#[test]
fn a_cfa_is_aligned_to_16_bytes() {
    for (sp, is_good) in [
        (0x8400, true),
        (0x8410, true),
        (0x8408, false),
        (0x8404, false),
        (0x8401, false),
    ] {
        let (_, outcome) = trace(regs(sp), &leaf(), &Machine::new(&[]));
        let misaligned = Err(Reason::Misaligned { addr: sp });
        assert_eq!(
            outcome,
            if is_good { Ok(()) } else { misaligned },
            "{sp:#x}"
        );
    }
}

#[test]
fn a_cfa_from_the_frame_pointer_is_not_below_the_stack_pointer() {
    let tables = rules(Base::Fp, 16, Recovery::Saved(-16), Recovery::Saved(-8));
    let at = |sp, fp| {
        Start::Regs(Regs {
            pc: 0x1100,
            sp,
            fp,
            lr: 0x1200,
        })
    };
    let machine = Machine::new(&[(0x8500, FINAL), (0x8508, 0x1300)]);
    let (frames, outcome) = trace(at(0x8400, 0x8500), &tables, &machine);
    assert_eq!((frames.len(), outcome), (2, Ok(())));
    let wrong = Reason::WrongDirection {
        addr: 0x8500,
        than: 0x8600,
    };
    assert_eq!(reason(at(0x8600, 0x8500), &tables, &machine), wrong);
}

/// The stack is consumed upwards: the frame pointer is below the return address, both in the frame.
#[test]
fn saved_registers_ascend_within_the_frame() {
    let machine = Machine::new(&[(0x8400, 0x1300), (0x8408, FINAL)]);
    for (fp, ra) in [
        (-8, -16),
        (-24, -8),
        (-16, 0),
        (-8, -8),
        (i32::MIN, -8),
        (-16, i32::MAX & !7),
    ] {
        let tables = rules(Base::Sp, 16, Recovery::Saved(fp), Recovery::Saved(ra));
        let found = reason(regs(0x8400), &tables, &machine);
        assert!(
            matches!(found, Reason::WrongDirection { .. }),
            "{fp} {ra}: {found}"
        );
    }
}

#[test]
fn rules_that_this_code_cannot_have_are_refused() {
    let saved = (Recovery::Saved(-16), Recovery::Saved(-8));
    let of_register = Recovery::Register {
        base: Base::Register(30),
        offset: 0,
    };
    for tables in [
        rules(Base::Register(9), 16, saved.0, saved.1),
        rules(Base::Sp, 16, saved.0, Recovery::CfaOffset(8)),
        rules(Base::Sp, 16, saved.0, of_register),
        rules(Base::Sp, 16, of_register, saved.1),
        Everywhere(Some(Unwind::Caller(Rules {
            cfa: CfaRule::Load {
                base: Base::Sp,
                offset: 0,
            },
            ra: saved.1,
            fp: saved.0,
            is_ra_signed: false,
        }))),
    ] {
        let found = reason(regs(0x8400), &tables, &Machine::new(&[]));
        assert_eq!(found, Reason::Flexible { pc: 0x1100 });
    }
}

/// A kernel's last frame is known by its place, and nothing else ends a trace.
#[test]
fn an_undefined_return_address_does_not_end_a_trace() {
    let tables = Everywhere(Some(Unwind::Outermost));
    let found = reason(regs(0x8400), &tables, &Machine::new(&[]));
    assert_eq!(found, Reason::RaUndefinedInKernel { pc: 0x1100 });
}

/// Without rules the record is followed: the caller is missing, and the trace says so.
#[test]
fn what_cannot_be_crossed_falls_back_to_the_record_and_is_not_relied_on() {
    let machine = Machine::new(&[(0x8500, FINAL), (0x8508, 0x1300)]);
    let start = Start::Regs(Regs {
        pc: 0x1100,
        sp: 0x8400,
        fp: 0x8500,
        lr: 0x1200,
    });
    let (frames, outcome) = trace(start, &Everywhere(None), &machine);
    assert_eq!(frames, [TOP, (0x1300, Source::FrameRecord)]);
    assert_eq!(outcome, Err(Reason::NoRules { pc: 0x1100 }));
}

#[test]
fn a_final_record_elsewhere_is_no_end() {
    let machine = Machine::new(&[(0x8500 + 16, META_FINAL)]);
    let start = Start::Task {
        pc: 0x1100,
        fp: 0x8500,
    };
    let found = reason(start, &leaf(), &machine);
    assert_eq!(found, Reason::BadTermination { addr: 0x8500 });
    // Types that mean nothing.
    for kind in [0, 3, u64::MAX] {
        let machine = Machine::new(&[(0x8500 + 16, kind)]);
        let found = reason(start, &leaf(), &machine);
        assert_eq!(found, Reason::BadTermination { addr: 0x8500 });
    }
}

/// An exception in an exception: registers are saved twice.
#[test]
fn exceptions_are_crossed_one_after_another() {
    let saved = |at: u64, pc: u64, sp: u64, fp: u64, lr: u64| {
        [
            (at + pt_regs::PC, pc),
            (at + pt_regs::SP, sp),
            (at + pt_regs::FP, fp),
            (at + pt_regs::LR, lr),
            (at + pt_regs::STACKFRAME + 16, META_PT_REGS),
        ]
    };
    let (inner, outer) = (0x8100, 0x8400);
    let words = [
        saved(
            inner,
            0x1500,
            inner + pt_regs::SIZE,
            outer + pt_regs::STACKFRAME,
            0x1600,
        ),
        saved(outer, 0x1100, outer + pt_regs::SIZE, FINAL, 0x1200),
    ]
    .concat();
    let start = Start::Caller {
        pc: 0x1700,
        fp: inner + pt_regs::STACKFRAME,
    };
    let machine = Machine::new(&words);
    let (frames, outcome) = trace(start, &leaf(), &machine);
    let wanted = [
        (0x1700, Source::Start),
        (0x1500, Source::RegsPc),
        (0x1600, Source::RegsLr),
        TOP,
        (0x1200, Source::RegsLr),
    ];
    assert_eq!(frames, wanted);
    assert_eq!(outcome, Ok(()));
}

/// Each stack is left once, and read upwards: a chain that goes back is refused, so that every walk ends.
#[test]
fn records_that_lead_back_are_refused() {
    let back = Machine::new(&[
        (0x8200, 0x8100),
        (0x8208, 0x1300),
        (0x8100, 0x8200),
        (0x8108, 0x1400),
    ]);
    let start = Start::Task {
        pc: 0x1100,
        fp: 0x8200,
    };
    assert_eq!(
        reason(start, &leaf(), &back),
        Reason::OutsideStack { addr: 0x8100 }
    );
    let itself = Machine::new(&[(0x8200, 0x8200), (0x8208, 0x1300)]);
    assert_eq!(
        reason(start, &leaf(), &itself),
        Reason::OutsideStack { addr: 0x8200 }
    );

    let mut two = Machine::new(&[
        (0xa000, 0x8200),
        (0xa008, 0x1300),
        (0x8200, 0xa100),
        (0x8208, 0x1400),
    ]);
    two.stacks.push(0xa000..0xb000);
    let start = Start::Task {
        pc: 0x1100,
        fp: 0xa000,
    };
    let (frames, outcome) = trace(start, &leaf(), &two);
    assert_eq!(frames.len(), 3);
    assert_eq!(outcome, Err(Reason::OutsideStack { addr: 0xa100 }));
}

#[test]
fn what_tracers_replaced_is_found_or_said() {
    let mut machine = Machine::new(&[(0x8500, FINAL), (0x8508, 0x1ff0)]);
    let start = Start::Task {
        pc: 0x1100,
        fp: 0x8500,
    };
    machine.rewrites.insert(0x1ff0, Rewrite::Original(0x1300));
    let (frames, outcome) = trace(start, &leaf(), &machine);
    assert_eq!(
        frames,
        [(0x1100, Source::Start), (0x1300, Source::FrameRecord)]
    );
    assert_eq!(outcome, Ok(()));
    machine.rewrites.insert(0x1ff0, Rewrite::Lost);
    assert_eq!(
        reason(start, &leaf(), &machine),
        Reason::TrampolineRewrite { pc: 0x1ff0 }
    );
    // In the trampoline itself the address is nowhere.
    machine.obscured = Some(0x1100);
    let found = reason(regs(0x8400), &leaf(), &machine);
    assert_eq!(found, Reason::TrampolineRewrite { pc: 0x1100 });
}

#[test]
fn addresses_that_are_no_code_and_memory_that_faults_are_said() {
    let mut machine = Machine::new(&[(0x8500, FINAL), (0x8508, 0x2000)]);
    let start = Start::Task {
        pc: 0x1100,
        fp: 0x8500,
    };
    assert_eq!(
        reason(start, &leaf(), &machine),
        Reason::NotText { pc: 0x2000 }
    );
    machine.faults = Some(0x8508);
    assert_eq!(
        reason(start, &leaf(), &machine),
        Reason::ReadFault { addr: 0x8508 }
    );
    let misaligned = Start::Task {
        pc: 0x1100,
        fp: 0x8501,
    };
    assert_eq!(
        reason(misaligned, &leaf(), &machine),
        Reason::Misaligned { addr: 0x8501 }
    );
    let nowhere = Start::Task {
        pc: 0x1100,
        fp: u64::MAX - 7,
    };
    assert_eq!(
        reason(nowhere, &leaf(), &machine),
        Reason::OutsideStack { addr: u64::MAX - 7 }
    );
}

/// A record that leads past a frame is found out, unless only exceptions are to be checked.
#[test]
fn a_record_that_leads_past_a_frame_is_found_out() {
    let frame = rules(Base::Sp, 32, Recovery::Saved(-32), Recovery::Saved(-24));
    // Three frames of 32 bytes; the first record leads to the third.
    let machine = Machine::new(&[
        (0x8400, 0x8440),
        (0x8408, 0x1300),
        (0x8420, 0x8440),
        (0x8428, 0x1400),
        (0x8440, FINAL),
        (0x8448, 0x1500),
    ]);
    let start = Start::Task {
        pc: 0x1100,
        fp: 0x8400,
    };
    let walked = |check| {
        let mut walk = KernelWalk::new(start, &frame, &machine);
        if let Some(check) = check {
            walk = walk.check(check);
        }
        let pcs: Vec<CodeAddr> = walk.by_ref().map(|frame| frame.pc).collect();
        (
            pcs.len(),
            walk.outcome().map_err(|unreliable| unreliable.reason),
        )
    };
    assert_eq!(walked(Some(Check::Exceptions)), (3, Ok(())));
    let elsewhere = Reason::Elsewhere {
        record: 0x8440,
        cfa: 0x8440,
    };
    assert_eq!(walked(Some(Check::EveryFrame)), (3, Err(elsewhere)));
    // Whoever does not say how much is to be proven has everything proven.
    assert_eq!(walked(None), (3, Err(elsewhere)));
}
