//! Cases of one kernel, without a jump.

use std::fs::{self, File};
use std::io::Write as _;
use std::os::fd::{AsFd, AsRawFd as _, BorrowedFd, OwnedFd};
use std::os::unix::fs::{FileTypeExt as _, MetadataExt as _, symlink};

use anyhow::Context as _;
use liveupdate_uapi::mainline as uapi;
use luo_sys::probe;
use rustix::fs::{
    Access, CWD, FileType, MemfdFlags, Mode, OFlags, ResolveFlags, SealFlags, Stat, openat, openat2,
};
use rustix::io::Errno;
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

use crate::args::{
    create, finish, name_of, named, preserve, preserve_number, raw, raw_fd, retrieve,
    retrieve_session, unwritable, with_token,
};
use crate::report::{case, line};

const DEVICE: &str = "/dev/liveupdate";

pub(crate) fn open(path: &str, flags: OFlags) -> Result<OwnedFd, Errno> {
    openat(
        CWD,
        path,
        flags | OFlags::CLOEXEC,
        Mode::from_raw_mode(0o600),
    )
}

pub(crate) fn memfd(content: &[u8]) -> anyhow::Result<File> {
    let flags = MemfdFlags::CLOEXEC | MemfdFlags::ALLOW_SEALING;
    let mut file = File::from(rustix::fs::memfd_create("case", flags)?);
    file.write_all(content)?;
    Ok(file)
}

pub(crate) fn run() -> anyhow::Result<()> {
    paths()?;
    let device = case("open read-only", open(DEVICE, OFlags::RDONLY)).context("no device")?;
    exclusive(&device);
    dispatch(&device);
    names(&device);
    session_descriptor(&device)?;
    preserving(&device)?;
    frozen(&device)?;
    limits(&device);
    drop(device);
    case("open again after close", open(DEVICE, OFlags::RDWR));
    reboot()
}

/// The ways to name the device.
fn paths() -> anyhow::Result<()> {
    let stat = fs::metadata(DEVICE)?;
    line("is a character device", stat.file_type().is_char_device());
    line("mode", format_args!("{:o}", stat.mode() & 0o7777));
    line("owner", stat.uid());
    line("exists", fs::exists(DEVICE)?);
    let folder = std::env::temp_dir().join(format!("luo-cases-{}", std::process::id()));
    fs::create_dir(&folder)?;
    let link = folder.join("link");
    symlink(DEVICE, &link)?;
    let link = link.to_string_lossy().into_owned();
    let dev = File::open("/dev")?;
    case("open in a folder", {
        openat(
            &dev,
            "liveupdate",
            OFlags::RDWR | OFlags::CLOEXEC,
            Mode::empty(),
        )
    });
    case("open through a link", open(&link, OFlags::RDWR));
    let no_follow = open(&link, OFlags::RDWR | OFlags::NOFOLLOW);
    case("open a link itself", no_follow);
    case(
        "open through proc",
        open("/proc/self/root/dev/liveupdate", OFlags::RDWR),
    );
    case(
        "open with dots",
        open("/dev/../dev/./liveupdate", OFlags::RDWR),
    );
    case(
        "open with a slash behind",
        open("/dev/liveupdate/", OFlags::RDWR),
    );
    case(
        "open as a folder",
        open(DEVICE, OFlags::RDONLY | OFlags::DIRECTORY),
    );
    case("create", open(DEVICE, OFlags::RDWR | OFlags::CREATE));
    let exclusive = OFlags::RDWR | OFlags::CREATE | OFlags::EXCL;
    case("create anew", open(DEVICE, exclusive));
    resolving(&dev, &link)?;
    looking(&link)?;
    fs::remove_dir_all(folder)?;
    Ok(())
}

/// `openat2()`.
fn resolving(dev: &File, link: &str) -> anyhow::Result<()> {
    let root = File::open("/")?;
    let open = |dir: BorrowedFd<'_>, path: &str, resolve| {
        let flags = OFlags::RDWR | OFlags::CLOEXEC;
        openat2(dir, path, flags, Mode::empty(), resolve)
    };
    let (dev, root) = (dev.as_fd(), root.as_fd());
    case(
        "open beneath a folder",
        open(dev, "liveupdate", ResolveFlags::BENEATH),
    );
    case(
        "open beneath, from the root",
        open(dev, DEVICE, ResolveFlags::BENEATH),
    );
    case(
        "open beneath, and out",
        open(dev, "../dev/liveupdate", ResolveFlags::BENEATH),
    );
    case("open in a root", open(root, DEVICE, ResolveFlags::IN_ROOT));
    case(
        "open in a root, and out",
        open(dev, "../../liveupdate", ResolveFlags::IN_ROOT),
    );
    case(
        "open without links",
        open(root, link, ResolveFlags::NO_SYMLINKS),
    );
    let magic = "/proc/self/root/dev/liveupdate";
    case(
        "open without magic links",
        open(root, magic, ResolveFlags::NO_MAGICLINKS),
    );
    Ok(())
}

/// Without opening it.
fn looking(link: &str) -> anyhow::Result<()> {
    let read_write = Access::READ_OK | Access::WRITE_OK;
    case("access", rustix::fs::access(DEVICE, read_write));
    case(
        "access through a link",
        rustix::fs::access(link, read_write),
    );
    case("execute", rustix::fs::access(DEVICE, Access::EXEC_OK));
    case("read as a link", rustix::fs::readlink(DEVICE, Vec::new()));
    let is_device = |stat: &Stat| FileType::from_raw_mode(stat.st_mode).is_char_device();
    line("device through a link", is_device(&rustix::fs::stat(link)?));
    line(
        "device, the link itself",
        is_device(&rustix::fs::lstat(link)?),
    );
    let device = open(DEVICE, OFlags::RDWR)?;
    line(
        "device by descriptor",
        is_device(&rustix::fs::fstat(&device)?),
    );
    let number = rustix::fs::fstat(&device)?.st_rdev;
    line(
        "the same number",
        number == rustix::fs::stat(DEVICE)?.st_rdev,
    );
    let link = fs::read_link(format!("/proc/self/fd/{}", device.as_raw_fd()))?;
    line("link of the descriptor", link.display());
    Ok(())
}

/// One open file at a time.
fn exclusive(device: &OwnedFd) {
    case("open twice", open(DEVICE, OFlags::RDWR));
    let again = format!("/proc/self/fd/{}", device.as_raw_fd());
    case("open the open device", open(&again, OFlags::RDWR));
    if let Some(path) = case("open the path only", open(DEVICE, OFlags::PATH)) {
        let answer = raw(&path, uapi::IOCTL_CREATE_SESSION, &named(72, b"x"));
        case("create with the path only", answer);
    }
    line("is a terminal", rustix::termios::isatty(device));
}

/// Numbers, sizes and addresses of commands.
fn dispatch(device: &OwnedFd) {
    case("unknown command", raw(device, 0xba02, &named(72, b"x")));
    case(
        "command of another type",
        raw(device, 0x8000_ba00, &named(72, b"x")),
    );
    case(
        "no argument",
        probe::ioctl(device, uapi::IOCTL_CREATE_SESSION, None),
    );
    let other = probe::ioctl(device, 0x8000_ba00, None);
    case("no argument and another type", other);
    let create = |size: u32, bytes: &[u8]| {
        let mut argument = named(size, b"sized");
        argument.resize(72.max(argument.len()), 0);
        argument.extend_from_slice(bytes);
        raw_fd(device, uapi::IOCTL_CREATE_SESSION, &argument)
    };
    case("size 0", create(0, &[]));
    case("size 71", create(71, &[]));
    case("size 72", create(72, &[]));
    case("size 4096, zeros behind", create(4096, &[0; 4024]));
    let mut tail = [0; 4024];
    tail[4023] = 1;
    case("size 4096, a one behind", create(4096, &tail));
    case("size 4096, cut", create(4096, &[0; 100]));
    let answer = raw(device, uapi::IOCTL_CREATE_SESSION, &named(72, b"cut")[..8]);
    case("cut", answer);
    let answer = unwritable(device, uapi::IOCTL_CREATE_SESSION, &named(72, b"fault"));
    case("create, the answer cannot be written", answer);
    case("create afterwards", crate::args::create(device, "fault"));
}

fn names(device: &OwnedFd) {
    case("empty name", create(device, ""));
    case("name of 63", create(device, &"n".repeat(63)));
    case("name of 64", create(device, &"n".repeat(64)));
    let first = create(device, "twice");
    case("name taken", create(device, "twice"));
    drop(first);
    case("name free again", create(device, "twice"));
    case("retrieve unknown", retrieve_session(device, "nobody"));
    case("retrieve without a name", retrieve_session(device, ""));
    let long = "n".repeat(64);
    case("retrieve without an end", retrieve_session(device, &long));
}

fn session_descriptor(device: &OwnedFd) -> anyhow::Result<()> {
    let session = create(device, "session")?;
    line("name", name_of(&session)?);
    line(
        "flags",
        format_args!("{:?}", rustix::io::fcntl_getfd(&session)?),
    );
    case(
        "read",
        rustix::io::read(&session, &mut [0; 8])
            .map(drop)
            .map_err(refused),
    );
    case(
        "seek",
        rustix::fs::seek(&session, rustix::fs::SeekFrom::Start(0)),
    );
    line("session is a terminal", rustix::termios::isatty(&session));
    let link = fs::read_link(format!("/proc/self/fd/{}", session.as_raw_fd()))?;
    line("link", link.display());
    let again = format!("/proc/self/fd/{}", session.as_raw_fd());
    case("open a session", open(&again, OFlags::RDWR));
    case(
        "device command",
        raw(&session, uapi::IOCTL_CREATE_SESSION, &named(72, b"x")),
    );
    case(
        "unknown session command",
        raw(&session, 0xba44, &named(72, b"x")),
    );
    case(
        "session command of another type",
        raw(&session, 0x8000_ba43, &named(72, b"")),
    );
    case("finish outgoing", finish(&session));
    case("retrieve outgoing", retrieve(&session, 1));
    let reserved = [72, 0, 0, 0, 1, 0, 0, 0].into_iter().chain([0; 64]);
    let reserved: Vec<u8> = reserved.collect();
    case(
        "name, reserved set",
        raw(&session, uapi::SESSION_GET_NAME, &reserved),
    );
    let answer = unwritable(&session, uapi::SESSION_GET_NAME, &named(72, b"")[..]);
    case("name, reserved set and unwritable", answer);
    Ok(())
}

/// An emulated session refuses reading with another error than Linux; that it does is the same.
fn refused(errno: Errno) -> Errno {
    match errno {
        Errno::BADF => Errno::INVAL,
        other => other,
    }
}

fn preserving(device: &OwnedFd) -> anyhow::Result<()> {
    let session = create(device, "preserving")?;
    let file = memfd(b"content")?;
    case("preserve", preserve(&session, &file, 0));
    case(
        "token taken before the descriptor",
        preserve_number(&session, -1, 0),
    );
    case("closed descriptor", preserve_number(&session, 999, 1));
    case("negative descriptor", preserve_number(&session, -1, 1));
    case("preserved already", preserve(&session, &file, 1));
    let other = create(device, "other")?;
    case("preserved elsewhere", preserve(&other, &file, 1));
    let again = File::open(format!("/proc/self/fd/{}", file.as_raw_fd()))?;
    case(
        "preserved by another descriptor",
        preserve(&other, &again, 1),
    );
    case("device", preserve(&session, device, 2));
    case("session", preserve(&session, &other, 2));
    case(
        "null device",
        preserve(&session, File::open("/dev/null")?, 2),
    );
    let path = openat(
        CWD,
        "/dev/null",
        OFlags::PATH | OFlags::CLOEXEC,
        Mode::empty(),
    )?;
    case("path only", preserve(&session, &path, 2));
    case("last token", preserve(&session, memfd(b"")?, u64::MAX));
    case("write-only", {
        let file = memfd(b"x")?;
        let path = format!("/proc/self/fd/{}", file.as_raw_fd());
        preserve(&session, open(&path, OFlags::WRONLY)?, 3)
    });
    case(
        "size 15",
        raw(&session, uapi::SESSION_PRESERVE_FD, &with_token(15, -1, 9)),
    );
    let bytes = with_token(16, memfd(b"x")?.as_raw_fd(), 9);
    // The file is closed by now.
    case(
        "closed before",
        raw(&session, uapi::SESSION_PRESERVE_FD, &bytes),
    );
    tmpfs(&session)?;
    let mut text = String::new();
    std::io::Read::read_to_string(&mut File::open(own(&file))?, &mut text)?;
    line("content while preserved", text);
    drop(session);
    case(
        "preserve after close of its session",
        preserve(&other, &file, 1),
    );
    Ok(())
}

fn own(file: impl AsFd) -> String {
    format!("/proc/self/fd/{}", file.as_fd().as_raw_fd())
}

/// Files of tmpfs, where there is one.
fn tmpfs(session: &OwnedFd) -> anyhow::Result<()> {
    let path = format!("/dev/shm/luo-cases-{}", std::process::id());
    let Ok(file) = File::create_new(&path) else {
        line("linked file of tmpfs", "ENOENT");
        line("unlinked file of tmpfs", "ok");
        return Ok(());
    };
    case("linked file of tmpfs", preserve(session, &file, 10));
    fs::remove_file(&path)?;
    case("unlinked file of tmpfs", preserve(session, &file, 10));
    Ok(())
}

/// A preserved file keeps its size.
fn frozen(device: &OwnedFd) -> anyhow::Result<()> {
    let session = create(device, "frozen")?;
    let file = memfd(&[1; 5000])?;
    case("before: size", rustix::fs::ftruncate(&file, 6000));
    preserve(&session, &file, 1)?;
    case("size up", rustix::fs::ftruncate(&file, 7000));
    case("size down", rustix::fs::ftruncate(&file, 10));
    case("same size", rustix::fs::ftruncate(&file, 6000));
    let flags = rustix::fs::FallocateFlags::empty();
    case("allocate", rustix::fs::fallocate(&file, flags, 0, 4096));
    let hole = rustix::fs::FallocateFlags::PUNCH_HOLE | rustix::fs::FallocateFlags::KEEP_SIZE;
    case("hole", rustix::fs::fallocate(&file, hole, 0, 4096));
    case("write inside", rustix::io::pwrite(&file, b"new", 0));
    case(
        "seal writes",
        rustix::fs::fcntl_add_seals(&file, SealFlags::WRITE),
    );
    drop(session);
    case("after: size", rustix::fs::ftruncate(&file, 7000));
    case(
        "after: seal writes",
        rustix::fs::fcntl_add_seals(&file, SealFlags::WRITE),
    );
    Ok(())
}

/// No number is free.
fn limits(device: &OwnedFd) {
    let old = getrlimit(Resource::Nofile);
    let low = Rlimit {
        current: Some(64),
        ..old
    };
    if setrlimit(Resource::Nofile, low).is_err() {
        return;
    }
    let mut all = Vec::new();
    while let Ok(file) = File::open("/dev/null") {
        all.push(file);
    }
    case("no number: create", create(device, ""));
    case("no number: retrieve", retrieve_session(device, "nobody"));
    case("no number: open", open(DEVICE, OFlags::RDWR));
    drop(all);
    let _restored = setrlimit(Resource::Nofile, old);
}

fn reboot() -> anyhow::Result<()> {
    let error = match kexec_sys::reboot::kexec() {
        Err(kexec_sys::Error::Reboot { errno }) => errno,
        Err(other) => return Err(other.into()),
        Ok(never) => match never {},
    };
    case::<()>("jump without an image", Err(error));
    let empty = memfd(b"")?;
    let load = |file: &File| kexec_sys::load(file, None, c"").map_err(|error| error.errno());
    case("load an empty file", load(&empty));
    case("load a device", load(&File::open("/dev/null")?));
    let image = memfd(b"x")?;
    let write_only = File::options().write(true).open(own(&image))?;
    case("load what cannot be read", load(&write_only));
    case(
        "unload nothing",
        kexec_sys::unload().map_err(|error| error.errno()),
    );
    Ok(())
}
