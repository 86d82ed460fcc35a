//! A handover as one page of HTML with a picture of memory; nothing is loaded from elsewhere.

use std::fmt::Write as _;

use crate::map::Grid;
use crate::model::View;
use crate::text::{printable, size};

/// Owners, what they are called, and their colours.
const OWNERS: [(&str, &str, &str); 7] = [
    ("memfd", "content of memfds", "#2b7bba"),
    ("memfd-table", "tables of memfds", "#7fb8de"),
    ("luo", "LUO", "#e08214"),
    ("root", "root FDT and blobs", "#b2182b"),
    ("reserve-mem", "reserve_mem", "#5aae61"),
    ("unknown", "unknown", "#762a83"),
    ("scratch", "scratch", "#d9d9d9"),
];
/// Cells in a row.
const ROW: u64 = 64;
/// Pixels of a cell.
const CELL: u64 = 12;
/// Extents that are listed.
const LISTED: usize = 1000;

const STYLE: &str = "body{font:14px/1.4 sans-serif;margin:2em;max-width:60em}\
table{border-collapse:collapse;margin:.5em 0}td,th{padding:.15em .8em .15em 0;text-align:left;\
vertical-align:top}code,td.n{font-family:monospace}td.n{text-align:right}\
i{display:inline-block;width:1em;height:1em;margin:0 .4em 0 1em;vertical-align:-.15em}\
.bad{color:#b2182b}svg{background:#fafafa;border:1px solid #ccc}";

impl View {
    /// The handover as a page.
    pub fn to_html(&self) -> String {
        let mut page = String::from("<!doctype html>\n<html lang=en><meta charset=utf-8>");
        let title = format!("handover at {} in {}", self.root, escape(&self.source));
        let _infallible = writeln!(page, "<title>{title}</title><style>{STYLE}</style>");
        let _infallible = writeln!(page, "<h1>{title}</h1>");
        self.write_summary(&mut page);
        self.write_map(&mut page);
        self.write_table(&mut page);
        self.write_extents(&mut page);
        page.push_str("</html>\n");
        page
    }

    fn write_summary(&self, page: &mut String) {
        if let Some(metadata) = &self.metadata {
            let _infallible = writeln!(
                page,
                "<p>Written by Linux {}, kexec {}.",
                escape(&metadata.release),
                metadata.kexec_count
            );
        }
        let totals = &self.totals;
        let _infallible = writeln!(
            page,
            "<p>{} preserved, {} sessions, {} files, memfds of {}.",
            size(totals.preserved_bytes),
            totals.sessions,
            totals.files,
            size(totals.memfd_bytes)
        );
        if totals.problems == 0 {
            page.push_str("<p>No problem was found.\n");
            return;
        }
        let _infallible = writeln!(page, "<h2 class=bad>{} problems</h2><ul>", totals.problems);
        for problem in &self.problems {
            let message = escape(&problem.message);
            let _infallible = writeln!(page, "<li><b>{}</b>: {message}", problem.consequence);
        }
        page.push_str("</ul>\n");
    }

    fn write_map(&self, page: &mut String) {
        let grid = Grid::of(self);
        let _infallible = writeln!(
            page,
            "<h2>Physical memory</h2><p>A cell is {}, a row {}. Pale cells are partly used; point \
             at one to read what is in it.<p>",
            size(grid.cell_bytes),
            size(grid.cell_bytes.saturating_mul(ROW))
        );
        for (_, name, colour) in OWNERS {
            let _infallible = write!(page, "<i style=background:{colour}></i>{name}");
        }
        let (width, height) = (ROW * CELL, grid.count.div_ceil(ROW) * CELL);
        let _infallible = writeln!(
            page,
            "<p><svg width={width} height={height} viewBox=\"0 0 {width} {height}\">"
        );
        for (index, cell) in &grid.cells {
            let (x, y) = (index % ROW * CELL, index / ROW * CELL);
            let most = cell.owners.iter().max_by_key(|&(_, &bytes)| bytes);
            let Some((owner, &bytes)) = most else {
                continue;
            };
            let colour = OWNERS.iter().find(|(known, ..)| known == owner);
            let colour = colour.map_or("#000", |(_, _, colour)| colour);
            // From 30 to 100 percent, so that a single page in a large cell can be seen.
            let share = 30 + 70 * u128::from(bytes) / u128::from(grid.cell_bytes);
            let _infallible = write!(
                page,
                "<rect x={x} y={y} width={CELL} height={CELL} fill=\"{colour}\" \
                 fill-opacity={share}%><title>{:#x}",
                cell.start
            );
            for (owner, &bytes) in &cell.owners {
                let _infallible = write!(page, "\n{owner}: {}", size(bytes));
            }
            page.push_str("</title></rect>\n");
        }
        page.push_str("</svg>\n");
    }

    fn write_table(&self, page: &mut String) {
        page.push_str(
            "<h2>Sessions</h2><table><tr><th>session<th>token<th>file<th>size<th>seals\n",
        );
        for session in &self.sessions {
            let name = escape(&session.name);
            if session.files.is_empty() {
                let _infallible = writeln!(page, "<tr><td>{name}<td><td>no files");
            }
            for file in &session.files {
                let handler = escape(&file.handler);
                let _infallible = write!(page, "<tr><td>{name}<td><code>{}</code>", file.token);
                let _infallible = write!(page, "<td>{handler}");
                if let Some(memfd) = &file.memfd {
                    let seals = memfd.seals.join(" ");
                    let bytes = size(memfd.size_bytes);
                    let _infallible = write!(page, "<td class=n>{bytes}<td>{seals}");
                }
                page.push('\n');
            }
        }
        page.push_str("</table>\n");
    }

    fn write_extents(&self, page: &mut String) {
        page.push_str("<h2>Preserved memory</h2><table><tr><th>address<th>size<th>owner\n");
        for extent in self.extents.iter().take(LISTED) {
            let _infallible = writeln!(
                page,
                "<tr><td class=n>{}<td class=n>{}<td>{}",
                extent.addr,
                size(extent.bytes),
                extent.owner
            );
        }
        page.push_str("</table>\n");
        let more = self.extents.len().saturating_sub(LISTED);
        if more != 0 {
            let _infallible = writeln!(page, "<p>{more} more are in the JSON.");
        }
    }
}

/// Text that is no markup.
fn escape(text: &str) -> String {
    let text = printable(text);
    text.replace('&', "&amp;")
        .replace('<', "&lt;")
        .replace('>', "&gt;")
        .replace('"', "&quot;")
}
