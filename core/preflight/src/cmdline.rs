//! A kernel's command line.

/// Words of a command line. Words in double quotes may have blanks (`next_arg()`,
/// `lib/cmdline.c`, v7.3).
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct CommandLine {
    text: String,
}

impl CommandLine {
    /// A command line.
    pub fn new(text: &str) -> Self {
        Self {
            text: text.trim().to_owned(),
        }
    }

    /// As it is.
    pub fn as_str(&self) -> &str {
        &self.text
    }

    /// Its words up to `--`, behind which they are for the first program.
    pub fn words(&self) -> impl Iterator<Item = &str> {
        let mut in_quotes = false;
        let split = move |c: char| {
            if c == '"' {
                in_quotes = !in_quotes;
            }
            c.is_ascii_whitespace() && !in_quotes
        };
        let words = self.text.split(split).filter(|word| !word.is_empty());
        words.take_while(|word| *word != "--")
    }

    /// Values of every `key=value`, in order.
    pub fn values<'a>(&'a self, key: &'a str) -> impl Iterator<Item = &'a str> {
        self.words().filter_map(move |word| {
            let (found, value) = word.split_once('=')?;
            is_same(found, key).then(|| value.trim_matches('"'))
        })
    }

    /// The value that counts: the last one.
    pub fn last<'a>(&'a self, key: &'a str) -> Option<&'a str> {
        self.values(key).last()
    }

    /// Every word `MODULE.name=value` of a module, in order: name, with underscores, and value.
    pub fn parameters<'a>(
        &'a self,
        module: &'a str,
    ) -> impl Iterator<Item = (String, &'a str)> + 'a {
        self.words().filter_map(move |word| {
            let (key, value) = word.split_once('=')?;
            let (found, name) = key.split_once('.')?;
            let name = name.replace('-', "_");
            is_same(found, module).then(|| (name, value.trim_matches('"')))
        })
    }

    /// The switch that counts; `None` without one, and when its value is neither on nor off.
    pub fn switch(&self, key: &str) -> Option<bool> {
        self.last(key).and_then(switch)
    }
}

/// Dashes and underscores are the same in names (`parameq()`, `kernel/params.c`, v7.3).
fn is_same(found: &str, key: &str) -> bool {
    let plain = |c: u8| if c == b'-' { b'_' } else { c };
    found.bytes().map(plain).eq(key.bytes().map(plain))
}

/// As `kstrtobool()` of `lib/kstrtox.c`, v7.3.
fn switch(value: &str) -> Option<bool> {
    match value.as_bytes() {
        [b'y' | b'Y' | b't' | b'T' | b'1', ..] | [b'o' | b'O', b'n' | b'N', ..] => Some(true),
        [b'n' | b'N' | b'f' | b'F' | b'0', ..] | [b'o' | b'O', b'f' | b'F', ..] => Some(false),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_value_counts_and_quotes_hold_words_together() {
        let line = CommandLine::new("a=1 b=\"x y\" a=2 kho-scratch=5% -- a=3\n");
        assert_eq!(line.last("a"), Some("2"));
        assert_eq!(line.last("b"), Some("x y"));
        assert_eq!(line.last("kho_scratch"), Some("5%"));
        assert_eq!(line.last("c"), None);
        assert_eq!(line.words().count(), 4);
    }

    #[test]
    fn switches_are_read_as_the_kernel_reads_them() {
        for (value, expected) in [
            ("on", Some(true)),
            ("1", Some(true)),
            ("Yes", Some(true)),
            ("oFf", Some(false)),
            ("0", Some(false)),
            ("o", None),
            ("", None),
            ("maybe", None),
        ] {
            let line = CommandLine::new(&format!("kho={value}"));
            assert_eq!(line.switch("kho"), expected, "{value}");
        }
    }
}
