//! Starting a program under a filter.
#![expect(
    unsafe_code,
    reason = "the filter is installed between fork and exec; each step is proven here, once"
)]

use std::ffi::CStr;
use std::io::{self, IoSlice, IoSliceMut};
use std::mem::MaybeUninit;
use std::os::fd::{AsFd as _, AsRawFd as _, BorrowedFd, FromRawFd as _, OwnedFd};
use std::os::unix::process::CommandExt as _;
use std::process::{Child, Command};

use rustix::fs::{Mode, OFlags};
use rustix::io::Errno;
use rustix::net::{
    AddressFamily, RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, SendAncillaryBuffer,
    SendAncillaryMessage, SendFlags, SocketFlags, SocketType, recvmsg, sendmsg, socketpair,
};
use rustix::process::{Resource, Rlimit, Signal};
use rustix::thread::{UnshareFlags, unshare_unsafe};

use crate::filter::{Filter, Instruction};
use crate::listener::Listener;

/// `SECCOMP_SET_MODE_FILTER`.
const SET_MODE_FILTER: libc::c_uint = 1;
/// `SECCOMP_FILTER_FLAG_NEW_LISTENER`.
const NEW_LISTENER: libc::c_ulong = 1 << 3;
/// `SECCOMP_FILTER_FLAG_WAIT_KILLABLE_RECV` (v5.19): a call that was received is not interrupted by
/// a signal any more, so nothing is done twice.
const WAIT_KILLABLE_RECV: libc::c_ulong = 1 << 5;

/// What a program is started with.
#[derive(Clone, Copy, Debug)]
pub struct Setup {
    /// Its limit on open files, `RLIMIT_NOFILE`.
    pub descriptors: Rlimit,
    /// Who it is.
    pub identity: Identity,
}

/// Who a program is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Identity {
    /// Who starts it.
    Own,
    /// Root, and who starts it seen from outside: in a user namespace of its own.
    Root,
}

/// Starts `command` with the calls of `filter` sent to the listener, and those of all its children.
///
/// The program is killed when this thread ends. Without `CAP_SYS_ADMIN` it and its children gain no
/// privileges by `execve()` (`PR_SET_NO_NEW_PRIVS`).
///
/// # Errors
/// What `fork()`, a user namespace, the filter or `execve()` answered; `EBUSY` from the filter when
/// this program runs under a listener of its own.
pub fn spawn(
    command: &mut Command,
    filter: &Filter,
    setup: Setup,
) -> io::Result<(Child, Listener)> {
    let program = filter.finish().map_err(io::Error::other)?;
    let (ours, theirs) = socketpair(
        AddressFamily::UNIX,
        SocketType::SEQPACKET,
        SocketFlags::CLOEXEC,
        None,
    )?;
    let (uid, gid) = (rustix::process::geteuid(), rustix::process::getegid());
    let uid_map = format!("0 {} 1", uid.as_raw());
    let gid_map = format!("0 {} 1", gid.as_raw());
    let in_child = move || {
        if setup.identity == Identity::Root {
            become_root(uid_map.as_bytes(), gid_map.as_bytes())?;
        }
        rustix::process::set_parent_process_death_signal(Some(Signal::KILL))?;
        rustix::process::setrlimit(Resource::Nofile, setup.descriptors)?;
        let listener = install(&program)?;
        send(theirs.as_fd(), listener.as_fd())?;
        Ok(())
    };
    // SAFETY: between fork and exec the closure makes system calls only: it allocates nothing,
    // takes no lock and touches no memory but its own captures. Dropping a descriptor is a
    // `close()`. An error is passed as a plain errno.
    unsafe { command.pre_exec(in_child) };
    let child = command.spawn()?;
    let listener = receive(ours.as_fd())?;
    Ok((child, Listener::new(listener)))
}

/// Root in a new user namespace, where nobody else is.
fn become_root(uid_map: &[u8], gid_map: &[u8]) -> Result<(), Errno> {
    // SAFETY: no descriptors are unshared, and this process has one thread.
    unsafe { unshare_unsafe(UnshareFlags::NEWUSER) }?;
    tell(c"/proc/self/uid_map", uid_map)?;
    // Without it the map of groups is refused; before v3.19 there is no such file.
    tell(c"/proc/self/setgroups", b"deny")?;
    tell(c"/proc/self/gid_map", gid_map)
}

fn tell(path: &CStr, text: &[u8]) -> Result<(), Errno> {
    let file = rustix::fs::open(path, OFlags::WRONLY | OFlags::CLOEXEC, Mode::empty())?;
    rustix::io::write(file, text).map(drop)
}

/// Installs the filter for this process, which has one thread.
fn install(program: &[Instruction]) -> Result<OwnedFd, Errno> {
    match set_filter(program) {
        // Not privileged: what is started must then not become so either.
        Err(Errno::ACCESS) => {
            rustix::thread::set_no_new_privs(true)?;
            set_filter(program)
        }
        answer => answer,
    }
}

fn set_filter(program: &[Instruction]) -> Result<OwnedFd, Errno> {
    let header = libc::sock_fprog {
        len: u16::try_from(program.len()).map_err(|_long| Errno::TOOBIG)?,
        filter: program.as_ptr().cast_mut(),
    };
    // SAFETY: the kernel reads the header and `len` instructions behind it, both alive for the
    // call, and writes to neither (the pointer is mutable in the C type only).
    let answer = unsafe {
        libc::syscall(
            libc::SYS_seccomp,
            SET_MODE_FILTER,
            NEW_LISTENER | WAIT_KILLABLE_RECV,
            &raw const header,
        )
    };
    let Ok(fd) = i32::try_from(answer) else {
        return Err(Errno::IO);
    };
    if fd < 0 {
        let error = io::Error::last_os_error();
        return Err(Errno::from_io_error(&error).unwrap_or(Errno::IO));
    }
    // SAFETY: with NEW_LISTENER the call answers a new descriptor, which nobody else has.
    Ok(unsafe { OwnedFd::from_raw_fd(fd) })
}

fn send(socket: BorrowedFd<'_>, listener: BorrowedFd<'_>) -> Result<(), Errno> {
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(1))];
    let mut ancillary = SendAncillaryBuffer::new(&mut space);
    let fds = [listener];
    if !ancillary.push(SendAncillaryMessage::ScmRights(&fds)) {
        return Err(Errno::NOBUFS);
    }
    sendmsg(
        socket,
        &[IoSlice::new(&[0])],
        &mut ancillary,
        SendFlags::NOSIGNAL,
    )?;
    Ok(())
}

fn receive(socket: BorrowedFd<'_>) -> io::Result<OwnedFd> {
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(1))];
    let mut ancillary = RecvAncillaryBuffer::new(&mut space);
    recvmsg(
        socket,
        &mut [IoSliceMut::new(&mut [0])],
        &mut ancillary,
        RecvFlags::CMSG_CLOEXEC | RecvFlags::DONTWAIT,
    )?;
    for message in ancillary.drain() {
        if let RecvAncillaryMessage::ScmRights(mut fds) = message
            && let Some(fd) = fds.next()
        {
            return Ok(fd);
        }
    }
    let socket = socket.as_raw_fd();
    Err(io::Error::other(format!(
        "no listener arrived at descriptor {socket}"
    )))
}
