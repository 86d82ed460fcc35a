//! What the machine itself does: generations, ends, exit codes.

use std::fs::{self, Permissions};
use std::os::unix::fs::PermissionsExt as _;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use super::emulator::{Programs, User, messages, printed, skipped};

fn code(options: &[&str], script: &str) -> Option<i32> {
    let output = Programs::new().script(options, User::Own, script);
    output.status.code()
}

#[test]
fn the_exit_code_is_the_programs() {
    assert_eq!(code(&[], "exit 7"), Some(7));
    assert_eq!(code(&[], "kill -9 $$"), Some(137));
    let jump = "test $LUO_EMU_GENERATION = 3 && exit 9; ./luo-cases kexec kernel; exit 1";
    assert_eq!(code(&[], jump), Some(9));
}

#[test]
fn a_program_that_cannot_be_started_has_a_code_of_its_own() {
    let programs = Programs::new();
    let run = |program: &str| {
        let mut command = Command::new(programs.path("luo-emu"));
        command.args(["run", "--", program]);
        programs.run(command, User::Own)
    };
    let missing = run("./nothing");
    assert_eq!(missing.status.code(), Some(127));
    assert!(messages(&missing).contains("starting ./nothing"));
    assert_eq!(run("./kernel").status.code(), Some(126));
}

#[test]
fn generations_end_when_as_many_as_asked_for_have_run() {
    let script = "echo $LUO_EMU_GENERATION; ./luo-cases kexec kernel";
    let output = Programs::new().script(&["--generations", "3"], User::Own, script);
    assert_eq!(printed(&output), "1\n2\n3\n");
}

#[test]
fn every_generation_is_another_boot_with_the_image_it_was_given() {
    let script = "cat /proc/sys/kernel/random/boot_id; cat /proc/cmdline; uname -r; \
                  cat /sys/kernel/kexec_loaded; test $LUO_EMU_GENERATION = 2 || \
                  ./luo-cases kexec kernel";
    let options = ["--release", "7.2.13,7.3.4"];
    let output = Programs::new().script(&options, User::Own, script);
    let text = printed(&output);
    let lines: Vec<&str> = text.lines().collect();
    let [
        boot,
        cmdline,
        release,
        loaded,
        boot_2,
        cmdline_2,
        release_2,
        _,
    ] = lines[..]
    else {
        panic!("{text}");
    };
    assert_ne!(boot, boot_2);
    // Behind ` -- ` it would be the first program's.
    let kernels = cmdline.split(" -- ").next().unwrap_or_default();
    assert!(kernels.ends_with("liveupdate=on kho=on"), "{cmdline}");
    assert_eq!((cmdline_2, loaded), ("from luo-cases", "0"));
    assert_eq!((release, release_2), ("7.2.13", "7.3.4"));
}

/// The setup header of a bzImage that says to be `release`, and something for the code.
fn kernel_image(release: &str) -> Vec<u8> {
    let mut file = vec![0; 2 * 512 + 16];
    let mut put = |offset: usize, bytes: &[u8]| {
        file[offset..offset + bytes.len()].copy_from_slice(bytes);
    };
    put(0x1f1, &[1]);
    put(0x1f4, &1_u32.to_le_bytes());
    put(0x1fe, &0xaa55_u16.to_le_bytes());
    put(0x200, &[0xeb, 106]);
    put(0x202, b"HdrS");
    put(0x206, &0x020f_u16.to_le_bytes());
    put(0x20e, &0x0100_u16.to_le_bytes());
    put(0x230, &0x20_0000_u32.to_le_bytes());
    put(0x260, &0x1000_u32.to_le_bytes());
    put(0x300, format!("{release} (builder) #1\0").as_bytes());
    file
}

#[test]
fn a_kernel_image_says_the_release_of_the_next_generation() {
    let programs = Programs::new();
    fs::write(programs.path("kernel"), kernel_image("7.3.4-made-up")).unwrap();
    let script = "uname -r; case $LUO_EMU_GENERATION in 1) ./luo-cases kexec kernel;; \
                  2) echo any > kernel; ./luo-cases kexec kernel;; esac";
    let output = programs.script(&["--release", "7.2.13"], User::Own, script);
    assert_eq!(printed(&output), "7.2.13\n7.3.4-made-up\n7.2.13\n");
}

#[test]
fn an_image_that_scratch_has_no_room_for_is_refused() {
    let script = "truncate -s 300G kernel; ./luo-cases kexec kernel";
    let text = messages(&Programs::new().script(&[], User::Own, script));
    assert!(
        text.contains("do not fit into the KHO scratch areas"),
        "{text}"
    );
}

#[test]
fn descriptors_are_known_in_a_pid_namespace_too() {
    let script = "exec unshare -r -m -p -f --mount-proc sh -c \
                  'exec 9< /dev/liveupdate; readlink /proc/self/fd/9'";
    let output = Programs::new().script(&[], User::Own, script);
    if messages(&output).contains("unshare failed") {
        return skipped("a user may make no user namespaces");
    }
    assert_eq!(printed(&output), "/dev/liveupdate\n");
}

#[test]
fn the_next_program_runs_in_the_next_generation() {
    let programs = Programs::new();
    let then = programs.path("then");
    fs::write(&then, "#!/bin/sh\necho then $LUO_EMU_GENERATION\n").unwrap();
    fs::set_permissions(&then, Permissions::from_mode(0o755)).unwrap();
    let options = ["--next", "./then"];
    let output = programs.script(&options, User::Own, "echo first; ./luo-cases kexec kernel");
    assert_eq!(printed(&output), "first\nthen 2\n");
}

/// Processes that do nothing but wait in this folder.
fn is_anybody_left(programs: &Programs) -> bool {
    let name = programs.path("luo-cases");
    let entries = fs::read_dir("/proc").unwrap();
    let links = entries.filter_map(|entry| fs::read_link(entry.ok()?.path().join("exe")).ok());
    links.into_iter().any(|link| link == name)
}

#[test]
fn a_jump_ends_every_process_of_the_machine_and_nobody_sees_it() {
    let programs = Programs::new();
    // One in the background, one in a session of its own, one whose parent is gone.
    let script = "if [ $LUO_EMU_GENERATION = 2 ]; then exit; fi; ./luo-cases sleep & \
                  setsid ./luo-cases sleep & (./luo-cases sleep &) ; sleep 0.3; \
                  ./luo-cases kexec kernel; echo seen";
    let output = programs.script(&[], User::Own, script);
    assert_eq!(printed(&output), "sleeping: ok\n".repeat(3));
    assert!(!is_anybody_left(&programs));
}

#[test]
fn the_end_of_the_program_ends_what_it_left_behind() {
    let programs = Programs::new();
    let script = "setsid ./luo-cases sleep & sleep 0.2; exit 3";
    let output = programs.script(&[], User::Own, script);
    assert_eq!(output.status.code(), Some(3));
    assert!(!is_anybody_left(&programs));
}

#[test]
fn the_program_ends_with_the_machine() {
    let programs = Programs::new();
    let mut command = Command::new(programs.path("luo-emu"));
    let mut machine = command
        .current_dir(programs.path(""))
        .args(["run", "--quiet", "--", "./luo-cases", "sleep"])
        .stdout(Stdio::null())
        .spawn()
        .unwrap();
    let start = Instant::now();
    while !is_anybody_left(&programs) && start.elapsed() < Duration::from_secs(20) {
        std::thread::sleep(Duration::from_millis(10));
    }
    machine.kill().unwrap();
    machine.wait().unwrap();
    while is_anybody_left(&programs) {
        assert!(start.elapsed() < Duration::from_secs(20));
        std::thread::sleep(Duration::from_millis(10));
    }
}

#[test]
fn messages_say_which_generation_and_can_be_switched_off() {
    let script = "test $LUO_EMU_GENERATION = 2 || ./luo-cases kexec kernel";
    let programs = Programs::new();
    let text = messages(&programs.script(&[], User::Own, script));
    assert!(
        text.contains("generation 1: kexec with 0 sessions"),
        "{text}"
    );
    assert!(text.contains("generation 2: kernel "), "{text}");
    let quiet = programs.script(&["--quiet"], User::Own, script);
    assert_eq!(messages(&quiet), "");
}

#[test]
fn a_preserved_file_that_grew_is_told_of() {
    let script = super::emulator::two_stages("./luo-cases leave-grown", "true");
    let output = Programs::new().script(&[], User::Own, &script);
    let text = messages(&output);
    assert!(text.contains("grew from 4 to 8 bytes"), "{text}");
}

#[test]
fn who_is_not_root_on_a_machine_of_roots_is_refused() {
    if !rustix::process::geteuid().is_root() {
        return skipped("only root can become another user");
    }
    let script = "exec setpriv --reuid 65534 --regid 65534 --clear-groups ./luo-cases kexec kernel";
    let output = Programs::new().script(&[], User::Own, script);
    let text = messages(&output);
    assert!(
        text.contains("EPERM") || text.contains("not permitted"),
        "{text}"
    );
    let script =
        "exec setpriv --reuid 65534 --regid 65534 --clear-groups sh -c '< /dev/liveupdate'";
    let output = Programs::new().script(&[], User::Own, script);
    assert!(messages(&output).contains("Permission denied"));
}

#[test]
fn programs_have_the_limits_that_the_machine_was_started_with() {
    let programs = Programs::new();
    let mut command = Command::new("sh");
    let script = "ulimit -n 100; ./luo-emu run --quiet -- sh -c 'ulimit -n; ulimit -Hn'";
    command.args(["-c", &format!("ulimit -Hn 500; {script}")]);
    assert_eq!(printed(&programs.run(command, User::Own)), "100\n100\n");
}

#[test]
fn a_machine_in_a_machine_says_why_it_cannot_be() {
    let script = "exec ./luo-emu run -- true";
    let output = Programs::new().script(&[], User::Own, script);
    assert_eq!(output.status.code(), Some(125));
    assert!(messages(&output).contains("luo-emu does not run in luo-emu"));
}

#[test]
fn memory_is_saved_where_it_was_at_the_jump() {
    let programs = Programs::new();
    let script = super::emulator::two_stages("./luo-cases leave", "true");
    let output = programs.script(&["--save", ".", "--memory", "256M"], User::Own, &script);
    assert_eq!(printed(&output), "");
    let memory = fs::read(programs.path("generation-1.mem")).unwrap();
    assert_eq!(memory.len(), (256 << 20) + (1 << 20));
    let content = b"First content";
    assert!(memory.windows(content.len()).any(|bytes| bytes == content));
    let missing = programs.script(&["--save", "nowhere"], User::Own, &script);
    assert_eq!(missing.status.code(), Some(125));
    assert!(messages(&missing).contains("saving memory to nowhere/"));
}
