//! The guest itself: it boots, answers and is what the other scenarios take for granted.

use anyhow::ensure;
use e2e::protocol::BootedBy;
use e2e::{Command, Series};
use initrd::{Device, Permissions};

use crate::harness::{Lab, Place, Scenario};

const UNPACKING: Place = Place::Kernels("how the kernel unpacks an image");

/// Scenarios of this file.
pub(crate) fn scenarios() -> Vec<Scenario> {
    let per_series = Series::ALL.into_iter().flat_map(|series| {
        let name = |what| format!("boot::{}::{what}", series.name());
        [
            Scenario::new(name("boots_and_answers"), move |lab| {
                boots_and_answers(lab, series)
            }),
            Scenario::new(name("kernel_unpacks_the_image"), move |lab| {
                kernel_unpacks_the_image(lab, series)
            })
            .on(UNPACKING),
        ]
    });
    per_series.collect()
}

fn boots_and_answers(lab: &Lab, series: Series) -> anyhow::Result<()> {
    let kernel = lab.kernel(series)?;
    let machine = lab.machine(&kernel, lab.image()?)?.boot()?;
    let hello = machine.hello();
    ensure!(
        hello.release == kernel.release,
        "{} booted, not {}",
        hello.release,
        kernel.release
    );
    ensure!(hello.booted_by == BootedBy::Machine, "{hello:?}");
    ensure!(hello.cmdline.contains("liveupdate=on"), "{hello:?}");
    ensure!(hello.worker == 1, "the worker crashed: {hello:?}");
    // The agent has no use for its arguments as an ordinary process: it says so and fails.
    let outcome = machine.run(["/init", "again"])?;
    ensure!(outcome.code() == Some(1), "{outcome:?}");
    machine.write_file("/tmp/data", 0o600, &[0, 255, 10, 13])?;
    ensure!(machine.read_file("/tmp/data")? == [0, 255, 10, 13]);
    let refused = machine
        .read_file("/tmp/absent")
        .map_err(|error| error.to_string());
    ensure!(
        refused
            .as_ref()
            .is_err_and(|text| text.contains("/tmp/absent")),
        "{refused:?}"
    );
    let devices = String::from_utf8(machine.read_file("/proc/misc")?)?;
    let has_device = devices.lines().any(|line| line.ends_with(" liveupdate"));
    ensure!(
        has_device,
        "no /dev/liveupdate: did KHO reserve its scratch areas? {devices:?}"
    );
    Ok(machine.poweroff()?)
}

/// The kernel's own reader of the image against ours as its writer.
fn kernel_unpacks_the_image(lab: &Lab, series: Series) -> anyhow::Result<()> {
    let kernel = lab.kernel(series)?;
    let mut image = lab.image_with_client()?;
    let long_name = format!("/data/{}", "n".repeat(255));
    let pattern = |len: usize| (0..=255_u8).cycle().take(len).collect::<Vec<u8>>();
    // Each padding of name and content, and more than one part of the control channel.
    let sizes = [0, 1, 2, 3, 4, 5, (2 << 20) + 1];
    for size in sizes {
        let path = format!("/data/{size}");
        image.bytes(&path, Permissions::DATA, &pattern(size))?;
    }
    image.bytes(&long_name, Permissions::PRIVATE, b"long")?;
    image.symlink("/data/link", "deep/er/file")?;
    image.bytes("/data/deep/er/file", Permissions::DATA, b"linked")?;
    image.node("/data/zero", Device::Character { major: 1, minor: 5 })?;
    let machine = lab.machine(&kernel, image)?.boot()?;
    for size in sizes {
        let content = machine.read_file(&format!("/data/{size}"))?;
        ensure!(
            content == pattern(size),
            "{size} bytes became {}",
            content.len()
        );
    }
    ensure!(machine.read_file(&long_name)? == b"long");
    ensure!(machine.read_file("/data/link")? == b"linked");
    let large = pattern((1 << 20) + 3);
    machine.write_file("/tmp/copy", 0o600, &large)?;
    ensure!(machine.read_file("/tmp/copy")? == large);
    // The node works: a program reads zeroes from it for as long as it is let.
    let command = Command::new(["/bin/e2e-client", "count", "/data/zero", "4096"]);
    let counted = machine.run(command)?.success()?.stdout();
    ensure!(counted == "4096 bytes, 4096 zero\n", "{counted}");
    Ok(machine.poweroff()?)
}
