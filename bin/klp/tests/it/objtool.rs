//! The command lines of the kernel's klp-build (`scripts/livepatch/klp-build`, v7.3), with a link named `objtool`.

use std::fs;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use elf_index::SymbolPlace;
use livepatch::Input;

use crate::compile::{Workshop, klp_text};

/// A function that the tracer reaches, in a module that says its name, with a number that it returns.
fn source(number: u32) -> String {
    format!(
        "\t.file \"unit.c\"\n\t.section .text.f,\"ax\"\n\t.globl f\n\t.type f,@function\nf:\n1:\tcall __fentry__\n\
         \tmov ${number}, %eax\n\tmov own_data(%rip), %ecx\n\tret\n\t.size f,.-f\n\
         \t.section __mcount_loc,\"a\"\n\t.quad 1b\n\
         \t.section .data.own_data,\"aw\"\n\t.type own_data,@object\nown_data:\n\t.quad 5\n\t.size own_data,8\n\
         \t.section .modinfo,\"a\"\n\t.asciz \"license=GPL\"\n\t.asciz \"name=own\"\n"
    )
}

/// A tree with both builds of a module, as klp-build leaves them before its third step.
struct Tree {
    workshop: Workshop,
    program: PathBuf,
}

impl Tree {
    fn new(before: &str, after: &str) -> Self {
        let workshop = Workshop::new();
        let program = workshop.path("objtool");
        symlink(env!("CARGO_BIN_EXE_klp"), &program).unwrap();
        for (folder, text) in [("1-orig", before), ("2-patched", after)] {
            workshop.asm(&format!("klp-tmp/{folder}/fs/own"), text);
        }
        // Beside the tree's top, two folders above where the objects are compared.
        fs::write(workshop.path("Module.symvers"), "").unwrap();
        Self { workshop, program }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.workshop.path("klp-tmp").join(name)
    }

    fn objtool(&self, folder: &str, arguments: &[&str]) -> Output {
        Command::new(&self.program)
            .current_dir(self.path(folder))
            .arg("klp")
            .args(arguments)
            .output()
            .unwrap()
    }

    fn diff(&self) -> Output {
        let patched = self.path("2-patched/fs/own.o");
        let out = self.path("out.o");
        let words = [
            "diff",
            "fs/own.o",
            patched.to_str().unwrap(),
            out.to_str().unwrap(),
        ];
        self.objtool("1-orig", &words)
    }
}

fn texts(output: &Output) -> (String, String) {
    let text = |bytes: &[u8]| String::from_utf8(bytes.to_vec()).unwrap();
    (text(&output.stdout), text(&output.stderr))
}

/// Records of the section that the third step adds: names and values.
fn records(path: &Path) -> Vec<(String, u64)> {
    let input = Input::open(path).unwrap();
    let object = input.object().unwrap();
    let (id, section) = object.section_named(".discard.sym_checksum").unwrap();
    let relocs = object.relocs(id);
    assert_eq!(section.size, 16 * relocs.len() as u64);
    let values = section.data.chunks_exact(16);
    let pairs = relocs.iter().zip(values).enumerate();
    let record = pairs.map(|(number, (reloc, bytes))| {
        assert_eq!((reloc.offset, reloc.kind), (16 * number as u64, 2));
        let name = object.symbol(reloc.symbol).unwrap().name.to_owned();
        (name, u64::from_le_bytes(bytes[8..].try_into().unwrap()))
    });
    record.collect()
}

#[test]
fn checksums_are_written_into_the_object_once() {
    let tree = Tree::new(&source(1), &source(2));
    let path = tree.path("1-orig/fs/own.o");
    let printed = klp_text(&[&"checksum", &"--compat", &path]);
    let before = fs::read(&path).unwrap();
    let output = tree.objtool("1-orig", &["checksum", "--dry-run", "fs/own.o"]);
    assert!(output.status.success() && fs::read(&path).unwrap() == before);

    let output = tree.objtool("1-orig", &["checksum", "fs/own.o"]);
    assert!(output.status.success(), "{output:?}");
    let found: String = records(&path)
        .into_iter()
        .map(|(name, value)| format!("{value:016x} {name}\n"))
        .collect();
    assert_eq!(found, printed);

    let with_section = fs::read(&path).unwrap();
    let output = tree.objtool("1-orig", &["checksum", "fs/own.o"]);
    let (_, said) = texts(&output);
    assert!(
        output.status.success() && said.contains("warning"),
        "{said}"
    );
    assert_eq!(fs::read(&path).unwrap(), with_section);
}

/// An object with more sections than its header can count.
#[test]
fn checksums_are_written_into_an_object_with_very_many_sections() {
    let functions: String = (0..22_000)
        .map(|number| format!("\t.section .text.f{number},\"ax\"\n\t.type f{number},@function\nf{number}:\n\tcall g\n\t.size f{number},.-f{number}\n\t.section .data.d{number},\"aw\"\n\t.long {number}\n"))
        .collect();
    let tree = Tree::new(&functions, "");
    let path = tree.path("1-orig/fs/own.o");
    let output = tree.objtool("1-orig", &["checksum", "fs/own.o"]);
    assert!(output.status.success(), "{output:?}");
    let found = records(&path);
    assert_eq!(found.len(), 22_000);
    assert_eq!(found[21_999].0, "f21999");
    let input = Input::open(&path).unwrap();
    assert!(input.object().unwrap().sections().len() > 65_280);
}

#[test]
fn steps_of_a_checksum_are_told_as_the_script_reads_them() {
    let tree = Tree::new(&source(1), &source(2));
    let words = [
        "checksum",
        "--dry-run",
        "--debug-checksum=f,own_data,gone",
        "fs/own.o",
    ];
    let (_, said) = texts(&tree.objtool("1-orig", &words));
    let lines: Vec<&str> = said.lines().collect();
    assert!(
        lines[0].contains("warning") && lines[0].ends_with("gone"),
        "{said}"
    );
    let start = "DEBUG: fs/own.o: checksum: ";
    let places: Vec<&str> = lines[1..]
        .iter()
        .map(|line| {
            line.strip_prefix(start)
                .unwrap()
                .rsplit_once(' ')
                .unwrap()
                .0
        })
        .collect();
    assert_eq!(
        places,
        [
            "own_data+0x0: len",
            "own_data+0x0: data",
            "f(): f+0x0",
            "f(): f+0x0",
            "f(): f+0x0",
            "f(): f+0x5",
            "f(): f+0xa",
            "f(): f+0xa",
            "f(): f+0xa",
            "f(): f+0x10",
        ]
    );
    // The last of each is its checksum.
    let sum = |name: &str| {
        let sums = klp_text(&[&"checksum", &"--compat", &tree.path("1-orig/fs/own.o")]);
        let line = sums
            .lines()
            .find(|line| line.ends_with(&format!(" {name}")));
        line.unwrap().split(' ').next().unwrap().to_owned()
    };
    assert!(lines[10].ends_with(&sum("f")) && lines[2].ends_with(&sum("own_data")));
}

#[test]
fn a_change_is_told_and_written() {
    let tree = Tree::new(&source(1), &source(2));
    let output = tree.diff();
    let (told, said) = texts(&output);
    assert!(output.status.success(), "{said}");
    assert_eq!(
        (told.as_str(), said.as_str()),
        ("fs/own.o: changed function: f\n", "")
    );
    let out = tree.path("out.o");
    let debug = tree.objtool(
        "1-orig",
        &[
            "diff",
            "--debug",
            "fs/own.o",
            "../2-patched/fs/own.o",
            "/dev/null/no",
        ],
    );
    assert!(!debug.status.success());
    let (_, said) = texts(&debug);
    assert!(said.contains("DEBUG: fs/own.o: copies f\n"), "{said}");
    assert!(
        said.contains("DEBUG: fs/own.o: looks up .klp.sym.own.own_data,0\n"),
        "{said}"
    );

    let output = tree.objtool("", &["post-link", "out.o"]);
    assert!(output.status.success(), "{output:?}");
    let input = Input::open(&out).unwrap();
    let object = input.object().unwrap();
    assert!(object.section_named(".klp.rela.own..text.f").is_some());
    let symbols = object.symbols().iter();
    let looked_up = symbols.filter(|symbol| symbol.place == SymbolPlace::Reserved(0xff20));
    assert!(looked_up.count() > 0);
}

/// `klp-build` takes a missing file for "no change" when the tool succeeded.
#[test]
fn no_change_is_no_file_and_no_error_and_a_refusal_is_one() {
    let tree = Tree::new(&source(1), &source(1));
    let output = tree.diff();
    assert!(
        output.status.success() && output.stdout.is_empty(),
        "{output:?}"
    );
    assert!(!tree.path("out.o").exists());

    let other_data = source(2).replace(".quad 5", ".quad 6");
    let tree = Tree::new(&source(1), &other_data);
    let output = tree.diff();
    let (told, said) = texts(&output);
    assert_eq!(output.status.code(), Some(1));
    assert_eq!(told, "fs/own.o: changed function: f\n");
    assert!(
        said.starts_with("fs/own.o: error: ") && said.contains("own_data"),
        "{said}"
    );
    assert!(!tree.path("out.o").exists());

    fs::remove_file(tree.workshop.path("Module.symvers")).unwrap();
    let tree = Tree::new(&source(1), &source(2));
    fs::remove_file(tree.workshop.path("Module.symvers")).unwrap();
    let (_, said) = texts(&tree.diff());
    assert!(said.contains("Module.symvers"), "{said}");
}
