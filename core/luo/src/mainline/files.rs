//! The files of one session (`kernel/liveupdate/luo_file.c`, v7.3).

use alloc::vec::Vec;

use kho::{BlockSet, KhoMem, PhysAddr};
use kho_abi::luo::{FileSer, FileSetSer};

use crate::caller::{Caller, Object};
use crate::errno::Errno;
use crate::flb::unpadded;
use crate::handler::{Core, HandlerId, RetrieveStatus};

/// A file that is preserved, or was handed over.
struct LuoFile<F> {
    token: u64,
    handler: HandlerId,
    /// `None` of one that was handed over and not retrieved.
    file: Option<F>,
    data: u64,
    status: RetrieveStatus,
}

/// `struct luo_file_set`: files in the order they were preserved, and room to hand them over.
pub(crate) struct FileSet<F> {
    files: Vec<LuoFile<F>>,
    blocks: BlockSet,
}

impl<F: Clone> FileSet<F> {
    pub(crate) fn new() -> Self {
        Self {
            files: Vec::new(),
            blocks: BlockSet::new(size_of::<FileSer>()),
        }
    }

    /// Token, handler's name and data of each file, in order.
    pub(crate) fn tokens(&self) -> impl Iterator<Item = u64> {
        self.files.iter().map(|file| file.token)
    }

    fn count(&self) -> u64 {
        u64::try_from(self.files.len()).unwrap_or(u64::MAX)
    }

    /// `luo_preserve_file()`. The token comes first, then room, then the descriptor.
    pub(crate) fn preserve<M: KhoMem, C: Caller<File = F>>(
        &mut self,
        core: &mut Core<M, F>,
        caller: &mut C,
        token: u64,
        fd: i32,
    ) -> Result<(), Errno> {
        if self.tokens().any(|used| used == token) {
            return Err(Errno::EEXIST);
        }
        let room = self.count().saturating_add(1);
        self.blocks.grow(&mut core.kho, room)?;
        let preserved = caller.object(fd).and_then(|object| match object {
            Object::File(file) => preserve_one(core, token, file),
            // No handler knows LUO's own descriptors.
            Object::Device | Object::Session(_) => Err(Errno::ENOENT),
        });
        match preserved {
            Ok(file) => {
                self.files.push(file);
                Ok(())
            }
            Err(errno) => {
                self.blocks.shrink(&mut core.kho, self.count())?;
                Err(errno)
            }
        }
    }

    /// `luo_file_unpreserve_files()`: the last one first.
    pub(crate) fn unpreserve_all<M: KhoMem>(&mut self, core: &mut Core<M, F>) {
        while let Some(LuoFile {
            handler,
            file,
            data,
            ..
        }) = self.files.pop()
        {
            let Some(file) = file else { continue };
            if let Some((handler, mut context)) = core.handler(handler) {
                handler.unpreserve(&mut context, &file, data);
            }
            core.flbs_unpreserve(handler);
            let identity = core.identity(handler, &file);
            core.preserved.remove(&identity);
        }
        self.destroy_blocks(core);
    }

    /// `luo_file_freeze()`: all files are frozen and written down, or none.
    pub(crate) fn freeze<M: KhoMem>(&mut self, core: &mut Core<M, F>) -> Result<FileSetSer, Errno> {
        for index in 0..self.files.len() {
            if let Err(errno) = self.freeze_one(core, index) {
                self.unfreeze_first(core, index);
                return Err(errno);
            }
        }
        Ok(FileSetSer {
            // A set without files may have no block.
            files: self.blocks.head().map_or(0, |head| head.0),
            count: self.count(),
        })
    }

    fn freeze_one<M: KhoMem>(&mut self, core: &mut Core<M, F>, index: usize) -> Result<(), Errno> {
        let Some(luo_file) = self.files.get_mut(index) else {
            return Ok(());
        };
        let at = u64::try_from(index).unwrap_or(u64::MAX);
        let entry = self.blocks.reserve_entry(&mut core.kho, at)?;
        let entry = entry.ok_or(Errno::ENOSPC)?;
        if let (Some(file), Some((handler, mut context))) =
            (&luo_file.file, core.handler(luo_file.handler))
        {
            let mut data = luo_file.data;
            handler.freeze(&mut context, file, &mut data)?;
            luo_file.data = data;
        }
        let ser = FileSer {
            compatible: core.compatible(luo_file.handler),
            data: luo_file.data,
            token: luo_file.token,
        };
        let memory = core.kho.memory_mut();
        Ok(memory
            .write_value(entry, &ser)
            .map_err(kho::KhoError::from)?)
    }

    /// `luo_file_unfreeze()`.
    pub(crate) fn unfreeze<M: KhoMem>(&mut self, core: &mut Core<M, F>) {
        if !self.files.is_empty() {
            self.unfreeze_first(core, self.files.len());
        }
    }

    /// `__luo_file_unfreeze()`: the first `count` files, the first one first.
    fn unfreeze_first<M: KhoMem>(&mut self, core: &mut Core<M, F>, count: usize) {
        for luo_file in self.files.iter().take(count) {
            if let (Some(file), Some((handler, mut context))) =
                (&luo_file.file, core.handler(luo_file.handler))
            {
                handler.unfreeze(&mut context, file, luo_file.data);
            }
        }
        // Memory one has does not refuse to be written.
        self.blocks.clear(&mut core.kho).ok();
    }

    /// `luo_retrieve_file()`: once by the handler, then the same file again.
    pub(crate) fn retrieve<M: KhoMem>(
        &mut self,
        core: &mut Core<M, F>,
        token: u64,
    ) -> Result<F, Errno> {
        let found = self.files.iter_mut().find(|file| file.token == token);
        let luo_file = found.ok_or(Errno::ENOENT)?;
        match luo_file.status {
            RetrieveStatus::Failed(errno) => return Err(errno),
            RetrieveStatus::Retrieved => return luo_file.file.clone().ok_or(Errno::ENOENT),
            RetrieveStatus::NotTried => {}
        }
        let (handler, mut context) = core.handler(luo_file.handler).ok_or(Errno::ENOENT)?;
        let file = match handler.retrieve(&mut context, luo_file.data) {
            Ok(file) => file,
            Err(errno) => {
                luo_file.status = RetrieveStatus::Failed(errno);
                return Err(errno);
            }
        };
        let identity = core.identity(luo_file.handler, &file);
        core.preserved.insert(identity);
        luo_file.file = Some(file.clone());
        luo_file.status = RetrieveStatus::Retrieved;
        Ok(file)
    }

    /// `luo_file_finish()`: asks all files, the first one first; then finishes all, the last one
    /// first.
    pub(crate) fn finish<M: KhoMem>(&mut self, core: &mut Core<M, F>) -> Result<(), Errno> {
        for LuoFile {
            handler,
            file,
            data,
            status,
            ..
        } in &self.files
        {
            if let Some((handler, mut context)) = core.handler(*handler)
                && !handler.can_finish(&mut context, file.as_ref(), *data, *status)
            {
                return Err(Errno::EBUSY);
            }
        }
        while let Some(LuoFile {
            handler: id,
            file,
            data,
            status,
            ..
        }) = self.files.pop()
        {
            if let Some((handler, mut context)) = core.handler(id) {
                handler.finish(&mut context, file.as_ref(), data, status);
            }
            core.flbs_finish(id);
            if let Some(file) = &file {
                let identity = core.identity(id, file);
                core.preserved.remove(&identity);
            }
        }
        self.destroy_blocks(core);
        Ok(())
    }

    /// `luo_file_deserialize()`.
    pub(crate) fn deserialize<M: KhoMem>(
        core: &mut Core<M, F>,
        ser: FileSetSer,
    ) -> Result<Self, Errno> {
        let mut set = Self::new();
        if ser.files == 0 {
            // The kernel warns when the count says otherwise, and goes on.
            return Ok(set);
        }
        let head = PhysAddr(ser.files);
        let (blocks, entries) = BlockSet::restore(&mut core.kho, head, size_of::<FileSer>())?;
        set.blocks = blocks;
        for at in entries {
            if let Err(errno) = set.deserialize_one(core, at) {
                set.files.clear();
                set.destroy_blocks(core);
                return Err(errno);
            }
        }
        if set.count() != ser.count {
            set.files.clear();
            set.destroy_blocks(core);
            return Err(Errno::EINVAL);
        }
        Ok(set)
    }

    fn deserialize_one<M: KhoMem>(
        &mut self,
        core: &mut Core<M, F>,
        at: PhysAddr,
    ) -> Result<(), Errno> {
        let ser: FileSer = core
            .kho
            .memory()
            .read_value(at)
            .map_err(kho::KhoError::from)?;
        let handler = core.by_name(unpadded(&ser.compatible));
        self.files.push(LuoFile {
            token: ser.token,
            handler: handler.ok_or(Errno::ENOENT)?,
            file: None,
            data: ser.data,
            status: RetrieveStatus::NotTried,
        });
        Ok(())
    }

    fn destroy_blocks<M: KhoMem>(&mut self, core: &mut Core<M, F>) {
        // A received block that was none is a warning in the kernel; the others are freed.
        self.blocks.destroy(&mut core.kho).ok();
    }
}

fn preserve_one<M: KhoMem, F: Clone>(
    core: &mut Core<M, F>,
    token: u64,
    file: F,
) -> Result<LuoFile<F>, Errno> {
    let id = core.for_file(&file).ok_or(Errno::ENOENT)?;
    let identity = core.identity(id, &file);
    if !core.preserved.insert(identity) {
        return Err(Errno::EBUSY);
    }
    match preserve_with_flbs(core, id, &file) {
        Ok(data) => Ok(LuoFile {
            token,
            handler: id,
            file: Some(file),
            data,
            status: RetrieveStatus::NotTried,
        }),
        Err(errno) => {
            core.preserved.remove(&identity);
            Err(errno)
        }
    }
}

fn preserve_with_flbs<M: KhoMem, F: Clone>(
    core: &mut Core<M, F>,
    id: HandlerId,
    file: &F,
) -> Result<u64, Errno> {
    core.flbs_preserve(id)?;
    let (handler, mut context) = core.handler(id).ok_or(Errno::ENOENT)?;
    handler.preserve(&mut context, file).inspect_err(|_| {
        core.flbs_unpreserve(id);
    })
}
