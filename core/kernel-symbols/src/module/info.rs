//! What a module says of itself.

use super::Module;

impl<'d> Module<'d> {
    /// The first value of a key in `.modinfo`: `key=value`, each up to its NUL.
    pub(crate) fn info(&self, key: &[u8]) -> Option<&'d [u8]> {
        let (_, section) = self.elf.section(b".modinfo")?;
        let entries = section.data(self.elf.file).split(|&byte| byte == 0);
        entries
            .filter_map(|entry| entry.strip_prefix(key)?.strip_prefix(b"="))
            .next()
    }
}
