//! A small tree of our own, and differences put into it one at a time.

use std::fs;
use std::path::Path;

use header_check::table::{Constant, Field, Image, Layout, Table, Text};
use header_check::{Error, Mismatch, check_table};
use kho_abi::PageSize;

const HEADER: &str = "include/linux/kho/abi/sample.h";
const TEXT: &str = r#"
#include <linux/types.h>
#define SAMPLE_NAME "sample-v1"
#define SAMPLE_MAX 7
struct sample {
	u64 pa;
	u32 count;
	u32 flags;
} __packed;
struct sample_bits {
	u64 low:52;
	u64 high:12;
} __packed;
"#;

fn tree(text: &str) -> tempfile::TempDir {
    let tree = tempfile::tempdir().unwrap();
    fs::create_dir_all(tree.path().join("include/linux/kho/abi")).unwrap();
    fs::create_dir_all(tree.path().join("include/uapi/linux")).unwrap();
    fs::write(tree.path().join(HEADER), text).unwrap();
    fs::write(tree.path().join("include/uapi/linux/liveupdate.h"), "").unwrap();
    tree
}

fn sample_table() -> Table {
    let field = |c_name, offset, size| Field {
        c_name,
        offset,
        size,
    };
    Table {
        page_size: PageSize::Size4K,
        includes: vec!["linux/kho/abi/sample.h"],
        layouts: vec![Layout {
            header: HEADER,
            c_name: "sample",
            size: 16,
            fields: vec![
                field("pa", 0, 8),
                field("count", 8, 4),
                field("flags", 12, 4),
            ],
            unnamed_bytes: 0,
        }],
        constants: vec![Constant {
            header: HEADER,
            c_name: "SAMPLE_MAX",
            value: 7,
            is_macro: true,
        }],
        strings: vec![Text {
            header: HEADER,
            c_name: "SAMPLE_NAME",
            value: "sample-v1",
        }],
        images: vec![Image {
            header: HEADER,
            c_name: "sample_bits",
            initializer: "{ .low = 5, .high = 0xabc }",
            bytes: (0xabc_u64 << 52 | 5).to_le_bytes().to_vec(),
        }],
        not_modelled: vec!["sample_bits"],
    }
}

fn mismatches(from: &str, to: &str) -> Vec<Mismatch> {
    assert!(TEXT.contains(from));
    let tree = tree(&TEXT.replace(from, to));
    let report = check_table(tree.path(), None, &sample_table()).unwrap();
    report.mismatches
}

fn found(mismatches: &[Mismatch], what: &str, ours: &str, theirs: &str) -> bool {
    mismatches.iter().any(|m| {
        m.header == HEADER && m.what.contains(what) && m.ours == ours && m.theirs == theirs
    })
}

#[test]
fn equal_table_and_header_are_clean() {
    let tree = tree(TEXT);
    let report = check_table(tree.path(), None, &sample_table()).unwrap();
    assert!(report.is_clean(), "{report}");
    // One size, three offsets, three field sizes, completeness; a macro, a string, an image.
    assert_eq!(report.compared, 11);
}

#[test]
fn moved_and_grown_fields_are_reported_with_both_values() {
    let found_here = mismatches("u64 pa;", "u32 pad;\n\tu64 pa;");
    assert!(found(
        &found_here,
        "sizeof(struct sample)",
        "16 (0x10)",
        "20 (0x14)"
    ));
    assert!(found(&found_here, "offsetof(struct sample, pa)", "0", "4"));
    assert!(found(&found_here, "no field of the table covers", "0", "4"));
    let found_here = mismatches("u32 count;", "u16 count; u16 more;");
    assert!(found(&found_here, "sizeof(struct sample.count)", "4", "2"));
}

#[test]
fn swapped_fields_are_reported_although_the_size_is_equal() {
    let found_here = mismatches("u32 count;\n\tu32 flags;", "u32 flags;\n\tu32 count;");
    assert!(found(
        &found_here,
        "offsetof(struct sample, count)",
        "8",
        "12 (0xc)"
    ));
}

#[test]
fn changed_macro_string_and_bit_field_are_reported() {
    assert!(found(&mismatches("MAX 7", "MAX 8"), "SAMPLE_MAX", "7", "8"));
    let found_here = mismatches("sample-v1", "sample-v2");
    assert!(found(
        &found_here,
        "SAMPLE_NAME",
        "\"sample-v1\"",
        "\"sample-v2\""
    ));
    let found_here = mismatches("low:52;\n\tu64 high:12", "low:51;\n\tu64 high:13");
    assert_eq!(found_here.len(), 1, "{found_here:?}");
}

#[test]
fn removed_macro_is_reported_as_missing() {
    let found_here = mismatches("#define SAMPLE_MAX 7", "");
    assert!(found(&found_here, "SAMPLE_MAX", "7", "missing"));
}

#[test]
fn definition_the_table_does_not_know_is_reported() {
    let found_here = mismatches(
        "#define SAMPLE_MAX 7",
        "#define SAMPLE_MAX 7\n#define SAMPLE_NEW 1",
    );
    assert!(found(&found_here, "SAMPLE_NEW", "not modelled", "defined"));
    let found_here = mismatches(
        "struct sample_bits {",
        "struct extra {\n\tu64 x;\n};\nstruct sample_bits {",
    );
    assert!(found(&found_here, "extra", "not modelled", "defined"));
}

#[test]
fn values_in_prose_do_not_count() {
    let found_here = mismatches(
        "#define SAMPLE_MAX 7",
        "/*\n#define SAMPLE_MAX 8\n*/\n#define SAMPLE_MAX 7",
    );
    assert_eq!(found_here, []);
}

#[test]
fn removed_field_names_the_entry_of_the_table() {
    let tree = tree(&TEXT.replace("u32 flags;", "u32 fl;"));
    let error = check_table(tree.path(), None, &sample_table()).unwrap_err();
    let Error::Compile { diagnostics, .. } = &error else {
        panic!("{error}");
    };
    assert!(
        diagnostics.contains("offsetof(struct sample, flags)"),
        "{error}"
    );
    assert!(diagnostics.contains(HEADER), "{error}");
}

#[test]
fn folder_that_is_no_source_tree_is_refused() {
    let error = header_check::check(Path::new("/nonexistent"), None).unwrap_err();
    assert!(matches!(error, Error::NotASourceTree { .. }), "{error}");
}
