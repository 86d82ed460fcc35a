//! Patches of real source that must be refused.

use klp_cases::Edit;
use livepatch::Replace;

use crate::Lab;

#[test]
fn each_change_that_cannot_be_livepatched_is_refused_with_its_reason() {
    let Some(lab) = Lab::open() else {
        return;
    };
    let edit = |file, find, replace| Edit {
        file,
        find,
        replace,
    };
    let cases = [
        (
            "init",
            vec![edit(
                "fs/proc/cmdline.c",
                "pde->size = saved_command_line_len + 1;",
                "pde->size = saved_command_line_len + 2;",
            )],
            vec!["proc_cmdline_init", "gone since"],
        ),
        (
            "data",
            vec![edit(
                "drivers/block/loop.c",
                "static int hw_queue_depth = LOOP_DEFAULT_HW_Q_DEPTH;",
                "static int hw_queue_depth = 77;",
            )],
            vec!["hw_queue_depth", "initial contents changed"],
        ),
        (
            "notrace",
            vec![edit(
                "fs/proc/version.c",
                "static int version_proc_show(struct seq_file *m, void *v)\n{",
                "static notrace int version_proc_show(struct seq_file *m, void *v)\n{\n\tseq_puts(m, \"x\");",
            )],
            vec!["version_proc_show", "tracer"],
        ),
        (
            "included-file",
            vec![edit(
                "kernel/sched/cpudeadline.c",
                "int cpudl_find(",
                "int klp_probe(void);\nint klp_probe(void)\n{\n\treturn 3;\n}\n\nint cpudl_find(",
            )],
            vec!["cpudeadline.c", "nothing in vmlinux was compiled from it"],
        ),
        (
            "path",
            vec![
                edit("lib/argv_split.c", "argv_free", "argv_gone"),
                edit("fs/proc/internal.h", "proc_", "prox_"),
                edit("arch/x86/entry/entry_64.S", "SYM_", "SYN_"),
            ],
            vec!["lib/argv_split.c", "fs/proc/internal.h", "entry_64.S"],
        ),
        (
            "constant-of-the-kernel",
            vec![edit(
                "fs/dcache.c",
                "hlist_bl_add_head_rcu(&entry->d_hash, b);",
                "barrier();\n\thlist_bl_add_head_rcu(&entry->d_hash, b);\n\tbarrier();\n\tentry->d_time++;",
            )],
            vec!["__d_rehash", "runtime_shift_d_hash_shift"],
        ),
    ];
    for (name, edits, words) in cases {
        let (built, module) = lab.build(name, &edits, Replace::All);
        assert!(!module.exists(), "{name}");
        let told: Vec<String> = built.refusals.iter().map(ToString::to_string).collect();
        for word in words {
            assert!(
                told.iter().any(|text| text.contains(word)),
                "{name}: {word}: {told:#?}"
            );
        }
    }
}
