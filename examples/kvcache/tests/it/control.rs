//! Pausing, resuming and stopping a server; the first answer.

use std::io::Read as _;
use std::os::fd::AsFd as _;
use std::sync::mpsc::channel;
use std::time::Duration;

use kvcache::arena::ArenaSource;
use kvcache::server::{Control, ControlError};
use rustix::io::pread;

use crate::client::{Running, request};

const LONG: Duration = Duration::from_secs(30);

/// All bytes of the arena.
fn content(server: &Running) -> Vec<u8> {
    let mut bytes = vec![0; 1 << 20];
    let count = pread(server.memfd.as_fd(), &mut bytes, 0).unwrap();
    assert_eq!(count, bytes.len());
    bytes
}

#[test]
fn paused_server_answers_nothing_and_leaves_the_arena_alone() {
    let server = Running::start(1 << 20);
    let mut client = server.client();
    client.expect(b"SET a 1\r\n", b"+OK\r\n");
    server.control.pause(LONG).unwrap();
    let before = content(&server);
    client.send(b"SET a 2\r\nGET a\r\n");
    let mut late = server.client();
    late.send(b"SET b 3\r\n");
    client
        .stream
        .set_read_timeout(Some(Duration::from_millis(200)))
        .unwrap();
    let error = client.stream.read(&mut [0]).unwrap_err();
    assert_eq!(error.kind(), std::io::ErrorKind::WouldBlock);
    assert!(content(&server) == before);
    server.control.resume();
    client.stream.set_read_timeout(Some(LONG)).unwrap();
    client.expect_reply(b"+OK\r\n$1\r\n2\r\n");
    late.expect_reply(b"+OK\r\n");
    assert!(content(&server) != before);
}

#[test]
fn pause_under_load_ends_between_commands() {
    let server = Running::start(1 << 20);
    let mut writer = server.client();
    let mut reader = writer.stream.try_clone().unwrap();
    let load = std::thread::spawn(move || {
        let set = request(&[b"SET", b"key", &[b'v'; 500]]).repeat(50);
        for _ in 0..200 {
            writer.send(&set);
        }
    });
    let drain = std::thread::spawn(move || {
        let mut replies = vec![0; 200 * 50 * 5];
        reader.read_exact(&mut replies).unwrap();
    });
    for _ in 0..20 {
        server.control.pause(LONG).unwrap();
        // The state word says whether a change is under way.
        assert_eq!(content(&server)[64..72], [0; 8]);
        server.control.resume();
    }
    load.join().unwrap();
    drain.join().unwrap();
}

#[test]
fn server_that_never_runs_times_out_and_an_ended_one_says_so() {
    let control = Control::new().unwrap();
    let timeout = Duration::from_millis(20);
    assert_eq!(control.pause(timeout), Err(ControlError::TimedOut(timeout)));
    let server = Running::start(1 << 20);
    let control = server.control.clone();
    server.stop();
    assert_eq!(control.pause(LONG), Err(ControlError::Ended));
}

#[test]
fn paused_server_can_be_stopped() {
    let server = Running::start(1 << 20);
    server.control.pause(LONG).unwrap();
    server.stop();
}

#[test]
fn first_answer_is_told_once() {
    let (sender, receiver) = channel();
    let server = Running::with_hook(ArenaSource::Fresh { len: 1 << 20 }, move || {
        sender.send(()).unwrap();
    });
    let mut client = server.client();
    assert!(receiver.try_recv().is_err());
    client.expect(b"PING\r\n", b"+PONG\r\n");
    receiver.recv_timeout(LONG).unwrap();
    client.expect(b"PING\r\n", b"+PONG\r\n");
    // The sender is gone with the hook: it cannot be called again.
    assert!(receiver.recv().is_err());
}
