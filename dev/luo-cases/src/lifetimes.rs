//! When the device and a session are closed: at the last descriptor, wherever it is.

use std::io::{IoSlice, IoSliceMut, Read as _};
use std::mem::MaybeUninit;
use std::os::fd::{AsFd, AsRawFd as _, BorrowedFd, OwnedFd};
use std::os::unix::net::UnixStream;
use std::process::{Child, Command, Stdio};
use std::thread;

use anyhow::Context as _;
use rustix::fs::OFlags;
use rustix::net::{
    RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, SendAncillaryBuffer,
    SendAncillaryMessage, SendFlags, recvmsg, sendmsg,
};

use crate::args::{create, name_of, preserve};
use crate::before::{memfd, open};
use crate::report::{case, line};

const DEVICE: &str = "/dev/liveupdate";

fn device() -> anyhow::Result<OwnedFd> {
    open(DEVICE, OFlags::RDWR).context("the device is not free")
}

pub(crate) fn run() -> anyhow::Result<()> {
    duplicates()?;
    processes()?;
    in_flight()?;
    across_threads()?;
    many_times()
}

fn duplicates() -> anyhow::Result<()> {
    let first = device()?;
    let copy = first.try_clone()?;
    drop(first);
    case("open beside a duplicate", open(DEVICE, OFlags::RDWR));
    drop(copy);
    case("open after both", open(DEVICE, OFlags::RDWR));
    let device = device()?;
    let session = create(&device, "duplicated")?;
    let copy = session.try_clone()?;
    drop(session);
    line("name by the duplicate", name_of(&copy)?);
    case("create beside a duplicate", create(&device, "duplicated"));
    drop(copy);
    case("create after both", create(&device, "duplicated"));
    Ok(())
}

/// A process that does nothing; it has what is not close-on-exec.
fn sleeper() -> anyhow::Result<Child> {
    let mut command = Command::new("/proc/self/exe");
    command
        .arg("sleep")
        .stdin(Stdio::null())
        .stdout(Stdio::piped());
    let mut child = command.spawn().context("starting a child")?;
    // It runs as soon as it has said so.
    if let Some(output) = &mut child.stdout {
        output.read_exact(&mut [0])?;
    }
    Ok(child)
}

/// Leaves descriptors to a process that does nothing.
pub(crate) fn keep(fds: &[OwnedFd]) -> anyhow::Result<()> {
    let mut inherited = Vec::new();
    for fd in fds {
        inherited.push(rustix::io::dup(fd)?);
    }
    // It ends when somebody ends it.
    let _child = sleeper()?;
    Ok(())
}

fn processes() -> anyhow::Result<()> {
    let first = device()?;
    // A duplicate by dup() is not close-on-exec.
    let inherited = rustix::io::dup(&first)?;
    drop(first);
    let mut child = sleeper()?;
    drop(inherited);
    case(
        "open beside a child that inherited",
        open(DEVICE, OFlags::RDWR),
    );
    child.kill()?;
    child.wait()?;
    case("open after it was killed", open(DEVICE, OFlags::RDWR));

    let first = device()?;
    let mut child = sleeper()?;
    drop(first);
    case(
        "open beside a child that did not",
        open(DEVICE, OFlags::RDWR),
    );
    child.kill()?;
    child.wait()?;

    let device = device()?;
    let session = create(&device, "inherited")?;
    let file = memfd(b"content")?;
    preserve(&session, &file, 1)?;
    let inherited = rustix::io::dup(&session)?;
    let mut child = sleeper()?;
    drop(inherited);
    drop(session);
    case(
        "create beside a child's session",
        create(&device, "inherited"),
    );
    child.kill()?;
    child.wait()?;
    let session = case("create after it was killed", create(&device, "inherited"));
    let session = session.context("no session")?;
    case("its file is free", preserve(&session, &file, 1));
    Ok(())
}

fn in_flight() -> anyhow::Result<()> {
    let (ours, theirs) = UnixStream::pair()?;
    let first = device()?;
    send(ours.as_fd(), first.as_fd())?;
    drop(first);
    case("open beside one in a message", open(DEVICE, OFlags::RDWR));
    let received = receive(theirs.as_fd())?;
    let session = case("create by what was received", create(&received, "flight"));
    send(ours.as_fd(), session.context("no session")?.as_fd())?;
    case(
        "create beside one in a message",
        create(&received, "flight"),
    );
    drop((ours, theirs));
    case(
        "create after the message was lost",
        create(&received, "flight"),
    );
    Ok(())
}

fn across_threads() -> anyhow::Result<()> {
    let opened = thread::spawn(device).join();
    let device = opened.map_err(|_panic| anyhow::anyhow!("the thread ended early"))??;
    case("create after the opening thread", create(&device, "thread"));
    let session = create(&device, "thread")?;
    let closed = thread::spawn(move || drop(session)).join();
    closed.map_err(|_panic| anyhow::anyhow!("the thread ended early"))?;
    case(
        "create after a thread has closed",
        create(&device, "thread"),
    );
    Ok(())
}

/// The device is free as soon as `close()` returns.
fn many_times() -> anyhow::Result<()> {
    for turn in 0..500 {
        let device = device().with_context(|| format!("turn {turn}"))?;
        let session = create(&device, "again").with_context(|| format!("turn {turn}"))?;
        drop(session);
    }
    line("closed and opened 500 times", "ok");
    Ok(())
}

fn send(socket: BorrowedFd<'_>, fd: BorrowedFd<'_>) -> anyhow::Result<()> {
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(1))];
    let mut ancillary = SendAncillaryBuffer::new(&mut space);
    let fds = [fd];
    anyhow::ensure!(ancillary.push(SendAncillaryMessage::ScmRights(&fds)));
    sendmsg(
        socket,
        &[IoSlice::new(b"x")],
        &mut ancillary,
        SendFlags::empty(),
    )?;
    Ok(())
}

fn receive(socket: BorrowedFd<'_>) -> anyhow::Result<OwnedFd> {
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(1))];
    let mut ancillary = RecvAncillaryBuffer::new(&mut space);
    let mut byte = [0];
    let mut buffers = [IoSliceMut::new(&mut byte)];
    recvmsg(
        socket,
        &mut buffers,
        &mut ancillary,
        RecvFlags::CMSG_CLOEXEC,
    )?;
    for message in ancillary.drain() {
        if let RecvAncillaryMessage::ScmRights(mut fds) = message
            && let Some(fd) = fds.next()
        {
            return Ok(fd);
        }
    }
    let socket = socket.as_raw_fd();
    anyhow::bail!("no descriptor at {socket}")
}
