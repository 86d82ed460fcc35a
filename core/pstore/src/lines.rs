//! Lines of a log: `<6>[    1.234567][    T1] text`, where everything before the text may be missing.
//!
//! Source: `record_print_text()`, `info_print_prefix()` (`kernel/printk/printk.c`), v7.3.

use alloc::borrow::Cow;
use alloc::string::String;

use serde::{Deserialize, Serialize};

/// Longest text between brackets that is a time or a caller.
const MAX_BRACKET_BYTES: usize = 32;

/// How grave a line is, 0 to 7.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Level(u8);

impl Level {
    /// Names, from 0.
    const NAMES: [&'static str; 8] = [
        "emerg", "alert", "crit", "err", "warning", "notice", "info", "debug",
    ];

    /// Its name, as `dmesg` has it.
    pub fn name(self) -> &'static str {
        Self::NAMES.get(usize::from(self.0)).copied().unwrap_or("?")
    }

    /// The level of a name, or of a digit from 0 to 7.
    pub fn named(name: &str) -> Option<Self> {
        let short = match name {
            "warn" => "warning",
            "error" => "err",
            other => other,
        };
        let digit = |at: usize| u8::try_from(at).ok().map(Self);
        if let Some(at) = Self::NAMES.iter().position(|known| *known == short) {
            return digit(at);
        }
        name.parse().ok().filter(|number| *number < 8).map(Self)
    }
}

/// Time since the kernel started, in microseconds.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Stamp {
    /// The microseconds.
    pub micros: u64,
}

/// A line of a log.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Line<'a> {
    /// How grave it is; none where lines have no `<…>`.
    pub level: Option<Level>,
    /// Which part of the system it is of: 0 the kernel, 1 programs.
    pub facility: Option<u32>,
    /// When it was written; none where times are not printed.
    #[serde(rename = "time_us")]
    pub time: Option<Stamp>,
    /// The thread (`T1`) or processor (`C0`) that wrote it; none where that is not printed.
    pub caller: Option<&'a str>,
    /// What it says; bytes that are no UTF-8 are replaced.
    pub text: Cow<'a, str>,
}

/// Lines of a text, in order; empty ones are left out.
pub fn lines(text: &[u8]) -> impl Iterator<Item = Line<'_>> {
    let lines = text.split(|byte| *byte == b'\n');
    lines.filter(|line| !line.is_empty()).map(line)
}

fn line(bytes: &[u8]) -> Line<'_> {
    let (priority, rest) = match priority(bytes) {
        Some((priority, rest)) => (Some(priority), rest),
        None => (None, bytes),
    };
    let (time, rest) = match bracket(rest).and_then(|(inner, rest)| Some((stamp(inner)?, rest))) {
        Some((time, rest)) => (Some(time), rest),
        None => (None, rest),
    };
    let caller = time.and_then(|_| bracket(rest));
    let caller = caller.filter(|(inner, _)| is_caller(inner));
    let (caller, rest) = match caller {
        Some((caller, rest)) => (Some(caller), rest),
        None => (None, rest),
    };
    let text = match time {
        Some(_) => rest.strip_prefix(b" ").unwrap_or(rest),
        None => rest,
    };
    let low = |number: u32| u8::try_from(number & 7).ok().map(Level);
    Line {
        level: priority.and_then(low),
        facility: priority.map(|number| number >> 3),
        time,
        caller,
        text: String::from_utf8_lossy(text),
    }
}

/// `<30>`: facility times eight plus level.
fn priority(bytes: &[u8]) -> Option<(u32, &[u8])> {
    let rest = bytes.strip_prefix(b"<")?;
    let end = rest.iter().take(11).position(|byte| *byte == b'>')?;
    let number = decimal(rest.get(..end)?)?;
    let number = u32::try_from(number).ok()?;
    Some((number, rest.get(end.checked_add(1)?..)?))
}

/// `[…]` at the start: what is in it without blanks around, and what follows.
fn bracket(bytes: &[u8]) -> Option<(&str, &[u8])> {
    let rest = bytes.strip_prefix(b"[")?;
    let near = rest.iter().take(MAX_BRACKET_BYTES);
    let end = near.into_iter().position(|byte| *byte == b']')?;
    let inner = core::str::from_utf8(rest.get(..end)?).ok()?;
    Some((inner.trim_matches(' '), rest.get(end.checked_add(1)?..)?))
}

/// `12.345678`: seconds and six digits.
fn stamp(text: &str) -> Option<Stamp> {
    let (seconds, micros) = text.split_once('.')?;
    if micros.len() != 6 {
        return None;
    }
    let seconds = decimal(seconds.as_bytes())?.checked_mul(1_000_000)?;
    let micros = seconds.checked_add(decimal(micros.as_bytes())?)?;
    Some(Stamp { micros })
}

fn is_caller(text: &str) -> bool {
    let digits = text.strip_prefix(['T', 'C']);
    digits.is_some_and(|digits| decimal(digits.as_bytes()).is_some())
}

fn decimal(digits: &[u8]) -> Option<u64> {
    if digits.is_empty() || !digits.iter().all(u8::is_ascii_digit) {
        return None;
    }
    core::str::from_utf8(digits).ok()?.parse().ok()
}

#[cfg(test)]
mod tests {
    use alloc::vec::Vec;

    use super::*;

    fn one(text: &str) -> Line<'_> {
        let all: Vec<_> = lines(text.as_bytes()).collect();
        assert_eq!(all.len(), 1, "{all:?}");
        all.into_iter().next().unwrap()
    }

    #[test]
    fn prefixes_are_split_from_the_text() {
        let line = one("<12>[   12.345678][   T42] luod: [1.5] frozen\n");
        assert_eq!(line.level.map(Level::name), Some("warning"));
        assert_eq!(line.facility, Some(1));
        assert_eq!(line.time, Some(Stamp { micros: 12_345_678 }));
        assert_eq!(line.caller, Some("T42"));
        assert_eq!(line.text, "luod: [1.5] frozen");
        let line = one("<6>kexec_core: Starting new kernel");
        assert_eq!((line.level, line.time), (Some(Level(6)), None));
        assert_eq!(line.text, "kexec_core: Starting new kernel");
        // A console has no levels.
        let line = one("[    0.000000] Linux version 7.3.4");
        assert_eq!(line.time, Some(Stamp { micros: 0 }));
        assert_eq!(line.text, "Linux version 7.3.4");
    }

    #[test]
    fn text_that_only_looks_like_a_prefix_is_text() {
        for text in [
            "<x>y",
            "<6",
            "[1.5] a",
            "[abc.123456] b",
            "[T1] c",
            "<99999999999>d",
        ] {
            assert_eq!(one(text).text, text);
        }
        assert_eq!(one("[    1.000000][ x1] y").text, "[ x1] y");
    }

    #[test]
    fn levels_have_names_and_digits() {
        assert_eq!(Level::named("warn"), Some(Level(4)));
        assert_eq!(Level::named("7"), Some(Level(7)));
        assert_eq!(Level::named("8"), None);
        assert_eq!(Level::named("loud"), None);
    }

    #[test]
    fn bytes_that_are_no_text_are_replaced() {
        let found: Vec<_> = lines(b"<6>a\xff\n\n\nb").collect();
        assert_eq!(found.len(), 2);
        assert_eq!(found[0].text, "a\u{fffd}");
        assert_eq!(found[1].text, "b");
    }
}
