//! luod as a service of a systemd that this test plays: the store of descriptors takes the place of the holder.

use std::collections::BTreeSet;
use std::fs::File;
use std::io::{IoSliceMut, Read as _};
use std::mem::MaybeUninit;
use std::os::fd::{AsFd as _, AsRawFd as _, BorrowedFd, OwnedFd};
use std::os::unix::fs::FileExt as _;
use std::os::unix::net::UnixDatagram;
use std::process::{Child, Command, Stdio};
use std::rc::Rc;
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::Instant;

use live_varlink::Client;
use liveupdate::{Origin, Store};
use rustix::fs::{MemfdFlags, SeekFrom, memfd_create, seek, tell};
use rustix::io::FdFlags;
use rustix::net::{RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, recvmsg};
use serde_json::{Value, json};
use systemd_host::{FdStore, Kind};

use super::{PATIENCE, read, spec, write};

/// Start of the names of what another boot has stored.
const OTHER_BOOT: &str = "other-";

type Stored = Vec<(String, OwnedFd)>;

/// What systemd has of its service.
#[derive(Default)]
struct Unit {
    stored: Stored,
    said: Vec<String>,
}

/// A systemd with one service.
struct Systemd {
    dir: Rc<tempfile::TempDir>,
    unit: Arc<Mutex<Unit>>,
    luod: Child,
}

impl Systemd {
    fn start() -> Self {
        Self::start_in(Rc::new(tempfile::tempdir().unwrap()))
    }

    fn start_in(dir: Rc<tempfile::TempDir>) -> Self {
        let unit = Arc::<Mutex<Unit>>::default();
        let socket = UnixDatagram::bind(dir.path().join("notify")).unwrap();
        let heard = Arc::clone(&unit);
        thread::spawn(move || {
            loop {
                hear(&socket, &heard);
            }
        });
        let luod = spawn(&dir, &unit.lock().unwrap().stored);
        let systemd = Self { dir, unit, luod };
        systemd.until("READY=1", |unit| unit.said.contains(&"READY=1".to_owned()));
        systemd
    }

    /// `kill -9` and the start after it; each name in the store is changed before.
    fn restart(&mut self, rename: impl Fn(&str) -> String) {
        self.luod.kill().unwrap();
        self.luod.wait().unwrap();
        let mut unit = self.unit.lock().unwrap();
        unit.said.clear();
        for (name, _) in &mut unit.stored {
            *name = rename(name);
        }
        self.luod = spawn(&self.dir, &unit.stored);
        drop(unit);
        self.until("READY=1", |unit| unit.said.contains(&"READY=1".to_owned()));
    }

    fn until(&self, what: &str, is_so: impl Fn(&Unit) -> bool) {
        let begin = Instant::now();
        while !is_so(&self.unit.lock().unwrap()) {
            assert!(begin.elapsed() < PATIENCE, "waited in vain: {what}");
            thread::sleep(std::time::Duration::from_millis(5));
        }
    }

    fn store(&self, service: &str) -> Store {
        let socket = self.dir.path().join("liveupdate.sock");
        Store::connect_to(&socket, service, PATIENCE).unwrap()
    }
}

impl Drop for Systemd {
    fn drop(&mut self) {
        let _ended = self.luod.kill();
        let _ended = self.luod.wait();
    }
}

/// Starts luod with the stored descriptors from 3 on, as systemd does.
fn spawn(dir: &tempfile::TempDir, stored: &Stored) -> Child {
    let names: Vec<_> = stored.iter().map(|(name, _)| name.as_str()).collect();
    let mut script =
        "LISTEN_PID=$$ exec \"$0\" --replace --runtime-dir \"$1\" --state-dir \"$1\"/state"
            .to_owned();
    for (at, (_, fd)) in stored.iter().enumerate() {
        // Above 9 and closed after it: the shell's own syntax takes one digit only.
        rustix::io::fcntl_setfd(fd, FdFlags::empty()).unwrap();
        script += &format!(" {}<&{}", at + 3, fd.as_raw_fd());
    }
    let child = Command::new("/bin/bash")
        .args(["-c", &script, env!("CARGO_BIN_EXE_luod")])
        .arg(dir.path())
        .env("NOTIFY_SOCKET", dir.path().join("notify"))
        .env("FDSTORE", "100")
        .env("WATCHDOG_USEC", "200000")
        .env("LISTEN_FDS", stored.len().to_string())
        .env("LISTEN_FDNAMES", names.join(":"))
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    for (_, fd) in stored {
        rustix::io::fcntl_setfd(fd, FdFlags::CLOEXEC).unwrap();
    }
    child
}

/// Takes one message of `sd_notify(3)`.
fn hear(socket: &UnixDatagram, unit: &Mutex<Unit>) {
    let mut text = [0; 4096];
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(8))];
    let mut ancillary = RecvAncillaryBuffer::new(&mut space);
    let mut buffers = [IoSliceMut::new(&mut text)];
    let flags = RecvFlags::CMSG_CLOEXEC;
    let received = recvmsg(socket.as_fd(), &mut buffers, &mut ancillary, flags).unwrap();
    let mut fds = Vec::new();
    for message in ancillary.drain() {
        if let RecvAncillaryMessage::ScmRights(passed) = message {
            fds.extend(passed);
        }
    }
    let text = String::from_utf8(text[..received.bytes].to_vec()).unwrap();
    let lines: Vec<_> = text.lines().map(ToOwned::to_owned).collect();
    let name = lines.iter().find_map(|line| line.strip_prefix("FDNAME="));
    let has = |word: &str| lines.iter().any(|line| line == word);
    let mut unit = unit.lock().unwrap();
    if has("FDSTORE=1") {
        assert!(has("FDPOLL=0"), "{text}");
        let (name, fd) = (name.unwrap().to_owned(), fds.pop().unwrap());
        if !unit
            .stored
            .iter()
            .any(|(_, stored)| is_one_open_file(stored, &fd))
        {
            unit.stored.push((name, fd));
        }
    } else if has("FDSTOREREMOVE=1") {
        unit.stored
            .retain(|(stored, _)| Some(stored.as_str()) != name);
    }
    unit.said.extend(lines);
}

/// Whether a name in the store is that of the journal.
fn is_journal(name: &str) -> bool {
    name.ends_with(&FdStore::key(Kind::File, "journal"))
}

/// Whether two descriptors share their position: systemd ignores the second one.
fn is_one_open_file(one: &OwnedFd, other: &OwnedFd) -> bool {
    let position = tell(one).unwrap();
    seek(one, SeekFrom::Start(position + 1)).unwrap();
    let is_one = tell(other) == Ok(position + 1);
    seek(one, SeekFrom::Start(position)).unwrap();
    // The other may have been there by chance.
    is_one && tell(other) == Ok(position)
}

/// A luod whose service has left an item.
fn with_an_item() -> Systemd {
    let systemd = Systemd::start();
    let mut store = systemd.store("cache");
    let item = store.memfd("a b:c", &spec()).unwrap();
    write(&item, b"kept!");
    drop(store);
    // systemd takes messages in its own time, also those of a luod that has ended; here the test has to wait.
    systemd.until("the item", |unit| {
        unit.stored.iter().any(|(name, _)| !is_journal(name))
    });
    systemd
}

fn check_item(systemd: &Systemd) {
    let mut store = systemd.store("cache");
    let item = store.memfd("a b:c", &spec()).unwrap();
    assert_eq!(item.origin(), Origin::Kept);
    assert_eq!(read(&item), b"kept!");
}

#[test]
fn what_systemd_stores_is_there_after_luod_was_killed() {
    let mut systemd = with_an_item();
    // The item and the journal, of which the last two may be there for a moment.
    systemd.until("two descriptors", |unit| unit.stored.len() == 2);
    systemd.restart(ToOwned::to_owned);
    check_item(&systemd);
    let mut holder = String::new();
    let comm = format!("/proc/{0}/task/{0}/children", systemd.luod.id());
    if let Ok(mut children) = File::open(comm) {
        children.read_to_string(&mut holder).unwrap();
    }
    assert_eq!(holder, "", "a holder beside systemd's store");
}

/// A kexec that luod was not told of: systemd carries over what is in the store.
#[test]
fn what_systemd_carried_over_a_kexec_is_kept() {
    let mut systemd = with_an_item();
    systemd.restart(|name| format!("{OTHER_BOOT}{}", &name[OTHER_BOOT.len()..]));
    check_item(&systemd);
    // From here on it is stored as of this boot.
    systemd.until("the journal of this boot", |unit| {
        unit.stored
            .iter()
            .all(|(name, _)| !name.starts_with(OTHER_BOOT) || !is_journal(name))
    });
}

/// What did not come over is told as lost, and not taken for a first start.
#[test]
fn what_systemd_lost_is_told() {
    let mut systemd = with_an_item();
    let mut unit = systemd.unit.lock().unwrap();
    unit.stored.retain(|(name, _)| is_journal(name));
    drop(unit);
    systemd.restart(ToOwned::to_owned);
    let error = systemd.store("cache").memfd("a b:c", &spec()).unwrap_err();
    assert!(
        error.to_string().contains("systemd did not keep it"),
        "{error}"
    );
}

/// One open file, kept twice under one name and once under another.
#[test]
fn the_same_file_under_two_names_is_stored_twice() {
    let mut systemd = with_an_item();
    let socket = systemd.dir.path().join("liveupdate.sock");
    let mut client = Client::connect(&socket).unwrap();
    let mut call = |method: &str, parameters, fds: &[BorrowedFd<'_>]| {
        let method = format!("io.liveupdate.Service.{method}");
        client.call::<Value>(&method, &parameters, fds).unwrap()
    };
    call("Attach", json!({ "service": "twice" }), &[]);
    let file = memfd_create("twice", MemfdFlags::CLOEXEC).unwrap();
    rustix::io::write(&file, b"kept!").unwrap();
    for item in ["x", "x", "y"] {
        let keep = json!({ "service": "twice", "item": item, "schema": 3, "required": true });
        call("Keep", keep, &[file.as_fd()]);
    }
    // For a moment the item that is replaced is there twice: keys are counted, which stand behind boot and generation.
    let key = |name: &str| name.get(OTHER_BOOT.len() + 1..).map(ToOwned::to_owned);
    systemd.until("three items", |unit| {
        let items = unit.stored.iter().filter(|(name, _)| !is_journal(name));
        let keys: BTreeSet<_> = items.map(|(name, _)| key(name)).collect();
        keys.len() == 3
    });
    systemd.restart(ToOwned::to_owned);
    let mut client = Client::connect(&socket).unwrap();
    let attached: (Value, _) = client
        .call(
            "io.liveupdate.Service.Attach",
            &json!({ "service": "twice" }),
            &[],
        )
        .unwrap();
    let items = attached.0["items"].as_array().unwrap();
    assert_eq!(items.len(), 2);
    assert!(
        items.iter().all(|item| item["state"] == "held"),
        "{items:#?}"
    );
}

#[test]
fn forgotten_items_leave_the_store_and_luod_tells_that_it_lives() {
    let systemd = with_an_item();
    let mut store = systemd.store("cache");
    store.forget("a b:c").unwrap();
    systemd.until("an empty store", |unit| {
        unit.stored.iter().all(|(name, _)| is_journal(name))
    });
    let count = |unit: &Unit| {
        unit.said
            .iter()
            .filter(|line| *line == "WATCHDOG=1")
            .count()
    };
    systemd.until("signs of life", |unit| count(unit) > 2);
    // The one journal that is there is the last.
    systemd.until("one journal", |unit| unit.stored.len() == 1);
    let unit = systemd.unit.lock().unwrap();
    let journal = File::from(unit.stored[0].1.try_clone().unwrap());
    let mut magic = [0; 8];
    journal.read_exact_at(&mut magic, 0).unwrap();
    assert_eq!(&magic, b"LUODJRNL");
}

/// One of an initramfs has a holder; what it has goes to the store of the one that systemd starts.
#[test]
fn what_an_earlier_luod_kept_goes_to_the_store_and_its_holder_ends() {
    let mut early = super::Luod::start();
    super::leave_an_item(&early);
    let holder = early.holder();
    let mut systemd = Systemd::start_in(Rc::clone(&early.dir));
    assert!(!early.child.wait().unwrap().success());
    systemd.until("the journal and the item", |unit| unit.stored.len() == 2);
    let begin = Instant::now();
    while rustix::process::test_kill_process(holder).is_ok() {
        assert!(begin.elapsed() < PATIENCE, "the holder stays");
        thread::sleep(std::time::Duration::from_millis(5));
    }
    systemd.restart(ToOwned::to_owned);
    let item = systemd.store("cache").memfd("arena", &spec()).unwrap();
    assert_eq!(
        (item.origin(), read(&item).as_slice()),
        (Origin::Kept, &b"kept!"[..])
    );
}
