//! The root file system: which packages, how it is made, where it is kept.

use std::path::{Path, PathBuf};
use std::process::Command;

use kernel_build::{Cache, ConfigHash, Freshness, LoggedCommand, begin, mirrors, publish};

use crate::error::Error;

/// A suite of Debian's.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Suite {
    /// With the newest systemd.
    Sid,
    /// With systemd 257, which does not carry descriptor stores over a kexec.
    Trixie,
}

impl Suite {
    /// Every suite.
    pub const ALL: [Self; 2] = [Self::Sid, Self::Trixie];

    /// Its name in an archive.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Sid => "sid",
            Self::Trixie => "trixie",
        }
    }
}

/// What is installed beside the essential packages. Without libseccomp2 systemd leaves out system call filters, in silence.
const PACKAGES: &str = "dbus,libseccomp2,mount,systemd,systemd-sysv,udev,util-linux";
/// Size of the file system: twice what the packages need. It is sparse.
const SIZE: &str = "768M";
/// Makes two builds of the same packages the same: 2026-11-01.
const SOURCE_DATE_EPOCH: &str = "1793491200";

/// What is done to the file system, as a shell script: `$1` is its root, `$2` the folder of the result.
///
/// The copy leaves out what is mounted in the root, and what keeps services from starting while mmdebstrap works in it. What would be made anew at each first boot is made here. Switched off is what
/// scenarios do without and an emulated processor is long about: nobody logs in, and no device appears late.
const FINISH: &str = "set -e
touch \"$1/etc/.updated\" \"$1/var/.updated\"
chroot \"$1\" systemctl --quiet mask getty@tty1.service serial-getty@ttyS0.service \\
    systemd-udev-trigger.service systemd-user-sessions.service systemd-modules-load.service \\
    systemd-random-seed.service systemd-sysctl.service modprobe@.service tmp.mount \\
    dev-hugepages.mount dev-mqueue.mount sys-kernel-tracing.mount \\
    systemd-udevd.service systemd-udevd-control.socket systemd-udevd-kernel.socket \\
    systemd-udevd-varlink.socket systemd-udev-load-credentials.service \\
    systemd-tmpfiles-setup-dev.service systemd-tmpfiles-setup-dev-early.service \\
    systemd-sysinstall.socket systemd-factory-reset.socket systemd-creds.socket \\
    systemd-sysext.socket systemd-hostnamed.socket systemd-mute-console.socket
echo guest > \"$1/etc/hostname\"
chroot \"$1\" dpkg-query --show > \"$2/packages\"
mkdir \"$2/copy\"
cp --archive --one-file-system \"$1/.\" \"$2/copy\"
rm -rf \"$2/copy/var/lib/apt/lists\" \"$2/copy/var/cache/apt\"
rm -f \"$2/copy/usr/sbin/policy-rc.d\"
real=\"$2/copy/usr/sbin/start-stop-daemon\"
if [ -e \"$real.REAL\" ]; then mv \"$real.REAL\" \"$real\"; fi
mkfs.ext4 -q -F -m 0 -d \"$2/copy\" \"$2/root.ext4\" \"$3\"
rm -rf \"$2/copy\"
";

/// A root file system in the cache.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Root {
    /// The ext4 image; never to be changed.
    pub image: PathBuf,
    /// The packages in it with their versions, `dpkg-query --show`.
    pub packages: PathBuf,
}

/// Finds the root file system.
///
/// # Errors
/// [`Error::NotBuilt`] says how to make it.
pub fn locate(suite: Suite) -> Result<Root, Error> {
    let folder = folder(&Cache::from_env()?, suite);
    let root = root_in(&folder);
    if root.image.is_file() && root.packages.is_file() {
        Ok(root)
    } else {
        Err(Error::NotBuilt { path: root.image })
    }
}

/// Makes the root file system unless it is there already.
///
/// # Errors
/// The packages cannot be had, or a program failed: with the end of its output.
pub fn build(suite: Suite, freshness: Freshness) -> Result<Root, Error> {
    let cache = Cache::from_env()?;
    let _exclusive = cache.lock()?;
    if freshness == Freshness::Cached
        && let Ok(root) = locate(suite)
    {
        return Ok(root);
    }
    let mut tried = Vec::new();
    for mirror in mirrors()? {
        let draft = begin(&cache.roots())?;
        match run(&cache, suite, &mirror, draft.path()) {
            Ok(()) => {
                publish(draft, &folder(&cache, suite))?;
                return locate(suite);
            }
            Err(kernel_build::Error::Step(failed)) => {
                tried.push(failed.tail.last().cloned().unwrap_or(failed.status));
            }
            Err(other) => return Err(other.into()),
        }
    }
    Err(Error::NoMirror {
        suite: suite.name(),
        tried,
    })
}

fn run(
    cache: &Cache,
    suite: Suite,
    mirror: &str,
    result: &Path,
) -> Result<(), kernel_build::Error> {
    let mut command = Command::new("mmdebstrap");
    command
        .env("SOURCE_DATE_EPOCH", SOURCE_DATE_EPOCH)
        .env("SYSTEMD_GUEST_RESULT", result)
        .args(["--variant=essential", "--format=null"])
        .arg(format!("--include={PACKAGES}"))
        .arg(format!("--keyring={}", kernel_build::KEYRING))
        // A mirror may be a snapshot.
        .arg("--aptopt=Acquire::Check-Valid-Until \"false\"")
        .arg(format!(
            "--customize-hook=sh -c '{FINISH}' finish \"$1\" \"$SYSTEMD_GUEST_RESULT\" {SIZE}"
        ))
        .args([suite.name(), "/dev/null", mirror]);
    let step = format!("root file system of {} with systemd", suite.name());
    LoggedCommand::new(&step, command, cache.log("systemd-root")).run()?;
    Ok(())
}

/// Keyed by everything above: another recipe is another image.
fn folder(cache: &Cache, suite: Suite) -> PathBuf {
    let suite = suite.name();
    let recipe = [suite, PACKAGES, SIZE, SOURCE_DATE_EPOCH, FINISH].join("\n");
    let name = format!("{suite}-{}", ConfigHash::of(recipe.as_bytes()));
    cache.roots().join(name)
}

fn root_in(folder: &Path) -> Root {
    Root {
        image: folder.join("root.ext4"),
        packages: folder.join("packages"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// It stands between single quotes in another shell's command.
    #[test]
    fn the_script_has_no_single_quote() {
        assert!(!FINISH.contains('\''));
    }
}
