//! `cargo xtask files`: length and head of source files, `unsafe` where it belongs, no words that must not be here.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};

use crate::rust_code::keyword_lines;

const WARN_LINES: usize = 500;
const MOST_LINES: usize = 800;

/// Hosts of package registries and mirrors: what is fetched is configured on the machine, never here.
///
/// Written in two halves so that this file passes its own check.
const FORBIDDEN: [&str; 9] = [
    concat!("deb.", "debian.org"),
    concat!("ftp.", "debian.org"),
    concat!("security.", "debian.org"),
    concat!("snapshot.", "debian.org"),
    concat!("archive.", "ubuntu.com"),
    concat!("index.", "crates.io"),
    concat!("static.", "crates.io"),
    concat!("registry.", "npmjs.org"),
    concat!("files.", "pythonhosted.org"),
];

/// Folders that hold nothing of ours.
const SKIPPED_FOLDERS: [&str; 3] = [".git", "target", "docs/book"];

/// Written by cargo, names its registry.
const SKIPPED_FILES: [&str; 1] = ["Cargo.lock"];

/// Where there is unsafe code: what wraps the kernel's interfaces, and what is in the kernel.
const UNSAFE_FOLDERS: [&str; 2] = ["sys", "kmod"];

/// What the check found.
#[derive(Debug, Default)]
pub(crate) struct Findings {
    /// Files looked at.
    pub(crate) files: usize,
    /// Worth a look.
    pub(crate) warnings: Vec<String>,
    /// Not allowed.
    pub(crate) errors: Vec<String>,
}

/// Checks every text file below the root.
pub(crate) fn check(root: &Path) -> Result<Findings> {
    let mut paths = Vec::new();
    collect(root, root, &mut paths)?;
    paths.sort();
    let mut findings = Findings::default();
    for path in paths {
        let bytes = fs::read(root.join(&path)).with_context(|| path.display().to_string())?;
        // A file that is not text holds nothing for these checks.
        let Ok(text) = String::from_utf8(bytes) else {
            continue;
        };
        findings.files += 1;
        check_file(&path, &text, &mut findings);
    }
    Ok(findings)
}

/// Files below `folder`, relative to `root`, without what the repository does not own.
pub(crate) fn collect(root: &Path, folder: &Path, paths: &mut Vec<PathBuf>) -> Result<()> {
    let entries = fs::read_dir(folder).with_context(|| format!("list {}", folder.display()))?;
    for entry in entries {
        let entry = entry?;
        let path = entry.path();
        let inner = path.strip_prefix(root)?.to_owned();
        let kind = entry.file_type()?;
        if kind.is_dir()
            && !SKIPPED_FOLDERS
                .iter()
                .any(|skipped| inner == Path::new(skipped))
        {
            collect(root, &path, paths)?;
        } else if kind.is_file() && !SKIPPED_FILES.iter().any(|file| inner == Path::new(file)) {
            paths.push(inner);
        }
    }
    Ok(())
}

fn check_file(path: &Path, text: &str, findings: &mut Findings) {
    let name = path.display();
    for (number, line) in text.lines().enumerate() {
        for word in FORBIDDEN.iter().filter(|word| line.contains(**word)) {
            let message = format!("{name}:{}: names the host {word}", number + 1);
            findings.errors.push(message);
        }
    }
    if path.extension().is_none_or(|extension| extension != "rs") {
        return;
    }
    if !text.starts_with("//!") {
        findings
            .errors
            .push(format!("{name}:1: does not open with a `//!` line"));
    }
    let lines = text.lines().count();
    if lines > MOST_LINES {
        findings
            .errors
            .push(format!("{name}: {lines} lines, the most is {MOST_LINES}"));
    } else if lines > WARN_LINES {
        findings
            .warnings
            .push(format!("{name}: {lines} lines, more than {WARN_LINES}"));
    }
    if !UNSAFE_FOLDERS.iter().any(|folder| path.starts_with(folder)) {
        for line in keyword_lines(text, "unsafe") {
            findings
                .errors
                .push(format!("{name}:{line}: unsafe outside sys/ and kmod/"));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn found(path: &str, text: &str) -> Findings {
        let mut findings = Findings::default();
        check_file(Path::new(path), text, &mut findings);
        findings
    }

    #[test]
    fn a_short_documented_safe_file_passes() {
        let findings = found("svc/a/src/lib.rs", "//! A thing.\n\nfn f() {}\n");
        assert!(
            findings.errors.is_empty() && findings.warnings.is_empty(),
            "{findings:?}"
        );
    }

    #[test]
    fn length_warns_first_and_then_fails() {
        let file = |lines: usize| "//! Line.\n".repeat(lines);
        let at = |lines| found("svc/a/src/lib.rs", &file(lines));
        assert!(at(500).warnings.is_empty());
        assert_eq!((at(501).warnings.len(), at(501).errors.len()), (1, 0));
        assert_eq!((at(800).warnings.len(), at(800).errors.len()), (1, 0));
        assert_eq!((at(801).warnings.len(), at(801).errors.len()), (0, 1));
    }

    #[test]
    fn a_source_file_without_a_head_fails() {
        assert_eq!(found("dev/x/src/main.rs", "fn main() {}\n").errors.len(), 1);
        assert!(found("dev/x/notes.md", "text\n").errors.is_empty());
    }

    #[test]
    fn unsafe_is_allowed_below_sys_and_kmod_only() {
        let text = "//! A thing.\nfn f() { unsafe { g() } }\n";
        assert_eq!(
            found("core/a/src/lib.rs", text).errors,
            ["core/a/src/lib.rs:2: unsafe outside sys/ and kmod/"]
        );
        assert!(found("sys/a/src/lib.rs", text).errors.is_empty());
        assert!(found("kmod/a/b.rs", text).errors.is_empty());
    }

    #[test]
    fn a_registry_host_fails_in_any_text_file() {
        let text = format!("first\nfetch http://{}/debian\n", FORBIDDEN[0]);
        let findings = found("docs/guide.md", &text);
        assert_eq!(findings.errors.len(), 1);
        assert!(findings.errors[0].starts_with("docs/guide.md:2:"));
    }

    #[test]
    fn the_walk_skips_what_cargo_and_git_own() {
        let folder = tempfile::tempdir().unwrap();
        for file in [
            "target/x.rs",
            ".git/x.rs",
            "Cargo.lock",
            "svc/a/lib.rs",
            ".ci/run",
        ] {
            let path = folder.path().join(file);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, FORBIDDEN[0]).unwrap();
        }
        let findings = check(folder.path()).unwrap();
        assert_eq!(findings.files, 2);
        assert_eq!(findings.errors.len(), 3, "{findings:?}");
    }
}
