//! The program that makes the calls: it creates the plan's sessions and preserves its files.

use kho::SparseMemory;
use liveupdate_uapi::SessionName;
use liveupdate_uapi::mainline::{
    CreateSession, IOCTL_CREATE_SESSION, PreserveFd, SESSION_PRESERVE_FD,
};
use luo::{Caller, Errno, Fault, InstallError, Luo, Object, SessionId, Target};
use zerocopy::IntoBytes as _;

use crate::content::FileId;

/// Address of the one argument there is.
const ARGUMENT: u64 = 0x1000;
/// Descriptor of whatever is preserved next.
const FILE_FD: i32 = 3;

/// A program with one argument in its memory and one open file.
#[derive(Debug, Default)]
pub(crate) struct Program {
    argument: Vec<u8>,
    file: Option<FileId>,
    session: Option<SessionId>,
}

impl Program {
    /// Creates a session.
    pub(crate) fn create(
        &mut self,
        luo: &mut Luo<SparseMemory, FileId>,
        name: SessionName,
    ) -> Result<SessionId, Errno> {
        let arguments = CreateSession {
            size: argument_size::<CreateSession>(),
            fd: -1,
            name: *name.as_array(),
        };
        self.argument = arguments.as_bytes().to_vec();
        luo.ioctl(Target::Device, IOCTL_CREATE_SESSION, ARGUMENT, self)?;
        self.session.take().ok_or(Errno::EBADF)
    }

    /// Preserves a file.
    pub(crate) fn preserve(
        &mut self,
        luo: &mut Luo<SparseMemory, FileId>,
        session: SessionId,
        file: FileId,
        token: u64,
    ) -> Result<(), Errno> {
        let arguments = PreserveFd {
            size: argument_size::<PreserveFd>(),
            fd: FILE_FD,
            token,
        };
        self.argument = arguments.as_bytes().to_vec();
        self.file = Some(file);
        luo.ioctl(
            Target::Session(session),
            SESSION_PRESERVE_FD,
            ARGUMENT,
            self,
        )
    }

    fn place(&mut self, addr: u64, len: usize) -> Result<&mut [u8], Fault> {
        let start = addr.checked_sub(ARGUMENT).ok_or(Fault)?;
        let start = usize::try_from(start).map_err(|_too_far| Fault)?;
        let end = start.checked_add(len).ok_or(Fault)?;
        self.argument.get_mut(start..end).ok_or(Fault)
    }
}

/// Every argument has some bytes.
fn argument_size<T>() -> u32 {
    u32::try_from(size_of::<T>()).unwrap_or(u32::MAX)
}

impl Caller for Program {
    type File = FileId;

    fn read(&mut self, addr: u64, bytes: &mut [u8]) -> Result<(), Fault> {
        bytes.copy_from_slice(self.place(addr, bytes.len())?);
        Ok(())
    }

    fn write(&mut self, addr: u64, bytes: &[u8]) -> Result<(), Fault> {
        self.place(addr, bytes.len())?.copy_from_slice(bytes);
        Ok(())
    }

    fn reserve_fd(&mut self) -> Result<(), Errno> {
        Ok(())
    }

    fn object(&mut self, fd: i32) -> Result<Object<FileId>, Errno> {
        let file = self.file.filter(|_| fd == FILE_FD);
        file.map(Object::File).ok_or(Errno::EBADF)
    }

    fn install(
        &mut self,
        object: Object<FileId>,
        _addr: u64,
        _answer: &mut [u8],
        _fd_offset: usize,
    ) -> Result<(), InstallError> {
        // Nobody reads the number: the session itself is what is wanted.
        let Object::Session(session) = object else {
            return Err(Errno::EMFILE.into());
        };
        self.session = Some(session);
        Ok(())
    }
}
