//! What people really changed: each file as it was in one series and as it is in the next, compared by both tools.
//!
//! The two sources are those of the kernels in the cache; no patch is part of this repository. Both builds are made in the tree
//! of the newer series, so a file is taken only where the older one compiles there, too.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use kernel_build::KernelSeries;
use livepatch::Replace;

use crate::Lab;
use crate::sets::{Functions, Sets};

/// Files with changes of up to forty lines.
const FILES: [&str; 54] = [
    "arch/x86/kernel/apic/apic.c",
    "arch/x86/kernel/cpu/feat_ctl.c",
    "arch/x86/kernel/cpu/hypervisor.c",
    "arch/x86/kernel/cpu/intel.c",
    "arch/x86/kernel/cpu/microcode/amd.c",
    "arch/x86/kernel/cpu/microcode/intel.c",
    "arch/x86/kernel/cpu/topology_common.c",
    "arch/x86/kernel/kvm.c",
    "arch/x86/kernel/tsc.c",
    "arch/x86/mm/fault.c",
    "arch/x86/mm/init.c",
    "block/blk-core.c",
    "block/blk-mq.c",
    "block/mq-deadline.c",
    "drivers/base/core.c",
    "drivers/base/property.c",
    "drivers/char/mem.c",
    "drivers/input/keyboard/atkbd.c",
    "drivers/tty/tty_io.c",
    "drivers/tty/tty_jobctrl.c",
    "drivers/tty/vt/vc_screen.c",
    "drivers/tty/vt/vt.c",
    "drivers/tty/vt/vt_ioctl.c",
    "fs/d_path.c",
    "fs/dcache.c",
    "fs/eventpoll.c",
    "fs/ext4/balloc.c",
    "fs/ext4/fast_commit.c",
    "fs/ext4/ioctl.c",
    "fs/ext4/mballoc.c",
    "fs/ext4/orphan.c",
    "fs/file_table.c",
    "fs/filesystems.c",
    "fs/inode.c",
    "fs/jbd2/journal.c",
    "fs/kernel_read_file.c",
    "fs/kernfs/dir.c",
    "fs/kernfs/inode.c",
    "fs/libfs.c",
    "fs/pnode.c",
    "fs/proc/array.c",
    "fs/proc/base.c",
    "fs/proc/generic.c",
    "kernel/irq/irqdesc.c",
    "kernel/irq/irqdomain.c",
    "kernel/locking/mutex.c",
    "kernel/module/procfs.c",
    "kernel/printk/printk.c",
    "kernel/time/clocksource.c",
    "kernel/time/itimer.c",
    "kernel/time/posix-cpu-timers.c",
    "kernel/time/posix-timers.c",
    "kernel/trace/ftrace.c",
    "kernel/trace/trace_dynevent.c",
];

/// Fewer are no proof.
const LEAST: usize = 30;

/// A patch of every file from what the newer series has to what the older one had.
fn patch(lab: &Lab, older: &Path) -> PathBuf {
    let mut text = Vec::new();
    for file in FILES {
        let output = Command::new("diff")
            .args(["-u", "--label"])
            .arg(format!("a/{file}"))
            .arg("--label")
            .arg(format!("b/{file}"))
            .arg(lab.kernel.source.join(file))
            .arg(older.join(file))
            .output()
            .unwrap();
        // 0: the same, 1: different, 2: trouble.
        assert!(output.status.code() < Some(2), "{file}: {output:?}");
        text.extend(output.stdout);
    }
    let patch = lab.folder.path().join("history.patch");
    fs::write(&patch, text).unwrap();
    patch
}

#[test]
fn real_changes_are_seen_as_objtool_sees_them_but_for_its_gaps() {
    let Some(lab) = Lab::open() else {
        return;
    };
    let Some(older) = lab.source_of(KernelSeries::V7_2) else {
        return;
    };
    // Nobody wants a module of all that: most of it cannot be livepatched together.
    let _refused = lab.build_patch("history", patch(&lab, &older), Replace::All);
    let kept = lab.folder.path().join("history");
    let (mut with_functions, mut gaps) = (0, 0);
    for file in FILES {
        let object = Path::new(file).with_extension("o");
        let side = |side: &str| kept.join(side).join(&object);
        // The newer source was patched to be the older one.
        let (before, after) = (side("patched"), side("orig"));
        if !before.exists() {
            eprintln!("{file} is the same in both");
            continue;
        }
        let compared = lab.objtool().compare(&before, &after, &lab.new_folder());
        let sets = Sets::of(&before, &after, compared.unwrap());
        assert_eq!(sets.ours, sets.theirs_without_gaps(), "{file}");
        for (function, reason) in &sets.gaps {
            eprintln!("{file}: only klp sees {function}: {reason:?}");
        }
        gaps += sets.gaps.len();
        with_functions += usize::from(sets.ours != Functions::default());
    }
    eprintln!("{with_functions} changes of functions, {gaps} functions that only klp sees");
    assert!(with_functions >= LEAST, "{with_functions}");
}
