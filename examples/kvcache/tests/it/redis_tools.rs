//! The tools of Debian's `redis-tools` against the server.

use std::process::{Command, Output};

use crate::client::Running;

/// Runs a tool against the server; `None` when it is not installed, which fails on CI.
fn run(program: &str, server: &Running, arguments: &[&str]) -> Option<Output> {
    let port = server.address.rsplit(':').next().unwrap();
    match Command::new(program)
        .args(["-p", port])
        .args(arguments)
        .output()
    {
        Ok(output) => Some(output),
        Err(error) if std::env::var_os("CI").is_some_and(|ci| ci == "true") => {
            panic!("{program}: {error}; install the Debian package 'redis-tools'")
        }
        Err(error) => {
            eprintln!("skipped: {program}: {error}; it is in the Debian package 'redis-tools'");
            None
        }
    }
}

#[test]
fn redis_cli_works() {
    let server = Running::start(1 << 20);
    for (arguments, expected) in [
        (&["PING"][..], "PONG\n"),
        (&["SET", "a key", "a value"], "OK\n"),
        (&["GET", "a key"], "a value\n"),
        (&["EXISTS", "a key", "b"], "1\n"),
        (&["DEL", "a key"], "1\n"),
        (&["DBSIZE"], "0\n"),
        (&["CONFIG", "GET", "appendonly"], "appendonly\nno\n"),
        (
            &["SET", "a", "b", "EX", "1"],
            "ERR syntax error: SET takes no options here\n\n",
        ),
    ] {
        let Some(output) = run("redis-cli", &server, arguments) else {
            return;
        };
        assert_eq!(String::from_utf8_lossy(&output.stdout), expected);
        assert_eq!(String::from_utf8_lossy(&output.stderr), "");
    }
}

#[test]
fn redis_benchmark_runs_without_warnings() {
    let server = Running::start(16 << 20);
    let arguments = [
        "-t",
        "ping,set,get",
        "-n",
        "20000",
        "-P",
        "16",
        "-r",
        "1000",
        "--csv",
    ];
    let Some(output) = run("redis-benchmark", &server, &arguments) else {
        return;
    };
    let text = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success(), "{text}");
    for test in ["\"PING_INLINE\"", "\"PING_MBULK\"", "\"SET\"", "\"GET\""] {
        assert!(text.contains(test), "{text}");
    }
    let all = format!("{text}{}", String::from_utf8_lossy(&output.stderr));
    assert!(!all.contains("WARN") && !all.contains("rror"), "{all}");
}
