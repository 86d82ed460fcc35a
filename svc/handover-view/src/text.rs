//! A handover as text for a terminal.

use std::fmt::Write as _;

use crate::model::{Block, File, PstoreRecord, View};

/// Bytes of a page, for the size of blocks.
const PAGE_BYTES: u64 = 4096;

impl View {
    /// The handover as text, a line for each thing.
    pub fn to_text(&self) -> String {
        let mut text = String::new();
        self.write_head(&mut text);
        self.write_sessions(&mut text);
        self.write_rest(&mut text);
        self.write_problems(&mut text);
        text
    }

    fn write_head(&self, text: &mut String) {
        let mut line = |name: &str, value: &str| {
            let _infallible = writeln!(text, "{name:<10} {value}");
        };
        line(
            "handover",
            &format!("root {} in {}", self.root, self.source),
        );
        if let Some(metadata) = &self.metadata {
            let count = metadata.kexec_count;
            line(
                "written by",
                &format!("{} (kexec {count})", metadata.release),
            );
        }
        if let Some(number) = self.liveupdate_num {
            line("update", &format!("number {number}"));
        }
        let totals = &self.totals;
        let preserved = format!(
            "{} in {} ({} pages of tree)",
            size(totals.preserved_bytes),
            blocks(&totals.blocks),
            totals.tree_nodes
        );
        line("preserved", &preserved);
        if totals.unknown_bytes != 0 {
            let bytes = size(totals.unknown_bytes);
            line("", &format!("{bytes} of it belong to nothing luoctl knows"));
        }
        match &self.scratch {
            None => line("scratch", "not known from this source"),
            Some(areas) => {
                let areas: Vec<String> = areas
                    .iter()
                    .filter(|area| area.bytes != 0)
                    .map(|area| format!("{} + {}", area.addr, size(area.bytes)))
                    .collect();
                line("scratch", &areas.join(", "));
            }
        }
    }

    fn write_sessions(&self, text: &mut String) {
        let _infallible = writeln!(
            text,
            "\nsessions   {}, {} files, memfds of {}",
            self.totals.sessions,
            self.totals.files,
            size(self.totals.memfd_bytes)
        );
        for session in &self.sessions {
            let _infallible = writeln!(text, "  {}", printable(&session.name));
            if session.files.is_empty() {
                let _infallible = writeln!(text, "    no files");
            }
            for file in &session.files {
                let _infallible = writeln!(text, "    {}", file_line(file));
            }
        }
    }

    fn write_rest(&self, text: &mut String) {
        if !self.flbs.is_empty() {
            let _infallible = writeln!(text, "\nshared objects");
        }
        for flb in &self.flbs {
            let name = printable(&flb.name);
            let _infallible = writeln!(text, "  {name}: {}, {} files", flb.data, flb.count);
        }
        if !self.regions.is_empty() {
            let _infallible = writeln!(text, "\nreserve_mem");
        }
        for region in &self.regions {
            let label = printable(&region.label);
            let bytes = size(region.bytes);
            let _infallible = writeln!(text, "  {label}: {} + {bytes}", region.addr);
        }
        if let Some(pstore) = &self.pstore {
            let bytes = pstore.capacity_bytes.try_into().unwrap_or(u64::MAX);
            let _infallible = writeln!(text, "\nlogs       room for {} each", size(bytes));
            for record in &pstore.records {
                let _infallible = writeln!(text, "  {}", record_line(record));
            }
        }
        let _infallible = writeln!(text, "\nsubtrees");
        for subtree in &self.subtrees {
            let unknown = || "?".to_owned();
            let _infallible = writeln!(
                text,
                "  {}: {}, {} bytes",
                printable(&subtree.name),
                subtree.addr.clone().unwrap_or_else(unknown),
                subtree
                    .bytes
                    .map_or_else(unknown, |bytes| bytes.to_string())
            );
        }
    }

    fn write_problems(&self, text: &mut String) {
        if self.totals.problems == 0 {
            return;
        }
        let _infallible = writeln!(text, "\nproblems   {}", self.totals.problems);
        for problem in &self.problems {
            let message = printable(&problem.message);
            let _infallible = writeln!(text, "  {}: {message}", problem.consequence);
        }
    }
}

fn record_line(record: &PstoreRecord) -> String {
    let stored = if record.is_compressed {
        ", compressed"
    } else {
        ""
    };
    format!(
        "{}: {} number {} of its boot, part {}, {}{stored}, written at {} s",
        record.slot,
        record.reason,
        record.count,
        record.part,
        size(record.size_bytes),
        record.time_sec
    )
}

fn file_line(file: &File) -> String {
    let token = &file.token;
    let handler = printable(&file.handler);
    let Some(memfd) = &file.memfd else {
        return format!("{token}  {handler}, data {}", file.data);
    };
    let mut line = format!("{token}  {handler}  {}", size(memfd.size_bytes));
    let mut add = |text: String| {
        let _infallible = write!(line, ", {text}");
    };
    if memfd.pos_bytes != 0 {
        add(format!("position {}", memfd.pos_bytes));
    }
    if !memfd.seals.is_empty() {
        add(format!("seals {}", memfd.seals.join(" ")));
    }
    if !memfd.blocks.is_empty() {
        add(blocks(&memfd.blocks));
    }
    line
}

/// Blocks like `3 of 4 KiB, 1 of 2 MiB`.
fn blocks(blocks: &[Block]) -> String {
    let blocks: Vec<String> = blocks
        .iter()
        .map(|block| {
            let bytes = PAGE_BYTES.checked_shl(block.order).unwrap_or(u64::MAX);
            format!("{} of {}", block.count, size(bytes))
        })
        .collect();
    blocks.join(", ")
}

/// A size with a unit that leaves it short and exact to a tenth.
pub(crate) fn size(bytes: u64) -> String {
    const UNITS: [&str; 5] = ["KiB", "MiB", "GiB", "TiB", "PiB"];
    if bytes < 1024 {
        return format!("{bytes} B");
    }
    let mut unit = "";
    let mut tenths = u128::from(bytes) * 10;
    for name in UNITS {
        if tenths < 10_240 {
            break;
        }
        tenths /= 1024;
        unit = name;
    }
    if tenths.is_multiple_of(10) {
        format!("{} {unit}", tenths / 10)
    } else {
        format!("{}.{} {unit}", tenths / 10, tenths % 10)
    }
}

/// Names come from memory: what would move a terminal's cursor is shown as what it is.
pub fn printable(text: &str) -> String {
    let escape = |letter: char| -> String {
        if letter.is_control() {
            letter.escape_default().collect()
        } else {
            letter.into()
        }
    };
    text.chars().map(escape).collect()
}
