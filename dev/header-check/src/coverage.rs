//! Finds what the headers define and the table does not name.

use std::collections::BTreeSet;
use std::path::Path;

use crate::table::Table;
use crate::{Error, Mismatch, Result};

/// Reports structures, object-like macros and whole headers of the handover ABI that the table
/// does not know.
pub(crate) fn unknown_definitions(tree: &Path, table: &Table) -> Result<Vec<Mismatch>> {
    let folder = "include/linux/kho/abi";
    let mut headers: Vec<String> = vec!["include/uapi/linux/liveupdate.h".to_owned()];
    let path = tree.join(folder);
    let io = |source| Error::Io {
        path: path.clone(),
        source,
    };
    for entry in std::fs::read_dir(&path).map_err(io)? {
        let name = entry.map_err(io)?.file_name();
        headers.push(format!("{folder}/{}", name.to_string_lossy()));
    }
    headers.sort();

    let known: BTreeSet<&str> = table
        .layouts
        .iter()
        .map(|layout| layout.c_name)
        .chain(table.constants.iter().map(|constant| constant.c_name))
        .chain(table.strings.iter().map(|string| string.c_name))
        .chain(table.not_modelled.iter().copied())
        .collect();
    let mut unknown = Vec::new();
    for header in headers {
        let text = read(&tree.join(&header))?;
        for name in defined_names(&without_comments(&text)) {
            if !known.contains(name.as_str()) {
                unknown.push(Mismatch {
                    header: header.clone(),
                    what: name,
                    ours: "not modelled".to_owned(),
                    theirs: "defined".to_owned(),
                });
            }
        }
    }
    Ok(unknown)
}

/// Returns the text of the object-like macro `name` of a `.c` file, as a definition to compile.
pub(crate) fn macro_definition(text: &str, name: &str) -> Option<String> {
    let text = without_comments(text).replace("\\\n", " ");
    text.lines()
        .find(|line| {
            line.strip_prefix("#define ").is_some_and(|rest| {
                rest.trim_start()
                    .strip_prefix(name)
                    .is_some_and(|after| after.starts_with(char::is_whitespace))
            })
        })
        .map(|line| format!("{line}\n"))
}

/// Reads a file of the tree.
pub(crate) fn read(path: &Path) -> Result<String> {
    std::fs::read_to_string(path).map_err(|source| Error::Io {
        path: path.to_owned(),
        source,
    })
}

/// Names of structures with a body and of object-like macros with a value.
fn defined_names(text: &str) -> Vec<String> {
    let text = text.replace("\\\n", " ");
    let mut names = Vec::new();
    for line in text.lines() {
        let name_of = |rest: &str| -> String {
            rest.chars()
                .take_while(|c| c.is_ascii_alphanumeric() || *c == '_')
                .collect()
        };
        if let Some(rest) = line.strip_prefix("struct ") {
            if rest.trim_end().ends_with('{') {
                names.push(name_of(rest));
            }
        } else if let Some(rest) = line.strip_prefix("#define ") {
            let rest = rest.trim_start();
            let name = name_of(rest);
            let value = rest.strip_prefix(name.as_str()).unwrap_or("");
            if value.starts_with(char::is_whitespace) && !value.trim().is_empty() {
                names.push(name);
            }
        }
    }
    names
}

/// Blanks C comments; newlines inside them stay.
fn without_comments(text: &str) -> String {
    let mut result = String::with_capacity(text.len());
    let mut rest = text;
    while let Some((before, after)) = rest.split_once("/*") {
        result.push_str(before);
        let (comment, next) = after.split_once("*/").unwrap_or((after, ""));
        result.extend(comment.chars().filter(|c| *c == '\n'));
        rest = next;
    }
    result.push_str(rest);
    result
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn prose_is_not_read() {
        let text = "/* struct prose {\n#define PROSE 1\n*/\n#define REAL 2\n#define GUARD\n#define FN(x) x\nstruct real {\n";
        assert_eq!(defined_names(&without_comments(text)), ["REAL", "real"]);
    }

    #[test]
    fn continued_macro_of_a_c_file_is_taken_whole() {
        let text = "#define AB 1\n#define A (1 + \\\n 2) /* three */\n";
        assert_eq!(
            macro_definition(text, "A").as_deref(),
            Some("#define A (1 +   2) \n")
        );
        assert_eq!(macro_definition(text, "B"), None);
    }
}
