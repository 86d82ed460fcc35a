//! libsframe of Debian sid, unpacked into a folder: nothing is installed.

use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context as _, Result, bail};

use super::Lookup;
use super::data::{Data, run};

const SOURCE: &str = include_str!("libsframe.c");

/// Fetches the library and builds the program that measures it.
pub(super) fn build(folder: &Path) -> Result<PathBuf> {
    let program = folder.join("libsframe-find");
    if program.exists() {
        return Ok(program);
    }
    let root = folder.join("sid");
    fetch(&root)?;
    let source = folder.join("libsframe.c");
    std::fs::write(&source, SOURCE)?;
    // What the library's header takes from another package's.
    let ansidecl = "#define ATTRIBUTE_PACKED __attribute__((packed))\n\
                    #define ATTRIBUTE_UNUSED __attribute__((unused))\n";
    std::fs::write(folder.join("ansidecl.h"), ansidecl)?;
    let usr = root.join("root/usr");
    // What the library's header takes from another package's.
    let ansidecl = "#define ATTRIBUTE_PACKED __attribute__((packed))\n\
                    #define ATTRIBUTE_UNUSED __attribute__((unused))\n";
    std::fs::write(folder.join("ansidecl.h"), ansidecl)?;
    let mut gcc = Command::new("gcc");
    gcc.arg("-O2").arg(&source).arg("-I").arg(folder);
    gcc.arg("-I").arg(usr.join("include"));
    gcc.arg(usr.join("lib/x86_64-linux-gnu/libsframe.a"));
    run(gcc.arg("-o").arg(&program))?;
    Ok(program)
}

/// Downloads and unpacks the packages.
fn fetch(root: &Path) -> Result<()> {
    for folder in ["state/lists/partial", "cache/archives/partial", "root"] {
        std::fs::create_dir_all(root.join(folder))?;
    }
    let sources = root.join("sid.sources");
    let keys = "/usr/share/keyrings/debian-archive-keyring.gpg";
    let lines = format!(
        "Types: deb\nURIs: {}\nSuites: sid\nComponents: main\nSigned-By: {keys}\n",
        mirror()?
    );
    std::fs::write(&sources, lines)?;
    let path = |path: &Path| path.display().to_string();
    let options = [
        format!("Dir::Etc::SourceList={}", path(&sources)),
        "Dir::Etc::SourceParts=-".to_owned(),
        format!("Dir::State={}", path(&root.join("state"))),
        format!("Dir::Cache={}", path(&root.join("cache"))),
        "Dir::State::Status=/dev/null".to_owned(),
    ];
    let apt = |arguments: &[&str]| {
        let mut apt = Command::new("apt-get");
        apt.current_dir(root);
        for option in &options {
            apt.args(["-o", option]);
        }
        run(apt.args(arguments))
    };
    apt(&["update"])?;
    apt(&["download", "libsframe3", "libsframe-dev"])?;
    for entry in std::fs::read_dir(root)? {
        let package = entry?.path();
        if package
            .extension()
            .is_some_and(|extension| extension == "deb")
        {
            run(Command::new("dpkg")
                .arg("-x")
                .arg(&package)
                .arg(root.join("root")))?;
        }
    }
    Ok(())
}

/// The mirror of Debian that this machine uses.
fn mirror() -> Result<String> {
    let output = Command::new("apt-get")
        .args(["indextargets", "--format", "$(REPO_URI)", "Origin: Debian"])
        .output()
        .context("start apt-get")?;
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    let mirror = text.lines().find(|uri| !uri.contains("security"));
    mirror
        .map(str::to_owned)
        .context("this machine's apt has no mirror of Debian, or no lists yet (apt-get update)")
}

/// Looks the addresses up.
pub(super) fn lookup(
    folder: &Path,
    program: &Path,
    data: &Data,
    pcs: &[u64],
    runs: usize,
) -> Result<Lookup> {
    let (section, addresses) = (folder.join("section"), folder.join("addresses"));
    std::fs::write(&section, &data.bytes)?;
    let bytes: Vec<u8> = pcs.iter().flat_map(|pc| pc.to_le_bytes()).collect();
    std::fs::write(&addresses, bytes)?;
    let output = Command::new(program)
        .arg(&section)
        .arg(format!("{:#x}", data.section_addr))
        .arg(&addresses)
        .arg(runs.to_string())
        .output()?;
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    let Some((ns, found)) = text.trim().split_once(' ') else {
        bail!("{}: {}", program.display(), output.status);
    };
    Ok(Lookup {
        name: "libsframe 2.47",
        ns: ns.parse()?,
        found: found.parse()?,
    })
}
