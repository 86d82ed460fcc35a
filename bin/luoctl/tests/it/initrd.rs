//! `luoctl initrd` on images that it made itself, read by GNU cpio where that is there.

use std::fs;
use std::os::unix::fs::{PermissionsExt as _, symlink};
use std::path::Path;
use std::process::{Command, Output, Stdio};

use serde_json::Value;

use crate::printed;

const MANIFEST: &str = r#"
[tree."/"]
source = "root"

[file."/etc/hostname"]
content = "guest\n"
names = ["/etc/mailname"]

[device."/dev/null"]
kind = "character"
major = 1
minor = 3
mode = "0666"
"#;

fn luoctl(folder: &Path, words: &str) -> Output {
    Command::new(env!("CARGO_BIN_EXE_luoctl"))
        .args(["initrd"].into_iter().chain(words.split(' ')))
        .current_dir(folder)
        .output()
        .unwrap()
}

fn done(folder: &Path, words: &str) -> String {
    let output = luoctl(folder, words);
    let error = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{words}: {error}");
    String::from_utf8(output.stdout).unwrap()
}

fn json(folder: &Path, words: &str) -> Value {
    let words = format!("{words} --json");
    printed(&format!("initrd {words}"), &luoctl(folder, &words)).remove(0)
}

/// A root like that of a distribution: `bin` is a link.
fn folder() -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    let root = folder.path().join("root");
    fs::create_dir_all(root.join("usr/bin")).unwrap();
    symlink("usr/bin", root.join("bin")).unwrap();
    fs::write(root.join("usr/bin/sh"), "\x7fELF").unwrap();
    fs::write(root.join("init"), "#!/bin/sh\n").unwrap();
    for program in ["init", "usr/bin/sh"] {
        let path = root.join(program);
        fs::set_permissions(path, fs::Permissions::from_mode(0o755)).unwrap();
    }
    fs::write(folder.path().join("image.toml"), MANIFEST).unwrap();
    folder
}

#[test]
fn the_same_manifest_makes_the_same_image_in_each_compression() {
    let folder = folder();
    let path = folder.path();
    done(path, "build image.toml --output plain.img");
    for compression in ["gzip", "zstd", "xz"] {
        let manifest = format!("compression = \"{compression}\"\n{MANIFEST}");
        fs::write(path.join("packed.toml"), manifest).unwrap();
        for output in ["a.img", "b.img"] {
            done(path, &format!("build packed.toml --output {output}"));
        }
        assert_eq!(
            fs::read(path.join("a.img")).unwrap(),
            fs::read(path.join("b.img")).unwrap()
        );
        assert_eq!(done(path, "diff plain.img a.img"), "");
        let listed = json(path, "list a.img");
        assert_eq!(listed["members"][0]["compression"], compression);
        assert_eq!(listed["stop"], Value::Null);
        let found = json(path, "check a.img");
        assert_eq!(found["findings"][0]["verdict"], "ok", "{found:#}");
    }
    let mode = fs::metadata(path.join("a.img"))
        .unwrap()
        .permissions()
        .mode();
    assert_eq!(mode & 0o777, 0o600);
}

#[test]
fn cpio_lists_the_same_names_and_modes() {
    let folder = folder();
    done(folder.path(), "build image.toml --output plain.img");
    let image = fs::File::open(folder.path().join("plain.img")).unwrap();
    let mut cpio = Command::new("cpio");
    let cpio = cpio
        .args(["-tv", "--quiet", "--numeric-uid-gid"])
        .stdin(Stdio::from(image));
    let theirs = match cpio.output() {
        Ok(listed) => String::from_utf8(listed.stdout).unwrap(),
        Err(error) => {
            eprintln!("skipped: cannot run cpio ({error}); install the package cpio");
            return;
        }
    };
    let ours = done(folder.path(), "list plain.img");
    let fields = |text: &str| -> Vec<Vec<String>> {
        let lines = text.lines().map(|line| {
            let words = line.split_whitespace().map(str::to_owned);
            words.collect()
        });
        lines.collect()
    };
    assert_eq!(fields(&ours), fields(&theirs), "{ours}\n{theirs}");
    assert!(
        ours.contains("etc/mailname") && ours.contains("bin -> usr/bin"),
        "{ours}"
    );
}

#[test]
fn what_is_appended_goes_where_links_lead_and_takes_places() {
    let folder = folder();
    let path = folder.path();
    done(path, "build image.toml --output base.img");
    let base = fs::read(path.join("base.img")).unwrap();
    // Boot configuration stays at the end.
    let text = b"a = 1\n\n\n";
    let sum: u32 = text.iter().map(|&byte| u32::from(byte)).sum();
    let config = [
        &text[..],
        &8_u32.to_le_bytes(),
        &sum.to_le_bytes(),
        b"#BOOTCONFIG\n",
    ]
    .concat();
    fs::write(path.join("base.img"), [&base[..], &config].concat()).unwrap();
    let added = r#"
        compression = "zstd"
        [file."/bin/agent"]
        content = "agent"
        [file."/etc/hostname"]
        content = "other\n"
        [file."/opt/new/file"]
        content = "new"
    "#;
    fs::write(path.join("agent.toml"), added).unwrap();
    let told = done(path, "append base.img agent.toml --output new.img");
    assert!(told.contains("takes the place of etc/hostname"), "{told}");
    let new = fs::read(path.join("new.img")).unwrap();
    assert!(new.starts_with(&base) && new.ends_with(&config));
    assert_eq!(done(path, "cat new.img usr/bin/agent"), "agent");
    assert_eq!(done(path, "cat new.img /bin/sh"), "\x7fELF");
    // The kernel writes into the file that is there: its other name sees that.
    for name in ["etc/hostname", "etc/mailname"] {
        assert_eq!(done(path, &format!("cat new.img {name}")), "other\n");
    }
    let found = json(path, "check new.img");
    let findings = found["findings"].as_array().unwrap();
    assert!(
        findings.iter().all(|it| it["verdict"] != "warning"),
        "{found:#}"
    );
    assert!(
        findings.iter().any(|it| it["check"] == "bootconfig"),
        "{found:#}"
    );
    let differ = luoctl(path, "diff base.img new.img");
    assert_eq!(differ.status.code(), Some(23));
    let differ = String::from_utf8(differ.stdout).unwrap();
    let lines: Vec<_> = differ
        .lines()
        .map(|line| line.split(':').next().unwrap())
        .collect();
    let expected = [
        "~ etc/hostname",
        "~ etc/mailname",
        "+ opt",
        "+ opt/new",
        "+ opt/new/file",
        "+ usr/bin/agent",
    ];
    assert_eq!(lines, expected, "{differ}");
}

#[test]
fn nothing_is_appended_where_linux_does_not_come() {
    let folder = folder();
    let path = folder.path();
    done(path, "build image.toml --output base.img");
    let mut base = fs::read(path.join("base.img")).unwrap();
    base.extend(b"junk");
    fs::write(path.join("base.img"), base).unwrap();
    let refused = luoctl(path, "append base.img image.toml --output new.img");
    let said = String::from_utf8(refused.stderr).unwrap();
    assert!(
        said.contains("Linux stops at byte") && said.contains("invalid magic"),
        "{said}"
    );
    assert!(!path.join("new.img").exists());
    let checked = json(path, "check base.img");
    assert_eq!(checked["findings"][0]["verdict"], "warning", "{checked:#}");
    assert_eq!(luoctl(path, "list base.img").status.code(), Some(17));
}

#[test]
fn mistakes_in_a_manifest_have_their_place() {
    let folder = folder();
    let path = folder.path();
    let said = |manifest: &str| {
        fs::write(path.join("wrong.toml"), manifest).unwrap();
        let output = luoctl(path, "build wrong.toml --output new.img");
        assert_eq!(output.status.code(), Some(17));
        String::from_utf8(output.stderr).unwrap()
    };
    assert!(said("[file.\"/x\"]\nsorce = \"y\"\n").contains("line 2"));
    assert!(said("[file.\"/x\"]\nmode = \"0999\"\ncontent = \"\"\n").contains("octal digits"));
    assert!(said("[file.\"/x\"]\n").contains("either `source` or `content`"));
    assert!(said("[file.\"/../x\"]\ncontent = \"\"\n").contains("is not a plain relative path"));
    let taken = "[file.\"/x\"]\ncontent = \"\"\n[link]\n\"x\" = \"y\"\n";
    assert!(said(taken).contains("\"x\""), "{}", said(taken));
    assert!(!path.join("new.img").exists());
}
