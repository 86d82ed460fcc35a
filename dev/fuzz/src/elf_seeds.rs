//! A small object for x86-64, written byte by byte: the same on every machine, and no compiler is needed.

/// Bytes of a table as they are in the file.
struct Table {
    name: u32,
    kind: u32,
    flags: u64,
    bytes: Vec<u8>,
    link: u32,
    info: u32,
    entry: u64,
}

/// An object with two functions, a switch table, an alternative, a jump label, a string and data.
pub(crate) fn objects() -> Vec<Vec<u8>> {
    vec![object()]
}

const NAMES: &str = "\0.text\0.rodata\0.data\0.rodata.str1.1\0.altinstructions\0.altinstr_replacement\0__jump_table\0\
                     .symtab\0.strtab\0.rela.text\0.rela.rodata\0.rela.data\0.rela.altinstructions\0.rela__jump_table\0";
const SYMBOLS: &str = "\0unit.c\0first\0second\0state.1\0outside\0";

fn name(table: &str, wanted: &str) -> u32 {
    let start = table.find(&format!("\0{wanted}\0")).unwrap_or(0);
    u32::try_from(start + 1).unwrap_or(0)
}

fn words(fields: &[(u64, usize)]) -> Vec<u8> {
    let each = fields
        .iter()
        .flat_map(|(value, bytes)| value.to_le_bytes().into_iter().take(*bytes));
    each.collect()
}

fn symbol(label: &str, info: u64, section: u64, value: u64, size: u64) -> Vec<u8> {
    let at = if label.is_empty() {
        0
    } else {
        name(SYMBOLS, label).into()
    };
    words(&[
        (at, 4),
        (info, 1),
        (0, 1),
        (section, 2),
        (value, 8),
        (size, 8),
    ])
}

fn rela(offset: u64, symbol: u64, kind: u64, addend: i64) -> Vec<u8> {
    words(&[
        (offset, 8),
        (kind, 4),
        (symbol, 4),
        (addend.cast_unsigned(), 8),
    ])
}

fn tables() -> Vec<Table> {
    let table = |label: &str, kind, flags, bytes| Table {
        name: name(NAMES, label),
        kind,
        flags,
        bytes,
        link: 0,
        info: 0,
        entry: 0,
    };
    let relas = |label: &str, info, bytes: Vec<Vec<u8>>| Table {
        link: 8,
        info,
        entry: 24,
        ..table(label, 4, 0x40, bytes.concat())
    };
    // first: cmp, ja, jmp *table(,%rdi,8), mov string, call outside, nop, ret. second: mov data, jmp first.
    let code = [
        &[0x83, 0xff, 0x01, 0x77, 0x13, 0xff, 0x24, 0xfd, 0, 0, 0, 0][..],
        &[
            0x48, 0xc7, 0xc7, 0, 0, 0, 0, 0xe8, 0, 0, 0, 0, 0x0f, 0x1f, 0x44, 0, 0, 0xc3,
        ],
        &[0x8b, 0x05, 0, 0, 0, 0, 0xeb, 0xda],
    ]
    .concat();
    let local = 8;
    let symbols = [
        symbol("", 0, 0, 0, 0),
        symbol("unit.c", 4, 0xfff1, 0, 0),
        symbol("", 3, 1, 0, 0),
        symbol("", 3, 2, 0, 0),
        symbol("", 3, 3, 0, 0),
        symbol("", 3, 4, 0, 0),
        symbol("", 3, 6, 0, 0),
        symbol("state.1", 1, 3, 0, 8),
        symbol("first", 0x12, 1, 0, 30),
        symbol("second", 0x12, 1, 30, 8),
        symbol("outside", 0x10, 0, 0, 0),
    ];
    vec![
        table("", 0, 0, Vec::new()),
        table(".text", 1, 6, code),
        table(".rodata", 1, 2, vec![0; 32]),
        table(".data", 1, 3, vec![7; 8]),
        Table {
            entry: 1,
            ..table(".rodata.str1.1", 1, 0x32, b"text\0".to_vec())
        },
        table(
            ".altinstructions",
            1,
            2,
            words(&[(0, 8), (0x75, 4), (5, 1), (5, 1)]),
        ),
        table(".altinstr_replacement", 1, 6, vec![0x0f, 0x1f, 0x44, 0, 0]),
        table("__jump_table", 1, 3, vec![0; 16]),
        Table {
            link: 9,
            info: local,
            entry: 24,
            ..table(".symtab", 2, 0, symbols.concat())
        },
        table(".strtab", 3, 0, SYMBOLS.into()),
        relas(
            ".rela.text",
            1,
            vec![
                rela(8, 3, 11, 0),
                rela(15, 5, 11, 0),
                rela(20, 10, 4, -4),
                rela(32, 4, 2, -4),
            ],
        ),
        relas(
            ".rela.rodata",
            2,
            vec![rela(0, 2, 1, 12), rela(8, 2, 1, 19)],
        ),
        relas(".rela.data", 3, vec![rela(0, 8, 1, 0)]),
        relas(
            ".rela.altinstructions",
            5,
            vec![rela(0, 2, 2, 24), rela(4, 6, 2, 0)],
        ),
        relas(
            ".rela__jump_table",
            7,
            vec![rela(0, 2, 2, 24), rela(4, 2, 2, 29), rela(8, 10, 24, 0)],
        ),
        table(".strtab", 3, 0, NAMES.into()),
    ]
}

fn object() -> Vec<u8> {
    const HEADER: usize = 64;
    let tables = tables();
    let mut body = vec![0; HEADER];
    let mut headers = Vec::new();
    for table in &tables {
        let offset = body.len() as u64;
        body.extend_from_slice(&table.bytes);
        body.resize(body.len().next_multiple_of(8), 0);
        headers.extend(words(&[
            (table.name.into(), 4),
            (table.kind.into(), 4),
            (table.flags, 8),
            (0, 8),
            (offset, 8),
            (table.bytes.len() as u64, 8),
            (table.link.into(), 4),
            (table.info.into(), 4),
            (8, 8),
            (table.entry, 8),
        ]));
    }
    let count = tables.len() as u64;
    let start = body.len() as u64;
    let header = [
        b"\x7fELF\x02\x01\x01\0\0\0\0\0\0\0\0\0".to_vec(),
        words(&[(1, 2), (62, 2), (1, 4), (0, 8), (0, 8), (start, 8), (0, 4)]),
        words(&[(64, 2), (0, 2), (0, 2), (64, 2), (count, 2), (count - 1, 2)]),
    ];
    body.splice(..HEADER, header.concat());
    body.extend(headers);
    body
}
