//! Unified kernel images: an EFI program with the kernel, its initial RAM disk and its command line
//! in sections (UAPI group specification 5, "Unified Kernel Image").

use object::LittleEndian;
use object::pe::{IMAGE_DIRECTORY_ENTRY_SECURITY, ImageDosHeader, ImageNtHeaders64};
use object::read::pe::ImageNtHeaders as _;

/// What is in a unified kernel image.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Uki<'a> {
    /// `.linux`: the kernel.
    pub linux: &'a [u8],
    /// `.initrd`.
    pub initrd: Option<&'a [u8]>,
    /// `.cmdline`, without what pads it.
    pub cmdline: Option<&'a str>,
    /// `.uname`: the release.
    pub uname: Option<&'a str>,
    /// `.osrel`: the file os-release.
    pub os_release: Option<&'a str>,
}

impl<'a> Uki<'a> {
    /// Reads the sections; `None` of what has none with a kernel.
    pub fn parse(file: &'a [u8]) -> Option<Self> {
        let dos = ImageDosHeader::parse(file).ok()?;
        let mut offset = u64::from(dos.nt_headers_offset());
        let (headers, _) = ImageNtHeaders64::parse(file, &mut offset).ok()?;
        let sections = headers.sections(file, offset).ok()?;
        let content = |wanted: &[u8]| {
            let section = sections.iter().find(|section| {
                let name = &section.name;
                name.split(|&byte| byte == 0).next() == Some(wanted)
            })?;
            let bytes = section.pe_data(file).ok()?;
            // The file has whole blocks; what is content ends before.
            let length = section.virtual_size.get(LittleEndian);
            bytes.get(..usize::try_from(length).ok()?.min(bytes.len()))
        };
        let text = |wanted: &[u8]| {
            let text = core::str::from_utf8(content(wanted)?).ok()?;
            Some(text.trim_end_matches('\0').trim())
        };
        Some(Self {
            linux: content(b".linux")?,
            initrd: content(b".initrd"),
            cmdline: text(b".cmdline"),
            uname: text(b".uname"),
            os_release: text(b".osrel"),
        })
    }
}

/// Whether an EFI program has a signature, whoever's: an entry in its certificate table. A bzImage and
/// an arm64 Image are EFI programs.
pub fn is_signed(file: &[u8]) -> bool {
    let directory = || {
        let dos = ImageDosHeader::parse(file).ok()?;
        let mut offset = u64::from(dos.nt_headers_offset());
        let (_, directories) = ImageNtHeaders64::parse(file, &mut offset).ok()?;
        let table = directories.get(IMAGE_DIRECTORY_ENTRY_SECURITY)?;
        Some(table.size.get(LittleEndian))
    };
    directory().is_some_and(|bytes| bytes != 0)
}
