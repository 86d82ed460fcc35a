//! Reads initialised data back from gcc's assembly: label to bytes.

use std::collections::HashMap;

use crate::{Error, Result};

/// Returns the bytes behind every label that starts with `prefix`.
pub(crate) fn data_of_labels(assembly: &str, prefix: &str) -> Result<HashMap<String, Vec<u8>>> {
    let mut found: HashMap<String, Vec<u8>> = HashMap::new();
    let mut current: Option<String> = None;
    for (index, line) in assembly.lines().enumerate() {
        let text = line.trim();
        if let Some(label) = text.strip_suffix(':') {
            current = label.starts_with(prefix).then(|| label.to_owned());
            if let Some(label) = &current {
                found.insert(label.clone(), Vec::new());
            }
            continue;
        }
        let Some(bytes) = current.as_ref().and_then(|label| found.get_mut(label)) else {
            continue;
        };
        append_data(text, bytes).ok_or_else(|| Error::Assembly {
            line: index + 1,
            text: text.to_owned(),
        })?;
    }
    Ok(found)
}

/// Appends what one directive emits; `None` when a data directive cannot be read.
fn append_data(text: &str, bytes: &mut Vec<u8>) -> Option<()> {
    let (directive, operand) = text.split_once(char::is_whitespace).unwrap_or((text, ""));
    let operand = operand.trim();
    match directive {
        ".byte" => bytes.extend_from_slice(integer(operand)?.get(..1)?),
        ".value" | ".short" | ".hword" => bytes.extend_from_slice(integer(operand)?.get(..2)?),
        ".long" | ".word" => bytes.extend_from_slice(integer(operand)?.get(..4)?),
        ".quad" | ".xword" => bytes.extend_from_slice(&integer(operand)?),
        ".zero" => {
            let count: usize = operand.parse().ok()?;
            bytes.resize(bytes.len().checked_add(count)?, 0);
        }
        ".string" => {
            bytes.extend_from_slice(plain_string(operand)?);
            bytes.push(0);
        }
        ".ascii" => bytes.extend_from_slice(plain_string(operand)?),
        _ => {}
    }
    Some(())
}

/// Little-endian bytes of a decimal number of either sign.
fn integer(operand: &str) -> Option<[u8; 8]> {
    operand
        .parse::<u64>()
        .map(u64::to_le_bytes)
        .or_else(|_| operand.parse::<i64>().map(i64::to_le_bytes))
        .ok()
}

/// Text between quotes; `None` when it has escapes, which no string of the ABI needs.
fn plain_string(operand: &str) -> Option<&[u8]> {
    let inner = operand.strip_prefix('"')?.strip_suffix('"')?;
    (!inner.contains('\\')).then_some(inner.as_bytes())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn directives_become_bytes() {
        let text = "hc_0:\n\t.quad\t-2\nother:\n\t.quad 7\nhc_1:\n\t.string\t\"kho\"\nhc_2:\n\t.byte 1\n\t.zero\t3\n";
        let data = data_of_labels(text, "hc_").unwrap();
        assert_eq!(data["hc_0"], (-2i64).to_le_bytes());
        assert_eq!(data["hc_1"], b"kho\0");
        assert_eq!(data["hc_2"], [1, 0, 0, 0]);
        assert_eq!(data.len(), 3);
    }

    #[test]
    fn unreadable_data_is_an_error_with_its_line() {
        let error = data_of_labels("hc_0:\n\t.quad\tsome_symbol\n", "hc_").unwrap_err();
        assert!(matches!(error, Error::Assembly { line: 2, .. }), "{error}");
    }
}
