//! What luod wants of whoever can end the host, in each phase.

use update::{Event, Phase};

use crate::state::State;

/// A wish about shutdowns that luod does not start itself.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Guard {
    /// None.
    #[default]
    Nothing,
    /// A shutdown must wait for services to be frozen.
    Wait(&'static str),
    /// No shutdown, for this reason: something would be lost.
    Refuse(String),
}

impl Guard {
    /// What `state` calls for.
    pub(crate) fn of(state: &State) -> Self {
        if let Some(step) = &state.step {
            return match step.event {
                Event::Prepare => Self::Refuse("a live update is being prepared".to_owned()),
                // What is frozen is about to jump.
                _ => Self::Nothing,
            };
        }
        match state.journal.phase {
            Phase::Prepared => Self::Wait("services are frozen before the next kernel starts"),
            Phase::Updated => {
                let waiting = state.journal.unfinished().join(", ");
                Self::Refuse(format!(
                    "the last live update is not finished: what {waiting} has not taken back would be lost"
                ))
            }
            _ => Self::Nothing,
        }
    }
}
