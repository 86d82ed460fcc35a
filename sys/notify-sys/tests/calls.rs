//! Programs whose calls are answered here.
#![expect(
    clippy::unwrap_used,
    reason = "a test; clippy sees through #[cfg(test)] only"
)]

use std::io::Write as _;
use std::os::fd::AsFd as _;
use std::process::{Child, Command};

use notify_sys::{
    ArgTest, FdTarget, Filter, Identity, Listener, Notification, Reply, Setup, spawn,
};
use rustix::io::Errno;
use rustix::process::{Resource, getrlimit};

#[cfg(target_arch = "x86_64")]
const OPENAT: u32 = 257;
#[cfg(target_arch = "aarch64")]
const OPENAT: u32 = 56;
#[cfg(target_arch = "x86_64")]
const IOCTL: u32 = 16;
#[cfg(target_arch = "aarch64")]
const IOCTL: u32 = 29;

fn start(script: &str, filter: &Filter) -> (Child, Listener) {
    start_as(Identity::Own, script, filter)
}

fn start_as(identity: Identity, script: &str, filter: &Filter) -> (Child, Listener) {
    let mut command = Command::new("/bin/sh");
    command.args(["-c", script]);
    let setup = Setup {
        descriptors: getrlimit(Resource::Nofile),
        identity,
    };
    spawn(&mut command, filter, setup).unwrap()
}

/// Answers every call until the program ends; its exit code.
fn serve(
    child: &mut Child,
    listener: &Listener,
    mut reply: impl FnMut(&Notification) -> Option<Reply>,
) -> i32 {
    loop {
        let mut fds = [rustix::event::PollFd::new(
            listener,
            rustix::event::PollFlags::IN,
        )];
        rustix::event::poll(&mut fds, None).unwrap();
        if fds[0].revents().contains(rustix::event::PollFlags::IN) {
            let Some(call) = listener.receive().unwrap() else {
                continue;
            };
            assert!(listener.is_waiting(call.id));
            if let Some(reply) = reply(&call) {
                listener.answer(call.id, reply).unwrap();
            }
            assert!(!listener.is_waiting(call.id));
        } else {
            // The last task under the filter is gone.
            return child.wait().unwrap().code().unwrap();
        }
    }
}

/// Whether a call opens this path.
fn opens(call: &Notification, path: &str) -> bool {
    let text = call.task.read_c_string(call.args[1], 4096).unwrap();
    text.as_deref() == Some(path.as_bytes())
}

#[test]
fn a_file_that_is_not_there_is_opened_by_descriptor() {
    let (mut content, writer) = {
        let (reader, writer) = std::io::pipe().unwrap();
        (writer, reader)
    };
    content.write_all(b"from the listener").unwrap();
    drop(content);
    let script = "read line < /nowhere/file; test \"$line\" = 'from the listener'";
    let (mut child, listener) = start(script, &Filter::new().notify(OPENAT));
    let code = serve(&mut child, &listener, |call| {
        if !opens(call, "/nowhere/file") {
            return Some(Reply::Continue);
        }
        listener
            .add_fd(call.id, writer.as_fd(), FdTarget::Answer)
            .unwrap();
        None
    });
    assert_eq!(code, 0);
}

#[test]
fn an_error_is_the_callers_errno_and_a_value_its_result() {
    let script = "test ! -e /etc || exec 3< /etc/passwd || exit 1";
    let (mut child, listener) = start(script, &Filter::new().notify(OPENAT));
    let code = serve(&mut child, &listener, |call| {
        let is_it = opens(call, "/etc/passwd");
        Some(if is_it {
            Reply::Error(Errno::NXIO)
        } else {
            Reply::Continue
        })
    });
    assert_eq!(code, 2, "the shell ends when a redirection of exec fails");
}

#[test]
fn only_the_command_the_filter_names_arrives() {
    // `test -t` asks the terminal with TCGETS.
    let tcgets = |value| ArgTest {
        index: 1,
        mask: u32::MAX,
        value,
    };
    for (value, expected) in [(0x5401, 0), (0x5402, 1)] {
        let filter = Filter::new().notify_if(IOCTL, &[tcgets(value)]);
        let (mut child, listener) = start("exec 0< /dev/null; test -t 0", &filter);
        let code = serve(&mut child, &listener, |call| {
            assert_eq!(call.args[0], 0);
            Some(Reply::Value(0))
        });
        assert_eq!(code, expected, "{value:#x}");
    }
}

#[test]
fn a_caller_that_is_killed_is_no_error() {
    let (mut child, listener) = start("read line < /nowhere", &Filter::new().notify(OPENAT));
    loop {
        let call = listener.receive().unwrap().unwrap();
        if !opens(&call, "/nowhere") {
            listener.answer(call.id, Reply::Continue).unwrap();
            continue;
        }
        child.kill().unwrap();
        child.wait().unwrap();
        assert!(!listener.is_waiting(call.id));
        let answer = listener.answer(call.id, Reply::Value(0));
        assert_eq!(answer, Err(Errno::NOENT));
        break;
    }
}

#[test]
fn root_of_a_namespace_is_answered_like_others() {
    // A host may forbid user namespaces.
    let allowed = Command::new("unshare").args(["-r", "true"]).status();
    if !allowed.is_ok_and(|status| status.success()) {
        return;
    }
    let script = "test $(id -u) = 0 && read line < /nowhere/file";
    let (mut child, listener) = start_as(Identity::Root, script, &Filter::new().notify(OPENAT));
    let mut was_seen = false;
    serve(&mut child, &listener, |call| {
        if !opens(call, "/nowhere/file") {
            return Some(Reply::Continue);
        }
        was_seen = true;
        assert!(call.task.duplicate_fd(1).is_ok());
        assert!(call.task.leader().is_some());
        Some(Reply::Error(Errno::NOENT))
    });
    assert!(was_seen);
}
