//! Lines of the protocol: JSON objects, one a line, of at most [`LONGEST_LINE`] bytes.

use serde::{Deserialize, Serialize};

/// Longest line of a client.
pub(crate) const LONGEST_LINE: usize = 16 << 10;
/// Version of the protocol.
pub(crate) const VERSION: u32 = 1;

/// What goes beyond the C agent's protocol; a client has only what it names in its HELLO.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Feature {
    /// It is told FREEZE, and answers READY; else luod answers in its place.
    Freeze,
    /// It is told CANCEL.
    Cancel,
    /// Its commands are answered by DONE.
    Done,
    /// From a newer client.
    #[serde(other)]
    Unknown,
}

/// Every feature of this luod.
pub(crate) const FEATURES: [Feature; 3] = [Feature::Freeze, Feature::Cancel, Feature::Done];

/// What a client says.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(tag = "cmd", rename_all = "UPPERCASE")]
pub enum Command {
    /// Which features it knows.
    Hello {
        /// Those that luod does not know are left out of the answer.
        #[serde(default)]
        features: Vec<Feature>,
    },
    /// It takes part in updates under this name, and runs.
    Subscribe {
        /// The name.
        id: String,
    },
    /// It is ready for what follows the last event.
    Ready,
    /// It wants the session that came over under this name.
    Claim {
        /// The name.
        id: String,
    },
    /// It refuses the update.
    Veto {
        /// Why, for the operator.
        #[serde(default)]
        reason: String,
    },
    /// It has everything that it wants of its session.
    Finish,
}

/// What a client is told.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(tag = "event", rename_all = "SCREAMING_SNAKE_CASE")]
pub(crate) enum Event {
    /// The answer to HELLO.
    Hello {
        /// [`VERSION`].
        version: u32,
        /// `luod` and its version.
        server: String,
        /// What both know.
        features: Vec<Feature>,
    },
    /// Preserve in the session that comes along, then say READY.
    StartPreservation {
        /// The client's name.
        id: String,
        /// Time for it.
        deadline_ms: u64,
    },
    /// Stop changing what is preserved, then say READY: the jump follows.
    Freeze {
        /// The client's name.
        id: String,
        /// Time for it.
        deadline_ms: u64,
    },
    /// The update was given up: close the session and go on.
    Cancel {
        /// The client's name.
        id: String,
    },
    /// The session that came over comes along.
    Claimed {
        /// The client's name.
        id: String,
    },
    /// The last command is done.
    Done,
    /// The last command was refused.
    Error {
        /// Name of the kind, as luoctl has it.
        code: &'static str,
        /// What happened.
        message: String,
        /// What to do about it; empty when nothing is to be said.
        hint: String,
    },
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_are_those_of_the_c_agent() {
        let parse = |line: &str| serde_json::from_str::<Command>(line);
        let id = "vm".to_owned();
        let subscribe = parse(r#"{"cmd":"SUBSCRIBE","id":"vm"}"#).unwrap();
        assert_eq!(subscribe, Command::Subscribe { id: id.clone() });
        let more = parse(r#"{"cmd":"CLAIM","id":"vm","flags":7}"#).unwrap();
        assert_eq!(more, Command::Claim { id: id.clone() });
        assert_eq!(parse(r#"{"cmd":"READY"}"#).unwrap(), Command::Ready);
        let hello = parse(r#"{"cmd":"HELLO","version":9,"features":["freeze","teleport"]}"#);
        let features = vec![Feature::Freeze, Feature::Unknown];
        assert_eq!(hello.unwrap(), Command::Hello { features });
        for wrong in [
            "",
            "{}",
            "[]",
            r#"{"cmd":"JUMP"}"#,
            r#"{"cmd":"SUBSCRIBE"}"#,
        ] {
            assert!(parse(wrong).is_err(), "{wrong}");
        }
        let event = Event::StartPreservation { id, deadline_ms: 5 };
        let line = serde_json::to_string(&event).unwrap();
        assert_eq!(
            line,
            r#"{"event":"START_PRESERVATION","id":"vm","deadline_ms":5}"#
        );
    }
}
