//! Where the kernel itself begins and ends, by symbols of its linker script.

use crate::region::Region;

/// Symbols that bound the kernel (`include/asm-generic/sections.h`, v7.3).
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Bounds {
    start: Option<u64>,
    end: Option<u64>,
    text_end: Option<u64>,
    init: (Option<u64>, Option<u64>),
    init_text: (Option<u64>, Option<u64>),
}

impl Bounds {
    /// Takes notice of a symbol.
    pub(crate) fn see(&mut self, name: &[u8], addr: u64) {
        let place = match name {
            b"_stext" => &mut self.start,
            b"_end" => &mut self.end,
            b"_etext" => &mut self.text_end,
            b"__init_begin" => &mut self.init.0,
            b"__init_end" => &mut self.init.1,
            b"_sinittext" => &mut self.init_text.0,
            b"_einittext" => &mut self.init_text.1,
            _ => return,
        };
        *place = Some(addr);
    }

    /// The regions in which the kernel looks up its own symbols: with `CONFIG_KALLSYMS_ALL` all of itself, without only
    /// text, of which one knows by `_end` (`is_ksym_addr`, `include/linux/kallsyms.h`, v7.3).
    pub(crate) fn regions(self) -> impl Iterator<Item = Region> {
        let (main, init) = match self.end {
            Some(_) => (self.end, self.init),
            None => (self.text_end, self.init_text),
        };
        [(self.start, main), init]
            .into_iter()
            .filter_map(|(start, end)| start.zip(end))
            .map(|(start, end)| Region { start, end })
    }
}
