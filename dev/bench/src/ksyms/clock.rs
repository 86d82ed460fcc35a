//! CPU time of this thread.

use std::time::Duration;

use rustix::time::{ClockId, clock_gettime};

fn now() -> Duration {
    let now = clock_gettime(ClockId::ThreadCPUTime);
    let seconds = u64::try_from(now.tv_sec).unwrap_or(0);
    Duration::from_secs(seconds) + Duration::from_nanos(u64::try_from(now.tv_nsec).unwrap_or(0))
}

/// The least time of several turns.
#[derive(Clone, Copy, Debug)]
pub(super) struct Least(f64);

impl Least {
    pub(super) const NONE: Self = Self(f64::INFINITY);

    /// Takes the time of a turn; gives what the turn gave.
    pub(super) fn once<T>(&mut self, turn: impl FnOnce() -> T) -> T {
        let begin = now();
        let result = turn();
        let took = now().saturating_sub(begin);
        self.0 = self.0.min(took.as_secs_f64() * 1e9);
        result
    }

    /// The same for two turns: the second finds in the caches what the first left there, and not what a peer did.
    pub(super) fn time<T>(&mut self, mut turn: impl FnMut() -> T) -> T {
        drop(self.once(&mut turn));
        self.once(turn)
    }

    pub(super) const fn ns(self) -> f64 {
        self.0
    }

    #[expect(
        clippy::as_conversions,
        clippy::cast_precision_loss,
        reason = "counts of a measurement"
    )]
    pub(super) fn ns_each(self, count: usize) -> f64 {
        self.0 / count as f64
    }
}
