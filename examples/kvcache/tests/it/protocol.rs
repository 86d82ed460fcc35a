//! Every command, pipelines, pieces, and requests that are none.

use std::io::Write as _;

use crate::client::{Client, Running, request};

#[test]
fn each_command_gives_its_reply() {
    let server = Running::start(1 << 20);
    let mut client = server.client();
    for (line, reply) in [
        ("PING", "+PONG\r\n"),
        ("ping hello", "$5\r\nhello\r\n"),
        ("GET a", "$-1\r\n"),
        ("SET a 1", "+OK\r\n"),
        ("set b 22", "+OK\r\n"),
        ("GET b", "$2\r\n22\r\n"),
        ("EXISTS a b a c", ":3\r\n"),
        ("DBSIZE", ":2\r\n"),
        ("SET a 333", "+OK\r\n"),
        ("GET a", "$3\r\n333\r\n"),
        ("DEL a c a", ":1\r\n"),
        ("DBSIZE", ":1\r\n"),
        ("COMMAND DOCS", "*0\r\n"),
        ("CONFIG GET save", "*2\r\n$4\r\nsave\r\n$0\r\n\r\n"),
        (
            "CONFIG GET APPENDONLY",
            "*2\r\n$10\r\nappendonly\r\n$2\r\nno\r\n",
        ),
        ("CONFIG GET nothing", "*0\r\n"),
        ("FLUSHALL", "+OK\r\n"),
        ("DBSIZE", ":0\r\n"),
        ("EXISTS b", ":0\r\n"),
    ] {
        client.expect(format!("{line}\r\n").as_bytes(), reply.as_bytes());
    }
    client.expect(b"QUIT\r\nPING\r\n", b"+OK\r\n");
    client.expect_end();
}

#[test]
fn requests_that_are_refused_say_why_and_leave_the_connection_usable() {
    let server = Running::start(1 << 20);
    let mut client = server.client();
    for (line, reply) in [
        (
            "SET a 1 EX 10",
            "-ERR syntax error: SET takes no options here\r\n",
        ),
        (
            "SET a",
            "-ERR wrong number of arguments for 'set' command\r\n",
        ),
        (
            "GET",
            "-ERR wrong number of arguments for 'get' command\r\n",
        ),
        (
            "DEL",
            "-ERR wrong number of arguments for 'del' command\r\n",
        ),
        (
            "FLUSHALL ASYNC",
            "-ERR syntax error: FLUSHALL takes no options here\r\n",
        ),
        (
            "CONFIG SET save 1",
            "-ERR only CONFIG GET with one name is supported\r\n",
        ),
        ("EXPIRE a 1", "-ERR unknown command 'EXPIRE'\r\n"),
        (
            "AVERYVERYVERYLONGNAME a",
            "-ERR unknown command 'AVERYVERYVERYLONGNAME'\r\n",
        ),
        ("PING", "+PONG\r\n"),
    ] {
        client.expect(format!("{line}\r\n").as_bytes(), reply.as_bytes());
    }
    let long = vec![b'k'; (64 << 10) + 1];
    client.expect(
        &request(&[b"SET", &long, b"v"]),
        b"-ERR key is longer than 65536 bytes\r\n",
    );
    client.expect(b"DBSIZE\r\n", b":0\r\n");
}

#[test]
fn info_names_keys_memory_and_generation() {
    let server = Running::start(1 << 20);
    let mut client = server.client();
    client.expect(b"SET a 1\r\n", b"+OK\r\n");
    let stream = client.stream.try_clone().unwrap();
    client.send(b"INFO\r\nQUIT\r\n");
    let mut text = String::new();
    std::io::Read::read_to_string(&mut &stream, &mut text).unwrap();
    for line in [
        "connected_clients:1",
        "used_memory:64",
        "maxmemory:1048576",
        "arena_generation:1",
        "db0:keys=1,expires=0",
    ] {
        assert!(text.lines().any(|found| found == line), "{line} in {text}");
    }
}

#[test]
fn pipelined_requests_are_answered_in_order() {
    let server = Running::start(4 << 20);
    let mut client = server.client();
    let (mut requests, mut replies) = (Vec::new(), Vec::new());
    for number in 0..2000 {
        let key = format!("key{number}");
        requests.extend(request(&[
            b"SET",
            key.as_bytes(),
            &vec![b'v'; number % 700],
        ]));
        requests.extend(request(&[b"GET", key.as_bytes()]));
        replies.extend_from_slice(b"+OK\r\n");
        kvcache::resp::bulk(&mut replies, &vec![b'v'; number % 700]);
    }
    let mut writer = client.stream.try_clone().unwrap();
    let sender = std::thread::spawn(move || writer.write_all(&requests).unwrap());
    client.expect_reply(&replies);
    sender.join().unwrap();
}

#[test]
fn requests_may_arrive_byte_by_byte() {
    let server = Running::start(1 << 20);
    let mut client = server.client();
    for byte in request(&[b"SET", b"key", b"a\r\nb"]) {
        client.send(&[byte]);
    }
    client.expect_reply(b"+OK\r\n");
    client.expect(b"GET key\n", b"$4\r\na\r\nb\r\n");
}

#[test]
fn malformed_requests_end_the_connection_and_no_other() {
    let server = Running::start(1 << 20);
    let mut other = server.client();
    for (bytes, reply) in [
        (b"*x\r\n".to_vec(), "invalid multibulk length"),
        (b"*65537\r\n".to_vec(), "invalid multibulk length"),
        (b"*1\r\n$16777217\r\n".to_vec(), "invalid bulk length"),
        (b"*1\r\n:1\r\n".to_vec(), "expected '$', got ':'"),
        (
            b"*1\r\n$1\r\nabc".to_vec(),
            "bulk string not followed by CRLF",
        ),
        (vec![b'x'; 64 << 10], "too big inline request"),
    ] {
        let mut client = server.client();
        client.expect(
            &bytes,
            format!("-ERR Protocol error: {reply}\r\n").as_bytes(),
        );
        client.expect_end();
    }
    other.expect(b"PING\r\n", b"+PONG\r\n");
}

#[test]
fn largest_value_goes_in_and_out() {
    let server = Running::start(64 << 20);
    let mut client = server.client();
    let value = vec![b'v'; 16 << 20];
    client.expect(&request(&[b"SET", b"large", &value]), b"+OK\r\n");
    let mut reply = Vec::new();
    kvcache::resp::bulk(&mut reply, &value);
    client.send(b"GET large\r\nPING\r\n");
    reply.extend_from_slice(b"+PONG\r\n");
    client.expect_reply(&reply);
}

#[test]
fn requests_held_back_by_a_full_output_are_answered_once_it_is_read() {
    let server = Running::start(64 << 20);
    let mut client = server.client();
    let value = vec![b'v'; 16 << 20];
    client.expect(&request(&[b"SET", b"k", &value]), b"+OK\r\n");
    // All of this arrives at once; each reply is more than socket buffers take unread.
    client.send(b"GET k\r\nPING 1\r\nGET k\r\nPING 2\r\n");
    std::thread::sleep(std::time::Duration::from_millis(50));
    for number in [b"1", b"2"] {
        let mut reply = Vec::new();
        kvcache::resp::bulk(&mut reply, &value);
        kvcache::resp::bulk(&mut reply, number);
        client.expect_reply(&reply);
    }
}

#[test]
fn full_arena_refuses_set_and_serves_the_rest() {
    let server = Running::start(64 << 10);
    let mut client = server.client();
    let mut stored = 0u32;
    let refusal = b"-OOM command not allowed when used memory > 'maxmemory'.\r\n";
    let mut first = [0];
    loop {
        client.send(&request(&[b"SET", &stored.to_le_bytes(), &[b'v'; 4000]]));
        client.stream.peek(&mut first).unwrap();
        if first == *b"-" {
            break;
        }
        client.expect_reply(b"+OK\r\n");
        stored += 1;
    }
    client.expect_reply(refusal);
    assert!(stored > 5);
    client.expect(b"DBSIZE\r\n", format!(":{stored}\r\n").as_bytes());
    client.expect(&request(&[b"DEL", &0u32.to_le_bytes()]), b":1\r\n");
    client.expect(&request(&[b"SET", b"new", &[b'v'; 4000]]), b"+OK\r\n");
}

#[test]
fn client_that_does_not_read_is_not_read_from() {
    let server = Running::start(8 << 20);
    let mut slow = server.client();
    slow.expect(&request(&[b"SET", b"k", &vec![b'v'; 1 << 20]]), b"+OK\r\n");
    // 100,000 replies of 1 MiB would be 100 GB; the server must stop taking requests instead.
    slow.stream.set_nonblocking(true).unwrap();
    let requests = b"GET k\r\n".repeat(4096);
    let mut sent = 0;
    let mut stalled = 0;
    while stalled < 20 && sent < 512 << 20 {
        match slow.stream.write(&requests) {
            Ok(count) => {
                sent += count;
                stalled = 0;
            }
            Err(_would_block) => {
                stalled += 1;
                std::thread::sleep(std::time::Duration::from_millis(10));
            }
        }
    }
    assert!(sent < 512 << 20, "server took {sent} bytes of requests");
    server.client().expect(b"PING\r\n", b"+PONG\r\n");
}

#[test]
fn many_connections_are_served_at_once() {
    let server = Running::start(1 << 20);
    let mut clients: Vec<Client> = (0..200).map(|_| server.client()).collect();
    for (number, client) in clients.iter_mut().enumerate() {
        client.send(format!("SET k{number} {number}\r\nGET k{number}\r\n").as_bytes());
    }
    for (number, client) in clients.iter_mut().enumerate() {
        let text = number.to_string();
        client.expect_reply(format!("+OK\r\n${}\r\n{text}\r\n", text.len()).as_bytes());
    }
}
