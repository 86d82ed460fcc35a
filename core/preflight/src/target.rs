//! The next kernel, as far as its files tell.

use initrd::{BlockImage, EntryKind, Refused, Rules, Seen};
use kimage::{Arm64Image, BzImage, KernelConfig, Packing, Tags, UnpackError, unpack};

use crate::cmdline::CommandLine;

/// What a member of an initial RAM disk may unpack to: more than any has, and little enough.
const MAX_MEMBER_BYTES: usize = 2 << 30;

/// The next kernel and all it is started with.
#[derive(Clone, Debug)]
pub struct Target {
    /// The kernel.
    pub kernel: Result<KernelFacts, UnpackError>,
    /// Its initial RAM disk.
    pub initrd: Option<InitrdFacts>,
    /// Its command line.
    pub cmdline: CommandLine,
}

/// What is in a kernel file.
#[derive(Clone, Debug)]
pub struct KernelFacts {
    /// What the file is.
    pub packing: Packing,
    /// What the kernel is compressed in there.
    pub compression: Option<decompress::Format>,
    /// Its release.
    pub release: Option<String>,
    /// Versions it takes over under.
    pub tags: Tags,
    /// Its configuration, when it carries it.
    pub config: Option<KernelConfig>,
    /// Bytes that must be free for it in one piece.
    pub needed_bytes: Option<u64>,
    /// Bytes of the longest command line, without its NUL.
    pub cmdline_max_bytes: Option<u64>,
    /// Bytes of a page, of an arm64 Image that tells.
    pub page_bytes: Option<u64>,
    /// Whether the file has a signature; nothing is said of whose.
    pub is_signed: bool,
    /// Names of the parameter for the size of scratch that it knows.
    pub scratch_parameters: Vec<&'static str>,
}

/// What is in an initial RAM disk.
#[derive(Clone, Debug)]
pub struct InitrdFacts {
    /// Its bytes.
    pub bytes: u64,
    /// Forms its members are compressed in.
    pub formats: Vec<decompress::Format>,
    /// Whether the program that is started is in it.
    pub has_init: bool,
    /// The program that is looked for.
    pub init: String,
    /// What it is when it is no initramfs at all.
    pub block: Option<BlockImage>,
    /// Where the kernel stops, and why.
    pub refused: Option<Refused>,
}

/// What the parameter is called: before Linux 7.4, and since.
pub(crate) const SCRATCH_PARAMETERS: [&str; 2] = ["kho_scratch", "kho_bootmem"];

impl Target {
    /// Looks into files.
    pub fn read(kernel: &[u8], initrd: Option<&[u8]>, cmdline: &str) -> Self {
        let kernel = KernelFacts::read(kernel);
        let cmdline = CommandLine::new(cmdline);
        let config = kernel.as_ref().ok().and_then(|it| it.config.as_ref());
        let initrd = initrd.map(|image| InitrdFacts::read(image, &cmdline, config));
        Self {
            kernel,
            initrd,
            cmdline,
        }
    }

    pub(crate) fn config(&self) -> Option<&KernelConfig> {
        self.kernel.as_ref().ok()?.config.as_ref()
    }
}

impl KernelFacts {
    /// Looks into a kernel file.
    ///
    /// # Errors
    /// [`UnpackError`].
    pub fn read(file: &[u8]) -> Result<Self, UnpackError> {
        let unpacked = unpack(file)?;
        let bzimage = match unpacked.packing {
            Packing::BzImage => BzImage::parse(file).ok(),
            _ => None,
        };
        let arm64 = Arm64Image::parse(&unpacked.kernel);
        let known = |name: &&str| kimage::has_string(&unpacked.kernel, name);
        let needed_bytes = match (&bzimage, &arm64) {
            (Some(image), _) => Some(image.needed_bytes()),
            (None, Some(image)) => Some(image.image_bytes),
            (None, None) => None,
        };
        Ok(Self {
            packing: unpacked.packing,
            compression: unpacked.compression,
            release: kimage::release(&unpacked.kernel)
                .or_else(|| bzimage.as_ref()?.release().map(str::to_owned)),
            tags: Tags::find(&unpacked.kernel),
            config: KernelConfig::find(&unpacked.kernel),
            needed_bytes,
            cmdline_max_bytes: bzimage.as_ref().map(BzImage::command_line_max_bytes),
            page_bytes: arm64.and_then(Arm64Image::page_bytes),
            is_signed: kimage::is_signed(file),
            scratch_parameters: SCRATCH_PARAMETERS.into_iter().filter(known).collect(),
        })
    }
}

impl InitrdFacts {
    fn read(image: &[u8], cmdline: &CommandLine, config: Option<&KernelConfig>) -> Self {
        let init = cmdline.last("rdinit").unwrap_or("/init").to_owned();
        let wanted = init.trim_start_matches('/');
        let mut formats = Vec::new();
        let mut has_init = false;
        let mut is_initramfs = false;
        let is_configured = |format: decompress::Format| {
            config.is_none_or(|config| config.is_built_in(format.initramfs_option()))
        };
        let rules = Rules {
            is_configured: &is_configured,
            ..Rules::new(MAX_MEMBER_BYTES)
        };
        let answer = initrd::read(image, &rules, &mut |seen| match seen {
            Seen::Member(member) => {
                is_initramfs = true;
                formats.extend(member.format);
            }
            Seen::Entry(entry) => {
                let name = entry.name.strip_prefix(b"./").unwrap_or(entry.name);
                let name = name.strip_prefix(b"/").unwrap_or(name);
                let can_run = matches!(entry.kind, EntryKind::File | EntryKind::Symlink);
                if name == wanted.as_bytes() {
                    has_init = can_run;
                }
            }
            Seen::Skipped { .. } | Seen::Trailer | Seen::MemberEnd { .. } => {}
        });
        Self {
            bytes: u64::try_from(image.len()).unwrap_or(u64::MAX),
            formats,
            has_init,
            init,
            block: BlockImage::find(image).filter(|_| answer.is_err() && !is_initramfs),
            refused: answer.err(),
        }
    }
}
