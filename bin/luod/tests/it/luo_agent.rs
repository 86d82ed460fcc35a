//! luo-agent's protocol on the socket of the real luod, as far as no kernel with live update is needed.

use std::io::{BufRead as _, BufReader, IoSlice, Read as _, Write as _};
use std::mem::MaybeUninit;
use std::os::fd::AsFd as _;
use std::os::unix::fs::PermissionsExt as _;
use std::os::unix::net::UnixStream;
use std::path::PathBuf;
use std::time::Instant;

use rustix::net::{SendAncillaryBuffer, SendAncillaryMessage, SendFlags, sendmsg};
use serde_json::Value;

use super::{Luod, PATIENCE};

fn socket(luod: &Luod) -> PathBuf {
    luod.dir.path().join("luo-agent.sock")
}

/// Says some lines; what is answered to each, until luod hangs up or there are as many answers.
fn talk(luod: &Luod, lines: &[&[u8]]) -> Vec<Value> {
    let mut stream = UnixStream::connect(socket(luod)).unwrap();
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    let mut answers = BufReader::new(stream.try_clone().unwrap());
    let mut said = Vec::new();
    for line in lines {
        // luod may have hung up.
        if stream.write_all(line).is_err() {
            break;
        }
        let mut answer = String::new();
        match answers.read_line(&mut answer) {
            Ok(0) | Err(_) => break,
            Ok(_) => said.push(serde_json::from_str(&answer).unwrap()),
        }
    }
    said
}

#[test]
fn hello_tells_version_and_the_features_that_both_have() {
    let luod = Luod::start();
    let hello = b"{\"cmd\":\"HELLO\",\"features\":[\"done\",\"teleport\"]}\n";
    let subscribe = b"{\"cmd\":\"SUBSCRIBE\",\"id\":\"vm\"}\n";
    let ready = b"{\"cmd\":\"READY\"}\n";
    let claim = b"{\"cmd\":\"CLAIM\",\"id\":\"other\"}\n";
    // HELLO is answered by HELLO and, from then on, DONE.
    let said = talk(&luod, &[hello, b"", subscribe, ready, claim]);
    let version = env!("CARGO_PKG_VERSION");
    let expected = serde_json::json!({
        "event": "HELLO", "version": 1, "server": format!("luod {version}"), "features": ["done"],
    });
    assert_eq!(said[0], expected);
    let events: Vec<_> = said[1..]
        .iter()
        .map(|it| it["event"].as_str().unwrap())
        .collect();
    assert_eq!(events, ["DONE", "DONE", "ERROR", "ERROR"]);
    assert_eq!(
        (&said[3]["code"], &said[4]["code"]),
        (&"WrongPhase".into(), &"NotFound".into())
    );
}

#[test]
fn garbage_is_refused_by_line_and_a_line_without_end_by_hanging_up() {
    let luod = Luod::start();
    let lines: [&[u8]; 5] = [
        b"\n",
        b"\xff\xfe\n",
        b"{\"cmd\":\"JUMP\"}\n",
        b"{\"cmd\":\"SUBSCRIBE\",\"id\":\"../etc\"}\n",
        &[b'x'; 40_000],
    ];
    let said = talk(&luod, &lines);
    let codes: Vec<_> = said.iter().map(|it| it["code"].as_str().unwrap()).collect();
    assert_eq!(codes, ["InvalidParameter"; 4]);
    assert_eq!(luod.status()["phase"], "normal");
}

#[test]
fn the_socket_is_for_root_only() {
    let luod = Luod::start();
    let mode = std::fs::metadata(socket(&luod))
        .unwrap()
        .permissions()
        .mode();
    assert_eq!(mode & 0o777, 0o600);
}

/// Whether luod answers on a connection that is there.
fn is_answered(stream: &mut UnixStream) -> bool {
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    let said = stream.write_all(b"{\"cmd\":\"READY\"}\n");
    let mut byte = [0];
    said.is_ok() && matches!(stream.read(&mut byte), Ok(1))
}

#[test]
fn connections_past_the_limit_are_hung_up_until_one_ends() {
    let luod = Luod::start();
    let connect = || UnixStream::connect(socket(&luod)).unwrap();
    let mut taken: Vec<_> = (0..64).map(|_| connect()).collect();
    assert!(taken.iter_mut().all(is_answered));
    assert!(!is_answered(&mut connect()));
    drop(taken.pop());
    let begin = Instant::now();
    while !is_answered(&mut connect()) {
        assert!(begin.elapsed() < PATIENCE, "no connection is free");
    }
    assert!(taken.iter_mut().all(is_answered));
}

#[test]
fn descriptors_that_come_with_a_line_are_closed() {
    let luod = Luod::start();
    let open = || {
        let folder = format!("/proc/{}/fd", luod.child.id());
        std::fs::read_dir(folder).unwrap().count()
    };
    let mut stream = UnixStream::connect(socket(&luod)).unwrap();
    assert!(is_answered(&mut stream));
    let before = open();
    let file = tempfile::tempfile().unwrap();
    // As many as the kernel sends with one message (SCM_MAX_FD, include/net/scm.h, v7.3).
    let fds = vec![file.as_fd(); 253];
    let mut space = vec![MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(253))];
    let mut control = SendAncillaryBuffer::new(&mut space);
    assert!(control.push(SendAncillaryMessage::ScmRights(&fds)));
    let data = [IoSlice::new(b"{\"cmd\":\"READY\"}\n")];
    sendmsg(&stream, &data, &mut control, SendFlags::empty()).unwrap();
    let mut answers = BufReader::new(stream.try_clone().unwrap());
    // The rest of the first answer, then the one to this line.
    for _answer in 0..2 {
        let mut answer = String::new();
        assert!(answers.read_line(&mut answer).unwrap() > 0);
    }
    assert_eq!(open(), before);
}

#[test]
fn a_line_that_is_begun_and_never_ended_is_hung_up() {
    let luod = Luod::start();
    let mut quiet = UnixStream::connect(socket(&luod)).unwrap();
    let mut slow = UnixStream::connect(socket(&luod)).unwrap();
    slow.set_read_timeout(Some(PATIENCE)).unwrap();
    slow.write_all(b"{\"cmd\":").unwrap();
    assert_eq!(slow.read(&mut [0]).unwrap(), 0);
    // Who has said nothing yet may go on.
    assert!(is_answered(&mut quiet));
}
