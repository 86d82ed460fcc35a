//! The real `luod`, its holder and a client, as processes of this host. No kernel with live update
//! is needed: this is about what survives the death of processes.
#![expect(
    clippy::unwrap_used,
    reason = "a test; clippy sees through #[cfg(test)] only"
)]

mod c_client;
mod fd_store;
mod luo_agent;
mod supervised;

use std::fs::File;
use std::io::Write as _;
use std::os::fd::AsFd as _;
use std::os::unix::fs::FileExt as _;
use std::os::unix::net::UnixStream;
use std::os::unix::process::ExitStatusExt as _;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::rc::Rc;
use std::time::{Duration, Instant};

use live_varlink::Client;
use liveupdate::{Code, Error, Item, MemfdSpec, Origin, Seals, Store};
use rustix::process::{Pid, Signal, kill_process};
use serde_json::{Value, json};

const PATIENCE: Duration = Duration::from_secs(20);

/// A luod in a folder of its own.
struct Luod {
    dir: Rc<tempfile::TempDir>,
    child: Child,
}

impl Luod {
    fn start() -> Self {
        let dir = Rc::new(tempfile::tempdir().unwrap());
        let child = spawn(&dir);
        let luod = Self { dir, child };
        luod.wait();
        luod
    }

    fn socket(&self) -> PathBuf {
        self.dir.path().join("liveupdate.sock")
    }

    fn wait(&self) {
        let begin = Instant::now();
        while UnixStream::connect(self.socket()).is_err() {
            assert!(begin.elapsed() < PATIENCE, "luod does not listen");
            std::thread::sleep(Duration::from_millis(5));
        }
    }

    fn kill(&mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }

    fn restart(&mut self) {
        self.child = spawn(&self.dir);
        self.wait();
    }

    fn status(&self) -> Value {
        let mut client = Client::connect(&self.socket()).unwrap();
        client
            .call("io.liveupdate.Manager.Status", &json!({}), &[])
            .unwrap()
            .0
    }

    fn holder(&self) -> Pid {
        let pid = self.status()["holder_pid"].as_i64().unwrap();
        Pid::from_raw(i32::try_from(pid).unwrap()).unwrap()
    }

    /// Kills the holder and waits until luod has another.
    fn kill_holder(&self) {
        let old = self.holder();
        kill_process(old, Signal::KILL).unwrap();
        let begin = Instant::now();
        while self.holder() == old {
            assert!(begin.elapsed() < PATIENCE, "no new holder");
            std::thread::sleep(Duration::from_millis(5));
        }
    }

    fn store(&self, service: &str) -> Store {
        Store::connect_to(&self.socket(), service, PATIENCE).unwrap()
    }
}

impl Drop for Luod {
    fn drop(&mut self) {
        let holder = self
            .child
            .try_wait()
            .unwrap()
            .is_none()
            .then(|| self.holder());
        // Ended already where a test killed it.
        let _ended = self.child.kill();
        let _ended = self.child.wait();
        if let Some(holder) = holder {
            let _ended = kill_process(holder, Signal::KILL);
        }
    }
}

fn spawn(dir: &tempfile::TempDir) -> Child {
    spawn_with(dir, &[])
}

fn spawn_with(dir: &tempfile::TempDir, arguments: &[&str]) -> Child {
    Command::new(env!("CARGO_BIN_EXE_luod"))
        .arg("--runtime-dir")
        .arg(dir.path())
        .args(arguments)
        .stderr(Stdio::null())
        .spawn()
        .unwrap()
}

fn spec() -> MemfdSpec {
    MemfdSpec::new(4096).schema(3)
}

fn write(item: &Item, text: &[u8]) {
    let file = File::from(item.fd().try_clone_to_owned().unwrap());
    file.write_all_at(text, 0).unwrap();
}

fn read(item: &Item) -> Vec<u8> {
    let file = File::from(item.fd().try_clone_to_owned().unwrap());
    let mut bytes = vec![0; 5];
    file.read_exact_at(&mut bytes, 0).unwrap();
    bytes
}

/// Makes an item, writes to it, and ends its service.
fn leave_an_item(luod: &Luod) {
    let mut store = luod.store("cache");
    let item = store.memfd("arena", &spec()).unwrap();
    assert_eq!(item.origin(), Origin::New);
    write(&item, b"kept!");
}

#[track_caller]
fn assert_kept(luod: &Luod) {
    let item = luod.store("cache").memfd("arena", &spec()).unwrap();
    assert_eq!(
        (item.origin(), read(&item).as_slice()),
        (Origin::Kept, &b"kept!"[..])
    );
    assert!(Seals::of(item.fd()).unwrap().contains(Seals::FIXED_SIZE));
}

#[test]
fn memory_survives_the_service_luod_and_the_holder() {
    let mut luod = Luod::start();
    leave_an_item(&luod);
    assert_kept(&luod);
    luod.kill();
    luod.restart();
    assert_kept(&luod);
    // A new holder got everything, so luod may die again.
    luod.kill_holder();
    luod.kill();
    luod.restart();
    assert_kept(&luod);
}

#[test]
fn when_both_die_the_loss_is_named_to_the_owner() {
    let mut luod = Luod::start();
    leave_an_item(&luod);
    let holder = luod.holder();
    luod.kill();
    kill_process(holder, Signal::KILL).unwrap();
    luod.restart();
    let mut store = luod.store("cache");
    let error = store.memfd("arena", &spec()).unwrap_err();
    assert!(
        matches!(&error, Error::Lost { item, .. } if item == "arena"),
        "{error}"
    );
    // A new one only on the owner's word.
    store.forget("arena").unwrap();
    assert!(store.memfd("arena", &spec()).unwrap().is_new());
}

#[test]
fn a_program_that_does_not_understand_the_schema_gets_nothing() {
    let luod = Luod::start();
    leave_an_item(&luod);
    let error = luod
        .store("cache")
        .memfd("arena", &spec().schema(4))
        .unwrap_err();
    assert!(matches!(error, Error::Schema { kept: 3, .. }), "{error}");
    let error = luod
        .store("cache")
        .memfd("arena", &MemfdSpec::new(8192).schema(3))
        .unwrap_err();
    assert!(
        matches!(
            error,
            Error::Size {
                kept: 4096,
                wanted: 8192,
                ..
            }
        ),
        "{error}"
    );
    assert_kept(&luod);
}

#[test]
fn what_cannot_be_preserved_is_refused_when_it_is_given() {
    let luod = Luod::start();
    let mut store = luod.store("cache");
    let (pipe, _writer) = rustix::pipe::pipe().unwrap();
    let error = store.keep("pipe", &pipe, &spec()).unwrap_err();
    let Error::Refused(refusal) = error else {
        panic!("{error}")
    };
    assert_eq!(refusal.code, Code::NotPreservable);
    assert!(refusal.message.contains("a pipe"), "{refusal}");
}

#[test]
fn an_update_without_a_live_update_kernel_says_why() {
    if std::path::Path::new("/dev/liveupdate").exists() {
        eprintln!("not shown: this host can do live updates");
        return;
    }
    let luod = Luod::start();
    let mut client = Client::connect(&luod.socket()).unwrap();
    let kernel = tempfile::tempfile().unwrap();
    let prepare = json!({ "cmdline": "liveupdate=on", "has_initrd": false, "deadline_ms": 1 });
    let method = "io.liveupdate.Manager.Prepare";
    let answer = client.call::<Value>(method, &prepare, &[kernel.as_fd()]);
    let text = format!("{:?}", answer.unwrap_err());
    let is_root = rustix::process::geteuid().is_root();
    let expected = if is_root {
        "NoLiveUpdate"
    } else {
        "PermissionDenied"
    };
    assert!(text.contains(expected), "{text}");
}

#[test]
fn garbage_ends_a_connection_and_nothing_else() {
    let luod = Luod::start();
    leave_an_item(&luod);
    for garbage in [
        &b"\0"[..],
        b"{\"method\":7}\0",
        b"{\"method\":\"io.liveupdate.Service.Keep\",\"parameters\":[]}\0",
        b"{\"method\":\"io.liveupdate.Service.Attach\",\"parameters\":{\"service\":\"../etc\"}}\0",
        &[0xff; 70_000],
    ] {
        let mut stream = UnixStream::connect(luod.socket()).unwrap();
        // luod may hang up before it has read everything.
        let _hung_up = stream.write_all(garbage);
    }
    assert_kept(&luod);
}

#[test]
fn a_second_luod_in_the_same_folder_gives_up() {
    let luod = Luod::start();
    let output = Command::new(env!("CARGO_BIN_EXE_luod"))
        .arg("--runtime-dir")
        .arg(luod.dir.path())
        .output()
        .unwrap();
    assert!(!output.status.success());
    let text = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(text.contains("another luod listens on"), "{text}");
    assert_eq!(luod.status()["phase"], "normal");
}

#[test]
fn a_luod_takes_the_place_of_another_and_has_what_it_kept() {
    let mut luod = Luod::start();
    leave_an_item(&luod);
    let holder = luod.holder();
    // Ended by the second, and then killed: the third finds nobody to replace.
    for is_there in [true, false] {
        let next = spawn_with(&luod.dir, &["--replace"]);
        let mut first = std::mem::replace(&mut luod.child, next);
        let ended = first.wait().unwrap();
        let expected = if is_there { Signal::TERM } else { Signal::KILL };
        assert_eq!(ended.signal(), Some(expected.as_raw()));
        luod.wait();
        assert_eq!(luod.holder(), holder);
        assert_kept(&luod);
        if is_there {
            luod.kill();
        }
    }
}

#[test]
fn asked_for_twice_it_is_the_same_memory() {
    let luod = Luod::start();
    let mut store = luod.store("twice");
    let first = store.memfd("arena", &spec()).unwrap();
    write(&first, b"kept!");
    let second = store.memfd("arena", &spec()).unwrap();
    assert_eq!(second.origin(), Origin::Kept);
    assert_eq!(read(&second), b"kept!");
    drop((store, first, second));
    let again = luod.store("twice").memfd("arena", &spec()).unwrap();
    assert_eq!(read(&again), b"kept!");
}

#[test]
fn a_file_without_a_fixed_size_may_have_grown_when_its_service_comes_back() {
    let luod = Luod::start();
    let spec = MemfdSpec::new(4096).seals(Seals::NONE).any_size();
    let mut store = luod.store("log");
    let log = store.memfd("lines", &spec).unwrap();
    File::from(log.fd().try_clone_to_owned().unwrap())
        .set_len(10_000)
        .unwrap();
    drop((store, log));
    let mut store = luod.store("log");
    let log = store.memfd("lines", &spec).unwrap();
    assert_eq!((log.origin(), log.size_bytes()), (Origin::Kept, 10_000));
    assert_eq!(store.names(), ["lines"]);
    assert!(store.kept("others", &spec).unwrap().is_none());
}
