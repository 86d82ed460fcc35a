//! A server and a client on one socket.

use std::sync::Mutex;

use serde::Deserialize;

use super::*;
use crate::client::{CallError, Client};

struct Echo {
    gone: Mutex<Vec<u64>>,
}

impl Handler for Echo {
    fn call(
        &self,
        peer: &Peer,
        request: &Request,
        fds: Vec<OwnedFd>,
        replies: &mut Replies<'_>,
    ) -> Result<(), WireError> {
        match request.split().1 {
            "Echo" => {
                let fds: Vec<_> = fds.iter().map(AsFd::as_fd).collect();
                replies.done(
                    &json!({ "said": request.parameters, "uid": peer.uid }),
                    &fds,
                )
            }
            "Count" => {
                replies.continues(&json!({ "number": 1 }))?;
                replies.continues(&json!({ "number": 2 }))?;
                replies.done(&json!({ "number": 3 }), &[])
            }
            other => replies.error("org.example.NoSuch", &json!({ "method": other })),
        }
    }

    fn disconnected(&self, peer: &Peer) {
        self.gone.lock().unwrap().push(peer.connection);
    }
}

const INFO: ServerInfo = ServerInfo {
    vendor: "tests",
    product: "echo",
    version: "1",
    url: "",
    interfaces: &[Interface {
        name: "org.example",
        description: "interface org.example",
    }],
};

fn start() -> (tempfile::TempDir, Arc<Echo>, Client) {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("socket");
    let listener = UnixListener::bind(&path).unwrap();
    let echo = Arc::new(Echo {
        gone: Mutex::default(),
    });
    let server = Server::new(Arc::clone(&echo), INFO);
    thread::spawn(move || server.run(&listener));
    let client = Client::connect(&path).unwrap();
    (dir, echo, client)
}

#[derive(Deserialize)]
struct Echoed {
    said: Value,
    uid: u32,
}

#[test]
fn a_call_is_answered_with_its_descriptors_and_the_peers_user() {
    let (_dir, _echo, mut client) = start();
    let file = tempfile::tempfile().unwrap();
    let said = json!({ "text": "h\u{e9}llo" });
    let (echoed, fds): (Echoed, _) = client
        .call("org.example.Echo", &said, &[file.as_fd()])
        .unwrap();
    assert_eq!((echoed.said, fds.len()), (said, 1));
    assert_eq!(echoed.uid, rustix::process::getuid().as_raw());
}

#[derive(Deserialize)]
struct Counted {
    number: u32,
}

#[test]
fn several_answers_end_with_one_that_says_so() {
    let (_dir, _echo, mut client) = start();
    client
        .call_more("org.example.Count", &json!({}), &[])
        .unwrap();
    let mut numbers = Vec::new();
    loop {
        let (Counted { number }, continues) = client.next_answer().unwrap();
        numbers.push(number);
        if !continues {
            break;
        }
    }
    assert_eq!(numbers, [1, 2, 3]);
}

#[test]
fn errors_carry_their_name_and_unknown_interfaces_are_refused() {
    let (_dir, _echo, mut client) = start();
    for (method, expected) in [
        ("org.example.Sing", "org.example.NoSuch"),
        ("org.other.Sing", "org.varlink.service.InterfaceNotFound"),
        (
            "org.varlink.service.Sing",
            "org.varlink.service.MethodNotFound",
        ),
    ] {
        let answer = client.call::<Value>(method, &json!({}), &[]);
        let Err(CallError::Refused { name, .. }) = answer else {
            panic!("{method}: {answer:?}")
        };
        assert_eq!(name, expected);
    }
}

#[test]
fn introspection_lists_the_interfaces_and_gives_their_text() {
    let (_dir, _echo, mut client) = start();
    let (info, _): (Value, _) = client
        .call("org.varlink.service.GetInfo", &json!({}), &[])
        .unwrap();
    assert_eq!(
        info["interfaces"],
        json!(["org.varlink.service", "org.example"])
    );
    let wanted = json!({ "interface": "org.example" });
    let method = "org.varlink.service.GetInterfaceDescription";
    let (text, _): (Value, _) = client.call(method, &wanted, &[]).unwrap();
    assert_eq!(text["description"], "interface org.example");
}

#[test]
fn the_handler_learns_of_a_hang_up() {
    let (_dir, echo, mut client) = start();
    let _answer: (Value, _) = client.call("org.example.Echo", &json!({}), &[]).unwrap();
    drop(client);
    for _ in 0..500 {
        if !echo.gone.lock().unwrap().is_empty() {
            return;
        }
        thread::sleep(Duration::from_millis(10));
    }
    panic!("never told");
}

#[test]
fn garbage_ends_the_connection_and_only_this_one() {
    let (dir, _echo, mut client) = start();
    let mut bad = UnixStream::connect(dir.path().join("socket")).unwrap();
    io::Write::write_all(&mut bad, b"no json\0").unwrap();
    assert_eq!(io::Read::read(&mut bad, &mut [0; 8]).unwrap(), 0);
    let _answer: (Value, _) = client.call("org.example.Echo", &json!({}), &[]).unwrap();
}
