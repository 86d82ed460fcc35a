//! Waiting for every participant, or one veto.

use alloc::collections::BTreeMap;
use alloc::string::String;
use alloc::vec::Vec;

/// What a participant has answered.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Answer {
    Awaited,
    Ready,
}

/// How a barrier ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum BarrierOutcome {
    /// Every participant is ready.
    Passed,
    /// A participant refused.
    Vetoed {
        /// Who.
        service: String,
        /// Its own words.
        reason: String,
    },
    /// A participant's connection ended before it answered, or after.
    Ended {
        /// Who.
        service: String,
    },
    /// The operator changed their mind.
    Cancelled {
        /// Why.
        reason: String,
    },
}

/// The participants of one step and their answers. The first veto or loss decides.
#[derive(Clone, Debug, Default)]
pub struct Barrier {
    answers: BTreeMap<String, Answer>,
    broken: Option<BarrierOutcome>,
}

impl Barrier {
    /// A barrier of these participants; without any it is passed at once.
    pub fn new(participants: impl IntoIterator<Item = String>) -> Self {
        let answers = participants
            .into_iter()
            .map(|name| (name, Answer::Awaited))
            .collect();
        Self {
            answers,
            broken: None,
        }
    }

    /// `service` is ready. An answer of somebody who takes no part is ignored.
    pub fn ready(&mut self, service: &str) {
        if let Some(answer) = self.answers.get_mut(service) {
            *answer = Answer::Ready;
        }
    }

    /// `service` refuses; the first refusal stays.
    pub fn veto(&mut self, service: &str, reason: &str) {
        self.break_with(
            service,
            BarrierOutcome::Vetoed {
                service: service.into(),
                reason: reason.into(),
            },
        );
    }

    /// `service` is gone, whatever it answered before.
    pub fn ended(&mut self, service: &str) {
        self.break_with(
            service,
            BarrierOutcome::Ended {
                service: service.into(),
            },
        );
    }

    /// The operator cancels.
    pub fn cancel(&mut self, reason: &str) {
        if self.broken.is_none() {
            self.broken = Some(BarrierOutcome::Cancelled {
                reason: reason.into(),
            });
        }
    }

    fn break_with(&mut self, service: &str, outcome: BarrierOutcome) {
        if self.answers.contains_key(service) && self.broken.is_none() {
            self.broken = Some(outcome);
        }
    }

    /// The outcome, once there is one.
    pub fn outcome(&self) -> Option<BarrierOutcome> {
        if self.broken.is_some() {
            return self.broken.clone();
        }
        let all_ready = self.answers.values().all(|answer| *answer == Answer::Ready);
        all_ready.then_some(BarrierOutcome::Passed)
    }

    /// Whether `service` takes part and has not answered yet.
    pub fn awaits(&self, service: &str) -> bool {
        self.broken.is_none() && self.answers.get(service) == Some(&Answer::Awaited)
    }

    /// Those who have not answered yet.
    pub fn awaited(&self) -> Vec<String> {
        let awaited = self
            .answers
            .iter()
            .filter(|(_, answer)| **answer == Answer::Awaited);
        awaited.map(|(name, _)| name.clone()).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn two() -> Barrier {
        Barrier::new(["a".into(), "b".into()])
    }

    #[test]
    fn passes_only_when_all_are_ready() {
        let mut barrier = two();
        barrier.ready("a");
        assert_eq!(barrier.outcome(), None);
        assert_eq!(barrier.awaited(), ["b"]);
        barrier.ready("b");
        assert_eq!(barrier.outcome(), Some(BarrierOutcome::Passed));
        assert_eq!(Barrier::new([]).outcome(), Some(BarrierOutcome::Passed));
    }

    #[test]
    fn the_first_refusal_decides_and_keeps_its_reason() {
        let mut barrier = two();
        barrier.veto("b", "migrating");
        barrier.ended("a");
        barrier.ready("a");
        let vetoed = BarrierOutcome::Vetoed {
            service: "b".into(),
            reason: "migrating".into(),
        };
        assert_eq!(barrier.outcome(), Some(vetoed));
    }

    #[test]
    fn a_participant_that_ends_after_being_ready_breaks_it() {
        let mut barrier = two();
        barrier.ready("a");
        barrier.ready("b");
        barrier.ended("a");
        assert_eq!(
            barrier.outcome(),
            Some(BarrierOutcome::Ended {
                service: "a".into()
            })
        );
    }

    #[test]
    fn strangers_change_nothing() {
        let mut barrier = two();
        barrier.veto("stranger", "no");
        barrier.ended("stranger");
        assert_eq!(barrier.outcome(), None);
    }
}
