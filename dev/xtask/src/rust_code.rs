//! Finds keywords in Rust source: looks past comments, strings and characters.

/// Returns the 1-based lines on which a keyword stands in code.
pub(crate) fn keyword_lines(source: &str, keyword: &str) -> Vec<usize> {
    let code = blank_non_code(source);
    let is_word = |letter: char| letter.is_alphanumeric() || letter == '_';
    code.lines()
        .enumerate()
        .filter(|(_, line)| {
            line.split(|letter| !is_word(letter))
                .any(|word| word == keyword)
        })
        .map(|(index, _)| index + 1)
        .collect()
}

/// Replaces comments and literals by spaces, keeping line breaks.
fn blank_non_code(source: &str) -> String {
    let letters: Vec<char> = source.chars().collect();
    let mut code = String::with_capacity(source.len());
    let mut at = 0;
    while let Some(letter) = letters.get(at).copied() {
        let end = non_code_end(&letters, at);
        if end > at {
            let skipped = letters.get(at..end).unwrap_or_default();
            code.extend(
                skipped
                    .iter()
                    .map(|letter| if *letter == '\n' { '\n' } else { ' ' }),
            );
            at = end;
        } else {
            code.push(letter);
            at += 1;
        }
    }
    code
}

/// Returns where the comment or literal that begins at `at` ends, or `at` when none begins there.
fn non_code_end(letters: &[char], at: usize) -> usize {
    let rest = letters.get(at..).unwrap_or_default();
    let length = match rest {
        ['/', '/', ..] => rest
            .iter()
            .position(|letter| *letter == '\n')
            .unwrap_or(rest.len()),
        ['/', '*', ..] => block_comment(rest),
        ['"', ..] => string(rest),
        ['r', '"' | '#', ..] if !follows_word(letters, at) => raw_string(rest),
        ['\'', '\\', ..] => {
            let close = rest.iter().skip(3).position(|letter| *letter == '\'');
            close.map_or(rest.len(), |index| index + 4)
        }
        ['\'', _, '\'', ..] => 3,
        _ => 0,
    };
    at + length
}

/// Tells whether a raw string's `r` is the end of a longer word; the `b` and `c` of byte and C strings are not.
fn follows_word(letters: &[char], at: usize) -> bool {
    let before = at.checked_sub(1).and_then(|index| letters.get(index));
    before.is_some_and(|letter| {
        (letter.is_alphanumeric() || *letter == '_') && !"bc".contains(*letter)
    })
}

fn block_comment(rest: &[char]) -> usize {
    let mut depth = 0_usize;
    let mut index = 0;
    while index < rest.len() {
        match rest.get(index..index + 2) {
            Some(['/', '*']) => {
                depth += 1;
                index += 2;
            }
            Some(['*', '/']) => {
                depth -= 1;
                index += 2;
                if depth == 0 {
                    return index;
                }
            }
            _ => index += 1,
        }
    }
    rest.len()
}

fn string(rest: &[char]) -> usize {
    let mut index = 1;
    while let Some(letter) = rest.get(index) {
        match letter {
            '\\' => index += 2,
            '"' => return index + 1,
            _ => index += 1,
        }
    }
    rest.len()
}

/// Returns the length of `r#"…"#`, or 0 for a raw identifier such as `r#type`.
fn raw_string(rest: &[char]) -> usize {
    let hashes = rest
        .iter()
        .skip(1)
        .take_while(|letter| **letter == '#')
        .count();
    if rest.get(hashes + 1) != Some(&'"') {
        return 0;
    }
    let mut close = vec!['"'];
    close.extend(std::iter::repeat_n('#', hashes));
    let body = hashes + 2;
    rest.get(body..)
        .and_then(|text| text.windows(close.len()).position(|window| window == close))
        .map_or(rest.len(), |index| body + index + close.len())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_keyword_is_found_in_code_only() {
        let source = concat!(
            "// unsafe\n",
            "/* unsafe /* unsafe */ unsafe */\n",
            "let a = \"unsafe \\\" unsafe\";\n",
            "let b = r#\"unsafe \" unsafe\"#;\n",
            "let c = ('\"', '\\'', '\\u{22}', br\"unsafe\");\n",
            "#![deny(unsafe_code)] fn f<'a>(x: &'a u8) {}\n",
            "unsafe { f() }\n",
            "let d = r#type; unsafe impl X {}\n",
        );
        assert_eq!(keyword_lines(source, "unsafe"), [7, 8]);
    }

    #[test]
    fn unfinished_source_does_not_trip_it() {
        for source in [
            "/* unsafe",
            "\"unsafe",
            "r##\"unsafe\"#",
            "'\\",
            "\"\\",
            "'",
        ] {
            assert_eq!(
                keyword_lines(source, "unsafe"),
                Vec::<usize>::new(),
                "{source}"
            );
        }
    }
}
