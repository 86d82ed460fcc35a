//! Damaged stacks: a trace is right, or it says that it is not to be relied on.
#![expect(
    clippy::unwrap_used,
    clippy::print_stdout,
    reason = "what is not as it should be fails the test"
)]

use sframe_oracle::{Handler, Interrupted, Memory, Moment, ReadsCalls};
use sframe_unwind::unwind::arm64::{Check, Frame, pt_regs};

use sframe_unwind::unwind::{Arch, Arm64, S390x, X86_64};
use sframe_unwind::{Base, CfaRule, Rules, Section, Unwind};

use crate::replay;
use crate::user::{self, Program};

/// Damages of each interrupted stack.
const DAMAGES: u64 = 60;

/// What damaged stacks came to.
#[derive(Debug, Default)]
struct Counts {
    all: usize,
    right: usize,
    uncertain: usize,
    wrong: usize,
}

struct Rng(u64);

impl Rng {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    fn below(&mut self, end: u64) -> u64 {
        self.next() % end
    }
}

/// Changes one to three words between the handler's record and the end of the stack: bits, other words of the
/// stack, addresses near, addresses of code. Never the address behind a call that is not the word's own: with it
/// the stack would be that of another run of the program, and no unwinder can know which one there was. Nor, for
/// the same reason, the record of another frame while there are frames of variable size: one would only be larger.
fn damage(rng: &mut Rng, machine: &mut Interrupted<'_>, moment: &Moment) {
    let sp = moment.registers.sp;
    let end = machine.memory.stack_range().end;
    let from = machine.handler_record;
    for _ in 0..=rng.below(3) {
        // Half of them where registers are saved and shortly above.
        let len = if rng.below(2) == 0 {
            (sp - from + 512).min(end - from)
        } else {
            end - from
        };
        let at = from + 8 * rng.below(len / 8);
        // What was executing is not in question.
        let regs = sp - pt_regs::SIZE;
        if [pt_regs::PC, pt_regs::SP, pt_regs::LR]
            .map(|offset| regs + offset)
            .contains(&at)
        {
            continue;
        }
        change(
            rng,
            &mut machine.memory,
            at,
            from,
            &records(moment, &machine.section),
        );
    }
}

/// Frame pointers of a stack on which there are frames of variable size; none otherwise.
fn records(moment: &Moment, section: &Section<'_>) -> Vec<u64> {
    let is_variable = moment.calls.iter().any(|call| {
        let found = section.find(call.ra - 1).unwrap();
        let unwind = found.map(|found| found.row.unwind);
        matches!(
            unwind,
            Some(Unwind::Caller(Rules {
                cfa: CfaRule::Offset { base: Base::Fp, .. },
                ..
            }))
        )
    });
    let records = moment.calls.iter().map(|call| call.fp);
    records.filter(|_| is_variable).collect()
}

/// Changes the word at an address, unless it would become what makes it another stack.
fn change(rng: &mut Rng, memory: &mut Memory<'_>, at: u64, from: u64, records: &[u64]) {
    let end = memory.stack_range().end;
    let word = memory.read(at).unwrap();
    let other = from + 8 * rng.below((end - from) / 8);
    let changed = match rng.below(6) {
        0 => word ^ 1 << rng.below(64),
        1 => word ^ 1 << rng.below(16),
        2 => memory.read(other).unwrap(),
        3 => other,
        4 => word.wrapping_add(16 * rng.below(9)).wrapping_sub(64),
        _ => memory.text.start + 4 * rng.below(300),
    };
    let stripped = changed & 0xffff_ffff_ffff;
    if memory.call_before(stripped).is_none() && !records.contains(&changed) {
        memory.write(at, changed);
    }
}

fn damaged(name: &str, reads_calls: ReadsCalls, check: Check) -> Counts {
    let recording = replay::recording(name);
    let section = replay::section(&recording);
    let handler = Handler::of(&recording).unwrap();
    let mut counts = Counts::default();
    let mut number = 0;
    recording.play(|moment, memory| {
        let good = Interrupted::new(moment, memory, section, handler, reads_calls).unwrap();
        if !good.has_final_record(moment) {
            return;
        }
        let truth = good.truth(moment);
        for _ in 0..DAMAGES {
            number += 1;
            let mut machine =
                Interrupted::new(moment, memory, section, handler, reads_calls).unwrap();
            damage(&mut Rng(number), &mut machine, moment);
            let mut walk = machine.walk(&section).check(check);
            let frames: Vec<Frame> = walk.by_ref().collect();
            let pcs = frames.iter().map(|frame| frame.pc);
            let is_right = pcs.eq(truth.iter().copied());
            counts.all += 1;
            match (walk.outcome(), is_right) {
                (Err(_), _) => counts.uncertain += 1,
                (Ok(()), true) => counts.right += 1,
                (Ok(()), false) => {
                    counts.wrong += 1;
                }
            }
        }
    });
    println!("{name}, calls read: {reads_calls:?}, {check:?}: {counts:?}");
    counts
}

/// With every frame proven, nothing is believed that is not so.
#[test]
fn no_damaged_stack_gives_a_wrong_trace_that_is_relied_on() {
    for name in ["aarch64", "aarch64-pauth"] {
        let counts = damaged(name, ReadsCalls::Yes, Check::EveryFrame);
        assert_eq!(counts.wrong, 0, "{counts:?}");
        assert!(
            counts.right > 1000 && counts.uncertain > 10_000,
            "{counts:?}"
        );
    }
}

/// Frame records alone, as kernels have them, cannot tell a record that leads past a frame: this is what the
/// proof of every frame is for. What the chain itself shows is found all the same.
#[test]
fn frame_records_alone_find_most_damage() {
    let counts = damaged("aarch64", ReadsCalls::No, Check::Exceptions);
    assert!(
        counts.wrong > 0,
        "the proof of every frame is for nothing: {counts:?}"
    );
    assert!(counts.wrong * 4 < counts.uncertain, "{counts:?}");
}

/// Damages stacks of a program that is unwound by SFrame data alone, and compares the instructions of traces.
fn damaged_program<A: Arch>(name: &str) -> Counts {
    let recording = replay::recording(name);
    let section = replay::section(&recording);
    let mut counts = Counts::default();
    let mut number = 0;
    recording.play(|moment, memory| {
        if moment.calls.is_empty() {
            return;
        }
        let from = moment.registers.sp & !7;
        let truth = user::trace::<A>(moment, &Program::new(memory, &section)).unwrap();
        let records = records(moment, &section);
        for _ in 0..DAMAGES {
            number += 1;
            let mut rng = Rng(number);
            let mut memory = memory.clone();
            for _ in 0..=rng.below(3) {
                let at = from + 8 * rng.below((memory.stack_range().end - from) / 8);
                change(&mut rng, &mut memory, at, from, &records);
            }
            counts.all += 1;
            match user::trace::<A>(moment, &Program::new(&memory, &section)) {
                Err(_) => counts.uncertain += 1,
                Ok(pcs) if pcs == truth => counts.right += 1,
                Ok(_) => counts.wrong += 1,
            }
        }
    });
    println!("{name}, by SFrame data alone: {counts:?}");
    counts
}

/// With the code at hand, to see what return addresses are behind.
#[test]
fn no_damaged_stack_of_a_program_gives_a_wrong_trace_that_is_relied_on() {
    let all = [
        damaged_program::<Arm64>("aarch64"),
        damaged_program::<X86_64>("x86-64"),
        damaged_program::<X86_64>("x86-64-frame-pointer"),
        damaged_program::<S390x>("s390x"),
    ];
    for counts in all {
        assert_eq!(counts.wrong, 0, "{counts:?}");
        assert!(counts.right > 1000 && counts.uncertain > 1000, "{counts:?}");
    }
}
