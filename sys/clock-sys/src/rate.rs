//! The rate of the counter, measured against the kernel's own clock.

use std::time::{Duration, Instant};

use crate::counter::tsc;

/// The counter and the kernel's monotonic clock at one moment.
#[derive(Clone, Copy, Debug)]
pub struct TscStamp {
    ticks: u64,
    at: Instant,
}

impl TscStamp {
    /// Takes a stamp; `None` without a counter.
    pub fn now() -> Option<Self> {
        Some(Self {
            ticks: tsc()?,
            at: Instant::now(),
        })
    }

    /// Ticks of the counter.
    pub const fn ticks(&self) -> u64 {
        self.ticks
    }
}

/// Ticks per second of the counter.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TscRate {
    hz: u64,
}

impl TscRate {
    /// Measures between `start` and now; the longer ago `start`, the better: 100 ms give about
    /// 10 ppm on an idle machine.
    pub fn since(start: TscStamp) -> Option<Self> {
        let now = TscStamp::now()?;
        let nanos = now.at.duration_since(start.at).as_nanos();
        let ticks = u128::from(now.ticks.checked_sub(start.ticks)?);
        let hz = ticks.checked_mul(1_000_000_000)?.checked_div(nanos)?;
        Self::from_hz(u64::try_from(hz).ok()?)
    }

    /// A known rate; `None` for zero.
    pub const fn from_hz(hz: u64) -> Option<Self> {
        if hz == 0 { None } else { Some(Self { hz }) }
    }

    /// Ticks per second.
    pub const fn hz(self) -> u64 {
        self.hz
    }

    /// Time between two readings; zero when they are in the wrong order.
    pub fn between(self, earlier: u64, later: u64) -> Duration {
        let ticks = u128::from(later.saturating_sub(earlier));
        let nanos = ticks * 1_000_000_000 / u128::from(self.hz);
        Duration::from_nanos(u64::try_from(nanos).unwrap_or(u64::MAX))
    }

    /// The counter's reading when the running kernel's clocks started: a moment after its first
    /// instruction (the kernel starts `CLOCK_BOOTTIME` in `timekeeping_init`, v7.3).
    pub fn kernel_start(self) -> Option<u64> {
        let uptime = rustix::time::clock_gettime(rustix::time::ClockId::Boottime);
        let now = tsc()?;
        let uptime = Duration::try_from(uptime).ok()?;
        let ticks = uptime.as_nanos() * u128::from(self.hz) / 1_000_000_000;
        now.checked_sub(u64::try_from(ticks).ok()?)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ticks_become_time_at_the_rate_given() {
        let rate = TscRate::from_hz(2_000_000_000).unwrap();
        assert_eq!(rate.between(1_000, 2_000_001_000), Duration::from_secs(1));
        assert_eq!(rate.between(5, 3), Duration::ZERO);
        assert_eq!(TscRate::from_hz(0), None);
    }

    #[test]
    fn the_counter_moves_forward_and_has_a_rate() {
        let Some(start) = TscStamp::now() else { return };
        std::thread::sleep(Duration::from_millis(20));
        let rate = TscRate::since(start).unwrap();
        assert!(tsc().unwrap() > start.ticks());
        // Slower than any processor and faster than any.
        assert!(
            (1_000_000..100_000_000_000).contains(&rate.hz()),
            "{rate:?}"
        );
    }
}
