//! Arguments of commands: the checks of `luo_ioctl()` and of `copy_struct_from_user()`
//! (`include/linux/uaccess.h`, v7.3) in their order.

use zerocopy::{FromBytes, Immutable, IntoBytes};

use crate::caller::{Caller, Fault, Object};
use crate::errno::Errno;

/// Granularity of access rights: a part of the caller's memory that does not cross a multiple of
/// this is readable as a whole or not at all.
const PAGE: u64 = 4096;

/// A command on its way: from its number to its answer.
pub(crate) struct Call<'a, C> {
    pub(crate) caller: &'a mut C,
    addr: u64,
    user_size: u32,
}

impl<'a, C: Caller> Call<'a, C> {
    /// Checks the command's number against `table`, whose first number is `base`.
    ///
    /// An unknown number is `EINVAL`; then the argument's size must be readable; only then a
    /// number of another type is `ENOTTY`.
    pub(crate) fn begin(
        caller: &'a mut C,
        table: &[u32],
        base: u8,
        cmd: u32,
        addr: u64,
    ) -> Result<Self, Errno> {
        let [number, ..] = cmd.to_le_bytes();
        let index = number.checked_sub(base).ok_or(Errno::EINVAL)?;
        let known = table.get(usize::from(index)).ok_or(Errno::EINVAL)?;
        let mut size = [0; 4];
        caller.read(addr, &mut size)?;
        if *known != cmd {
            return Err(Errno::ENOTTY);
        }
        Ok(Self {
            caller,
            addr,
            user_size: u32::from_ne_bytes(size),
        })
    }

    /// The argument: too short is `EINVAL`; longer is fine while what is behind it is zeros,
    /// `E2BIG` otherwise.
    pub(crate) fn args<T: FromBytes + IntoBytes>(&mut self) -> Result<T, Errno> {
        let size = u64::try_from(size_of::<T>()).unwrap_or(u64::MAX);
        let user_size = u64::from(self.user_size);
        if user_size < size {
            return Err(Errno::EINVAL);
        }
        let end = self.addr.checked_add(user_size).ok_or(Fault)?;
        let tail = self.addr.checked_add(size).ok_or(Fault)?;
        self.check_zeros(tail, end)?;
        let mut args = T::new_zeroed();
        self.caller.read(self.addr, args.as_mut_bytes())?;
        Ok(args)
    }

    fn check_zeros(&mut self, mut at: u64, end: u64) -> Result<(), Errno> {
        let mut page = [0; 4096];
        while at < end {
            let next = at.saturating_add(1).next_multiple_of(PAGE).min(end);
            let len = usize::try_from(next.saturating_sub(at)).unwrap_or(usize::MAX);
            let bytes = page.get_mut(..len).ok_or(Fault)?;
            self.caller.read(at, bytes)?;
            if bytes.iter().any(|&byte| byte != 0) {
                return Err(Errno::E2BIG);
            }
            at = next;
        }
        Ok(())
    }

    /// Writes the answer.
    pub(crate) fn respond<T: IntoBytes + Immutable>(&mut self, answer: &T) -> Result<(), Errno> {
        Ok(self.caller.write(self.addr, answer.as_bytes())?)
    }

    /// Installs a descriptor and writes the answer with its number.
    pub(crate) fn install<T: IntoBytes + FromBytes>(
        &mut self,
        object: Object<C::File>,
        mut answer: T,
        fd_offset: usize,
    ) -> Result<(), Errno> {
        let answer = answer.as_mut_bytes();
        Ok(self.caller.install(object, self.addr, answer, fd_offset)?)
    }
}
