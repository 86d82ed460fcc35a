//! Known defects of the kernel, for those who need them reproduced.

/// Defects of LUO and of its memfd handler. The default avoids them all.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Defects {
    /// Creating a session whose name is taken leaves the table of sessions one block longer when
    /// all its blocks are full. The block is empty unless a session is closed before the jump, and
    /// an empty block makes the next kernel panic (`luo_session_insert()`).
    pub taken_name_grows_table: bool,
    /// Retrieved memfds are executable before they are sealed. `F_SEAL_EXEC` on an executable file
    /// brings the four seals against writing and resizing, so that a memfd of `MFD_NOEXEC_SEAL`
    /// comes back read-only (`memfd_luo_retrieve()`, `memfd_add_seals()`).
    pub exec_seal_seals_writes: bool,
    /// Seals that are added to a memfd after it was preserved are not handed over
    /// (`memfd_luo_preserve()`).
    pub seals_are_of_preserve: bool,
    /// `EFAULT` while `RETRIEVE_SESSION` is answered finishes the session and removes it
    /// (`luo_ioctl_retrieve_session()`).
    pub fault_destroys_session: bool,
    /// An FLB that was handed over and that nobody asked for has a reference count of 0 when files
    /// are finished: the count underflows, and the FLB is never finished
    /// (`liveupdate_flb_put_incoming()`).
    pub unused_flb_underflows: bool,
    /// The page in which FLBs were handed over is kept for as long as the kernel runs
    /// (`luo_flb_setup_incoming()`).
    pub keeps_flb_page: bool,
}

impl Defects {
    /// As in Linux 7.3.4 (and 7.2.13).
    #[must_use]
    pub const fn like_7_3_4() -> Self {
        Self {
            taken_name_grows_table: true,
            exec_seal_seals_writes: true,
            seals_are_of_preserve: true,
            fault_destroys_session: true,
            unused_flb_underflows: true,
            keeps_flb_page: true,
        }
    }
}
