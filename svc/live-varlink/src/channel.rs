//! Messages and descriptors over one socket.

use std::io::{self, IoSlice, IoSliceMut};
use std::mem::MaybeUninit;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::net::UnixStream;

use rustix::io::Errno;
use rustix::net::{
    RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, ReturnFlags, SendAncillaryBuffer,
    SendAncillaryMessage, SendFlags,
};
use serde::Serialize;

use crate::error::WireError;

/// Longest message either side may send, in bytes without its NUL.
pub const MAX_MESSAGE_BYTES: usize = 4 << 20;
/// Most descriptors with one message.
pub const MAX_FDS: usize = 16;

/// Bytes asked for in the first read of a message: most are shorter.
const FIRST_READ_BYTES: usize = 2 << 10;
/// Bytes asked for in one read of a long message.
const READ_BYTES: usize = 64 << 10;

/// A received message: its JSON and its descriptors.
#[derive(Debug)]
pub struct Frame {
    /// The bytes before the NUL.
    pub json: Vec<u8>,
    /// Descriptors, close-on-exec, in the order they were sent.
    pub fds: Vec<OwnedFd>,
}

/// What a look without waiting found.
#[derive(Debug)]
pub(crate) enum Received {
    /// A message.
    Frame(Frame),
    /// None yet, or part of one.
    Nothing,
    /// The peer hung up between two.
    End,
}

/// One end of a connection.
#[derive(Debug)]
pub struct Channel {
    stream: UnixStream,
    /// Longest message taken from the peer, in bytes without its NUL.
    limit: usize,
    /// A message was sent in part: whatever follows would be taken for its rest.
    is_broken: bool,
    /// Bytes read and not yet handed out.
    inbox: Vec<u8>,
    /// How much of `inbox` is known to have no NUL.
    searched: usize,
    /// Descriptors of the message being read.
    fds: Vec<OwnedFd>,
}

impl Channel {
    /// Wraps a connected socket.
    pub const fn new(stream: UnixStream) -> Self {
        Self::with_limit(stream, MAX_MESSAGE_BYTES)
    }

    /// Takes messages up to `limit` bytes only.
    pub(crate) const fn with_limit(stream: UnixStream, limit: usize) -> Self {
        Self {
            stream,
            limit,
            is_broken: false,
            inbox: Vec::new(),
            searched: 0,
            fds: Vec::new(),
        }
    }

    /// The socket, for timeouts and peer credentials.
    pub const fn stream(&self) -> &UnixStream {
        &self.stream
    }

    /// Sends `message` with `fds` attached to its first byte.
    ///
    /// # Errors
    /// [`WireError::Io`]; [`WireError::TooManyDescriptors`] past [`MAX_FDS`];
    /// [`WireError::TooLong`] past [`MAX_MESSAGE_BYTES`]; [`WireError::Closed`] when an earlier message
    /// could be sent in part only.
    pub fn send(
        &mut self,
        message: &impl Serialize,
        fds: &[BorrowedFd<'_>],
    ) -> Result<(), WireError> {
        if self.is_broken {
            return Err(WireError::Closed);
        }
        if fds.len() > MAX_FDS {
            return Err(WireError::TooManyDescriptors { limit: MAX_FDS });
        }
        let bytes = encode(message)?;
        let sent = self.send_some(&bytes, fds, SendFlags::empty());
        let rest = sent.and_then(|sent| {
            let rest = bytes.get(sent..).unwrap_or_default();
            Ok(io::Write::write_all(&mut self.stream, rest)?)
        });
        self.is_broken = rest.is_err();
        rest
    }

    /// Sends as much of an encoded message as the socket takes now; the number of bytes.
    pub(crate) fn send_now(&self, bytes: &[u8]) -> Result<usize, WireError> {
        match self.send_some(bytes, &[], SendFlags::DONTWAIT) {
            Err(WireError::Io(error)) if error.kind() == io::ErrorKind::WouldBlock => Ok(0),
            other => other,
        }
    }

    fn send_some(
        &self,
        bytes: &[u8],
        fds: &[BorrowedFd<'_>],
        flags: SendFlags,
    ) -> Result<usize, WireError> {
        let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(MAX_FDS))];
        let mut control = SendAncillaryBuffer::new(&mut space);
        if !fds.is_empty() && !control.push(SendAncillaryMessage::ScmRights(fds)) {
            return Err(WireError::TooManyDescriptors { limit: MAX_FDS });
        }
        let flags = SendFlags::NOSIGNAL | flags;
        let data = [IoSlice::new(bytes)];
        rustix::io::retry_on_intr(|| rustix::net::sendmsg(&self.stream, &data, &mut control, flags))
            .map_err(|errno| WireError::Io(errno.into()))
    }

    /// Waits for the next message; `None` when the peer hung up between two.
    ///
    /// # Errors
    /// [`WireError`]: after any of them the connection is of no further use.
    pub fn receive(&mut self) -> Result<Option<Frame>, WireError> {
        loop {
            if let Some(frame) = self.take_frame()? {
                return Ok(Some(frame));
            }
            if self.read_some(RecvFlags::empty())? == 0 {
                return self.end().map(|()| None);
            }
        }
    }

    /// The next message if all of it is there; never waits.
    ///
    /// # Errors
    /// As [`Channel::receive`].
    pub(crate) fn receive_now(&mut self) -> Result<Received, WireError> {
        loop {
            if let Some(frame) = self.take_frame()? {
                return Ok(Received::Frame(frame));
            }
            match self.read_some(RecvFlags::DONTWAIT) {
                Ok(0) => return self.end().map(|()| Received::End),
                Ok(_) => {}
                Err(WireError::Io(error)) if error.kind() == io::ErrorKind::WouldBlock => {
                    // Thousands of connections wait most of their lives.
                    if self.inbox.is_empty() {
                        self.inbox = Vec::new();
                    }
                    return Ok(Received::Nothing);
                }
                Err(error) => return Err(error),
            }
        }
    }

    /// Whether bytes of another message were read already.
    pub(crate) const fn has_more(&self) -> bool {
        !self.inbox.is_empty()
    }

    /// What it means that no more bytes come.
    const fn end(&self) -> Result<(), WireError> {
        match self.inbox.len() {
            0 => Ok(()),
            bytes => Err(WireError::Truncated { bytes }),
        }
    }

    fn take_frame(&mut self) -> Result<Option<Frame>, WireError> {
        let unsearched = self.inbox.get(self.searched..).unwrap_or_default();
        let Some(found) = unsearched.iter().position(|&byte| byte == 0) else {
            self.searched = self.inbox.len();
            if self.searched > self.limit {
                return Err(WireError::TooLong { limit: self.limit });
            }
            return Ok(None);
        };
        let rest = self.inbox.split_off(self.searched + found + 1);
        let mut json = std::mem::replace(&mut self.inbox, rest);
        json.pop();
        self.searched = 0;
        if !self.fds.is_empty() && !self.inbox.is_empty() {
            return Err(WireError::UnclearDescriptors);
        }
        Ok(Some(Frame {
            json,
            fds: std::mem::take(&mut self.fds),
        }))
    }

    fn read_some(&mut self, flags: RecvFlags) -> Result<usize, WireError> {
        let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(MAX_FDS))];
        let mut control = RecvAncillaryBuffer::new(&mut space);
        let old_len = self.inbox.len();
        if old_len == 0 {
            self.inbox.shrink_to(FIRST_READ_BYTES);
        }
        let wanted = old_len.clamp(FIRST_READ_BYTES, READ_BYTES);
        self.inbox.resize(old_len + wanted, 0);
        let (_, free) = self.inbox.split_at_mut(old_len);
        let answer = receive_message(&self.stream, free, &mut control, flags);
        let read = answer.as_ref().map_or(0, |(bytes, _)| *bytes);
        self.inbox.truncate(old_len + read);
        let (_, flags) = answer?;
        for message in control.drain() {
            if let RecvAncillaryMessage::ScmRights(fds) = message {
                self.fds.extend(fds);
            }
        }
        if flags.contains(ReturnFlags::CTRUNC) || self.fds.len() > MAX_FDS {
            return Err(WireError::TooManyDescriptors { limit: MAX_FDS });
        }
        Ok(read)
    }
}

/// A message as it travels, with its NUL.
pub(crate) fn encode(message: &impl Serialize) -> Result<Vec<u8>, WireError> {
    let mut bytes = serde_json::to_vec(message)?;
    if bytes.len() > MAX_MESSAGE_BYTES {
        return Err(WireError::TooLong {
            limit: MAX_MESSAGE_BYTES,
        });
    }
    bytes.push(0);
    Ok(bytes)
}

fn receive_message(
    stream: &UnixStream,
    free: &mut [u8],
    control: &mut RecvAncillaryBuffer<'_>,
    flags: RecvFlags,
) -> Result<(usize, ReturnFlags), WireError> {
    let flags = RecvFlags::CMSG_CLOEXEC | flags;
    loop {
        let mut data = [IoSliceMut::new(free)];
        match rustix::net::recvmsg(stream, &mut data, control, flags) {
            Ok(message) => return Ok((message.bytes, message.flags)),
            Err(Errno::INTR) => {}
            Err(errno) => return Err(WireError::Io(errno.into())),
        }
    }
}

impl AsFd for Channel {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.stream.as_fd()
    }
}

#[cfg(test)]
mod tests {
    use std::io::{Read as _, Seek as _, Write as _};

    use proptest::prelude::*;

    use super::*;

    fn pair() -> (Channel, Channel) {
        let (a, b) = UnixStream::pair().unwrap();
        (Channel::new(a), Channel::new(b))
    }

    #[test]
    fn descriptors_arrive_with_their_message() {
        let (mut a, mut b) = pair();
        let mut file = tempfile::tempfile().unwrap();
        file.write_all(b"inside").unwrap();
        file.rewind().unwrap();
        a.send(&"first", &[file.as_fd()]).unwrap();
        let frame = b.receive().unwrap().unwrap();
        assert_eq!(frame.json, b"\"first\"");
        let mut text = String::new();
        let [fd] = <[OwnedFd; 1]>::try_from(frame.fds).unwrap();
        std::fs::File::from(fd).read_to_string(&mut text).unwrap();
        assert_eq!(text, "inside");
    }

    #[test]
    fn messages_are_told_apart_however_they_are_cut() {
        let (a, mut b) = pair();
        let mut raw = a.stream.try_clone().unwrap();
        for part in [&b"1\x00"[..], b"2", b"3\x00\"a", b"b\"\x00"] {
            raw.write_all(part).unwrap();
        }
        for expected in ["1", "23", "\"ab\""] {
            assert_eq!(b.receive().unwrap().unwrap().json, expected.as_bytes());
        }
        drop((a, raw));
        assert!(b.receive().unwrap().is_none());
    }

    #[test]
    fn a_hang_up_inside_a_message_is_an_error() {
        let (a, mut b) = pair();
        (&a.stream).write_all(b"{\"half").unwrap();
        drop(a);
        assert!(matches!(
            b.receive(),
            Err(WireError::Truncated { bytes: 6 })
        ));
    }

    #[test]
    fn an_endless_message_is_refused() {
        let (a, mut b) = pair();
        let writer = std::thread::spawn(move || {
            // Fails once the reader has given up.
            let _answer = (&a.stream).write_all(&vec![b'x'; 2 * MAX_MESSAGE_BYTES]);
        });
        assert!(matches!(b.receive(), Err(WireError::TooLong { .. })));
        drop(b);
        writer.join().unwrap();
    }

    #[test]
    fn too_many_descriptors_are_refused_on_both_sides() {
        let (mut a, _b) = pair();
        let file = tempfile::tempfile().unwrap();
        let fds = vec![file.as_fd(); MAX_FDS + 1];
        let error = a.send(&1, &fds).unwrap_err();
        assert!(matches!(error, WireError::TooManyDescriptors { .. }));
    }

    #[test]
    fn descriptors_in_front_of_a_second_message_are_refused() {
        let (mut a, mut b) = pair();
        let file = tempfile::tempfile().unwrap();
        a.send(&1, &[]).unwrap();
        a.send(&2, &[file.as_fd()]).unwrap();
        // The kernel stops a read behind the bytes that came with descriptors: they may be read
        // together with the first message. Whatever it does, they never go to message 1 alone.
        match b.receive() {
            Ok(Some(frame)) => assert!(frame.fds.is_empty()),
            Ok(None) => panic!("hung up"),
            Err(error) => assert!(matches!(error, WireError::UnclearDescriptors)),
        }
    }

    proptest! {
        #[test]
        fn any_bytes_in_any_pieces_become_the_messages_between_their_nuls(
            pieces in proptest::collection::vec(proptest::collection::vec(0..4_u8, 0..64), 0..32)
        ) {
            let (a, mut b) = pair();
            for piece in &pieces {
                (&a.stream).write_all(piece).unwrap();
            }
            drop(a);
            let all = pieces.concat();
            let mut messages: Vec<_> = all.split(|&byte| byte == 0).collect();
            let unfinished = messages.pop().unwrap_or_default();
            for message in messages {
                prop_assert_eq!(b.receive().unwrap().unwrap().json, message);
            }
            match b.receive() {
                Ok(None) => prop_assert!(unfinished.is_empty()),
                Err(WireError::Truncated { bytes }) => prop_assert_eq!(bytes, unfinished.len()),
                other => prop_assert!(false, "{:?}", other),
            }
        }
    }
}
