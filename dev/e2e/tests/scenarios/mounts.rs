//! Mounted trees are replaced by `luoctl mount upgrade`.

use anyhow::{Context as _, ensure};
use e2e::{Machine, Series, artifacts};
use initrd::Permissions;

use crate::harness::{Lab, Scenario};
use crate::update::{printed, stdout};

/// Scenarios of this file.
pub(crate) fn scenarios() -> Vec<Scenario> {
    let per_series = Series::ALL.into_iter().map(|series| {
        let name = format!(
            "mounts::{}::trees_are_replaced_or_left_as_they_are",
            series.name()
        );
        Scenario::new(name, move |lab| trees(lab, series))
    });
    per_series.collect()
}

/// Runs `luoctl mount upgrade` and gives its exit code and all that it said.
fn upgrade(machine: &Machine, words: &str) -> anyhow::Result<(Option<i32>, String)> {
    let line = ["/bin/luoctl", "mount", "upgrade"];
    let outcome = machine.run(line.into_iter().chain(words.split(' ')))?;
    Ok((outcome.code(), outcome.output()))
}

fn trees(lab: &Lab, series: Series) -> anyhow::Result<()> {
    let kernel = lab.kernel(series)?;
    let mut image = lab.image()?;
    image.program(&artifacts::guest_program("luoctl")?)?;
    image.bytes("/new/file", Permissions::DATA, b"of the new tree")?;
    let machine = lab.machine(&kernel, image)?.boot()?;
    machine.write_file("/tmp/file", 0o600, b"of the old tree")?;
    let refused = [
        // Each with words of its error: ours, or the kernel's out of the context's log.
        ("/tmp /new --expect other", "other in it: No such file"),
        ("/new /new", "nothing is mounted right there"),
        ("/ /new", "it takes pivot_root(2)"),
        ("/tmp x --type nofs", "does not know such a file system"),
        (
            "/tmp x --type tmpfs --option wrong",
            "Unknown parameter 'wrong'",
        ),
        (
            "/tmp x --type tmpfs --option size=much",
            "Bad value for 'size'",
        ),
        (
            "/tmp /dev/null --type ext4",
            "/dev/null: Can't lookup blockdev",
        ),
    ];
    for (words, said) in refused {
        let (code, output) = upgrade(&machine, words)?;
        ensure!(code == Some(16), "{words}: {output}");
        ensure!(output.contains(said), "{words}: {output}");
        ensure!(
            machine.read_file("/tmp/file")? == b"of the old tree",
            "{words}"
        );
    }
    let (code, output) = upgrade(&machine, "/tmp /new --expect file")?;
    ensure!(code == Some(0), "{output}");
    ensure!(machine.read_file("/tmp/file")? == b"of the new tree");
    let (code, output) = upgrade(
        &machine,
        "/tmp scratch --type tmpfs --option size=1M,noexec --json",
    )?;
    ensure!(code == Some(0), "{output}");
    printed(&["mount", "upgrade"], &stdout(&output))?;
    ensure!(
        machine.read_file("/tmp/file").is_err(),
        "the tree before is there still"
    );
    let mounts = String::from_utf8(machine.read_file("/proc/self/mountinfo")?)?;
    let line = mounts.lines().find(|line| line.contains(" /tmp "));
    let line = line.context("nothing is mounted at /tmp")?;
    ensure!(
        line.contains("noexec") && line.contains("tmpfs scratch"),
        "{line}"
    );
    ensure!(mounts.matches(" /tmp ").count() == 1, "{mounts}");
    Ok(machine.poweroff()?)
}
