//! What failed, with which errno, and what that means for this call.

use std::fmt;

use rustix::io::Errno;

/// The calls of this crate.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Call {
    /// `open("/dev/liveupdate")`.
    Open,
    /// `LIVEUPDATE_IOCTL_CREATE_SESSION`.
    CreateSession,
    /// `LIVEUPDATE_IOCTL_RETRIEVE_SESSION`.
    RetrieveSession,
    /// `LIVEUPDATE_SESSION_PRESERVE_FD`.
    PreserveFd,
    /// `LIVEUPDATE_SESSION_RETRIEVE_FD`.
    RetrieveFd,
    /// `LIVEUPDATE_SESSION_FINISH`.
    Finish,
    /// `LIVEUPDATE_SESSION_GET_NAME`.
    GetName,
    /// `dup` of a session descriptor.
    Duplicate,
}

impl Call {
    /// The kernel's name of the call.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Open => "open /dev/liveupdate",
            Self::CreateSession => "LIVEUPDATE_IOCTL_CREATE_SESSION",
            Self::RetrieveSession => "LIVEUPDATE_IOCTL_RETRIEVE_SESSION",
            Self::PreserveFd => "LIVEUPDATE_SESSION_PRESERVE_FD",
            Self::RetrieveFd => "LIVEUPDATE_SESSION_RETRIEVE_FD",
            Self::Finish => "LIVEUPDATE_SESSION_FINISH",
            Self::GetName => "LIVEUPDATE_SESSION_GET_NAME",
            Self::Duplicate => "dup of a session",
        }
    }
}

/// A failed call.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub struct Error {
    call: Call,
    errno: Errno,
}

impl Error {
    /// Joins a call with the errno it returned.
    pub const fn new(call: Call, errno: Errno) -> Self {
        Self { call, errno }
    }

    /// The call that failed.
    pub const fn call(&self) -> Call {
        self.call
    }

    /// What the kernel answered.
    pub const fn errno(&self) -> Errno {
        self.errno
    }

    /// What this errno means for this call, where the kernel gives it a meaning of its own.
    ///
    /// Read from `kernel/liveupdate/luo_{core,session,file}.c` and `mm/memfd_luo.c` (v7.3).
    pub fn meaning(&self) -> Option<&'static str> {
        Some(match (self.call, self.errno) {
            (Call::Open, Errno::NOENT) => {
                "there is no such device: the kernel lacks CONFIG_LIVEUPDATE or was started without liveupdate=on"
            }
            (Call::Open, Errno::BUSY) => "another program has the device open; one may at a time",
            (Call::Open, Errno::ACCESS | Errno::PERM) => "only root may open it",
            (Call::Open, Errno::IO) => {
                "the kernel could not read what the previous kernel preserved; it stays unreadable until the next boot, the kernel log says why"
            }
            (Call::CreateSession, Errno::EXIST) => "an outgoing session of this name exists",
            (Call::CreateSession, Errno::NOSPC) => "the kernel holds as many sessions as it can",
            (Call::RetrieveSession, Errno::NOENT) => {
                "the previous kernel preserved no session of this name"
            }
            (Call::RetrieveSession, Errno::INVAL) => {
                "the session was retrieved already; whoever did holds its descriptor"
            }
            (Call::PreserveFd, Errno::NOENT) => {
                "the kernel has no handler for this kind of file: only memfds and unlinked tmpfs files can be preserved, no pipe, regular file or hugetlb memfd"
            }
            (Call::PreserveFd, Errno::EXIST) => "the token is used in this session already",
            (Call::PreserveFd, Errno::BUSY) => {
                "the file is preserved already, or retrieved and its session not yet finished"
            }
            (Call::PreserveFd, Errno::BADF) => "the descriptor is closed or was opened with O_PATH",
            (Call::PreserveFd, Errno::FBIG) => "the file is too large to be preserved",
            (Call::PreserveFd, Errno::OPNOTSUPP) => {
                "the file has a seal the kernel cannot carry over"
            }
            (Call::PreserveFd, Errno::INVAL) => {
                "the session came from the previous kernel: nothing can be preserved into it"
            }
            (Call::RetrieveFd, Errno::NOENT) => {
                "nothing is preserved under this token, or the session is finished"
            }
            (Call::RetrieveFd | Call::Finish, Errno::INVAL) => {
                "the session belongs to this kernel: nothing came over in it"
            }
            (Call::Finish, Errno::BUSY) => "a preserved file cannot be finished yet",
            (_, Errno::NOTTY) => "the descriptor is no live update object",
            (_, Errno::MFILE) => "this process has no free descriptor; raise its RLIMIT_NOFILE",
            (_, Errno::NOMEM) => "the kernel is out of memory",
            _ => return None,
        })
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let name = self.call.name();
        match self.meaning() {
            Some(meaning) => write!(f, "{name}: {meaning} ({})", self.errno),
            None => write!(f, "{name}: {}", self.errno),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_errno_means_different_things_for_different_calls() {
        let token = Error::new(Call::PreserveFd, Errno::EXIST).to_string();
        let name = Error::new(Call::CreateSession, Errno::EXIST).to_string();
        assert!(token.contains("the token is used"), "{token}");
        assert!(name.contains("session of this name exists"), "{name}");
    }

    #[test]
    fn an_errno_without_a_meaning_is_still_named() {
        let text = Error::new(Call::GetName, Errno::FAULT).to_string();
        assert!(text.starts_with("LIVEUPDATE_SESSION_GET_NAME: "), "{text}");
    }
}
