//! [`Includes`]: which files of a tree may include which.
//!
//! A header, and a C file that others include, changes objects that a patch does not name. Which ones is read from the text of
//! the tree, not from what happens to be compiled: every line of the preprocessor that names a file counts, whatever condition
//! it stands under. So none is missed, and some are found too many; what the compiler says it read decides about those.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};

use rayon::prelude::*;

use super::refusal;
use crate::error::Error;

/// Folders whose files are not compiled for the kernel that runs: programs of the host, and what ran before the kernel.
const NOT_WALKED: [&str; 5] = [
    "Documentation",
    "tools",
    "usr",
    "arch/x86/boot",
    "arch/x86/um",
];

/// The only architecture that is walked.
const ARCHITECTURE: &str = "arch/x86";

/// The mention of a macro: whatever is in the same folder may be meant.
const ANY: &str = "*";

/// Where macros are included that name the file itself, which who wants it includes by its name as well
/// (`include/trace/define_trace.h`, v7.3).
const TRACE: &str = "include/trace/";

/// A line that names a file.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Mention {
    /// Place in [`Includes::files`].
    file: usize,
    /// The file's name as it is written, with what of its folders is written.
    path: String,
    /// Whether it is looked for beside the file first.
    is_quoted: bool,
}

/// Which files name which.
#[derive(Debug)]
pub(super) struct Includes {
    roots: Vec<PathBuf>,
    files: Vec<String>,
    /// By the last part of the name.
    by_name: BTreeMap<String, Vec<Mention>>,
}

/// Everything that may read some files.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Readers {
    /// C files.
    pub(super) sources: BTreeSet<String>,
    /// Headers.
    pub(super) headers: BTreeSet<String>,
    /// Assembly, linker scripts and makefiles.
    pub(super) others: BTreeSet<String>,
}

impl Includes {
    /// Reads a tree and the folders of a build that have headers; files are named by their paths below either.
    pub(super) fn of(source: &Path, output: &Path) -> Result<Self, Error> {
        let mut paths = Vec::new();
        for folder in fs::read_dir(source).map_err(failed(source))? {
            let name = folder.map_err(failed(source))?.file_name();
            walk(source, Path::new(&name), &mut paths)?;
        }
        let generated = generated_headers(output)?.into_iter();
        paths.extend(generated.map(|name| (output, name)));
        let mentions: Vec<(String, Vec<(String, bool)>)> = paths
            .into_par_iter()
            .map(|(root, name)| {
                let path = root.join(&name);
                let bytes = fs::read(&path).map_err(failed(&path))?;
                let found = mentions(&name, &String::from_utf8_lossy(&bytes));
                Ok((name, found))
            })
            .collect::<Result<_, Error>>()?;
        let mut includes = Self::none(source, output);
        for (file, mentions) in mentions {
            includes.add(file, mentions);
        }
        Ok(includes)
    }

    fn add(&mut self, name: String, mentions: Vec<(String, bool)>) {
        if mentions.is_empty() {
            return;
        }
        let file = self.files.len();
        self.files.push(name);
        for (path, is_quoted) in mentions {
            let last = path.rsplit('/').next().unwrap_or(&path).to_owned();
            self.by_name.entry(last).or_default().push(Mention {
                file,
                path,
                is_quoted,
            });
        }
    }

    /// Reads what [`Includes::text`] gave.
    pub(super) fn parse(text: &str, source: &Path, output: &Path) -> Option<Self> {
        let mut includes = Self::none(source, output);
        let mut lines = text.lines().peekable();
        while let Some(file) = lines.next() {
            let file = file.strip_prefix(' ')?;
            let mut mentions = Vec::new();
            while let Some(line) = lines.next_if(|line| !line.starts_with(' ')) {
                let quoted = line.strip_prefix('"');
                mentions.push((quoted.unwrap_or(line).to_owned(), quoted.is_some()));
            }
            includes.add(file.to_owned(), mentions);
        }
        Some(includes)
    }

    /// Everything as text: a file behind a blank, then a line for each file that it names, behind `"` when it is quoted.
    pub(super) fn text(&self) -> String {
        let mut of_files: Vec<Vec<&Mention>> = vec![Vec::new(); self.files.len()];
        for mention in self.by_name.values().flatten() {
            if let Some(mentions) = of_files.get_mut(mention.file) {
                mentions.push(mention);
            }
        }
        let mut text = String::new();
        for (file, mentions) in self.files.iter().zip(of_files) {
            text.push_str(&format!(" {file}\n"));
            for mention in mentions {
                let quote = if mention.is_quoted { "\"" } else { "" };
                text.push_str(&format!("{quote}{}\n", mention.path));
            }
        }
        text
    }

    fn none(source: &Path, output: &Path) -> Self {
        Self {
            roots: vec![source.to_owned(), output.to_owned()],
            files: Vec::new(),
            by_name: BTreeMap::new(),
        }
    }

    /// Everything that may read one of these files, through whatever other files.
    pub(super) fn readers(&self, files: &[&str]) -> Readers {
        let mut readers = Readers::default();
        let mut waiting: Vec<String> = files.iter().map(|file| (*file).to_owned()).collect();
        let mut seen: BTreeSet<String> = waiting.iter().cloned().collect();
        while let Some(file) = waiting.pop() {
            for reader in self.direct(&file) {
                if !seen.insert(reader.to_owned()) {
                    continue;
                }
                let of_kind = match reader.rsplit_once('.') {
                    Some((_, "c")) => &mut readers.sources,
                    Some((_, "h" | "inc")) => &mut readers.headers,
                    _ => &mut readers.others,
                };
                of_kind.insert(reader.to_owned());
                waiting.push(reader.to_owned());
            }
        }
        readers
    }

    fn direct<'s>(&'s self, file: &'s str) -> impl Iterator<Item = &'s str> {
        let last = file.rsplit('/').next().unwrap_or(file);
        let of_name = |name: &str| {
            self.by_name
                .get(name)
                .map(Vec::as_slice)
                .unwrap_or_default()
        };
        let mentions = of_name(last).iter().chain(of_name(ANY));
        mentions
            .filter(move |mention| self.may_be(mention, file))
            .filter_map(|mention| self.files.get(mention.file).map(String::as_str))
    }

    /// Whether a mention may mean a file.
    fn may_be(&self, mention: &Mention, file: &str) -> bool {
        let from = self.files.get(mention.file).map_or("", String::as_str);
        if mention.path == ANY {
            let folder = |path: &str| path.rsplit_once('/').map(|(folder, _)| folder.to_owned());
            return !from.starts_with(TRACE) && folder(from) == folder(file);
        }
        if mention.is_quoted {
            // What is beside a file is taken before anything else.
            let folder = from.rsplit_once('/').map_or("", |(folder, _)| folder);
            let beside = joined(folder, &mention.path);
            if beside.as_deref() == Some(file) {
                return true;
            }
            if beside.is_some_and(|path| self.roots.iter().any(|root| root.join(&path).exists())) {
                return false;
            }
        }
        // Programs of the build read the headers of the host.
        if refusal::is_of_the_build(from) && !mention.path.contains('/') {
            return false;
        }
        let tail = mention
            .path
            .rsplit("../")
            .next()
            .unwrap_or(&mention.path)
            .trim_start_matches(['.', '/']);
        let Some(rest) = file.strip_suffix(tail) else {
            return false;
        };
        rest.is_empty() || rest.ends_with('/')
    }
}

/// Headers that the kernel's build makes, below its output.
pub(super) fn generated_headers(output: &Path) -> Result<Vec<String>, Error> {
    let mut paths = Vec::new();
    for folder in ["include/generated", "arch/x86/include/generated"] {
        if output.join(folder).is_dir() {
            walk(output, Path::new(folder), &mut paths)?;
        }
    }
    Ok(paths.into_iter().map(|(_, name)| name).collect())
}

/// A path from a folder, without `.` and `..`; `None` when it leads out of the tree.
fn joined(folder: &str, path: &str) -> Option<String> {
    let mut parts: Vec<&str> = folder.split('/').filter(|part| !part.is_empty()).collect();
    for part in path.split('/') {
        match part {
            "" | "." => {}
            ".." => {
                parts.pop()?;
            }
            part => parts.push(part),
        }
    }
    Some(parts.join("/"))
}

/// Files that lines name, and whether in quotes: those of `#include`, those of `#define`, since a macro may be included, and
/// in a makefile those of the compiler's `-include`.
fn mentions(file: &str, text: &str) -> Vec<(String, bool)> {
    let mut found = Vec::new();
    for line in text.lines() {
        let (rest, is_quoted) = if is_makefile(file) {
            match line.split_once("-include ") {
                Some((_, rest)) => (rest, false),
                None => continue,
            }
        } else {
            let Some(line) = line.trim_start().strip_prefix('#').map(str::trim_start) else {
                continue;
            };
            match (line.strip_prefix("include"), line.strip_prefix("define")) {
                (Some(rest), _) => {
                    let rest = rest.trim_start();
                    if rest.starts_with(|first: char| first.is_alphabetic() || first == '_') {
                        found.push((ANY.to_owned(), false));
                    }
                    (rest, rest.starts_with('"'))
                }
                (None, Some(rest)) => (rest, false),
                (None, None) => continue,
            }
        };
        let is_part = |letter: char| letter.is_alphanumeric() || "_-./+,".contains(letter);
        let words = rest.split(|letter: char| !is_part(letter));
        let names = words.filter(|word| {
            let ends = [".h", ".c", ".inc", ".S"];
            ends.iter().any(|end| word.ends_with(end))
        });
        found.extend(names.map(|name| (name.to_owned(), is_quoted)));
    }
    found
}

fn is_makefile(name: &str) -> bool {
    let last = name.rsplit('/').next().unwrap_or(name);
    last.starts_with("Makefile") || last == "Kbuild"
}

/// Adds every file below a folder that the preprocessor may read.
fn walk<'r>(
    root: &'r Path,
    folder: &Path,
    paths: &mut Vec<(&'r Path, String)>,
) -> Result<(), Error> {
    let mut waiting = vec![folder.to_owned()];
    while let Some(path) = waiting.pop() {
        let whole = root.join(&path);
        let kind = fs::symlink_metadata(&whole).map_err(failed(&whole))?;
        let name = path.to_string_lossy().into_owned();
        let is_other = path.parent() == Some(Path::new("arch")) && name != ARCHITECTURE;
        if kind.is_dir() {
            if is_other || NOT_WALKED.contains(&name.as_str()) {
                continue;
            }
            for entry in fs::read_dir(&whole).map_err(failed(&whole))? {
                waiting.push(path.join(entry.map_err(failed(&whole))?.file_name()));
            }
        } else if kind.is_file() && is_text(&name) {
            paths.push((root, name));
        }
    }
    Ok(())
}

/// Whether a file may name headers.
fn is_text(name: &str) -> bool {
    let ends = [".c", ".h", ".S", ".inc", "_shipped"];
    ends.iter().any(|end| name.ends_with(end)) || is_makefile(name)
}

fn failed(path: &Path) -> impl FnOnce(std::io::Error) -> Error {
    let path = path.to_owned();
    move |source| Error::Read { path, source }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tree(files: &[(&str, &str)]) -> tempfile::TempDir {
        let folder = tempfile::tempdir().unwrap();
        for (name, text) in files {
            let path = folder.path().join(name);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, text).unwrap();
        }
        folder
    }

    fn readers(files: &[(&str, &str)], of: &str) -> Readers {
        let folder = tree(files);
        let output = folder.path().join("output");
        let includes = Includes::of(folder.path(), &output).unwrap();
        let readers = includes.readers(&[of]);
        // As it is found again.
        let again = Includes::parse(&includes.text(), folder.path(), &output).unwrap();
        assert_eq!(again.readers(&[of]), readers);
        readers
    }

    fn set(names: &[&str]) -> BTreeSet<String> {
        names.iter().map(|name| (*name).to_owned()).collect()
    }

    #[test]
    fn readers_are_found_through_other_headers_and_by_every_way_to_name_a_file() {
        let found = readers(
            &[
                ("include/linux/x.h", ""),
                (
                    "include/linux/y.h",
                    "#ifdef NEVER\n# include <linux/x.h>\n#endif\n",
                ),
                ("fs/direct.c", "#include <linux/x.h>\n"),
                ("fs/through.c", "  #  include \"../include/linux/y.h\"\n"),
                ("fs/all.c", "#include \"through.c\"\n"),
                ("fs/macro.c", "#define IT <linux/x.h>\n#include IT\n"),
                ("fs/other.c", "#include <linux/xx.h>\n/* <linux/x.h> */\n"),
                ("arch/x86/entry/a.S", "#include <linux/y.h>\n"),
                ("arch/arm/b.c", "#include <linux/x.h>\n"),
                ("tools/c.c", "#include <linux/x.h>\n"),
                (
                    "fs/z/Makefile",
                    "CFLAGS_a.o := -include $(srctree)/include/linux/x.h\n",
                ),
            ],
            "include/linux/x.h",
        );
        let sources = set(&["fs/all.c", "fs/direct.c", "fs/macro.c", "fs/through.c"]);
        assert_eq!(found.sources, sources);
        assert_eq!(found.headers, set(&["include/linux/y.h"]));
        assert_eq!(found.others, set(&["arch/x86/entry/a.S", "fs/z/Makefile"]));
    }

    #[test]
    fn a_header_beside_a_file_is_taken_before_one_of_its_name() {
        let files = [
            ("fs/proc/internal.h", ""),
            ("fs/proc/a.c", "#include \"internal.h\"\n"),
            ("mm/internal.h", ""),
            ("mm/b.c", "#include \"internal.h\"\n"),
            ("lib/c.c", "#include \"internal.h\"\n"),
            ("block/d.c", "#include \"../mm/internal.h\"\n"),
        ];
        // Where lib/c.c finds one is known to its makefile only.
        let found = readers(&files, "fs/proc/internal.h").sources;
        assert_eq!(found, set(&["fs/proc/a.c", "lib/c.c"]));
        let found = readers(&files, "mm/internal.h").sources;
        assert_eq!(found, set(&["block/d.c", "lib/c.c", "mm/b.c"]));
    }

    #[test]
    fn a_macro_may_mean_any_file_of_its_folder() {
        let files = [
            ("drivers/fmt/amd.h", ""),
            ("drivers/fmt/template.h", "#include PT_FMT_H\n"),
            ("drivers/fmt/amd.c", "#include \"template.h\"\n"),
            ("drivers/other.c", "#include ELSE\n"),
        ];
        let found = readers(&files, "drivers/fmt/amd.h");
        assert_eq!(found.sources, set(&["drivers/fmt/amd.c"]));
    }
}
