//! A message of `sd_notify(3)`, as far as it is about the store.

/// Longest name of a descriptor (`FDNAME_MAX`, `src/basic/fd-util.h` of systemd 262).
const LONGEST_NAME: usize = 255;
/// Name of a descriptor that was stored without one.
const UNNAMED: &str = "stored";

/// What a message wants of the store.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Action {
    /// Store every descriptor that came along, under this name.
    Store(String),
    /// Remove every descriptor of this name.
    Remove(String),
    /// Close the descriptor that came along once everything before is worked off.
    Barrier,
}

/// A message.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Message {
    /// What it wants; nothing where it is about something else.
    pub action: Option<Action>,
    /// What is wrong with it, for the log.
    pub complaint: Option<&'static str>,
}

impl Message {
    /// Reads a message: lines of `NAME=value`. The rules are those of systemd: a bad name is none, `BARRIER=1` stands alone,
    /// removing needs a name.
    pub fn parse(bytes: &[u8]) -> Self {
        let Ok(text) = std::str::from_utf8(bytes) else {
            return Self::wrong("it is not UTF-8");
        };
        let lines: Vec<&str> = text.lines().filter(|line| !line.is_empty()).collect();
        let has = |wanted: &str| lines.contains(&wanted);
        let name = lines.iter().find_map(|line| line.strip_prefix("FDNAME="));
        let is_bad = name.is_some_and(|name| !is_name(name));
        let name = name.filter(|_| !is_bad);
        let bad = is_bad.then_some("FDNAME= is no name for a descriptor");
        if has("BARRIER=1") {
            if lines.len() != 1 {
                return Self::wrong("BARRIER=1 does not stand alone");
            }
            return Self::about(Action::Barrier, None);
        }
        if has("FDSTOREREMOVE=1") {
            return match name {
                Some(name) => Self::about(Action::Remove(name.to_owned()), None),
                None => Self::wrong(bad.unwrap_or("FDSTOREREMOVE=1 without FDNAME=")),
            };
        }
        if has("FDSTORE=1") {
            return Self::about(Action::Store(name.unwrap_or(UNNAMED).to_owned()), bad);
        }
        Self {
            action: None,
            complaint: None,
        }
    }

    const fn wrong(complaint: &'static str) -> Self {
        Self {
            action: None,
            complaint: Some(complaint),
        }
    }

    const fn about(action: Action, complaint: Option<&'static str>) -> Self {
        Self {
            action: Some(action),
            complaint,
        }
    }
}

/// Whether it can stand in `$LISTEN_FDNAMES`: ASCII that can be printed, and no colon.
fn is_name(name: &str) -> bool {
    let is_fine = |byte: u8| (b' '..127).contains(&byte) && byte != b':';
    name.len() <= LONGEST_NAME && name.bytes().all(is_fine)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn action(text: &str) -> Option<Action> {
        Message::parse(text.as_bytes()).action
    }

    #[test]
    fn names_and_words_are_read_by_the_rules_of_systemd() {
        let store = |name: &str| Some(Action::Store(name.to_owned()));
        assert_eq!(action("FDSTORE=1\nFDNAME=a b/c\n"), store("a b/c"));
        assert_eq!(action("FDNAME=x\nREADY=1\nFDSTORE=1"), store("x"));
        assert_eq!(action("FDSTORE=1"), store("stored"));
        assert_eq!(action("FDSTORE=1\nFDNAME="), store(""));
        let bad = Message::parse(b"FDSTORE=1\nFDNAME=a:b");
        assert_eq!(bad.action, store("stored"));
        assert!(bad.complaint.is_some());
        let long = format!("FDSTORE=1\nFDNAME={}", "n".repeat(256));
        assert_eq!(action(&long), store("stored"));
        let remove = Some(Action::Remove("x".to_owned()));
        assert_eq!(action("FDSTOREREMOVE=1\nFDNAME=x"), remove);
        // Removing wins, as with systemd.
        assert_eq!(action("FDSTORE=1\nFDSTOREREMOVE=1\nFDNAME=x"), remove);
        assert!(Message::parse(b"FDSTOREREMOVE=1").complaint.is_some());
        assert_eq!(action("BARRIER=1"), Some(Action::Barrier));
        assert_eq!(action("BARRIER=1\nREADY=1"), None);
        assert_eq!(Message::parse(b"READY=1\nSTATUS=x").complaint, None);
        assert!(Message::parse(b"\xff").complaint.is_some());
    }

    proptest! {
        #[test]
        fn whatever_is_said_a_name_fits_into_the_variable(bytes in prop::collection::vec(any::<u8>(), 0..600)) {
            let message = Message::parse(&bytes);
            if let Some(Action::Store(name) | Action::Remove(name)) = message.action {
                prop_assert!(is_name(&name));
            }
        }
    }
}
