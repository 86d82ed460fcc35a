//! Output and exit codes, on files as kernels and compilers make them.

use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

const KALLSYMS: &str = "\
ffffffff81000000 T _stext
ffffffff81000000 T _text
ffffffff81000040 t dup
ffffffff81000080 t dup
ffffffff82000000 B _end
ffffffffc0000000 t dup\t[m]
ffffffffc0000040 t f\t[m]
ffffffffc0004000 t prog\t[bpf]
";

struct Files(tempfile::TempDir);

impl Files {
    fn new() -> Self {
        Self(tempfile::tempdir().unwrap())
    }

    fn put(&self, name: &str, content: &[u8]) -> PathBuf {
        let path = self.0.path().join(name);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(&path, content).unwrap();
        path
    }

    /// Two functions in two sections, the one in front in the table at the higher address, twice.
    fn module(&self) -> PathBuf {
        let source = self.put(
            "m.s",
            b".section .modinfo\n.asciz \"name=m\"\n.section .text.b,\"ax\"\ntwice: nop\n.text\nonce: nop\n\
              .section .init.text,\"ax\"\nstarted: nop\n",
        );
        let second = self.put("n.s", b".text\ntwice: nop\n");
        let run = |program: &str, arguments: &[&Path]| {
            let status = Command::new(program)
                .args(arguments)
                .current_dir(self.0.path())
                .status()
                .unwrap();
            assert!(status.success(), "{program}");
        };
        let [o, first, second_o, module] = ["-o", "m.o", "n.o", "m.ko"].map(Path::new);
        run("as", &[o, first, &source]);
        run("as", &[o, second_o, &second]);
        run("ld", &[Path::new("-r"), o, module, first, second_o]);
        self.0.path().join("m.ko")
    }
}

fn run(arguments: &[&str], input: &str) -> (Option<i32>, String, String) {
    let mut command = Command::new(env!("CARGO_BIN_EXE_ksyms"));
    let piped = || Stdio::piped();
    let command = command
        .args(arguments)
        .stdin(piped())
        .stdout(piped())
        .stderr(piped());
    let mut child = command.spawn().unwrap();
    child
        .stdin
        .take()
        .unwrap()
        .write_all(input.as_bytes())
        .unwrap();
    let Output {
        status,
        stdout,
        stderr,
    } = child.wait_with_output().unwrap();
    let text = |bytes| String::from_utf8(bytes).unwrap();
    let stdout = text(stdout);
    if arguments.contains(&"--json") {
        let printed = json_schemas::check_output("ksyms", arguments, &stdout);
        let printed = printed.unwrap();
        assert_eq!(printed.len(), 1, "{arguments:?}: {stdout}");
    }
    (status.code(), stdout, text(stderr))
}

#[test]
fn addresses_are_looked_up_from_arguments_and_input() {
    let files = Files::new();
    let path = files.put("kallsyms", KALLSYMS.as_bytes());
    let path = path.to_str().unwrap();
    let (code, out, _) = run(
        &["lookup", "-f", path, "0xffffffff81000044", "-"],
        "ffffffffc0000001\n\n",
    );
    assert_eq!(
        out,
        "ffffffff81000044 t dup+0x4/0x40\nffffffffc0000001 t dup+0x1/0x40 [m]\n"
    );
    assert_eq!(code, Some(0));
    let (code, out, _) = run(&["lookup", "-f", path, "ffffffff81000000", "0"], "");
    assert_eq!(
        out,
        "ffffffff81000000 T _stext+0x0/0x40 = _text\n0000000000000000 -\n"
    );
    assert_eq!(code, Some(1));
    let (code, out, _) = run(&["lookup", "--json", "-f", path, "ffffffffc0004008"], "");
    let value: serde_json::Value = serde_json::from_str(&out).unwrap();
    assert_eq!(code, Some(0));
    assert_eq!(value[0]["symbol"]["object"], "bpf");
    assert_eq!(value[0]["symbol"]["offset_bytes"], 8);
    assert_eq!(value[0]["symbol"]["ends_at"], "page");
    let (code, _, err) = run(&["lookup", "-f", path, "nonsense"], "");
    assert!(
        code == Some(2) && err.contains("no hexadecimal address"),
        "{err}"
    );
}

#[test]
fn names_and_positions() {
    let files = Files::new();
    let path = files.put("kallsyms", KALLSYMS.as_bytes());
    let path = path.to_str().unwrap();
    let (code, out, _) = run(&["name", "-f", path, "dup", "prog"], "");
    let expected = "ffffffff81000040 t dup [vmlinux] 1\nffffffff81000080 t dup [vmlinux] 2\n\
                    ffffffffc0000000 t dup [m] 1\nffffffffc0004000 t prog [bpf] -\n";
    assert_eq!((code, out.as_str()), (Some(0), expected));
    assert_eq!(run(&["name", "-f", path, "absent"], "").0, Some(1));
    let (code, out, _) = run(&["sympos", "-f", path, "vmlinux", "dup", "2"], "");
    assert_eq!(
        (code, out.as_str()),
        (Some(0), "ffffffff81000080 t dup [vmlinux] 2\n")
    );
    let (code, out, _) = run(&["sympos", "-f", path, "vmlinux", "dup", "0"], "");
    assert!(
        code == Some(1) && out.contains("there are 2 of them"),
        "{out}"
    );
    let (code, out, _) = run(&["sympos", "-f", path, "vmlinux", "dup"], "");
    assert_eq!((code, out.lines().count()), (Some(0), 2));
    assert_eq!(run(&["sympos", "-f", path, "bpf", "prog"], "").0, Some(1));
}

#[test]
fn hidden_addresses_and_bad_files_have_their_exit_codes() {
    let files = Files::new();
    let hidden = files.put(
        "hidden",
        b"0000000000000000 T _stext\n0000000000000000 T f\n",
    );
    let (code, out, err) = run(
        &["lookup", "--json", "-f", hidden.to_str().unwrap(), "1"],
        "",
    );
    assert_eq!(code, Some(4));
    assert!(err.contains("kptr_restrict"), "{err}");
    let value: serde_json::Value = serde_json::from_str(&out).unwrap();
    assert_eq!(value["error"]["exit_code"], 4);
    let bad = files.put("bad", b"what is this\n");
    let (code, _, err) = run(&["lookup", "-f", bad.to_str().unwrap(), "1"], "");
    assert!(code == Some(3) && err.contains("line 1"), "{err}");
    let (code, _, err) = run(&["lookup", "-f", "/nonexistent", "1"], "");
    assert!(code == Some(3) && err.contains("/nonexistent"), "{err}");
}

#[test]
fn modules_are_checked_for_sorting_and_used_where_they_are_loaded() {
    let files = Files::new();
    let module = files.module();
    let module = module.to_str().unwrap();
    let (code, out, _) = run(&["sort-check", module], "");
    assert!(
        out.contains("1 modules, 1 names of more than one symbol"),
        "{out}"
    );
    assert!(
        out.starts_with("m twice: symbols ") && code == Some(6),
        "{out}"
    );
    let (code, out, _) = run(&["sympos", "-f", module, "m", "twice"], "");
    assert_eq!((code, out.lines().count()), (Some(0), 2));
    files.put("sys/m/sections/.text", b"0xffffffffc0a00000\n");
    files.put("sys/m/sections/.text.b", b"0xffffffffc0a00100\n");
    let sys = files.0.path().join("sys");
    let loaded = [
        "lookup",
        "--loaded",
        "--sys-module",
        sys.to_str().unwrap(),
        "-f",
        module,
    ];
    let (code, out, _) = run(&[&loaded[..], &["ffffffffc0a00100"]].concat(), "");
    assert_eq!(
        (code, out.as_str()),
        (Some(0), "ffffffffc0a00100 t twice+0x0/0xf00 [m]\n")
    );
    // With the files of the modules, text says where their memory ends.
    let text = "ffffffffc0a00000 t once\t[m]\nffffffffc0a00100 t twice\t[m]\nffffffffc0b00000 t other\t[n]\n";
    let text = files.put("kallsyms", text.as_bytes());
    let modules = files.0.path().to_str().unwrap();
    let live = [
        "lookup",
        "--json",
        "--sys-module",
        sys.to_str().unwrap(),
        "--modules",
        modules,
    ];
    let (code, out, _) = run(
        &[
            &live[..],
            &["-f", text.to_str().unwrap(), "ffffffffc0a00101"],
        ]
        .concat(),
        "",
    );
    let value: serde_json::Value = serde_json::from_str(&out).unwrap();
    assert_eq!(
        (code, &value[0]["symbol"]["ends_at"]),
        (Some(0), &"region".into())
    );
    let (code, out, _) = run(&["klp-check", module], "");
    assert!(
        code == Some(5) && out.contains("not marked as a livepatch"),
        "{out}"
    );
}

#[test]
fn symbols_of_the_running_kernel_are_read_where_it_shows_them() {
    let (code, out, err) = run(&["sympos", "vmlinux", "_stext", "0"], "");
    match code {
        Some(0) => assert!(out.contains(" T _stext [vmlinux] 1"), "{out}"),
        // Without rights the kernel hides them; in some sandboxes there is no such file.
        Some(4) => assert!(err.contains("hides"), "{err}"),
        Some(3) => assert!(err.contains("/proc/kallsyms"), "{err}"),
        other => panic!("{other:?}: {out}{err}"),
    }
}

#[test]
fn every_command_prints_what_its_schema_says() {
    let files = Files::new();
    let path = files.put("kallsyms", KALLSYMS.as_bytes());
    let (path, module) = (path.to_str().unwrap(), files.module());
    let module = module.to_str().unwrap();
    let commands: [(&[&str], i32); 8] = [
        (
            &["lookup", "--json", "-f", path, "ffffffff81000044", "1"],
            1,
        ),
        (&["name", "--json", "-f", path, "dup"], 0),
        (&["sympos", "--json", "-f", path, "vmlinux", "dup"], 0),
        (&["sympos", "--json", "-f", path, "vmlinux", "dup", "2"], 0),
        (&["sympos", "--json", "-f", path, "vmlinux", "dup", "3"], 1),
        (&["klp-check", "--json", module, "-f", path], 5),
        (&["sort-check", "--json", module], 6),
        (&["name", "--json", "-f", "/nonexistent", "x"], 3),
    ];
    for (arguments, expected) in commands {
        let (code, out, err) = run(arguments, "");
        assert_eq!(code, Some(expected), "{arguments:?}: {out}{err}");
    }
    let (_, names, _) = run(&["schema"], "");
    assert_eq!(names.lines().count(), json_schemas::of("ksyms").count());
    for name in names.lines() {
        let (_, text, _) = run(&["schema", name], "");
        assert_eq!(text, json_schemas::find("ksyms", name).unwrap().text);
    }
    assert_eq!(run(&["schema", "nothing"], "").0, Some(2));
}
