//! A client that sends bytes as they are given, however wrong they are.

use std::io::{self, Read, Write};
use std::net::Shutdown;
use std::time::Duration;

use crate::message::{Broken, Message, Reader};
use crate::{Proxy, Socket};

#[derive(Debug)]
pub struct Client {
    pub socket: Socket,
    reader: Reader,
}

/// How a connection ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum End {
    Closed,
    Reset,
    /// Still open after the patience of the socket.
    Open,
}

/// Between segments that shall arrive as such. There is no condition to wait for: the proxy may
/// read them together without being wrong.
const BETWEEN_SEGMENTS: Duration = Duration::from_micros(300);

impl Client {
    /// Connects to the first listener of the proxy.
    ///
    /// # Panics
    /// When nobody listens.
    pub fn new(proxy: &Proxy) -> Self {
        Self::connect(&proxy.address)
    }

    /// # Panics
    /// When nobody listens.
    pub fn connect(address: &str) -> Self {
        Self::of(Socket::connect(address).unwrap())
    }

    pub fn of(socket: Socket) -> Self {
        Self { socket, reader: Reader::new() }
    }

    /// As `new`, as if from another machine: see [`Socket::connect_with_small_packets`].
    ///
    /// # Panics
    /// When nobody listens.
    pub fn from_afar(proxy: &Proxy) -> Self {
        let address = proxy.address.parse().unwrap();
        let socket = Socket::connect_with_small_packets(address).unwrap();
        Self { socket, reader: Reader::new() }
    }

    /// As `new`, from another address of this machine, such as 127.0.0.2.
    ///
    /// # Panics
    /// When nobody listens.
    pub fn from_address(own: &str, proxy: &Proxy) -> Self {
        let (own, address) = (own.parse().unwrap(), proxy.address.parse().unwrap());
        Self { socket: Socket::connect_from(own, address).unwrap(), reader: Reader::new() }
    }

    pub fn port(&self) -> u16 {
        self.socket.port()
    }

    /// Sends bytes. A peer that has closed already is no error: the answer tells.
    pub fn send(&mut self, bytes: impl AsRef<[u8]>) {
        self.try_send(bytes.as_ref()).ok();
    }

    /// # Errors
    /// When the peer has closed or takes no more.
    pub fn try_send(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.socket.write_all(bytes)
    }

    /// Sends each part as a segment of its own.
    pub fn send_segments<T: AsRef<[u8]>>(&mut self, segments: &[T]) {
        for (at, segment) in segments.iter().enumerate() {
            if at > 0 {
                std::thread::sleep(BETWEEN_SEGMENTS);
            }
            self.send(segment);
        }
    }

    /// The next response, interim ones included.
    ///
    /// # Errors
    /// See [`Broken`].
    pub fn response_to(&mut self, method: &str) -> Result<Message, Broken> {
        self.reader.response(&mut self.socket, method)
    }

    /// # Errors
    /// See [`Broken`].
    pub fn response(&mut self) -> Result<Message, Broken> {
        self.response_to("GET")
    }

    /// One GET and its response.
    ///
    /// # Panics
    /// When there is none.
    #[track_caller]
    pub fn get(&mut self, target: &str) -> Message {
        self.send(format!("GET {target} HTTP/1.1\r\nHost: a\r\n\r\n"));
        self.response().unwrap_or_else(|broken| panic!("GET {target}: {broken:?}"))
    }

    /// What has come and belongs to no response, and what comes until the end.
    pub fn read_to_end(&mut self) -> (Vec<u8>, End) {
        let mut bytes = self.reader.take_rest();
        let mut piece = vec![0; 64 * 1024];
        loop {
            match self.socket.read(&mut piece) {
                Ok(0) => return (bytes, End::Closed),
                Ok(len) => bytes.extend_from_slice(&piece[..len]),
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                    return (bytes, End::Open);
                }
                Err(_) => return (bytes, End::Reset),
            }
        }
    }

    /// Exactly so many bytes.
    ///
    /// # Panics
    /// When there are less.
    #[track_caller]
    pub fn read_exactly(&mut self, len: usize) -> Vec<u8> {
        let mut bytes = self.reader.take_rest();
        if bytes.len() < len {
            let had = bytes.len();
            bytes.resize(len, 0);
            self.socket.read_exact(&mut bytes[had..]).unwrap();
        }
        bytes
    }

    /// How the connection ended, after nothing more has come.
    #[track_caller]
    pub fn end(&mut self) -> End {
        let (rest, end) = self.read_to_end();
        assert!(rest.is_empty(), "unexpected bytes: {}", rest.escape_ascii());
        end
    }

    pub fn half_close(&self) {
        self.socket.shut_down(Shutdown::Write);
    }

    /// Goes away with a reset.
    pub fn reset(self) {
        self.socket.reset_on_close();
    }
}
