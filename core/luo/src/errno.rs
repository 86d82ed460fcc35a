//! What a call answers when it fails.

use core::fmt;

/// An `errno` of Linux, positive; other values than the named ones are kept.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Errno(pub i32);

/// Constants, and their names for [`fmt::Display`].
macro_rules! errnos {
    ($($(#[$doc:meta])* $name:ident = $value:literal;)*) => {
        impl Errno {
            $($(#[$doc])* pub const $name: Self = Self($value);)*

            /// The symbolic name; `None` of a value this crate does not use.
            #[must_use]
            pub const fn name(self) -> Option<&'static str> {
                match self {
                    $(Self::$name => Some(stringify!($name)),)*
                    _ => None,
                }
            }
        }
    };
}

// `include/uapi/asm-generic/errno-base.h` and `errno.h`, v7.3; the last is `include/linux/errno.h`.
errnos! {
    /// Nothing of that name.
    ENOENT = 2;
    /// The device does not work.
    EIO = 5;
    /// Bytes behind a known argument are not zero.
    E2BIG = 7;
    /// No such descriptor, or one that stands for a path only.
    EBADF = 9;
    /// Not now; the machine is in another state (v4).
    EAGAIN = 11;
    /// No memory.
    ENOMEM = 12;
    /// An address of the caller cannot be accessed.
    EFAULT = 14;
    /// In use.
    EBUSY = 16;
    /// Exists already.
    EEXIST = 17;
    /// The module that does it is going.
    ENODEV = 19;
    /// Invalid argument.
    EINVAL = 22;
    /// Too many open files in the system.
    ENFILE = 23;
    /// Too many open files in the process.
    EMFILE = 24;
    /// Not a command of this device.
    ENOTTY = 25;
    /// Too large a file.
    EFBIG = 27;
    /// No space left.
    ENOSPC = 28;
    /// Out of range.
    ERANGE = 34;
    /// No data.
    ENODATA = 61;
    /// Not supported.
    EOPNOTSUPP = 95;
    /// The name is taken (v4).
    EADDRINUSE = 98;
    /// The call has no answer: the machine is on its way to the next kernel, and the caller waits
    /// until it is gone. Never seen by a program, so whoever emulates one lets it wait.
    ERESTARTSYS = 512;
}

impl fmt::Display for Errno {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.name() {
            Some(name) => f.write_str(name),
            None => write!(f, "errno {}", self.0),
        }
    }
}

impl fmt::Debug for Errno {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Errno({self})")
    }
}

impl core::error::Error for Errno {}

impl From<kho::KhoError> for Errno {
    fn from(error: kho::KhoError) -> Self {
        Self(error.errno())
    }
}

#[cfg(test)]
mod tests {
    use std::format;

    use super::*;

    #[test]
    fn known_errors_have_their_name_and_others_their_number() {
        assert_eq!(format!("{}", Errno::ENOTTY), "ENOTTY");
        assert_eq!(format!("{:?}", Errno(4095)), "Errno(errno 4095)");
    }
}
