//! A client of luo-agent's protocol, as a virtual machine monitor would be: it preserves its memory in a session of its own.

use std::collections::VecDeque;
use std::io::{IoSliceMut, Write as _};
use std::mem::MaybeUninit;
use std::os::fd::{AsFd as _, OwnedFd};
use std::os::unix::net::UnixStream;
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context as _, bail, ensure};
use luo_sys::{Incoming, Outgoing, Session, Token};
use rustix::fs::{MemfdFlags, ftruncate, memfd_create};
use rustix::net::{RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, recvmsg};

use crate::content::{Kind, seed};
use crate::say;

const SOCKET: &str = "/run/luod/luo-agent.sock";
const KIND: Kind = Kind::Full(4);
const BYTES: u64 = 4 << 20;
/// Chosen by the client: luod knows nothing of it.
const TOKEN: Token = Token(0x7007);
/// luod is started beside it.
const PATIENCE: Duration = Duration::from_secs(20);

/// How it behaves.
#[derive(Clone, Debug, clap::Args)]
pub(crate) struct Arguments {
    /// Its name.
    #[arg(long)]
    name: String,
    /// Says HELLO, with these features.
    #[arg(long, value_delimiter = ',')]
    features: Option<Vec<String>>,
    /// Refuses every update.
    #[arg(long)]
    refuse: Option<String>,
}

struct Client {
    stream: UnixStream,
    bytes: Vec<u8>,
    fds: VecDeque<OwnedFd>,
}

impl Client {
    fn connect() -> anyhow::Result<Self> {
        let begin = Instant::now();
        let stream = loop {
            match UnixStream::connect(SOCKET) {
                Ok(stream) => break stream,
                Err(_error) if begin.elapsed() < PATIENCE => {
                    thread::sleep(Duration::from_millis(5));
                }
                Err(error) => return Err(error).context(SOCKET),
            }
        };
        Ok(Self {
            stream,
            bytes: Vec::new(),
            fds: VecDeque::new(),
        })
    }

    fn send(&mut self, line: &str) -> anyhow::Result<()> {
        Ok(self.stream.write_all(format!("{line}\n").as_bytes())?)
    }

    /// The next line.
    fn line(&mut self) -> anyhow::Result<String> {
        loop {
            if let Some(at) = self.bytes.iter().position(|byte| *byte == b'\n') {
                let line: Vec<u8> = self.bytes.drain(..=at).collect();
                return Ok(String::from_utf8(line)?.trim_end().to_owned());
            }
            let mut buffer = [0; 4096];
            let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(4))];
            let mut control = RecvAncillaryBuffer::new(&mut space);
            let mut data = [IoSliceMut::new(&mut buffer)];
            let flags = RecvFlags::CMSG_CLOEXEC;
            let received = recvmsg(&self.stream, &mut data, &mut control, flags)?;
            for message in control.drain() {
                if let RecvAncillaryMessage::ScmRights(fds) = message {
                    self.fds.extend(fds);
                }
            }
            ensure!(received.bytes > 0, "luod hung up");
            self.bytes.extend(&buffer[..received.bytes]);
        }
    }

    /// The next line that is no DONE.
    fn event(&mut self) -> anyhow::Result<String> {
        loop {
            let line = self.line()?;
            if !line.contains(r#""event":"DONE""#) {
                return Ok(line);
            }
        }
    }

    fn fd(&mut self) -> anyhow::Result<OwnedFd> {
        self.fds.pop_front().context("no descriptor came along")
    }
}

/// Claims or makes its memory, then takes part in updates until luod ends.
pub(crate) fn run(arguments: &Arguments) -> anyhow::Result<()> {
    let name = &arguments.name;
    let mut client = Client::connect()?;
    if let Some(features) = &arguments.features {
        let list: Vec<_> = features.iter().map(|it| format!("\"{it}\"")).collect();
        client.send(&format!(
            r#"{{"cmd":"HELLO","features":[{}]}}"#,
            list.join(",")
        ))?;
        say!("{name}: {}", client.line()?);
    }
    client.send(&format!(r#"{{"cmd":"CLAIM","id":"{name}"}}"#))?;
    let line = client.event()?;
    let memory = if line.contains(r#""event":"CLAIMED""#) {
        let session = Session::<Incoming>::from_fd(client.fd()?);
        let memory = session.retrieve(TOKEN)?;
        KIND.verify(memory.as_fd(), seed(name, "memory"))?;
        say!("{name}: claimed and verified");
        memory
    } else {
        ensure!(line.contains("NotFound"), "{line}");
        let memory = memfd_create("memory", MemfdFlags::CLOEXEC)?;
        ftruncate(&memory, BYTES)?;
        KIND.fill(memory.as_fd(), seed(name, "memory"))?;
        say!("{name}: filled");
        memory
    };
    client.send(&format!(r#"{{"cmd":"SUBSCRIBE","id":"{name}"}}"#))?;
    say!("{name}: subscribed");
    follow(&mut client, arguments, &memory)
}

fn follow(client: &mut Client, arguments: &Arguments, memory: &OwnedFd) -> anyhow::Result<()> {
    let name = &arguments.name;
    let mut session = None;
    loop {
        let line = client.event()?;
        if line.contains(r#""event":"START_PRESERVATION""#) {
            let own = Session::<Outgoing>::from_fd(client.fd()?);
            own.preserve(memory, TOKEN)?;
            session = Some(own);
            say!("{name}: preserved");
            match &arguments.refuse {
                None => client.send(r#"{"cmd":"READY"}"#)?,
                Some(reason) => {
                    client.send(&format!(r#"{{"cmd":"VETO","reason":"{reason}"}}"#))?;
                }
            }
        } else if line.contains(r#""event":"FREEZE""#) {
            say!("{name}: frozen");
            client.send(r#"{"cmd":"READY"}"#)?;
        } else if line.contains(r#""event":"CANCEL""#) {
            say!("{name}: cancelled, with a session: {}", session.is_some());
            session = None;
        } else {
            bail!("{line}");
        }
    }
}
