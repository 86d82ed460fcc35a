//! Memfds, there and back (`mm/memfd_luo.c`, v7.3).

use alloc::vec;
use alloc::vec::Vec;

use kho::{PhysAddr, PhysMem as _, PhysMemMut as _};
use kho_abi::memfd::MemfdSer;

use super::machine::Machine;
use super::world::{File, Kind, PAGE, PAGE_LEN};
use crate::Errno;

const LARGE: u64 = 512 * PAGE;
const LARGE_LEN: usize = 512 * PAGE_LEN;

fn retrieved(machine: &mut Machine, token: u64) -> Result<File, Errno> {
    machine.luo.open().unwrap();
    let session = machine.retrieve_session("a").unwrap();
    machine.retrieve(session, token)
}

/// A machine with a session "a" and what `content` makes.
fn with_file(make: impl FnOnce(&Machine) -> File) -> (Machine, i32, File) {
    let mut machine = Machine::mainline();
    let file = make(&machine);
    let session = machine.create("a").unwrap();
    machine.preserve(session, 0, &file).unwrap();
    (machine, session, file)
}

/// The description that is handed over, and where it is.
fn ser(machine: &Machine) -> (PhysAddr, MemfdSer) {
    let memory = machine.luo.kho().memory();
    let read = |addr: u64| memory.read_value::<u64>(PhysAddr(addr)).unwrap();
    let luo = machine.luo.kho().outgoing().subtree("LUO").unwrap();
    let sessions = read(luo.data.unwrap().0 + 16);
    let files = read(sessions + 16 + 64);
    let addr = PhysAddr(read(files + 16 + 48));
    (addr, memory.read_value(addr).unwrap())
}

#[test]
fn content_size_position_and_seals_arrive() {
    let pattern = |len: u64| (0..len).map(|at| (at * 7 % 251) as u8).collect::<Vec<u8>>();
    for size in [
        0,
        1,
        PAGE,
        10_000,
        LARGE,
        LARGE + 5 * PAGE + 1,
        3 * LARGE - 1,
    ] {
        let content = pattern(size);
        let (machine, _, file) = with_file(|machine| machine.world.memfd(&content));
        file.seek(1);
        file.inode().seals = 0x0f;
        let mut machine = machine.jump();
        let file = retrieved(&mut machine, 0).unwrap();
        assert!(file.content() == content, "{size}");
        assert_eq!(file.pos(), 1);
        assert_eq!(file.inode().seals, 0x0f);
        assert_eq!(file.inode().frozen, 0);
    }
}

#[test]
fn the_layout_is_that_of_linux() {
    let (mut machine, ..) = with_file(|machine| machine.world.memfd(&[5; 10_000]));
    machine.luo.reboot().unwrap();
    let (addr, ser) = ser(&machine);
    assert_eq!(addr.0 % PAGE, 0);
    assert_eq!((ser.size, ser.flags, ser.nr_folios), (10_000, 0, 3));
    assert_eq!((ser.folios.total_pages, ser.folios.order), (1, 0));
    let memory = machine.luo.kho().memory();
    let first = memory
        .read_value::<u64>(PhysAddr(ser.folios.first + 8))
        .unwrap();
    let entries = memory.read_value::<[[u64; 2]; 4]>(PhysAddr(first)).unwrap();
    for (index, [word, at]) in (0..3).zip(entries) {
        assert_eq!((word >> 52, at), (3, index), "dirty and up to date");
        let pfn = word & ((1 << 52) - 1);
        assert_eq!(memory.read_value::<u8>(PhysAddr(pfn * PAGE)), Ok(5));
    }
    assert_eq!(entries[3], [0, 0]);
    // Large folios where a whole one fits.
    let (mut machine, ..) = with_file(|machine| machine.world.memfd(&vec![5; LARGE_LEN + 1]));
    machine.luo.reboot().unwrap();
    let (_, ser) = self::ser(&machine);
    assert_eq!(ser.nr_folios, 2);
    // An empty file has no list.
    let (mut machine, ..) = with_file(|machine| machine.world.memfd(&[]));
    machine.luo.reboot().unwrap();
    let (_, ser) = self::ser(&machine);
    assert_eq!(
        (ser.nr_folios, ser.folios.first, ser.folios.total_pages),
        (0, 0, 0)
    );
}

#[test]
fn holes_cost_the_world_nothing_and_stay_holes() {
    let size = 40 * LARGE;
    let (machine, ..) = with_file(|machine| {
        let file = machine.world.memfd(b"start");
        file.write(17 * LARGE + 3 * PAGE, b"middle");
        file.write(size - 3, b"end");
        file
    });
    let mut machine = machine.jump();
    let file = retrieved(&mut machine, 0).unwrap();
    assert_eq!(file.inode().size, size);
    // Copied in parts of 64 KiB.
    assert!(file.pages() <= 3 * 16, "{}", file.pages());
    let content = file.content();
    assert_eq!(&content[..6], b"start\0");
    let middle = 17 * LARGE_LEN + 3 * PAGE_LEN;
    assert_eq!(&content[middle - 1..middle + 7], b"\0middle\0");
    assert_eq!(&content[content.len() - 4..], b"\0end");
    assert_eq!(content.iter().filter(|&&byte| byte != 0).count(), 14);
}

#[test]
fn writes_after_preserve_arrive_even_after_a_jump_that_failed() {
    let (mut machine, session, file) = with_file(|machine| machine.world.memfd(&[1; 9000]));
    assert_eq!(file.inode().frozen, 1);
    let other = machine.world.file(Kind::Recorded(0));
    machine.preserve(session, 1, &other).unwrap();
    file.write(0, b"first");
    let failing = alloc::format!("h0 freeze {}", other.number());
    machine.script.fail(&failing, Errno(77));
    assert_eq!(machine.luo.reboot(), Err(Errno(77)));
    machine.script.heal();
    file.write(4096, b"second");
    file.seek(42);
    let mut machine = machine.jump();
    let file = retrieved(&mut machine, 0).unwrap();
    let content = file.content();
    assert_eq!(
        (&content[..6], &content[4095..4102]),
        (&b"first\x01"[..], &b"\x01second"[..])
    );
    assert_eq!(file.pos(), 42);
}

#[test]
fn what_was_retrieved_can_be_handed_over_again() {
    let (machine, ..) = with_file(|machine| machine.world.memfd(&[1; 9000]));
    let mut machine = machine.jump();
    for round in 2..5_u8 {
        let file = retrieved(&mut machine, 0).unwrap();
        let old = 0;
        let new = machine.create("a").unwrap();
        assert_eq!(machine.preserve(new, 0, &file), Err(Errno::EBUSY));
        machine.finish(old).unwrap();
        machine.preserve(new, 0, &file).unwrap();
        file.write(u64::from(round), &[round]);
        machine = machine.jump();
    }
    assert_eq!(machine.luo.update_number(), Some(4));
    let content = retrieved(&mut machine, 0).unwrap().content();
    assert_eq!(
        (&content[..6], content.len()),
        (&[1, 1, 2, 3, 4, 1][..], 9000)
    );
    // Of every boot the root FDT and the FLB page are lost until the next, as in Linux.
    machine.close(0).unwrap();
    assert_eq!(machine.luo.kho().unclaimed().count(), 0);
}

#[test]
fn nothing_of_a_jump_that_failed_is_left_in_the_next_one() {
    let (mut machine, session, file) = with_file(|machine| machine.world.memfd(&[1; 9000]));
    let other = machine.world.file(Kind::Recorded(0));
    machine.preserve(session, 1, &other).unwrap();
    let failing = alloc::format!("h0 freeze {}", other.number());
    machine.script.fail(&failing, Errno(77));
    assert_eq!(machine.luo.reboot(), Err(Errno(77)));
    machine.script.heal();
    file.punch();
    file.write(5000, b"new");
    let mut machine = machine.jump();
    let mut expected = vec![0; 9000];
    expected[5000..5003].copy_from_slice(b"new");
    assert!(retrieved(&mut machine, 0).unwrap().content() == expected);
}

#[test]
fn the_size_is_held_while_a_file_is_preserved() {
    let (mut machine, session, file) = with_file(|machine| machine.world.memfd(b"content"));
    let again = machine.create("b").unwrap();
    assert_eq!(
        machine.preserve(again, 0, &file.reopen()),
        Err(Errno::EBUSY)
    );
    assert_eq!(file.inode().frozen, 1);
    // A world that could not hold it: no jump rather than half a file.
    file.inode().size = 6;
    assert_eq!(machine.luo.reboot(), Err(Errno::EIO));
    file.inode().size = 7;
    machine.close(session).unwrap();
    assert_eq!(file.inode().frozen, 0);
    assert_eq!(file.references(), 1);
}

#[test]
fn only_shmem_files_without_a_name_are_taken() {
    let mut machine = Machine::mainline();
    let session = machine.create("a").unwrap();
    let file = machine.world.memfd(b"content");
    file.inode().links = 1;
    assert_eq!(machine.preserve(session, 0, &file), Err(Errno::ENOENT));
    file.inode().links = 0;
    file.inode().seals = 0x40;
    assert_eq!(machine.preserve(session, 0, &file), Err(Errno::EOPNOTSUPP));
    file.inode().seals = 0;
    // More than the machine has, and more than the kernel counts.
    file.inode().size = u64::from(u32::MAX) * PAGE;
    assert_eq!(machine.preserve(session, 0, &file), Err(Errno::ENOMEM));
    file.inode().size += 1;
    assert_eq!(machine.preserve(session, 0, &file), Err(Errno::EFBIG));
    assert_eq!(file.inode().frozen, 0);
    file.inode().size = 7;
    assert_eq!(machine.preserve(session, 0, &file), Ok(()));
}

#[test]
fn what_is_not_retrieved_is_discarded() {
    let (machine, ..) = with_file(|machine| machine.world.memfd(&[1; 100_000]));
    let mut machine = machine.jump();
    machine.luo.open().unwrap();
    let session = machine.retrieve_session("a").unwrap();
    let unclaimed = machine.luo.kho().unclaimed().count();
    machine.finish(session).unwrap();
    let left = machine.luo.kho().unclaimed().count();
    // Description, 25 folios, list, chunk, block of the file.
    assert_eq!(unclaimed - left, 1 + 25 + 1 + 1 + 1);
    assert_eq!(left, 0);
}

#[test]
fn a_retrieve_that_fails_is_sticky_and_costs_no_memory() {
    let (machine, ..) = with_file(|machine| machine.world.memfd(&[1; 100_000]));
    let mut machine = machine.jump();
    machine.world.create_error.set(Some(Errno::ENFILE));
    assert_eq!(retrieved(&mut machine, 0), Err(Errno::ENFILE));
    assert_eq!(machine.retrieve(0, 0), Err(Errno::ENFILE));
    machine.close(0).unwrap();
    assert_eq!(machine.luo.kho().unclaimed().count(), 0);
}

#[test]
fn damaged_descriptions_are_refused_with_the_errors_of_linux() {
    let answer = |change: &dyn Fn(&mut MemfdSer)| {
        let (mut machine, ..) = with_file(|machine| machine.world.memfd(&[1; 10_000]));
        machine.luo.reboot().unwrap();
        let (addr, mut ser) = ser(&machine);
        change(&mut ser);
        let memory = machine.luo.kho_mut().memory_mut();
        memory.write_value(addr, &ser).unwrap();
        let mut machine = machine.kexec().unwrap();
        retrieved(&mut machine, 0).map(|file| (file.content().len() as u64, file.pos()))
    };
    assert_eq!(answer(&|_| {}), Ok((10_000, 0)));
    assert_eq!(answer(&|ser| ser.seals.0 = 0x40), Err(Errno::EOPNOTSUPP));
    assert_eq!(
        answer(&|ser| ser.folios.total_pages = 2),
        Err(Errno::EINVAL)
    );
    assert_eq!(answer(&|ser| ser.folios.first = 0), Err(Errno::EINVAL));
    assert_eq!(answer(&|ser| ser.folios.first += 8), Err(Errno::EINVAL));
    assert_eq!(answer(&|ser| ser.nr_folios = u64::MAX), Err(Errno::EINVAL));
    assert_eq!(
        answer(&|ser| ser.flags = 1),
        Ok((10_000, 0)),
        "not looked at"
    );
    assert_eq!(answer(&|ser| ser.size = 100), Ok((100, 0)));
    assert_eq!(
        answer(&|ser| ser.pos = u64::MAX),
        Ok((10_000, 0)),
        "a position no file has"
    );
    assert_eq!(answer(&|ser| ser.pos = 1 << 40), Ok((10_000, 1 << 40)));
}

#[test]
fn damaged_lists_of_folios_are_refused() {
    let answer = |change: &dyn Fn(&mut [[u64; 2]; 3])| {
        let (mut machine, ..) = with_file(|machine| machine.world.memfd(&[1; 10_000]));
        machine.luo.reboot().unwrap();
        let (_, ser) = ser(&machine);
        let memory = machine.luo.kho_mut().memory_mut();
        let list = PhysAddr(memory.read_value(PhysAddr(ser.folios.first + 8)).unwrap());
        let mut entries = memory.read_value(list).unwrap();
        change(&mut entries);
        memory.write_value(list, &entries).unwrap();
        let mut machine = machine.kexec().unwrap();
        retrieved(&mut machine, 0).map(|file| file.content().iter().map(|&it| u64::from(it)).sum())
    };
    assert_eq!(answer(&|_| {}), Ok(10_000_u64));
    // Not up to date, so without content; dirty or not is all the same.
    assert_eq!(answer(&|list| list[1][0] &= !(2 << 52)), Ok(10_000 - 4096));
    assert_eq!(answer(&|list| list[1][0] &= !(1 << 52)), Ok(10_000));
    assert_eq!(
        answer(&|list| list[1][0] = 0),
        Ok(10_000 - 4096),
        "pfn 0 is skipped"
    );
    assert_eq!(
        answer(&|list| list[1][1] = 100),
        Ok(10_000 - 4096),
        "behind the end"
    );
    assert_eq!(answer(&|list| list[1][0] += 100), Err(Errno::EIO));
    assert_eq!(
        answer(&|list| list[1] = list[0]),
        Err(Errno::EIO),
        "restored once"
    );
    assert_eq!(answer(&|list| list[1][0] |= (1 << 52) - 1), Err(Errno::EIO));
    assert_eq!(answer(&|list| list[1][1] = 0), Err(Errno::EEXIST));
    assert_eq!(answer(&|list| list[2][1] = u64::MAX), Ok(8192));
}
