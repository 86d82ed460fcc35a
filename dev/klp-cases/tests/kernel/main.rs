//! A kernel built for livepatching and its modules, beside `objtool` from the same source.
#![expect(
    clippy::unwrap_used,
    reason = "a test; clippy sees through #[cfg(test)] only"
)]

mod vmlinux;

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use elf_index::{Object, SymbolId};
use kernel_build::{Flavour, KernelSeries, LivepatchFiles};
use klp_cases::objtool_checksums;
use klp_checksum::{Program, Rule};
use livepatch::{Input, checksums};

/// When set, what is missing fails a test instead of skipping it: for continuous integration.
const REQUIRE: &str = "E2E_REQUIRE";

/// The kernel; `None` skips.
#[expect(clippy::print_stderr, reason = "a skip says why")]
fn kernel() -> Option<LivepatchFiles> {
    let found = kernel_build::locate_flavour(KernelSeries::V7_3, Flavour::Livepatch);
    let missing = match found {
        Ok(kernel) => match kernel.livepatch() {
            Some(files) => return Some(files),
            None => "the kernel in the cache lost its livepatch files".to_owned(),
        },
        Err(error) => error.to_string(),
    };
    assert!(std::env::var_os(REQUIRE).is_none(), "{missing}");
    eprintln!("skipped: {missing}");
    None
}

/// Every object of the kernel that can be patched.
fn objects(kernel: &LivepatchFiles) -> Vec<PathBuf> {
    let mut objects = vec![kernel.vmlinux_o.clone()];
    let mut folders = vec![kernel.modules.clone()];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                folders.push(path);
            } else if path.extension().is_some_and(|extension| extension == "o") {
                objects.push(path);
            }
        }
    }
    assert!(objects.len() > 4, "{objects:?}");
    objects
}

/// Runs what must succeed.
fn run(command: &mut Command) {
    let output = command.output().unwrap();
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{command:?}: {errors}");
}

fn name<'d>(object: &Object<'d>, id: SymbolId) -> &'d str {
    object.symbol(id).unwrap().name
}

/// Checksums by name; what has no name of its own in the object is left out.
fn by_name(path: &Path, rule: Rule) -> BTreeMap<String, u64> {
    let input = Input::open(path).unwrap();
    let object = input.object().unwrap();
    let mut sums = BTreeMap::new();
    let mut twice = Vec::new();
    for checksum in checksums(&Program::new(&object).unwrap(), rule).unwrap() {
        let name = name(&object, checksum.symbol).to_owned();
        if sums.insert(name.clone(), checksum.checksum).is_some() {
            twice.push(name);
        }
    }
    sums.retain(|name, _| !twice.contains(name));
    sums
}

#[test]
fn every_checksum_is_that_of_objtool() {
    let Some(kernel) = kernel() else {
        return;
    };
    let folder = tempfile::tempdir().unwrap();
    let copy = folder.path().join("object.o");
    let mut compared = 0;
    for path in objects(&kernel) {
        fs::copy(&path, &copy).unwrap();
        run(Command::new(&kernel.objtool)
            .args(["klp", "checksum"])
            .arg(&copy));
        let (input, theirs) = (Input::open(&path).unwrap(), Input::open(&copy).unwrap());
        let (object, theirs) = (input.object().unwrap(), theirs.object().unwrap());
        let expected = objtool_checksums(&theirs).unwrap();
        let program = Program::new(&object).unwrap();
        let found = checksums(&program, Rule::Objtool).unwrap();
        assert_eq!(found.len(), expected.len(), "{}", path.display());
        for (found, (symbol, checksum)) in found.iter().zip(&expected) {
            let (ours, theirs) = (name(&object, found.symbol), name(&theirs, *symbol));
            assert_eq!(ours, theirs, "{}", path.display());
            assert_eq!(found.checksum, *checksum, "{ours} of {}", path.display());
        }
        compared += found.len();
    }
    eprintln!("{compared} checksums are those of objtool");
    assert!(compared > 40_000, "{compared}");
}

/// Everything moves when two modules become one object, and nothing means anything else.
#[test]
fn what_moves_is_not_changed() {
    let Some(kernel) = kernel() else {
        return;
    };
    let folder = tempfile::tempdir().unwrap();
    let linked = folder.path().join("linked.o");
    let module = |name: &str| kernel.modules.join(name);
    let parts = [module("fs/overlayfs/overlay.o"), module("fs/fuse/fuse.o")];
    run(Command::new("ld")
        .args(["-r", "-z", "muldefs"])
        .args(&parts)
        .arg("-o")
        .arg(&linked));
    for rule in [Rule::Content, Rule::Objtool] {
        let moved = by_name(&linked, rule);
        let mut compared = 0;
        for (name, sum) in by_name(&parts[1], rule) {
            // Each module has its own; the linker takes the first.
            if ["init_module", "cleanup_module"].contains(&name.as_str()) {
                continue;
            }
            if let Some(other) = moved.get(&name) {
                assert_eq!(*other, sum, "{name} {rule:?}");
                compared += 1;
            }
        }
        assert!(compared > 400, "{compared}");
    }
}
