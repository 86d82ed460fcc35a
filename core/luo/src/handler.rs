//! File handlers: who knows how to preserve one kind of file.

use alloc::boxed::Box;
use alloc::collections::BTreeSet;
use alloc::vec::Vec;
use core::fmt;

use kho::{Kho, KhoMem};

use crate::defects::Defects;
use crate::errno::Errno;
use crate::flb::{FlbId, Flbs};

/// What became of the only attempt to retrieve a file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RetrieveStatus {
    /// There was none.
    NotTried,
    /// The file is there.
    Retrieved,
    /// It failed; the answer stays the same.
    Failed(Errno),
}

/// What a handler's operation works with.
pub struct Context<'a, M> {
    /// The handover.
    pub kho: &'a mut Kho<M>,
    pub(crate) flbs: &'a mut Flbs<M>,
    pub(crate) defects: Defects,
}

/// Preserves and retrieves files of one kind: `struct liveupdate_file_ops`
/// (`include/linux/liveupdate.h`, v7.3).
///
/// `data` is the handler's own word for one file: [`FileHandler::preserve`] makes it, it is handed
/// over, and every later operation on the file gets it. In the v4 dialect the operations of the
/// same meaning are called `prepare` (preserve) and `cancel` (unpreserve), `unfreeze` does not
/// exist, and the outcome of `can_finish` does not count.
pub trait FileHandler<M, F> {
    /// Name and version of what it hands over, at most 47 bytes; unique.
    fn compatible(&self) -> &str;

    /// Whether its module is being removed: then it takes no new file.
    fn is_module_going(&self) -> bool {
        false
    }

    /// Whether it knows this kind of file. The first handler that does gets the file.
    fn can_preserve(&mut self, file: &F) -> bool;

    /// Identity: what has the same one is preserved once.
    fn id(&mut self, file: &F) -> u64;

    /// Saves what can be saved while the file is in use.
    ///
    /// # Errors
    /// The file cannot be preserved; nothing is left of the attempt.
    fn preserve(&mut self, context: &mut Context<'_, M>, file: &F) -> Result<u64, Errno>;

    /// Takes [`FileHandler::preserve`] back.
    fn unpreserve(&mut self, context: &mut Context<'_, M>, file: &F, data: u64);

    /// Saves the rest, on the way to the next kernel. May change `data`.
    ///
    /// # Errors
    /// There will be no jump.
    fn freeze(
        &mut self,
        context: &mut Context<'_, M>,
        file: &F,
        data: &mut u64,
    ) -> Result<(), Errno> {
        let _ = (context, file, data);
        Ok(())
    }

    /// Takes [`FileHandler::freeze`] back.
    fn unfreeze(&mut self, context: &mut Context<'_, M>, file: &F, data: u64) {
        let _ = (context, file, data);
    }

    /// Makes the file again, in the next kernel. Called once.
    ///
    /// # Errors
    /// The file is lost.
    fn retrieve(&mut self, context: &mut Context<'_, M>, data: u64) -> Result<F, Errno>;

    /// Whether [`FileHandler::finish`] can do its work; `false` is `EBUSY` to whoever asked.
    fn can_finish(
        &mut self,
        context: &mut Context<'_, M>,
        file: Option<&F>,
        data: u64,
        status: RetrieveStatus,
    ) -> bool {
        let _ = (context, file, data, status);
        true
    }

    /// Lets go of what was handed over. What was not retrieved by now is discarded.
    fn finish(
        &mut self,
        context: &mut Context<'_, M>,
        file: Option<&F>,
        data: u64,
        status: RetrieveStatus,
    );
}

/// A registered handler.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct HandlerId(pub(crate) usize);

struct Registered<M, F> {
    handler: Box<dyn FileHandler<M, F>>,
    /// FLBs its files depend on, in the order they were linked.
    flbs: Vec<FlbId>,
}

/// What both dialects stand on.
pub(crate) struct Core<M, F> {
    pub(crate) kho: Kho<M>,
    pub(crate) flbs: Flbs<M>,
    pub(crate) defects: Defects,
    /// `luo_preserved_files`: who is preserved, or was retrieved and is not finished.
    pub(crate) preserved: BTreeSet<(HandlerId, u64)>,
    handlers: Vec<Registered<M, F>>,
    last_session: u64,
}

impl<M: KhoMem, F: Clone> Core<M, F> {
    pub(crate) fn new(kho: Kho<M>, defects: Defects) -> Self {
        Self {
            kho,
            flbs: Flbs::new(),
            defects,
            preserved: BTreeSet::new(),
            handlers: Vec::new(),
            last_session: 0,
        }
    }

    pub(crate) fn new_session(&mut self) -> crate::SessionId {
        self.last_session = self.last_session.saturating_add(1);
        crate::SessionId(self.last_session)
    }

    /// `liveupdate_register_file_handler()`: `EEXIST` when the name is taken.
    pub(crate) fn register(
        &mut self,
        handler: Box<dyn FileHandler<M, F>>,
    ) -> Result<HandlerId, Errno> {
        if self.by_name(handler.compatible().as_bytes()).is_some() {
            return Err(Errno::EEXIST);
        }
        let id = HandlerId(self.handlers.len());
        let flbs = Vec::new();
        self.handlers.push(Registered { handler, flbs });
        Ok(id)
    }

    /// The handler of that name.
    pub(crate) fn by_name(&self, compatible: &[u8]) -> Option<HandlerId> {
        let same = |it: &Registered<M, F>| it.handler.compatible().as_bytes() == compatible;
        self.handlers.iter().position(same).map(HandlerId)
    }

    /// The first handler that knows the file; `None` when it does not take files any more.
    pub(crate) fn for_file(&mut self, file: &F) -> Option<HandlerId> {
        let knows = |it: &mut Registered<M, F>| it.handler.can_preserve(file);
        let index = self.handlers.iter_mut().position(knows)?;
        let going = self.handlers.get(index)?.handler.is_module_going();
        (!going).then_some(HandlerId(index))
    }

    /// A handler and what it works with. Every id is that of a handler.
    pub(crate) fn handler(
        &mut self,
        id: HandlerId,
    ) -> Option<(&mut dyn FileHandler<M, F>, Context<'_, M>)> {
        let handler = &mut *self.handlers.get_mut(id.0)?.handler;
        let context = Context {
            kho: &mut self.kho,
            flbs: &mut self.flbs,
            defects: self.defects,
        };
        Some((handler, context))
    }

    /// Name of a handler, with its NULs.
    pub(crate) fn compatible(
        &self,
        id: HandlerId,
    ) -> [u8; kho_abi::luo::HANDLER_COMPATIBLE_LENGTH] {
        let registered = self.handlers.get(id.0);
        let name = registered.map_or("", |it| it.handler.compatible());
        crate::flb::padded(name)
    }

    /// Identity of a file in the table of those preserved.
    pub(crate) fn identity(&mut self, id: HandlerId, file: &F) -> (HandlerId, u64) {
        let handler = self.handlers.get_mut(id.0);
        (id, handler.map_or(0, |it| it.handler.id(file)))
    }

    /// Links an FLB to a handler: `liveupdate_register_flb()`.
    pub(crate) fn link_flb(&mut self, id: HandlerId, flb: FlbId) -> Result<(), Errno> {
        let limit = crate::flb::capacity(self.kho.memory().page_size());
        let registered = self.handlers.get_mut(id.0).ok_or(Errno::EINVAL)?;
        if registered.flbs.contains(&flb) {
            return Err(Errno::EEXIST);
        }
        self.flbs.register(flb, limit)?;
        registered.flbs.push(flb);
        Ok(())
    }

    /// A file is about to be preserved: `luo_flb_file_preserve()`.
    pub(crate) fn flbs_preserve(&mut self, id: HandlerId) -> Result<(), Errno> {
        let flbs = self.flbs_of(id);
        for (done, &flb) in flbs.iter().enumerate() {
            if let Err(errno) = self.flbs.preserve(&mut self.kho, flb) {
                for &before in flbs.iter().take(done).rev() {
                    self.flbs.put_outgoing(&mut self.kho, before);
                }
                return Err(errno);
            }
        }
        Ok(())
    }

    /// A file is preserved no more: `luo_flb_file_unpreserve()`.
    pub(crate) fn flbs_unpreserve(&mut self, id: HandlerId) {
        for flb in self.flbs_of(id).into_iter().rev() {
            self.flbs.put_outgoing(&mut self.kho, flb);
        }
    }

    /// A file is finished: `luo_flb_file_finish()`.
    pub(crate) fn flbs_finish(&mut self, id: HandlerId) {
        let defects = self.defects;
        for flb in self.flbs_of(id).into_iter().rev() {
            self.flbs.file_finished(&mut self.kho, flb, defects);
        }
    }

    fn flbs_of(&self, id: HandlerId) -> Vec<FlbId> {
        let registered = self.handlers.get(id.0);
        registered.map_or(Vec::new(), |it| it.flbs.clone())
    }
}

impl<M> fmt::Debug for Context<'_, M> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Context").finish_non_exhaustive()
    }
}
