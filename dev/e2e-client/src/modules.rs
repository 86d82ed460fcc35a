//! Modules of the kernel, and what is done to a kernel that has them.

use std::ffi::CString;
use std::fs::{File, OpenOptions};
use std::io::Write as _;
use std::os::unix::fs::FileExt as _;
use std::path::PathBuf;

use anyhow::Context as _;
use rustix::system::{delete_module, finit_module};

/// Which module, and how.
#[derive(Debug, clap::Args)]
pub(crate) struct LoadArguments {
    /// The module.
    module: PathBuf,
    /// Its parameters, `NAME=VALUE`.
    parameters: Vec<String>,
}

/// What to write, and where.
#[derive(Debug, clap::Args)]
pub(crate) struct PokeArguments {
    /// The file.
    path: PathBuf,
    /// Its bytes, in hexadecimal.
    bytes: String,
    /// The first byte to be replaced.
    #[arg(long, default_value_t = 0)]
    offset: u64,
}

/// Loads a module.
pub(crate) fn load(arguments: &LoadArguments) -> anyhow::Result<()> {
    let path = &arguments.module;
    let file = File::open(path).with_context(|| format!("open {}", path.display()))?;
    let parameters = CString::new(arguments.parameters.join(" "))?;
    finit_module(&file, &parameters, 0).with_context(|| format!("load {}", path.display()))
}

/// Unloads a module, by its name.
pub(crate) fn unload(name: &str) -> anyhow::Result<()> {
    delete_module(&CString::new(name)?, 0).with_context(|| format!("unload {name}"))
}

/// Replaces bytes of a file, which may be a device or one of the kernel's own, in one call.
pub(crate) fn poke(arguments: &PokeArguments) -> anyhow::Result<()> {
    let path = &arguments.path;
    let bytes =
        from_hex(&arguments.bytes).context("the bytes are no pairs of hexadecimal digits")?;
    let mut file = OpenOptions::new()
        .write(true)
        .open(path)
        .with_context(|| format!("open {}", path.display()))?;
    let written = match arguments.offset {
        // Some files of the kernel take no offset.
        0 => file.write_all(&bytes),
        offset => file.write_all_at(&bytes, offset),
    };
    written.with_context(|| format!("write {}", path.display()))
}

fn from_hex(text: &str) -> Option<Vec<u8>> {
    let pairs = text.as_bytes().chunks(2);
    let bytes = pairs.map(|pair| {
        let pair = str::from_utf8(pair).ok().filter(|pair| pair.len() == 2)?;
        u8::from_str_radix(pair, 16).ok()
    });
    bytes.collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bytes_are_pairs_of_digits() {
        assert_eq!(from_hex("00ff7A"), Some(vec![0, 0xff, 0x7a]));
        assert_eq!(from_hex(""), Some(Vec::new()));
        for wrong in ["0", "0g", "00f"] {
            assert_eq!(from_hex(wrong), None, "{wrong}");
        }
    }
}
