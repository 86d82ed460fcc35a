//! The pairs of objects of kpatch's unit tests, from a folder that `KPATCH_UNIT_TEST_OBJS` names: real kernels from 3.10 to
//! 6.x, five architectures, GCC and Clang. They are not part of this repository.

use std::collections::BTreeMap;
use std::env;
use std::ffi::OsStr;
use std::fs;
use std::path::{Path, PathBuf};

use crate::compile::klp;

const FOLDER: &str = "KPATCH_UNIT_TEST_OBJS";

/// The folder; `None` skips.
#[expect(clippy::print_stderr, reason = "a skip says why")]
fn folder() -> Option<PathBuf> {
    let folder = env::var_os(FOLDER).map(PathBuf::from);
    if folder.is_none() {
        eprintln!("skipped: {FOLDER} does not name a checkout of dynup/kpatch-unit-test-objs");
    }
    folder
}

fn objects(folder: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(folder).unwrap();
    let mut objects: Vec<PathBuf> = entries
        .map(|entry| entry.unwrap().path())
        .filter(|path| path.extension() == Some(OsStr::new("o")))
        .collect();
    objects.sort();
    objects
}

#[test]
fn objects_of_every_architecture_are_read() {
    let Some(folder) = folder() else {
        return;
    };
    let mut read = 0;
    for architecture in ["x86_64", "aarch64", "ppc64le", "s390x", "loongarch64"] {
        for object in objects(&folder.join(architecture)) {
            let output = klp(["show".as_ref(), object.as_os_str()]);
            let error = String::from_utf8_lossy(&output.stderr);
            assert!(output.status.success(), "{error}");
            read += 1;
        }
    }
    assert_eq!(read, 244);
}

/// Each pair has an answer; those whose change of init code must be refused are.
#[test]
fn every_pair_for_x86_64_is_compared() {
    let Some(folder) = folder() else {
        return;
    };
    let mut exit_codes: BTreeMap<i32, u32> = BTreeMap::new();
    for before in objects(&folder.join("x86_64")) {
        let name = before.file_name().unwrap().to_str().unwrap();
        let Some(stem) = name.strip_suffix(".ORIG.o") else {
            continue;
        };
        let candidates = ["PATCHED.o", "PATCHED.FAIL.o"]
            .map(|end| before.with_file_name(format!("{stem}.{end}")));
        let after = candidates.iter().find(|path| path.exists()).unwrap();
        let output = klp(["diff".as_ref(), before.as_os_str(), after.as_os_str()]);
        let code = output.status.code().unwrap();
        let error = String::from_utf8_lossy(&output.stderr);
        assert!(code == 0 || code == 3, "{stem}: {error}");
        *exit_codes.entry(code).or_default() += 1;
        if stem.starts_with("meminfo-init") {
            assert_eq!(code, 3, "{stem}");
        }
        let unchanged = unchanged(&before);
        assert_eq!(unchanged, "nothing changed\n", "{stem} with itself");
    }
    eprintln!("pairs by exit code: {exit_codes:?}");
    assert_eq!(exit_codes.values().sum::<u32>(), 55);
}

/// What is said of an object and itself.
fn unchanged(object: &Path) -> String {
    let output = klp(["diff".as_ref(), object.as_os_str(), object.as_os_str()]);
    String::from_utf8(output.stdout).unwrap()
}
