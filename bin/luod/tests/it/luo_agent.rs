//! luo-agent's protocol on the socket of the real luod, as far as no kernel with live update is needed.

use std::io::{BufRead as _, BufReader, Write as _};
use std::os::unix::fs::PermissionsExt as _;
use std::os::unix::net::UnixStream;
use std::path::PathBuf;

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
