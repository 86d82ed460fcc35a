//! The kernel's own tests, unmodified: `tools/testing/selftests/liveupdate` of Linux 7.3, built with
//! the C library, static, and with the kernel's nolibc, on the emulated machine.
#![expect(
    clippy::unwrap_used,
    reason = "a test; clippy sees through #[cfg(test)] only"
)]

use std::fs::{self, Permissions};
use std::os::unix::fs::PermissionsExt as _;
use std::path::PathBuf;
use std::process::Command;

use kernel_build::{JUMP_SELFTESTS, Kernel, KernelSeries};

use crate::emulator::{Programs, User, printed, two_stages};

#[path = "../it/emulator.rs"]
#[expect(dead_code, reason = "shared with `it`, which uses all of it")]
mod emulator;

/// When set, what is missing fails a test instead of skipping it: for continuous integration.
const REQUIRE: &str = "E2E_REQUIRE";

const TESTS: &str = "tools/testing/selftests/liveupdate";

/// How a program is linked.
#[derive(Clone, Copy, Debug)]
enum Build {
    Dynamic,
    Static,
    NoLibc,
}

/// The kernel whose tests are built; `None` skips.
#[expect(clippy::print_stderr, reason = "a skip says why")]
fn kernel() -> Option<Kernel> {
    let missing = match kernel_build::locate(KernelSeries::V7_3) {
        Err(error) => error.to_string(),
        Ok(_) if Command::new("cc").arg("--version").output().is_err() => {
            "no C compiler: install cc".to_owned()
        }
        Ok(kernel) => return Some(kernel),
    };
    assert!(std::env::var_os(REQUIRE).is_none(), "{missing}");
    eprintln!("skipped: {missing}");
    None
}

impl Programs {
    /// Compiles a test into the folder.
    fn compile(&self, kernel: &Kernel, program: &str, build: Build) -> PathBuf {
        let tests = kernel.source.join(TESTS);
        let mut command = Command::new("cc");
        command.args(["-O2", "-w", "-I"]);
        command.arg(kernel.headers.join("usr/include"));
        command.arg("-I").arg(tests.join("lib/include"));
        match build {
            Build::Dynamic => command.arg("-D_GNU_SOURCE"),
            Build::Static => command.args(["-D_GNU_SOURCE", "-static"]),
            Build::NoLibc => command
                .args(["-static", "-nostdinc", "-nostdlib", "-I"])
                .arg(kernel.source.join("tools/include/nolibc")),
        };
        let path = self.path(program);
        command.arg("-o").arg(&path);
        command.arg(tests.join(format!("{program}.c")));
        command.arg(tests.join("lib/lu_utils.c"));
        let output = command.output().unwrap();
        let errors = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "{program} {build:?}: {errors}");
        fs::set_permissions(&path, Permissions::from_mode(0o755)).unwrap();
        path
    }
}

/// All of `liveupdate.c`, started as given.
fn device_tests(programs: &Programs, user: User, script: &str) {
    let output = programs.script(&["--quiet"], user, script);
    let text = printed(&output);
    assert!(
        text.contains("# Totals: pass:15 fail:0 xfail:0 xpass:0 skip:0 error:0"),
        "{text}"
    );
}

fn all_tests(build: Build) {
    let Some(kernel) = kernel() else { return };
    let programs = Programs::new();
    programs.compile(&kernel, "liveupdate", build);
    for (program, _) in JUMP_SELFTESTS {
        programs.compile(&kernel, program, build);
    }
    for user in User::all() {
        device_tests(&programs, user, "exec ./liveupdate");
        for (program, passed) in JUMP_SELFTESTS {
            let script = two_stages(&format!("./{program}"), &format!("./{program} -s 2"));
            let text = printed(&programs.script(&["--quiet"], user, &script));
            assert!(
                text.contains(passed),
                "{program} {build:?} {user:?}: {text}"
            );
        }
    }
}

#[test]
fn the_kernels_tests_pass_with_a_c_library() {
    all_tests(Build::Dynamic);
}

#[test]
fn the_kernels_tests_pass_static() {
    all_tests(Build::Static);
}

#[test]
fn the_kernels_tests_pass_without_a_c_library() {
    all_tests(Build::NoLibc);
}

#[test]
fn the_kernels_tests_pass_under_strace() {
    let Some(kernel) = kernel() else { return };
    if Command::new("strace").arg("-V").output().is_err() {
        assert!(std::env::var_os(REQUIRE).is_none(), "install strace");
        eprintln!("skipped: no strace");
        return;
    }
    let programs = Programs::new();
    programs.compile(&kernel, "liveupdate", Build::Dynamic);
    for (program, _) in JUMP_SELFTESTS {
        programs.compile(&kernel, program, Build::Dynamic);
    }
    for user in User::all() {
        device_tests(&programs, user, "strace -f -o /dev/null ./liveupdate");
        for (program, passed) in JUMP_SELFTESTS {
            // Not the child that stays behind to hold the sessions: strace would wait for its end, and
            // only the jump ends it.
            let traced = format!("strace -o /dev/null ./{program}");
            let script = two_stages(&traced, &format!("{traced} -s 2"));
            let text = printed(&programs.script(&["--quiet"], user, &script));
            assert!(text.contains(passed), "{program} {user:?}: {text}");
        }
    }
}
