//! [`Kbuild`]: a prepared copy of a kernel tree, kept from one build to the next.

use std::collections::{BTreeMap, BTreeSet};
use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::thread;

use xxhash_rust::xxh3::xxh3_64;

use super::Objects;
use super::includes::{Includes, generated_headers};
use super::objects::{Unit, has_read, membership};
use super::work_tree::{Freshness, copy_of_links};
use crate::error::Error;

/// What gives each function and object a section of its own, as `scripts/livepatch/klp-build` has it (v7.3).
const FLAGS: &str = "-ffunction-sections -fdata-sections";

/// Variables of the environment that would change what is built.
const REMOVED: [&str; 6] = [
    "MAKEFLAGS",
    "MFLAGS",
    "MAKELEVEL",
    "O",
    "KBUILD_OUTPUT",
    "KCFLAGS",
];

/// Two builds of an object.
#[derive(Clone, Debug)]
pub(super) struct Pair {
    pub(super) before: PathBuf,
    pub(super) after: PathBuf,
}

impl Pair {
    /// Copies both into a folder.
    pub(super) fn keep(&self, name: &str, folder: &Path) -> Result<(), Error> {
        create(folder)?;
        copy(&self.before, &folder.join(format!("{name}.orig.o")))?;
        copy(&self.after, &folder.join(format!("{name}.patched.o")))
    }
}

/// Which build of an object.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Side {
    Original,
    Patched,
}

/// A prepared tree: its source, its output, and objects that were compiled of it.
#[derive(Debug)]
pub(super) struct Kbuild {
    folder: PathBuf,
    tree: PathBuf,
    /// Nobody else builds here meanwhile.
    _lock: File,
}

impl Kbuild {
    /// Opens the tree of this source, configuration and compiler; prepares it when it is new or has changed.
    pub(super) fn open(
        tree: &Path,
        config: &[u8],
        cache: &Path,
        prepare_fn: &mut dyn FnMut(),
    ) -> Result<Self, Error> {
        let tree = fs::canonicalize(tree).map_err(|source| Error::Read {
            path: tree.to_owned(),
            source,
        })?;
        let mut key = tree.as_os_str().as_encoded_bytes().to_vec();
        key.extend_from_slice(config);
        key.extend(compiler()?);
        let folder = cache.join(format!("{:016x}", xxh3_64(&key)));
        create(&folder)?;
        let kbuild = Self {
            _lock: locked(&folder.join("lock"))?,
            folder,
            tree,
        };
        let freshness = copy_of_links(&kbuild.tree, &kbuild.source())?;
        let ready = kbuild.folder.join("ready");
        if freshness == Freshness::Changed || !ready.exists() {
            prepare_fn();
            remove(&ready)?;
            remove(&kbuild.includes_file())?;
            remove_folder(&kbuild.objects_of(Side::Original))?;
            create(&kbuild.output())?;
            let path = kbuild.output().join(".config");
            fs::write(&path, config).map_err(|source| Error::Write { path, source })?;
            kbuild.make("prepare the tree", &["olddefconfig".to_owned()])?;
            kbuild.make("prepare the tree", &["modules_prepare".to_owned()])?;
            fs::write(&ready, "").map_err(|source| Error::Write {
                path: ready,
                source,
            })?;
        }
        Ok(kbuild)
    }

    /// The copy of the source.
    pub(super) fn source(&self) -> PathBuf {
        self.folder.join("source")
    }

    /// The tree that it is a copy of.
    pub(super) fn tree(&self) -> &Path {
        &self.tree
    }

    fn includes_file(&self) -> PathBuf {
        self.folder.join("includes")
    }

    /// Which files of the tree may include which: kept, since the whole tree has to be read for it.
    pub(super) fn includes(&self) -> Result<Includes, Error> {
        let (source, output) = (self.source(), self.output());
        let path = self.includes_file();
        let kept = fs::read_to_string(&path).ok();
        if let Some(includes) = kept.and_then(|text| Includes::parse(&text, &source, &output)) {
            return Ok(includes);
        }
        let includes = Includes::of(&source, &output)?;
        crate::write_whole(&path, includes.text().as_bytes())?;
        Ok(includes)
    }

    /// Checksums of the headers that the build makes.
    pub(super) fn generated(&self) -> Result<BTreeMap<String, u64>, Error> {
        let output = self.output();
        let mut found = BTreeMap::new();
        for name in generated_headers(&output)? {
            let path = output.join(&name);
            let bytes = fs::read(&path).map_err(|source| Error::Read { path, source })?;
            found.insert(name, xxh3_64(&bytes));
        }
        Ok(found)
    }

    /// Has the tree prepared anew by the next build.
    pub(super) fn spoil(&self) -> Result<(), Error> {
        remove(&self.folder.join("ready"))
    }

    /// Whether the compiler read one of these files when it last compiled a unit.
    pub(super) fn has_read(&self, unit: &Unit, files: &BTreeSet<String>) -> Result<bool, Error> {
        Ok(has_read(&self.command(unit)?, files))
    }

    fn command(&self, unit: &Unit) -> Result<String, Error> {
        let path = unit.command(&self.output());
        fs::read_to_string(&path).map_err(|source| Error::Read { path, source })
    }

    fn output(&self) -> PathBuf {
        self.folder.join("output")
    }

    fn objects_of(&self, side: Side) -> PathBuf {
        self.folder.join(match side {
            Side::Original => "original",
            Side::Patched => "patched",
        })
    }

    /// Units whose original object was not compiled yet.
    pub(super) fn missing_originals(&self, units: &[Unit]) -> Vec<Unit> {
        let folder = self.objects_of(Side::Original);
        let missing = units.iter().filter(|unit| !unit.object(&folder).exists());
        missing.cloned().collect()
    }

    pub(super) fn compile_originals(&self, units: &[Unit]) -> Result<(), Error> {
        self.compile(units, Side::Original)
    }

    pub(super) fn compile_patched(&self, units: &[Unit]) -> Result<(), Error> {
        self.compile(units, Side::Patched)
    }

    fn compile(&self, units: &[Unit], side: Side) -> Result<(), Error> {
        if units.is_empty() {
            return Ok(());
        }
        let output = self.output();
        for unit in units {
            // Whatever is there may be of the other side, and no time tells.
            remove(&unit.object(&output))?;
        }
        let mut arguments = vec![format!("KCFLAGS={FLAGS}")];
        arguments.extend(units.iter().map(Unit::target));
        let what = match side {
            Side::Original => "compile the original objects",
            Side::Patched => "compile the patched objects",
        };
        self.make(what, &arguments)?;
        for unit in units {
            let kept = unit.object(&self.objects_of(side));
            create(kept.parent().unwrap_or(&self.folder))?;
            copy(&unit.object(&output), &kept)?;
        }
        Ok(())
    }

    /// Which object of the kernel each unit is part of.
    pub(super) fn objects(&self, units: &[Unit]) -> Result<Objects, Error> {
        let mut objects: Objects = BTreeMap::new();
        for unit in units {
            let name = membership(&self.command(unit)?).ok_or_else(|| Error::Membership {
                object: unit.target(),
            })?;
            objects.entry(name).or_default().push(unit.clone());
        }
        Ok(objects)
    }

    /// Both builds of what a patch touches of an object, as one object each.
    pub(super) fn pair(&self, name: &str, units: &[Unit]) -> Result<Pair, Error> {
        let side = |side| -> Result<PathBuf, Error> {
            let folder = self.objects_of(side);
            let files: Vec<PathBuf> = units.iter().map(|unit| unit.object(&folder)).collect();
            if let [file] = files.as_slice() {
                return Ok(file.clone());
            }
            let joined = folder.join(format!("{name}.joined"));
            let mut command = Command::new("ld");
            command.arg("-r").args(&files).arg("-o").arg(&joined);
            run(command, "join objects of", Path::new(name))?;
            Ok(joined)
        };
        Ok(Pair {
            before: side(Side::Original)?,
            after: side(Side::Patched)?,
        })
    }

    /// Copies both builds of each unit below a folder.
    pub(super) fn keep(&self, units: &[Unit], folder: &Path) -> Result<(), Error> {
        for (side, name) in [(Side::Original, "orig"), (Side::Patched, "patched")] {
            for unit in units {
                let kept = unit.object(&folder.join(name));
                create(kept.parent().unwrap_or(folder))?;
                copy(&unit.object(&self.objects_of(side)), &kept)?;
            }
        }
        Ok(())
    }

    /// An empty folder for a module.
    pub(super) fn module_folder(&self) -> Result<PathBuf, Error> {
        let folder = self.folder.join("module");
        remove_folder(&folder)?;
        create(&folder)?;
        Ok(folder)
    }

    /// Builds the module in a folder; `flags` are for its own sources.
    pub(super) fn make_module(
        &self,
        folder: &Path,
        flags: &str,
        symvers: &[u8],
    ) -> Result<(), Error> {
        let path = self.output().join("Module.symvers");
        fs::write(&path, symvers).map_err(|source| Error::Write { path, source })?;
        let arguments = [
            format!("M={}", folder.display()),
            format!("KCFLAGS={FLAGS} {flags}"),
            "modules".to_owned(),
        ];
        self.make("build the module", &arguments)
    }

    fn make(&self, what: &'static str, arguments: &[String]) -> Result<(), Error> {
        let mut command = Command::new("make");
        for variable in REMOVED {
            command.env_remove(variable);
        }
        let jobs = thread::available_parallelism().map_or(1, usize::from);
        command
            .env("LC_ALL", "C")
            .arg("-C")
            .arg(self.source())
            .arg(format!("O={}", self.output().display()))
            .args(["-s", "--no-print-directory"])
            .arg(format!("-j{jobs}"))
            .args(arguments);
        run(command, what, &self.source())
    }
}

/// What the compiler says it is.
fn compiler() -> Result<Vec<u8>, Error> {
    let output = Command::new("gcc").arg("--version").output();
    let output = output.map_err(|source| Error::Start {
        program: "gcc".to_owned(),
        source,
    })?;
    Ok(output.stdout)
}

/// Runs a program; what it said is in the error if it fails.
pub(super) fn run(mut command: Command, what: &'static str, on: &Path) -> Result<(), Error> {
    let program = command.get_program().to_string_lossy().into_owned();
    command.stdout(Stdio::piped()).stderr(Stdio::piped());
    let child = command.spawn();
    let output = child
        .and_then(std::process::Child::wait_with_output)
        .map_err(|source| Error::Start {
            program: program.clone(),
            source,
        })?;
    if output.status.success() {
        return Ok(());
    }
    let mut said = String::from_utf8_lossy(&output.stdout).into_owned();
    said.push_str(&String::from_utf8_lossy(&output.stderr));
    Err(Error::Program {
        what,
        on: on.to_owned(),
        program,
        status: output.status,
        said,
    })
}

fn locked(path: &Path) -> Result<File, Error> {
    let file = File::create(path);
    let locked = file.and_then(|file| {
        file.lock()?;
        Ok(file)
    });
    locked.map_err(|source| Error::Write {
        path: path.to_owned(),
        source,
    })
}

fn create(folder: &Path) -> Result<(), Error> {
    fs::create_dir_all(folder).map_err(|source| Error::Write {
        path: folder.to_owned(),
        source,
    })
}

fn copy(from: &Path, to: &Path) -> Result<(), Error> {
    let copied = fs::copy(from, to).map(|_bytes| ());
    copied.map_err(|source| Error::Read {
        path: from.to_owned(),
        source,
    })
}

fn remove(path: &Path) -> Result<(), Error> {
    absent_is_fine(fs::remove_file(path), path)
}

fn remove_folder(path: &Path) -> Result<(), Error> {
    absent_is_fine(fs::remove_dir_all(path), path)
}

fn absent_is_fine(result: io::Result<()>, path: &Path) -> Result<(), Error> {
    match result {
        Err(source) if source.kind() != io::ErrorKind::NotFound => Err(Error::Write {
            path: path.to_owned(),
            source,
        }),
        _ => Ok(()),
    }
}
