//! Reading the counter.
#![cfg_attr(
    target_arch = "x86_64",
    expect(unsafe_code, reason = "the instruction has no safe intrinsic")
)]

#[cfg(target_arch = "x86_64")]
use core::arch::x86_64::_rdtsc;

/// The time stamp counter now, in its own ticks; `None` where there is none.
///
/// The processors we run on (x86-64 since about 2008) count at a constant rate and in step; Linux
/// warns in its log where they do not.
pub fn tsc() -> Option<u64> {
    #[cfg(target_arch = "x86_64")]
    {
        // SAFETY: every x86-64 processor has RDTSC; Linux faults it only for a process that asked
        // for that with PR_SET_TSC.
        Some(unsafe { _rdtsc() })
    }
    #[cfg(not(target_arch = "x86_64"))]
    None
}
