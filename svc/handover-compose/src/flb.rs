//! The objects that the files of a plan share.

use kho::Kho;
use luo::{Errno, Flb, FlbState};

use crate::plan::FlbPlan;

/// An FLB whose word is in the plan.
#[derive(Debug)]
pub(crate) struct Planned(pub(crate) FlbPlan);

impl<M> Flb<M> for Planned {
    fn compatible(&self) -> &str {
        &self.0.compatible
    }

    fn preserve(&mut self, _: &mut Kho<M>) -> Result<FlbState, Errno> {
        let data = self.0.data.0;
        Ok(FlbState { data, obj: data })
    }

    fn unpreserve(&mut self, _: &mut Kho<M>, _: FlbState) {}

    fn retrieve(&mut self, _: &mut Kho<M>, _: u64) -> Result<u64, Errno> {
        Err(Errno::EOPNOTSUPP)
    }

    fn finish(&mut self, _: &mut Kho<M>, _: u64) {}
}
