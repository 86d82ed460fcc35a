//! Arguments of commands, right and wrong.

use std::io;
use std::os::fd::{AsFd, AsRawFd as _, OwnedFd};

use liveupdate_uapi::mainline as uapi;
use luo_sys::probe::{self, Argument};
use rustix::io::Errno;

/// An argument with a name: of `CREATE_SESSION`, `RETRIEVE_SESSION`, `GET_NAME`.
pub(crate) fn named(size: u32, name: &[u8]) -> Vec<u8> {
    let mut bytes = size.to_ne_bytes().to_vec();
    bytes.extend_from_slice(&[0; 4]);
    bytes.extend_from_slice(name);
    bytes.resize(72, 0);
    bytes
}

/// An argument with a descriptor and a token: of `PRESERVE_FD`, `RETRIEVE_FD`.
pub(crate) fn with_token(size: u32, fd: i32, token: u64) -> Vec<u8> {
    let mut bytes = size.to_ne_bytes().to_vec();
    bytes.extend_from_slice(&fd.to_ne_bytes());
    bytes.extend_from_slice(&token.to_ne_bytes());
    bytes
}

/// Gives a command with these bytes.
pub(crate) fn raw(fd: impl AsFd, cmd: u32, bytes: &[u8]) -> Result<i32, Errno> {
    let mut argument = Argument::new(bytes).map_err(|error| errno(&error))?;
    probe::ioctl(fd, cmd, Some(&mut argument))
}

/// As [`raw`], and takes the descriptor that is answered.
pub(crate) fn raw_fd(fd: impl AsFd, cmd: u32, bytes: &[u8]) -> Result<OwnedFd, Errno> {
    let mut argument = Argument::new(bytes).map_err(|error| errno(&error))?;
    probe::ioctl_for_fd(fd, cmd, &mut argument)
}

/// As [`raw`], in memory that cannot be written.
pub(crate) fn unwritable(fd: impl AsFd, cmd: u32, bytes: &[u8]) -> Result<i32, Errno> {
    let mut argument = Argument::read_only(bytes).map_err(|error| errno(&error))?;
    probe::ioctl(fd, cmd, Some(&mut argument))
}

pub(crate) fn create(device: impl AsFd, name: &str) -> Result<OwnedFd, Errno> {
    let bytes = named(72, name.as_bytes());
    raw_fd(device, uapi::IOCTL_CREATE_SESSION, &bytes)
}

pub(crate) fn retrieve_session(device: impl AsFd, name: &str) -> Result<OwnedFd, Errno> {
    let bytes = named(72, name.as_bytes());
    raw_fd(device, uapi::IOCTL_RETRIEVE_SESSION, &bytes)
}

pub(crate) fn preserve(session: impl AsFd, fd: impl AsFd, token: u64) -> Result<i32, Errno> {
    preserve_number(session, fd.as_fd().as_raw_fd(), token)
}

pub(crate) fn preserve_number(session: impl AsFd, fd: i32, token: u64) -> Result<i32, Errno> {
    let bytes = with_token(16, fd, token);
    raw(session, uapi::SESSION_PRESERVE_FD, &bytes)
}

pub(crate) fn retrieve(session: impl AsFd, token: u64) -> Result<OwnedFd, Errno> {
    let bytes = with_token(16, -1, token);
    raw_fd(session, uapi::SESSION_RETRIEVE_FD, &bytes)
}

pub(crate) fn finish(session: impl AsFd) -> Result<i32, Errno> {
    raw(session, uapi::SESSION_FINISH, &[8, 0, 0, 0, 0, 0, 0, 0])
}

/// The name as the session tells it.
pub(crate) fn name_of(session: impl AsFd) -> Result<String, Errno> {
    let mut argument = Argument::new(&named(72, b"")).map_err(|error| errno(&error))?;
    probe::ioctl(session, uapi::SESSION_GET_NAME, Some(&mut argument))?;
    let bytes = argument.bytes();
    let name = bytes.get(8..).unwrap_or_default();
    let end = name.iter().position(|&byte| byte == 0);
    let name = name.get(..end.unwrap_or(name.len())).unwrap_or_default();
    Ok(String::from_utf8_lossy(name).into_owned())
}

pub(crate) fn errno(error: &io::Error) -> Errno {
    Errno::from_io_error(error).unwrap_or(Errno::IO)
}
