//! Turns the table into C definitions whose initialisers are the facts to compare.

use core::fmt::Write as _;

use crate::table::{Layout, Table};

/// Prefix of every label of ours in the assembly.
pub(crate) const LABEL_PREFIX: &str = "header_check_";

/// How a value is shown and compared.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Expected {
    /// A 64-bit number.
    Number(u64),
    /// A string without its NUL.
    Text(&'static str),
    /// Bytes of an object in memory.
    Image(Vec<u8>),
}

/// One value to compare.
#[derive(Debug, Clone)]
pub(crate) struct Probe {
    pub(crate) header: &'static str,
    pub(crate) what: String,
    pub(crate) expected: Expected,
    /// C definition, with `@` where the label goes.
    definition: String,
    /// Macro that has to be defined for it; the probe is missing otherwise.
    guard: Option<&'static str>,
}

/// Returns every comparison of the table.
pub(crate) fn probes(table: &Table) -> Vec<Probe> {
    let mut probes = Vec::new();
    for layout in &table.layouts {
        probes.extend(layout_probes(layout));
    }
    for constant in &table.constants {
        probes.push(Probe {
            header: constant.header,
            what: constant.c_name.to_owned(),
            expected: Expected::Number(constant.value),
            definition: format!("const unsigned long long @ = ({});", constant.c_name),
            guard: constant.is_macro.then_some(constant.c_name),
        });
    }
    for string in &table.strings {
        probes.push(Probe {
            header: string.header,
            what: string.c_name.to_owned(),
            expected: Expected::Text(string.value),
            definition: format!("const char @[] = {};", string.c_name),
            guard: Some(string.c_name),
        });
    }
    for image in &table.images {
        probes.push(Probe {
            header: image.header,
            what: format!("struct {} {}", image.c_name, image.initializer),
            expected: Expected::Image(image.bytes.clone()),
            definition: format!("const struct {} @ = {};", image.c_name, image.initializer),
            guard: None,
        });
    }
    probes
}

/// Size, offsets, field sizes and completeness of one structure.
fn layout_probes(layout: &Layout) -> Vec<Probe> {
    let c_type = format!("struct {}", layout.c_name);
    let number = |what: String, value: usize, expression: String| Probe {
        header: layout.header,
        what,
        expected: Expected::Number(u64::try_from(value).unwrap_or(u64::MAX)),
        definition: format!("const unsigned long long @ = {expression};"),
        guard: None,
    };
    let mut probes = vec![number(
        format!("sizeof({c_type})"),
        layout.size,
        format!("sizeof({c_type})"),
    )];
    let mut named = String::from("0");
    for field in &layout.fields {
        let member = format!("(({c_type} *)0)->{}", field.c_name);
        probes.push(number(
            format!("offsetof({c_type}, {})", field.c_name),
            field.offset,
            format!("__builtin_offsetof({c_type}, {})", field.c_name),
        ));
        probes.push(number(
            format!("sizeof({c_type}.{})", field.c_name),
            field.size,
            format!("sizeof({member})"),
        ));
        let _infallible = write!(named, " + sizeof({member})");
    }
    probes.push(number(
        format!("bytes of {c_type} that no field of the table covers"),
        layout.unnamed_bytes,
        format!("sizeof({c_type}) - ({named})"),
    ));
    probes
}

/// Label of the probe at `index`.
pub(crate) fn label(index: usize) -> String {
    format!("{LABEL_PREFIX}{index}")
}

/// Writes the C file; `macros` are definitions taken from `.c` files of the kernel.
pub(crate) fn c_source(table: &Table, probes: &[Probe], macros: &str) -> String {
    let mut source = String::new();
    for include in &table.includes {
        let _infallible = writeln!(source, "#include <{include}>");
    }
    source.push_str(macros);
    for (index, probe) in probes.iter().enumerate() {
        if let Some(name) = probe.guard {
            let _infallible = writeln!(source, "#ifdef {name}");
        }
        // A compiler message then names the entry of the table.
        let _infallible = writeln!(source, "#line 1 \"{}: {}\"", probe.header, probe.what);
        let _infallible = writeln!(source, "{}", probe.definition.replace('@', &label(index)));
        if probe.guard.is_some() {
            source.push_str("#endif\n");
        }
    }
    source
}
