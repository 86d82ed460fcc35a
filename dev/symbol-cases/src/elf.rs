//! Small relocatable files, made here: what no compiler makes, such as livepatch symbols.

/// A file in the making.
#[derive(Clone, Debug)]
pub struct ElfBuilder {
    sections: Vec<Section>,
    symbols: Vec<u8>,
    strings: Vec<u8>,
}

#[derive(Clone, Debug)]
struct Section {
    name: String,
    kind: u32,
    flags: u64,
    info: u32,
    data: Vec<u8>,
}

/// `SHF_ALLOC | SHF_EXECINSTR`, as code has.
pub const CODE: u64 = 0x6;
/// `SHF_WRITE | SHF_ALLOC`, as data has.
pub const DATA: u64 = 0x3;
/// `SHF_ALLOC | SHF_INFO_LINK | SHF_RELA_LIVEPATCH`, as livepatch relocations have.
pub const KLP_RELA: u64 = 0x10_0042;
/// `SHN_LIVEPATCH`.
pub const LIVEPATCH: u16 = 0xff20;
const SYMBOL_BYTES: u64 = 24;
const HEADER_BYTES: u64 = 64;

impl Default for ElfBuilder {
    fn default() -> Self {
        Self {
            sections: Vec::new(),
            symbols: vec![0; 24],
            strings: vec![0],
        }
    }
}

impl ElfBuilder {
    /// Adds a section with bytes; its number.
    pub fn section(&mut self, name: &str, flags: u64, data: &[u8]) -> u16 {
        self.add(name, 1, flags, 0, data.to_vec())
    }

    /// Adds relocations of a section, each with its place and its symbol; its number.
    pub fn relocations(
        &mut self,
        name: &str,
        flags: u64,
        target: u16,
        entries: &[(u64, u32)],
    ) -> u16 {
        let entries = entries.iter().flat_map(|(offset, symbol)| {
            // R_X86_64_64.
            let info = u64::from(*symbol) << 32 | 1;
            [
                offset.to_le_bytes(),
                info.to_le_bytes(),
                0_u64.to_le_bytes(),
            ]
            .concat()
        });
        let data = entries.collect();
        self.add(name, 4, flags, u32::from(target), data)
    }

    /// Adds a symbol with its `st_info`, section and value; its number.
    pub fn symbol(&mut self, name: &str, info: u8, section: u16, value: u64) -> u32 {
        let number = self.symbols.len() / 24;
        let name_at = u32::try_from(self.strings.len()).unwrap_or(0);
        self.strings.extend(name.bytes().chain([0]));
        self.symbols.extend(name_at.to_le_bytes());
        self.symbols.extend([info, 0]);
        self.symbols.extend(section.to_le_bytes());
        self.symbols.extend(value.to_le_bytes());
        self.symbols.extend(8_u64.to_le_bytes());
        u32::try_from(number).unwrap_or(0)
    }

    fn add(&mut self, name: &str, kind: u32, flags: u64, info: u32, data: Vec<u8>) -> u16 {
        self.sections.push(Section {
            name: name.to_owned(),
            kind,
            flags,
            info,
            data,
        });
        u16::try_from(self.sections.len()).unwrap_or(0)
    }

    /// The file.
    #[must_use]
    pub fn build(mut self) -> Vec<u8> {
        let (symbols, strings) = (
            std::mem::take(&mut self.symbols),
            std::mem::take(&mut self.strings),
        );
        let symbol_table = self.add(".symtab", 2, 0, 1, symbols);
        let string_table = self.add(".strtab", 3, 0, 0, strings);
        let names_at = self.add(".shstrtab", 3, 0, 0, Vec::new());
        let mut names = vec![0];
        let mut name_offsets = Vec::new();
        for section in &self.sections {
            name_offsets.push(u32::try_from(names.len()).unwrap_or(0));
            names.extend(section.name.bytes().chain([0]));
        }
        if let Some(section) = self.sections.last_mut() {
            section.data = names;
        }
        let mut body = Vec::new();
        let mut headers = vec![0; 64];
        for (section, name_at) in self.sections.iter().zip(name_offsets) {
            while body.len() % 8 != 0 {
                body.push(0);
            }
            let offset = HEADER_BYTES + body.len() as u64;
            body.extend(&section.data);
            let (link, entry_bytes) = match section.kind {
                2 => (u32::from(string_table), SYMBOL_BYTES),
                4 => (u32::from(symbol_table), SYMBOL_BYTES),
                _ => (0, 0),
            };
            headers.extend(name_at.to_le_bytes());
            headers.extend(section.kind.to_le_bytes());
            for word in [section.flags, 0, offset, section.data.len() as u64] {
                headers.extend(word.to_le_bytes());
            }
            headers.extend(link.to_le_bytes());
            headers.extend(section.info.to_le_bytes());
            headers.extend(8_u64.to_le_bytes());
            headers.extend(entry_bytes.to_le_bytes());
        }
        while body.len() % 8 != 0 {
            body.push(0);
        }
        let mut file = header(
            HEADER_BYTES + body.len() as u64,
            self.sections.len() + 1,
            names_at,
        );
        file.extend(body);
        file.extend(headers);
        file
    }
}

/// Of a relocatable file for x86-64.
fn header(sections_at: u64, sections: usize, names_at: u16) -> Vec<u8> {
    let mut header = b"\x7fELF\x02\x01\x01\0\0\0\0\0\0\0\0\0".to_vec();
    for half in [1_u16, 62] {
        header.extend(half.to_le_bytes());
    }
    header.extend(1_u32.to_le_bytes());
    for word in [0, 0, sections_at] {
        header.extend(word.to_le_bytes());
    }
    header.extend(0_u32.to_le_bytes());
    let sections = u16::try_from(sections).unwrap_or(0);
    for half in [64, 0, 0, 64, sections, names_at] {
        header.extend(half.to_le_bytes());
    }
    header
}
