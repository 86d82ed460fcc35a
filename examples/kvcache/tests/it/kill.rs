//! SIGKILL at arbitrary moments: no acknowledged key is lost.

use std::collections::BTreeMap;
use std::io::{BufRead as _, BufReader, Write as _};
use std::net::TcpStream;
use std::os::fd::OwnedFd;
use std::time::Duration;

use kvcache::arena::{self, ArenaSource};
use kvcache::table::Table;
use memmap_sys::SharedMap;

use crate::client::{Client, Program, request};

/// Keys the writer works on.
const KEYS: u64 = 500;

/// What the writer did, in order; only the first `acknowledged` were answered.
struct Log {
    changes: Vec<(u64, Option<Vec<u8>>)>,
    acknowledged: usize,
}

fn key(number: u64) -> Vec<u8> {
    format!("key:{number}").into_bytes()
}

/// A value that names its change and fills different size classes.
fn value(change: u64) -> Vec<u8> {
    let len = usize::try_from(change * 37 % 900).unwrap();
    format!("{change}:")
        .into_bytes()
        .into_iter()
        .cycle()
        .take(len + 8)
        .collect()
}

/// Writes until the server is gone; replies are counted by a thread of their own.
fn write_until_killed(mut client: Client, first_change: u64) -> Log {
    let replies = client.stream.try_clone().unwrap();
    let counter = std::thread::spawn(move || count_replies(replies));
    let mut changes = Vec::new();
    let mut change = first_change;
    loop {
        let mut batch = Vec::new();
        for _ in 0..32 {
            change += 1;
            let number = change.wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 32;
            let number = number % KEYS;
            if change.is_multiple_of(5) {
                batch.extend(request(&[b"DEL", &key(number)]));
                changes.push((number, None));
            } else {
                batch.extend(request(&[b"SET", &key(number), &value(change)]));
                changes.push((number, Some(value(change))));
            }
        }
        if client.stream.write_all(&batch).is_err() {
            break;
        }
    }
    Log {
        changes,
        acknowledged: counter.join().unwrap(),
    }
}

fn count_replies(stream: TcpStream) -> usize {
    let mut replies = BufReader::new(stream);
    let mut line = Vec::new();
    let mut count = 0;
    loop {
        line.clear();
        match replies.read_until(b'\n', &mut line) {
            Ok(_) if line.ends_with(b"\r\n") => {
                assert!(matches!(line[0], b'+' | b':'), "{line:?}");
                count += 1;
            }
            _ => return count,
        }
    }
}

fn stored(table: &Table<SharedMap>, number: u64) -> Option<Vec<u8>> {
    let value = table.get(&key(number)).unwrap()?;
    let mut bytes = Vec::new();
    table.append_value(value, &mut bytes).unwrap();
    Some(bytes)
}

/// Each key must have the state of its last acknowledged change or of a later one.
fn check(memfd: &OwnedFd, model: &mut BTreeMap<u64, Option<Vec<u8>>>, log: &Log) {
    let inherited = ArenaSource::Inherited(memfd.try_clone().unwrap());
    let (_memfd, table) = arena::open(inherited).unwrap();
    table.verify().unwrap();
    let (done, sent) = log.changes.split_at(log.acknowledged);
    for (number, state) in done {
        model.insert(*number, state.clone());
    }
    for number in 0..KEYS {
        let found = stored(&table, number);
        let acknowledged = model.get(&number).cloned().flatten();
        let later = sent.iter().filter(|(key, _)| *key == number);
        let mut possible = later.map(|(_, state)| state).chain([&acknowledged]);
        assert!(possible.any(|state| *state == found), "key {number}");
        model.insert(number, found);
    }
}

#[test]
fn killed_server_leaves_every_acknowledged_change() {
    let (memfd, table) = arena::open(ArenaSource::Fresh { len: 4 << 20 }).unwrap();
    drop(table);
    let mut model = BTreeMap::new();
    let mut acknowledged = 0;
    for round in 0..25u64 {
        let mut program = Program::start(&memfd);
        let client = Client::connect(&program.address);
        let writer = std::thread::spawn(move || write_until_killed(client, round << 32));
        std::thread::sleep(Duration::from_micros(3000 + round * 1733));
        program.kill();
        let log = writer.join().unwrap();
        acknowledged += log.acknowledged;
        check(&memfd, &mut model, &log);
    }
    assert!(acknowledged > 1000, "{acknowledged}");
}
