//! How two images differ: in what the kernel makes of them.

use std::collections::BTreeMap;

use initrd::{Node, Rules, Tree};
use serde::Serialize;
use xxhash_rust::xxh3::xxh3_64;

use crate::error::Error;
use crate::listing::printable;
use crate::root::root;

/// A difference.
#[derive(Debug, PartialEq, Eq, Serialize)]
#[serde(tag = "change", rename_all = "lowercase")]
pub enum Change {
    /// Only the second has it.
    Added {
        /// Its name.
        name: String,
    },
    /// Only the first has it.
    Removed {
        /// Its name.
        name: String,
    },
    /// Both have it, and it is not the same.
    Changed {
        /// Its name.
        name: String,
        /// What differs.
        what: Vec<String>,
    },
}

/// Compares two images, name by name.
///
/// # Errors
/// [`Error::Refused`] of the first that the kernel does not take to its end.
pub fn compare(before: &[u8], after: &[u8], rules: &Rules<'_>) -> Result<Vec<Change>, Error> {
    let root = |image| root(image, rules, &|content| xxh3_64(content));
    let (before, after) = (root(before)?, root(after)?);
    let (before, after) = (nodes(&before), nodes(&after));
    let mut changes = Vec::new();
    for (name, old) in &before {
        let name_text = printable(name);
        match after.get(name) {
            None => changes.push((name, Change::Removed { name: name_text })),
            Some(new) => {
                let what = differences(old, new);
                if !what.is_empty() {
                    let name_text = Change::Changed {
                        name: name_text,
                        what,
                    };
                    changes.push((name, name_text));
                }
            }
        }
    }
    for name in after.keys().filter(|name| !before.contains_key(*name)) {
        let added = Change::Added {
            name: printable(name),
        };
        changes.push((name, added));
    }
    changes.sort_by_key(|(name, _)| *name);
    Ok(changes.into_iter().map(|(_, change)| change).collect())
}

fn nodes(tree: &Tree<u64>) -> BTreeMap<Vec<u8>, &Node<u64>> {
    let mut nodes = BTreeMap::new();
    tree.walk(&mut |name, node| {
        nodes.insert(name.to_vec(), node);
    });
    nodes
}

fn differences(old: &Node<u64>, new: &Node<u64>) -> Vec<String> {
    let mut what = Vec::new();
    if old.kind != new.kind {
        what.push(format!("{:?} -> {:?}", old.kind, new.kind));
        return what;
    }
    let mut add = |name: &str, old: String, new: String| {
        if old != new {
            what.push(format!("{name} {old} -> {new}"));
        }
    };
    let mode = |node: &Node<u64>| format!("{:04o}", node.mode & 0o7777);
    let owner = |node: &Node<u64>| format!("{}:{}", node.uid, node.gid);
    let device = |node: &Node<u64>| format!("{}:{}", node.device.0, node.device.1);
    add("mode", mode(old), mode(new));
    add("owner", owner(old), owner(new));
    add("time", old.mtime.to_string(), new.mtime.to_string());
    add("device", device(old), device(new));
    add("target", printable(&old.target), printable(&new.target));
    add("bytes", old.bytes.to_string(), new.bytes.to_string());
    add("names", old.names.to_string(), new.names.to_string());
    if old.bytes == new.bytes && old.content != new.content && old.bytes != 0 {
        what.push("content".to_owned());
    }
    what
}
