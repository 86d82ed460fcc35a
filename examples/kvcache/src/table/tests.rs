//! The table against a model, killed at every store, full, and corrupt.

use std::collections::BTreeMap;

use proptest::prelude::*;

use super::layout::{
    BUCKETS_AT, CHECKSUM_AT, FREE_AT, HASH, KEY, Kind, LENGTHS, LINK, MAGIC_AT, STATE_AT, TABLE_AT,
    TOP_AT, VERSION_AT, tag,
};
use super::memory::Memory;
use super::*;

const SEED: [u64; 2] = [7, 8];
type Model = BTreeMap<Vec<u8>, Vec<u8>>;

fn table(bytes: usize) -> (Memory, Table<Memory>) {
    let memory = Memory::new(bytes);
    let table = Table::create(memory.clone(), SEED).unwrap();
    (memory, table)
}

fn value(table: &Table<Memory>, key: &[u8]) -> Result<Option<Vec<u8>>, TableError> {
    let Some(value) = table.get(key)? else {
        return Ok(None);
    };
    let mut bytes = Vec::new();
    table.append_value(value, &mut bytes)?;
    Ok(Some(bytes))
}

fn assert_equal(table: &Table<Memory>, model: &Model) {
    assert_eq!(
        table.entries().unwrap(),
        u64::try_from(model.len()).unwrap()
    );
    for (key, expected) in model {
        assert_eq!(value(table, key).unwrap().as_ref(), Some(expected));
    }
    let census = table.verify().unwrap();
    assert_eq!(census.entries, u64::try_from(model.len()).unwrap());
}

#[derive(Debug, Clone)]
enum Op {
    Set(u8, usize),
    Delete(u8),
    Flush,
}

fn key(number: u8) -> Vec<u8> {
    // Lengths that fill their last word, and that do not.
    format!("k{number:0width$}", width = usize::from(number % 11) + 1).into_bytes()
}

fn bytes_of(number: u8, len: usize, turn: usize) -> Vec<u8> {
    (0..len)
        .map(|i| number ^ i.to_le_bytes()[0] ^ turn.to_le_bytes()[0])
        .collect()
}

/// Applies an operation; the model follows only once the table has acknowledged it.
fn apply(
    table: &mut Table<Memory>,
    model: &mut Model,
    op: &Op,
    turn: usize,
) -> Result<(), TableError> {
    match op {
        Op::Set(number, len) => {
            let value = bytes_of(*number, *len, turn);
            if table.set(&key(*number), &value)? == Storing::Stored {
                model.insert(key(*number), value);
            }
        }
        Op::Delete(number) => {
            let deleted = table.delete(&key(*number))? == Deletion::Deleted;
            assert_eq!(model.remove(&key(*number)).is_some(), deleted);
        }
        Op::Flush => {
            table.flush()?;
            model.clear();
        }
    }
    Ok(())
}

fn ops() -> impl Strategy<Value = Vec<Op>> {
    let op = prop_oneof![
        8 => (any::<u8>(), 0usize..600).prop_map(|(key, len)| Op::Set(key, len)),
        4 => any::<u8>().prop_map(Op::Delete),
        1 => Just(Op::Flush),
    ];
    prop::collection::vec(op, 0..120)
}

proptest! {
    #[test]
    fn table_does_what_a_map_does_over_reopens(ops in ops()) {
        let (memory, mut table) = table(64 << 10);
        let mut model = Model::new();
        for (turn, op) in ops.iter().enumerate() {
            apply(&mut table, &mut model, op, turn).unwrap();
            if turn % 16 == 0 {
                table = Table::open(memory.clone()).unwrap();
            }
        }
        assert_equal(&table, &model);
    }

    #[test]
    fn corrupt_words_give_errors_and_never_a_panic(
        ops in ops(),
        pokes in prop::collection::vec((0u64..2100, any::<u64>(), 0u8..4), 1..6),
    ) {
        let (memory, mut table) = table(16 << 10);
        let mut model = Model::new();
        for (turn, op) in ops.iter().enumerate() {
            apply(&mut table, &mut model, op, turn).unwrap();
        }
        for (word, value, shape) in pokes {
            // Values that look like offsets, lengths and states are worth more than noise.
            let value = match shape {
                0 => value,
                1 => value % 20_000,
                2 => value % 1024 * 16,
                _ => value % 4,
            };
            memory.poke(word % 2048 * 8, value);
        }
        let Ok(mut table) = Table::open(memory) else { return Ok(()) };
        let _any = table.verify();
        for number in 0..=255 {
            let _any = value(&table, &key(number));
            let _any = table.set(&key(number), &[number; 100]);
            let _any = table.delete(&key(number));
        }
        let _any = table.verify();
    }
}

/// Runs the script with a number of stores; gives what was acknowledged, and the operation that
/// was not.
fn run_until_killed(memory: &Memory, script: &[Op], stores: u64) -> (Model, Option<Op>) {
    let mut model = Model::new();
    memory.budget.set(stores);
    let Ok(mut table) = Table::open_or_create(memory.clone(), SEED) else {
        return (model, Some(Op::Flush));
    };
    for (turn, op) in script.iter().enumerate() {
        if apply(&mut table, &mut model, op, turn).is_err() {
            return (model, Some(op.clone()));
        }
    }
    (model, None)
}

/// Checks that `table` is the acknowledged state, or the one after the interrupted operation.
fn assert_before_or_after(table: &Table<Memory>, model: &Model, interrupted: Option<&Op>) {
    table.verify().unwrap();
    let mut model = model.clone();
    match interrupted {
        Some(Op::Flush) if table.entries().unwrap() == 0 => model.clear(),
        Some(Op::Set(number, len)) => {
            let found = value(table, &key(*number)).unwrap();
            if found != model.get(&key(*number)).cloned() {
                let found = found.unwrap();
                let turns = 0..64;
                assert!(
                    turns
                        .into_iter()
                        .any(|turn| found == bytes_of(*number, *len, turn))
                );
                model.insert(key(*number), found);
            }
        }
        Some(Op::Delete(number)) if value(table, &key(*number)).unwrap().is_none() => {
            model.remove(&key(*number));
        }
        _ => {}
    }
    assert_equal(table, &model);
}

#[test]
fn kill_at_every_store_loses_nothing_acknowledged() {
    let script = [
        Op::Set(1, 10),
        Op::Set(2, 100),
        Op::Set(3, 300),
        Op::Set(2, 101),
        Op::Set(1, 500),
        Op::Delete(3),
        Op::Delete(9),
        Op::Set(4, 290),
        Op::Set(4, 0),
        Op::Delete(1),
        Op::Flush,
        Op::Set(5, 64),
        Op::Set(1, 10),
        Op::Delete(5),
    ];
    let mut kills = 0;
    for stores in 0.. {
        let memory = Memory::new(16 << 10);
        let (model, interrupted) = run_until_killed(&memory, &script, stores);
        memory.budget.set(u64::MAX);
        // The repair may be killed too.
        for repair_stores in [1, 3, 20] {
            let copy = memory.copy();
            copy.budget.set(repair_stores);
            let _killed = Table::open_or_create(copy.clone(), SEED).map(|_| ());
            copy.budget.set(u64::MAX);
            let table = Table::open_or_create(copy, SEED).unwrap();
            assert_before_or_after(&table, &model, interrupted.as_ref());
        }
        let table = Table::open_or_create(memory, SEED).unwrap();
        assert_before_or_after(&table, &model, interrupted.as_ref());
        if interrupted.is_none() {
            break;
        }
        kills += 1;
    }
    assert!(kills > 300, "{kills}");
}

#[test]
fn change_after_a_failed_one_repairs_first() {
    for stores in 0..40 {
        let (memory, mut table) = table(16 << 10);
        table.set(b"a", b"1").unwrap();
        memory.budget.set(stores);
        let _failed = table.set(b"a", &[2; 100]);
        memory.budget.set(u64::MAX);
        assert_eq!(table.set(b"b", b"3"), Ok(Storing::Stored));
        table.verify().unwrap();
    }
}

#[test]
fn full_table_refuses_and_keeps_what_it_has() {
    let (_memory, mut table) = table(32 << 10);
    let mut model = Model::new();
    let mut number = 0u32;
    loop {
        let (key, value) = (number.to_le_bytes().to_vec(), vec![1; 200]);
        match table.set(&key, &value).unwrap() {
            Storing::Stored => model.insert(key, value),
            outcome => {
                assert_eq!(outcome, Storing::Full);
                break;
            }
        };
        number += 1;
    }
    assert!(model.len() > 90, "{}", model.len());
    assert_equal(&table, &model);
    // A deleted entry makes room, also for a smaller one.
    for (freed, len) in [(0u32, 200), (1, 10)] {
        table.delete(&freed.to_le_bytes()).unwrap();
        model.remove(freed.to_le_bytes().as_slice());
        assert_eq!(table.set(b"new", &vec![2; len]), Ok(Storing::Stored));
        model.insert(b"new".to_vec(), vec![2; len]);
        assert_equal(&table, &model);
    }
}

#[test]
fn keys_and_values_at_their_limits_are_stored_and_longer_ones_refused() {
    let (memory, mut table) = table(64 << 20);
    let key = vec![b'k'; MAX_KEY_BYTES];
    let long = vec![3; MAX_VALUE_BYTES];
    assert_eq!(table.set(&key, &long), Ok(Storing::Stored));
    assert_eq!(table.set(b"", b""), Ok(Storing::Stored));
    assert_eq!(
        table.set(&vec![0; MAX_KEY_BYTES + 1], b""),
        Ok(Storing::TooLong)
    );
    assert_eq!(
        table.set(b"", &vec![0; MAX_VALUE_BYTES + 1]),
        Ok(Storing::TooLong)
    );
    let table = Table::open(memory).unwrap();
    assert_eq!(table.generation(), Ok(2));
    assert_equal(&table, &Model::from([(key, long), (vec![], vec![])]));
}

#[test]
fn headers_that_cannot_be_right_are_told_apart() {
    let opened = |at, value| {
        let (memory, _table) = table(16 << 10);
        memory.poke(at, value);
        Table::open_or_create(memory, SEED).map(|_| ()).unwrap_err()
    };
    assert!(matches!(
        opened(MAGIC_AT, 5),
        TableError::Magic { found: 5 }
    ));
    assert!(matches!(
        opened(VERSION_AT, 2),
        TableError::Version { found: 2, .. }
    ));
    assert!(matches!(opened(BUCKETS_AT, 1), TableError::Checksum { .. }));
    assert!(matches!(
        opened(CHECKSUM_AT, 1),
        TableError::Checksum { found: 1, .. }
    ));
    let header = |at, value| matches!(opened(at, value), TableError::Header { .. });
    assert!(header(STATE_AT, 3));
    assert!(header(TOP_AT, 17 << 10));
    assert!(header(FREE_AT, 8));
    let error = Table::open(Memory::new(8 << 10)).map(|_| ()).unwrap_err();
    assert!(matches!(error, TableError::TooSmall { len: 8192, .. }));
}

#[test]
fn lost_magic_does_not_pass_for_a_new_arena() {
    let (memory, mut table) = table(16 << 10);
    table.set(b"key", b"value").unwrap();
    memory.poke(MAGIC_AT, 0);
    let error = Table::open_or_create(memory, SEED).map(|_| ()).unwrap_err();
    assert_eq!(error, TableError::Magic { found: 0 });
}

#[test]
fn damage_to_an_entry_is_found_where_it_is_used() {
    let damaged = |field, value| {
        let (memory, mut table) = table(16 << 10);
        table.set(b"key", b"value").unwrap();
        let entry = TABLE_AT + 8 * 64;
        memory.poke(entry + field, value);
        let table = Table::open(memory).unwrap();
        assert!(table.verify().is_err(), "{field}");
        table.get(b"key").map(|value| value.is_some())
    };
    assert!(matches!(damaged(0, 5), Err(TableError::Block { .. })));
    // A block larger than what is left of the heap.
    let large = tag(Kind::Entry, 20);
    assert!(matches!(damaged(0, large), Err(TableError::Block { .. })));
    assert!(matches!(
        damaged(LENGTHS, u64::MAX),
        Err(TableError::Block { .. })
    ));
    assert_eq!(damaged(HASH, 1), Ok(false));
    assert_eq!(damaged(KEY, 1), Ok(false));
    // An entry linked to itself: another key of the chain is looked for in a circle.
    let (memory, mut table) = table(16 << 10);
    table.set(b"key", b"value").unwrap();
    let entry = TABLE_AT + 8 * 64;
    memory.poke(entry + LINK, entry);
    for number in 0..=255 {
        let found = value(&table, &key(number));
        assert!(matches!(found, Ok(None) | Err(TableError::Chain { .. })));
    }
    assert!(table.verify().is_err());
}
