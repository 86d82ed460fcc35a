//! Whole updates on the fake kernel: what is kept, what is refused, what is reported.

mod barrier;
mod crashes;
mod ended;
mod late;
mod limits;
mod participants;
mod room;
mod service_manager;

use std::os::fd::OwnedFd;
use std::os::unix::net::UnixListener;
use std::sync::Arc;
use std::thread;
use std::time::Duration;

use kexec_sys::SealedImage;
use live_varlink::Peer;
use luod_api::manager::{Finish as FinishFor, Progress};
use luod_api::service::{Answer, Finish, Keep, Named, Veto};
use luod_api::{Code, Refusal};
use rustix::fs::{MemfdFlags, memfd_create};
use update::{Event, ItemState, Phase};

use crate::fake::FakeHost;
use crate::history::History;
use crate::host::LoadRequest;
use crate::mailbox::Mailbox;
use crate::programs::Programs;
use crate::state::{OwnSession, Subscription};
use crate::{Engine, Keeper};

const SOON: Duration = Duration::from_millis(50);
const LONG: Duration = Duration::from_secs(20);

/// One boot of the host: its kernel, its runtime folder, its luod.
struct Boot {
    host: FakeHost,
    runtime: tempfile::TempDir,
    engine: Arc<Engine>,
}

impl Boot {
    fn cold() -> Self {
        Self::of(FakeHost::default())
    }

    fn of(host: FakeHost) -> Self {
        let runtime = tempfile::tempdir().unwrap();
        let engine = start(&host, &runtime);
        Self {
            host,
            runtime,
            engine,
        }
    }

    /// luod dies and is started again; the holder lives on.
    fn restart_luod(&mut self) {
        self.engine = start(&self.host, &self.runtime);
    }

    fn attach(&self, connection: u64, service: &str) -> Peer {
        let peer = Peer {
            connection,
            pid: 1000,
            uid: 0,
        };
        self.engine.attach(&peer, service).unwrap();
        peer
    }

    fn keep(&self, peer: &Peer, service: &str, item: &str) {
        keep(&self.engine, peer, service, item).unwrap();
    }

    fn prepare(&self) -> Result<(), Refusal> {
        self.engine
            .prepare(&load_request("liveupdate=on"), SOON, &mut ignore)
    }

    /// PREPARE, FREEZE, the jump, and luod in the next kernel.
    fn jump(&self, on_the_way: impl FnOnce(&FakeHost)) -> Self {
        self.prepare().unwrap();
        self.engine.execute(SOON, &mut ignore).unwrap_err();
        on_the_way(&self.host);
        Self::of(self.host.next_boot())
    }
}

fn start(host: &FakeHost, runtime: &tempfile::TempDir) -> Arc<Engine> {
    let launch = |socket: &std::path::Path| {
        let listener = UnixListener::bind(socket)?;
        thread::spawn(move || crate::holder::serve(&listener));
        Ok(())
    };
    let keeper = Keeper::open(runtime.path(), Box::new(launch)).unwrap();
    let history = History::in_folder(runtime.path().join("state"));
    let programs = Programs::in_folder(runtime.path().join("programs"));
    let host = Box::new(host.clone());
    let limits = limits::of_one_user();
    Arc::new(Engine::start(host, keeper, history, programs, limits).unwrap())
}

fn ignore(_progress: Progress) {}

fn load_request(cmdline: &str) -> LoadRequest {
    let kernel = SealedImage::copy("kernel", &b"kernel"[..]).unwrap();
    LoadRequest {
        kernel,
        initrd: None,
        cmdline: std::ffi::CString::new(cmdline).unwrap(),
        force: Vec::new(),
        update_id: None,
    }
}

fn memfd(text: &str) -> OwnedFd {
    let fd = memfd_create(text, MemfdFlags::CLOEXEC).unwrap();
    rustix::io::write(&fd, text.as_bytes()).unwrap();
    fd
}

fn keep(engine: &Engine, peer: &Peer, service: &str, item: &str) -> Result<(), Refusal> {
    let (service, item) = (service.to_owned(), item.to_owned());
    let text = format!("content of {item}");
    let request = Keep {
        service,
        item,
        schema: 1,
        required: true,
    };
    engine.keep_item(peer, &request, vec![memfd(&text)])
}

fn named(service: &str, item: &str) -> Named {
    Named {
        service: service.to_owned(),
        item: item.to_owned(),
    }
}

fn finish(service: &str, discard: &[&str]) -> Finish {
    let discard = discard.iter().map(|&item| item.to_owned()).collect();
    Finish {
        service: service.to_owned(),
        discard,
    }
}

fn content(fd: &OwnedFd) -> String {
    let mut bytes = [0; 64];
    let len = rustix::io::pread(fd, &mut bytes, 0).unwrap();
    String::from_utf8(bytes[..len].to_vec()).unwrap()
}

fn subscribe(boot: &Boot, peer: &Peer, service: &str) {
    let mailbox = Arc::new(Mailbox::default());
    let subscription = Subscription {
        connection: peer.connection,
        listener: mailbox,
        own_session: OwnSession::None,
    };
    boot.engine
        .set_subscription(peer, service, subscription)
        .unwrap();
}

fn update_id(boot: &Boot) -> String {
    boot.engine.status().update_id.unwrap_or_default()
}

#[test]
fn a_jump_brings_every_item_back_to_its_owner() {
    let before = Boot::cold();
    let peer = before.attach(1, "cache");
    before.keep(&peer, "cache", "arena");
    before.keep(&peer, "cache", "log");
    let after = before.jump(|_| {});
    assert_eq!(after.engine.status().phase, Phase::Updated);
    let peer = after.attach(1, "cache");
    let session = after.engine.get_session(&peer, "cache").unwrap();
    use std::os::fd::AsFd as _;
    let host: &dyn crate::Host = &after.host;
    assert_eq!(
        content(&host.retrieve(session.as_fd(), 2).unwrap()),
        "content of log"
    );

    // Not everything is kept again: finishing would lose it, and says so.
    after.keep(&peer, "cache", "arena");
    let refusal = after
        .engine
        .finish_service(&peer, &finish("cache", &[]))
        .unwrap_err();
    assert_eq!(refusal.code, Code::NotRetrieved);
    assert!(
        refusal.message.contains("log") && !refusal.message.contains("arena"),
        "{refusal}"
    );

    after.keep(&peer, "cache", "log");
    after
        .engine
        .finish_service(&peer, &finish("cache", &[]))
        .unwrap();
    assert_eq!(after.engine.status().phase, Phase::Normal);
    assert_eq!(after.host.kernel().finished, ["luod", "luod:cache"]);
    let report = after.engine.report().unwrap();
    assert!(
        report.lost.is_empty() && report.to_release.is_some(),
        "{report:?}"
    );
}

#[test]
fn a_session_that_does_not_come_over_is_named_as_lost() {
    let before = Boot::cold();
    let peer = before.attach(1, "cache");
    before.keep(&peer, "cache", "arena");
    let other = before.attach(2, "other");
    before.keep(&other, "other", "state");
    let after = before.jump(|host| host.lose("luod:cache"));
    let report = after.engine.report().unwrap();
    assert!(report.has_required_loss());
    assert_eq!(
        (&*report.lost[0].service, &*report.lost[0].item),
        ("cache", "arena")
    );
    assert_eq!(report.lost.len(), 1, "{report:?}");
    // The owner is told as well, and never given something new in its place.
    let peer = after.attach(1, "cache");
    let refusal = after
        .engine
        .get_item(&peer, &named("cache", "arena"))
        .unwrap_err();
    assert!(refusal.message.contains("was lost"), "{refusal}");
}

#[test]
fn a_damaged_journal_is_reported_and_never_overwritten_by_a_second_jump() {
    let before = Boot::cold();
    let peer = before.attach(1, "cache");
    before.keep(&peer, "cache", "arena");
    let mut after =
        before.jump(|host| host.replace("luod", 0, memfd("no journal at all, but long")));
    let refusal = after.prepare().unwrap_err();
    assert_eq!(refusal.code, Code::HandoverUnreadable);
    assert!(refusal.message.contains("starts with"), "{refusal}");
    let device = after.engine.status().device;
    assert!(device.reason.contains("starts with"), "{device:?}");
    // A service is not told that there was nothing, not even by a luod that was started again.
    after.restart_luod();
    let peer = Peer {
        connection: 1,
        pid: 1000,
        uid: 0,
    };
    let refusal = after.engine.attach(&peer, "cache").unwrap_err();
    assert_eq!(refusal.code, Code::HandoverUnreadable);
    // Until the operator gives it up.
    let give_up = FinishFor {
        service: None,
        discard: true,
    };
    after.engine.finish_for(&give_up).unwrap();
    after.engine.attach(&peer, "cache").unwrap();
    after.prepare().unwrap();
}

#[test]
fn an_item_that_cannot_be_preserved_cancels_and_is_named() {
    let boot = Boot::cold();
    let peer = boot.attach(1, "cache");
    boot.keep(&peer, "cache", "arena");
    boot.keep(&peer, "cache", "odd");
    boot.host.kernel().unpreservable = Some(2);
    let refusal = boot.prepare().unwrap_err();
    assert_eq!(refusal.code, Code::NotPreservable);
    assert!(
        refusal.message.contains("\"odd\" of \"cache\""),
        "{refusal}"
    );
    assert_eq!(boot.engine.status().phase, Phase::Normal);
    assert!(
        !boot.host.kernel().is_loaded,
        "the next kernel stayed loaded"
    );
    // Nothing is lost, and the way is free again.
    let fd = boot
        .engine
        .get_item(&peer, &named("cache", "arena"))
        .unwrap();
    assert_eq!(content(&fd), "content of arena");
    boot.host.kernel().unpreservable = None;
    boot.prepare().unwrap();
}

#[test]
fn nothing_changes_between_prepare_and_the_jump() {
    let boot = Boot::cold();
    let peer = boot.attach(1, "cache");
    boot.keep(&peer, "cache", "arena");
    boot.prepare().unwrap();
    for refusal in [
        keep(&boot.engine, &peer, "cache", "late").unwrap_err(),
        boot.engine
            .forget_item(&peer, &named("cache", "arena"))
            .unwrap_err(),
        boot.engine
            .attach(
                &Peer {
                    connection: 9,
                    pid: 9,
                    uid: 0,
                },
                "new",
            )
            .unwrap_err(),
        boot.prepare().unwrap_err(),
    ] {
        assert_eq!(refusal.code, Code::WrongPhase, "{refusal}");
    }
    boot.engine.cancel("enough").unwrap();
    boot.keep(&peer, "cache", "late");
    let report = boot.engine.report().unwrap();
    assert_eq!(report.cancelled.as_deref(), Some("enough"));
}

#[test]
fn an_unfinished_update_refuses_the_next_until_it_is_given_up_by_name() {
    let before = Boot::cold();
    let peer = before.attach(1, "cache");
    before.keep(&peer, "cache", "arena");
    let after = before.jump(|_| {});
    let refusal = after.prepare().unwrap_err();
    assert_eq!(refusal.code, Code::Unfinished);
    assert!(refusal.message.contains("cache"), "{refusal}");
    let give_up = |discard| FinishFor {
        service: None,
        discard,
    };
    assert_eq!(
        after.engine.finish_for(&give_up(false)).unwrap_err().code,
        Code::NotRetrieved
    );
    after.engine.finish_for(&give_up(true)).unwrap();
    let report = after.engine.report().unwrap();
    assert_eq!(report.lost[0].item, "arena");
    assert!(
        !report.has_required_loss(),
        "discarded as asked is no alarm"
    );
    after.prepare().unwrap();
}

#[test]
fn a_command_line_that_would_lose_everything_is_refused_before_anything_is_touched() {
    let boot = Boot::cold();
    for cmdline in [
        "quiet",
        "liveupdate=on liveupdate=off",
        "liveupdate=on kho=off",
    ] {
        let answer = boot
            .engine
            .prepare(&load_request(cmdline), SOON, &mut ignore);
        assert_eq!(answer.unwrap_err().code, Code::ImageRefused, "{cmdline}");
    }
    assert!(!boot.host.kernel().is_loaded && boot.engine.report().is_none());
}

#[test]
fn luod_may_die_in_any_phase() {
    // In NORMAL.
    let mut boot = Boot::cold();
    let peer = boot.attach(1, "cache");
    boot.keep(&peer, "cache", "arena");
    boot.restart_luod();
    let peer = boot.attach(1, "cache");
    boot.engine
        .get_item(&peer, &named("cache", "arena"))
        .unwrap();
    // In PREPARED: cancelled, and said so.
    boot.prepare().unwrap();
    boot.restart_luod();
    assert_eq!(boot.engine.status().phase, Phase::Normal);
    let report = boot.engine.report().unwrap();
    assert_eq!(
        report.cancelled.as_deref(),
        Some("luod ended during the update")
    );
    let peer = boot.attach(1, "cache");
    boot.engine
        .get_item(&peer, &named("cache", "arena"))
        .unwrap();
    // In UPDATED: the session is still there for its owner.
    let mut after = boot.jump(|_| {});
    after.restart_luod();
    assert_eq!(after.engine.status().phase, Phase::Updated);
    let peer = after.attach(1, "cache");
    after.engine.get_session(&peer, "cache").unwrap();
    let sessions = after.engine.sessions();
    assert_eq!(
        sessions.services[0].record.items[0].state,
        ItemState::Incoming
    );
}

#[test]
fn when_nobody_held_it_any_more_it_is_lost_by_name_and_not_in_silence() {
    let mut boot = Boot::cold();
    let peer = boot.attach(1, "cache");
    boot.keep(&peer, "cache", "arena");
    // Another holder in the same folder: the old one, and everything in it, is gone.
    std::fs::remove_file(boot.runtime.path().join("holder.sock")).unwrap();
    boot.restart_luod();
    let peer = boot.attach(1, "cache");
    let refusal = boot
        .engine
        .get_item(&peer, &named("cache", "arena"))
        .unwrap_err();
    assert!(refusal.message.contains("holder both ended"), "{refusal}");
    // Only its owner says that a new one may take its place.
    boot.engine
        .forget_item(&peer, &named("cache", "arena"))
        .unwrap();
    boot.keep(&peer, "cache", "arena");
}

#[test]
fn what_was_lost_once_does_not_come_back_by_a_second_jump() {
    let before = Boot::cold();
    let peer = before.attach(1, "cache");
    before.keep(&peer, "cache", "arena");
    let between = before.jump(|host| host.lose("luod:cache"));
    let peer = between.attach(1, "cache");
    between.keep(&peer, "cache", "new");
    let after = between.jump(|_| {});
    let items = &after.engine.sessions().services[0].record.items;
    assert!(
        matches!(items[0].state, ItemState::Lost { .. }),
        "{items:?}"
    );
    assert_eq!(items[1].state, ItemState::Incoming);
}

#[test]
fn a_name_without_anything_is_free_when_its_program_ends() {
    let boot = Boot::cold();
    let peer = boot.attach(1, "nobody");
    boot.engine.detach(&peer);
    assert_eq!(boot.engine.status().services, 0);
    let peer = boot.attach(1, "somebody");
    boot.keep(&peer, "somebody", "arena");
    boot.engine.detach(&peer);
    assert_eq!(boot.engine.status().services, 1);
}

#[test]
fn a_name_belongs_to_its_user_and_to_one_living_program() {
    let boot = Boot::cold();
    let owner = Peer {
        connection: 1,
        pid: 10,
        uid: 500,
    };
    boot.engine.attach(&owner, "cache").unwrap();
    boot.keep(&owner, "cache", "arena");
    let other_program = Peer {
        connection: 2,
        pid: 11,
        uid: 500,
    };
    let refusal = boot.engine.attach(&other_program, "cache").unwrap_err();
    assert_eq!(refusal.code, Code::NameTaken);
    assert!(refusal.message.contains("process 10"), "{refusal}");
    boot.engine.detach(&owner);
    let other_user = Peer {
        connection: 3,
        pid: 12,
        uid: 501,
    };
    let refusal = boot.engine.attach(&other_user, "cache").unwrap_err();
    assert_eq!(refusal.code, Code::NameTaken);
    assert!(refusal.message.contains("user 500"), "{refusal}");
    // Without attaching nobody gets anything.
    let refusal = boot
        .engine
        .get_item(&other_user, &named("cache", "arena"))
        .unwrap_err();
    assert_eq!(refusal.code, Code::PermissionDenied);
}
