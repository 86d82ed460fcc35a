//! How far an update is, and what may happen next.

use core::fmt;

use serde::{Deserialize, Serialize};

/// The phases of a host, as the LUO v4 series (2025-09-29) named the machine's states.
///
/// ```text
///           PREPARE                FREEZE             reboot(KEXEC)            FINISH
/// NORMAL ───────────▶ PREPARED ───────────▶ FROZEN ═══════════════▶ UPDATED ───────────▶ NORMAL
///    ▲                    │ CANCEL             │ CANCEL / failure
///    └────────────────────┴────────────────────┘
/// ```
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Phase {
    /// No update under way.
    #[default]
    Normal,
    /// Everything is preserved; services go on working, the size of their memory is fixed.
    Prepared,
    /// Services have stopped changing their memory; the jump follows.
    Frozen,
    /// This kernel came from an update that not every service has finished.
    Updated,
}

/// What moves a [`Phase`] on.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Event {
    /// Preserve everything.
    Prepare,
    /// Stop changing it.
    Freeze,
    /// Undo: everything is unpreserved, services go on as before.
    Cancel,
    /// The next kernel found what was handed over.
    Jump,
    /// Every session is finished.
    Finish,
}

/// An event that makes no sense in this phase.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{event} is not possible while the host is {phase}; {}", advice(*.phase))]
pub struct IllegalEvent {
    /// The phase found.
    pub phase: Phase,
    /// The event asked for.
    pub event: Event,
}

fn advice(phase: Phase) -> &'static str {
    match phase {
        Phase::Normal => "no update is under way",
        Phase::Prepared | Phase::Frozen => "go on with the update under way or cancel it",
        Phase::Updated => "finish the last update first",
    }
}

impl Phase {
    /// The phase after `event`.
    ///
    /// # Errors
    /// [`IllegalEvent`] where the diagram has no such arrow.
    pub const fn after(self, event: Event) -> Result<Self, IllegalEvent> {
        match (self, event) {
            (Self::Normal, Event::Prepare) => Ok(Self::Prepared),
            (Self::Prepared, Event::Freeze) => Ok(Self::Frozen),
            (Self::Prepared | Self::Frozen, Event::Cancel) | (Self::Updated, Event::Finish) => {
                Ok(Self::Normal)
            }
            (Self::Frozen, Event::Jump) => Ok(Self::Updated),
            _ => Err(IllegalEvent { phase: self, event }),
        }
    }

    /// The name in messages and on the wire.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Normal => "normal",
            Self::Prepared => "prepared",
            Self::Frozen => "frozen",
            Self::Updated => "updated",
        }
    }
}

impl Event {
    /// The name in messages and on the wire.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Prepare => "prepare",
            Self::Freeze => "freeze",
            Self::Cancel => "cancel",
            Self::Jump => "jump",
            Self::Finish => "finish",
        }
    }
}

impl fmt::Display for Phase {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl fmt::Display for Event {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_whole_way_and_both_ways_back() {
        let way = [Event::Prepare, Event::Freeze, Event::Jump, Event::Finish];
        let end = way
            .iter()
            .try_fold(Phase::Normal, |phase, &event| phase.after(event));
        assert_eq!(end, Ok(Phase::Normal));
        assert_eq!(Phase::Prepared.after(Event::Cancel), Ok(Phase::Normal));
        assert_eq!(Phase::Frozen.after(Event::Cancel), Ok(Phase::Normal));
    }

    #[test]
    fn exactly_six_of_the_twenty_arrows_exist() {
        let phases = [
            Phase::Normal,
            Phase::Prepared,
            Phase::Frozen,
            Phase::Updated,
        ];
        let events = [
            Event::Prepare,
            Event::Freeze,
            Event::Cancel,
            Event::Jump,
            Event::Finish,
        ];
        let legal = phases
            .iter()
            .flat_map(|phase| events.iter().map(move |&event| phase.after(event)))
            .filter(Result::is_ok)
            .count();
        assert_eq!(legal, 6);
    }

    #[test]
    fn an_unfinished_update_refuses_the_next_and_says_what_to_do() {
        use std::string::ToString as _;
        let error = Phase::Updated.after(Event::Prepare).unwrap_err();
        assert!(error.to_string().contains("finish the last update first"));
    }
}
