//! What one run measured, and what several runs say together.

use std::collections::BTreeMap;

use serde::Serialize;

use crate::guest::Case;

/// One run, in milliseconds. What a case has not is `None`.
#[derive(Clone, Debug, Default, Serialize)]
pub(crate) struct Sample {
    /// PREPARE: services go on working.
    pub(crate) prepare: Option<f64>,
    /// FREEZE to `reboot(2)`.
    pub(crate) freeze: Option<f64>,
    /// `reboot(2)` to the first instruction of process 1.
    pub(crate) to_userspace: f64,
    /// First instruction of process 1 to the first moment of luod.
    pub(crate) agent: Option<f64>,
    /// First moment of luod in the next kernel to every session retrieved and held.
    pub(crate) retrieve: Option<f64>,
    /// From there to the last moment: services take their memory back and say that they run.
    pub(crate) services: Option<f64>,
    /// First instruction of process 1 to the end: the client's answer, or the selftest's end.
    pub(crate) to_answer: f64,
    /// From the first to the last moment.
    pub(crate) blackout: f64,
    /// Of many services the one in the middle: from its freeze to its running again.
    pub(crate) client: Option<f64>,
    /// Of many services the one that is down longest.
    pub(crate) last_client: Option<f64>,
}

/// Runs by case.
#[derive(Debug, Default, Serialize)]
#[serde(transparent)]
pub(crate) struct Samples(BTreeMap<&'static str, Vec<Sample>>);

/// Median and range of one number.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Spread {
    pub(crate) median: f64,
    pub(crate) least: f64,
    pub(crate) most: f64,
}

impl Samples {
    pub(crate) fn add(&mut self, case: Case, sample: Sample) {
        self.0.entry(case.name()).or_default().push(sample);
    }

    /// The spread of one number of a case; `None` when no run has it.
    pub(crate) fn spread(
        &self,
        case: Case,
        number_fn: impl Fn(&Sample) -> Option<f64>,
    ) -> Option<Spread> {
        let samples = self.0.get(case.name())?;
        Spread::of(samples.iter().filter_map(number_fn).collect())
    }
}

impl Spread {
    pub(crate) fn of(mut numbers: Vec<f64>) -> Option<Self> {
        numbers.sort_by(f64::total_cmp);
        let (least, most) = (*numbers.first()?, *numbers.last()?);
        let middle = numbers.len() / 2;
        let median = if numbers.len().is_multiple_of(2) {
            f64::midpoint(*numbers.get(middle.checked_sub(1)?)?, *numbers.get(middle)?)
        } else {
            *numbers.get(middle)?
        };
        Some(Self {
            median,
            least,
            most,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_median_is_the_middle_or_between_the_two_middles() {
        let spread = |numbers: &[f64]| Spread::of(numbers.to_vec()).map(|s| s.median);
        assert_eq!(spread(&[3.0, 1.0, 2.0]), Some(2.0));
        assert_eq!(spread(&[4.0, 1.0, 2.0, 3.0]), Some(2.5));
        assert_eq!(spread(&[]), None);
    }
}
