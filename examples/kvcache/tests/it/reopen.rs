//! The next process on the same memory.

use std::os::fd::AsFd as _;

use kvcache::arena::{self, ArenaError, ArenaSource};
use kvcache::load::{Data, connect, fill, verify};
use rustix::fs::{MemfdFlags, fcntl_get_seals, ftruncate, memfd_create};
use rustix::io::pwrite;

use crate::client::{Program, Running};

const DATA: Data = Data {
    keys: 20_000,
    value_bytes: 100,
    seed: 3,
};

#[test]
fn next_server_answers_from_the_same_memory() {
    let server = Running::start(16 << 20);
    fill(&mut *connect(&server.address).unwrap(), DATA).unwrap();
    let memfd = server.stop();
    let server = Running::with_hook(ArenaSource::Inherited(memfd), || {});
    server.client().expect(b"DBSIZE\r\n", b":20000\r\n");
    let outcome = verify(&mut *connect(&server.address).unwrap(), DATA).unwrap();
    assert!(outcome.is_clean(), "{outcome:?}");
    assert_eq!(outcome.right, DATA.keys);
}

#[test]
fn program_goes_on_with_a_memfd_somebody_kept() {
    let (memfd, table) = arena::open(ArenaSource::Fresh { len: 16 << 20 }).unwrap();
    drop(table);
    let mut first = Program::start(&memfd);
    fill(&mut *connect(&first.address).unwrap(), DATA).unwrap();
    first.kill();
    let second = Program::start(&memfd);
    let outcome = verify(&mut *connect(&second.address).unwrap(), DATA).unwrap();
    assert!(outcome.is_clean(), "{outcome:?}");
}

#[test]
fn untouched_memfd_gets_an_empty_table_and_is_sealed() {
    let flags = MemfdFlags::CLOEXEC | MemfdFlags::ALLOW_SEALING;
    let memfd = memfd_create("blank", flags).unwrap();
    ftruncate(&memfd, 1 << 20).unwrap();
    let (memfd, table) = arena::open(ArenaSource::Inherited(memfd)).unwrap();
    assert_eq!(table.entries(), Ok(0));
    let seals = fcntl_get_seals(&memfd).unwrap();
    assert!(seals.contains(rustix::fs::SealFlags::SHRINK | rustix::fs::SealFlags::GROW));
    assert!(ftruncate(&memfd, 4096).is_err());
}

#[test]
fn memory_that_is_no_arena_is_refused_with_a_message() {
    let refused = |len: u64, start: &[u8]| {
        let flags = MemfdFlags::CLOEXEC | MemfdFlags::ALLOW_SEALING;
        let memfd = memfd_create("foreign", flags).unwrap();
        ftruncate(&memfd, len).unwrap();
        pwrite(memfd.as_fd(), start, 0).unwrap();
        arena::open(ArenaSource::Inherited(memfd)).unwrap_err()
    };
    let error = refused(1 << 20, b"something else");
    assert!(matches!(error, ArenaError::Table(_)), "{error}");
    assert!(
        error.to_string().contains("start with a fresh one"),
        "{error}"
    );
    assert!(matches!(refused(0, b""), ArenaError::Length { len: 0 }));
    assert!(matches!(
        refused(5000, b""),
        ArenaError::Length { len: 5000 }
    ));
    let error = refused(4096, b"");
    assert!(matches!(error, ArenaError::Table(_)), "{error}");
}
