//! The state of the machine, and what subsystems are asked on the way.

use alloc::format;
use alloc::string::String;
use alloc::vec::Vec;

use super::*;
use crate::BootError;

#[test]
fn an_update_goes_through_all_states() {
    let mut machine = machine();
    let ids = register(&mut machine);
    assert_eq!(machine.state(), NORMAL);
    assert_eq!(machine.luo.kho().handoff(), None);
    machine.event(PREPARE).unwrap();
    assert_eq!(machine.state(), PREPARED);
    assert!(machine.luo.kho().handoff().is_some());
    machine.luo.reboot().unwrap();
    assert_eq!(machine.state(), FROZEN);
    let expected = [
        "a prepare 0",
        "b prepare 0",
        "c prepare 0",
        "a freeze 7",
        "b freeze 7",
    ];
    assert_eq!(machine.script.take()[..5], expected);
    let mut machine = machine.kexec().unwrap();
    assert_eq!(machine.state(), UPDATED);
    let again = register(&mut machine);
    assert_eq!(ids, again);
    assert_eq!(machine.script.take(), ["a boot 8", "b boot 8", "c boot 8"]);
    assert_eq!(machine.luo.subsystem_data(ids[1]), Ok(8));
    machine.event(FINISH).unwrap();
    assert_eq!(
        machine.script.take(),
        ["a finish 8", "b finish 8", "c finish 8"]
    );
    assert_eq!(machine.state(), NORMAL);
    assert_eq!(machine.luo.subsystem_data(ids[1]), Err(Errno::ENOENT));
    // And once more.
    machine.event(PREPARE).unwrap();
    let mut machine = machine.jump();
    assert_eq!(machine.state(), UPDATED);
}

#[test]
fn events_in_the_wrong_state_change_nothing() {
    let mut machine = machine();
    register(&mut machine);
    let unknown = LiveupdateEvent(4);
    let try_all = |machine: &mut Machine, state, expected: [(LiveupdateEvent, Errno); 4]| {
        for (event, errno) in expected {
            assert_eq!(machine.event(event), Err(errno), "{event:?} in {state:?}");
            assert_eq!(machine.state(), state);
        }
    };
    let not_ours = [(FREEZE, Errno::EOPNOTSUPP), (unknown, Errno::EOPNOTSUPP)];
    let [freeze, other] = not_ours;
    let finish = (FINISH, Errno::EINVAL);
    // CANCEL asks KHO first.
    let cancel = (CANCEL, Errno::ENOENT);
    try_all(&mut machine, NORMAL, [finish, cancel, freeze, other]);
    machine.event(PREPARE).unwrap();
    let prepare = (PREPARE, Errno::EINVAL);
    try_all(&mut machine, PREPARED, [finish, prepare, freeze, other]);
    machine.luo.reboot().unwrap();
    try_all(&mut machine, FROZEN, [finish, prepare, freeze, other]);
    let mut machine = machine.kexec().unwrap();
    register(&mut machine);
    try_all(&mut machine, UPDATED, [cancel, prepare, freeze, other]);
}

#[test]
fn cancel_takes_everything_back_from_prepared_and_from_frozen() {
    for is_frozen in [false, true] {
        let mut machine = machine();
        register(&mut machine);
        let (used, keys) = (machine.used_bytes(), machine.keys());
        machine.event(PREPARE).unwrap();
        let word = if is_frozen {
            machine.luo.reboot().unwrap();
            8
        } else {
            7
        };
        machine.script.take();
        machine.event(CANCEL).unwrap();
        let expected = ["a", "b", "c"].map(|name| format!("{name} cancel {word}"));
        assert_eq!(machine.script.take(), expected);
        assert_eq!(machine.state(), NORMAL);
        assert_eq!((machine.used_bytes(), machine.keys()), (used, keys));
        assert_eq!(machine.luo.kho().outgoing().subtrees, []);
        assert_eq!(machine.luo.kho().handoff(), None);
        machine.event(PREPARE).unwrap();
        let expected = ["a prepare 0", "b prepare 0", "c prepare 0"];
        assert_eq!(machine.script.take(), expected, "their words are 0 again");
    }
}

#[test]
fn a_prepare_that_fails_cancels_those_before_it_in_their_order() {
    for (failing, name) in ["a", "b", "c"].iter().enumerate() {
        let mut machine = machine();
        register(&mut machine);
        let (used, keys) = (machine.used_bytes(), machine.keys());
        machine.script.fail(&format!("{name} prepare 0"), Errno(77));
        assert_eq!(machine.event(PREPARE), Err(Errno(77)));
        let before = ["a", "b", "c"].iter().take(failing);
        let mut expected: Vec<String> =
            before.clone().map(|it| format!("{it} prepare 0")).collect();
        expected.push(format!("{name} prepare 0"));
        expected.extend(before.map(|it| format!("{it} cancel 7")));
        assert_eq!(machine.script.take(), expected);
        assert_eq!(machine.state(), NORMAL);
        assert_eq!((machine.used_bytes(), machine.keys()), (used, keys));
        machine.script.heal();
        assert_eq!(machine.event(PREPARE), Ok(()));
    }
}

#[test]
fn a_freeze_that_fails_cancels_those_before_it_and_the_machine_is_normal() {
    for (failing, name) in ["a", "b", "c"].iter().enumerate() {
        let mut machine = machine();
        register(&mut machine);
        machine.event(PREPARE).unwrap();
        machine.script.take();
        machine.script.fail(&format!("{name} freeze 7"), Errno(77));
        assert_eq!(machine.luo.reboot(), Err(Errno(77)));
        let before = ["a", "b", "c"].iter().take(failing);
        let mut expected: Vec<String> = before.clone().map(|it| format!("{it} freeze 7")).collect();
        expected.push(format!("{name} freeze 7"));
        expected.extend(before.map(|it| format!("{it} cancel 8")));
        assert_eq!(machine.script.take(), expected);
        assert_eq!(machine.state(), NORMAL);
        assert_eq!(machine.luo.kho().handoff(), None);
        machine.script.heal();
        // Unlike in the series, where KHO stays finalized, the next attempt is a new one.
        machine.event(PREPARE).unwrap();
        assert_eq!(machine.jump().state(), UPDATED);
    }
}

#[test]
fn a_jump_in_another_state_than_prepared_is_a_cold_boot() {
    let mut machine = machine();
    register(&mut machine);
    machine.create_v4("lost").unwrap();
    let mut machine = machine.jump();
    assert!(machine.script.take().is_empty(), "nobody is asked");
    assert_eq!(machine.state(), NORMAL);
    assert_eq!(machine.luo.sessions(), []);
}

#[test]
fn finishing_without_what_a_subsystem_should_have_is_a_panic() {
    let mut machine = machine();
    machine.event(PREPARE).unwrap();
    let mut machine = machine.jump();
    register(&mut machine);
    assert!(
        machine.script.take().is_empty(),
        "nothing was handed over for them"
    );
    assert_eq!(machine.event(FINISH), Err(Errno::ERESTARTSYS));
    let missing = BootError::Property { name: "a".into() };
    assert_eq!(machine.luo.panic(), Some(&missing));
    assert_eq!(machine.event(FINISH), Err(Errno::ERESTARTSYS));
    assert!(machine.script.take().is_empty());
}

#[test]
fn a_page_of_subsystems_is_all_there_can_be() {
    let mut machine = machine();
    let (used, keys) = (machine.used_bytes(), machine.keys());
    for number in 0..200 {
        let name = Box::leak(format!("subsystem-{number}").into_boxed_str());
        let subsystem = RecorderSubsystem::boxed(name, &machine.script);
        machine.luo.register_subsystem(subsystem).unwrap();
    }
    assert_eq!(machine.event(PREPARE), Err(Errno::ENOSPC));
    assert!(machine.script.take().is_empty());
    assert_eq!((machine.used_bytes(), machine.keys()), (used, keys));
    assert_eq!(machine.state(), NORMAL);
}

#[test]
fn a_handover_of_the_other_dialect_is_a_panic() {
    let mut machine = machine();
    machine.event(PREPARE).unwrap();
    machine.config.dialect = Dialect::Mainline;
    let panic = machine.try_jump();
    assert!(
        matches!(
            &panic,
            Err(BootError::Incompatible {
                supported: "luo-v5",
                ..
            })
        ),
        "{panic:?}"
    );
    let mut machine = Machine::mainline();
    machine.create("a").unwrap();
    machine.config.dialect = Dialect::V4;
    assert!(matches!(machine.try_jump(), Err(BootError::Fdt(_))));
}

#[test]
fn numbers_and_sizes_are_those_of_the_series() {
    let mut machine = machine();
    let mut call = |number: u32, size: u32| {
        machine.process.clear();
        machine
            .process
            .poke(super::super::process::ARGS, &size.to_ne_bytes());
        let process = &mut machine.process;
        machine
            .luo
            .ioctl(Target::Device, number, super::super::process::ARGS, process)
    };
    for (number, size) in [(0xBA00, 8), (0xBA01, 8), (0xBA02, 64), (0xBA03, 72)] {
        assert_eq!(call(number, size - 1), Err(Errno::EINVAL), "{number:#x}");
        assert_ne!(call(number, size), Err(Errno::EINVAL), "{number:#x}");
    }
    assert_eq!(call(0xBA04, 8), Err(Errno::EINVAL));
    assert_eq!(call(0x5401, 8), Err(Errno::ENOTTY));
    // A mainline program: its name is the tail of GET_STATE.
    assert_eq!(machine.create("a"), Err(Errno::E2BIG));
}
