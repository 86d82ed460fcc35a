//! A program written for systemd's descriptor store, under `luod run`: this test program, started by it, plays the program.

use std::env;
use std::fs::File;
use std::io::{BufRead as _, BufReader};
use std::os::fd::AsFd as _;
use std::os::unix::fs::FileExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use rustix::fs::{MemfdFlags, memfd_create};
use sd_notify::NotifyState;

use super::Luod;

/// Set for the program that is played; what it does at its first start.
const PLAYED: &str = "PLAYED_SERVICE";
const LIMIT: usize = 3;

/// Not a test of its own: what the others start.
#[test]
fn played() {
    let Ok(conduct) = env::var(PLAYED) else {
        return;
    };
    let found = listen_sys::take().unwrap();
    let names: Vec<_> = found.iter().map(|(name, _)| name.as_str()).collect();
    say(&format!(
        "found {names:?} of {}",
        env::var("FDSTORE").unwrap()
    ));
    for (name, fd) in &found {
        let mut content = vec![0; name.len()];
        File::from(fd.try_clone().unwrap())
            .read_exact_at(&mut content, 0)
            .unwrap();
        assert_eq!(content, name.as_bytes());
    }
    if found.is_empty() {
        store_some(&conduct);
    }
    barrier();
    say("worked off");
    loop {
        std::thread::park();
    }
}

fn store_some(conduct: &str) {
    for name in ["a/b c", "gone", "100%", "gone"] {
        let file = File::from(memfd_create("m", MemfdFlags::CLOEXEC).unwrap());
        file.write_all_at(name.as_bytes(), 0).unwrap();
        for _twice in 0..2 {
            let state = [NotifyState::FdStore, NotifyState::FdName(name)];
            sd_notify::notify_with_fds(&state, &[file.as_fd()]).unwrap();
        }
    }
    if conduct == "removes" {
        sd_notify::notify(&[NotifyState::FdStoreRemove, NotifyState::FdName("gone")]).unwrap();
    }
    // No kernel preserves it: it is refused, and the others are as before.
    let (pipe, _writer) = rustix::pipe::pipe().unwrap();
    sd_notify::notify_with_fds(&[NotifyState::FdStore], &[pipe.as_fd()]).unwrap();
}

/// `sd_notify_barrier(3)`: the manager closes the other end.
fn barrier() {
    let (here, there) = rustix::pipe::pipe().unwrap();
    let state = [NotifyState::Custom("BARRIER=1")];
    sd_notify::notify_with_fds(&state, &[there.as_fd()]).unwrap();
    drop(there);
    assert_eq!(rustix::io::read(&here, &mut [0; 1]), Ok(0));
}

#[expect(
    clippy::print_stdout,
    reason = "what the played program says is read by the test"
)]
fn say(text: &str) {
    println!("played: {text}");
}

/// A folder on tmpfs of this luod's own.
fn folder(luod: &Luod) -> PathBuf {
    let name = luod.dir.path().file_name().unwrap();
    Path::new("/dev/shm").join(format!("luod-test-{}", name.display()))
}

/// `luod run` with the program; killed when dropped, the program with it.
struct Run {
    child: Child,
    lines: Box<dyn Iterator<Item = String>>,
}

impl Run {
    fn start(luod: &Luod, conduct: &str) -> Self {
        let mut child = Command::new(env!("CARGO_BIN_EXE_luod"))
            .args([
                "run",
                "--name",
                "stores",
                "--fd-store-max",
                &LIMIT.to_string(),
            ])
            .arg("--dir")
            .arg(folder(luod))
            .arg("--socket")
            .arg(luod.socket())
            .arg("--")
            .arg(env::current_exe().unwrap())
            .args(["--exact", "fd_store::played", "--nocapture"])
            .env(PLAYED, conduct)
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let lines = BufReader::new(child.stdout.take().unwrap()).lines();
        let lines = lines.map_while(Result::ok).filter_map(|line| {
            let (_, said) = line.split_once("played: ")?;
            Some(said.to_owned())
        });
        let lines = Box::new(lines);
        Self { child, lines }
    }

    fn next(&mut self) -> String {
        self.lines.next().unwrap()
    }
}

impl Drop for Run {
    fn drop(&mut self) {
        let pid = rustix::process::Pid::from_child(&self.child);
        // It is passed on to the program, whose end is its own.
        let _ended = rustix::process::kill_process(pid, rustix::process::Signal::TERM);
        let _ended = self.child.wait();
    }
}

#[test]
fn what_a_program_stored_is_passed_to_its_next_start() {
    let mut luod = Luod::start();
    let mut run = Run::start(&luod, "removes");
    assert_eq!(
        (run.next(), run.next()),
        ("found [] of 3".into(), "worked off".into())
    );
    drop(run);
    // Also when luod itself was killed in between.
    luod.kill();
    luod.restart();
    let mut run = Run::start(&luod, "removes");
    assert_eq!(run.next(), "found [\"a/b c\", \"100%\"] of 3");
    assert_eq!(run.next(), "worked off");
    drop(run);
    let _left = std::fs::remove_dir_all(folder(&luod));
}

#[test]
fn no_more_is_stored_than_the_limit_and_no_file_twice() {
    let luod = Luod::start();
    let mut run = Run::start(&luod, "keeps");
    assert_eq!(
        (run.next(), run.next()),
        ("found [] of 3".into(), "worked off".into())
    );
    drop(run);
    let mut run = Run::start(&luod, "keeps");
    assert_eq!(run.next(), "found [\"a/b c\", \"gone\", \"100%\"] of 3");
    drop(run);
    let _left = std::fs::remove_dir_all(folder(&luod));
}
