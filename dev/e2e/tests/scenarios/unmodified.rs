//! Programs that know nothing of live updates, under `luod run`.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context as _, ensure};
use e2e::protocol::When;
use e2e::{Initramfs, Series, artifacts};
use initrd::Permissions;
use object::read::elf::{Dyn as _, FileHeader as _, SectionHeader as _};

use crate::harness::{Lab, Place, Scenario};
use crate::host::Host;

/// Debian's, with its restartable memory file. It refuses its own memory when it is started within
/// two seconds of its stop.
const MEMCACHED: &str = "/bin/luod run --name memcached --dir /run/kept --stop-signal USR1 \
     --restart-after 2.5 -- /usr/bin/memcached -u root -s /run/memcached.sock -m 64 -e /run/kept/mem";
const KEYS: &str = "5000";
const PATIENCE: Duration = Duration::from_secs(120);
/// Where Debian's libraries are, and the program that loads them.
const LIBRARIES: &str = "usr/lib/x86_64-linux-gnu";
const LOADER: &str = "/lib64/ld-linux-x86-64.so.2";

/// Scenarios of this file.
pub(crate) fn scenarios() -> Vec<Scenario> {
    let why = "a program that is linked dynamically needs the guest's folders";
    let name = "unmodified::memcached_keeps_its_cache";
    vec![Scenario::new(name, memcached).on(Place::Kernels(why))]
}

fn memcached(lab: &Lab) -> anyhow::Result<()> {
    let services = [("memcached", When::Always, MEMCACHED)];
    let add = |image: &mut Initramfs| {
        // It looks up the user it is told to run as.
        image.bytes(
            "/etc/passwd",
            Permissions::DATA,
            b"root:x:0:0:root:/:/bin/sh\n",
        )?;
        add_program(image, "memcached", "usr/bin/memcached")
    };
    let host = Host::boot_adding_services(lab, Series::V7_2, &services, add)?;
    client(&host, "--fill")?;
    client(&host, "")?;

    // Refused, with the name of what stands in the way; the program goes on.
    host.machine.write_file("/run/kept/one", 0o600, b"once")?;
    host.spawn(
        "link",
        "/bin/e2e-client hard-link /run/kept/one /run/kept/two",
    )?;
    host.machine.wait("link", PATIENCE)?;
    let kernel = crate::harness::guest_kernel(Series::V7_3);
    let update = format!("update --kernel {kernel} --initrd /sys/firmware/initrd --reuse-cmdline");
    host.refused(
        &update,
        10,
        &["memcached refused prepare", "has 2 names (hard links)"],
    )?;
    host.spawn("unlink", "/bin/e2e-client remove /run/kept/two")?;
    host.machine.wait("unlink", PATIENCE)?;
    client(&host, "")?;

    for kernel in [Series::V7_3, Series::V7_2] {
        host.update(kernel)?;
        client(&host, "")?;
        let kept = host.machine.read_file("/run/kept/one")?;
        ensure!(kept == b"once", "{kept:?}");
        let report = host.json("report")?;
        ensure!(report["lost"] == serde_json::json!([]), "{report}");
    }
    host.check_normal(1)?;
    Ok(host.machine.poweroff()?)
}

/// Fills memcached, or compares every key.
fn client(host: &Host, fill: &str) -> anyhow::Result<()> {
    let line =
        format!("/bin/e2e-client memcached --socket /run/memcached.sock --keys {KEYS} {fill}");
    let words = line.split_whitespace();
    let command = e2e::Command::new(words).timeout(PATIENCE);
    host.machine.run(command)?.success()?;
    Ok(())
}

/// Adds a program of Debian's and the libraries it needs.
fn add_program(image: &mut Initramfs, package: &str, path: &str) -> anyhow::Result<()> {
    let folder = artifacts::debian_program(package)?;
    let program = folder.join(path);
    image.file(&program, &format!("/{path}"), Permissions::PROGRAM)?;
    let mut needed = libraries(&program)?;
    let mut added = BTreeSet::new();
    while let Some(name) = needed.pop() {
        if !added.insert(name.clone()) {
            continue;
        }
        let library = folder.join(LIBRARIES).join(&name);
        needed.extend(libraries(&library).with_context(|| format!("{name} of {package}"))?);
        let guest = if LOADER.ends_with(&name) {
            LOADER.to_owned()
        } else {
            format!("/{LIBRARIES}/{name}")
        };
        image.file(&library, &guest, Permissions::PROGRAM)?;
    }
    let loader = Path::new(LOADER).file_name().context("the loader's name")?;
    if !added.contains(&*loader.to_string_lossy()) {
        let loader = folder.join(LIBRARIES).join(loader);
        image.file(&loader, LOADER, Permissions::PROGRAM)?;
    }
    Ok(())
}

/// `DT_NEEDED` of a program or library.
fn libraries(path: &Path) -> anyhow::Result<Vec<String>> {
    let path: PathBuf = path.canonicalize()?;
    let data = fs::read(&path)?;
    let data = data.as_slice();
    let elf = object::elf::FileHeader64::<object::Endianness>::parse(data)?;
    let endian = elf.endian()?;
    let sections = elf.sections(endian, data)?;
    let mut needed = Vec::new();
    for section in sections.iter() {
        let Some((entries, strings)) = section.dynamic(endian, data)? else {
            continue;
        };
        let strings = sections.strings(endian, data, strings)?;
        for entry in entries {
            if entry.tag(endian) == object::elf::DT_NEEDED {
                let name = entry.string(endian, strings)?;
                needed.push(String::from_utf8_lossy(name).into_owned());
            }
        }
    }
    Ok(needed)
}
