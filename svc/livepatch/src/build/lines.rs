//! Keeps the numbers of lines that a patch does not change.
//!
//! Code has its own line in it (`__LINE__` of warnings, sleeping checks, lock classes): a line added at the top of a file
//! would change every function below. So behind each change the compiler is told the number that the next line had.

use similar::{ChangeTag, TextDiff};

/// The new text with the old numbers of unchanged lines.
pub(super) fn with_old_numbers(old: &str, new: &str) -> String {
    let diff = TextDiff::from_lines(old, new);
    let mut text = String::with_capacity(new.len());
    let mut is_moved = false;
    // A directive cannot stand between lines that are one for the preprocessor.
    let mut is_continued = false;
    for change in diff.iter_all_changes() {
        if change.tag() == ChangeTag::Delete {
            is_moved = true;
            continue;
        }
        let line = change.value();
        match (change.tag(), change.old_index()) {
            (ChangeTag::Equal, Some(number)) if is_moved && !is_continued => {
                text.push_str(&format!("#line {}\n", number.saturating_add(1)));
                is_moved = false;
            }
            (ChangeTag::Insert, _) => is_moved = true,
            _ => {}
        }
        text.push_str(line);
        is_continued = line.trim_end_matches(['\n', '\r']).ends_with('\\');
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_behind_a_change_keeps_its_number() {
        let old = "a\nb\nc\nd\n";
        assert_eq!(with_old_numbers(old, old), old);
        assert_eq!(
            with_old_numbers(old, "a\nx\ny\nb\nc\nd\n"),
            "a\nx\ny\n#line 2\nb\nc\nd\n"
        );
        assert_eq!(with_old_numbers(old, "a\nd\n"), "a\n#line 4\nd\n");
    }

    #[test]
    fn no_directive_stands_in_a_continued_line() {
        let old = "#define A \\\n one \\\n two\nrest\n";
        let new = "#define A \\\n zero \\\n one \\\n two\nrest\n";
        let text = with_old_numbers(old, new);
        assert_eq!(
            text,
            "#define A \\\n zero \\\n one \\\n two\n#line 4\nrest\n"
        );
    }
}
