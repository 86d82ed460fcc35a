//! What is in an image, as `cpio -tv` shows it and as data.

use std::fmt::Write as _;

use initrd::{BootConfig, EntryKind, ReadEntry, Refused, Rules, Seen, read};
use jiff::Timestamp;
use jiff::tz::TimeZone;
use serde::Serialize;

/// An image's members and what ends it.
#[derive(Debug, Serialize)]
pub struct Listing {
    /// Archives, plain or compressed, in order.
    pub members: Vec<MemberLine>,
    /// Bytes of boot configuration behind the image.
    pub boot_config_bytes: Option<usize>,
    /// What the kernel stops at.
    pub stop: Option<String>,
}

/// A member.
#[derive(Debug, Serialize)]
pub struct MemberLine {
    /// Where in the image it starts.
    pub offset: usize,
    /// Where in the image it ends, of one that was read to its end.
    pub end: Option<usize>,
    /// What it is compressed in.
    pub compression: Option<&'static str>,
    /// Its entries.
    pub entries: Vec<EntryLine>,
}

/// An entry.
#[derive(Debug, Serialize)]
pub struct EntryLine {
    /// Its name; what is no UTF-8 is replaced.
    pub name: String,
    /// Type and permissions.
    pub mode: u32,
    /// Owner.
    pub uid: u32,
    /// Group.
    pub gid: u32,
    /// Names of the same file.
    pub nlink: u32,
    /// Seconds since 1970.
    pub mtime: u32,
    /// Bytes of its content.
    pub bytes: usize,
    /// Where the content starts: in the image, or in what the member unpacks to.
    pub content_offset: usize,
    /// Where a link leads.
    pub target: Option<String>,
    /// Device of a device node.
    pub device: Option<(u32, u32)>,
}

impl Listing {
    /// Reads an image.
    #[must_use]
    pub fn of(image: &[u8], rules: &Rules<'_>) -> Self {
        let mut members: Vec<MemberLine> = Vec::new();
        let answer = read(image, rules, &mut |seen| match seen {
            Seen::Member(member) => members.push(MemberLine {
                offset: member.offset,
                end: None,
                compression: member.format.map(initrd::Format::name),
                entries: Vec::new(),
            }),
            Seen::MemberEnd { offset } => {
                if let Some(member) = members.last_mut() {
                    member.end = Some(offset);
                }
            }
            Seen::Entry(entry) => {
                if let Some(member) = members.last_mut() {
                    member.entries.push(EntryLine::of(entry));
                }
            }
            Seen::Skipped { .. } | Seen::Trailer => {}
        });
        Self {
            members,
            boot_config_bytes: BootConfig::find(image).map(|found| found.bytes),
            stop: answer.err().as_ref().map(stop),
        }
    }
}

/// What the kernel stops at, and where.
pub(crate) fn stop(refused: &Refused) -> String {
    let inside = refused
        .inside
        .map(|inside| format!(", byte {inside} of what it unpacks to"));
    let (offset, inside) = (refused.offset, inside.unwrap_or_default());
    format!("byte {offset}{inside}: {}", refused.why)
}

impl EntryLine {
    fn of(entry: &ReadEntry<'_>) -> Self {
        let is_link = entry.kind == EntryKind::Symlink;
        let text = |bytes| String::from_utf8_lossy(bytes).into_owned();
        Self {
            name: text(entry.name),
            mode: entry.mode,
            uid: entry.uid,
            gid: entry.gid,
            nlink: entry.nlink,
            mtime: entry.mtime,
            bytes: entry.bytes,
            content_offset: entry.content_offset,
            target: is_link.then(|| text(entry.content)),
            device: is_device(entry.kind).then_some(entry.device),
        }
    }
}

fn is_device(kind: EntryKind) -> bool {
    matches!(kind, EntryKind::CharacterDevice | EntryKind::BlockDevice)
}

/// An entry as `cpio -tv` shows it, with numbers for owners and times in UTC; what could disturb a
/// terminal is escaped.
#[must_use]
pub fn line(entry: &ReadEntry<'_>) -> String {
    let mut line = permissions(entry.kind, entry.mode);
    let (links, uid, gid) = (entry.nlink, entry.uid, entry.gid);
    let size = if is_device(entry.kind) {
        format!("{:>3}, {:>3}", entry.device.0, entry.device.1)
    } else {
        entry.bytes.to_string()
    };
    // Writing to a string cannot fail.
    let _ = write!(line, " {links:>3} {uid:<8} {gid:<8} {size:>8} ");
    let time = Timestamp::from_second(i64::from(entry.mtime)).unwrap_or_default();
    let time = time.to_zoned(TimeZone::UTC);
    let _ = write!(
        line,
        "{} {}",
        time.strftime("%b %e %Y"),
        printable(entry.name)
    );
    if entry.kind == EntryKind::Symlink {
        let _ = write!(line, " -> {}", printable(entry.content));
    }
    line
}

/// Text as it is, but for control characters and what is no UTF-8.
pub(crate) fn printable(bytes: &[u8]) -> String {
    match std::str::from_utf8(bytes) {
        Ok(text) if !text.chars().any(char::is_control) => text.to_owned(),
        _ => bytes.escape_ascii().to_string(),
    }
}

fn permissions(kind: EntryKind, mode: u32) -> String {
    let mut text = String::from(match kind {
        EntryKind::Folder => 'd',
        EntryKind::File => '-',
        EntryKind::Symlink => 'l',
        EntryKind::CharacterDevice => 'c',
        EntryKind::BlockDevice => 'b',
        EntryKind::Fifo => 'p',
        EntryKind::Socket => 's',
    });
    for (shift, special, letter) in [(6, 0o4000, 's'), (3, 0o2000, 's'), (0, 0o1000, 't')] {
        let bits = mode >> shift;
        text.push(if bits & 4 == 0 { '-' } else { 'r' });
        text.push(if bits & 2 == 0 { '-' } else { 'w' });
        text.push(match (mode & special != 0, bits & 1 != 0) {
            (false, false) => '-',
            (false, true) => 'x',
            (true, true) => letter,
            (true, false) => letter.to_ascii_uppercase(),
        });
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn permissions_are_shown_as_ls_does() {
        assert_eq!(permissions(EntryKind::File, 0o104_755), "-rwsr-xr-x");
        assert_eq!(permissions(EntryKind::Folder, 0o041_776), "drwxrwxrwT");
        assert_eq!(permissions(EntryKind::Fifo, 0o012_640), "prw-r-S---");
    }

    #[test]
    fn a_name_cannot_move_the_cursor() {
        assert_eq!(printable(b"a\x1b[2Jb"), "a\\x1b[2Jb");
        assert_eq!(printable("\u{e9}".as_bytes()), "\u{e9}");
        assert_eq!(printable(&[0xff]), "\\xff");
    }
}
