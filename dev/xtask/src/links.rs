//! `cargo xtask links`: every relative link in a Markdown file leads somewhere, and the book has every page.
//!
//! [`markdown`] reads links and anchors out of a text; this file knows the tree. Links to other hosts are not
//! followed: a test must not depend on them.

mod markdown;

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Component, Path, PathBuf};

use anyhow::{Context, Result};

use crate::files;
use markdown::{Link, Page};

/// Pages of the book; what is outside is not there when the book is read.
const BOOK: &str = "docs/src";
/// The book's table of contents.
const SUMMARY: &str = "docs/src/SUMMARY.md";
/// A longer page is two pages.
const MOST_PAGE_LINES: usize = 400;

/// What the check found.
#[derive(Debug, Default)]
pub(crate) struct Findings {
    /// Markdown files read.
    pub(crate) files: usize,
    /// Relative links followed.
    pub(crate) links: usize,
    /// What is wrong.
    pub(crate) errors: Vec<String>,
}

/// Checks every Markdown file below the root.
pub(crate) fn check(root: &Path) -> Result<Findings> {
    let mut paths = Vec::new();
    files::collect(root, root, &mut paths)?;
    paths.retain(|path| path.extension().is_some_and(|extension| extension == "md"));
    let mut pages = BTreeMap::new();
    for path in paths {
        let text =
            fs::read_to_string(root.join(&path)).with_context(|| path.display().to_string())?;
        pages.insert(path, Page::read(&text));
    }
    let mut findings = Findings {
        files: pages.len(),
        ..Findings::default()
    };
    for (path, page) in &pages {
        for link in page.links.iter().filter(|link| link.is_relative()) {
            findings.links += 1;
            if let Some(problem) = problem_of(root, &pages, path, link) {
                let message = format!("{}:{}: {problem}", path.display(), link.line);
                findings.errors.push(message);
            }
        }
    }
    check_book(&pages, &mut findings);
    Ok(findings)
}

/// Says what is wrong with a relative link of the page at `from`.
fn problem_of(
    root: &Path,
    pages: &BTreeMap<PathBuf, Page>,
    from: &Path,
    link: &Link,
) -> Option<String> {
    let (path, anchor) = link.parts();
    let target = if path.is_empty() {
        from.to_owned()
    } else {
        match resolve(from, path) {
            Some(target) => target,
            None => return Some(format!("`{path}` leads out of the repository")),
        }
    };
    if !root.join(&target).exists() {
        return Some(format!("`{path}` is not there"));
    }
    if from.starts_with(BOOK) && !target.starts_with(BOOK) {
        return Some(format!(
            "`{path}` is outside {BOOK}: a reader of the book does not have it"
        ));
    }
    let anchor = anchor?;
    match pages.get(&target) {
        Some(page) if page.anchors.contains(anchor) => None,
        Some(_) => Some(format!("{} has no heading #{anchor}", target.display())),
        None => Some(format!("`{path}` has no headings to point to")),
    }
}

/// Joins a link with the folder of its page, staying inside the root.
fn resolve(from: &Path, path: &str) -> Option<PathBuf> {
    let mut target = from.parent()?.to_owned();
    for component in Path::new(path).components() {
        match component {
            Component::Normal(name) => target.push(name),
            Component::CurDir => {}
            Component::ParentDir => {
                if !target.pop() {
                    return None;
                }
            }
            Component::RootDir | Component::Prefix(_) => return None,
        }
    }
    Some(target)
}

/// Every page is in the table of contents, and short enough to be read.
fn check_book(pages: &BTreeMap<PathBuf, Page>, findings: &mut Findings) {
    let book = pages.iter().filter(|(path, _)| path.starts_with(BOOK));
    let summary = Path::new(SUMMARY);
    let listed: BTreeSet<PathBuf> = pages
        .get(summary)
        .into_iter()
        .flat_map(|page| &page.links)
        .filter_map(|link| resolve(summary, link.parts().0))
        .collect();
    for (path, page) in book {
        if path != summary && !listed.contains(path) {
            let message = format!("{}: is not in {SUMMARY}", path.display());
            findings.errors.push(message);
        }
        if page.lines > MOST_PAGE_LINES {
            let name = path.display();
            let message = format!(
                "{name}: {} lines, the most is {MOST_PAGE_LINES}",
                page.lines
            );
            findings.errors.push(message);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A made-up repository of these files.
    fn tree(files: &[(&str, &str)]) -> tempfile::TempDir {
        let root = tempfile::tempdir().unwrap();
        for (path, text) in files {
            let path = root.path().join(path);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, text).unwrap();
        }
        root
    }

    fn errors(files: &[(&str, &str)]) -> Vec<String> {
        check(tree(files).path()).unwrap().errors
    }

    #[test]
    fn links_to_files_folders_and_headings_pass_and_are_counted() {
        let root = tree(&[
            (
                "README.md",
                "# Top\n[a](core/) [b](core/x.rs) [c](OTHER.md#one-two) [d](#top) [e](https://x.y/)\n",
            ),
            ("OTHER.md", "## One, two\n[up](./README.md)\n"),
            ("core/x.rs", ""),
        ]);
        let findings = check(root.path()).unwrap();
        assert_eq!(findings.errors, Vec::<String>::new());
        assert_eq!((findings.files, findings.links), (2, 5));
    }

    #[test]
    fn a_missing_file_is_named_with_the_line_of_the_link() {
        let found = errors(&[("a/b.md", "one\n\n[x](../gone.md)\n[y]: lost.png\n")]);
        assert_eq!(
            found,
            [
                "a/b.md:3: `../gone.md` is not there",
                "a/b.md:4: `lost.png` is not there"
            ]
        );
    }

    #[test]
    fn a_missing_heading_is_named_with_its_page() {
        let found = errors(&[
            ("a.md", "# A\n[x](b.md#none) [y](#b) [z](c.rs#l1)\n"),
            ("b.md", "# B\n```\n# none\n```\n"),
            ("c.rs", ""),
        ]);
        assert_eq!(
            found,
            [
                "a.md:2: b.md has no heading #none",
                "a.md:2: a.md has no heading #b",
                "a.md:2: `c.rs` has no headings to point to"
            ]
        );
    }

    #[test]
    fn a_link_out_of_the_repository_or_from_the_root_is_refused() {
        let found = errors(&[("a/b.md", "[x](../../etc/passwd) [y](/etc/passwd)\n")]);
        assert_eq!(
            found,
            [
                "a/b.md:1: `../../etc/passwd` leads out of the repository",
                "a/b.md:1: `/etc/passwd` leads out of the repository"
            ]
        );
    }

    #[test]
    fn a_page_outside_the_table_of_contents_fails() {
        let found = errors(&[
            (
                "docs/src/SUMMARY.md",
                "- [One](one.md)\n- [Two](deep/two.md)\n",
            ),
            ("docs/src/one.md", ""),
            ("docs/src/deep/two.md", ""),
            ("docs/src/deep/three.md", ""),
            ("docs/README.md", ""),
        ]);
        assert_eq!(
            found,
            ["docs/src/deep/three.md: is not in docs/src/SUMMARY.md"]
        );
    }

    #[test]
    fn the_book_does_not_link_to_files_it_does_not_have() {
        let found = errors(&[
            ("docs/src/SUMMARY.md", "- [One](one.md)\n"),
            ("docs/src/one.md", "[x](../../README.md)\n"),
            ("README.md", "[book](docs/src/one.md)\n"),
        ]);
        assert_eq!(
            found,
            [
                "docs/src/one.md:1: `../../README.md` is outside docs/src: a reader of the book does not have it"
            ]
        );
    }

    #[test]
    fn a_page_too_long_to_read_fails() {
        let summary = ("docs/src/SUMMARY.md", "- [One](one.md)\n");
        let long = "x\n".repeat(401);
        assert_eq!(
            errors(&[summary, ("docs/src/one.md", &long)]),
            ["docs/src/one.md: 401 lines, the most is 400"]
        );
        let long = "x\n".repeat(400);
        assert_eq!(
            errors(&[summary, ("docs/src/one.md", &long)]),
            Vec::<String>::new()
        );
    }
}
