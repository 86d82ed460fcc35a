//! The protocol of the C agent `luo-agent`, as far as its clients speak it: for virtual machine monitors that preserve
//! their own descriptors in a session of their own.
//!
//! A client subscribes, gets an empty session with `START_PRESERVATION`, preserves in it what it has, and says READY; in
//! the next kernel it claims the session. What is in it luod does not know: it holds the session, over the end of the
//! client as well, until the client has claimed it and subscribes again, or says FINISH.
//!
//! The lines are in [`message`]; each connection has two threads, one that reads and one that writes.

mod lines;
mod message;

use std::io::{self, BufReader, IoSlice, Write as _};
use std::mem::MaybeUninit;
use std::net::Shutdown;
use std::os::fd::{AsFd as _, OwnedFd};
use std::os::unix::net::{UnixListener, UnixStream};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc::{self, Receiver, SyncSender, TrySendError};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::Duration;

use live_varlink::Peer;
use luod_api::service::{Answer, Finish, Notice, Veto};
use luod_api::{Code, Refusal};
use rustix::net::sockopt::socket_peercred;
use rustix::net::{SendAncillaryBuffer, SendAncillaryMessage, SendFlags, sendmsg};

use self::message::{Event, FEATURES, VERSION};
use crate::engine::Engine;
use crate::mailbox::Listener;
use crate::state::{OwnSession, Subscription};

pub use self::lines::CommandLines;
pub use self::message::{Command, Feature};

/// Connections at a time; each has two threads.
const MOST_CONNECTIONS: usize = 64;
/// Lines that wait for a client; one that reads none of them is let go.
const MOST_WAITING: usize = 64;
/// A client that takes nothing for so long is let go.
const WRITE_PATIENCE: Duration = Duration::from_secs(10);
/// A line that was begun has to end within this time: the connection is one of a few.
const LINE_PATIENCE: Duration = Duration::from_secs(5);
/// How long a read waits before it is looked whether a line is late.
const READ_TURN: Duration = Duration::from_secs(1);
/// Pause without accepting when something ran out.
const SHORTAGE_PAUSE: Duration = Duration::from_millis(50);
/// Numbers of these connections: the other socket's count from below.
const FIRST_CONNECTION: u64 = 1 << 63;

/// Something on its way to the client.
#[derive(Debug)]
enum Say {
    /// A line, and the descriptor that comes along.
    Event(Event, Option<OwnedFd>),
    /// A step of an update.
    Notice(Notice),
}

/// Serves the socket of the C agent's protocol for ever.
///
/// # Errors
/// No thread can be started.
pub fn serve_luo_agent(engine: &Arc<Engine>, listener: &UnixListener) -> io::Result<()> {
    let open = Arc::new(AtomicUsize::new(0));
    for (number, stream) in (FIRST_CONNECTION..).zip(listener.incoming()) {
        let stream = match stream {
            Ok(stream) => stream,
            Err(error) => {
                // Descriptors or memory ran out: nothing gets better by trying at once.
                tracing::warn!(%error, "a connection of luo-agent's protocol was not accepted");
                thread::sleep(SHORTAGE_PAUSE);
                continue;
            }
        };
        if open.fetch_add(1, Ordering::SeqCst) >= MOST_CONNECTIONS {
            open.fetch_sub(1, Ordering::SeqCst);
            tracing::warn!("too many connections of luo-agent's protocol, one was closed");
            continue;
        }
        let (engine, counted) = (Arc::clone(engine), Arc::clone(&open));
        let serve = move || {
            if let Err(error) = serve_one(&engine, number, &stream) {
                tracing::info!(%error, "a connection of luo-agent's protocol ended");
            }
            counted.fetch_sub(1, Ordering::SeqCst);
        };
        thread::Builder::new()
            .name("luo-agent".to_owned())
            .spawn(serve)?;
    }
    Ok(())
}

/// One connection until it ends.
fn serve_one(engine: &Arc<Engine>, connection: u64, stream: &UnixStream) -> io::Result<()> {
    let cred = socket_peercred(stream)?;
    let peer = Peer {
        connection,
        pid: cred.pid.as_raw_nonzero().get().unsigned_abs(),
        uid: cred.uid.as_raw(),
    };
    stream.set_write_timeout(Some(WRITE_PATIENCE))?;
    stream.set_read_timeout(Some(READ_TURN))?;
    let (says, waiting) = mpsc::sync_channel(MOST_WAITING);
    let shared = Arc::<Mutex<Shared>>::default();
    let writer = Writer {
        engine: Arc::clone(engine),
        peer,
        stream: stream.try_clone()?,
        shared: Arc::clone(&shared),
    };
    let written = thread::Builder::new()
        .name("luo-agent writer".to_owned())
        .spawn(move || writer.run(&waiting))?;
    let mut reader = Reader {
        engine: Arc::clone(engine),
        peer,
        says,
        shared,
        claimed: None,
    };
    let answer = reader.run(stream);
    engine.detach(&peer);
    // The writer ends with the last who may have something to say.
    drop(reader);
    let _closed = stream.shutdown(Shutdown::Both);
    let _ended = written.join();
    answer
}

/// What both threads of a connection know.
#[derive(Debug, Default)]
struct Shared {
    /// Of the last HELLO.
    features: Vec<Feature>,
    /// Whom the connection speaks for.
    name: String,
    /// The step that waits for READY.
    asked: Option<Notice>,
}

fn lock(shared: &Mutex<Shared>) -> MutexGuard<'_, Shared> {
    shared.lock().unwrap_or_else(PoisonError::into_inner)
}

/// The thread that writes.
struct Writer {
    engine: Arc<Engine>,
    peer: Peer,
    stream: UnixStream,
    shared: Arc<Mutex<Shared>>,
}

impl Writer {
    /// Writes until nobody has anything to say, or the client reads no more.
    fn run(&self, says: &Receiver<Say>) {
        for say in says {
            let done = match say {
                Say::Event(event, fd) => write_line(&self.stream, &event, fd.as_ref()),
                Say::Notice(notice) => self.notice(notice),
            };
            if let Err(error) = done {
                tracing::info!(%error, "a client of luo-agent's protocol was not told");
                // The reader sees it.
                let _closed = self.stream.shutdown(Shutdown::Both);
                return;
            }
        }
    }

    /// Tells a step, or answers it for a client that does not know it.
    fn notice(&self, notice: Notice) -> io::Result<()> {
        let (id, features) = {
            let mut shared = lock(&self.shared);
            // An answer that is on its way when the update is cancelled is still one to this.
            if notice.deadline_ms > 0 {
                shared.asked = Some(notice.clone());
            }
            (shared.name.clone(), shared.features.clone())
        };
        let deadline_ms = notice.deadline_ms;
        match notice.event {
            update::Event::Prepare => match self.engine.outgoing_session(&id) {
                Ok(session) => {
                    let event = Event::StartPreservation { id, deadline_ms };
                    write_line(&self.stream, &event, Some(&session))
                }
                Err(refusal) => write_line(&self.stream, &refused(refusal), None),
            },
            update::Event::Freeze if features.contains(&Feature::Freeze) => {
                write_line(&self.stream, &Event::Freeze { id, deadline_ms }, None)
            }
            update::Event::Freeze => {
                lock(&self.shared).asked = None;
                if let Err(refusal) = self.engine.ready(&self.peer, &answer(id, notice)) {
                    tracing::info!(%refusal, "nobody waits for a client of luo-agent's protocol");
                }
                Ok(())
            }
            update::Event::Cancel if features.contains(&Feature::Cancel) => {
                write_line(&self.stream, &Event::Cancel { id }, None)
            }
            _ => Ok(()),
        }
    }
}

fn answer(service: String, notice: Notice) -> Answer {
    Answer {
        service,
        event: notice.event,
        update_id: notice.update_id,
    }
}

/// An answer that came after the update was cancelled has nothing to be told.
fn late_is_fine(answer: Result<(), Refusal>) -> Result<(), Refusal> {
    match answer {
        Err(refusal) if refusal.code == Code::WrongPhase => Ok(()),
        answer => answer,
    }
}

fn refused(refusal: Refusal) -> Event {
    Event::Error {
        code: refusal.code.name(),
        message: refusal.message,
        hint: refusal.hint,
    }
}

fn write_line(mut stream: &UnixStream, event: &Event, fd: Option<&OwnedFd>) -> io::Result<()> {
    let mut line = serde_json::to_vec(event)?;
    line.push(b'\n');
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(1))];
    let mut control = SendAncillaryBuffer::new(&mut space);
    let fds: Vec<_> = fd.iter().map(|fd| fd.as_fd()).collect();
    if !fds.is_empty() && !control.push(SendAncillaryMessage::ScmRights(&fds)) {
        return Err(io::ErrorKind::InvalidInput.into());
    }
    let data = [IoSlice::new(&line)];
    let sent = sendmsg(stream, &data, &mut control, SendFlags::NOSIGNAL)?;
    stream.write_all(line.get(sent..).unwrap_or_default())
}

/// The engine's way to the connection that subscribed.
#[derive(Debug)]
struct Subscriber(SyncSender<Say>);

impl Listener for Subscriber {
    fn post(&self, notice: Notice) {
        // Whoever reads nothing does not answer either, and the barrier names it.
        if let Err(TrySendError::Full(_)) = self.0.try_send(Say::Notice(notice)) {
            tracing::warn!("a client of luo-agent's protocol reads nothing");
        }
    }
}

/// The thread that reads.
struct Reader {
    engine: Arc<Engine>,
    peer: Peer,
    says: SyncSender<Say>,
    shared: Arc<Mutex<Shared>>,
    /// The name whose session this connection was given.
    claimed: Option<String>,
}

impl Reader {
    /// Reads commands until the client hangs up.
    fn run(&mut self, stream: &UnixStream) -> io::Result<()> {
        let mut lines = CommandLines::new(BufReader::new(stream), LINE_PATIENCE);
        while let Some(command) = lines.next_command()? {
            let done = command.and_then(|command| self.command(command));
            if let Err(refusal) = done {
                tracing::info!(pid = self.peer.pid, %refusal, "refused");
                self.say(refused(refusal), None)?;
            } else if lock(&self.shared).features.contains(&Feature::Done) {
                self.say(Event::Done, None)?;
            }
        }
        Ok(())
    }

    fn say(&self, event: Event, fd: Option<OwnedFd>) -> io::Result<()> {
        let sent = self.says.try_send(Say::Event(event, fd));
        sent.map_err(|_full| io::Error::other("the client reads nothing"))
    }

    fn command(&mut self, command: Command) -> Result<(), Refusal> {
        match command {
            Command::Hello { mut features } => {
                features.retain(|feature| FEATURES.contains(feature));
                lock(&self.shared).features.clone_from(&features);
                let server = concat!("luod ", env!("CARGO_PKG_VERSION")).to_owned();
                let version = VERSION;
                self.tell(
                    Event::Hello {
                        version,
                        server,
                        features,
                    },
                    None,
                )
            }
            Command::Subscribe { id } => self.subscribe(&id),
            Command::Ready => self.ready(),
            Command::Claim { id } => {
                self.attach(&id)?;
                let session = self.engine.get_session(&self.peer, &id)?;
                self.claimed = Some(id.clone());
                self.tell(Event::Claimed { id }, Some(session))
            }
            Command::Veto { reason } => {
                let (service, asked) = self.asked()?;
                let update_id = asked.update_id;
                let veto = Veto {
                    service,
                    update_id,
                    reason,
                };
                late_is_fine(self.engine.veto(&self.peer, &veto))
            }
            Command::Finish => {
                let name = lock(&self.shared).name.clone();
                self.finish(&name)
            }
        }
    }

    fn tell(&self, event: Event, fd: Option<OwnedFd>) -> Result<(), Refusal> {
        self.say(event, fd)
            .map_err(|error| Refusal::new(Code::Internal, error))
    }

    fn attach(&self, id: &str) -> Result<(), Refusal> {
        self.engine.attach(&self.peer, id)?;
        id.clone_into(&mut lock(&self.shared).name);
        Ok(())
    }

    /// Takes part from now on. Whoever has claimed its session and subscribes runs again: nothing else in this protocol
    /// says so.
    fn subscribe(&self, id: &str) -> Result<(), Refusal> {
        self.attach(id)?;
        if self.engine.has_incoming_session(id) {
            if self.claimed.as_deref() != Some(id) {
                let text = format!("a session came over for {id:?}");
                return Err(Refusal::new(Code::Unfinished, text).with_hint("CLAIM it first"));
            }
            self.finish(id)?;
        }
        let subscription = Subscription {
            connection: self.peer.connection,
            listener: Arc::new(Subscriber(self.says.clone())),
            own_session: OwnSession::Wanted,
        };
        self.engine.set_subscription(&self.peer, id, subscription)
    }

    fn finish(&self, id: &str) -> Result<(), Refusal> {
        self.engine.running(&self.peer, id)?;
        let request = Finish {
            service: id.to_owned(),
            discard: Vec::new(),
        };
        self.engine.finish_service(&self.peer, &request)
    }

    fn ready(&self) -> Result<(), Refusal> {
        let (service, asked) = self.asked()?;
        late_is_fine(self.engine.ready(&self.peer, &answer(service, asked)))
    }

    /// The step that waits, which is answered by this.
    fn asked(&self) -> Result<(String, Notice), Refusal> {
        let mut shared = lock(&self.shared);
        let none = || Refusal::new(Code::WrongPhase, "no event waits for an answer");
        let asked = shared.asked.take().ok_or_else(none)?;
        Ok((shared.name.clone(), asked))
    }
}
