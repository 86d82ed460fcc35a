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
            "read-by-too-many",
            vec![edit(
                "include/linux/seq_file.h",
                "return m->count == m->size;",
                "return m->count >= m->size;",
            )],
            vec![
                "include/linux/seq_file.h: ",
                "objects may read it",
                "--max-readers",
            ],
        ),
        (
            "read-by-assembly",
            vec![edit(
                "arch/x86/entry/calling.h",
                ".macro PUSH_REGS",
                "/* */\n.macro PUSH_REGS",
            )],
            vec!["arch/x86/entry/entry_64.S: it reads a file of the patch"],
        ),
        (
            "path",
            vec![
                edit("lib/argv_split.c", "argv_free", "argv_gone"),
                edit("arch/x86/entry/entry_64.S", "SYM_", "SYN_"),
            ],
            vec!["lib/argv_split.c", "entry_64.S"],
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
