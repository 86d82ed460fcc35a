//! From a plan to a handover.

use std::mem::offset_of;
use std::path::Path;

use handoff::{CollectError, Handover, MemoryMap};
use kho::{
    Config, Kho, KhoError, PhysAddr, PhysMemMut as _, ScratchAreas, SparseMemory, SubtreeError,
};
use kho_abi::luo::{ENTRY_NAME, LuoSer};
use luo::{Luo, MemfdHandler};

use crate::caller::Program;
use crate::content::{Contents, FileId};
use crate::error::ComposeError;
use crate::flb::Planned;
use crate::machine;
use crate::plan::Plan;
use crate::region;

/// A handover in the memory it was composed in.
#[derive(Debug)]
pub struct Composition {
    memory: SparseMemory,
    fdt: PhysAddr,
    scratch: ScratchAreas,
    map: MemoryMap,
}

/// Composes the handover of a plan. Content is looked for below `base`.
///
/// # Errors
/// [`ComposeError`].
pub fn compose(plan: &Plan, base: &Path) -> Result<Composition, ComposeError> {
    let map = plan.machine.map()?;
    let scratch = plan.machine.scratch(&map)?;
    let memory = machine::memory(&map, &scratch);
    let (mut kho, _cold) = Kho::start(memory, scratch.clone(), None, Config::default())?;
    // What the next kernel prints as "exec from".
    kho.announce_metadata_as(plan.claims.release.as_str(), plan.claims.kexec_count)?;
    region::add_all(&mut kho, plan, base)?;
    let mut kho = leave(kho, plan, base)?;
    claim_number(&mut kho, plan.claims.liveupdate_number.0)?;
    // The lifecycle is one without a finalization: the FDT is always complete.
    let fdt = kho.handoff().ok_or(KhoError::AlreadyFinalized)?.fdt;
    Ok(Composition {
        memory: kho.into_memory(),
        fdt,
        scratch,
        map,
    })
}

/// Boots the engine, makes the plan's calls, and leaves for the next kernel.
fn leave(
    kho: Kho<SparseMemory>,
    plan: &Plan,
    base: &Path,
) -> Result<Kho<SparseMemory>, ComposeError> {
    let mut contents = Contents::default();
    let failed = contents.failed();
    let mut files = Vec::new();
    for file in plan.sessions.iter().flat_map(|session| &session.files) {
        files.push(contents.add(file.get_ref(), base)?);
    }
    let mut luo: Luo<_, FileId> = Luo::boot(kho, luo::Config::default())?;
    let handler = MemfdHandler::new(contents);
    let linked = |compatible: &str| {
        let compatible = compatible.to_owned();
        move |errno| ComposeError::Flb { compatible, errno }
    };
    let handler = luo.register_file_handler(Box::new(handler));
    let handler = handler.map_err(linked(kho_abi::memfd::COMPATIBLE))?;
    for flb in &plan.flbs {
        let flb = flb.get_ref();
        let id = luo.add_flb(Box::new(Planned(flb.clone())));
        let registered = luo.register_flb(handler, id);
        registered.map_err(linked(&flb.compatible))?;
    }
    let freeze = |errno| ComposeError::Freeze { errno };
    luo.open().map_err(freeze)?;
    make_calls(&mut luo, plan, files)?;
    luo.reboot().map_err(|errno| match failed.take() {
        Some((path, source)) => ComposeError::Content { path, source },
        None => freeze(errno),
    })?;
    Ok(luo.into_kho())
}

fn make_calls(
    luo: &mut Luo<SparseMemory, FileId>,
    plan: &Plan,
    files: Vec<FileId>,
) -> Result<(), ComposeError> {
    let mut program = Program::default();
    let mut files = files.into_iter();
    for session in &plan.sessions {
        let name = session.name.get_ref().0;
        let created = program.create(luo, name);
        let id = created.map_err(|errno| ComposeError::Session { name, errno })?;
        for (plan, file) in session.files.iter().zip(&mut files) {
            let token = plan.get_ref().token.0;
            let preserved = program.preserve(luo, id, file, token);
            preserved.map_err(|errno| ComposeError::File {
                session: name,
                token,
                errno,
            })?;
        }
    }
    Ok(())
}

/// The engine counts from a cold boot; the plan may say that there were updates before.
fn claim_number(kho: &mut Kho<SparseMemory>, number: u64) -> Result<(), ComposeError> {
    let mut subtrees = kho.outgoing().subtrees.iter();
    let luo = subtrees.find(|subtree| subtree.name == ENTRY_NAME);
    let missing = || SubtreeError::Missing {
        name: ENTRY_NAME.into(),
    };
    let blob = luo.ok_or_else(missing).and_then(|luo| luo.blob());
    let (luo, _) = blob.map_err(KhoError::from)?;
    let at = luo
        .0
        .saturating_add(offset_of!(LuoSer, liveupdate_num) as u64);
    let written = kho.memory_mut().write_value(PhysAddr(at), &number);
    Ok(written.map_err(KhoError::from)?)
}

impl Composition {
    /// Page of the KHO FDT.
    pub const fn fdt(&self) -> PhysAddr {
        self.fdt
    }

    /// The scratch areas.
    pub const fn scratch(&self) -> &ScratchAreas {
        &self.scratch
    }

    /// The memory of the machine it is for.
    pub const fn map(&self) -> &MemoryMap {
        &self.map
    }

    /// The memory it was composed in.
    pub const fn memory(&self) -> &SparseMemory {
        &self.memory
    }

    /// The handover itself.
    ///
    /// # Errors
    /// [`CollectError`].
    pub fn handover(&self) -> Result<Handover<'_>, CollectError> {
        Handover::collect(&self.memory, self.fdt, &self.scratch)
    }
}
