//! Files of a session of the v4 series, by token (patch 13, `luo_file.c`). Handlers are called in
//! the order of the tokens.

use alloc::collections::BTreeMap;

use kho::{KhoError, KhoMem, PhysAddr};
use kho_abi::luo::FileSer;
use liveupdate_uapi::v4::LiveupdateState;

use crate::boot_error::BootError;
use crate::caller::{Caller, Object};
use crate::errno::Errno;
use crate::flb::unpadded;
use crate::handler::{Core, HandlerId, RetrieveStatus};

const ENTRY_BYTES: u64 = 64;
const _: () = assert!(size_of::<FileSer>() == 64);

struct LuoFile<F> {
    handler: HandlerId,
    file: Option<F>,
    data: u64,
    /// Somebody has it again.
    reclaimed: bool,
    state: LiveupdateState,
}

pub(super) struct Files<F> {
    files: BTreeMap<u64, LuoFile<F>>,
    /// Where they are written down.
    block: Option<PhysAddr>,
}

impl<F: Clone> Files<F> {
    pub(super) fn new() -> Self {
        Self {
            files: BTreeMap::new(),
            block: None,
        }
    }

    pub(super) fn count(&self) -> u64 {
        u64::try_from(self.files.len()).unwrap_or(u64::MAX)
    }

    pub(super) fn block(&self) -> Option<PhysAddr> {
        self.block
    }

    pub(super) fn tokens(&self) -> impl Iterator<Item = u64> {
        self.files.keys().copied()
    }

    /// `luo_preserve_file()`: nothing is called yet. The token is looked at last, and nothing
    /// keeps a file from being in two sessions.
    pub(super) fn preserve<M: KhoMem, C: Caller<File = F>>(
        &mut self,
        core: &mut Core<M, F>,
        caller: &mut C,
        token: u64,
        fd: i32,
    ) -> Result<(), Errno> {
        let Object::File(file) = caller.object(fd)? else {
            return Err(Errno::ENOENT);
        };
        let handler = core.for_file(&file).ok_or(Errno::ENOENT)?;
        if self.files.contains_key(&token) {
            return Err(Errno::EEXIST);
        }
        let luo_file = LuoFile {
            handler,
            file: Some(file),
            data: 0,
            reclaimed: false,
            state: LiveupdateState::NORMAL,
        };
        self.files.insert(token, luo_file);
        Ok(())
    }

    /// `luo_unpreserve_file()`.
    pub(super) fn unpreserve(&mut self, token: u64) -> Result<(), Errno> {
        self.files.remove(&token).map(|_| ()).ok_or(Errno::ENOENT)
    }

    /// `luo_file_unpreserve_all_files()`.
    pub(super) fn forget_all(&mut self) {
        self.files.clear();
    }

    /// `luo_file_prepare()`: all files, or none.
    pub(super) fn prepare<M: KhoMem>(&mut self, core: &mut Core<M, F>) -> Result<(), Errno> {
        if self.files.is_empty() {
            return Ok(());
        }
        let bytes = self.count().checked_mul(ENTRY_BYTES).ok_or(Errno::E2BIG)?;
        let block = core.kho.alloc_preserve(bytes)?;
        self.block = Some(block);
        for (index, (&token, luo_file)) in (0..).zip(&mut self.files) {
            if let Err(errno) = luo_file.prepare(core).and_then(|()| {
                let ser = FileSer {
                    compatible: core.compatible(luo_file.handler),
                    data: luo_file.data,
                    token,
                };
                write_entry(core, block, index, &ser)
            }) {
                self.cancel(core);
                return Err(errno);
            }
        }
        Ok(())
    }

    /// `luo_file_freeze()`: all files; a failure cancels them all.
    pub(super) fn freeze<M: KhoMem>(&mut self, core: &mut Core<M, F>) -> Result<(), Errno> {
        let Some(block) = self.block else {
            return Ok(());
        };
        for (index, (&token, luo_file)) in (0..).zip(&mut self.files) {
            if let Err(errno) = luo_file.freeze(core).and_then(|()| {
                let ser = FileSer {
                    compatible: core.compatible(luo_file.handler),
                    data: luo_file.data,
                    token,
                };
                write_entry(core, block, index, &ser)
            }) {
                self.cancel(core);
                return Err(errno);
            }
        }
        Ok(())
    }

    /// `luo_file_cancel()`.
    pub(super) fn cancel<M: KhoMem>(&mut self, core: &mut Core<M, F>) {
        for luo_file in self.files.values_mut() {
            luo_file.cancel(core);
        }
        if let Some(block) = self.block.take() {
            // It was allocated here, and the handover is open.
            core.kho.unpreserve_free(block).ok();
        }
    }

    /// `luo_file_finish()`, then `luo_file_unpreserve_unreclaimed_files()`.
    pub(super) fn finish<M: KhoMem>(&mut self, core: &mut Core<M, F>) {
        for luo_file in self.files.values_mut() {
            luo_file.finish(core);
        }
        if let Some(block) = self.block.take() {
            // Memory that nobody preserved is a warning in the kernel.
            core.kho.restore_free(block).ok();
        }
        self.files.retain(|_, luo_file| luo_file.reclaimed);
    }

    /// `luo_retrieve_file()`: once; a failure may be tried again.
    pub(super) fn restore<M: KhoMem>(
        &mut self,
        core: &mut Core<M, F>,
        token: u64,
    ) -> Result<F, Errno> {
        let luo_file = self.files.get_mut(&token).ok_or(Errno::ENOENT)?;
        if luo_file.reclaimed {
            return Err(Errno::EADDRINUSE);
        }
        let (handler, mut context) = core.handler(luo_file.handler).ok_or(Errno::ENOENT)?;
        let file = handler.retrieve(&mut context, luo_file.data)?;
        luo_file.file = Some(file.clone());
        luo_file.reclaimed = true;
        Ok(file)
    }

    /// `luo_file_deserialize()`; Linux panics where this fails.
    pub(super) fn import<M: KhoMem>(
        core: &mut Core<M, F>,
        block: u64,
        count: u64,
    ) -> Result<Self, BootError> {
        let mut files = Self::new();
        if block == 0 {
            return Ok(files);
        }
        let damaged = |what| BootError::Session { what };
        let block = PhysAddr(block);
        let bytes = core.kho.received_bytes(block);
        let bytes = bytes.ok_or(damaged("its files were not preserved"))?;
        if count
            .checked_mul(ENTRY_BYTES)
            .is_none_or(|wanted| wanted > bytes)
        {
            return Err(damaged("there are more files than memory for them"));
        }
        for index in 0..count {
            let at = entry_at(block, index).ok_or(damaged("a file has no address"))?;
            let ser: FileSer = core.kho.memory().read_value(at).map_err(KhoError::from)?;
            let handler = core.by_name(unpadded(&ser.compatible));
            let luo_file = LuoFile {
                handler: handler.ok_or(damaged("a file has no handler"))?,
                file: None,
                data: ser.data,
                reclaimed: false,
                state: LiveupdateState::UPDATED,
            };
            if files.files.insert(ser.token, luo_file).is_some() {
                return Err(damaged("a token is there twice"));
            }
        }
        files.block = Some(block);
        Ok(files)
    }
}

impl<F: Clone> LuoFile<F> {
    fn prepare<M: KhoMem>(&mut self, core: &mut Core<M, F>) -> Result<(), Errno> {
        if let (Some(file), Some((handler, mut context))) = (&self.file, core.handler(self.handler))
        {
            self.data = handler.preserve(&mut context, file)?;
        }
        self.state = LiveupdateState::PREPARED;
        Ok(())
    }

    fn freeze<M: KhoMem>(&mut self, core: &mut Core<M, F>) -> Result<(), Errno> {
        if let (Some(file), Some((handler, mut context))) = (&self.file, core.handler(self.handler))
        {
            handler.freeze(&mut context, file, &mut self.data)?;
        }
        self.state = LiveupdateState::FROZEN;
        Ok(())
    }

    fn cancel<M: KhoMem>(&mut self, core: &mut Core<M, F>) {
        if self.state == LiveupdateState::NORMAL {
            return;
        }
        if let (Some(file), Some((handler, mut context))) = (&self.file, core.handler(self.handler))
        {
            handler.unpreserve(&mut context, file, self.data);
        }
        self.data = 0;
        self.state = LiveupdateState::NORMAL;
    }

    fn finish<M: KhoMem>(&mut self, core: &mut Core<M, F>) {
        let status = match self.reclaimed {
            true => RetrieveStatus::Retrieved,
            false => RetrieveStatus::NotTried,
        };
        if let Some((handler, mut context)) = core.handler(self.handler) {
            handler.finish(&mut context, self.file.as_ref(), self.data, status);
        }
        self.state = LiveupdateState::NORMAL;
    }
}

fn entry_at(block: PhysAddr, index: u64) -> Option<PhysAddr> {
    block.checked_add(index.checked_mul(ENTRY_BYTES)?)
}

fn write_entry<M: KhoMem, F: Clone>(
    core: &mut Core<M, F>,
    block: PhysAddr,
    index: u64,
    ser: &FileSer,
) -> Result<(), Errno> {
    let at = entry_at(block, index).ok_or(Errno::EINVAL)?;
    Ok(core
        .kho
        .memory_mut()
        .write_value(at, ser)
        .map_err(KhoError::from)?)
}
