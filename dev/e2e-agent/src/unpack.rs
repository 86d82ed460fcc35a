//! Reader of initramfs archives, in the kernel's place on an emulated machine.
//!
//! Format: `Documentation/driver-api/early-userspace/buffer-format.rst`, v7.3. The writer is
//! `core/initrd`.

use std::fs::{self, Permissions};
use std::os::unix::fs::{PermissionsExt as _, symlink};
use std::path::{Component, Path};

use anyhow::{Context as _, bail, ensure};

/// `070701`: an entry without checksum.
const MAGIC: &[u8] = b"070701";
/// The magic and 13 numbers of 8 hexadecimal digits.
const HEADER_LEN: usize = 110;
/// Which of the numbers.
const MODE: usize = 1;
const FILE_SIZE: usize = 6;
const NAME_SIZE: usize = 11;
/// Names and contents start on a multiple of this.
const ALIGNMENT: usize = 4;
const TRAILER: &str = "TRAILER!!!";

/// `S_IFMT` and the types that can be made by anybody.
const TYPE_MASK: u32 = 0o170_000;
const FOLDER: u32 = 0o040_000;
const FILE: u32 = 0o100_000;
const LINK: u32 = 0o120_000;

/// Makes what `archive` holds in `root`. Devices are left out: not everybody can make them.
///
/// # Errors
/// It is no archive, or ends early, or an entry cannot be made.
pub(crate) fn unpack(archive: &[u8], root: &Path) -> anyhow::Result<()> {
    let mut rest = Reader { archive, at: 0 };
    loop {
        let at = rest.at;
        let entry = rest
            .entry()
            .with_context(|| format!("the entry at byte {at}"))?;
        if entry.name == TRAILER {
            return Ok(());
        }
        entry.make(root).with_context(|| entry.name.to_owned())?;
    }
}

struct Reader<'a> {
    archive: &'a [u8],
    at: usize,
}

struct Entry<'a> {
    name: &'a str,
    mode: u32,
    content: &'a [u8],
}

impl<'a> Reader<'a> {
    fn entry(&mut self) -> anyhow::Result<Entry<'a>> {
        let header = self.take(HEADER_LEN)?;
        ensure!(header.starts_with(MAGIC), "no header of a newc archive");
        let (mode, size) = (number(header, MODE)?, number(header, FILE_SIZE)?);
        let name = self.take(usize::try_from(number(header, NAME_SIZE)?)?)?;
        let name = name.strip_suffix(b"\0").context("a name without end")?;
        self.align();
        let content = self.take(usize::try_from(size)?)?;
        self.align();
        Ok(Entry {
            name: std::str::from_utf8(name).context("a name that is no text")?,
            mode,
            content,
        })
    }

    fn take(&mut self, len: usize) -> anyhow::Result<&'a [u8]> {
        let rest = self.archive.get(self.at..).unwrap_or_default();
        let part = rest
            .get(..len)
            .with_context(|| format!("{len} bytes wanted, {} left", rest.len()))?;
        self.at += len;
        Ok(part)
    }

    const fn align(&mut self) {
        self.at = self.at.next_multiple_of(ALIGNMENT);
    }
}

fn number(header: &[u8], index: usize) -> anyhow::Result<u32> {
    let start = MAGIC.len() + 8 * index;
    let digits = header.get(start..start + 8).context("a short header")?;
    let digits = std::str::from_utf8(digits).context("no digits")?;
    u32::from_str_radix(digits, 16).with_context(|| format!("{digits:?} is no number"))
}

impl Entry<'_> {
    fn make(&self, root: &Path) -> anyhow::Result<()> {
        let name = Path::new(self.name);
        let is_below = name
            .components()
            .all(|part| matches!(part, Component::Normal(_)));
        ensure!(is_below, "the name leads out of the archive");
        let path = root.join(name);
        match self.mode & TYPE_MASK {
            FOLDER => fs::create_dir(&path).context("make the folder")?,
            FILE => fs::write(&path, self.content).context("write the file")?,
            LINK => {
                let target = std::str::from_utf8(self.content).context("the link's target")?;
                return symlink(target, &path).context("make the link");
            }
            0o020_000 | 0o060_000 => return Ok(()),
            other => bail!("entries of type {other:#o} are not known"),
        }
        let permissions = Permissions::from_mode(self.mode & 0o7777);
        fs::set_permissions(&path, permissions).context("set the permissions")
    }
}

#[cfg(test)]
mod tests {
    use initrd::{Archive, Device, Permissions as Mode};

    use super::*;

    #[test]
    fn what_our_writer_packs_is_unpacked() {
        let mut archive = Archive::new();
        archive.folders("a/b").unwrap();
        for len in 0..5_usize {
            let name = format!("a/b/{len}");
            archive.file(&name, Mode::PROGRAM, &vec![7; len]).unwrap();
        }
        archive.symlink("link", "a/b/3").unwrap();
        let null = Device::Character { major: 1, minor: 3 };
        archive.device("null", Mode::PRIVATE, null).unwrap();
        let root = tempfile::tempdir().unwrap();
        unpack(&archive.finish(), root.path()).unwrap();
        for len in 0..5_usize {
            let path = root.path().join(format!("a/b/{len}"));
            assert_eq!(fs::read(&path).unwrap(), vec![7; len]);
            let mode = fs::metadata(&path).unwrap().permissions().mode();
            assert_eq!(mode & 0o7777, 0o755);
        }
        assert_eq!(fs::read(root.path().join("link")).unwrap(), [7; 3]);
        assert!(!fs::exists(root.path().join("null")).unwrap());
    }

    #[test]
    fn damaged_archives_are_refused() {
        let mut archive = Archive::new();
        archive.file("file", Mode::DATA, b"content").unwrap();
        let whole = archive.finish();
        let root = tempfile::tempdir().unwrap();
        for len in [0, 50, 112, 120] {
            assert!(unpack(&whole[..len], root.path()).is_err(), "{len}");
        }
        let text = String::from_utf8(whole).unwrap();
        let outside = text.replace("file\0", "/etc\0");
        let error = unpack(outside.as_bytes(), root.path()).unwrap_err();
        assert!(format!("{error:#}").contains("leads out"), "{error:#}");
    }
}
