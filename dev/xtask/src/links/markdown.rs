//! Links and anchors of a Markdown text, outside of its code.

use std::collections::BTreeSet;

/// A Markdown text, as far as links go.
#[derive(Debug, Default)]
pub(super) struct Page {
    /// Lines of the text.
    pub(super) lines: usize,
    /// Its links, in order.
    pub(super) links: Vec<Link>,
    /// What `#...` may name in it.
    pub(super) anchors: BTreeSet<String>,
}

/// A link.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Link {
    /// Line, from 1.
    pub(super) line: usize,
    /// Where to.
    pub(super) target: String,
}

impl Link {
    /// Whether it stays in the tree: it names neither a host nor a mailbox.
    pub(super) fn is_relative(&self) -> bool {
        !self.target.contains("://") && !self.target.starts_with("mailto:")
    }

    /// The file, empty for the page itself, and the heading in it.
    pub(super) fn parts(&self) -> (&str, Option<&str>) {
        match self.target.split_once('#') {
            Some((path, anchor)) => (path, Some(anchor)),
            None => (&self.target, None),
        }
    }
}

impl Page {
    /// Reads a text.
    pub(super) fn read(text: &str) -> Self {
        let mut page = Self::default();
        let mut fence: Option<&str> = None;
        for line in text.lines() {
            page.lines += 1;
            let trimmed = line.trim_start();
            let mark = ["```", "~~~"]
                .into_iter()
                .find(|mark| trimmed.starts_with(mark));
            match (fence, mark) {
                (None, Some(mark)) => fence = Some(mark),
                (Some(open), Some(mark)) if open == mark => fence = None,
                (Some(_), _) => {}
                (None, None) => page.read_line(line),
            }
        }
        page
    }

    fn read_line(&mut self, line: &str) {
        if let Some(title) = heading(line) {
            self.add_anchor(&slug(title));
        }
        let text = without_code(line);
        let number = self.lines;
        self.links.extend(targets(&text).map(|target| Link {
            line: number,
            target,
        }));
    }

    /// A second heading of the same words is told apart by a number.
    fn add_anchor(&mut self, slug: &str) {
        let numbered = (1..).map(|number| format!("{slug}-{number}"));
        let mut candidates = std::iter::once(slug.to_owned()).chain(numbered);
        let free = candidates.find(|candidate| !self.anchors.contains(candidate));
        self.anchors.extend(free);
    }
}

/// The title of a line like `## Title`.
fn heading(line: &str) -> Option<&str> {
    let title = line.trim_start_matches('#');
    let level = line.len() - title.len();
    ((1..=6).contains(&level) && title.starts_with(' ')).then(|| title.trim())
}

/// The anchor that mdbook and code hosts make of a title: letters, digits, `-` and `_`, spaces as `-`.
fn slug(title: &str) -> String {
    let mut slug = String::new();
    let mut rest = title;
    while let Some(letter) = rest.chars().next() {
        rest = rest.get(letter.len_utf8()..).unwrap_or_default();
        match letter {
            // Of a link in a title only its words count.
            ']' if rest.starts_with('(') => {
                rest = rest.split_once(')').map_or("", |(_, after)| after);
            }
            ' ' => slug.push('-'),
            '-' | '_' => slug.push(letter),
            _ if letter.is_alphanumeric() => slug.extend(letter.to_lowercase()),
            _ => {}
        }
    }
    slug
}

/// A line with its `code` blanked; a code span that does not end on the line is no code.
fn without_code(line: &str) -> String {
    let mut text = String::new();
    let mut rest = line;
    while let Some(start) = rest.find('`') {
        let (before, code) = rest.split_at(start);
        text.push_str(before);
        let inner = code.trim_start_matches('`');
        let (mark, _) = code.split_at(code.len() - inner.len());
        match inner.split_once(mark) {
            Some((_, after)) => {
                text.push(' ');
                rest = after;
            }
            None => {
                text.push_str(mark);
                rest = inner;
            }
        }
    }
    text.push_str(rest);
    text
}

/// Targets of `[text](target "title")`, `![alt](target)` and `[label]: target`.
fn targets(text: &str) -> impl Iterator<Item = String> {
    let inline = text
        .match_indices("](")
        .filter_map(|(at, mark)| text.get(at + mark.len()..)?.split_once(')'))
        .map(|(inside, _)| inside);
    let definition = text
        .strip_prefix('[')
        .and_then(|text| text.split_once("]: "))
        .map(|(_, target)| target);
    inline.chain(definition).filter_map(|inside| {
        let target = inside.split_whitespace().next()?;
        let target = target.trim_start_matches('<').trim_end_matches('>');
        Some(target.to_owned())
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn targets_of(text: &str) -> Vec<String> {
        let links = Page::read(text).links;
        links.into_iter().map(|link| link.target).collect()
    }

    #[test]
    fn every_kind_of_link_is_read() {
        let text = "[a](one.md) and ![b](<two.png>) [c](three.md \"title\")\n[d]: four.md\n";
        assert_eq!(
            targets_of(text),
            ["one.md", "two.png", "three.md", "four.md"]
        );
    }

    #[test]
    fn code_is_not_read() {
        let text = "`[a](b)` ``x ` [c](d)`` [e](f) ` open [g](h)\n```\n[i](j)\n# k\n```\n[l](m)\n";
        let page = Page::read(text);
        assert_eq!(targets_of(text), ["f", "h", "m"]);
        assert!(page.anchors.is_empty());
        assert_eq!(page.lines, 6);
    }

    #[test]
    fn anchors_are_those_of_code_hosts_and_mdbook() {
        let text = "# `luoctl update`: what it does\n## 3. Exit codes\n## A_b – [x](y.md)\n#no\n";
        let anchors = Page::read(text).anchors;
        let expected = ["luoctl-update-what-it-does", "3-exit-codes", "a_b--x"];
        assert_eq!(anchors, expected.map(str::to_owned).into());
    }

    #[test]
    fn equal_headings_are_numbered() {
        let anchors = Page::read("# A\n# A\n# A\n").anchors;
        assert_eq!(anchors, ["a", "a-1", "a-2"].map(str::to_owned).into());
    }

    #[test]
    fn hosts_and_mailboxes_are_not_of_the_tree() {
        let link = |target: &str| Link {
            line: 1,
            target: target.to_owned(),
        };
        assert!(!link("https://varlink.org/").is_relative());
        assert!(!link("mailto:a@b").is_relative());
        assert!(link("a.md#b").is_relative());
        assert_eq!(link("a.md#b").parts(), ("a.md", Some("b")));
        assert_eq!(link("#b").parts(), ("", Some("b")));
    }
}
