//! Takes whatever sessions there are over an update: retrieves them, says what is in them, and
//! preserves it again for the next one.

use std::fs::{self, File};
use std::io::Seek as _;
use std::os::fd::AsFd as _;
use std::os::unix::fs::FileExt as _;
use std::path::PathBuf;
use std::thread;

use anyhow::Context as _;
use liveupdate::{Device, Seals, SessionName, Token};

use crate::say;

/// Bytes read at once.
const CHUNK: usize = 1 << 20;

/// What to take along.
#[derive(Debug, clap::Args)]
pub(crate) struct Arguments {
    /// A line for each session: its name, then its tokens.
    #[arg(long)]
    list: PathBuf,
}

/// A session and its files by their tokens.
struct Taken {
    name: SessionName,
    files: Vec<(Token, File)>,
}

/// Holds the outgoing sessions until the jump.
pub(crate) fn run(arguments: &Arguments) -> anyhow::Result<()> {
    let list = fs::read_to_string(&arguments.list)?;
    let device = Device::open()?;
    let mut all = Vec::new();
    for line in list.lines() {
        all.push(take(&device, line).with_context(|| line.to_owned())?);
    }
    let mut held = Vec::new();
    for Taken { name, files } in &all {
        let session = device.create_session(name)?;
        for (token, file) in files {
            session.preserve(file, *token)?;
        }
        held.push(session);
    }
    drop(device);
    say!("preserved");
    loop {
        thread::park();
    }
}

/// Retrieves a session with all its files, and finishes it.
fn take(device: &Device, line: &str) -> anyhow::Result<Taken> {
    let mut words = line.split(' ');
    let name = SessionName::new(words.next().context("no name")?)?;
    let session = device.retrieve_session(&name)?;
    let mut files = Vec::new();
    for word in words {
        let token = Token(word.parse()?);
        let file = File::from(session.retrieve(token)?);
        tell(&name, token, &file).with_context(|| format!("token {word}"))?;
        files.push((token, file));
    }
    session.finish()?;
    Ok(Taken { name, files })
}

/// One line; the position is not changed.
fn tell(name: &SessionName, token: Token, mut file: &File) -> anyhow::Result<()> {
    let position = file.stream_position()?;
    let size = file.metadata()?.len();
    let seals = Seals::of(file.as_fd())?.bits();
    let mut hasher = crc32fast::Hasher::new();
    let mut buffer = vec![0; CHUNK];
    let mut offset = 0;
    loop {
        let read = file.read_at(&mut buffer, offset)?;
        if read == 0 {
            break;
        }
        hasher.update(buffer.get(..read).unwrap_or_default());
        offset += u64::try_from(read)?;
    }
    let checksum = hasher.finalize();
    say!(
        "{name} {} size {size} position {position} seals {seals:#x} checksum {checksum:08x}",
        token.0
    );
    Ok(())
}
