//! A handover that Linux made (7.3.4, recorded at the jump; see `core/handover/testdata`): LUO
//! starts from it and gives out what is in it.

use alloc::boxed::Box;
use alloc::rc::Rc;
use alloc::string::String;
use alloc::vec::Vec;
use core::cell::Cell;
use std::io::Read as _;

use kho::{Boot, Handoff, Kho, PageSize, PhysAddr, PhysMemMut as _, ScratchAreas, SparseMemory};

use super::machine::{Machine, TestLuo};
use super::process::Process;
use super::recorder::{RecorderFlb, Script};
use super::world::World;
use crate::handler::HandlerId;
use crate::{Config, Defects, Errno, Luo, MemfdHandler};

const ROOT: PhysAddr = PhysAddr(0x5c_c000);

fn recorded() -> SparseMemory {
    let packed: &[u8] = include_bytes!("../../../handover/testdata/linux-7.3.4/pages.zst");
    let index = include_str!("../../../handover/testdata/linux-7.3.4/index.txt");
    let mut pages = Vec::new();
    let mut unpacked = ruzstd::decoding::StreamingDecoder::new(packed).unwrap();
    unpacked.read_to_end(&mut pages).unwrap();
    let ram = 0x10_0000..0x4000_0000;
    let mut memory = SparseMemory::new(PageSize::Size4K, &[ram]);
    for line in index.lines() {
        let (addr, number) = line.split_once(' ').unwrap();
        let addr = u64::from_str_radix(addr.strip_prefix("0x").unwrap(), 16).unwrap();
        let start = number.parse::<usize>().unwrap() * 4096;
        memory
            .write(PhysAddr(addr), &pages[start..start + 4096])
            .unwrap();
    }
    memory
}

fn boot() -> Machine {
    let handoff = Handoff {
        fdt: ROOT,
        scratch: Vec::new(),
    };
    let scratch = ScratchAreas::new(Vec::new());
    let kho_config = kho::Config::default();
    let (kho, boot) = Kho::start(recorded(), scratch, Some(&handoff), kho_config).unwrap();
    assert_eq!(boot, Boot::Handover);
    let config = Config {
        defects: Defects::default(),
        ..Config::default()
    };
    let mut luo: TestLuo = Luo::boot(kho, config).unwrap();
    let world = World::default();
    luo.register_file_handler(Box::new(MemfdHandler::new(world.clone())))
        .unwrap();
    Machine {
        luo,
        process: Process::new(),
        world,
        script: Script::default(),
        config,
    }
}

#[test]
fn all_sessions_and_files_of_linux_are_retrieved() {
    let mut machine = boot();
    assert_eq!(machine.luo.update_number(), Some(1));
    machine.luo.open().unwrap();
    let sessions: Vec<_> = machine.luo.sessions();
    let names = sessions
        .iter()
        .map(|it| String::from_utf8(it.name.clone()).unwrap());
    let names: Vec<String> = names.collect();
    assert_eq!(names, ["a", "empty", "q", "unretrieved-session"]);
    let mut found = Vec::new();
    for (name, session) in names.iter().zip(&sessions) {
        let fd = machine.retrieve_session(name).unwrap();
        for &token in &session.tokens {
            let file = machine.retrieve(fd, token).unwrap();
            let inode = file.inode();
            found.push((token, inode.size, file.pos(), inode.seals, inode.mode));
        }
        machine.finish(fd).unwrap();
    }
    let expected = [
        (7, 5, 5, 4, 0o777),
        (100, 10, 7, 6, 0o777),
        (0, 10_000, 0, 1, 0o777),
        (u64::MAX, 0, 0, 0x20, 0o666),
        (55, 1, 1, 1, 0o777),
        (1, 3, 3, 1, 0o777),
    ];
    assert_eq!(found, expected);
    // What nobody takes over is not LUO's: the FDT of memblock and its region.
    assert_eq!(machine.luo.kho().unclaimed().count(), 2);
}

#[test]
fn flbs_of_linux_have_their_data_and_their_count() {
    let mut machine = boot();
    let script = machine.script.clone();
    let finished = Rc::new(Cell::new(0));
    let flb = LinuxFlb {
        finished: Rc::clone(&finished),
    };
    let flb = machine.luo.add_flb(Box::new(flb));
    machine.luo.register_flb(HandlerId(0), flb).unwrap();
    let other = RecorderFlb {
        name: "liveupdate-test-flb-v3",
        number: 4,
        script,
    };
    let other = machine.luo.add_flb(Box::new(other));
    assert_eq!(
        machine.luo.context().flb_get_incoming(flb),
        Ok(0xfeed_f00d_cafe_bee1)
    );
    assert_eq!(
        machine.luo.context().flb_get_incoming(other),
        Err(Errno::ENOENT)
    );
    machine.luo.context().flb_put_incoming(flb);
    machine.luo.open().unwrap();
    // Six files, the last of which finishes it.
    for name in ["a", "empty", "q", "unretrieved-session"] {
        assert_eq!(finished.get(), 0, "before {name}");
        let fd = machine.retrieve_session(name).unwrap();
        machine.finish(fd).unwrap();
    }
    assert_eq!(finished.get(), 1);
    assert_eq!(
        machine.luo.context().flb_get_incoming(flb),
        Err(Errno::ENODATA)
    );
}

/// Retrieves its data as its object, as the kernel's test does (`lib/tests/liveupdate.c`).
struct LinuxFlb {
    finished: Rc<Cell<u32>>,
}

impl crate::Flb<SparseMemory> for LinuxFlb {
    fn compatible(&self) -> &'static str {
        "liveupdate-test-flb-v1"
    }

    fn preserve(&mut self, _: &mut Kho<SparseMemory>) -> Result<crate::FlbState, Errno> {
        Err(Errno::ENOMEM)
    }

    fn unpreserve(&mut self, _: &mut Kho<SparseMemory>, _: crate::FlbState) {}

    fn retrieve(&mut self, _: &mut Kho<SparseMemory>, data: u64) -> Result<u64, Errno> {
        Ok(data)
    }

    fn finish(&mut self, _: &mut Kho<SparseMemory>, obj: u64) {
        assert_eq!(obj, 0xfeed_f00d_cafe_bee1);
        self.finished.set(self.finished.get() + 1);
    }
}
