//! What is handed over, and what damage in it does.

use alloc::format;
use alloc::vec::Vec;
use core::mem::offset_of;

use kho::{BlockError, KhoError, PhysAddr, PhysMem as _, PhysMemMut as _, block};
use kho_abi::luo::{FileSer, FileSetSer, LuoSer, SessionSer};
use zerocopy::{FromBytes, Immutable, IntoBytes};

use super::machine::Machine;
use super::world::Kind;
use crate::{BootError, Errno};

fn read<T: FromBytes + IntoBytes>(machine: &Machine, addr: u64) -> T {
    machine
        .luo
        .kho()
        .memory()
        .read_value(PhysAddr(addr))
        .unwrap()
}

fn write<T: IntoBytes + Immutable>(machine: &mut Machine, addr: u64, value: &T) {
    let memory = machine.luo.kho_mut().memory_mut();
    memory.write_value(PhysAddr(addr), value).unwrap();
}

/// Address of the LUO state of the next kernel.
fn luo_ser(machine: &Machine) -> u64 {
    let root = machine.luo.kho().outgoing();
    root.subtree("LUO").unwrap().data.unwrap().0
}

/// One session "a" with three files, ready to jump.
fn leaving() -> Machine {
    let mut machine = Machine::mainline();
    let session = machine.create("a").unwrap();
    for token in [7, 0, u64::MAX] {
        let file = machine.world.file(Kind::Recorded(0));
        machine.preserve(session, token, &file).unwrap();
    }
    machine.luo.reboot().unwrap();
    machine
}

#[test]
fn the_layout_is_that_of_linux() {
    let mut machine = leaving();
    let ser: LuoSer = read(&machine, luo_ser(&machine));
    assert_eq!(&ser.compatible, b"luo-v5\0\0");
    assert_eq!(ser.liveupdate_num, 1);
    let root = machine
        .luo
        .kho()
        .outgoing()
        .subtree("LUO")
        .cloned()
        .unwrap();
    assert_eq!(root.size_bytes, Some(32));
    let session: SessionSer = read(&machine, ser.sessions_pa + 16);
    assert_eq!(&session.name[..2], b"a\0");
    assert_eq!(session.file_set_ser.count, 3);
    let files = session.file_set_ser.files;
    let file = |index: u64| read::<FileSer>(&machine, files + 16 + 64 * index);
    assert_eq!(&file(0).compatible[..3], b"h0\0");
    let tokens: Vec<(u64, u64)> = (0..3).map(|at| (file(at).token, file(at).data)).collect();
    assert_eq!(tokens, [(7, 1001), (0, 1002), (u64::MAX, 1003)]);
    let memory = machine.luo.kho().memory();
    for (head, entry_bytes) in [(ser.sessions_pa, 80), (files, 64)] {
        let blocks = block::read_chain(memory, PhysAddr(head), entry_bytes).unwrap();
        assert_eq!(blocks.len(), 1);
    }
    // One page of FLBs, none in it.
    assert_eq!(read::<[u64; 2]>(&machine, ser.flbs_pa), [1, 0]);
    write(&mut machine, ser.flbs_pa, &[1_u64, 0]);
}

#[test]
fn sessions_and_files_arrive_in_their_order_over_several_blocks() {
    let mut machine = Machine::mainline();
    let sessions = 103;
    for index in 0..sessions {
        let fd = machine.create(&format!("s{index}")).unwrap();
        let files = if index == 50 { 127 } else { index % 3 };
        for token in 0..files {
            let file = machine.world.file(Kind::Recorded(0));
            machine.preserve(fd, token * 3, &file).unwrap();
        }
    }
    let before = machine.luo.sessions();
    let mut machine = machine.jump();
    assert_eq!(machine.luo.update_number(), Some(1));
    assert!(machine.luo.sessions().is_empty(), "the first open imports");
    machine.luo.open().unwrap();
    let after = machine.luo.sessions();
    assert_eq!(after.len(), before.len());
    for (before, after) in before.iter().zip(&after) {
        assert_eq!((&before.name, &before.tokens), (&after.name, &after.tokens));
        assert!(after.is_incoming);
    }
    // Nothing incoming is handed over again.
    let mut machine = machine.jump();
    machine.luo.open().unwrap();
    assert_eq!(machine.luo.sessions(), []);
    assert_eq!(machine.luo.update_number(), Some(2));
}

#[test]
fn everything_is_free_again_when_all_sessions_are_closed() {
    let mut machine = Machine::mainline();
    let (used, keys) = (machine.used_bytes(), machine.keys());
    let mut fds = Vec::new();
    for index in 0..120_u64 {
        let fd = machine.create(&format!("s{index}")).unwrap();
        let file = machine.world.memfd(&[1; 5000]);
        machine.preserve(fd, index, &file).unwrap();
        fds.push(fd);
    }
    assert!(machine.used_bytes() > used + 120 * 4096);
    // In no particular order.
    fds.sort_by_key(|fd| (fd * 37) % 120);
    for fd in fds {
        machine.close(fd).unwrap();
    }
    assert_eq!((machine.used_bytes(), machine.keys()), (used, keys));
}

/// What the next kernel says of a handover that was changed on the way.
fn boot_with(change: impl FnOnce(&mut Machine, LuoSer)) -> Result<Machine, BootError> {
    let mut machine = Machine::mainline();
    let session = machine.create("a").unwrap();
    for token in 0..3 {
        let file = machine.world.file(Kind::Recorded(0));
        machine.preserve(session, token, &file).unwrap();
    }
    machine.create("b").unwrap();
    machine.luo.reboot().unwrap();
    let ser = read(&machine, luo_ser(&machine));
    change(&mut machine, ser);
    machine.kexec()
}

#[test]
fn a_state_of_another_layout_makes_the_kernel_panic() {
    let panic = boot_with(|machine, _| {
        let at = luo_ser(machine);
        write(machine, at, b"luo-v4\0\0");
    });
    let found = |error: &BootError| match error {
        BootError::Incompatible { found, supported } => (found.clone(), *supported),
        other => panic!("{other:?}"),
    };
    assert_eq!(found(&panic.unwrap_err()), ("luo-v4".into(), "luo-v5"));
    // What is behind the NUL is padding.
    let padded = boot_with(|machine, _| {
        let at = luo_ser(machine);
        write(machine, at, b"luo-v5\0x");
    });
    assert!(padded.is_ok());
}

#[test]
fn a_damaged_table_of_sessions_makes_the_kernel_panic() {
    let count = |value: u64| {
        boot_with(move |machine, ser| write(machine, ser.sessions_pa + 8, &value)).unwrap_err()
    };
    for bad in [0, 52, u64::MAX] {
        let expected = |error: &KhoError| matches!(error, KhoError::Block(BlockError::Count { count, .. }) if *count == bad);
        assert!(matches!(count(bad), BootError::Sessions(error) if expected(&error)));
    }
    let cycle = boot_with(|machine, ser| write(machine, ser.sessions_pa, &ser.sessions_pa));
    assert!(matches!(
        cycle,
        Err(BootError::Sessions(KhoError::Block(
            BlockError::Endless { .. }
        )))
    ));
    for outside in [8, u64::MAX] {
        let panic = boot_with(|machine, ser| write(machine, ser.sessions_pa, &outside));
        assert!(matches!(panic, Err(BootError::Sessions(_))), "{outside:#x}");
    }
}

#[test]
fn no_flb_page_and_one_that_claims_too_much_are_no_reason_to_panic() {
    let flbs_pa = offset_of!(LuoSer, flbs_pa) as u64;
    assert!(boot_with(|machine, _| write(machine, luo_ser(machine) + flbs_pa, &0_u64)).is_ok());
    assert!(boot_with(|machine, ser| write(machine, ser.flbs_pa + 8, &u64::MAX)).is_ok());
    assert!(boot_with(|machine, _| write(machine, luo_ser(machine) + flbs_pa, &1_u64)).is_err());
}

#[test]
fn damage_found_at_the_first_open_is_eio_then_and_ever_after() {
    let session_at = |ser: LuoSer, index: u64| ser.sessions_pa + 16 + 80 * index;
    let set_at = |ser| session_at(ser, 0) + 64;
    type Change<'a> = &'a dyn Fn(&mut Machine, LuoSer);
    let changes: [Change<'_>; 6] = [
        // More and fewer files than there are.
        &|machine, ser| write(machine, set_at(ser) + 8, &4_u64),
        &|machine, ser| write(machine, set_at(ser) + 8, &2_u64),
        // Files elsewhere.
        &|machine, ser| write(machine, set_at(ser), &0xffff_0000_u64),
        // An empty block of files.
        &|machine, ser| {
            let set: FileSetSer = read(machine, set_at(ser));
            write(machine, set.files + 8, &0_u64);
        },
        // A handler nobody knows.
        &|machine, ser| {
            let set: FileSetSer = read(machine, set_at(ser));
            write(machine, set.files + 16, b"h9");
        },
        // The same name twice.
        &|machine, ser| write(machine, session_at(ser, 1), b"a\0"),
    ];
    for (index, change) in changes.iter().enumerate() {
        let mut machine = boot_with(change).unwrap();
        assert_eq!(machine.luo.open(), Err(Errno::EIO), "{index}");
        assert_eq!(machine.luo.open(), Err(Errno::EIO), "{index}");
    }
    // Files that are not there although the count says so are only missed.
    let mut machine = boot_with(|machine, ser| write(machine, set_at(ser), &0_u64)).unwrap();
    machine.luo.open().unwrap();
    assert_eq!(machine.luo.sessions()[0].tokens, []);
}

#[test]
fn tokens_and_names_are_taken_as_they_come() {
    let mut machine = boot_with(|machine, ser| {
        let set: FileSetSer = read(machine, ser.sessions_pa + 16 + 64);
        // All three files have the token 0 now; and the second session has no name.
        for index in 0..3 {
            write(machine, set.files + 16 + 64 * index + 56, &0_u64);
        }
        write(machine, ser.sessions_pa + 16 + 80, &[0_u8; 64]);
    })
    .unwrap();
    machine.luo.open().unwrap();
    assert_eq!(machine.luo.sessions()[0].tokens, [0, 0, 0]);
    let session = machine.retrieve_session("a").unwrap();
    machine.script.take();
    machine.retrieve(session, 0).unwrap();
    assert_eq!(machine.script.take(), ["h0 retrieve 1001"]);
    assert!(machine.retrieve_session("").is_ok());
}

#[test]
fn without_memory_the_call_fails_and_nothing_changes() {
    let mut machine = Machine::mainline();
    let session = machine.create("a").unwrap();
    let file = machine.world.memfd(&[1; 10_000]);
    let (used, keys) = (machine.used_bytes(), machine.keys());
    let mut failures = 0;
    for left in 0.. {
        let memory = machine.luo.kho_mut().memory_mut();
        memory.limit_allocations(Some(left));
        let preserved = machine.preserve(session, 0, &file);
        machine.luo.kho_mut().memory_mut().limit_allocations(None);
        if preserved.is_ok() {
            break;
        }
        failures += 1;
        assert_eq!(preserved, Err(Errno::ENOMEM));
        assert_eq!((machine.used_bytes(), machine.keys()), (used, keys));
        assert_eq!(file.inode().frozen, 0);
    }
    // A block, the description, three folios, their list and its chunk.
    assert!(failures >= 7, "{failures}");
}
