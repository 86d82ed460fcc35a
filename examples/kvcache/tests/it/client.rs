//! A server in a thread or a process, and a client that sends bytes as they are.

use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::{TcpStream, ToSocketAddrs as _};
use std::os::fd::{AsRawFd as _, OwnedFd};
use std::process::{Child, Command, Stdio};
use std::thread::JoinHandle;
use std::time::Duration;

use kvcache::arena::{self, ArenaSource};
use kvcache::server::{Control, Listener, Server};

/// A server in a thread of the test.
pub(crate) struct Running {
    pub(crate) address: String,
    pub(crate) control: Control,
    /// Keeps the data.
    pub(crate) memfd: OwnedFd,
    thread: Option<JoinHandle<()>>,
}

impl Running {
    pub(crate) fn start(len: u64) -> Self {
        Self::with_hook(ArenaSource::Fresh { len }, || {})
    }

    pub(crate) fn with_hook(source: ArenaSource, hook_fn: impl FnOnce() + Send + 'static) -> Self {
        let (memfd, table) = arena::open(source).unwrap();
        let listener = Listener::tcp("127.0.0.1:0").unwrap();
        let address = listener.tcp_address().unwrap().to_string();
        let control = Control::new().unwrap();
        let own = control.clone();
        let thread = std::thread::spawn(move || {
            let mut server = Server::new(listener, table).on_first_answer(hook_fn);
            server.run(&own).unwrap();
        });
        Self {
            address,
            control,
            memfd,
            thread: Some(thread),
        }
    }

    pub(crate) fn client(&self) -> Client {
        Client::connect(&self.address)
    }

    /// Stops the server and gives the memory back.
    pub(crate) fn stop(mut self) -> OwnedFd {
        self.control.stop();
        self.thread.take().unwrap().join().unwrap();
        self.memfd.try_clone().unwrap()
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        self.control.stop();
        if let Some(thread) = self.thread.take() {
            let _panicked = thread.join();
        }
    }
}

/// The `kvcache` program on a memfd the test holds.
pub(crate) struct Program {
    pub(crate) child: Child,
    pub(crate) address: String,
}

impl Program {
    pub(crate) fn start(memfd: &OwnedFd) -> Self {
        let arena = format!("/proc/{}/fd/{}", std::process::id(), memfd.as_raw_fd());
        let mut child = Command::new(env!("CARGO_BIN_EXE_kvcache"))
            .args(["--listen", "127.0.0.1:0", "--arena", &arena])
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let mut line = String::new();
        BufReader::new(child.stdout.take().unwrap())
            .read_line(&mut line)
            .unwrap();
        let address = line.split_whitespace().nth(2).unwrap().to_owned();
        Self { child, address }
    }

    pub(crate) fn kill(&mut self) {
        // SIGKILL.
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }
}

impl Drop for Program {
    fn drop(&mut self) {
        let _ended = self.child.kill();
        let _ended = self.child.wait();
    }
}

/// A connection.
pub(crate) struct Client {
    pub(crate) stream: TcpStream,
}

impl Client {
    pub(crate) fn connect(address: &str) -> Self {
        let address = address.to_socket_addrs().unwrap().next().unwrap();
        let stream = TcpStream::connect(address).unwrap();
        stream.set_nodelay(true).unwrap();
        // A wrong reply must not hang the test.
        stream
            .set_read_timeout(Some(Duration::from_secs(30)))
            .unwrap();
        Self { stream }
    }

    pub(crate) fn send(&mut self, bytes: &[u8]) {
        self.stream.write_all(bytes).unwrap();
    }

    /// Sends `request` and requires exactly `reply`.
    pub(crate) fn expect(&mut self, request: &[u8], reply: &[u8]) {
        self.send(request);
        self.expect_reply(reply);
    }

    pub(crate) fn expect_reply(&mut self, reply: &[u8]) {
        let mut found = vec![0; reply.len()];
        if let Err(error) = self.stream.read_exact(&mut found) {
            let start = &reply[..reply.len().min(200)];
            panic!("{error}: no {:?}", String::from_utf8_lossy(start));
        }
        // Long replies are not shown whole.
        if found != reply {
            let shown =
                |bytes: &[u8]| String::from_utf8_lossy(&bytes[..bytes.len().min(200)]).into_owned();
            panic!("{:?} instead of {:?}", shown(&found), shown(reply));
        }
    }

    /// Requires that the server closes without another byte.
    pub(crate) fn expect_end(&mut self) {
        let mut rest = Vec::new();
        self.stream.read_to_end(&mut rest).unwrap();
        assert_eq!(rest, b"");
    }
}

/// A request of words.
pub(crate) fn request(words: &[&[u8]]) -> Vec<u8> {
    let mut bytes = Vec::new();
    kvcache::resp::array(&mut bytes, words.len());
    for word in words {
        kvcache::resp::bulk(&mut bytes, word);
    }
    bytes
}
