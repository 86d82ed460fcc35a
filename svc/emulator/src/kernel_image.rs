//! Kernels for the machine: files that say all a kernel says of itself, and have no code.
//!
//! The machine takes any file. Whoever looks into a kernel before it is loaded, as luod does, finds
//! here what is true of the machine: its release, the versions it takes over under, its
//! configuration.

use std::io::Write as _;

use flate2::Compression;
use flate2::write::GzEncoder;

/// Options of the machine, as `/proc/config.gz` has them.
const CONFIG: &str = "CONFIG_64BIT=y
CONFIG_BLK_DEV_INITRD=y
CONFIG_KEXEC_FILE=y
CONFIG_KEXEC_HANDOVER=y
CONFIG_KEXEC_HANDOVER_DEBUGFS=y
CONFIG_KEXEC_HANDOVER_ENABLE_DEFAULT=y
CONFIG_LIVEUPDATE=y
CONFIG_LIVEUPDATE_MEMFD=y
CONFIG_RD_BZIP2=y
CONFIG_RD_GZIP=y
CONFIG_RD_LZ4=y
CONFIG_RD_LZMA=y
CONFIG_RD_LZO=y
CONFIG_RD_XZ=y
CONFIG_RD_ZSTD=y
";

/// Where the setup header ends (`struct setup_header`, v7.3: a displacement of 106 at 0x201).
const JUMP: [u8; 2] = [0xeb, 106];
const PAYLOAD_OFFSET: usize = 0x100;
const SECTOR: usize = 512;

/// A kernel of this release: a bzImage, on arm64 an Image.
pub fn kernel_image(release: &str) -> Vec<u8> {
    let kernel = content(release);
    if cfg!(target_arch = "aarch64") {
        arm64(&kernel)
    } else {
        bzimage(&kernel, release)
    }
}

/// The configuration, compressed as in `/proc/config.gz`.
pub(crate) fn config_gz() -> Vec<u8> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::default());
    // Writing to memory does not fail.
    let written = encoder.write_all(CONFIG.as_bytes());
    written.and_then(|()| encoder.finish()).unwrap_or_default()
}

/// What is looked for in a kernel, in a file that starts as an ELF file does.
fn content(release: &str) -> Vec<u8> {
    let mut kernel = b"\x7fELF\0".to_vec();
    kernel.extend(format!("Linux version {release} (emulated)\0").bytes());
    for tag in [
        kho_abi::kexec_handover::COMPATIBLE,
        kho_abi::luo::COMPATIBLE,
        kho_abi::memfd::COMPATIBLE,
        "kho_scratch",
    ] {
        kernel.extend(tag.bytes());
        kernel.push(0);
    }
    kernel.extend(b"IKCFG_ST");
    kernel.extend(config_gz());
    kernel.extend(b"IKCFG_ED");
    kernel
}

/// Offsets: `Documentation/arch/x86/boot.rst`, v7.3.
fn bzimage(kernel: &[u8], release: &str) -> Vec<u8> {
    let code = (PAYLOAD_OFFSET + kernel.len()).next_multiple_of(16);
    let mut file = vec![0; 2 * SECTOR + code];
    let mut put = |at: usize, bytes: &[u8]| {
        for (to, from) in file.iter_mut().skip(at).zip(bytes) {
            *to = *from;
        }
    };
    let word = |number: usize| u32::try_from(number).unwrap_or(u32::MAX).to_le_bytes();
    // setup_sects, syssize, boot_flag, jump, header, version, kernel_version
    put(0x1f1, &[1]);
    put(0x1f4, &word(code / 16));
    put(0x1fe, &0xaa55_u16.to_le_bytes());
    put(0x200, &JUMP);
    put(0x202, b"HdrS");
    put(0x206, &0x020f_u16.to_le_bytes());
    put(0x20e, &0x0100_u16.to_le_bytes());
    // loadflags, kernel_alignment, xloadflags, cmdline_size, payload_offset and _length, init_size
    put(0x211, &[1]);
    put(0x230, &word(0x20_0000));
    put(0x236, &0x63_u16.to_le_bytes());
    put(0x238, &word(2047));
    put(0x248, &word(PAYLOAD_OFFSET));
    put(0x24c, &word(kernel.len()));
    put(0x260, &word(code));
    let version = format!("{release} (emulated) #1\0");
    let room = SECTOR - 0x100;
    let version = version.as_bytes();
    put(0x300, version.get(..room).unwrap_or(version));
    put(2 * SECTOR + PAYLOAD_OFFSET, kernel);
    file
}

/// Offsets: `Documentation/arch/arm64/booting.rst`, v7.3.
fn arm64(kernel: &[u8]) -> Vec<u8> {
    let mut file = vec![0; 64];
    file.extend(kernel);
    let size = u64::try_from(file.len()).unwrap_or(u64::MAX).to_le_bytes();
    for (at, bytes) in [(0, &b"MZ"[..]), (16, &size), (24, &[0xa]), (56, b"ARM\x64")] {
        for (to, from) in file.iter_mut().skip(at).zip(bytes) {
            *to = *from;
        }
    }
    file
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_says_of_itself_what_the_machine_is() {
        for file in [
            bzimage(&content("7.3.4"), "7.3.4"),
            arm64(&content("7.3.4")),
        ] {
            let kernel = kimage::unpack(&file).unwrap().kernel;
            assert_eq!(kimage::release(&kernel).as_deref(), Some("7.3.4"));
            let tags = kimage::Tags::find(&kernel);
            assert!(tags.kho.contains("kho-v4") && tags.luo.contains("luo-v5"));
            assert!(tags.memfd.contains("memfd-v2"));
            let config = kimage::KernelConfig::find(&kernel).unwrap();
            assert!(config.is_built_in("CONFIG_LIVEUPDATE"));
        }
        let file = bzimage(&content("7.3.4"), "7.3.4");
        let image = kimage::BzImage::parse(&file).unwrap();
        assert_eq!(image.release(), Some("7.3.4"));
    }
}
