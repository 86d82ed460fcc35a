//! Moments of an update, on clocks that can be compared across the jump.

use alloc::string::String;
use alloc::vec::Vec;
use core::time::Duration;

use serde::{Deserialize, Serialize};

/// One moment on two clocks.
///
/// The counter of the processor runs through a kexec; the wall clock is set anew by the next
/// kernel from a hardware clock with a resolution of one second.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Moment {
    /// Time stamp counter in ticks. Default when absent: the machine has none.
    #[serde(default)]
    pub ticks: Option<u64>,
    /// `CLOCK_REALTIME` in nanoseconds since 1970.
    pub realtime_ns: u64,
}

/// What happened.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum MarkKind {
    /// An update was asked for.
    Requested,
    /// The next kernel is loaded.
    Loaded,
    /// PREPARE began.
    PrepareStarted,
    /// Everything is preserved.
    Prepared,
    /// FREEZE began: the blackout starts with the first service frozen.
    FreezeStarted,
    /// A service has stopped.
    ServiceFrozen,
    /// Every service has stopped and the journal is written; `reboot(2)` is next.
    RebootCalled,
    /// The next kernel started its clocks.
    KernelStarted,
    /// The agent runs in the next kernel.
    AgentStarted,
    /// Every session is retrieved.
    SessionsRetrieved,
    /// A service asked for what is its own.
    ServiceAttached,
    /// A service works again: the end of its blackout.
    ServiceRunning,
    /// A service has finished its session.
    ServiceFinished,
    /// Every session is finished.
    Finished,
    /// The update was cancelled.
    Cancelled,
    /// Written by a newer agent.
    #[serde(other)]
    Unknown,
}

/// One entry of a timeline.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Mark {
    /// What happened.
    pub kind: MarkKind,
    /// To which service. Default when absent: to the host.
    #[serde(default)]
    pub service: Option<String>,
    /// When.
    pub at: Moment,
}

/// The marks of one update, in the order they were made.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Timeline {
    /// Ticks per second of the counter. Default when absent: unknown, the wall clock is used.
    #[serde(default)]
    pub ticks_hz: Option<u64>,
    /// The marks.
    #[serde(default)]
    pub marks: Marks,
}

/// Marks in the order they were made. They are only ever added to: what was written of them stays
/// true.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Marks(Vec<Mark>);

impl Marks {
    /// Adds one.
    pub fn push(&mut self, mark: Mark) {
        self.0.push(mark);
    }

    /// Those made since `earlier`, an earlier state of these; `None` when it is none.
    pub fn since(&self, earlier: &Self) -> Option<&[Mark]> {
        let (same, added) = self.0.split_at_checked(earlier.0.len())?;
        (same.last() == earlier.0.last()).then_some(added)
    }
}

impl core::ops::Deref for Marks {
    type Target = [Mark];

    fn deref(&self) -> &[Mark] {
        &self.0
    }
}

impl From<Vec<Mark>> for Marks {
    fn from(marks: Vec<Mark>) -> Self {
        Self(marks)
    }
}

impl Timeline {
    /// The first mark of this kind about the host.
    pub fn host(&self, kind: MarkKind) -> Option<Moment> {
        self.marks
            .iter()
            .find(|mark| mark.kind == kind && mark.service.is_none())
            .map(|m| m.at)
    }

    /// The first mark of this kind about `service`.
    pub fn service(&self, kind: MarkKind, service: &str) -> Option<Moment> {
        let wanted = |mark: &&Mark| mark.kind == kind && mark.service.as_deref() == Some(service);
        self.marks.iter().find(wanted).map(|mark| mark.at)
    }

    /// Time from `from` to `to`, by the counter where both have it, else by the wall clock; `None`
    /// when `to` lies before `from`.
    pub fn between(&self, from: Moment, to: Moment) -> Option<Duration> {
        if let (Some(from), Some(to), Some(hz)) = (from.ticks, to.ticks, self.ticks_hz) {
            let ticks = u128::from(to.checked_sub(from)?);
            let nanos = ticks
                .checked_mul(1_000_000_000)?
                .checked_div(u128::from(hz))?;
            return u64::try_from(nanos).ok().map(Duration::from_nanos);
        }
        to.realtime_ns
            .checked_sub(from.realtime_ns)
            .map(Duration::from_nanos)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(ticks: Option<u64>, realtime_ns: u64) -> Moment {
        Moment { ticks, realtime_ns }
    }

    #[test]
    fn the_counter_is_believed_before_the_wall_clock() {
        let timeline = Timeline {
            ticks_hz: Some(1_000),
            marks: Marks::default(),
        };
        // The wall clock went back by a second in between, as it does over a kexec.
        let (from, to) = (at(Some(10), 5_000_000_000), at(Some(2_010), 4_000_000_000));
        assert_eq!(timeline.between(from, to), Some(Duration::from_secs(2)));
    }

    #[test]
    fn without_a_rate_the_wall_clock_is_used_and_never_negative() {
        let timeline = Timeline::default();
        assert_eq!(
            timeline.between(at(Some(1), 10), at(Some(2), 30)),
            Some(Duration::from_nanos(20))
        );
        assert_eq!(timeline.between(at(None, 30), at(None, 10)), None);
    }

    #[test]
    fn a_mark_of_a_newer_agent_is_kept_as_unknown() {
        let text = r#"{"kind":"teleported","at":{"realtime_ns":1}}"#;
        let mark: Mark = serde_json::from_str(text).unwrap();
        assert_eq!(mark.kind, MarkKind::Unknown);
    }
}
