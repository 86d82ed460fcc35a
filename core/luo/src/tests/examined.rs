//! What the engine leaves, as crate `handover` reads it: the two know the layout from the same
//! headers and share no code above the blocks.

use alloc::format;
use alloc::string::String;
use alloc::vec;
use alloc::vec::Vec;

use handover::{Consequence, Event, MemfdProblem, Problem, Totals, examine};
use proptest::prelude::*;

use super::damage::{apply, change};
use super::machine::Machine;
use crate::{Config, Defects, Errno};

/// What there is and what is wrong with it, for a kernel that knows memfds only.
fn read(machine: &Machine) -> (Totals, Vec<(Consequence, String)>) {
    let kho = machine.luo.kho();
    let fdt = kho.handoff().unwrap().fdt;
    let mut problems = Vec::new();
    let totals = examine(kho.memory(), fdt, None, &mut |event| {
        if let Event::Problem(problem) = event {
            let consequence = match problem {
                Problem::Handler { .. } => Consequence::NoSessions,
                // Pages may be missing because there is no list at all, which Linux refuses.
                Problem::Memfd {
                    problem: MemfdProblem::Holes(_),
                    ..
                } => Consequence::Loss,
                _ => problem.consequence(),
            };
            problems.push((consequence, format!("{problem}")));
        }
    });
    (totals, problems)
}

/// Three sessions with a memfd of each of these sizes, ready to jump.
fn leaving(sizes: &[usize]) -> Machine {
    let mut machine = Machine::mainline();
    for name in ["a", "b", "c"] {
        let session = machine.create(name).unwrap();
        for (token, &size) in (0..).zip(sizes) {
            let file = machine.world.memfd(&vec![7; size]);
            machine.preserve(session, token, &file).unwrap();
        }
    }
    machine.luo.reboot().unwrap();
    machine
}

#[test]
fn nothing_is_wrong_with_what_the_engine_leaves_and_all_of_it_has_an_owner() {
    // Lists of folios that fill a page, and a chunk.
    let sizes = [
        0,
        1,
        10_000,
        256 * 4096,
        511 * 4096,
        512 * 4096,
        1500 * 4096,
    ];
    let (totals, problems) = read(&leaving(&sizes));
    assert_eq!(problems, []);
    assert_eq!((totals.sessions, totals.memfds), (3, 3 * 7));
    let bytes: usize = sizes.iter().sum();
    assert_eq!(totals.memfd_bytes, 3 * bytes as u64);
    assert_eq!(totals.unknown_bytes, 0);
}

#[test]
fn the_empty_block_of_7_3_4_is_known_as_a_panic() {
    let mut machine = Machine::cold(Config {
        defects: Defects::like_7_3_4(),
        ..Config::default()
    });
    for index in 0..51 {
        machine.create(&format!("s{index}")).unwrap();
    }
    assert_eq!(machine.create("s0"), Err(Errno::EEXIST));
    machine.luo.reboot().unwrap();
    let (_, problems) = read(&machine);
    assert!(
        matches!(&problems[..], [(Consequence::Panic, _)]),
        "{problems:?}"
    );
}

/// How many files come out of a damaged handover; `None` when anything is lost on the way.
fn received(machine: Machine) -> Option<usize> {
    let mut machine = machine.kexec_damaged().ok()?;
    machine.luo.kho().incoming()?;
    machine.luo.open().ok()?;
    let mut files = 0;
    for session in machine.luo.sessions() {
        let fd = machine.retrieve_named(&session.name).ok()?;
        for token in session.tokens {
            machine.retrieve(fd, token).ok()?;
            files += 1;
        }
        machine.finish(fd).ok()?;
    }
    Some(files)
}

proptest! {
    /// Whatever is found to be in order is received completely.
    #[test]
    fn what_is_found_in_order_is_received(changes in proptest::collection::vec(change(), 1..4)) {
        let mut machine = leaving(&[0, 10_000]);
        apply(&mut machine, &changes);
        let (totals, problems) = read(&machine);
        let worst = problems.iter().map(|&(consequence, _)| consequence).max();
        let received = received(machine);
        match worst {
            None | Some(Consequence::Odd) => {
                prop_assert_eq!(received, usize::try_from(totals.files).ok(), "{:?}", problems);
            }
            // The worst is what happens, or another one happens before.
            Some(_) => {}
        }
    }
}
