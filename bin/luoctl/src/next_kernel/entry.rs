//! Boot loader entries: the text files of the Boot Loader Specification (UAPI group specification 1,
//! type 1), and unified kernel images (type 2).

use std::fs::{self, File};
use std::io::Read as _;
use std::path::{Path, PathBuf};

use luod_api::Code;

use super::{NextKernel, cmdline, in_memory};
use crate::cli::NextKernelArgs;
use crate::failure::Failure;

/// Where a boot partition is mounted.
const PARTITIONS: [&str; 3] = ["/boot", "/efi", "/boot/efi"];
const ENTRIES: &str = "loader/entries";
const UNIFIED: &str = "EFI/Linux";
/// Parts of an initial RAM disk start at a multiple of this.
const ALIGNMENT: usize = 4;

/// What an entry says.
#[derive(Debug, Default, PartialEq, Eq)]
struct Entry {
    linux: Option<String>,
    unified: Option<String>,
    initrds: Vec<String>,
    options: Vec<String>,
}

pub(super) fn open(named: &Path, args: &NextKernelArgs) -> Result<NextKernel, Failure> {
    let path = find(named, &PARTITIONS.map(PathBuf::from))?;
    let is_text = path
        .extension()
        .is_some_and(|extension| extension == "conf");
    if !is_text {
        return unified(&path, args);
    }
    let text = fs::read_to_string(&path).map_err(|error| {
        let text = format!("the entry {}: {error}", path.display());
        Failure::new(Code::ImageRefused, text)
    })?;
    let entry = Entry::parse(&text);
    let place = Place::of(&path);
    if let Some(file) = &entry.unified {
        return unified(&place.resolve(file), args);
    }
    let Some(linux) = &entry.linux else {
        let text = format!("the entry {} names no kernel", path.display());
        return Err(Failure::new(Code::ImageRefused, text));
    };
    let options = entry.options.join(" ");
    let has_variables = options
        .split_ascii_whitespace()
        .any(|word| word.starts_with('$'));
    if has_variables && args.cmdline.is_none() && !args.reuse_cmdline {
        let text = format!(
            "the entry {} has options that only its boot loader knows: {options}",
            path.display()
        );
        return Err(Failure::new(Code::ImageRefused, text)
            .with_hint("give the command line with --cmdline or --reuse-cmdline"));
    }
    let initrds = entry.initrds.iter().map(|file| place.resolve(file));
    Ok(NextKernel {
        kernel: super::open("kernel", &place.resolve(linux))?,
        initrd: joined(&initrds.collect::<Vec<_>>())?,
        cmdline: cmdline(args, Some(&options))?,
    })
}

fn unified(path: &Path, args: &NextKernelArgs) -> Result<NextKernel, Failure> {
    let file = super::open("unified kernel image", path)?;
    let bytes = super::content("unified kernel image", &file)?;
    NextKernel::of_uki(&bytes, args).unwrap_or_else(|| {
        let text = format!(
            "{} is no unified kernel image: it has no .linux",
            path.display()
        );
        Err(Failure::new(Code::ImageRefused, text).with_hint("name a plain kernel with --kernel"))
    })
}

/// A file as it is named, or an entry or image of this name in a boot partition.
fn find(named: &Path, partitions: &[PathBuf]) -> Result<PathBuf, Failure> {
    if named.components().count() > 1 || named.exists() {
        return Ok(named.to_owned());
    }
    let name = named.to_string_lossy();
    let candidates = partitions.iter().flat_map(|partition| {
        [
            partition.join(ENTRIES).join(format!("{name}.conf")),
            partition.join(UNIFIED).join(format!("{name}.efi")),
            partition.join(ENTRIES).join(&*name),
            partition.join(UNIFIED).join(&*name),
        ]
    });
    let found = candidates.into_iter().find(|path| path.is_file());
    found.ok_or_else(|| {
        let partitions: Vec<_> = partitions
            .iter()
            .map(|it| it.display().to_string())
            .collect();
        let text = format!("no boot loader entry {name} in {}", partitions.join(", "));
        Failure::new(Code::ImageRefused, text)
            .with_hint(&format!("they are in {ENTRIES} and {UNIFIED}; name a file"))
    })
}

impl Entry {
    /// Lines of a key and a value; later ones of `initrd` and `options` are added.
    fn parse(text: &str) -> Self {
        let mut entry = Self::default();
        for line in text.lines().map(str::trim) {
            let Some((key, value)) = line.split_once(|c: char| c.is_ascii_whitespace()) else {
                continue;
            };
            let value = value.trim().to_owned();
            match key {
                "linux" => entry.linux = Some(value),
                "efi" | "uki" => entry.unified = Some(value),
                "initrd" => entry.initrds.push(value),
                "options" => entry.options.push(value),
                _ => {}
            }
        }
        entry
    }
}

/// The partition an entry is in: its paths start there.
struct Place(PathBuf);

impl Place {
    fn of(entry: &Path) -> Self {
        let folder = entry.parent().unwrap_or(Path::new(""));
        let is_in_partition = folder.ends_with(ENTRIES);
        let root = if is_in_partition {
            folder.parent().and_then(Path::parent)
        } else {
            Some(folder)
        };
        Self(root.unwrap_or(folder).to_owned())
    }

    fn resolve(&self, file: &str) -> PathBuf {
        self.0.join(file.trim_start_matches('/'))
    }
}

/// Several initial RAM disks as the boot loader would join them.
fn joined(paths: &[PathBuf]) -> Result<Option<File>, Failure> {
    match paths {
        [] => Ok(None),
        [path] => open_initrd(path).map(Some),
        several => {
            let mut bytes: Vec<u8> = Vec::new();
            for path in several {
                let read = open_initrd(path)?.read_to_end(&mut bytes);
                read.map_err(|error| {
                    let text = format!("the initrd {}: {error}", path.display());
                    Failure::new(Code::ImageRefused, text)
                })?;
                bytes.resize(bytes.len().next_multiple_of(ALIGNMENT), 0);
            }
            in_memory("initrd", &bytes).map(Some)
        }
    }
}

fn open_initrd(path: &Path) -> Result<File, Failure> {
    super::open("initrd", path)
}

#[cfg(test)]
mod tests {
    use super::*;

    const TEXT: &str = "# made by hand\ntitle Debian\nlinux /debian/7.3.4/linux\n\
        initrd /debian/7.3.4/microcode\ninitrd\t/debian/7.3.4/initrd\noptions root=/dev/vda\noptions liveupdate=on\n";

    fn args(line: &[&str]) -> NextKernelArgs {
        use crate::cli::{Cli, Command};
        use clap::Parser as _;
        let words = ["luoctl", "check"].iter().chain(line);
        match Cli::try_parse_from(words).unwrap().command {
            Command::Check(args) => args.next,
            other => unreachable!("{other:?}"),
        }
    }

    #[test]
    fn an_entry_has_kernel_images_and_options_of_its_partition() {
        let boot = tempfile::tempdir().unwrap();
        let write = |name: &str, content: &[u8]| {
            let path = boot.path().join(name);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, content).unwrap();
        };
        write("loader/entries/debian.conf", TEXT.as_bytes());
        write("debian/7.3.4/linux", b"kernel");
        write("debian/7.3.4/microcode", b"micro");
        write("debian/7.3.4/initrd", b"initrd");
        let partitions = [boot.path().to_owned()];
        let path = find(Path::new("debian"), &partitions).unwrap();
        let named = path.to_str().unwrap();
        let next = NextKernel::open(&args(&["--entry", named])).unwrap();
        assert_eq!(next.cmdline, "root=/dev/vda liveupdate=on");
        let read = |file: &File| super::super::content("file", file).unwrap();
        assert_eq!(read(&next.kernel), b"kernel");
        assert_eq!(
            read(next.initrd.as_ref().unwrap()),
            b"micro\0\0\0initrd\0\0"
        );
        let next = NextKernel::open(&args(&["--entry", named, "--cmdline", "quiet"])).unwrap();
        assert_eq!(next.cmdline, "quiet");

        write(
            "loader/entries/fedora.conf",
            b"linux /debian/7.3.4/linux\noptions $kernelopts\n",
        );
        let fedora = boot.path().join("loader/entries/fedora.conf");
        let line = ["--entry", fedora.to_str().unwrap()];
        let failure = NextKernel::open(&args(&line)).unwrap_err();
        assert!(failure.message.contains("$kernelopts"), "{failure:?}");
        assert!(NextKernel::open(&args(&[&line[..], &["--cmdline", "x"]].concat())).is_ok());

        let missing = find(Path::new("nixos"), &partitions).unwrap_err();
        assert!(missing.message.contains("nixos"), "{missing:?}");
    }

    #[test]
    fn an_entry_without_a_kernel_is_refused_by_name() {
        let folder = tempfile::tempdir().unwrap();
        for (name, text, words) in [
            ("empty.conf", "title Nothing\n", "names no kernel"),
            ("shell.efi", "MZ no sections", "no unified kernel image"),
        ] {
            let path = folder.path().join(name);
            fs::write(&path, text).unwrap();
            let line = ["--entry", path.to_str().unwrap()];
            let failure = NextKernel::open(&args(&line)).unwrap_err();
            assert!(failure.message.contains(words), "{failure:?}");
            assert_eq!(failure.exit_code, 7);
        }
    }
}
