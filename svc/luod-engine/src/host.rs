//! The kernel as the engine sees it.

use std::ffi::CString;
use std::os::fd::{BorrowedFd, OwnedFd};

use kexec_sys::SealedImage;
use luod_api::manager::DeviceStatus;
use luod_api::{Code, Refusal};
use preflight::{Check, Finding};
use update::Moment;

use crate::facts::KernelFacts;
use crate::guard::Guard;
use crate::last_words::LastWords;

/// The next kernel.
#[derive(Debug)]
pub struct LoadRequest {
    /// Its image.
    pub kernel: SealedImage,
    /// Its initrd.
    pub initrd: Option<SealedImage>,
    /// Its command line.
    pub cmdline: CString,
    /// Checks whose findings do not stop the update.
    pub force: Vec<Check>,
    /// What the caller calls the update; it gets a random name without.
    pub update_id: Option<UpdateId>,
}

/// A caller's name of an update: 1 to 64 of `A-Z a-z 0-9 . _ : @ -`, so that it can stand in a line of any log.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct UpdateId(String);

impl UpdateId {
    const MOST_BYTES: usize = 64;

    /// Takes a name.
    ///
    /// # Errors
    /// `InvalidParameter`: it has another length, or another character.
    pub fn new(id: &str) -> Result<Self, Refusal> {
        let is_good = |byte: u8| byte.is_ascii_alphanumeric() || b"._:@-".contains(&byte);
        if (1..=Self::MOST_BYTES).contains(&id.len()) && id.bytes().all(is_good) {
            return Ok(Self(id.to_owned()));
        }
        let most = Self::MOST_BYTES;
        let shown: String = id.chars().take(most).collect();
        let text =
            format!("{shown:?} is no id of an update: it has 1 to {most} of A-Z a-z 0-9 . _ : @ -");
        Err(Refusal::new(Code::InvalidParameter, text))
    }

    /// The name.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// What the engine needs of a kernel. Sessions and files are plain descriptors here, so that a
/// test can stand in for the kernel without one.
pub trait Host: Send + Sync {
    /// Whether `/dev/liveupdate` can be used, without opening it.
    fn device_status(&self) -> DeviceStatus;

    /// Whether what is held would come through a jump: a service manager has the duplicates, and the jump is its own.
    ///
    /// # Errors
    /// Why not.
    fn check_service_manager(&self) -> Result<(), Refusal>;

    /// Creates an outgoing session.
    ///
    /// # Errors
    /// The kernel's refusal.
    fn create_session(&self, name: &str) -> Result<OwnedFd, Refusal>;

    /// Retrieves an incoming session; `None` when the previous kernel left none of this name.
    ///
    /// # Errors
    /// The kernel's refusal.
    fn retrieve_session(&self, name: &str) -> Result<Option<OwnedFd>, Refusal>;

    /// Preserves a file in an outgoing session.
    ///
    /// # Errors
    /// The kernel's refusal.
    fn preserve(
        &self,
        session: BorrowedFd<'_>,
        file: BorrowedFd<'_>,
        token: u64,
    ) -> Result<(), Refusal>;

    /// Retrieves a file from an incoming session.
    ///
    /// # Errors
    /// The kernel's refusal.
    fn retrieve(&self, session: BorrowedFd<'_>, token: u64) -> Result<OwnedFd, Refusal>;

    /// Finishes an incoming session.
    ///
    /// # Errors
    /// The kernel's refusal.
    fn finish(&self, session: BorrowedFd<'_>) -> Result<(), Refusal>;

    /// Whether the next kernel can take over.
    ///
    /// # Errors
    /// Its files cannot be read.
    fn check(&self, request: &LoadRequest) -> Result<Vec<Finding>, Refusal>;

    /// Loads the next kernel.
    ///
    /// # Errors
    /// The kernel's refusal.
    fn load(&self, request: &LoadRequest) -> Result<(), Refusal>;

    /// Drops the loaded kernel.
    ///
    /// # Errors
    /// The kernel's refusal.
    fn unload(&self) -> Result<(), Refusal>;

    /// Whether a next kernel is loaded; `None` where the kernel does not tell.
    fn is_image_loaded(&self) -> Option<bool>;

    /// Says what is to be read in the next kernel.
    fn say(&self, words: &LastWords);

    /// Jumps. Returns where a service manager does it: it has begun to end everything.
    ///
    /// # Errors
    /// Why not: nothing has been ended.
    fn reboot(&self) -> Result<(), Refusal>;

    /// Makes luod's wish about other shutdowns known where there is somebody to know it.
    fn guard(&self, guard: Guard);

    /// Waits until the last wish is known, some seconds at most.
    fn settle_guard(&self);

    /// What is known of the running kernel.
    fn facts(&self) -> KernelFacts;

    /// Now, on the clocks of the timeline.
    fn now(&self) -> Moment;

    /// Ticks per second of the timeline's counter, as well as it is known by now.
    fn ticks_hz(&self) -> Option<u64>;

    /// When the running kernel started its clocks.
    fn kernel_start(&self) -> Option<Moment>;
}
