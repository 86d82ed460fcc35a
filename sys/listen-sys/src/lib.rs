//! Descriptors that a service manager passes to a service it starts, as `sd_listen_fds_with_names(3)` has it.
//!
//! They are open from 3 on when the program starts. `LISTEN_PID` says for which process, `LISTEN_FDS` how many,
//! `LISTEN_FDNAMES` their names, with colons between. [`take`] makes them owned, once.

#![expect(
    unsafe_code,
    reason = "a descriptor that was open when the program began belongs to nobody until it is taken"
)]

use std::env;
use std::ffi::OsStr;
use std::fs;
use std::num::ParseIntError;
use std::os::fd::{FromRawFd as _, OwnedFd, RawFd};
use std::sync::atomic::{AtomicBool, Ordering};

use rustix::io::FdFlags;

/// The first descriptor (`SD_LISTEN_FDS_START`, `sd-daemon.h` of systemd 262).
const FIRST: RawFd = 3;
/// Name of a descriptor that has none (`sd_listen_fds_with_names(3)`).
const UNNAMED: &str = "unknown";

/// Why what was passed cannot be taken.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// A variable is no number.
    #[error("{variable} is {value:?}, which is no number")]
    NoNumber {
        /// The variable.
        variable: &'static str,
        /// Its value.
        value: String,
        /// Why.
        source: ParseIntError,
    },
    /// A descriptor that was announced is not open.
    #[error("LISTEN_FDS announces descriptors up to {last}, and {number} is not open")]
    NotOpen {
        /// Its number.
        number: RawFd,
        /// The last number announced.
        last: RawFd,
    },
    /// Not as many names as descriptors.
    #[error("LISTEN_FDNAMES has {names} names for {descriptors} descriptors")]
    Names {
        /// Names.
        names: usize,
        /// Descriptors.
        descriptors: usize,
    },
    /// Close-on-exec could not be set.
    #[error("descriptor {number} cannot be made to close on exec")]
    CloseOnExec {
        /// Its number.
        number: RawFd,
        /// Why.
        source: rustix::io::Errno,
    },
}

/// Takes every descriptor that was passed to this process, in order, with its name; none at the second call.
///
/// # Errors
/// [`Error`]: the variables do not fit each other or what is open. Nothing is taken then.
pub fn take() -> Result<Vec<(String, OwnedFd)>, Error> {
    static TAKEN: AtomicBool = AtomicBool::new(false);
    let names = announced(env::var_os, std::process::id())?;
    let last = RawFd::try_from(names.len())
        .unwrap_or(RawFd::MAX)
        .saturating_add(FIRST - 1);
    if let Some(number) = (FIRST..=last).find(|number| !is_open(*number)) {
        return Err(Error::NotOpen { number, last });
    }
    if TAKEN.swap(true, Ordering::SeqCst) {
        return Ok(Vec::new());
    }
    (FIRST..=last)
        .zip(names)
        .map(|(number, name)| {
            // SAFETY: it is open, as seen above, and has been since the program began: `LISTEN_PID` says that the
            // manager opened it for this very process, so neither the standard library nor anybody else was given
            // this number by the kernel. `TAKEN` lets nobody take it twice.
            let fd = unsafe { OwnedFd::from_raw_fd(number) };
            rustix::io::fcntl_setfd(&fd, FdFlags::CLOEXEC)
                .map(|()| (name, fd))
                .map_err(|source| Error::CloseOnExec { number, source })
        })
        .collect()
}

/// The names of what was passed to process `pid`.
fn announced(
    variable: impl Fn(&'static str) -> Option<std::ffi::OsString>,
    pid: u32,
) -> Result<Vec<String>, Error> {
    let number = |name: &'static str| variable(name).map(|value| parse(name, &value)).transpose();
    let (Some(for_pid), Some(count)) = (number("LISTEN_PID")?, number("LISTEN_FDS")?) else {
        return Ok(Vec::new());
    };
    // Inherited from a parent that it was meant for.
    if for_pid != u64::from(pid) || count == 0 {
        return Ok(Vec::new());
    }
    let descriptors = usize::try_from(count).unwrap_or(usize::MAX);
    let Some(names) = variable("LISTEN_FDNAMES") else {
        // Bounded: more cannot be open (`NR_OPEN`, `include/uapi/linux/fs.h`, v7.3).
        return Ok(vec![UNNAMED.to_owned(); descriptors.min(1 << 20)]);
    };
    let names: Vec<_> = names
        .to_string_lossy()
        .split(':')
        .map(ToOwned::to_owned)
        .collect();
    if names.len() != descriptors {
        let names = names.len();
        return Err(Error::Names { names, descriptors });
    }
    Ok(names)
}

fn parse(variable: &'static str, value: &OsStr) -> Result<u64, Error> {
    let value = value.to_string_lossy().into_owned();
    value.parse().map_err(|source| Error::NoNumber {
        variable,
        value,
        source,
    })
}

fn is_open(number: RawFd) -> bool {
    fs::symlink_metadata(format!("/proc/self/fd/{number}")).is_ok()
}

#[cfg(test)]
mod tests {
    use std::ffi::OsString;

    use super::*;

    fn names(pid: &str, count: &str, names: Option<&str>) -> Result<Vec<String>, Error> {
        let value = |name: &str| match name {
            "LISTEN_PID" => Some(OsString::from(pid)),
            "LISTEN_FDS" => Some(OsString::from(count)),
            _ => names.map(OsString::from),
        };
        announced(value, 7)
    }

    #[test]
    fn names_are_those_of_the_variables() {
        assert_eq!(names("7", "2", Some("a:b/c")).unwrap(), ["a", "b/c"]);
        assert_eq!(names("7", "1", None).unwrap(), ["unknown"]);
        assert!(names("7", "0", Some("")).unwrap().is_empty());
        assert!(announced(|_| None, 7).unwrap().is_empty());
    }

    #[test]
    fn what_was_passed_to_a_parent_is_not_ours() {
        assert!(names("6", "2", Some("a:b")).unwrap().is_empty());
    }

    #[test]
    fn variables_that_do_not_fit_are_refused() {
        let text = |answer: Result<_, Error>| answer.unwrap_err().to_string();
        assert_eq!(
            text(names("7", "2", Some("a"))),
            "LISTEN_FDNAMES has 1 names for 2 descriptors"
        );
        assert_eq!(
            text(names("7", "two", Some("a:b"))),
            "LISTEN_FDS is \"two\", which is no number"
        );
        assert!(text(names("7", "-1", None)).contains("LISTEN_FDS"));
        assert_eq!(names("7", "99999999999", None).unwrap().len(), 1 << 20);
    }

    /// The one test that passes descriptors, in a process of its own.
    #[test]
    fn descriptors_are_taken_once() {
        if env::var_os("LISTEN_FDNAMES").is_none() {
            let test = "tests::descriptors_are_taken_once";
            let own = env::current_exe().unwrap();
            let script = format!(
                "LISTEN_PID=$$ exec {} --exact {test} 3</dev/null 4</dev/zero",
                own.display()
            );
            let status = std::process::Command::new("/bin/sh")
                .args(["-c", &script])
                .env("LISTEN_FDS", "2")
                .env("LISTEN_FDNAMES", "null:zero")
                .status();
            assert!(status.unwrap().success());
            return;
        }
        let taken = take().unwrap();
        let names: Vec<_> = taken.iter().map(|(name, _)| name.as_str()).collect();
        assert_eq!(names, ["null", "zero"]);
        let mut byte = [1];
        assert_eq!(rustix::io::read(&taken[1].1, &mut byte), Ok(1));
        assert_eq!(byte, [0]);
        assert!(
            rustix::io::fcntl_getfd(&taken[0].1)
                .unwrap()
                .contains(FdFlags::CLOEXEC)
        );
        assert!(take().unwrap().is_empty());
    }
}
