//! A plan with every kind of file, and more sessions and files than fit into a block.

use std::fmt::Write as _;
use std::fs;
use std::path::{Path, PathBuf};

use anyhow::Context as _;

use crate::composed::COUNT;

/// Label of a region of 1 MiB.
pub(super) const REGION: &str = "composed";
/// More than fit into one block of sessions, and of files.
const SESSIONS: u64 = 58;
const FILES: u64 = 70;

/// A plan under construction, and what must come of it.
#[derive(Default)]
pub(super) struct Planned {
    pub(super) plan: String,
    /// Sessions with their tokens, as `e2e-client carry` reads them.
    pub(super) list: String,
    /// What it prints.
    pub(super) wanted: Vec<String>,
    folder: PathBuf,
    session: String,
}

/// What a file is in a plan.
#[derive(Default)]
struct File<'a> {
    token: u64,
    content: &'a [u8],
    /// Content, and zeros up to here.
    size: usize,
    position: u64,
    /// As in the plan, and as `fcntl(2)` tells them.
    seals: (&'a str, u32),
}

impl Planned {
    fn session(&mut self, name: &str) -> anyhow::Result<()> {
        write!(self.plan, "[[session]]\nname = \"{name}\"\n\n")?;
        let separator = if self.list.is_empty() { "" } else { "\n" };
        write!(self.list, "{separator}{name}")?;
        name.clone_into(&mut self.session);
        Ok(())
    }

    /// A file of the last session; its content goes to a file beside the plan.
    fn file(&mut self, file: &File<'_>) -> anyhow::Result<()> {
        let File {
            token,
            content,
            size,
            position,
            seals: (seals, bits),
        } = *file;
        let mut bytes = content.to_vec();
        bytes.resize(content.len().max(size), 0);
        let size = bytes.len();
        let line = format!("[[session.file]]\ntoken = \"{token:#x}\"\nsize = {size}");
        writeln!(
            self.plan,
            "{line}\nposition = {position}\nseals = [{seals}]"
        )?;
        if !content.is_empty() {
            let name = format!("content-{}-{token}", self.session);
            fs::write(self.folder.join(&name), content)?;
            writeln!(self.plan, "content = \"{name}\"")?;
        }
        writeln!(self.plan)?;
        write!(self.list, " {token}")?;
        let (session, checksum) = (&self.session, crc32fast::hash(&bytes));
        self.wanted.push(format!(
            "{session} {token} size {size} position {position} seals {bits:#x} checksum {checksum:08x}"
        ));
        Ok(())
    }

    /// Every kind of file, and more sessions and files than fit into a block.
    pub(super) fn everything(folder: &Path) -> anyhow::Result<Self> {
        let mut planned = Self {
            folder: folder.to_owned(),
            plan: format!(
                "[handover]\nrelease = \"composed-on-host\"\nkexec_count = {COUNT}\n\
                 liveupdate_number = {COUNT}\n\n[machine]\nmemory = \"1G\"\n\n"
            ),
            ..Self::default()
        };
        planned.kinds()?;
        planned.session("many")?;
        for token in 0..FILES {
            let content = token.to_le_bytes().repeat(usize::try_from(token)?);
            let content = content.as_slice();
            planned.file(&File {
                token,
                content,
                ..File::default()
            })?;
        }
        for index in 0..SESSIONS {
            planned.session(&format!("session-{index}"))?;
            // Some have no file.
            if index % 8 != 0 {
                let content = index.to_le_bytes();
                planned.file(&File {
                    token: index,
                    content: &content,
                    ..File::default()
                })?;
            }
        }
        planned.selftest_and_flbs()?;
        let region = format!("label = \"{REGION}\"\nsize = \"1M\"");
        writeln!(planned.plan, "[[region]]\n{region}")?;
        Ok(planned)
    }

    fn kinds(&mut self) -> anyhow::Result<()> {
        let content: Vec<u8> = (0_u32..1_700_000).flat_map(u32::to_le_bytes).collect();
        let large = content.get(..(6 << 20) + 123).context("content")?;
        let middle = content.get(5..10_005).context("content")?;
        let mut sparse = vec![0; 1 << 20];
        for (page, from) in sparse.chunks_mut(4096).step_by(16).zip(large.chunks(4096)) {
            page.copy_from_slice(from);
        }
        self.session("kinds")?;
        self.file(&File::default())?;
        let file = |token, content, size, position, seals| File {
            token,
            content,
            size,
            position,
            seals,
        };
        let no_seals = ("", 0);
        for file in [
            file(u64::MAX, b"1", 0, 0, no_seals),
            file(1, &sparse, 0, 0, no_seals),
            file(2, b"", 3 << 20, 0, no_seals),
            file(3, middle, 20_000, 0x1234, no_seals),
            file(4, middle, 0, 0, ("\"seal\", \"shrink\", \"grow\"", 7)),
            file(5, middle, 0, 9, ("\"write\"", 8)),
            file(6, large, 0, 6 << 20, no_seals),
        ] {
            self.file(&file)?;
        }
        Ok(())
    }

    /// What the selftest's first stage leaves (`luo_kexec_simple.c`), and what kernels with
    /// `CONFIG_LIVEUPDATE_TEST` expect (`lib/tests/liveupdate.c`; both v7.2 and v7.3).
    fn selftest_and_flbs(&mut self) -> anyhow::Result<()> {
        // These are not for the list: the selftest retrieves them.
        let (list, wanted) = (self.list.clone(), self.wanted.clone());
        for (session, token, content) in [
            ("test-session", 0x1a, "hello kexec world"),
            ("kexec_simple_state", 999, "2"),
        ] {
            self.session(session)?;
            self.file(&File {
                token,
                content: content.as_bytes(),
                size: 4096,
                ..File::default()
            })?;
        }
        (self.list, self.wanted) = (list, wanted);
        for index in 0..3 {
            let data = 0xfeed_f00d_cafe_bee0_u64 + index;
            let name = format!("liveupdate-test-flb-v{index}");
            writeln!(
                self.plan,
                "[[flb]]\ncompatible = \"{name}\"\ndata = \"{data:#x}\"\n"
            )?;
        }
        Ok(())
    }
}
