//! Cases of what was handed over.

use std::fs::File;
use std::io::Read as _;
use std::os::fd::OwnedFd;
use std::os::unix::fs::{FileExt as _, MetadataExt as _};

use anyhow::Context as _;
use liveupdate_uapi::mainline as uapi;
use rustix::fs::{OFlags, SealFlags, SeekFrom, fcntl_get_seals, seek, tell};
use rustix::io::Errno;

use crate::args::{
    create, finish, name_of, named, preserve, raw, retrieve, retrieve_session, unwritable,
    with_token,
};
use crate::before::{memfd, open};
use crate::report::{case, line};

const DEVICE: &str = "/dev/liveupdate";

/// Preserves what [`run`] looks at; it goes along as long as these descriptors are open.
pub(crate) fn leave() -> anyhow::Result<Vec<OwnedFd>> {
    let device = open(DEVICE, OFlags::RDWR).context("no device")?;
    let content = create(&device, "content")?;
    let file = memfd(b"first content")?;
    preserve(&content, &file, 0)?;
    // Both count: what is written after it was preserved, and where the file stands at the jump.
    file.write_all_at(b"First", 0)?;
    seek(&file, SeekFrom::Start(6))?;
    preserve(&content, memfd(b"")?, u64::MAX)?;
    let sparse = memfd(b"")?;
    sparse.set_len(10_000)?;
    sparse.write_all_at(b"end", 8192)?;
    preserve(&content, &sparse, 7)?;
    let sealed = memfd(b"sealed")?;
    let seals = SealFlags::GROW | SealFlags::SHRINK | SealFlags::SEAL;
    rustix::fs::fcntl_add_seals(&sealed, seals)?;
    preserve(&content, &sealed, 8)?;

    let empty = create(&device, "empty")?;
    let ignored = create(&device, "ignored")?;
    preserve(&ignored, memfd(b"nobody wants this")?, 1)?;
    let fault = create(&device, "fault")?;
    preserve(&fault, memfd(b"fault")?, 1)?;
    let closed = create(&device, "closed")?;
    preserve(&closed, memfd(b"not handed over")?, 1)?;
    drop(closed);
    let long = create(&device, &"n".repeat(63))?;
    Ok(vec![content, empty, ignored, fault, long])
}

/// Preserves a file of four bytes and writes four more, which only an emulated machine allows.
pub(crate) fn leave_grown() -> anyhow::Result<Vec<OwnedFd>> {
    let device = open(DEVICE, OFlags::RDWR).context("no device")?;
    let session = create(&device, "grown")?;
    let file = memfd(b"four")?;
    preserve(&session, &file, 1)?;
    file.write_all_at(b"more", 4)?;
    Ok(vec![session])
}

pub(crate) fn run() -> anyhow::Result<()> {
    let device = case("open", open(DEVICE, OFlags::RDWR)).context("no device")?;
    case(
        "session that was closed",
        retrieve_session(&device, "closed"),
    );
    let session = retrieve_session(&device, "content").context("nothing was handed over")?;
    case(
        "retrieve session twice",
        retrieve_session(&device, "content"),
    );
    line("name", name_of(&session)?);
    let file = files(&session)?;
    sealed_and_sparse(&session)?;
    directions(&device, &session, &file)?;
    finishing(&device, session, &file)?;
    others(&device)
}

fn files(session: &OwnedFd) -> anyhow::Result<File> {
    case("unknown token", retrieve(session, 1));
    let argument = with_token(16, -1, 0);
    let answer = unwritable(session, uapi::SESSION_RETRIEVE_FD, &argument);
    case("retrieve, the answer cannot be written", answer);
    let file = File::from(retrieve(session, 0)?);
    line("position", tell(&file)?);
    let mut rest = String::new();
    (&file).read_to_string(&mut rest)?;
    line("rest", rest);
    let again = File::from(retrieve(session, 0)?);
    line("position of the same file", tell(&again)?);
    let mut whole = [0; 13];
    again.read_exact_at(&mut whole, 0)?;
    line("content", String::from_utf8_lossy(&whole));
    line(
        "mode",
        format_args!("{:o}", file.metadata()?.mode() & 0o7777),
    );
    line(
        "flags",
        format_args!("{:?}", rustix::io::fcntl_getfd(&file)?),
    );
    file.write_all_at(b"writable", 0)?;
    let empty = File::from(retrieve(session, u64::MAX)?);
    line("empty file", empty.metadata()?.len());
    Ok(file)
}

fn sealed_and_sparse(session: &OwnedFd) -> anyhow::Result<()> {
    let sparse = File::from(retrieve(session, 7)?);
    let mut bytes = Vec::new();
    (&sparse).read_to_end(&mut bytes)?;
    line("sparse file", bytes.len());
    let zeros = |range: &[u8]| range.iter().all(|&byte| byte == 0);
    let (before, rest) = bytes.split_at(8192.min(bytes.len()));
    let is_right = rest.starts_with(b"end") && zeros(before) && zeros(rest.get(3..).unwrap_or(&[]));
    line("sparse content", is_right);
    let sealed = File::from(retrieve(session, 8)?);
    line("seals", format_args!("{:?}", fcntl_get_seals(&sealed)?));
    case("sealed size", rustix::fs::ftruncate(&sealed, 1));
    Ok(())
}

fn directions(device: &OwnedFd, session: &OwnedFd, file: &File) -> anyhow::Result<()> {
    case(
        "preserve in an incoming session",
        preserve(session, file, 100),
    );
    let outgoing = case(
        "outgoing session of the same name",
        create(device, "content"),
    );
    let outgoing = outgoing.context("no session")?;
    case(
        "preserve what is not finished",
        preserve(&outgoing, file, 1),
    );
    Ok(())
}

fn finishing(device: &OwnedFd, session: OwnedFd, file: &File) -> anyhow::Result<()> {
    let reserved = [8, 0, 0, 0, 1, 0, 0, 0];
    case(
        "finish, reserved set",
        raw(&session, uapi::SESSION_FINISH, &reserved),
    );
    case("finish", finish(&session));
    case("finish again", finish(&session));
    line("name after finish", name_of(&session)?);
    case("retrieve after finish", retrieve(&session, 0));
    case(
        "retrieve session after finish",
        retrieve_session(device, "content"),
    );
    let mut whole = [0; 8];
    file.read_exact_at(&mut whole, 0)?;
    line("content after finish", String::from_utf8_lossy(&whole));
    let outgoing = create(device, "after finish")?;
    case("preserve what is finished", preserve(&outgoing, file, 1));
    drop(session);
    case(
        "retrieve session after close",
        retrieve_session(device, "content"),
    );
    Ok(())
}

fn others(device: &OwnedFd) -> anyhow::Result<()> {
    let empty = retrieve_session(device, "empty")?;
    case("empty session: retrieve", retrieve(&empty, 0));
    case("empty session: finish", finish(&empty));
    case("long name", retrieve_session(device, &"n".repeat(63)));
    let argument = named(72, b"fault");
    let answer = unwritable(device, uapi::IOCTL_RETRIEVE_SESSION, &argument);
    case("session, the answer cannot be written", answer);
    // Linux has finished and removed it.
    case("session afterwards", retrieve_session(device, "fault"));
    let ignored: Result<OwnedFd, Errno> = retrieve_session(device, "ignored");
    // Closed without FINISH: that finishes.
    drop(ignored);
    case(
        "session after close without finish",
        retrieve_session(device, "ignored"),
    );
    Ok(())
}
