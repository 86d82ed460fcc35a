//! Failures on purpose: what `--inject` says.

use std::fmt;
use std::str::FromStr;
use std::time::Duration;

use luo::Errno;

/// A call of the live update interface, by its name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum CallName {
    /// Opening `/dev/liveupdate`.
    Open,
    /// `LIVEUPDATE_IOCTL_CREATE_SESSION`.
    CreateSession,
    /// `LIVEUPDATE_IOCTL_RETRIEVE_SESSION`.
    RetrieveSession,
    /// `LIVEUPDATE_SESSION_PRESERVE_FD`.
    PreserveFd,
    /// `LIVEUPDATE_SESSION_RETRIEVE_FD`, in the v4 dialect `LIVEUPDATE_SESSION_RESTORE_FD`.
    RetrieveFd,
    /// `LIVEUPDATE_SESSION_FINISH`; mainline only.
    Finish,
    /// `LIVEUPDATE_SESSION_GET_NAME`; mainline only.
    GetName,
    /// `kexec_file_load()`.
    KexecFileLoad,
    /// `reboot(LINUX_REBOOT_CMD_KEXEC)`.
    Reboot,
}

/// Names as typed.
const NAMES: [(&str, CallName); 9] = [
    ("open", CallName::Open),
    ("create_session", CallName::CreateSession),
    ("retrieve_session", CallName::RetrieveSession),
    ("preserve_fd", CallName::PreserveFd),
    ("retrieve_fd", CallName::RetrieveFd),
    ("finish", CallName::Finish),
    ("get_name", CallName::GetName),
    ("kexec_file_load", CallName::KexecFileLoad),
    ("reboot", CallName::Reboot),
];

/// Errors as typed; others by their number.
const ERRORS: [(&str, i32); 21] = [
    ("EPERM", 1),
    ("ENOENT", 2),
    ("EINTR", 4),
    ("EIO", 5),
    ("E2BIG", 7),
    ("EBADF", 9),
    ("EAGAIN", 11),
    ("ENOMEM", 12),
    ("EACCES", 13),
    ("EFAULT", 14),
    ("EBUSY", 16),
    ("EEXIST", 17),
    ("ENODEV", 19),
    ("EINVAL", 22),
    ("ENFILE", 23),
    ("EMFILE", 24),
    ("ENOTTY", 25),
    ("EFBIG", 27),
    ("ENOSPC", 28),
    ("EOPNOTSUPP", 95),
    ("ENOEXEC", 8),
];

/// Nobody waits longer.
const MAX_STALL: Duration = Duration::from_hours(24);

/// What is done to a call.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Effect {
    /// It fails with this, and nothing is done.
    Fail(Errno),
    /// It begins this much later.
    Stall(Duration),
    /// It is done, and a part of the handover is damaged behind its back; of a reboot only.
    Corrupt(Part),
}

/// A part of the handover that can be damaged.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Part {
    /// A page of content of a memfd: the client must notice.
    Content,
    /// The first session: the next kernel cannot import any, and the device answers `EIO`.
    Sessions,
    /// The LUO state: the next kernel panics.
    Luo,
    /// The root FDT: the next kernel starts as if there were no handover.
    Fdt,
}

const PARTS: [(&str, Part); 4] = [
    ("content", Part::Content),
    ("sessions", Part::Sessions),
    ("luo", Part::Luo),
    ("fdt", Part::Fdt),
];

/// A failure on purpose: `CALL[:N]=EFFECT`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Injection {
    /// Which call.
    pub call: CallName,
    /// The how manieth of the whole run, from 1; all of them when not given.
    pub nth: Option<u32>,
    /// What is done to it.
    pub effect: Effect,
}

/// Not an injection.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum InjectionError {
    /// No `=`.
    #[error("not CALL[:N]=ERRNO|stall:MS|corrupt[:PART]")]
    Form,
    /// No such call.
    #[error(
        "no call \"{name}\"; there are open, create_session, retrieve_session, preserve_fd, retrieve_fd, finish, get_name, kexec_file_load, reboot"
    )]
    Call {
        /// What was typed.
        name: String,
    },
    /// Not a number from 1.
    #[error("\"{text}\" does not count calls from 1")]
    Count {
        /// What was typed.
        text: String,
    },
    /// No such effect.
    #[error(
        "no effect \"{text}\"; there are errors (EIO or a number from 1 to 4095), stall:MILLISECONDS, and for reboot corrupt[:content|sessions|luo|fdt]"
    )]
    Effect {
        /// What was typed.
        text: String,
    },
}

impl FromStr for Injection {
    type Err = InjectionError;

    fn from_str(text: &str) -> Result<Self, InjectionError> {
        let (call, effect) = text.split_once('=').ok_or(InjectionError::Form)?;
        let (name, nth) = match call.split_once(':') {
            None => (call, None),
            Some((name, count)) => (name, Some(count)),
        };
        let call = by_name(&NAMES, name).ok_or_else(|| InjectionError::Call {
            name: name.to_owned(),
        })?;
        let nth = nth.map(|text| match text.parse() {
            Ok(nth) if nth > 0 => Ok(nth),
            _ => Err(InjectionError::Count {
                text: text.to_owned(),
            }),
        });
        let unknown = || InjectionError::Effect {
            text: effect.to_owned(),
        };
        Ok(Self {
            call,
            nth: nth.transpose()?,
            effect: read_effect(call, effect).ok_or_else(unknown)?,
        })
    }
}

fn by_name<T: Copy>(table: &[(&str, T)], name: &str) -> Option<T> {
    let found = table.iter().find(|(known, _)| *known == name);
    found.map(|&(_, value)| value)
}

fn read_effect(call: CallName, text: &str) -> Option<Effect> {
    if let Some(part) = text.strip_prefix("corrupt") {
        let part = match part.strip_prefix(':') {
            None if part.is_empty() => Part::Content,
            None => return None,
            Some(name) => by_name(&PARTS, name)?,
        };
        return (call == CallName::Reboot).then_some(Effect::Corrupt(part));
    }
    if let Some(time) = text.strip_prefix("stall:") {
        let time = Duration::from_millis(time.parse().ok()?);
        return (time <= MAX_STALL).then_some(Effect::Stall(time));
    }
    let number = by_name(&ERRORS, text).or_else(|| text.parse().ok())?;
    (1..4096)
        .contains(&number)
        .then_some(Effect::Fail(Errno(number)))
}

impl fmt::Display for CallName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let name = NAMES.iter().find(|(_, call)| call == self);
        f.write_str(name.map_or("call", |(name, _)| name))
    }
}

impl fmt::Display for Part {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let name = PARTS.iter().find(|(_, part)| part == self);
        f.write_str(name.map_or("part", |(name, _)| name))
    }
}

/// Counts calls and says what is done to each.
#[derive(Debug)]
pub(crate) struct Injector {
    injections: Vec<Injection>,
    counts: Vec<(CallName, u32)>,
}

impl Injector {
    pub(crate) fn new(injections: Vec<Injection>) -> Self {
        Self {
            injections,
            counts: Vec::new(),
        }
    }

    /// A call is made: what is to be done to it. The first that applies wins.
    pub(crate) fn next(&mut self, call: CallName) -> Option<Effect> {
        let index = self.counts.iter().position(|&(known, _)| known == call);
        let index = index.unwrap_or_else(|| {
            self.counts.push((call, 0));
            self.counts.len().saturating_sub(1)
        });
        let (_, count) = self.counts.get_mut(index)?;
        *count = count.saturating_add(1);
        let applies = |it: &&Injection| it.call == call && it.nth.is_none_or(|nth| nth == *count);
        self.injections.iter().find(applies).map(|it| it.effect)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(text: &str) -> Injection {
        text.parse().unwrap()
    }

    #[test]
    fn what_is_typed_is_understood() {
        let fail = parse("preserve_fd:2=EBUSY");
        assert_eq!((fail.call, fail.nth), (CallName::PreserveFd, Some(2)));
        assert_eq!(fail.effect, Effect::Fail(Errno::EBUSY));
        assert_eq!(parse("open=71").effect, Effect::Fail(Errno(71)));
        let stall = parse("finish=stall:250").effect;
        assert_eq!(stall, Effect::Stall(Duration::from_millis(250)));
        let content = parse("reboot:1=corrupt").effect;
        assert_eq!(content, Effect::Corrupt(Part::Content));
        let luo = parse("reboot=corrupt:luo").effect;
        assert_eq!(luo, Effect::Corrupt(Part::Luo));
    }

    #[test]
    fn nonsense_is_refused_with_what_there_is() {
        for text in [
            "",
            "open",
            "opens=EIO",
            "open:0=EIO",
            "open:x=EIO",
            "open=EWHAT",
            "open=0",
            "open=4096",
            "open=-1",
            "open=corrupt",
            "reboot=corrupt:x",
            "reboot=corrupted",
            "open=stall:",
            "open=stall:-1",
            "open=stall:18446744073709551615",
        ] {
            assert!(text.parse::<Injection>().is_err(), "{text}");
        }
        let error = "opens=EIO".parse::<Injection>().unwrap_err();
        assert!(error.to_string().contains("retrieve_fd"));
    }

    #[test]
    fn only_the_call_of_that_number_is_meant() {
        let mut injector = Injector::new(vec![parse("open:2=EIO"), parse("finish=EBUSY")]);
        let opens = [(); 3].map(|()| injector.next(CallName::Open));
        assert_eq!(opens, [None, Some(Effect::Fail(Errno::EIO)), None]);
        let finish = [(); 2].map(|()| injector.next(CallName::Finish));
        assert_eq!(finish, [Some(Effect::Fail(Errno::EBUSY)); 2]);
        assert_eq!(injector.next(CallName::Reboot), None);
    }
}
