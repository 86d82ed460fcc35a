//! What a peer may say on luod's sockets, on that of its holder, and in answers to luod's own calls.

use std::io::Write as _;
use std::net::Shutdown;
use std::os::unix::net::UnixStream;
use std::time::Duration;

use live_varlink::{Channel, Request, Response};
use luod_api::{manager, service};
use luod_engine::{Command, CommandLines};
use serde::de::DeserializeOwned;
use serde_json::{Value, json};
use update::ServiceName;

/// No line is late here: all of it is there.
const PATIENCE: Duration = Duration::from_secs(3600);

/// What a peer sends on a Varlink socket, as luod and the holder read calls, and as both read answers: the holder's
/// and systemd's.
pub(crate) fn varlink(bytes: &[u8]) {
    let Ok((ours, theirs)) = UnixStream::pair() else {
        return;
    };
    // As much as the socket takes at once; what follows is cut off.
    let _nonblocking = theirs.set_nonblocking(true);
    let mut sent = 0;
    while let Some(rest) = bytes.get(sent..).filter(|rest| !rest.is_empty()) {
        match (&theirs).write(rest) {
            Ok(count) => sent += count,
            Err(_full) => break,
        }
    }
    let _open = theirs.shutdown(Shutdown::Write);
    let mut channel = Channel::new(ours);
    let mut taken = 0;
    while let Ok(Some(frame)) = channel.receive() {
        assert!(frame.fds.is_empty(), "descriptors out of nothing");
        taken += frame.json.len() + 1;
        assert!(taken <= sent, "more than was sent");
        call(&frame.json);
        answer(&frame.json);
    }
}

fn call(json: &[u8]) {
    use manager::method as of_manager;
    use service::method as of_service;
    let Ok(request) = serde_json::from_slice::<Request>(json) else {
        return;
    };
    let (interface, method) = request.split();
    assert!(request.method.ends_with(method) && request.method.starts_with(interface));
    let parameters = &request.parameters;
    match request.method.as_str() {
        of_service::ATTACH => {
            let Some(attach) = read::<service::Attach>(parameters) else {
                return;
            };
            if let Ok(name) = ServiceName::new(&attach.service) {
                let session = name.session();
                assert!((1..=63).contains(&session.len()) && !session.contains(['\0', '/']));
            }
        }
        of_service::GET | of_service::FORGET => drop(read::<service::Named>(parameters)),
        of_service::KEEP => drop(read::<service::Keep>(parameters)),
        of_service::READY => drop(read::<service::Answer>(parameters)),
        of_service::VETO => drop(read::<service::Veto>(parameters)),
        of_service::FINISH => drop(read::<service::Finish>(parameters)),
        of_manager::PREPARE => drop(read::<manager::Prepare>(parameters)),
        of_manager::EXECUTE => drop(read::<manager::Execute>(parameters)),
        of_manager::CANCEL => drop(read::<manager::Cancel>(parameters)),
        of_manager::FINISH => drop(read::<manager::Finish>(parameters)),
        of_manager::HISTORY => drop(read::<manager::History>(parameters)),
        of_manager::EVENTS => drop(read::<manager::Events>(parameters)),
        // Of the holder, and what has only a service's name.
        _ => drop(read::<service::Nothing>(parameters)),
    }
}

fn answer(json: &[u8]) {
    let Ok(response) = serde_json::from_slice::<Response>(json) else {
        return;
    };
    let results = &response.parameters;
    drop(read::<service::Attached>(results));
    drop(read::<service::Notice>(results));
    drop(read::<manager::Status>(results));
    drop(read::<manager::EventBatch>(results));
    drop(read::<manager::ReportAnswer>(results));
    drop(read::<manager::HistoryAnswer>(results));
}

fn read<T: DeserializeOwned>(parameters: &Value) -> Option<T> {
    serde_json::from_value(parameters.clone()).ok()
}

/// Good calls and answers, each with its NUL.
pub(crate) fn varlink_seeds() -> Vec<Vec<u8>> {
    use manager::method as of_manager;
    use service::method as of_service;
    let calls = [
        (of_service::ATTACH, json!({ "service": "db" })),
        (
            of_service::KEEP,
            json!({ "service": "db", "item": "heap", "schema": 7, "required": true }),
        ),
        (
            of_service::READY,
            json!({ "service": "db", "event": "prepare", "update_id": "u" }),
        ),
        (
            of_service::FINISH,
            json!({ "service": "db", "discard": ["heap"] }),
        ),
        (
            of_manager::PREPARE,
            json!({
                "cmdline": "liveupdate=on", "has_initrd": true, "deadline_ms": 30_000,
                "force": ["config"], "update_id": null,
            }),
        ),
        (of_manager::EVENTS, json!({ "follow": true })),
        ("io.liveupdate.Holder.Put", json!({ "name": "session/db" })),
    ];
    let calls = calls.map(
        |(method, parameters)| json!({ "method": method, "parameters": parameters, "more": true }),
    );
    let item = json!({
        "name": "heap", "token": 1, "schema": 7, "size_bytes": 4096, "seals": 6, "state": "held",
    });
    let attached = json!({ "phase": "updated", "is_incoming": true, "items": [item] });
    let answers = [
        json!({ "parameters": attached, "continues": true }),
        json!({ "parameters": { "runtime": { "KExecCount": 2 } } }),
        json!({
            "error": "io.systemd.Shutdown.BlockedByInhibitor",
            "parameters": { "who": "backup", "why": "copying" },
        }),
    ];
    let line = |message: &Value| format!("{message}\0").into_bytes();
    let mut seeds: Vec<_> = calls.iter().chain(&answers).map(line).collect();
    seeds.push(seeds.concat());
    seeds
}

/// What a client of luo-agent's protocol says: a line is taken whole or not at all.
pub(crate) fn luo_agent(bytes: &[u8]) {
    let mut lines = CommandLines::new(bytes, PATIENCE);
    let mut count = 0;
    while let Ok(Some(command)) = lines.next_command() {
        count += 1;
        if let Ok(Command::Subscribe { id } | Command::Claim { id }) = command {
            assert!(id.len() <= bytes.len());
        }
    }
    let ends = bytes.iter().filter(|&&byte| byte == b'\n').count();
    assert!(count <= ends, "{count} commands in {ends} lines");
}

/// Every command, alone and one after the other.
pub(crate) fn luo_agent_seeds() -> Vec<Vec<u8>> {
    let commands = [
        json!({ "cmd": "HELLO", "features": ["freeze", "cancel", "done", "teleport"] }),
        json!({ "cmd": "SUBSCRIBE", "id": "vm" }),
        json!({ "cmd": "READY" }),
        json!({ "cmd": "CLAIM", "id": "vm" }),
        json!({ "cmd": "VETO", "reason": "no time" }),
        json!({ "cmd": "FINISH" }),
    ];
    let mut seeds: Vec<_> = commands
        .iter()
        .map(|command| format!("{command}\n").into_bytes())
        .collect();
    seeds.push(seeds.concat());
    seeds
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn seeds_are_good() {
        for seed in luo_agent_seeds() {
            let mut lines = CommandLines::new(&*seed, PATIENCE);
            while let Some(command) = lines.next_command().unwrap() {
                command.unwrap();
            }
        }
        let (mut calls, mut answers) = (0, 0);
        for seed in varlink_seeds() {
            let json = seed.strip_suffix(b"\0").unwrap();
            calls += usize::from(serde_json::from_slice::<Request>(json).is_ok());
            answers += usize::from(serde_json::from_slice::<Response>(json).is_ok());
        }
        // Every field of an answer may be left out, so a call reads as one as well.
        assert_eq!((calls, answers), (7, 10));
    }
}
