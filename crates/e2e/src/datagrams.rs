//! Endpoints and clients that speak in datagrams.

use std::io;
use std::net::{SocketAddr, UdpSocket};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;
use std::time::Duration;

use crate::Proxy;
use crate::wait::{PATIENCE, until};

/// What has not come back by then was dropped.
const LOST_AFTER: Duration = Duration::from_millis(300);

/// More than any datagram has.
const DATAGRAM_BYTES: usize = 65_536;
/// How often an endpoint looks whether it shall end.
const LOOK: Duration = Duration::from_millis(20);

/// Who has sent, and what.
type Seen = Arc<Mutex<Vec<(SocketAddr, Vec<u8>)>>>;

/// An endpoint that answers each datagram with those that a function makes of it.
#[derive(Debug)]
pub struct Responder {
    pub address: String,
    seen: Seen,
    sent: Arc<AtomicUsize>,
    is_over: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

impl Responder {
    /// Sends back what it gets.
    pub fn echo() -> Self {
        Self::start(|bytes| vec![bytes.to_vec()])
    }

    /// Answers with its name and what it gets.
    pub fn named(name: &'static str) -> Self {
        Self::start(move |bytes| vec![[name.as_bytes(), b" ", bytes].concat()])
    }

    /// # Panics
    /// When there is no port.
    pub fn start(answer: impl Fn(&[u8]) -> Vec<Vec<u8>> + Send + 'static) -> Self {
        Self::at("127.0.0.1:0", answer)
    }

    /// # Panics
    /// When there is no such port.
    pub fn at(address: &str, answer: impl Fn(&[u8]) -> Vec<Vec<u8>> + Send + 'static) -> Self {
        let socket = UdpSocket::bind(address).unwrap();
        socket.set_read_timeout(Some(LOOK)).unwrap();
        let address = socket.local_addr().unwrap().to_string();
        let (seen, sent) = (Seen::default(), Arc::<AtomicUsize>::default());
        let is_over = Arc::<AtomicBool>::default();
        let (own_seen, own_sent, over) =
            (Arc::clone(&seen), Arc::clone(&sent), Arc::clone(&is_over));
        let thread = std::thread::spawn(move || {
            let mut buffer = vec![0; DATAGRAM_BYTES];
            while !over.load(Ordering::Relaxed) {
                let Ok((len, from)) = socket.recv_from(&mut buffer) else { continue };
                own_seen.lock().unwrap().push((from, buffer[..len].to_vec()));
                for answer in answer(&buffer[..len]) {
                    // Before anybody can have got it.
                    own_sent.fetch_add(1, Ordering::Relaxed);
                    if socket.send_to(&answer, from).is_err() {
                        // Who is gone by now gets none.
                        own_sent.fetch_sub(1, Ordering::Relaxed);
                    }
                }
            }
        });
        Self { address, seen, sent, is_over, thread: Some(thread) }
    }

    /// Who has sent so far, and what.
    ///
    /// # Panics
    /// When the endpoint has.
    pub fn seen(&self) -> Vec<(SocketAddr, Vec<u8>)> {
        self.seen.lock().unwrap().clone()
    }

    /// Datagrams that it has sent.
    pub fn sent(&self) -> usize {
        self.sent.load(Ordering::Relaxed)
    }
}

impl Drop for Responder {
    fn drop(&mut self) {
        self.is_over.store(true, Ordering::Relaxed);
        self.thread.take().map(JoinHandle::join);
    }
}

/// A client with a port of its own.
#[derive(Debug)]
pub struct Sender {
    pub socket: UdpSocket,
    target: SocketAddr,
}

impl Sender {
    /// One of a proxy's first listener.
    pub fn new(proxy: &Proxy) -> Self {
        Self::from("127.0.0.1:0", target(proxy))
    }

    /// # Panics
    /// When there is no such address.
    pub fn from(own: &str, target: SocketAddr) -> Self {
        let socket = UdpSocket::bind(own).unwrap();
        socket.set_read_timeout(Some(PATIENCE)).unwrap();
        Self { socket, target }
    }

    /// # Panics
    /// When the kernel does not take it.
    pub fn send(&self, bytes: &[u8]) {
        assert_eq!(self.socket.send_to(bytes, self.target).unwrap(), bytes.len());
    }

    /// The next datagram from where this one sends to.
    ///
    /// # Panics
    /// When it is from elsewhere, or none comes.
    #[track_caller]
    pub fn receive(&self) -> Vec<u8> {
        let mut buffer = vec![0; DATAGRAM_BYTES];
        let (len, from) = self.socket.recv_from(&mut buffer).unwrap();
        assert_eq!(from, self.target);
        buffer.truncate(len);
        buffer
    }

    /// Sends until it gets the same back: in a flood the kernel drops some.
    pub fn ask_until_echoed(&self, bytes: &[u8]) {
        self.socket.set_read_timeout(Some(LOST_AFTER)).unwrap();
        until("a datagram to come back", || {
            self.send(bytes);
            let mut buffer = vec![0; DATAGRAM_BYTES];
            matches!(self.socket.recv_from(&mut buffer), Ok((len, _)) if buffer[..len] == *bytes)
        });
        self.socket.set_read_timeout(Some(PATIENCE)).unwrap();
    }

    #[track_caller]
    pub fn ask(&self, bytes: &[u8]) -> Vec<u8> {
        self.send(bytes);
        self.receive()
    }

    /// As [`Self::ask`], in words.
    #[track_caller]
    pub fn ask_text(&self, text: &str) -> String {
        String::from_utf8(self.ask(text.as_bytes())).unwrap()
    }

    /// Whether nothing is there right now.
    ///
    /// # Panics
    /// When the socket cannot be asked.
    pub fn has_nothing(&self) -> bool {
        self.socket.set_nonblocking(true).unwrap();
        let found = self.socket.peek_from(&mut [0]);
        self.socket.set_nonblocking(false).unwrap();
        found.is_err_and(|error| error.kind() == io::ErrorKind::WouldBlock)
    }
}

/// Where the first listener of a proxy takes datagrams.
///
/// # Panics
/// When it takes none.
pub fn target(proxy: &Proxy) -> SocketAddr {
    proxy.address.strip_prefix("udp:").unwrap().parse().unwrap()
}
