//! `klp show` beside `readelf`.

use std::fmt::Write as _;
use std::path::Path;

use crate::compile::{Workshop, binutils, klp, klp_text};

const SOURCE: &str = r#"
extern int printk(const char *format, ...);
static int counter;
int table[3] = { 1, 2, 3 };
static int pick(int number)
{
    switch (number) {
    case 0: return printk("zero");
    case 1: return printk("one");
    case 2: return printk("two");
    case 3: return printk("three");
    case 4: return printk("four");
    default: return -22;
    }
}
int entry(int number) { return counter++ + table[number] + pick(number); }
"#;

/// Rows of one part of the output: those behind a heading, as fields.
fn part(text: &str, heading: &str) -> Vec<Vec<String>> {
    text.lines()
        .skip_while(|line| !line.starts_with(heading))
        .skip(1)
        .take_while(|line| !line.is_empty())
        .map(|line| line.split('\t').map(str::to_owned).collect())
        .collect()
}

/// `readelf -W -s`: number, value, size, type, binding, place, name.
fn readelf_symbols(file: &Path) -> Vec<Vec<String>> {
    let text = binutils("readelf", &["-W", "-s"], file);
    let rows = text.lines().filter_map(|line| {
        let (number, rest) = line.trim_start().split_once(": ")?;
        number.parse::<u32>().ok()?;
        let mut fields = rest.split_whitespace();
        let [value, size, kind, binding, _visibility, place] =
            std::array::from_fn(|_| fields.next());
        let value = u64::from_str_radix(value?, 16).ok()?;
        let name = fields.next().unwrap_or_default();
        let size = match size?.strip_prefix("0x") {
            Some(hex) => u64::from_str_radix(hex, 16).ok()?,
            None => size?.parse().ok()?,
        };
        Some(vec![
            number.to_owned(),
            format!("{value:x}"),
            size.to_string(),
            kind?.to_owned(),
            binding?.to_owned(),
            place?.to_owned(),
            name.to_owned(),
        ])
    });
    rows.collect()
}

/// `readelf -W -S`: number, name, type, offset, size.
fn readelf_sections(file: &Path) -> Vec<Vec<String>> {
    let text = binutils("readelf", &["-W", "-S"], file);
    let rows = text.lines().filter_map(|line| {
        let (number, rest) = line.trim_start().strip_prefix('[')?.split_once(']')?;
        let number: u32 = number.trim().parse().ok()?;
        // `SYMTAB SECTION INDICES` is the one type of several words.
        let rest = rest.replace("SYMTAB SECTION INDICES", "SYMTAB_SECTION_INDICES");
        let fields: Vec<&str> = rest.split_whitespace().collect();
        let [name, kind, _address, offset, size, ..] = fields.as_slice() else {
            return None;
        };
        let hex = |text: &str| u64::from_str_radix(text, 16).map(|value| format!("{value:x}"));
        Some(vec![
            number.to_string(),
            (*name).to_owned(),
            kind.replace('_', " "),
            hex(offset).ok()?,
            hex(size).ok()?,
        ])
    });
    rows.collect()
}

/// Compares symbols and sections; returns the rows of relocations.
fn assert_as_readelf(file: &Path) -> Vec<Vec<String>> {
    let shown = klp_text(&[&"show", &file, &"--sections", &"--symbols", &"--relocs"]);
    let symbols = part(&shown, "number\tvalue");
    let expected = readelf_symbols(file);
    assert_eq!(symbols.len(), expected.len());
    for (shown, expected) in symbols.iter().zip(&expected) {
        assert_eq!(shown, expected);
    }
    let sections = part(&shown, "number\tname");
    for (shown, expected) in sections
        .iter()
        .skip(1)
        .zip(readelf_sections(file).iter().skip(1))
    {
        let mut shown = shown.clone();
        // Neither address nor flags: readelf leaves empty flags out.
        shown.truncate(7);
        shown.drain(3..5);
        assert_eq!(&shown, expected);
    }
    part(&shown, "section\toffset")
}

#[test]
fn an_object_is_shown_as_readelf_shows_it() {
    let workshop = Workshop::new();
    let file = workshop.c("pick", SOURCE);
    let relocs = assert_as_readelf(&file);
    let text = binutils("readelf", &["-W", "-r"], &file);
    let expected: Vec<(u64, &str)> = text
        .lines()
        .filter_map(|line| {
            let mut fields = line.split_whitespace();
            let offset = u64::from_str_radix(fields.next()?, 16).ok()?;
            let symbol = fields.nth(3).filter(|_| line.contains("R_X86_64"))?;
            Some((offset, symbol))
        })
        .collect();
    let shown: Vec<(u64, &str)> = relocs
        .iter()
        .map(|row| {
            let offset = u64::from_str_radix(&row[1], 16).unwrap();
            (offset, row[4].as_str())
        })
        .collect();
    assert!(!shown.is_empty());
    assert_eq!(shown, expected);
}

#[test]
fn more_sections_than_sixteen_bits_count_are_shown_as_readelf_shows_them() {
    const SECTIONS: u32 = 66_000;
    let workshop = Workshop::new();
    let mut source = String::new();
    for number in 0..SECTIONS {
        write!(
            source,
            ".section .data.v{number},\"aw\"\nv{number}: .quad v{}\n.size v{number}, 8\n.type v{number}, @object\n",
            (number + 1) % SECTIONS
        )
        .unwrap();
    }
    let object = workshop.asm("many", &source);
    let header = binutils("readelf", &["-h", "-W"], &object);
    assert!(
        header.contains("Number of section headers:         0"),
        "{header}"
    );
    // `readelf -r` takes a minute for so many sections.
    let relocs = assert_as_readelf(&object);
    let shown = relocs.iter().map(|row| row[4].clone());
    let expected = (0..SECTIONS).map(|number| format!(".data.v{}", (number + 1) % SECTIONS));
    assert!(shown.eq(expected));
}

#[test]
fn a_truncated_object_is_refused_with_the_place() {
    let workshop = Workshop::new();
    let object = workshop.c("pick", SOURCE);
    let bytes = std::fs::read(&object).unwrap();
    let cut = workshop.path("cut.o");
    std::fs::write(&cut, &bytes[..bytes.len() - 1]).unwrap();
    let output = klp(["show", cut.to_str().unwrap()]);
    assert_eq!(output.status.code(), Some(1));
    let text = String::from_utf8(output.stderr).unwrap();
    assert!(text.starts_with("klp: failed to understand"), "{text}");
    assert!(text.contains("are not in a file of"), "{text}");
}
