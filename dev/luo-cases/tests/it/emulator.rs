//! Starting `luo-emu`.

use std::fs::{self, Permissions};
use std::os::unix::fs::{PermissionsExt as _, chown};
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::sync::OnceLock;

/// The client.
pub(crate) const CASES: &str = env!("CARGO_BIN_EXE_luo-cases");

/// `nobody`.
const USER: u32 = 65_534;

/// Who runs the machine.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum User {
    /// Whoever runs the tests.
    Own,
    /// A user without any privilege. Only root can become it.
    Nobody,
}

impl User {
    /// Both, as far as there are two.
    pub(crate) fn all() -> Vec<Self> {
        if rustix::process::geteuid().is_root() {
            vec![Self::Own, Self::Nobody]
        } else {
            vec![Self::Own]
        }
    }
}

/// Programs of other packages, built if need be: they may be older than their source.
pub(crate) fn built(packages: &[&str]) -> Vec<PathBuf> {
    // `TARGET/debug/luo-cases`.
    let folder = Path::new(CASES).parent().unwrap();
    let target = folder.parent().unwrap();
    let mut command = Command::new(env!("CARGO"));
    command.args(["build", "--quiet", "--bins", "--target-dir"]);
    command.arg(target);
    if folder.ends_with("release") {
        command.arg("--release");
    }
    for package in packages {
        command.args(["--package", package]);
    }
    assert!(
        command.status().unwrap().success(),
        "{packages:?} not built"
    );
    let names = packages.iter().flat_map(|&package| match package {
        "kvcache" => vec!["kvcache", "kvcache-load"],
        one => vec![one],
    });
    names.map(|name| folder.join(name)).collect()
}

fn luo_emu() -> &'static Path {
    static BUILT: OnceLock<Vec<PathBuf>> = OnceLock::new();
    let built = BUILT.get_or_init(|| built(&["luo-emu"]));
    built.first().unwrap()
}

/// A folder that every user can read, with `luo-emu`, `luo-cases` and a file to jump to.
pub(crate) struct Programs {
    folder: tempfile::TempDir,
}

impl Programs {
    pub(crate) fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        fs::set_permissions(&folder, Permissions::from_mode(0o755)).unwrap();
        let programs = Self { folder };
        programs.add(luo_emu());
        programs.add(Path::new(CASES));
        fs::write(programs.path("kernel"), "any file will do").unwrap();
        programs
    }

    /// Puts a program in, under its own name.
    pub(crate) fn add(&self, program: &Path) {
        let to = self.path(program.file_name().unwrap().to_str().unwrap());
        fs::copy(program, &to).unwrap();
        fs::set_permissions(to, Permissions::from_mode(0o755)).unwrap();
    }

    /// Lets a user write to the folder.
    pub(crate) fn give_to(&self, user: User) {
        if user == User::Nobody {
            chown(&self.folder, Some(USER), Some(USER)).unwrap();
        }
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// Runs a script on the machine, in this folder.
    pub(crate) fn script(&self, options: &[&str], user: User, script: &str) -> Output {
        let mut command = Command::new(self.path("luo-emu"));
        command.arg("run").args(options);
        command.args(["--", "sh", "-c", script]);
        self.run(command, user)
    }

    pub(crate) fn run(&self, mut command: Command, user: User) -> Output {
        command
            .current_dir(&self.folder)
            .env("TMPDIR", "/tmp")
            .env_remove("RUST_BACKTRACE");
        if user == User::Nobody {
            command.uid(USER).gid(USER);
        }
        command.output().unwrap()
    }
}

/// A script that does one thing before the jump and another after it.
pub(crate) fn two_stages(before: &str, after: &str) -> String {
    format!(
        "if [ $LUO_EMU_GENERATION = 1 ]; then {before} && ./luo-cases kexec kernel; else {after}; fi"
    )
}

/// A test that cannot run here: says why, and fails where nothing may be left out (`CI=true`).
#[expect(clippy::print_stderr, reason = "a skip says why")]
pub(crate) fn skipped(why: &str) {
    let is_strict = std::env::var_os("CI").is_some_and(|ci| ci == "true");
    assert!(!is_strict, "cannot run here: {why}");
    eprintln!("skipped: {why}");
}

/// What a program printed, when all went well.
pub(crate) fn printed(output: &Output) -> String {
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(
        output.status.success(),
        "{}\n{text}\n{errors}",
        output.status
    );
    text
}

/// What the machine told.
pub(crate) fn messages(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}
