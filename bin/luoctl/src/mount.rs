//! `luoctl mount`: mounted trees.

use std::fs::File;
use std::os::unix::process::CommandExt as _;
use std::path::Path;
use std::process::{Command, ExitCode};

use mounts::{
    AttributeFlags, Create, DetachedMount, FsContext, MountAttributes, MountError, MountInfo,
    Param, Reach, Reuse, SwitchError, UpgradeError, switch_root, upgrade,
};
use rustix::fs::{
    AtFlags, FileType, Mode, OFlags, ResolveFlags, StatxFlags, fstat, open, openat2, statx,
};
use rustix::io::Errno;
use serde_json::{Value, json};

use crate::cli::{Cli, MountCommand, SwitchRootArgs, UpgradeArgs};
use crate::failure::{Failure, chain};
use crate::output::{self, Layout};

/// Options of a mount, not of its file system.
const ATTRIBUTES: [(&str, AttributeFlags); 4] = [
    ("ro", AttributeFlags::RDONLY),
    ("nosuid", AttributeFlags::NOSUID),
    ("nodev", AttributeFlags::NODEV),
    ("noexec", AttributeFlags::NOEXEC),
];

pub(crate) fn mount(cli: &Cli, command: &MountCommand) -> Result<ExitCode, Failure> {
    match command {
        MountCommand::Upgrade(args) => upgrade_tree(cli, args),
        MountCommand::SwitchRoot(args) => become_init(args),
    }
}

/// Does not come back when all goes well.
fn become_init(args: &SwitchRootArgs) -> Result<ExitCode, Failure> {
    let Some((init, words)) = args.init.split_first() else {
        return Ok(ExitCode::SUCCESS);
    };
    // Before anything is moved: an initramfs that has lost its root and has no program to become cannot be helped.
    runnable(&args.new, init.as_ref()).map_err(|errno| {
        let what = format!("{} in {}", init.display(), args.new.display());
        let error = std::io::Error::from(errno);
        let message = format!("failed to find the program {what}: {error}");
        Failure {
            message,
            ..failure(&error, 16, "the root is what it was")
        }
    })?;
    switch_root(&args.new, &args.along).map_err(|error| match &error {
        SwitchError::Mount(inner) => refused(&error, inner),
        _ => failure(
            &error,
            16,
            "the root is what it was, unless it says otherwise",
        ),
    })?;
    let error = Command::new(init).args(words).exec();
    let hint = "the root is switched, and this program could not become its init";
    Err(failure(&error, 16, hint))
}

/// Whether there is a program in the new root; its links lead to places in it.
fn runnable(new: &Path, init: &Path) -> Result<(), Errno> {
    let flags = OFlags::PATH | OFlags::CLOEXEC;
    let root = open(new, flags | OFlags::DIRECTORY, Mode::empty())?;
    let file = openat2(&root, init, flags, Mode::empty(), ResolveFlags::IN_ROOT)?;
    let mode = fstat(&file)?.st_mode;
    let is_program = FileType::from_raw_mode(mode) == FileType::RegularFile;
    if is_program && mode & 0o111 != 0 {
        Ok(())
    } else {
        Err(Errno::ACCESS)
    }
}

fn upgrade_tree(cli: &Cli, args: &UpgradeArgs) -> Result<ExitCode, Failure> {
    let new = new_tree(args).map_err(|error| refused(&error, &error))?;
    let judge = |root: &File| expected(root, args.expect.as_deref());
    let done = upgrade(&args.old, &new, &judge);
    let done = done.map_err(|error| match &error {
        UpgradeError::Mount(inner) => refused(&error, inner),
        _ => failure(
            &error,
            16,
            "left what was mounted as it was, unless it says otherwise",
        ),
    })?;
    if cli.json {
        let value = json!({ "old": described(&done.old), "new": described(&done.new) });
        output::json(&value, Layout::Indented);
    } else {
        let (old, new) = (words(&done.old), words(&done.new));
        output::text(&format!(
            "{}: {old} is replaced by {new}",
            args.old.display()
        ));
    }
    Ok(ExitCode::SUCCESS)
}

fn failure(error: &dyn std::error::Error, exit_code: u8, hint: &str) -> Failure {
    Failure {
        exit_code,
        kind: "Mount",
        message: format!("failed to {}", chain(error)),
        hint: hint.to_owned(),
    }
}

/// A call that failed: nothing was attached, or it is still beneath.
fn refused(error: &dyn std::error::Error, cause: &MountError) -> Failure {
    match cause.errno {
        Errno::PERM | Errno::ACCESS => failure(error, 4, "run luoctl as root"),
        _ => failure(error, 16, "what was mounted is mounted still"),
    }
}

/// What is to be seen, which nobody sees yet.
fn new_tree(args: &UpgradeArgs) -> Result<DetachedMount, MountError> {
    let Some(fs_type) = &args.fs_type else {
        return DetachedMount::clone_of(&args.new, Reach::Tree, MountAttributes::default());
    };
    let context = FsContext::<Create>::open(fs_type)?;
    context.set("source", Param::String(&args.new.to_string_lossy()))?;
    let mut set = AttributeFlags::empty();
    for option in &args.options {
        let attribute = ATTRIBUTES.iter().find(|(name, _)| name == option);
        set |= attribute.map_or(AttributeFlags::empty(), |(_, flag)| *flag);
        match option.split_once('=') {
            Some((key, value)) => context.set(key, Param::String(value))?,
            // A device that is only read must be opened so.
            None if attribute.is_none() || option == "ro" => context.set(option, Param::Flag)?,
            None => {}
        }
    }
    let (mount, _context) = context.create(Reuse::Refuse)?.mount()?;
    let attributes = MountAttributes {
        set,
        ..MountAttributes::default()
    };
    if !set.is_empty() {
        mount.set_attributes(Reach::One, attributes)?;
    }
    Ok(mount)
}

/// Whether a tree has what it must have.
fn expected(root: &File, expect: Option<&Path>) -> Result<(), String> {
    let Some(path) = expect else { return Ok(()) };
    // From the root of the tree, wherever that is.
    let relative = path.strip_prefix("/").unwrap_or(path);
    let found = statx(root, relative, AtFlags::SYMLINK_NOFOLLOW, StatxFlags::TYPE);
    match found {
        Ok(_) => Ok(()),
        Err(errno) => Err(format!("{} in it: {errno}", relative.display())),
    }
}

fn described(mount: &MountInfo) -> Value {
    json!({
        "id": mount.id.number(),
        "type": mount.fs_type,
        "source": mount.source,
        "root": mount.root,
        "mount_point": mount.mount_point,
        "options": mount.options,
    })
}

fn words(mount: &MountInfo) -> String {
    let text = |text: &Option<String>| text.clone().unwrap_or_else(|| "?".to_owned());
    let (kind, source, root) = (&mount.fs_type, &mount.source, &mount.root);
    let id = mount.id.number();
    format!(
        "{} of {}, {} (mount {id})",
        text(kind),
        text(source),
        text(root)
    )
}
