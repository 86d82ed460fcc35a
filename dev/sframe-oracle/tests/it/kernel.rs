//! The AArch64 kernel: an exception at every instruction, frame records elsewhere.
#![expect(
    clippy::unwrap_used,
    clippy::print_stdout,
    reason = "what is not as it should be fails the test"
)]

use sframe_oracle::{Handler, Interrupted, ReadsCalls};
use sframe_unwind::unwind::arm64::{Check, Frame, Source};

use crate::replay;

fn walk_through(name: &str, reads_calls: ReadsCalls, check: Check) -> (usize, [usize; 2]) {
    let recording = replay::recording(name);
    let section = replay::section(&recording);
    let handler = Handler::of(&recording).unwrap();
    let (mut interrupts, mut sources) = (0, [0; 2]);
    recording.play(|moment, memory| {
        let machine = Interrupted::new(moment, memory, section, handler, reads_calls).unwrap();
        if !machine.has_final_record(moment) {
            return;
        }
        interrupts += 1;
        let mut walk = machine.walk(&section).check(check);
        let frames: Vec<Frame> = walk.by_ref().collect();
        let at = moment.registers.pc;
        assert_eq!(walk.outcome(), Ok(()), "{name} {at:#x}");
        let pcs: Vec<_> = frames.iter().map(|frame| frame.pc).collect();
        assert_eq!(pcs, machine.truth(moment), "{name} {at:#x}");
        for (source, count) in [Source::RegsLr, Source::Sframe]
            .into_iter()
            .zip(&mut sources)
        {
            *count += frames.iter().filter(|frame| frame.source == source).count();
        }
    });
    println!("{name}: {interrupts} exceptions, caller in x30 and on the stack: {sources:?}");
    (interrupts, sources)
}

#[test]
fn exceptions_at_every_instruction_are_crossed() {
    for name in ["aarch64", "aarch64-pauth"] {
        for (reads_calls, check) in [
            (ReadsCalls::No, Check::Exceptions),
            (ReadsCalls::Yes, Check::Exceptions),
            (ReadsCalls::Yes, Check::EveryFrame),
        ] {
            let (interrupts, [in_lr, on_stack]) = walk_through(name, reads_calls, check);
            assert!(interrupts > 700 && in_lr > 100 && on_stack > 100);
            assert_eq!(in_lr + on_stack, interrupts);
        }
    }
}
