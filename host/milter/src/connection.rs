//! Frames on a stream.
//!
//! A frame is a 32-bit big-endian length `n`, a command byte, and `n - 1` bytes of data. An MTA writes commands that
//! need no reply back to back, and TCP cuts wherever it likes: frames come whole, in pieces, and many at once.

use crate::stranger::Stranger;
use bytes::{Buf, BufMut, Bytes, BytesMut};
use indymilter::message::{Message, reply::Reply};
use prometheus::IntCounter;
use std::{io, time::Duration};
use tokio::{
    io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt},
    time::{Instant, timeout},
};

/// Largest frame. An MTA sends at most 65 536 bytes unless a larger size was negotiated, which we never do.
const FRAME_LIMIT: usize = 1024 * 1024 + 64 * 1024;

/// What is read at once, and what a silent connection keeps.
const READ_SIZE: usize = 16 * 1024;

/// What is gathered before it is written.
const WRITE_SIZE: usize = 128 * 1024;

/// How long, and for how many bytes, a peer is read from after the last words to it.
const SEND_OFF: Duration = Duration::from_secs(1);
const UNREAD: u64 = 1024 * 1024;

/// Why there is no next frame.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ConnectionError {
    #[error("{0}")]
    Io(#[from] io::Error),
    #[error("mail server was silent for {0:?}")]
    Idle(Duration),
    #[error("command did not arrive within {0:?}")]
    Slow(Duration),
    #[error("mail server did not read replies for {0:?}")]
    Stuck(Duration),
    #[error("connection ended inside a command")]
    Cut,
    #[error("command of {length} bytes, must be 1 to {FRAME_LIMIT}")]
    Length { length: usize },
}

impl ConnectionError {
    /// Whether the peer broke the protocol, rather than being slow or gone.
    pub(crate) fn is_protocol_error(&self) -> bool {
        matches!(self, Self::Length { .. })
    }
}

/// A stream of frames in one direction, of replies in the other.
pub(crate) struct Connection<S> {
    stream: S,
    input: BytesMut,
    output: BytesMut,
    write_limit: Duration,
    traffic: Traffic,
}

/// Where bytes are counted.
#[derive(Debug, Clone)]
pub(crate) struct Traffic {
    pub(crate) received: IntCounter,
    pub(crate) sent: IntCounter,
}

impl<S: AsyncRead + AsyncWrite + Unpin> Connection<S> {
    pub(crate) fn new(stream: S, write_limit: Duration, traffic: Traffic) -> Self {
        Self { stream, input: BytesMut::new(), output: BytesMut::new(), write_limit, traffic }
    }

    /// The next frame; None when the peer closed the connection between two. May be dropped at any await point without
    /// losing a byte.
    pub(crate) async fn next(&mut self, idle: Duration, frame: Duration) -> Result<Option<Message>, ConnectionError> {
        let mut begun = None;
        loop {
            if let Some(message) = self.decode()? {
                return Ok(Some(message));
            }
            let (limit, passed) = if self.input.is_empty() {
                (idle, ConnectionError::Idle(idle))
            } else {
                // For all of the command: otherwise a peer could keep us with a byte now and then.
                let begun = begun.get_or_insert_with(Instant::now);
                (frame.saturating_sub(begun.elapsed()), ConnectionError::Slow(frame))
            };
            match timeout(limit, self.stream.read_buf(&mut self.input)).await {
                Err(_) => return Err(passed),
                Ok(Err(error)) => return Err(error.into()),
                Ok(Ok(0)) if self.input.is_empty() => return Ok(None),
                Ok(Ok(0)) => return Err(ConnectionError::Cut),
                Ok(Ok(read)) => self.traffic.received.inc_by(read as u64),
            }
        }
    }

    /// Takes a frame off the input, or makes room for what is missing of it.
    fn decode(&mut self) -> Result<Option<Message>, ConnectionError> {
        let Some((head, rest)) = self.input.split_first_chunk::<4>() else {
            self.input.reserve(READ_SIZE);
            return Ok(None);
        };
        let length = u32::from_be_bytes(*head) as usize;
        if length == 0 || length > FRAME_LIMIT {
            return Err(ConnectionError::Length { length });
        }
        if rest.len() < length {
            let missing = length.saturating_sub(rest.len());
            self.input.reserve(missing.max(READ_SIZE));
            return Ok(None);
        }
        self.input.advance(4);
        let mut frame = self.input.split_to(length);
        let kind = frame.get_u8();
        Ok(Some(Message::new(kind, frame.freeze())))
    }

    /// Returns when the peer is gone. What it sends meanwhile is kept for [`Self::next`].
    pub(crate) async fn gone(&mut self) {
        while self.input.len() < FRAME_LIMIT {
            self.input.reserve(READ_SIZE);
            match self.stream.read_buf(&mut self.input).await {
                Ok(read) if read > 0 => self.traffic.received.inc_by(read as u64),
                _ => return,
            }
        }
        std::future::pending().await
    }

    /// Who speaks, when these are the first bytes of the connection and no frame.
    pub(crate) fn stranger(&self) -> Option<Stranger> {
        Stranger::recognise(&self.input)
    }

    /// Writes something that is no frame, as the last thing. The peer is then read from for a moment: a connection that is
    /// closed with bytes unread is reset, and the peer might never see what was written.
    pub(crate) async fn send_off(&mut self, last: &[u8]) -> Result<(), ConnectionError> {
        self.output.put_slice(last);
        self.flush().await?;
        let closed = async {
            self.stream.shutdown().await?;
            let mut unread = (&mut self.stream).take(UNREAD);
            tokio::io::copy(&mut unread, &mut tokio::io::sink()).await.map(drop)
        };
        match timeout(SEND_OFF, closed).await {
            Ok(closed) => Ok(closed?),
            // It had its time.
            Err(_) => Ok(()),
        }
    }

    /// Whether a reply is half written.
    pub(crate) fn is_writing(&self) -> bool {
        !self.output.is_empty()
    }

    /// Lets go of memory that a large message needed.
    pub(crate) fn shrink(&mut self) {
        if self.input.is_empty() {
            self.input = BytesMut::new();
        }
        self.output = BytesMut::new();
    }

    /// Writes replies, all of them.
    pub(crate) async fn send(&mut self, replies: impl IntoIterator<Item = Reply>) -> Result<(), ConnectionError> {
        for reply in replies {
            let Message { kind, buffer } = reply.into_message();
            self.queue(kind, &buffer)?;
            if self.output.len() >= WRITE_SIZE {
                self.flush().await?;
            }
        }
        self.flush().await
    }

    fn queue(&mut self, kind: u8, data: &Bytes) -> Result<(), ConnectionError> {
        let length = data.len().saturating_add(1);
        let announced = u32::try_from(length).map_err(|_| ConnectionError::Length { length })?;
        self.output.reserve(length.saturating_add(4));
        self.output.put_u32(announced);
        self.output.put_u8(kind);
        self.output.put_slice(data);
        Ok(())
    }

    async fn flush(&mut self) -> Result<(), ConnectionError> {
        let written = timeout(self.write_limit, async {
            self.stream.write_all(&self.output).await?;
            self.stream.flush().await
        });
        written.await.map_err(|_| ConnectionError::Stuck(self.write_limit))??;
        self.traffic.sent.inc_by(self.output.len() as u64);
        self.output.clear();
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const LONG: Duration = Duration::from_secs(60);

    fn traffic() -> Traffic {
        let counter = |name| IntCounter::new(name, "bytes").unwrap();
        Traffic { received: counter("received"), sent: counter("sent") }
    }

    fn runtime() -> tokio::runtime::Runtime {
        tokio::runtime::Builder::new_current_thread().enable_all().start_paused(true).build().unwrap()
    }

    async fn read_all(bytes: &[u8], cuts: &[usize]) -> (Vec<Message>, Result<(), ConnectionError>) {
        let (mut mta, ours) = tokio::io::duplex(1 << 21);
        let mut connection = Connection::new(ours, LONG, traffic());
        let mut frames = Vec::new();
        let mut from = 0;
        for cut in cuts.iter().copied().chain([bytes.len()]) {
            let to = cut.clamp(from, bytes.len());
            mta.write_all(&bytes[from..to]).await.unwrap();
            from = to;
            // A waiting reader that is dropped must lose nothing.
            while let Ok(next) = timeout(Duration::from_millis(1), connection.next(LONG, LONG)).await {
                match next {
                    Ok(Some(frame)) => frames.push(frame),
                    Ok(None) => return (frames, Ok(())),
                    Err(error) => return (frames, Err(error)),
                }
            }
        }
        drop(mta);
        loop {
            match connection.next(LONG, LONG).await {
                Ok(Some(frame)) => frames.push(frame),
                Ok(None) => return (frames, Ok(())),
                Err(error) => return (frames, Err(error)),
            }
        }
    }

    proptest! {
        #[test]
        fn frames_survive_any_chunking(
            frames in proptest::collection::vec((any::<u8>(), proptest::collection::vec(any::<u8>(), 0..200)), 0..20),
            mut cuts in proptest::collection::vec(0usize..4000, 0..30),
        ) {
            cuts.sort_unstable();
            let mut bytes = Vec::new();
            for (kind, data) in &frames {
                bytes.extend_from_slice(&(data.len() as u32 + 1).to_be_bytes());
                bytes.push(*kind);
                bytes.extend_from_slice(data);
            }
            let (read, end) = runtime().block_on(read_all(&bytes, &cuts));
            prop_assert!(end.is_ok());
            let expected: Vec<Message> = frames.into_iter().map(|(kind, data)| Message::new(kind, data)).collect();
            prop_assert_eq!(read, expected);
        }
    }

    #[test]
    fn impossible_lengths_and_cut_frames_are_errors() {
        let runtime = runtime();
        let (_, end) = runtime.block_on(read_all(&[0, 0, 0, 0], &[]));
        assert!(matches!(end, Err(ConnectionError::Length { length: 0 })));
        let (_, end) = runtime.block_on(read_all(&[0x7f, 0, 0, 0], &[]));
        assert!(matches!(end, Err(ConnectionError::Length { .. })));
        let (_, end) = runtime.block_on(read_all(&[0, 0, 0, 9, b'H', b'x'], &[]));
        assert!(matches!(end, Err(ConnectionError::Cut)));
    }

    #[tokio::test(start_paused = true)]
    async fn silence_and_slowness_have_limits_of_their_own() {
        let (mut mta, ours) = tokio::io::duplex(100);
        let mut connection = Connection::new(ours, LONG, traffic());
        let (idle, slow) = (Duration::from_secs(7210), Duration::from_secs(300));
        assert!(matches!(connection.next(idle, slow).await, Err(ConnectionError::Idle(_))));
        mta.write_all(&[0, 0]).await.unwrap();
        assert!(matches!(connection.next(idle, slow).await, Err(ConnectionError::Slow(_))));
    }

    #[tokio::test(start_paused = true)]
    async fn a_command_that_drips_is_slow_too() {
        let (mut mta, ours) = tokio::io::duplex(100);
        let mut connection = Connection::new(ours, LONG, traffic());
        let begun = Instant::now();
        let dripping = tokio::spawn(async move {
            for byte in [0, 0, 0, 5, b'H', b'x', b'x', b'x'] {
                mta.write_all(&[byte]).await.unwrap();
                tokio::time::sleep(LONG / 2).await;
            }
            tokio::time::sleep(LONG * 100).await;
        });
        assert!(matches!(connection.next(LONG * 10, LONG).await, Err(ConnectionError::Slow(_))));
        assert_eq!(begun.elapsed(), LONG);
        dripping.abort();
    }

    #[tokio::test(start_paused = true)]
    async fn a_peer_that_does_not_read_is_given_up() {
        let (_mta, ours) = tokio::io::duplex(10);
        let mut connection = Connection::new(ours, LONG, traffic());
        let replies = std::iter::repeat_n(Reply::Continue, 100);
        assert!(matches!(connection.send(replies).await, Err(ConnectionError::Stuck(_))));
    }
}
