//! The lines.

use std::fmt;
use std::io::{Write as _, stdout};

use rustix::io::Errno;

/// Prints what a case answered: `what: ok`, or the name of the error.
pub(crate) fn case<T>(what: &str, answer: Result<T, Errno>) -> Option<T> {
    match answer {
        Ok(value) => {
            line(what, "ok");
            Some(value)
        }
        Err(errno) => {
            line(what, name(errno));
            None
        }
    }
}

/// Prints something else that a case shows.
pub(crate) fn line(what: &str, value: impl fmt::Display) {
    // A line nobody reads any more is not this program's concern.
    let _unread = writeln!(stdout(), "{what}: {value}");
}

fn name(errno: Errno) -> &'static str {
    match errno {
        Errno::PERM => "EPERM",
        Errno::NOENT => "ENOENT",
        Errno::NXIO => "ENXIO",
        Errno::TOOBIG => "E2BIG",
        Errno::BADF => "EBADF",
        Errno::ACCESS => "EACCES",
        Errno::FAULT => "EFAULT",
        Errno::BUSY => "EBUSY",
        Errno::EXIST => "EEXIST",
        Errno::NOTDIR => "ENOTDIR",
        Errno::INVAL => "EINVAL",
        Errno::MFILE => "EMFILE",
        Errno::NOTTY => "ENOTTY",
        Errno::SPIPE => "ESPIPE",
        Errno::LOOP => "ELOOP",
        Errno::XDEV => "EXDEV",
        Errno::IO => "EIO",
        Errno::OPNOTSUPP => "EOPNOTSUPP",
        Errno::AGAIN => "EAGAIN",
        _ => "another error",
    }
}
