//! What is in an image, as the findings need it.

use alloc::borrow::ToOwned as _;
use alloc::format;
use alloc::string::{String, ToString as _};
use alloc::vec::Vec;

use crate::reader::{EntryKind, Member, ReadEntry, Refused, Rules, Seen, read};
use crate::tree::{Node, Tree};

/// Bytes of a file in which an interpreter is named (`BINPRM_BUF_SIZE`,
/// `include/uapi/linux/binfmts.h`, v7.3).
const SCRIPT_BYTES: usize = 256;

/// What is in an image.
pub(super) struct Gathered {
    pub(super) members: Vec<Member>,
    pub(super) entries: usize,
    /// Names that the kernel leaves out, each with its reason.
    pub(super) lost: Vec<String>,
    pub(super) early: Vec<EarlyFile>,
    pub(super) refused: Option<Refused>,
    tree: Tree<Vec<u8>>,
}

/// A file that is meant to be read before anything is unpacked.
pub(super) struct EarlyFile {
    pub(super) name: String,
    /// Where its content starts in the image, if no compressed member is on the way to it.
    pub(super) offset: Option<usize>,
}

impl Gathered {
    pub(super) fn of(image: &[u8], rules: &Rules<'_>) -> Self {
        let mut it = Self {
            members: Vec::new(),
            entries: 0,
            lost: Vec::new(),
            early: Vec::new(),
            refused: None,
            tree: Tree::new(),
        };
        let answer = read(image, rules, &mut |seen| it.see(seen));
        it.refused = answer.err();
        it
    }

    /// What is started under this name.
    pub(super) fn program(&self, path: &str) -> Option<&Node<Vec<u8>>> {
        self.tree.follow(path.as_bytes())
    }

    /// The program that a script names (`fs/binfmt_script.c`, v7.3).
    pub(super) fn interpreter(&self, node: &Node<Vec<u8>>) -> Option<String> {
        let line = node.content.strip_prefix(b"#!")?;
        let line = line.split(|&byte| byte == b'\n').next()?;
        let line = core::str::from_utf8(line).ok()?;
        line.split_ascii_whitespace().next().map(str::to_owned)
    }

    fn see(&mut self, seen: Seen<'_>) {
        match seen {
            Seen::Member(member) => self.members.push(member),
            Seen::Entry(entry) => {
                self.entries = self.entries.saturating_add(1);
                self.find_early(entry);
                let start = entry.content.get(..SCRIPT_BYTES).unwrap_or(entry.content);
                if let Err(loss) = self.tree.unpack(entry, start.to_vec()) {
                    let name = entry.name.escape_ascii();
                    self.lost.push(format!("{name}: {loss}"));
                }
            }
            Seen::Skipped { name, why } => {
                self.entries = self.entries.saturating_add(1);
                self.lost.push(format!("{}: {why}", name.escape_ascii()));
            }
            Seen::Trailer => self.tree.end_archive(),
            Seen::MemberEnd { .. } => {}
        }
    }

    fn find_early(&mut self, entry: &ReadEntry<'_>) {
        if entry.kind == EntryKind::File && super::early::is_early(entry.name) {
            let is_reached = self.members.iter().all(|member| member.format.is_none());
            self.early.push(EarlyFile {
                name: entry.name.escape_ascii().to_string(),
                offset: is_reached.then_some(entry.content_offset),
            });
        }
    }
}
