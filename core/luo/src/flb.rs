//! File-lifecycle-bound objects (FLBs): what files of some kinds share, preserved with the first
//! of them and given up with the last (`kernel/liveupdate/luo_flb.c`, v7.3).

mod table;

use kho::{Kho, KhoMem};

use crate::errno::Errno;
use crate::handler::Context;
pub(crate) use table::{Flbs, capacity, padded, unpadded};

/// What an FLB hands over, and what it has at run time.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct FlbState {
    /// Handed over.
    pub data: u64,
    /// The live object, whatever the FLB means by it; 0 is none, as a null pointer in the kernel.
    pub obj: u64,
}

/// An FLB's operations: `struct liveupdate_flb_ops` (`include/linux/liveupdate.h`, v7.3).
pub trait Flb<M> {
    /// Name and version of what it hands over, at most 47 bytes; unique.
    fn compatible(&self) -> &str;

    /// Whether its module is being removed: then it is neither preserved nor retrieved.
    fn is_module_going(&self) -> bool {
        false
    }

    /// Saves it: the first file that needs it is about to be preserved.
    ///
    /// # Errors
    /// The file cannot be preserved.
    fn preserve(&mut self, kho: &mut Kho<M>) -> Result<FlbState, Errno>;

    /// Takes [`Flb::preserve`] back: nobody needs it any more.
    fn unpreserve(&mut self, kho: &mut Kho<M>, state: FlbState);

    /// Makes the live object of `data` in the next kernel. Called once.
    ///
    /// # Errors
    /// It is lost; the answer stays the same.
    fn retrieve(&mut self, kho: &mut Kho<M>, data: u64) -> Result<u64, Errno>;

    /// Lets go of what was handed over: the last file that needs it is finished.
    fn finish(&mut self, kho: &mut Kho<M>, obj: u64);
}

/// An FLB, linked to handlers or not.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct FlbId(pub(crate) usize);

impl<M: KhoMem> Context<'_, M> {
    /// The object of an FLB that is preserved, with one more reference:
    /// `liveupdate_flb_get_outgoing()`.
    ///
    /// # Errors
    /// [`Errno::ENOENT`]: there is none.
    pub fn flb_get_outgoing(&mut self, flb: FlbId) -> Result<u64, Errno> {
        self.flbs.get_outgoing(flb)
    }

    /// Gives a reference back: `liveupdate_flb_put_outgoing()`. May unpreserve the FLB.
    pub fn flb_put_outgoing(&mut self, flb: FlbId) {
        self.flbs.put_outgoing(self.kho, flb);
    }

    /// The object of an FLB that was handed over, with one more reference:
    /// `liveupdate_flb_get_incoming()`.
    ///
    /// # Errors
    /// [`Errno::ENODATA`] when no FLB was handed over, or this one is finished; [`Errno::ENOENT`]
    /// when it was not; [`Errno::ENODEV`]; what its retrieve answered, forever.
    pub fn flb_get_incoming(&mut self, flb: FlbId) -> Result<u64, Errno> {
        self.flbs.get_incoming(self.kho, flb)
    }

    /// Gives a reference back: `liveupdate_flb_put_incoming()`. May finish the FLB.
    pub fn flb_put_incoming(&mut self, flb: FlbId) {
        self.flbs.put_incoming(self.kho, flb);
    }
}
