//! Lines to a receiver on a Unix socket: a datagram each, or a stream of them. Whether it is there
//! is its own affair: while it is away or takes nothing, lines are lost, and nobody waits for long.

use std::io::{self, ErrorKind};
use std::path::PathBuf;
use std::time::Duration;

use fairwater_sys::socket::{is_of_other_type, is_too_long};
use socket2::{Domain, SockAddr, Socket, Type};

use crate::output::Loss;

/// How long a receiver that takes nothing is waited for, once. It is asked without waiting from
/// then on, until it takes something.
const STALL: Duration = Duration::from_millis(500);

/// Between two attempts to reach a receiver that is away: doubled from the first to the second.
const RETRY_MS: u64 = 100;
const RETRY_MS_MAX: u64 = 2_000;

#[derive(Debug)]
pub(crate) struct SocketOutput {
    path: PathBuf,
    link: Link,
}

#[derive(Debug)]
enum Link {
    Up(Receiver),
    Away { retry_at_ms: u64, pause_ms: u64, reason: String },
}

impl SocketOutput {
    pub(crate) fn new(path: PathBuf) -> Self {
        Self { path, link: Link::Away { retry_at_ms: 0, pause_ms: 0, reason: String::new() } }
    }

    /// Sends whole lines. A receiver that turns out to be gone may be back already: it is looked
    /// for once, and gets what the old one did not take.
    pub(crate) fn write(&mut self, mut text: &[u8], now_ms: u64) -> Result<(), Loss> {
        let mut loss = Loss::default();
        for pause_ms in [0, RETRY_MS] {
            let Some(receiver) = self.receiver(now_ms) else { break };
            let Err(gone) = receiver.send(text, &mut loss) else {
                text = b"";
                break;
            };
            text = &text[gone.taken..];
            loss.lines += u32::from(!receiver.rest.is_empty());
            let reason = format!("unix:{}: {}", self.path.display(), gone.error);
            self.link = Link::Away { retry_at_ms: now_ms + pause_ms, pause_ms, reason };
        }
        loss.lines += lines(text);
        match &self.link {
            _ if loss.lines == 0 => return Ok(()),
            Link::Away { reason, .. } => loss.reason.clone_from(reason),
            Link::Up(_) => {
                loss.reason = format!("unix:{} {}", self.path.display(), loss.reason);
            }
        }
        Err(loss)
    }

    /// The receiver, looked for anew if it is away and the time has come.
    fn receiver(&mut self, now_ms: u64) -> Option<&mut Receiver> {
        if let Link::Away { retry_at_ms, pause_ms, .. } = self.link
            && now_ms >= retry_at_ms
        {
            self.link = Receiver::connect(&self.path).map_or_else(
                |error| {
                    let pause_ms = (2 * pause_ms).clamp(RETRY_MS, RETRY_MS_MAX);
                    let reason = format!("unix:{}: {error}", self.path.display());
                    Link::Away { retry_at_ms: now_ms + pause_ms, pause_ms, reason }
                },
                Link::Up,
            );
        }
        match &mut self.link {
            Link::Up(receiver) => Some(receiver),
            Link::Away { .. } => None,
        }
    }
}

#[derive(Debug)]
struct Receiver {
    socket: Socket,
    is_stream: bool,
    /// It may be waited for.
    is_patient: bool,
    /// Of a stream that took a line in part: what must come first, or it would read two halves as
    /// one line.
    rest: Vec<u8>,
}

/// The receiver has gone away, and so much it took before.
struct Gone {
    taken: usize,
    error: io::Error,
}

/// How much of some bytes was taken.
enum Push {
    All,
    Stalled { taken: usize },
    Gone(Gone),
}

impl Receiver {
    /// The type of the socket is that of whoever bound it.
    fn connect(path: &PathBuf) -> io::Result<Self> {
        match Self::connect_as(Type::DGRAM, path) {
            Err(error) if is_of_other_type(&error) => Self::connect_as(Type::STREAM, path),
            result => result,
        }
    }

    fn connect_as(kind: Type, path: &PathBuf) -> io::Result<Self> {
        let socket = Socket::new(Domain::UNIX, kind, None)?;
        // A listener with a full queue would be waited for.
        socket.set_nonblocking(true)?;
        socket.connect(&SockAddr::unix(path)?)?;
        socket.set_nonblocking(false)?;
        socket.set_write_timeout(Some(STALL))?;
        let is_stream = kind == Type::STREAM;
        Ok(Self { socket, is_stream, is_patient: true, rest: Vec::new() })
    }

    /// Sends as many lines as it takes; the others are added to `loss`.
    fn send(&mut self, text: &[u8], loss: &mut Loss) -> Result<(), Gone> {
        match self.is_stream {
            true => self.send_stream(text, loss),
            false => self.send_datagrams(text, loss),
        }
    }

    /// A line each, as receivers expect it: a datagram is a message to them.
    fn send_datagrams(&mut self, text: &[u8], loss: &mut Loss) -> Result<(), Gone> {
        let mut taken = 0;
        for line in text.split_inclusive(|&byte| byte == b'\n') {
            match self.push(line) {
                Push::All => {}
                Push::Stalled { .. } => {
                    add_stall(loss, &text[taken..]);
                    return Ok(());
                }
                Push::Gone(gone) if is_too_long(&gone.error) => {
                    loss.lines += 1;
                    "takes no line of this length".clone_into(&mut loss.reason);
                }
                Push::Gone(gone) => return Err(Gone { taken, ..gone }),
            }
            taken += line.len();
        }
        Ok(())
    }

    fn send_stream(&mut self, text: &[u8], loss: &mut Loss) -> Result<(), Gone> {
        let rest = std::mem::take(&mut self.rest);
        match self.push(&rest) {
            Push::All => {}
            Push::Stalled { taken } => {
                self.rest = rest[taken..].to_vec();
                add_stall(loss, text);
                return Ok(());
            }
            Push::Gone(gone) => {
                self.rest = rest;
                return Err(Gone { taken: 0, ..gone });
            }
        }
        let line_start =
            |at: usize| text[..at].iter().rposition(|&b| b == b'\n').map_or(0, |n| n + 1);
        match self.push(text) {
            Push::All => Ok(()),
            Push::Stalled { taken } => {
                let is_cut = line_start(taken) < taken;
                let line_len = text[taken..].iter().position(|&b| b == b'\n').map_or(0, |n| n + 1);
                let next = if is_cut { taken + line_len } else { taken };
                self.rest = text[taken..next].to_vec();
                add_stall(loss, &text[next..]);
                Ok(())
            }
            Push::Gone(gone) => Err(Gone { taken: line_start(gone.taken), ..gone }),
        }
    }

    fn push(&mut self, bytes: &[u8]) -> Push {
        let mut taken = 0;
        while taken < bytes.len() {
            match self.socket.send(&bytes[taken..]) {
                Ok(len) => {
                    taken += len;
                    self.set_patient(true);
                }
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) if error.kind() == ErrorKind::WouldBlock => {
                    self.set_patient(false);
                    return Push::Stalled { taken };
                }
                Err(error) => return Push::Gone(Gone { taken, error }),
            }
        }
        Push::All
    }

    /// A receiver that took nothing in time is not waited for again until it takes something.
    fn set_patient(&mut self, is_patient: bool) {
        if self.is_patient != is_patient && self.socket.set_nonblocking(!is_patient).is_ok() {
            self.is_patient = is_patient;
        }
    }
}

fn add_stall(loss: &mut Loss, text: &[u8]) {
    loss.lines += lines(text);
    "takes nothing".clone_into(&mut loss.reason);
}

fn lines(text: &[u8]) -> u32 {
    text.iter().filter(|&&byte| byte == b'\n').count().try_into().unwrap_or(u32::MAX)
}

#[cfg(test)]
mod tests {
    use std::io::Read;
    use std::os::unix::net::{UnixDatagram, UnixListener, UnixStream};
    use std::path::Path;

    use super::*;

    /// A directory that is gone with the test.
    struct Scratch(PathBuf);

    impl Scratch {
        fn new(name: &str) -> Self {
            let name = format!("fairwater-log-{}-{name}", std::process::id());
            let path = std::env::temp_dir().join(name);
            std::fs::create_dir(&path).unwrap();
            Self(path)
        }

        fn socket(&self) -> PathBuf {
            self.0.join("log.sock")
        }
    }

    impl Drop for Scratch {
        fn drop(&mut self) {
            std::fs::remove_dir_all(&self.0).ok();
        }
    }

    fn received(socket: &UnixDatagram) -> Vec<String> {
        socket.set_nonblocking(true).unwrap();
        let mut datagram = vec![0; 1 << 20];
        let mut received = Vec::new();
        while let Ok(len) = socket.recv(&mut datagram) {
            received.push(String::from_utf8(datagram[..len].to_vec()).unwrap());
        }
        received
    }

    fn lost(output: &mut SocketOutput, text: &str, now_ms: u64) -> (u32, String) {
        match output.write(text.as_bytes(), now_ms) {
            Ok(()) => (0, String::new()),
            Err(loss) => (loss.lines, loss.reason),
        }
    }

    #[test]
    fn a_datagram_is_a_line() {
        let scratch = Scratch::new("datagram");
        let receiver = UnixDatagram::bind(scratch.socket()).unwrap();
        let mut output = SocketOutput::new(scratch.socket());
        assert_eq!(lost(&mut output, "one\ntwo\n", 0).0, 0);
        assert_eq!(received(&receiver), ["one\n", "two\n"]);
    }

    #[test]
    fn who_comes_back_gets_lines_again() {
        let scratch = Scratch::new("back");
        let path = scratch.socket();
        let mut output = SocketOutput::new(path.clone());
        let (lines, reason) = lost(&mut output, "lost\n", 0);
        assert!(lines == 1 && reason.contains("No such file"), "{reason}");
        let receiver = UnixDatagram::bind(&path).unwrap();
        assert_eq!(lost(&mut output, "still lost\n", RETRY_MS - 1).0, 1, "not asked yet");
        assert_eq!(lost(&mut output, "one\n", RETRY_MS).0, 0);
        assert_eq!(received(&receiver), ["one\n"]);
        // A restart between two lines loses nothing.
        drop(receiver);
        std::fs::remove_file(&path).unwrap();
        let receiver = UnixDatagram::bind(&path).unwrap();
        assert_eq!(lost(&mut output, "two\nthree\n", RETRY_MS + 1).0, 0);
        assert_eq!(received(&receiver), ["two\n", "three\n"]);
        // Nor does one that becomes a stream.
        drop(receiver);
        std::fs::remove_file(&path).unwrap();
        let listener = UnixListener::bind(&path).unwrap();
        assert_eq!(lost(&mut output, "four\nfive\n", RETRY_MS + 2).0, 0);
        assert_eq!(read(&listener, 10), "four\nfive\n");
    }

    fn read(listener: &UnixListener, len: usize) -> String {
        let mut bytes = vec![0; len];
        listener.accept().unwrap().0.read_exact(&mut bytes).unwrap();
        String::from_utf8(bytes).unwrap()
    }

    #[test]
    fn who_is_away_is_asked_less_and_less_often() {
        let scratch = Scratch::new("away");
        let mut output = SocketOutput::new(scratch.socket());
        let mut asked_ms = Vec::new();
        for now_ms in 0..10_000 {
            let Link::Away { retry_at_ms, .. } = output.link else { panic!("nobody is there") };
            assert_eq!(lost(&mut output, "x\n", now_ms).0, 1);
            if now_ms >= retry_at_ms {
                asked_ms.push(now_ms);
            }
        }
        assert_eq!(asked_ms, [0, 100, 300, 700, 1500, 3100, 5100, 7100, 9100]);
    }

    #[test]
    fn a_dead_socket_is_away() {
        let scratch = Scratch::new("dead");
        drop(UnixDatagram::bind(scratch.socket()).unwrap());
        let mut output = SocketOutput::new(scratch.socket());
        let (lines, reason) = lost(&mut output, "x\ny\n", 0);
        assert!(lines == 2 && reason.contains("refused"), "{reason}");
    }

    #[test]
    fn a_receiver_that_takes_nothing_is_waited_for_once() {
        let scratch = Scratch::new("stuck");
        let receiver = UnixDatagram::bind(scratch.socket()).unwrap();
        let mut output = SocketOutput::new(scratch.socket());
        let text = "x\n".repeat(10_000);
        let (lines, reason) = lost(&mut output, &text, 0);
        assert!((1..10_000).contains(&lines) && reason.contains("takes nothing"), "{reason}");
        // A hundred waits of half a second would be noticed.
        for _ in 0..100 {
            assert_eq!(lost(&mut output, &text, 0).0, 10_000);
        }
        let taken = received(&receiver).len();
        assert_eq!(taken, 10_000 - lines as usize);
        // It is well again, and waited for again: a batch is larger than its queue.
        let reader = std::thread::spawn(move || {
            receiver.set_nonblocking(false).unwrap();
            (0..10_000).for_each(|_| assert_eq!(receiver.recv(&mut [0; 9]).unwrap(), 2));
        });
        assert_eq!(lost(&mut output, &text, 0).0, 0);
        reader.join().unwrap();
    }

    #[test]
    fn a_line_that_no_datagram_takes_is_lost_alone() {
        let scratch = Scratch::new("long");
        let receiver = UnixDatagram::bind(scratch.socket()).unwrap();
        let mut output = SocketOutput::new(scratch.socket());
        let text = format!("one\n{}\ntwo\n", "x".repeat(8 << 20));
        let (lines, reason) = lost(&mut output, &text, 0);
        assert!(lines == 1 && reason.contains("length"), "{reason}");
        assert_eq!(received(&receiver), ["one\n", "two\n"]);
    }

    #[test]
    fn a_slow_stream_gets_whole_lines() {
        let scratch = Scratch::new("stream");
        let listener = UnixListener::bind(scratch.socket()).unwrap();
        let mut output = SocketOutput::new(scratch.socket());
        let text: String = (0..40_000).map(|n| format!("line number {n:06}\n")).collect();
        let mut sent = 0;
        let (mut stream, mut told) = (None, Vec::new());
        for _ in 0..2 {
            let (lines, reason) = lost(&mut output, &text, 0);
            assert!(lines > 0 && reason.contains("takes nothing"), "{reason}");
            sent += 40_000 - lines as usize;
            let stream = stream.get_or_insert_with(|| listener.accept().unwrap().0);
            take_all(stream, &mut told);
        }
        // What is left of a line comes first.
        sent += 1 - lost(&mut output, "end\n", 0).0 as usize;
        take_all(stream.as_mut().unwrap(), &mut told);
        let told = String::from_utf8(told).unwrap();
        assert!(told.ends_with("\nend\n"));
        assert_eq!(told.lines().count(), sent);
        for line in told.lines().filter(|line| *line != "end") {
            assert!(line.len() == 18 && line.starts_with("line number "), "{line}");
        }
    }

    fn take_all(stream: &mut UnixStream, told: &mut Vec<u8>) {
        stream.set_nonblocking(true).unwrap();
        let error = stream.read_to_end(told).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::WouldBlock);
    }

    #[test]
    fn a_full_queue_of_connections_is_not_waited_for() {
        let scratch = Scratch::new("queue");
        let path: &Path = &scratch.socket();
        let listener = Socket::new(Domain::UNIX, Type::STREAM, None).unwrap();
        listener.bind(&SockAddr::unix(path).unwrap()).unwrap();
        listener.listen(0).unwrap();
        let mut waiting = Vec::new();
        loop {
            let socket = Socket::new(Domain::UNIX, Type::STREAM, None).unwrap();
            socket.set_nonblocking(true).unwrap();
            if socket.connect(&SockAddr::unix(path).unwrap()).is_err() {
                break;
            }
            waiting.push(socket);
        }
        let mut output = SocketOutput::new(path.to_owned());
        assert_eq!(lost(&mut output, "x\n", 0).0, 1);
    }
}
