//! The real table against the source trees named in `HEADER_CHECK_SOURCES` (`:`-separated), as
//! `cargo xtask test` sets it.

use std::path::PathBuf;

use header_check::table::table;
use header_check::{Release, check, check_table};
use kho_abi::PageSize;

fn trees() -> Vec<PathBuf> {
    let paths = std::env::var_os("HEADER_CHECK_SOURCES").unwrap_or_default();
    let trees: Vec<PathBuf> = std::env::split_paths(&paths).collect();
    assert!(
        trees.iter().all(|tree| tree.is_dir()) && !trees.is_empty(),
        "HEADER_CHECK_SOURCES names no kernel source trees: {trees:?}"
    );
    trees
}

#[test]
fn crates_agree_with_the_headers() {
    for tree in trees() {
        let report = check(&tree, None).unwrap();
        assert!(report.is_clean(), "{}:\n{report}", tree.display());
        assert!(report.compared > 600, "{report}");
    }
}

#[test]
fn doctored_entry_of_the_real_table_is_reported() {
    for tree in trees() {
        let mut table = table(Release::of(&tree).unwrap(), PageSize::Size4K);
        let entry = table
            .strings
            .iter_mut()
            .find(|string| string.c_name == "LUO_ABI_COMPATIBLE")
            .unwrap();
        entry.value = "luo-v4";
        let report = check_table(&tree, None, &table).unwrap();
        assert_eq!(report.mismatches.len(), 1, "{report}");
        assert_eq!(
            report.mismatches[0].to_string(),
            "include/linux/kho/abi/luo.h: LUO_ABI_COMPATIBLE: ours \"luo-v4\", header \"luo-v5\""
        );
    }
}
