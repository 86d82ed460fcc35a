//! Boot configuration behind an image (`Documentation/admin-guide/bootconfig.rst`, v7.3): text, its
//! length, its sum, and a mark at the very end.

/// The mark.
const MARK: &[u8; 12] = b"#BOOTCONFIG\n";
/// Two words in front of the mark.
const WORDS: usize = 8;

/// Boot configuration behind an image.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BootConfig {
    /// Where it starts, and the image ends for the kernel.
    pub offset: usize,
    /// Bytes of it.
    pub bytes: usize,
    /// Whether its sum is right; the kernel ignores it otherwise, and ends the image before it all
    /// the same (`get_boot_config_from_initrd()`, `init/main.c`, v7.3).
    pub is_intact: bool,
}

impl BootConfig {
    /// Looks for it: the mark is among the last bytes, where loaders align an image to 4.
    pub fn find(image: &[u8]) -> Option<Self> {
        let end = (0..4).find_map(|pad| {
            let end = image.len().checked_sub(pad)?;
            let image = image.get(..end)?;
            image.ends_with(MARK).then_some(end)
        })?;
        let words = end.checked_sub(MARK.len())?.checked_sub(WORDS)?;
        let word = |at: usize| {
            let bytes = image.get(at..)?.first_chunk()?;
            Some(u32::from_le_bytes(*bytes))
        };
        let bytes = usize::try_from(word(words)?).ok()?;
        let stated = word(words.checked_add(4)?)?;
        let offset = words.checked_sub(bytes)?;
        let text = image.get(offset..words)?;
        let sum = text
            .iter()
            .fold(0_u32, |sum, &byte| sum.wrapping_add(u32::from(byte)));
        Some(Self {
            offset,
            bytes,
            is_intact: sum == stated,
        })
    }
}
