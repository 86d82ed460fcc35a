//! What `objtool klp` of 7.3 does wrong without a word, on real source: each patch is built by both, and what comes of it is
//! seen in one guest. (The first gap, a switch that became a table, is a case of `cases`.)

use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::SystemTime;

use klp_cases::{Answers, Edit, Guest, Outcome, Verdict};
use livepatch::{Built, Replace};

use crate::sets::Sets;
use crate::{Lab, disable, enable, is_untroubled};

/// G2: what 32-bit programs are told the machine is, a constant that has no name since there are zeroes in it. All that
/// copies it in this kernel are bodies of system calls, which the tracer does not reach.
const UNNAMED_DATA: [Edit; 1] = [Edit {
    file: "kernel/sys.c",
    find: "#ifdef COMPAT_UTS_MACHINE\n",
    replace: "#ifdef COMPAT_UTS_MACHINE\n#undef COMPAT_UTS_MACHINE\n#define COMPAT_UTS_MACHINE \"i586\\0\\0\"\n",
}];

/// The same as a livepatch can do it: the body is not `notrace`, and unnamed data goes along.
const UNNAMED_DATA_COPIED: [Edit; 2] = [
    Edit {
        file: "kernel/sys.c",
        find: "SYSCALL_DEFINE1(newuname,",
        replace: "#include <linux/livepatch_helpers.h>\nKLP_SYSCALL_DEFINE1(newuname,",
    },
    Edit {
        file: "kernel/sys.c",
        find: "if (override_architecture(name))",
        replace: "if (copy_to_user(name->machine, \"i586\\0\\0\", sizeof(\"i586\\0\\0\")))",
    },
];

/// G3: two slots of the table of a switch are exchanged whose targets begin with the same instruction: what the escape
/// sequences "right by" and "to column" of a terminal do.
const JUMP_TABLE: [Edit; 2] = [
    Edit {
        file: "drivers/tty/vt/vt.c",
        find: "\tcase 'G':\n\tcase '`':\n",
        replace: "\tcase 'G':\n\tcase 'a':\n",
    },
    Edit {
        file: "drivers/tty/vt/vt.c",
        find: "\tcase 'C':\n\tcase 'a':\n",
        replace: "\tcase 'C':\n\tcase '`':\n",
    },
];

/// G5: the body of a system call, which has no call of the tracer.
const NOT_TRACED: [Edit; 1] = [Edit {
    file: "kernel/sys.c",
    find: "\tif (override_release(name->release, sizeof(name->release)))",
    replace: "\ttmp.domainname[0] = 'x';\n\tif (override_release(name->release, sizeof(name->release)))",
}];

/// G6: the static variable of one function goes, and another function gets one of its name.
const OTHER_FUNCTIONS: [Edit; 3] = [
    Edit {
        file: "fs/drop_caches.c",
        find: "{\n\tstruct inode *inode, *toput_inode = NULL;\n",
        replace: "{\n\tstatic int stfu;\n\tstruct inode *inode, *toput_inode = NULL;\n\n\tpr_emerg(\"stfu is %d\\n\", stfu++);\n",
    },
    Edit {
        file: "fs/drop_caches.c",
        find: "\t\tstatic int stfu;\n\n",
        replace: "",
    },
    Edit {
        file: "fs/drop_caches.c",
        find: "\t\tif (!stfu) {\n\t\t\tpr_info(\"%s (%d): drop_caches: %d\\n\",\n\t\t\t\tcurrent->comm, task_pid_nr(current),\n\
               \t\t\t\tsysctl_drop_caches);\n\t\t}\n\t\tstfu |= sysctl_drop_caches & 4;\n",
        replace: "",
    },
];

/// G7: another function gets a static variable of the name of one that has state, and its function changes, too.
const STATE: [Edit; 2] = [
    Edit {
        file: "fs/drop_caches.c",
        find: "{\n\tstruct inode *inode, *toput_inode = NULL;\n",
        replace: "{\n\tstatic int stfu;\n\tstruct inode *inode, *toput_inode = NULL;\n\n\tif (stfu++ < 0)\n\t\treturn;\n",
    },
    Edit {
        file: "fs/drop_caches.c",
        find: "\t\tstatic int stfu;\n\n",
        replace: "\t\tstatic int stfu;\n\n\t\tif (stfu)\n\t\t\treturn -EALREADY;\n",
    },
];

const DROP: &str = "put 1 /proc/sys/vm/drop_caches";
/// The screen is cleared, the cursor is in the sixth column; then it goes three to the right, or to the third.
const RIGHT: &str = "put \x1b[2J\x1b[H12345\x1b[3aX /dev/tty1";
const SCREEN: &str = "show /dev/vcs1";

/// What both tools made of one patch.
struct Pair {
    name: &'static str,
    ours: Built,
    module: PathBuf,
    theirs: Verdict,
    /// Before and after.
    sides: [PathBuf; 2],
}

impl Pair {
    fn of(lab: &Lab, name: &'static str, edits: &[Edit]) -> Self {
        let (ours, module) = lab.build(name, edits, Replace::All);
        let kept = lab.folder.path().join(name);
        let sides = ["orig", "patched"].map(|side| kept.join(format!("vmlinux.{side}.o")));
        let [before, after] = &sides;
        let theirs = lab.objtool().compare(before, after, &lab.new_folder());
        Self {
            name,
            ours,
            module,
            theirs: theirs.unwrap(),
            sides,
        }
    }

    /// A module was built that replaces these.
    fn is_built(&self, functions: &[&str]) {
        assert!(self.ours.refusals.is_empty(), "{:#?}", self.ours.refusals);
        let mut replaced = self.ours.functions["vmlinux"].clone();
        replaced.sort();
        assert_eq!(replaced, functions, "{}", self.name);
    }

    /// There is no module, and the reason names these words.
    fn is_refused(&self, words: &[&str]) {
        assert!(!self.module.exists());
        let told: Vec<String> = self.ours.refusals.iter().map(ToString::to_string).collect();
        for word in words {
            assert!(told.iter().any(|it| it.contains(word)), "{word}: {told:#?}");
        }
    }

    /// These functions changed, and `objtool` ends well, says nothing, and makes nothing.
    fn is_missed(&self, functions: &[&str]) {
        let sets = Sets::of(&self.sides[0], &self.sides[1], self.theirs.clone());
        let gaps: Vec<&str> = sets.gaps.keys().map(String::as_str).collect();
        assert_eq!(gaps, functions, "{}", self.name);
        assert_eq!(sets.ours, sets.theirs_without_gaps(), "{}", self.name);
        let missed = Verdict {
            changed: [].into(),
            new: [].into(),
            outcome: Outcome::Nothing,
            said: String::new(),
        };
        assert_eq!(self.theirs, missed, "{}", self.name);
    }

    /// The module that `scripts/livepatch/klp-build` would make of what `objtool` wrote.
    fn their_module(&self, lab: &Lab) -> PathBuf {
        let Outcome::Object(object) = &self.theirs.outcome else {
            panic!("{}: {:?}", self.name, self.theirs);
        };
        module_of(lab, object, &format!("theirs-{}", self.name))
    }
}

/// Links a module of the object of a change, in the tree that `klp build` prepared.
fn module_of(lab: &Lab, object: &Path, name: &str) -> PathBuf {
    let trees = fs::read_dir(lab.kernel.folder.join("klp")).unwrap();
    let used = |tree: &PathBuf| -> SystemTime {
        let lock = fs::metadata(tree.join("lock"));
        lock.and_then(|lock| lock.modified()).unwrap()
    };
    let tree = trees.map(|entry| entry.unwrap().path()).max_by_key(used);
    let tree = tree.unwrap();
    let lock = File::open(tree.join("lock")).unwrap();
    lock.lock().unwrap();
    let folder = lab.new_folder();
    let init = tree.join("source/scripts/livepatch/init.c");
    fs::copy(init, folder.join("init.c")).unwrap();
    fs::copy(object, folder.join("diff.o")).unwrap();
    fs::copy(object, folder.join("diff.o_shipped")).unwrap();
    fs::write(folder.join(".diff.o.cmd"), "").unwrap();
    let makefile = format!("obj-m := {name}.o\n{name}-y := init.o diff.o\n");
    fs::write(folder.join("Kbuild"), makefile).unwrap();
    let output = Command::new("make")
        .arg("-C")
        .arg(tree.join("source"))
        .arg(format!("O={}", tree.join("output").display()))
        .arg(format!("M={}", folder.display()))
        .args([
            "-s",
            "KCFLAGS=-ffunction-sections -fdata-sections",
            "modules",
        ])
        .output()
        .unwrap();
    assert!(output.status.success(), "{output:?}");
    let module = format!("{name}.ko");
    let finished = lab.objtool().run(&folder, &["post-link", &module]).unwrap();
    assert!(finished.status.success(), "{finished:?}");
    folder.join(module)
}

/// Tries a step with a livepatch.
fn with(guest: &mut Guest, module: &Path, name: &str, steps: &[&str]) {
    enable(guest, module);
    for step in steps {
        guest.step(*step);
    }
    disable(guest, name);
}

#[test]
fn what_objtool_gets_wrong_is_built_right_or_refused() {
    let Some(lab) = Lab::open() else {
        return;
    };
    let unnamed = Pair::of(&lab, "unnamed-data", &UNNAMED_DATA);
    unnamed.is_refused(&["__do_sys_newuname: it does not begin with a call of the tracer"]);
    unnamed.is_missed(&["__do_sys_newuname", "__do_sys_uname", "__x64_sys_olduname"]);
    let copied = Pair::of(&lab, "unnamed-data-copied", &UNNAMED_DATA_COPIED);
    copied.is_built(&["__x64_sys_newuname"]);
    let table = Pair::of(&lab, "slots", &JUMP_TABLE);
    table.is_built(&["csi_ECMA.constprop.0"]);
    table.is_missed(&["csi_ECMA.constprop.0"]);
    let not_traced = Pair::of(&lab, "not-traced", &NOT_TRACED);
    not_traced.is_refused(&["__do_sys_newuname: it does not begin with a call of the tracer"]);
    let functions = ["drop_caches_sysctl_handler", "drop_pagecache_sb"];
    let other = Pair::of(&lab, "other-function", &OTHER_FUNCTIONS);
    other.is_built(&functions);
    let state = Pair::of(&lab, "state", &STATE);
    state.is_built(&functions);

    let mut guest = Guest::default();
    guest.step("machine");
    with(&mut guest, &copied.module, copied.name, &["machine"]);
    guest.step("machine");

    for step in [RIGHT, SCREEN] {
        guest.step(step);
    }
    with(&mut guest, &table.module, table.name, &[RIGHT, SCREEN]);
    for step in [RIGHT, SCREEN] {
        guest.step(step);
    }

    let refused = guest.module(&not_traced.their_module(&lab));
    guest.step(format!("load {refused}"));

    // From now on the kernel says nothing when caches are dropped: that is the state.
    guest.step("put 4 /proc/sys/vm/drop_caches");
    with(&mut guest, &state.module, state.name, &[DROP]);
    let theirs = state.their_module(&lab);
    with(&mut guest, &theirs, "theirs-state", &[DROP]);
    with(&mut guest, &other.module, other.name, &[DROP]);
    let theirs = other.their_module(&lab);
    with(&mut guest, &theirs, "theirs-other-function", &[DROP]);

    let answers = lab.boot(guest);
    is_untroubled(&answers);
    let all = |step: &str| answers.to(step).collect::<Vec<String>>();
    assert_eq!(all("machine"), ["x86_64", "i586", "x86_64"]);
    assert_eq!(all(SCREEN), ["12345   X", "12X45", "12345   X"]);
    let refusal = all(&format!("load {refused}"));
    assert!(refusal[0].starts_with("error: "), "{refusal:?}");
    let why = "failed to find location for function '__do_sys_newuname'";
    assert!(answers.console.contains(why), "{}", answers.console);
    // The state is kept by ours, and lost by objtool's.
    let [ours, theirs, ..] = &all(DROP)[..] else {
        panic!("{}", answers.console);
    };
    assert!(ours.contains("Operation already in progress"), "{ours}");
    assert_eq!(theirs, "ok");
    // A new variable begins with nothing; objtool takes the other function's.
    assert_eq!(first_values(&answers), [0, 4], "{}", answers.console);
}

/// What the new variable was when caches were dropped for the first time with each livepatch that tells.
fn first_values(answers: &Answers) -> Vec<i32> {
    let asked = format!("@ > {DROP}");
    let drops = answers.console.split(&asked).skip(1);
    let told = drops.filter_map(|text| text.lines().find_map(|line| line.split_once("stfu is ")));
    told.map(|(_, value)| value.trim().parse().unwrap())
        .collect()
}
