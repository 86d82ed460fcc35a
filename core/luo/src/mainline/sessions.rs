//! Sessions: two lists, what is to be handed over and what was (`kernel/liveupdate/luo_session.c`,
//! v7.3).

use alloc::collections::BTreeMap;
use alloc::vec::Vec;

use kho::{BlockSet, KhoError, KhoMem, PhysAddr};
use kho_abi::luo::{FileSetSer, LuoSer, SESSION_NAME_LENGTH, SessionSer};

use super::files::FileSet;
use crate::SessionId;
use crate::errno::Errno;
use crate::handler::Core;
use crate::name::Name;

pub(crate) struct Session<F> {
    pub(crate) name: Name,
    /// An incoming session somebody has, or had, a descriptor of.
    pub(crate) retrieved: bool,
    pub(crate) files: FileSet<F>,
}

/// Sessions by creation, and by name.
struct List<F> {
    sessions: BTreeMap<SessionId, Session<F>>,
    names: BTreeMap<Name, SessionId>,
}

/// State of the import at the first open of the device.
enum Import {
    /// Blocks of the sessions, and the entries in them.
    Waiting(BlockSet, Vec<PhysAddr>),
    Done(Result<(), Errno>),
}

pub(crate) struct Sessions<F> {
    outgoing: List<F>,
    incoming: List<F>,
    /// Room to hand the outgoing ones over.
    blocks: BlockSet,
    /// Where the next kernel finds it.
    luo_ser: PhysAddr,
    import: Import,
}

impl<F: Clone> List<F> {
    fn new() -> Self {
        Self {
            sessions: BTreeMap::new(),
            names: BTreeMap::new(),
        }
    }

    fn count(&self) -> u64 {
        u64::try_from(self.sessions.len()).unwrap_or(u64::MAX)
    }

    fn insert(&mut self, id: SessionId, session: Session<F>) -> Result<(), Errno> {
        if self.names.contains_key(&session.name) {
            return Err(Errno::EEXIST);
        }
        self.names.insert(session.name, id);
        self.sessions.insert(id, session);
        Ok(())
    }

    fn remove(&mut self, id: SessionId) -> Option<Session<F>> {
        let session = self.sessions.remove(&id)?;
        self.names.remove(&session.name);
        Some(session)
    }
}

impl<F: Clone> Sessions<F> {
    /// With what was received, if anything: the first block of the sessions.
    ///
    /// # Errors
    /// A damaged chain; Linux panics.
    pub(crate) fn new<M: KhoMem>(
        core: &mut Core<M, F>,
        luo_ser: PhysAddr,
        received: Option<PhysAddr>,
    ) -> Result<Self, KhoError> {
        let entry_bytes = size_of::<SessionSer>();
        let import = match received {
            Some(head) if head.0 != 0 => {
                let (blocks, entries) = BlockSet::restore(&mut core.kho, head, entry_bytes)?;
                Import::Waiting(blocks, entries)
            }
            _ => Import::Done(Ok(())),
        };
        Ok(Self {
            outgoing: List::new(),
            incoming: List::new(),
            blocks: BlockSet::new(entry_bytes),
            luo_ser,
            import,
        })
    }

    pub(crate) fn get_mut(&mut self, id: SessionId) -> Option<&mut Session<F>> {
        let outgoing = self.outgoing.sessions.get_mut(&id);
        outgoing.or_else(|| self.incoming.sessions.get_mut(&id))
    }

    /// Every session: name, whether it is incoming, tokens.
    pub(crate) fn all(&self) -> impl Iterator<Item = (SessionId, &Session<F>, bool)> {
        let outgoing = self
            .outgoing
            .sessions
            .iter()
            .map(|(&id, it)| (id, it, false));
        outgoing.chain(
            self.incoming
                .sessions
                .iter()
                .map(|(&id, it)| (id, it, true)),
        )
    }

    /// `luo_session_create()`.
    pub(crate) fn create<M: KhoMem>(
        &mut self,
        core: &mut Core<M, F>,
        name: &[u8; SESSION_NAME_LENGTH],
    ) -> Result<SessionId, Errno> {
        let name = Name::query(name).filter(|name| !name.is_empty());
        let session = Session {
            name: name.ok_or(Errno::EINVAL)?,
            retrieved: false,
            files: FileSet::new(),
        };
        let room = self.outgoing.count().saturating_add(1);
        self.blocks.grow(&mut core.kho, room)?;
        let id = core.new_session();
        if let Err(errno) = self.outgoing.insert(id, session) {
            if !core.defects.taken_name_grows_table {
                self.blocks.shrink(&mut core.kho, self.outgoing.count())?;
            }
            return Err(errno);
        }
        Ok(id)
    }

    /// `luo_session_retrieve()`.
    pub(crate) fn retrieve(
        &mut self,
        name: &[u8; SESSION_NAME_LENGTH],
    ) -> Result<SessionId, Errno> {
        let name = Name::query(name).ok_or(Errno::ENOENT)?;
        let id = *self.incoming.names.get(&name).ok_or(Errno::ENOENT)?;
        let session = self.incoming.sessions.get_mut(&id).ok_or(Errno::ENOENT)?;
        if session.retrieved {
            return Err(Errno::EINVAL);
        }
        session.retrieved = true;
        Ok(id)
    }

    /// Makes a session retrievable again whose descriptor nobody got.
    pub(crate) fn unretrieve(&mut self, id: SessionId) {
        if let Some(session) = self.incoming.sessions.get_mut(&id) {
            session.retrieved = false;
        }
    }

    /// The last descriptor is closed: `luo_session_release()`.
    ///
    /// # Errors
    /// [`Errno::EBUSY`] from a file that cannot be finished: the session stays, and nobody can get
    /// at it. `close()` does not tell.
    pub(crate) fn release<M: KhoMem>(
        &mut self,
        core: &mut Core<M, F>,
        id: SessionId,
    ) -> Result<(), Errno> {
        if let Some(session) = self.incoming.sessions.get_mut(&id) {
            session.files.finish(core)?;
            self.incoming.remove(id);
        } else if let Some(mut session) = self.outgoing.remove(id) {
            session.files.unpreserve_all(core);
            self.blocks.shrink(&mut core.kho, self.outgoing.count())?;
        }
        Ok(())
    }

    /// `luo_session_deserialize()`, at the first open of the device. What was imported before an
    /// error stays, out of reach.
    pub(crate) fn import<M: KhoMem>(&mut self, core: &mut Core<M, F>) -> Result<(), Errno> {
        let waiting = core::mem::replace(&mut self.import, Import::Done(Ok(())));
        let (mut blocks, entries) = match waiting {
            Import::Done(answer) => {
                self.import = Import::Done(answer);
                return answer;
            }
            Import::Waiting(blocks, entries) => (blocks, entries),
        };
        let one = |at| self.import_one(core, at);
        let answer = entries.into_iter().try_for_each(one);
        // A received block that was none is a warning in the kernel; the others are freed.
        blocks.destroy(&mut core.kho).ok();
        self.import = Import::Done(answer);
        answer
    }

    fn import_one<M: KhoMem>(&mut self, core: &mut Core<M, F>, at: PhysAddr) -> Result<(), Errno> {
        let ser: SessionSer = core.kho.memory().read_value(at).map_err(KhoError::from)?;
        let id = core.new_session();
        let session = Session {
            name: Name::copy(&ser.name, SESSION_NAME_LENGTH),
            retrieved: false,
            files: FileSet::new(),
        };
        self.incoming.insert(id, session)?;
        let files = FileSet::deserialize(core, ser.file_set_ser)?;
        if let Some(session) = self.incoming.sessions.get_mut(&id) {
            session.files = files;
        }
        Ok(())
    }

    /// `luo_session_serialize()`: every outgoing session is frozen and written down, or none.
    pub(crate) fn serialize<M: KhoMem>(&mut self, core: &mut Core<M, F>) -> Result<(), Errno> {
        self.point_to_sessions(core, 0)?;
        let ids: Vec<SessionId> = self.outgoing.sessions.keys().copied().collect();
        for (done, &id) in ids.iter().enumerate() {
            if let Err(errno) = self.freeze_one(core, done, id) {
                for (index, &id) in ids.iter().enumerate().take(done).rev() {
                    self.unfreeze_one(core, index, id)?;
                }
                return Err(errno);
            }
        }
        let head = self.blocks.head().filter(|_| !ids.is_empty());
        self.point_to_sessions(core, head.map_or(0, |head| head.0))
    }

    fn freeze_one<M: KhoMem>(
        &mut self,
        core: &mut Core<M, F>,
        index: usize,
        id: SessionId,
    ) -> Result<(), Errno> {
        let at = self.entry(core, index)?;
        let session = self.outgoing.sessions.get_mut(&id).ok_or(Errno::ENOENT)?;
        let ser = SessionSer {
            file_set_ser: session.files.freeze(core)?,
            name: *session.name.as_array(),
        };
        Ok(core
            .kho
            .memory_mut()
            .write_value(at, &ser)
            .map_err(KhoError::from)?)
    }

    fn unfreeze_one<M: KhoMem>(
        &mut self,
        core: &mut Core<M, F>,
        index: usize,
        id: SessionId,
    ) -> Result<(), Errno> {
        if let Some(session) = self.outgoing.sessions.get_mut(&id) {
            session.files.unfreeze(core);
        }
        let ser = SessionSer {
            name: [0; SESSION_NAME_LENGTH],
            file_set_ser: FileSetSer::default(),
        };
        let at = self.entry(core, index)?;
        Ok(core
            .kho
            .memory_mut()
            .write_value(at, &ser)
            .map_err(KhoError::from)?)
    }

    fn entry<M: KhoMem>(&self, core: &mut Core<M, F>, index: usize) -> Result<PhysAddr, Errno> {
        let index = u64::try_from(index).unwrap_or(u64::MAX);
        let entry = self.blocks.reserve_entry(&mut core.kho, index)?;
        // There is room for every session since it was created.
        entry.ok_or(Errno::ENOSPC)
    }

    fn point_to_sessions<M: KhoMem>(&self, core: &mut Core<M, F>, head: u64) -> Result<(), Errno> {
        let offset = core::mem::offset_of!(LuoSer, sessions_pa);
        let at = u64::try_from(offset)
            .ok()
            .and_then(|offset| self.luo_ser.checked_add(offset));
        let at = at.ok_or(Errno::EINVAL)?;
        Ok(core
            .kho
            .memory_mut()
            .write_value(at, &head)
            .map_err(KhoError::from)?)
    }
}
