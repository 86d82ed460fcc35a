//! Which files a patch touches.

use std::collections::BTreeSet;

/// Paths of the files that patches touch, without the first part of each, as `patch -p1` takes them.
pub(super) fn touched(patches: &[String]) -> BTreeSet<String> {
    let mut paths = BTreeSet::new();
    for patch in patches {
        let mut lines = patch.lines().peekable();
        while let Some(line) = lines.next() {
            // Text of a hunk may look like a header; a header has both lines.
            let Some(old) = line.strip_prefix("--- ") else {
                continue;
            };
            let Some(new) = lines.peek().and_then(|line| line.strip_prefix("+++ ")) else {
                continue;
            };
            paths.extend([old, new].into_iter().filter_map(path));
        }
    }
    paths
}

/// The path in a header: up to a tab, behind which there may be a time.
fn path(header: &str) -> Option<String> {
    let path = header.split('\t').next().unwrap_or(header).trim_end();
    if path == "/dev/null" {
        return None;
    }
    let (_first, rest) = path.split_once('/')?;
    Some(rest.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_sides_of_every_header_count() {
        let patch = "diff --git a/x.c b/x.c\n--- a/fs/x.c\t2026\n+++ b/fs/x.c\n@@ -1 +1 @@\n--- no header\n+b\n\
                     --- /dev/null\n+++ b/fs/new.c\n@@ -0,0 +1 @@\n+c\n";
        let found: Vec<String> = touched(&[patch.to_owned()]).into_iter().collect();
        assert_eq!(found, ["fs/new.c", "fs/x.c"]);
    }
}
