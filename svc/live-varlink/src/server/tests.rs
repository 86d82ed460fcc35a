//! A server and a client on one socket.

use std::net::Shutdown;
use std::os::fd::AsFd;
use std::os::unix::net::UnixStream;
use std::sync::{Condvar, Mutex, mpsc};
use std::thread;
use std::time::Duration;

use serde::Deserialize;
use serde_json::{Value, json};

use super::*;
use crate::client::{CallError, Client};

/// Longest wait for an answer.
const PATIENCE: Duration = Duration::from_secs(30);

#[derive(Default)]
struct Echo {
    gone: Mutex<Vec<u64>>,
    /// Lets a call of `Wait` return.
    gate: (Mutex<bool>, Condvar),
    listeners: Mutex<Vec<Arc<Numbers>>>,
}

/// A stream of numbers.
struct Numbers {
    waiting: Mutex<Vec<u64>>,
    waker: Waker,
}

impl Numbers {
    fn post(&self, number: u64) {
        self.waiting.lock().unwrap().insert(0, number);
        self.waker.wake();
    }
}

impl Source for Numbers {
    fn next(&self) -> Option<Value> {
        let number = self.waiting.lock().unwrap().pop()?;
        Some(json!({ "number": number }))
    }
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
            "Wait" => {
                let (open, opened) = &self.gate;
                let guard = open.lock().unwrap();
                drop(opened.wait_while(guard, |open| !*open).unwrap());
                replies.done(&json!({}), &[])
            }
            "Listen" => {
                let numbers = Arc::new(Numbers {
                    waiting: Mutex::new(vec![1]),
                    waker: replies.waker(),
                });
                self.listeners.lock().unwrap().push(Arc::clone(&numbers));
                replies.stream(numbers)
            }
            "Shout" => replies.done(&json!({ "text": "a".repeat(1 << 20) }), &[]),
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
    let echo = Arc::new(Echo::default());
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
    wait_until(|| !echo.gone.lock().unwrap().is_empty());
}

#[test]
fn garbage_ends_the_connection_and_only_this_one() {
    let (dir, _echo, mut client) = start();
    let mut bad = UnixStream::connect(dir.path().join("socket")).unwrap();
    io::Write::write_all(&mut bad, b"no json\0").unwrap();
    assert_eq!(io::Read::read(&mut bad, &mut [0; 8]).unwrap(), 0);
    let _answer: (Value, _) = client.call("org.example.Echo", &json!({}), &[]).unwrap();
}

fn ping(client: &mut Client) {
    let _answer: (Value, _) = client.call("org.example.Echo", &json!({}), &[]).unwrap();
}

fn threads() -> usize {
    std::fs::read_dir("/proc/self/task").unwrap().count()
}

#[test]
fn connections_that_wait_take_no_thread() {
    let (dir, _echo, mut client) = start();
    ping(&mut client);
    let mut others: Vec<_> = (0..200)
        .map(|_| Client::connect(&dir.path().join("socket")).unwrap())
        .collect();
    others.iter_mut().for_each(ping);
    // Calls one after the other: the thread that waits, one or two that work, and those of the tests
    // that run beside this one.
    assert!(threads() < 100, "{} threads", threads());
    others.iter_mut().rev().for_each(ping);
}

#[test]
fn calls_that_take_long_do_not_hold_up_others() {
    let (dir, echo, mut client) = start();
    let mut waiting: Vec<_> = (0..20)
        .map(|_| {
            let mut client = Client::connect(&dir.path().join("socket")).unwrap();
            client
                .call_more("org.example.Wait", &json!({}), &[])
                .unwrap();
            client
        })
        .collect();
    ping(&mut client);
    *echo.gate.0.lock().unwrap() = true;
    echo.gate.1.notify_all();
    for client in &mut waiting {
        let _answer: (Value, bool) = client.next_answer().unwrap();
    }
}

#[test]
fn half_a_call_holds_up_nobody_and_is_answered_when_it_is_whole() {
    let (dir, _echo, mut client) = start();
    let mut slow: Vec<_> = (0..100)
        .map(|_| {
            let mut slow = UnixStream::connect(dir.path().join("socket")).unwrap();
            io::Write::write_all(&mut slow, b"{\"method\":").unwrap();
            slow
        })
        .collect();
    ping(&mut client);
    let slow = slow.last_mut().unwrap();
    io::Write::write_all(slow, b"\"org.varlink.service.GetInfo\"}\0").unwrap();
    let mut answer = [0; 14];
    io::Read::read_exact(slow, &mut answer).unwrap();
    assert_eq!(&answer, b"{\"parameters\":");
}

#[test]
fn calls_sent_without_waiting_are_answered_in_their_order() {
    let (dir, _echo, _client) = start();
    let mut stream = UnixStream::connect(dir.path().join("socket")).unwrap();
    let call = |number| json!({ "method": "org.example.Echo", "parameters": { "n": number } });
    let calls: String = (0..50)
        .map(|number| format!("{}\0", call(number)))
        .collect();
    io::Write::write_all(&mut stream, calls.as_bytes()).unwrap();
    let mut client = Client::new(stream);
    for number in 0..50 {
        let (answer, _): (Value, _) = client.next_answer().unwrap();
        assert_eq!(answer["said"]["n"], number);
    }
}

#[test]
fn a_stream_brings_what_comes_later_and_ends_with_the_peer() {
    let (_dir, echo, mut client) = start();
    client
        .call_more("org.example.Listen", &json!({}), &[])
        .unwrap();
    let mut next = || client.next_answer::<Counted>().unwrap().0.number;
    assert_eq!(next(), 1);
    let numbers = Arc::clone(&echo.listeners.lock().unwrap()[0]);
    (2..1000).for_each(|number| numbers.post(number));
    let expected: Vec<u32> = (2..1000).collect();
    assert_eq!((2..1000).map(|_| next()).collect::<Vec<_>>(), expected);
    drop(client);
    wait_until(|| !echo.gone.lock().unwrap().is_empty());
}

#[test]
fn a_listener_that_does_not_read_holds_up_nobody() {
    let (dir, echo, mut deaf) = start();
    deaf.call_more("org.example.Listen", &json!({}), &[])
        .unwrap();
    wait_until(|| !echo.listeners.lock().unwrap().is_empty());
    let numbers = Arc::clone(&echo.listeners.lock().unwrap()[0]);
    (2..20_000).for_each(|number| numbers.post(number));
    let mut client = Client::connect(&dir.path().join("socket")).unwrap();
    ping(&mut client);
    assert!(
        !numbers.waiting.lock().unwrap().is_empty(),
        "the socket is full"
    );
    for expected in 1..20_000 {
        let (Counted { number }, _) = deaf.next_answer().unwrap();
        assert_eq!(number, expected);
    }
}

#[test]
fn one_answer_means_one_and_oneway_none() {
    let (dir, _echo, mut client) = start();
    let (Counted { number }, _) = client.call("org.example.Count", &json!({}), &[]).unwrap();
    assert_eq!(number, 3);
    let answer = client.call::<Value>("org.example.Listen", &json!({}), &[]);
    let Err(CallError::Refused { name, .. }) = answer else {
        panic!("{answer:?}")
    };
    assert_eq!(name, "org.varlink.service.ExpectedMore");

    let mut stream = UnixStream::connect(dir.path().join("socket")).unwrap();
    let call = json!({ "method": "org.example.Shout", "oneway": true });
    io::Write::write_all(&mut stream, format!("{call}\0").as_bytes()).unwrap();
    let mut client = Client::new(stream);
    let said = json!({ "n": 1 });
    let (answer, _): (Value, _) = client.call("org.example.Echo", &said, &[]).unwrap();
    assert_eq!(answer["said"], said);
}

#[test]
fn a_call_longer_than_any_ends_the_connection() {
    let (dir, _echo, mut client) = start();
    let mut bad = UnixStream::connect(dir.path().join("socket")).unwrap();
    // Fails once the server has given up.
    let _answer = io::Write::write_all(&mut bad, &vec![b'x'; 1 << 20]);
    // Reset, as it was not all read.
    let _reset = io::Read::read(&mut bad, &mut [0; 8]);
    ping(&mut client);
}

fn wait_until(is_so: impl Fn() -> bool) {
    for _ in 0..500 {
        if is_so() {
            return;
        }
        thread::sleep(Duration::from_millis(10));
    }
    panic!("never");
}

#[test]
fn whoever_calls_again_and_again_holds_nobody_up() {
    let (dir, _echo, mut client) = start();
    let path = dir.path().join("socket");
    let call = b"{\"method\":\"org.example.Echo\",\"oneway\":true}\0".repeat(100);
    // More than there are threads for, each with more calls to make whenever one is answered.
    let mut greedy = Vec::new();
    for _number in 0..80 {
        let (mut stream, call) = (UnixStream::connect(&path).unwrap(), call.clone());
        greedy.push(stream.try_clone().unwrap());
        thread::spawn(move || while io::Write::write_all(&mut stream, &call).is_ok() {});
    }
    let (done, is_done) = mpsc::channel();
    thread::spawn(move || {
        for _call in 0..5 {
            let said: (Value, _) = client.call("org.example.Echo", &1, &[]).unwrap();
            assert_eq!(said.0["said"], 1);
        }
        done.send(()).unwrap();
    });
    let answered = is_done.recv_timeout(PATIENCE);
    for stream in greedy {
        stream.shutdown(Shutdown::Both).unwrap();
    }
    answered.unwrap();
}

#[test]
fn a_server_with_threads_answers_and_takes_what_is_only_told() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("socket");
    let listener = UnixListener::bind(&path).unwrap();
    let echo = Arc::new(Echo::default());
    let server = Server::new(Arc::clone(&echo), INFO);
    thread::spawn(move || server.run_with_threads(&listener));
    let mut garbage = UnixStream::connect(&path).unwrap();
    io::Write::write_all(&mut garbage, b"{}{\0").unwrap();
    let mut stream = Client::connect(&path).unwrap();
    stream.call_more("org.example.Listen", &1, &[]).unwrap();
    // Nobody would ever send anything: it is hung up.
    assert!(stream.next_answer::<Value>().is_err());
    let mut client = Client::connect(&path).unwrap();
    let file = tempfile::tempfile().unwrap();
    for _told in 0..100 {
        client.tell("org.example.Echo", &1, file.as_fd()).unwrap();
    }
    let (said, fds): (Value, _) = client.call("org.example.Echo", &2, &[]).unwrap();
    // What was told has no answer, and its descriptors are not those of the call.
    assert_eq!((&said["said"], fds.len()), (&json!(2), 0));
}
