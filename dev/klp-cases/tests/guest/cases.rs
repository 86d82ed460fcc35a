//! Patches that are loaded, and what changes.

use klp_cases::{Edit, Guest};
use livepatch::Replace;

use crate::{Lab, disable, enable, is_quiet, is_untroubled};

/// A patch with one place where it is seen.
pub(crate) struct Case {
    pub(crate) name: &'static str,
    pub(crate) edits: &'static [Edit],
    /// Functions that must be replaced, and no others.
    functions: &'static [&'static str],
    /// File of the guest in which it is seen.
    seen_in: &'static str,
    /// What is in the file with the patch only.
    seen: &'static str,
}

pub(crate) const CASES: [Case; 13] = [
    // New static variable, new strings; the variable of the kernel that it prints is not exported.
    Case {
        name: "static-variable",
        edits: &[Edit {
            file: "fs/proc/cmdline.c",
            find: "seq_puts(m, saved_command_line);",
            replace: "static int calls; seq_printf(m, \"%s calls=%d\", saved_command_line, ++calls);",
        }],
        functions: &["cmdline_proc_show"],
        seen_in: "/proc/cmdline",
        seen: "calls=1",
    },
    // A new function, and a warning with its entry in the table of bugs, which is not reached.
    Case {
        name: "new-function",
        edits: &[Edit {
            file: "fs/proc/version.c",
            find: "static int version_proc_show(struct seq_file *m, void *v)\n{",
            replace: "static noinline void told(struct seq_file *m, int n)\n{\n\tWARN_ONCE(n < 0, \"below\");\n\
                      \tseq_printf(m, \"told %d\\n\", n);\n}\n\n\
                      static int version_proc_show(struct seq_file *m, void *v)\n{\n\ttold(m, (int)m->count + 7);",
        }],
        functions: &["version_proc_show"],
        seen_in: "/proc/version",
        seen: "told 7",
    },
    // Alternatives (population count), and static functions and variables of another file.
    Case {
        name: "alternatives",
        edits: &[
            Edit {
                file: "fs/proc/meminfo.c",
                find: "show_val_kb(m, \"MemTotal:       \", i.totalram);",
                replace: "show_val_kb(m, \"MemTotal:       \", i.totalram);\n\tseq_printf(m, \"Bits: %u\\n\", hweight64(0xff00 + v_of(m)));",
            },
            Edit {
                file: "fs/proc/meminfo.c",
                find: "static int meminfo_proc_show(",
                replace: "static unsigned long v_of(struct seq_file *m)\n{\n\treturn m->count == 1 ? 1 : 0;\n}\n\nstatic int meminfo_proc_show(",
            },
        ],
        functions: &["meminfo_proc_show"],
        seen_in: "/proc/meminfo",
        seen: "Bits: 8",
    },
    // Per-CPU data of the kernel, and a division.
    Case {
        name: "per-cpu",
        edits: &[Edit {
            file: "fs/proc/uptime.c",
            find: "\"%lu.%02lu %lu.%02lu\\n\"",
            replace: "\"up %lu.%02lu %lu.%02lu\\n\"",
        }],
        functions: &["uptime_proc_show"],
        seen_in: "/proc/uptime",
        seen: "up ",
    },
    // The table that a switch was turned into (G1): no instruction changes.
    Case {
        name: "switch-table",
        edits: &[Edit {
            file: "kernel/module/main.c",
            find: "state = \"live\";",
            replace: "state = \"alive\";",
        }],
        functions: &["show_initstate"],
        seen_in: "/sys/module/static_variable/initstate",
        seen: "alive",
    },
    // A static key of the kernel.
    Case {
        name: "static-key",
        edits: &[Edit {
            file: "kernel/cpu.c",
            find: "sysfs_emit(buf, \"%d\\n\", sched_smt_active());",
            replace: "sysfs_emit(buf, \"smt %d\\n\", sched_smt_active());",
        }],
        functions: &["active_show"],
        seen_in: "/sys/devices/system/cpu/smt/active",
        seen: "smt 0",
    },
    // A constant that the kernel writes into its instructions while it starts: the cache that names are from. Every path
    // that is opened goes through it.
    Case {
        name: "runtime-constant",
        edits: &[Edit {
            file: "fs/namei.c",
            find: "\tinitname(result);\n\tif (likely(!incomplete))",
            replace: "\tif (len == 9 && !memcmp(kname, \"/livepatc\", 9))\n\t\tkname[1] = 's', memcpy(kname + 1, \"steps\", 6);\n\
                      \tinitname(result);\n\tif (likely(!incomplete))",
        }],
        functions: &["do_getname.constprop.0"],
        seen_in: "/livepatc",
        seen: "settle",
    },
    // Initialiser of a local array (G2).
    Case {
        name: "initialiser",
        edits: &[Edit {
            file: "fs/proc/loadavg.c",
            find: "seq_printf(m, \"%lu.%02lu",
            replace: "static const char *const words[] = { \"zero\", \"one\", \"two\" };\n\
                      \tseq_printf(m, \"%s \", words[v == NULL ? 0 : 1]);\n\tseq_printf(m, \"%lu.%02lu",
        }],
        functions: &["loadavg_proc_show"],
        seen_in: "/proc/loadavg",
        seen: "one ",
    },
    // A table of jumps, and a function that others of its file are built into.
    Case {
        name: "jump-table",
        edits: &[Edit {
            file: "fs/proc/array.c",
            find: "\tseq_puts(m, \"Name:\\t\");",
            replace: "\tseq_puts(m, \"Livepatched:\\tyes\\n\");\n\tseq_puts(m, \"Name:\\t\");",
        }],
        functions: &["proc_pid_status"],
        seen_in: "/proc/self/status",
        seen: "Livepatched:\tyes",
    },
    // Locked lists of the kernel and read-copy-update.
    Case {
        name: "locked-list",
        edits: &[Edit {
            file: "kernel/module/procfs.c",
            find: "seq_printf(m, \"%s %u\", mod->name, size);",
            replace: "seq_printf(m, \"%s:%u\", mod->name, size);",
        }],
        functions: &["m_show"],
        seen_in: "/proc/modules",
        seen: "locked_list:",
    },
    // Functions of other files that nobody exports.
    Case {
        name: "not-exported",
        edits: &[Edit {
            file: "fs/proc/devices.c",
            find: "Character devices:",
            replace: "Devices of characters:",
        }],
        functions: &["devinfo_show"],
        seen_in: "/proc/devices",
        seen: "Devices of characters:",
    },
    // Statistics of each processor.
    Case {
        name: "statistics",
        edits: &[Edit {
            file: "fs/proc/softirqs.c",
            find: "seq_puts(p, \"                    \");",
            replace: "seq_puts(p, \"soft                \");",
        }],
        functions: &["show_softirqs"],
        seen_in: "/proc/softirqs",
        seen: "soft  ",
    },
    // Features of the processor, tested by alternatives.
    Case {
        name: "cpu-features",
        edits: &[Edit {
            file: "arch/x86/kernel/cpu/proc.c",
            find: "\"processor\\t: %u\\n\"",
            replace: "\"number\\t\\t: %u\\n\"",
        }],
        functions: &["show_cpuinfo"],
        seen_in: "/proc/cpuinfo",
        seen: "number\t\t: 0",
    },
];

#[test]
fn each_patch_acts_until_it_is_taken_back() {
    let Some(lab) = Lab::open() else {
        return;
    };
    let mut guest = Guest::default();
    // One livepatch stays: its own state is what another patch changes the words for.
    for case in &CASES {
        let (built, module) = lab.build(case.name, case.edits, Replace::None);
        assert!(
            built.refusals.is_empty(),
            "{}: {:#?}",
            case.name,
            built.refusals
        );
        let functions = &built.functions["vmlinux"];
        assert_eq!(functions, case.functions, "{}", case.name);
        guest.step(format!("show {}", case.seen_in));
        enable(&mut guest, &module);
        guest.step(format!("show {}", case.seen_in));
    }
    for case in CASES.iter().rev() {
        disable(&mut guest, case.name);
        guest.step(format!("show {}", case.seen_in));
    }
    let answers = lab.boot(guest);
    is_untroubled(&answers);
    for case in &CASES {
        let step = format!("show {}", case.seen_in);
        let seen: Vec<String> = answers.to(&step).collect();
        let [before, patched, restored] = &seen[..] else {
            panic!("{}: {seen:?}", case.name);
        };
        assert!(!before.contains(case.seen), "{}: {before}", case.name);
        assert!(
            patched.contains(case.seen),
            "{}: {patched}\n{}",
            case.name,
            answers.console
        );
        assert!(!restored.contains(case.seen), "{}: {restored}", case.name);
    }
}

/// A later livepatch replaces an earlier one: what the earlier did is gone, and so is the earlier.
#[test]
fn a_cumulative_patch_replaces_those_before_it() {
    let Some(lab) = Lab::open() else {
        return;
    };
    let first = CASES[0].edits;
    let second = CASES[3].edits;
    let (_, one) = lab.build("chain-one", first, Replace::All);
    let both = [first, second].concat();
    let (built, two) = lab.build("chain-two", &both, Replace::All);
    assert_eq!(built.functions["vmlinux"].len(), 2);
    let (_, three) = lab.build("chain-three", second, Replace::All);
    let mut guest = Guest::default();
    for module in [&one, &two, &three] {
        enable(&mut guest, module);
        guest.step("show /proc/cmdline");
        guest.step("show /proc/uptime");
    }
    guest.step("unload chain_one");
    guest.step("unload chain_two");
    disable(&mut guest, "chain-three");
    guest.step("show /proc/cmdline");
    guest.step("show /proc/uptime");
    let answers = lab.boot(guest);
    is_quiet(&answers);
    let has = |step: &str, word: &str| -> Vec<bool> {
        answers.to(step).map(|text| text.contains(word)).collect()
    };
    assert_eq!(
        has("show /proc/cmdline", "calls="),
        [true, true, false, false]
    );
    assert_eq!(has("show /proc/uptime", "up "), [false, true, true, false]);
}

/// A module that is loaded after the livepatch is patched while it is loaded.
#[test]
fn a_module_is_patched_when_it_comes() {
    let Some(lab) = Lab::open() else {
        return;
    };
    let edits = [
        Edit {
            file: "drivers/block/loop.c",
            find: "\thw_queue_depth = qd;",
            replace: "\thw_queue_depth = qd + 1000;",
        },
        Edit {
            file: "fs/proc/version.c",
            find: "seq_printf(m, linux_proc_banner,",
            replace: "seq_puts(m, \"patched \");\n\tseq_printf(m, linux_proc_banner,",
        },
    ];
    let (built, module) = lab.build("late-module", &edits, Replace::All);
    assert!(built.refusals.is_empty(), "{:#?}", built.refusals);
    assert_eq!(built.functions["loop"], ["loop_set_hw_queue_depth"]);
    assert_eq!(built.functions["vmlinux"], ["version_proc_show"]);
    let depth = "/sys/module/loop/parameters/hw_queue_depth";
    let mut guest = Guest::default();
    enable(&mut guest, &module);
    let target = guest.module(&lab.module("drivers/block/loop.ko"));
    guest.step(format!("load {target} hw_queue_depth=5"));
    guest.step("show /proc/version");
    guest.step(format!("show {depth}"));
    disable(&mut guest, "late-module");
    guest.step("unload loop");
    guest.step(format!("load {target} hw_queue_depth=5"));
    guest.step(format!("show {depth}"));
    guest.step("show /proc/version");
    let answers = lab.boot(guest);
    is_quiet(&answers);
    let depths: Vec<String> = answers.to(&format!("show {depth}")).collect();
    assert_eq!(depths, ["1005", "5"], "{}", answers.console);
    let versions: Vec<bool> = answers
        .to("show /proc/version")
        .map(|text| text.starts_with("patched "))
        .collect();
    assert_eq!(versions, [true, false]);
}

/// A header and a C file that another includes change objects that the patch does not name: those are found and compiled.
#[test]
fn what_reads_a_changed_header_is_patched() {
    let Some(lab) = Lab::open() else {
        return;
    };
    let edits = [
        Edit {
            file: "include/linux/sched/loadavg.h",
            find: "#define LOAD_INT(x) ((x) >> FSHIFT)",
            replace: "#define LOAD_INT(x) (((x) >> FSHIFT) + 70)",
        },
        // Included by kernel/sched/build_utility.c.
        Edit {
            file: "kernel/sched/loadavg.c",
            find: "\tloads[0] = (avenrun[0] + offset) << shift;",
            replace: "\tloads[0] = (avenrun[0] + offset + (7 << FSHIFT)) << shift;",
        },
    ];
    let (built, module) = lab.build("header", &edits, Replace::All);
    assert!(built.refusals.is_empty(), "{:#?}", built.refusals);
    let mut functions = built.functions["vmlinux"].clone();
    functions.sort();
    assert_eq!(functions, ["get_avenrun", "loadavg_proc_show"]);
    let mut guest = Guest::default();
    guest.step("show /proc/loadavg");
    enable(&mut guest, &module);
    guest.step("show /proc/loadavg");
    disable(&mut guest, "header");
    guest.step("show /proc/loadavg");
    let answers = lab.boot(guest);
    is_quiet(&answers);
    let loads = answers.to("show /proc/loadavg");
    let loads: Vec<u32> = loads
        .map(|text| text.split('.').next().unwrap().parse().unwrap())
        .collect();
    let [before, patched, restored] = loads[..] else {
        panic!("{}", answers.console);
    };
    // The guest is seconds old: there may be a load, but no such.
    assert!(before < 7 && restored < 7, "{loads:?}");
    assert!((77..84).contains(&patched), "{loads:?}");
}

/// A new function of one file is called from another, and callbacks run around the patch.
#[test]
fn files_of_one_patch_share_functions_and_callbacks_run() {
    let Some(lab) = Lab::open() else {
        return;
    };
    let edits = [
        Edit {
            file: "fs/proc/uptime.c",
            find: "static int uptime_proc_show(struct seq_file *m, void *v)\n{",
            replace: "int shared_words(struct seq_file *m);\nnoinline int shared_words(struct seq_file *m)\n{\n\
                      \tstatic int calls;\n\n\tseq_printf(m, \"call %d \", ++calls);\n\treturn calls;\n}\n\n\
                      static int uptime_proc_show(struct seq_file *m, void *v)\n{\n\tint unused = shared_words(m);\n",
        },
        Edit {
            file: "fs/proc/loadavg.c",
            find: "static int loadavg_proc_show(struct seq_file *m, void *v)\n{",
            replace: "int shared_words(struct seq_file *m);\n\n\
                      static int loadavg_proc_show(struct seq_file *m, void *v)\n{\n\tint unused = shared_words(m);\n",
        },
        Edit {
            file: "fs/proc/version.c",
            find: "static int version_proc_show(struct seq_file *m, void *v)\n{",
            replace: "#include <linux/livepatch_helpers.h>\nstatic int told;\n\n\
                      static int before_patch(struct klp_object *object)\n{\n\ttold = 41;\n\treturn 0;\n}\n\
                      KLP_PRE_PATCH_CALLBACK(before_patch);\n\n\
                      static void after_patch(struct klp_object *object)\n{\n\ttold++;\n}\n\
                      KLP_POST_PATCH_CALLBACK(after_patch);\n\n\
                      static int version_proc_show(struct seq_file *m, void *v)\n{\n\tseq_printf(m, \"told %d \", told);\n",
        },
    ];
    let (built, module) = lab.build("shared", &edits, Replace::All);
    assert!(built.refusals.is_empty(), "{:#?}", built.refusals);
    let mut guest = Guest::default();
    enable(&mut guest, &module);
    for file in ["uptime", "loadavg", "version"] {
        guest.step(format!("show /proc/{file}"));
    }
    disable(&mut guest, "shared");
    guest.step("show /proc/version");
    let answers = lab.boot(guest);
    is_quiet(&answers);
    let first = |file: &str| answers.to(&format!("show /proc/{file}")).next().unwrap();
    assert!(
        first("uptime").starts_with("call 1 "),
        "{}",
        answers.console
    );
    assert!(
        first("loadavg").starts_with("call 2 "),
        "{}",
        answers.console
    );
    assert!(
        first("version").starts_with("told 42 Linux"),
        "{}",
        answers.console
    );
    let last = answers.to("show /proc/version").last().unwrap();
    assert!(last.starts_with("Linux"), "{last}");
}
