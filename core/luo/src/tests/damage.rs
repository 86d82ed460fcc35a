//! A handover with anything in it is refused, or taken over, and never stops the machine.

use alloc::boxed::Box;
use alloc::vec;
use alloc::vec::Vec;

use kho::{Kho, PageSize, PhysAddr, PhysMemMut as _, SparseMemory};
use proptest::prelude::*;
use proptest::sample::Index;

use super::machine::Machine;
use super::world::Kind;
use crate::handler::HandlerId;
use crate::{Config, Dialect, Errno, Flb, FlbState};

/// A word that is changed on the way: in which preserved block, where, to what.
#[derive(Clone, Debug)]
pub(super) struct Change {
    block: Index,
    word: u64,
    value: Value,
}

#[derive(Clone, Debug)]
enum Value {
    Word(u64),
    /// The address of a preserved block, and some bytes behind it.
    Address(Index, u64),
    /// A folio in the list of a memfd.
    Folio(Index),
}

pub(super) fn change() -> impl Strategy<Value = Change> {
    let small = prop_oneof![0..4_u64, Just(0xffff), Just(u64::MAX), any::<u64>()];
    let value = prop_oneof![
        small.prop_map(Value::Word),
        (any::<Index>(), 0..3_u64).prop_map(|(at, behind)| Value::Address(at, behind * 8)),
        any::<Index>().prop_map(Value::Folio),
    ];
    // Most of what is handed over is at the start of its page.
    let word = prop_oneof![4 => 0..20_u64, 1 => 0..512_u64];
    (any::<Index>(), word, value).prop_map(|(block, word, value)| Change { block, word, value })
}

/// Takes whatever was handed over for it.
struct AnyFlb;

impl Flb<SparseMemory> for AnyFlb {
    fn compatible(&self) -> &'static str {
        "any"
    }

    fn preserve(&mut self, _: &mut Kho<SparseMemory>) -> Result<FlbState, Errno> {
        Ok(FlbState { data: 1, obj: 2 })
    }

    fn unpreserve(&mut self, _: &mut Kho<SparseMemory>, _: FlbState) {}

    fn retrieve(&mut self, _: &mut Kho<SparseMemory>, data: u64) -> Result<u64, Errno> {
        Ok(data)
    }

    fn finish(&mut self, _: &mut Kho<SparseMemory>, _: u64) {}
}

fn add_flb(machine: &mut Machine) {
    let flb = machine.luo.add_flb(Box::new(AnyFlb));
    machine.luo.register_flb(HandlerId(0), flb).unwrap();
}

/// A machine on its way with sessions, memfds and other files.
fn leaving(dialect: Dialect) -> Machine {
    let mut machine = Machine::cold(Config {
        dialect,
        ..Config::default()
    });
    add_flb(&mut machine);
    for name in ["a", "b", "c"] {
        let session = machine.create_in_dialect(name);
        // One with a large folio.
        let last = if name == "a" { 512 * 4096 + 1 } else { 1 };
        for (token, size) in (0..).zip([0, 10_000, last]) {
            let file = machine.world.memfd(&vec![7; size]);
            machine.preserve(session, token, &file).unwrap();
        }
        let file = machine.world.file(Kind::Recorded(0));
        machine.preserve(session, 9, &file).unwrap();
    }
    machine.prepare_in_dialect();
    machine.luo.reboot().unwrap();
    machine
}

pub(super) fn apply(machine: &mut Machine, changes: &[Change]) {
    let kho = machine.luo.kho();
    let keys = kho.tree().walk(kho.memory()).map(Result::unwrap);
    let blocks: Vec<PhysAddr> = keys.map(|key| key.block(PageSize::Size4K).0).collect();
    for change in changes {
        let at = PhysAddr(change.block.get(&blocks).0 + change.word * 8);
        let value = match change.value {
            Value::Word(word) => word,
            Value::Address(block, behind) => block.get(&blocks).0 + behind,
            Value::Folio(block) => block.get(&blocks).0 >> 12 | 3 << 52,
        };
        machine
            .luo
            .kho_mut()
            .memory_mut()
            .write_value(at, &value)
            .unwrap();
    }
}

/// Everything a program can do with what was received.
fn use_all(machine: &mut Machine) {
    if machine.luo.open().is_err() {
        return;
    }
    for name in ["a", "b", "c", "", "new"] {
        let Ok(session) = machine.retrieve_in_dialect(name) else {
            continue;
        };
        for token in [0, 1, 2, 9, 1] {
            let _file = machine.retrieve_fd_in_dialect(session, token);
        }
        if name != "b" {
            let _finished = machine.finish_in_dialect(session);
        }
        machine.close(session).ok();
    }
    machine.end_update_in_dialect();
    machine.prepare_in_dialect();
    machine.luo.reboot().ok();
}

proptest! {
    #[test]
    fn any_damage_has_an_answer(
        is_v4 in any::<bool>(),
        changes in proptest::collection::vec(change(), 1..8),
    ) {
        let dialect = if is_v4 { Dialect::V4 } else { Dialect::Mainline };
        let mut machine = leaving(dialect);
        apply(&mut machine, &changes);
        if let Ok(mut machine) = machine.kexec_damaged() {
            add_flb(&mut machine);
            use_all(&mut machine);
        }
    }
}
