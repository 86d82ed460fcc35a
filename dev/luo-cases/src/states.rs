//! The v4 dialect: the states of the machine.

use std::fs::File;
use std::io::Read as _;
use std::os::fd::{AsFd, OwnedFd};

use anyhow::Context as _;
use liveupdate_uapi::v4;
use luo_sys::probe::{self, Argument};
use rustix::fs::OFlags;
use rustix::io::Errno;
use rustix::process::{PidfdFlags, PidfdGetfdFlags, getpid, pidfd_getfd, pidfd_open};

use crate::args::{errno, preserve, raw, with_token};
use crate::before::{memfd, open};
use crate::report::{case, line};

const DEVICE: &str = "/dev/liveupdate";

fn state(device: &OwnedFd) -> anyhow::Result<u32> {
    let mut argument = Argument::new(&[8, 0, 0, 0, 0, 0, 0, 0])?;
    probe::ioctl(device, v4::IOCTL_GET_STATE, Some(&mut argument))?;
    let bytes = argument.bytes();
    let value = bytes.last_chunk().context("no state")?;
    Ok(u32::from_ne_bytes(*value))
}

fn event(device: &OwnedFd, event: v4::LiveupdateEvent) -> Result<i32, Errno> {
    let mut bytes = 8_u32.to_ne_bytes().to_vec();
    bytes.extend_from_slice(&event.0.to_ne_bytes());
    raw(device, v4::IOCTL_SET_EVENT, &bytes)
}

/// Gives a command that answers a descriptor; the answer is a duplicate of it.
fn raw_fd(fd: impl AsFd, cmd: u32, bytes: &[u8]) -> Result<OwnedFd, Errno> {
    let mut argument = Argument::new(bytes).map_err(|error| errno(&error))?;
    probe::ioctl(fd, cmd, Some(&mut argument))?;
    let number = argument.bytes().get(4..8).and_then(|it| it.try_into().ok());
    let number = number.map_or(-1, i32::from_ne_bytes);
    if number < 0 {
        return Err(Errno::BADF);
    }
    let me = pidfd_open(getpid(), PidfdFlags::empty())?;
    pidfd_getfd(me, number, PidfdGetfdFlags::empty())
}

fn named(size: u32, name: &str) -> Vec<u8> {
    let mut bytes = size.to_ne_bytes().to_vec();
    bytes.extend_from_slice(&[0; 4]);
    bytes.extend_from_slice(name.as_bytes());
    bytes.resize(usize::try_from(size).unwrap_or(64), 0);
    bytes
}

/// Goes through the states and ends in the one that a jump needs.
pub(crate) fn prepare() -> anyhow::Result<Vec<OwnedFd>> {
    let device = open(DEVICE, OFlags::RDWR).context("no device")?;
    line("state", state(&device)?);
    case(
        "cancel at first",
        event(&device, v4::LiveupdateEvent::CANCEL),
    );
    case(
        "finish at first",
        event(&device, v4::LiveupdateEvent::FINISH),
    );
    case("freeze", event(&device, v4::LiveupdateEvent::FREEZE));
    let session = raw_fd(&device, v4::IOCTL_CREATE_SESSION, &named(64, "states"));
    let session = case("create", session).context("no session")?;
    let file = memfd(b"over the jump")?;
    case("preserve", preserve(&session, &file, 7));
    case("prepare", event(&device, v4::LiveupdateEvent::PREPARE));
    line("state", state(&device)?);
    case(
        "prepare again",
        event(&device, v4::LiveupdateEvent::PREPARE),
    );
    case("cancel", event(&device, v4::LiveupdateEvent::CANCEL));
    line("state", state(&device)?);
    case("prepare", event(&device, v4::LiveupdateEvent::PREPARE));
    Ok(vec![session])
}

/// After the jump.
pub(crate) fn updated() -> anyhow::Result<()> {
    let device = open(DEVICE, OFlags::RDWR).context("no device")?;
    line("state", state(&device)?);
    let session = raw_fd(&device, v4::IOCTL_RETRIEVE_SESSION, &named(72, "states"));
    let session = case("retrieve", session).context("no session")?;
    let argument = with_token(16, -1, 7);
    let file = case(
        "restore",
        raw_fd(&session, v4::SESSION_RESTORE_FD, &argument),
    );
    let mut text = String::new();
    rustix::fs::seek(
        file.as_ref().context("no file")?,
        rustix::fs::SeekFrom::Start(0),
    )?;
    File::from(file.context("no file")?).read_to_string(&mut text)?;
    line("content", text);
    case("finish", event(&device, v4::LiveupdateEvent::FINISH));
    line("state", state(&device)?);
    Ok(())
}
