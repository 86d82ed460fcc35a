//! Build identities: what a linker makes of all it links.

/// `NT_GNU_BUILD_ID` and its owner (`include/uapi/linux/elf.h`, `lib/buildid.c`, v7.3).
const KIND: u32 = 3;
const OWNER: &[u8] = b"GNU\0";

/// Bytes of a note's header: length of the owner, length of the description, kind.
const HEADER: usize = 12;

/// The build identity in little-endian notes: a section of them, `/sys/kernel/notes` or
/// `/sys/module/NAME/notes/.note.gnu.build-id`.
#[must_use]
pub fn build_id(notes: &[u8]) -> Option<&[u8]> {
    let mut rest = notes;
    while let Some((header, behind)) = rest.split_at_checked(HEADER) {
        let mut words = header
            .as_chunks::<4>()
            .0
            .iter()
            .map(|it| u32::from_le_bytes(*it));
        let (owner_len, len, kind) = (words.next()?, words.next()?, words.next()?);
        let (owner, behind) = padded(behind, owner_len)?;
        let (description, behind) = padded(behind, len)?;
        if kind == KIND && owner == OWNER && !description.is_empty() {
            return Some(description);
        }
        rest = behind;
    }
    None
}

/// A field, and what is behind it and its padding to 4 bytes.
fn padded(bytes: &[u8], len: u32) -> Option<(&[u8], &[u8])> {
    let len = usize::try_from(len).ok()?;
    let whole = len.checked_next_multiple_of(4)?.min(bytes.len());
    let behind = bytes.get(whole..)?;
    Some((bytes.get(..len)?, behind))
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOTES: &[u8] = b"\x06\0\0\0\x01\0\0\0\x01\x01\0\0Linux\0\0\0\0\0\0\0\
        \x04\0\0\0\x05\0\0\0\x03\0\0\0GNU\0\x01\x02\x03\x04\x05\0\0\0";

    #[test]
    fn the_note_of_the_linker_is_found_behind_others() {
        assert_eq!(build_id(NOTES), Some(&[1, 2, 3, 4, 5][..]));
    }

    #[test]
    fn every_truncation_is_read_without_a_panic() {
        for len in 0..NOTES.len() - 3 {
            assert_eq!(build_id(&NOTES[..len]), None, "{len}");
        }
        assert_eq!(build_id(&[0xff; 64]), None);
    }
}
