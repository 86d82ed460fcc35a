//! Handlers, FLBs and subsystems that write down what is asked of them, and fail when told to.

use alloc::boxed::Box;
use alloc::collections::BTreeMap;
use alloc::format;
use alloc::rc::Rc;
use alloc::string::String;
use alloc::vec::Vec;
use core::cell::RefCell;

use kho::{Kho, SparseMemory};

use super::world::{File, Kind, World};
use crate::{Context, Errno, FileHandler, Flb, FlbState, RetrieveStatus, Subsystem};

/// What was asked, and what shall fail. Clones are the same.
#[derive(Clone, Default)]
pub(super) struct Script {
    lines: Rc<RefCell<Vec<String>>>,
    failures: Rc<RefCell<BTreeMap<String, Errno>>>,
}

impl Script {
    /// The line `what` will fail from now on.
    pub(super) fn fail(&self, what: &str, errno: Errno) {
        self.failures.borrow_mut().insert(what.into(), errno);
    }

    pub(super) fn heal(&self) {
        self.failures.borrow_mut().clear();
    }

    /// What was asked since the last time.
    pub(super) fn take(&self) -> Vec<String> {
        self.lines.take()
    }

    fn note(&self, line: String) -> Result<(), Errno> {
        let failure = self.failures.borrow().get(&line).copied();
        self.lines.borrow_mut().push(line);
        failure.map_or(Ok(()), Err)
    }

    fn fails(&self, what: &str) -> bool {
        self.failures.borrow().contains_key(what)
    }
}

/// A handler of [`Kind::Recorded`] files: their data is their number, with 1000 added by freeze.
pub(super) struct Recorder {
    pub(super) name: &'static str,
    pub(super) kind: u32,
    pub(super) script: Script,
    pub(super) world: World,
}

impl Recorder {
    fn say(&self, what: &str, data: u64) -> Result<(), Errno> {
        self.script.note(format!("{} {what} {data}", self.name))
    }
}

impl FileHandler<SparseMemory, File> for Recorder {
    fn compatible(&self) -> &str {
        self.name
    }

    fn is_module_going(&self) -> bool {
        self.script.fails(&format!("{} going", self.name))
    }

    fn can_preserve(&mut self, file: &File) -> bool {
        file.kind() == Kind::Recorded(self.kind)
    }

    fn id(&mut self, file: &File) -> u64 {
        file.number()
    }

    fn preserve(&mut self, _: &mut Context<'_, SparseMemory>, file: &File) -> Result<u64, Errno> {
        let data = file.number();
        self.say("preserve", data).map(|()| data)
    }

    fn unpreserve(&mut self, _: &mut Context<'_, SparseMemory>, _: &File, data: u64) {
        self.say("unpreserve", data).unwrap();
    }

    fn freeze(
        &mut self,
        _: &mut Context<'_, SparseMemory>,
        _: &File,
        data: &mut u64,
    ) -> Result<(), Errno> {
        self.say("freeze", *data)?;
        *data += 1000;
        Ok(())
    }

    fn unfreeze(&mut self, _: &mut Context<'_, SparseMemory>, _: &File, data: u64) {
        self.say("unfreeze", data).unwrap();
    }

    fn retrieve(&mut self, _: &mut Context<'_, SparseMemory>, data: u64) -> Result<File, Errno> {
        self.say("retrieve", data)?;
        Ok(self.world.file(Kind::Recorded(self.kind)))
    }

    fn can_finish(
        &mut self,
        _: &mut Context<'_, SparseMemory>,
        _: Option<&File>,
        data: u64,
        _: RetrieveStatus,
    ) -> bool {
        self.say("can_finish", data).is_ok()
    }

    fn finish(
        &mut self,
        _: &mut Context<'_, SparseMemory>,
        file: Option<&File>,
        data: u64,
        status: RetrieveStatus,
    ) {
        assert_eq!(file.is_some(), status == RetrieveStatus::Retrieved);
        let what = match status {
            RetrieveStatus::NotTried => "discard",
            RetrieveStatus::Retrieved => "finish",
            RetrieveStatus::Failed(_) => "finish failed",
        };
        self.say(what, data).unwrap();
    }
}

/// An FLB: its data is 10 times its number, its object 100 times.
pub(super) struct RecorderFlb {
    pub(super) name: &'static str,
    pub(super) number: u64,
    pub(super) script: Script,
}

impl RecorderFlb {
    fn say(&self, what: &str) -> Result<(), Errno> {
        self.script.note(format!("{} {what}", self.name))
    }
}

impl Flb<SparseMemory> for RecorderFlb {
    fn compatible(&self) -> &str {
        self.name
    }

    fn is_module_going(&self) -> bool {
        self.script.fails(&format!("{} going", self.name))
    }

    fn preserve(&mut self, _: &mut Kho<SparseMemory>) -> Result<FlbState, Errno> {
        self.say("preserve")?;
        Ok(FlbState {
            data: self.number * 10,
            obj: self.number * 100,
        })
    }

    fn unpreserve(&mut self, _: &mut Kho<SparseMemory>, state: FlbState) {
        assert_eq!(state.data * 10, state.obj);
        self.say("unpreserve").unwrap();
    }

    fn retrieve(&mut self, _: &mut Kho<SparseMemory>, data: u64) -> Result<u64, Errno> {
        assert_eq!(data, self.number * 10);
        self.say("retrieve")?;
        Ok(data * 10)
    }

    fn finish(&mut self, _: &mut Kho<SparseMemory>, obj: u64) {
        assert_eq!(obj, self.number * 100);
        self.say("finish").unwrap();
    }
}

/// A subsystem: prepare makes its data 7, freeze adds 1.
pub(super) struct RecorderSubsystem {
    pub(super) name: &'static str,
    pub(super) script: Script,
}

impl RecorderSubsystem {
    pub(super) fn boxed(name: &'static str, script: &Script) -> Box<Self> {
        let script = script.clone();
        Box::new(Self { name, script })
    }

    fn say(&self, what: &str, data: u64) -> Result<(), Errno> {
        self.script.note(format!("{} {what} {data}", self.name))
    }
}

impl Subsystem<SparseMemory> for RecorderSubsystem {
    fn name(&self) -> &str {
        self.name
    }

    fn is_module_going(&self) -> bool {
        self.script.fails(&format!("{} going", self.name))
    }

    fn prepare(&mut self, _: &mut Kho<SparseMemory>, data: &mut u64) -> Result<(), Errno> {
        self.say("prepare", *data)?;
        *data = 7;
        Ok(())
    }

    fn freeze(&mut self, _: &mut Kho<SparseMemory>, data: &mut u64) -> Result<(), Errno> {
        self.say("freeze", *data)?;
        *data += 1;
        Ok(())
    }

    fn cancel(&mut self, _: &mut Kho<SparseMemory>, data: u64) {
        self.say("cancel", data).unwrap();
    }

    fn boot(&mut self, _: &mut Kho<SparseMemory>, data: u64) {
        self.say("boot", data).unwrap();
    }

    fn finish(&mut self, _: &mut Kho<SparseMemory>, data: u64) {
        self.say("finish", data).unwrap();
    }
}
