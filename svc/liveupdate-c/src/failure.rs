//! What became of a call: a negative errno, and the words for it in the thread that called.

use std::cell::RefCell;
use std::error::Error as _;
use std::ffi::{CStr, CString, c_char, c_int};
use std::fmt;

use liveupdate::{Code, Error};
use rustix::io::Errno;

/// A call that failed.
#[derive(Debug)]
pub struct Failure {
    errno: Errno,
    text: String,
    refusal: Option<Code>,
}

thread_local! {
    /// The last one of this thread: its words, and luod's refusal if it was one.
    static LAST: RefCell<(CString, c_int)> = RefCell::default();
}

impl Failure {
    /// A failure that is the caller's.
    pub(crate) fn new(errno: Errno, text: impl fmt::Display) -> Self {
        Self {
            errno,
            text: text.to_string(),
            refusal: None,
        }
    }

    /// What the caller is answered, made positive.
    pub const fn errno(&self) -> Errno {
        self.errno
    }
}

impl From<Error> for Failure {
    fn from(error: Error) -> Self {
        let mut text = error.to_string();
        let mut source = error.source();
        while let Some(cause) = source {
            text = format!("{text}: {cause}");
            source = cause.source();
        }
        let refusal = match &error {
            Error::Refused(refusal) => Some(refusal.code),
            _ => None,
        };
        Self {
            errno: errno_of(&error),
            text,
            refusal,
        }
    }
}

/// The number of each error, in the words of the header.
fn errno_of(error: &Error) -> Errno {
    match error {
        Error::Unreachable { .. } => Errno::CONNREFUSED,
        Error::Refused(refusal) => errno_of_refusal(refusal.code),
        Error::Connection(_) => Errno::PIPE,
        Error::NoDescriptor { .. } => Errno::PROTO,
        Error::Kernel(error) => error.errno(),
        Error::Name(_) => Errno::INVAL,
        Error::Schema { .. } => Errno::PROTONOSUPPORT,
        Error::Size { .. } => Errno::MSGSIZE,
        Error::Changed { .. } | Error::Resealed { .. } => Errno::UCLEAN,
        Error::Lost { .. } => Errno::NODATA,
        Error::NotRetrieved { .. } => Errno::NOTEMPTY,
        Error::NeedsLuod { .. } | Error::LuodDoesIt => Errno::OPNOTSUPP,
        Error::Manifest(_) => Errno::BADMSG,
        Error::Memfd { errno, .. } => *errno,
        _ => Errno::IO,
    }
}

const fn errno_of_refusal(code: Code) -> Errno {
    match code {
        Code::InvalidParameter => Errno::INVAL,
        Code::PermissionDenied => Errno::ACCESS,
        Code::NoLiveUpdate => Errno::NODEV,
        Code::DeviceBusy | Code::WrongPhase | Code::Unfinished => Errno::BUSY,
        Code::Cancelled => Errno::CANCELED,
        Code::NotPreservable => Errno::OPNOTSUPP,
        Code::NameTaken => Errno::EXIST,
        Code::NotFound => Errno::NOENT,
        Code::NotRetrieved => Errno::NOTEMPTY,
        Code::HandoverUnreadable => Errno::BADMSG,
        Code::LimitReached => Errno::DQUOT,
        _ => Errno::IO,
    }
}

/// What C is answered; a failure leaves its words behind.
pub(crate) fn answer(result: Result<c_int, Failure>) -> c_int {
    result.unwrap_or_else(|failure| {
        // A name with a zero byte cannot come from C, but a reason of luod's might have one.
        let text = failure.text.replace('\0', "\\0");
        let refusal = failure
            .refusal
            .map_or(0, |code| c_int::from(code.exit_code()));
        LAST.with_borrow_mut(|last| *last = (CString::new(text).unwrap_or_default(), refusal));
        -failure.errno.raw_os_error()
    })
}

/// The words of the last failure of this thread.
pub(crate) fn message() -> *const c_char {
    LAST.with_borrow(|(text, _)| text.as_ptr())
}

/// Its refusal.
pub(crate) fn refusal() -> c_int {
    LAST.with_borrow(|(_, refusal)| *refusal)
}

/// What each number stands for.
const MEANINGS: [(Errno, &CStr); 19] = [
    (Errno::CONNREFUSED, c"luod does not answer"),
    (Errno::PIPE, c"the connection to luod broke"),
    (Errno::PROTO, c"luod answered something unexpected"),
    (Errno::INVAL, c"a parameter is wrong"),
    (Errno::BADF, c"no open descriptor"),
    (Errno::ACCESS, c"not permitted to this user or connection"),
    (Errno::NODEV, c"live update cannot be used here"),
    (Errno::BUSY, c"not now: in use, or an update is under way"),
    (Errno::CANCELED, c"the update was cancelled"),
    (Errno::OPNOTSUPP, c"not possible with this file or store"),
    (Errno::EXIST, c"the name is taken"),
    (Errno::NOENT, c"nothing of this name"),
    (
        Errno::NOTEMPTY,
        c"something that came over was not asked for",
    ),
    (Errno::PROTONOSUPPORT, c"what is kept has another schema"),
    (Errno::MSGSIZE, c"what is kept has another size"),
    (Errno::UCLEAN, c"what came back is not what was kept"),
    (Errno::NODATA, c"what was kept is lost"),
    (
        Errno::BADMSG,
        c"what the previous kernel left cannot be read",
    ),
    (Errno::DQUOT, c"a limit of this user is reached"),
];

/// The words for a number.
pub(crate) fn meaning(error: c_int) -> &'static CStr {
    let known = MEANINGS
        .iter()
        .find(|(errno, _)| errno.raw_os_error() == error.saturating_neg());
    match known {
        Some((_, words)) => words,
        None if error >= 0 => c"no error",
        None => c"the kernel refused, see liveupdate_error_message()",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn last() -> (String, c_int) {
        LAST.with_borrow(|(text, code)| (text.to_string_lossy().into_owned(), *code))
    }

    #[test]
    fn a_refusal_is_told_by_number_words_and_code_in_its_own_thread() {
        let refusal =
            liveupdate::Refusal::new(Code::NameTaken, "taken\0").with_hint("take another");
        let number = answer(Err(Error::Refused(refusal).into()));
        assert_eq!(number, -Errno::EXIST.raw_os_error());
        assert_eq!(last(), ("taken\\0; take another".to_owned(), 13));
        let other = std::thread::spawn(last).join().unwrap();
        assert_eq!(other, (String::new(), 0));
        // What succeeds says nothing.
        assert_eq!(answer(Ok(7)), 7);
        assert_eq!(last().1, 13);
        assert_eq!(meaning(number), c"the name is taken");
    }
}
