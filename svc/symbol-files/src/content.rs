//! The content of a file, unpacked.

use std::fs::File;
use std::io::{self, Read};
use std::path::Path;

use crate::error::FileError;

/// Most bytes of a file, unpacked: a `vmlinux` with all debug information has less.
pub const CONTENT_MAXIMUM_BYTES: u64 = 2 << 30;

/// Packed formats by their first bytes.
const FORMATS: [(&[u8], &str); 3] = [
    (b"\xfd7zXZ\0", "xz"),
    (b"\x28\xb5\x2f\xfd", "zstd"),
    (b"\x1f\x8b", "gzip"),
];

/// Reads a file whole, and unpacks it when it is packed with xz, zstd or gzip, of which each is a feature of this
/// crate. What a file is packed with is told by its content, not by its name.
///
/// # Errors
/// [`FileError`].
pub fn read(path: &Path) -> Result<Vec<u8>, FileError> {
    let mut file = File::open(path).map_err(FileError::io("open", path))?;
    // Files of /proc say that they are empty.
    let length = file.metadata().map(|metadata| metadata.len()).unwrap_or(0);
    let mut bytes = Vec::new();
    if length <= CONTENT_MAXIMUM_BYTES {
        bytes.reserve_exact(usize::try_from(length).unwrap_or(0).saturating_add(1));
    }
    bounded(&mut file, &mut bytes, path, Packing::None)?;
    let format = FORMATS.iter().find(|(magic, _)| bytes.starts_with(magic));
    match format {
        Some((_, format)) => unpack(&bytes, format, path),
        None => Ok(bytes),
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Packing {
    None,
    Packed,
}

fn bounded(
    from: &mut impl Read,
    bytes: &mut Vec<u8>,
    path: &Path,
    packing: Packing,
) -> Result<(), FileError> {
    let action = match packing {
        Packing::None => "read",
        Packing::Packed => "unpack",
    };
    let limit = CONTENT_MAXIMUM_BYTES.saturating_add(1);
    let count = from.take(limit).read_to_end(bytes);
    let count = count.map_err(FileError::io(action, path))?;
    if u64::try_from(count).unwrap_or(u64::MAX) > CONTENT_MAXIMUM_BYTES {
        return Err(FileError::TooLarge {
            path: path.to_owned(),
            maximum_bytes: CONTENT_MAXIMUM_BYTES,
            is_packed: packing == Packing::Packed,
        });
    }
    Ok(())
}

fn unpack(packed: &[u8], format: &'static str, path: &Path) -> Result<Vec<u8>, FileError> {
    let Some(unpacked) = unpacker(packed, format) else {
        return Err(FileError::NotSupported {
            path: path.to_owned(),
            format,
        });
    };
    let mut bytes = Vec::new();
    let mut unpacked = unpacked.map_err(FileError::io("unpack", path))?;
    bounded(&mut unpacked, &mut bytes, path, Packing::Packed)?;
    Ok(bytes)
}

/// What unpacks a format; `None` when this build cannot.
#[cfg_attr(
    not(any(feature = "gzip", feature = "xz", feature = "zstd")),
    expect(unused_variables, reason = "nothing is unpacked")
)]
fn unpacker<'p>(packed: &'p [u8], format: &str) -> Option<io::Result<Box<dyn Read + 'p>>> {
    match format {
        #[cfg(feature = "xz")]
        "xz" => {
            // The kernel's build packs modules with a dictionary of 2 MiB; what asks for much more is no module.
            const MEMORY_KIB: u32 = 256 << 10;
            Some(Ok(Box::new(lzma_rust2::XzReader::new_mem_limit(
                packed, true, MEMORY_KIB,
            ))))
        }
        #[cfg(feature = "zstd")]
        "zstd" => {
            let decoder = ruzstd::decoding::StreamingDecoder::new(packed);
            let decoder = decoder.map_err(io::Error::other);
            Some(decoder.map(|decoder| -> Box<dyn Read + 'p> { Box::new(decoder) }))
        }
        #[cfg(feature = "gzip")]
        "gzip" => Some(Ok(Box::new(flate2::read::MultiGzDecoder::new(packed)))),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use std::process::{Command, Stdio};

    use super::*;

    /// Packs with the program of the format.
    fn packed(program: &str, content: &[u8]) -> Vec<u8> {
        let mut command = Command::new(program);
        let command = command
            .arg("-c")
            .stdin(Stdio::piped())
            .stdout(Stdio::piped());
        let mut child = command.spawn().unwrap();
        let mut stdin = child.stdin.take().unwrap();
        let content = content.to_vec();
        let writer = std::thread::spawn(move || io::Write::write_all(&mut stdin, &content));
        let output = child.wait_with_output().unwrap();
        writer.join().unwrap().unwrap();
        output.stdout
    }

    #[test]
    fn packed_files_are_unpacked_by_content() {
        let folder = tempfile::tempdir().unwrap();
        let content: Vec<u8> = (0..300_000_u32)
            .flat_map(|at| (at / 7).to_le_bytes())
            .collect();
        let path = folder.path().join("any-name");
        std::fs::write(&path, &content).unwrap();
        assert_eq!(read(&path).unwrap(), content);
        for (program, is_built) in [
            ("xz", cfg!(feature = "xz")),
            ("zstd", cfg!(feature = "zstd")),
            ("gzip", cfg!(feature = "gzip")),
        ] {
            std::fs::write(&path, packed(program, &content)).unwrap();
            match read(&path) {
                Ok(found) => assert!(is_built && found == content, "{program}"),
                Err(FileError::NotSupported { format, .. }) => {
                    assert!(!is_built && format == program, "{program}");
                }
                Err(error) => panic!("{program}: {error}"),
            }
        }
    }

    #[test]
    fn damaged_packing_is_an_error_with_the_path() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("m.ko.xz");
        let mut bytes = packed("xz", &[7; 4000]);
        bytes.truncate(40);
        std::fs::write(&path, bytes).unwrap();
        let error = read(&path).unwrap_err().to_string();
        assert!(error.contains("m.ko.xz"), "{error}");
        let error = read(&folder.path().join("absent")).unwrap_err().to_string();
        assert!(
            error.starts_with("open ") && error.contains("absent"),
            "{error}"
        );
    }
}
