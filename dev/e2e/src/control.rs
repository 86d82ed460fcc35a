//! The host's end of the conversation with the agent.

use std::collections::HashMap;
use std::io::Write as _;
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use e2e_protocol::line::{LineReader, Received, encode};
use e2e_protocol::{Hello, Reply, Request, ToGuest, ToHost};

/// Time that QEMU has to make its socket.
const CONNECT_PATIENCE: Duration = Duration::from_secs(20);
/// Time that a guest has to read what was sent to it.
const WRITE_PATIENCE: Duration = Duration::from_secs(20);

/// Why a wait ended without what was waited for.
#[derive(Debug)]
pub(crate) enum Lost {
    /// The time was over.
    Deadline,
    /// The channel is closed, with what reading said last.
    Closed(String),
    /// Another kernel has booted meanwhile.
    Rebooted(Box<Hello>),
    /// The agent's worker was started anew under the same kernel.
    AgentRestarted(Box<Hello>),
}

/// What the reading thread has heard.
#[derive(Debug, Default)]
struct Heard {
    hello: Option<Hello>,
    replies: HashMap<u64, Reply>,
    closed: Option<String>,
    last_id: u64,
}

#[derive(Debug)]
struct Shared {
    heard: Mutex<Heard>,
    changed: Condvar,
    stream: UnixStream,
    /// Keeps the lines of concurrent callers apart. Apart from `heard`: a guest that does not
    /// read must not keep anybody from hearing.
    writing: Mutex<()>,
}

/// A connection to the agent.
#[derive(Debug)]
pub(crate) struct Control {
    shared: Arc<Shared>,
}

impl Control {
    /// Connects to QEMU's socket and starts to listen.
    pub(crate) fn connect(socket: &Path) -> std::io::Result<Self> {
        let start = Instant::now();
        let stream = loop {
            match UnixStream::connect(socket) {
                Ok(stream) => break stream,
                Err(error) if start.elapsed() > CONNECT_PATIENCE => return Err(error),
                Err(_not_yet) => thread::sleep(Duration::from_millis(5)),
            }
        };
        Self::over(stream)
    }

    /// Listens to a stream whose other end is the agent's.
    pub(crate) fn over(stream: UnixStream) -> std::io::Result<Self> {
        stream.set_write_timeout(Some(WRITE_PATIENCE))?;
        let reading = stream.try_clone()?;
        let shared = Arc::new(Shared {
            heard: Mutex::default(),
            changed: Condvar::new(),
            stream,
            writing: Mutex::new(()),
        });
        let listener = Arc::clone(&shared);
        thread::Builder::new()
            .name("e2e control".into())
            .spawn(move || listener.listen(reading))?;
        Ok(Self { shared })
    }

    /// Waits for the hello of a boot other than `known`.
    pub(crate) fn wait_hello(&self, known: Option<&str>, end: Instant) -> Result<Hello, Lost> {
        let heard = self.shared.lock();
        self.shared.wait(heard, end, |heard| {
            let hello = heard.hello.as_ref()?;
            (Some(hello.boot_id.as_str()) != known).then(|| Ok(hello.clone()))
        })
    }

    /// Sends a call and gives its number.
    pub(crate) fn send(&self, request: Request) -> std::io::Result<u64> {
        let mut heard = self.shared.lock();
        heard.last_id += 1;
        let id = heard.last_id;
        drop(heard);
        self.shared.send(&ToGuest::Call { id, request })?;
        Ok(id)
    }

    /// Waits for the answer to call `id`, which was sent to the agent that said `known`.
    pub(crate) fn wait_reply(&self, id: u64, known: &Hello, end: Instant) -> Result<Reply, Lost> {
        let heard = self.shared.lock();
        self.shared.wait(heard, end, |heard| {
            if let Some(reply) = heard.replies.remove(&id) {
                return Some(Ok(reply));
            }
            let hello = heard.hello.as_ref()?;
            if hello.boot_id != known.boot_id {
                Some(Err(Lost::Rebooted(Box::new(hello.clone()))))
            } else if hello.worker != known.worker {
                Some(Err(Lost::AgentRestarted(Box::new(hello.clone()))))
            } else {
                None
            }
        })
    }
}

impl Drop for Control {
    fn drop(&mut self) {
        // Ends the listening thread; the machine may have closed the channel before.
        let _closed = self.shared.stream.shutdown(std::net::Shutdown::Both);
    }
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, Heard> {
        self.heard.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn wait<T>(
        &self,
        mut heard: MutexGuard<'_, Heard>,
        end: Instant,
        find_fn: impl Fn(&mut Heard) -> Option<Result<T, Lost>>,
    ) -> Result<T, Lost> {
        loop {
            if let Some(found) = find_fn(&mut heard) {
                return found;
            }
            if let Some(reason) = &heard.closed {
                return Err(Lost::Closed(reason.clone()));
            }
            let left = end.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return Err(Lost::Deadline);
            }
            let waited = self.changed.wait_timeout(heard, left);
            heard = waited.unwrap_or_else(PoisonError::into_inner).0;
        }
    }

    fn send(&self, message: &ToGuest) -> std::io::Result<()> {
        let line = encode(message)?;
        let _whole_line = self.writing.lock().unwrap_or_else(PoisonError::into_inner);
        (&self.stream).write_all(&line)
    }

    fn listen(&self, stream: UnixStream) {
        let mut lines = LineReader::new(stream);
        let reason = loop {
            match lines.read::<ToHost>() {
                Ok(Some(Received::Message(ToHost::Hello(hello)))) => self.hear_hello(hello),
                Ok(Some(Received::Message(ToHost::Reply { id, reply }))) => {
                    self.lock().replies.insert(id, reply);
                    self.changed.notify_all();
                }
                // Half a line of a kernel that has jumped away.
                Ok(Some(Received::Garbage(_))) => {}
                Ok(None) => break "end of stream".to_owned(),
                Err(error) => break error.to_string(),
            }
        };
        self.lock().closed = Some(reason);
        self.changed.notify_all();
    }

    fn hear_hello(&self, hello: Hello) {
        let boot_id = hello.boot_id.clone();
        // If this is lost the agent says hello again.
        let _repeated = self.send(&ToGuest::Welcome { boot_id });
        self.lock().hello = Some(hello);
        self.changed.notify_all();
    }
}
