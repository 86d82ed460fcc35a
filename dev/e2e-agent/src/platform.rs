//! What the agent runs on: a virtual machine with a kernel of its own, or an emulated one.

use std::path::PathBuf;

use anyhow::Context as _;
use e2e_protocol::BootedBy;

use crate::bootinfo;
use crate::emulated::Root;

/// First argument on an emulated machine; the image and an empty folder to be its root follow. A
/// kernel would hand over words of its command line, which has no such word.
const EMULATED_MARK: &str = "--emulated";
/// `luo-emu` sets it for the program of each generation: 1, and more after jumps.
const GENERATION: &str = "LUO_EMU_GENERATION";

/// What is below the agent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Platform {
    /// A real kernel on QEMU, with virtio ports.
    Virtual,
    /// `luo-emu` in namespaces of their own: the conversation is standard input, the log standard
    /// output.
    Emulated,
}

impl Platform {
    /// As an argument of the worker.
    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::Virtual => "virtual",
            Self::Emulated => "emulated",
        }
    }

    /// What [`Self::name`] gave.
    pub(crate) fn from_name(name: &str) -> Option<Self> {
        [Self::Virtual, Self::Emulated]
            .into_iter()
            .find(|platform| platform.name() == name)
    }

    /// Asks whoever knows what started this kernel.
    pub(crate) fn booted_by(self) -> anyhow::Result<BootedBy> {
        match self {
            Self::Virtual => bootinfo::loaded_by(),
            Self::Emulated => {
                let generation = std::env::var(GENERATION).context(GENERATION)?;
                Ok(match generation.as_str() {
                    "1" => BootedBy::Machine,
                    _ => BootedBy::Kexec,
                })
            }
        }
    }
}

/// The root of an emulated machine, from the arguments of process 1; `None` on a virtual one.
pub(crate) fn emulated_root(arguments: &[String]) -> Option<Root> {
    let [mark, image, folder] = arguments else {
        return None;
    };
    (mark == EMULATED_MARK).then(|| Root {
        image: PathBuf::from(image),
        folder: PathBuf::from(folder),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_of_a_kernels_command_line_are_no_emulated_machine() {
        assert!(emulated_root(&["nokaslr".into(), "a".into(), "b".into()]).is_none());
        let root = emulated_root(&["--emulated", "/image", "/root"].map(String::from)).unwrap();
        assert_eq!(root.image, PathBuf::from("/image"));
    }

    #[test]
    fn platform_survives_the_way_to_the_worker() {
        for platform in [Platform::Virtual, Platform::Emulated] {
            assert_eq!(Platform::from_name(platform.name()), Some(platform));
        }
        assert_eq!(Platform::from_name(""), None);
    }
}
