//! A connected socket of either family.

use std::io::{self, Read, Write};
use std::net::{IpAddr, Shutdown, SocketAddr, TcpStream};
use std::os::fd::AsFd;
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::time::Duration;

use crate::wait::PATIENCE;

#[derive(Debug)]
pub enum Socket {
    Tcp(TcpStream),
    Unix(UnixStream),
}

impl Socket {
    /// Connects to `host:port` or `unix:/path`.
    ///
    /// # Errors
    /// As `connect(2)`.
    pub fn connect(address: &str) -> io::Result<Self> {
        let socket = match address.strip_prefix("unix:") {
            Some(path) => Self::Unix(UnixStream::connect(Path::new(path))?),
            None => Self::Tcp(TcpStream::connect(address)?),
        };
        socket.prepare()?;
        Ok(socket)
    }

    /// As `connect` over TCP, with packets of the size that networks have; loopback's are 64 KiB.
    ///
    /// # Errors
    /// As `connect(2)`.
    pub fn connect_with_small_packets(address: SocketAddr) -> io::Result<Self> {
        let domain = socket2::Domain::for_address(address);
        let socket = socket2::Socket::new(domain, socket2::Type::STREAM, None)?;
        socket.set_tcp_mss(1400)?;
        socket.connect(&address.into())?;
        let socket = Self::Tcp(socket.into());
        socket.prepare()?;
        Ok(socket)
    }

    /// As `connect` over TCP, from an address of our own choice.
    ///
    /// # Errors
    /// As `bind(2)` and `connect(2)`.
    pub fn connect_from(own: IpAddr, address: SocketAddr) -> io::Result<Self> {
        let domain = socket2::Domain::for_address(address);
        let socket = socket2::Socket::new(domain, socket2::Type::STREAM, None)?;
        socket.bind(&SocketAddr::new(own, 0).into())?;
        socket.connect(&address.into())?;
        let socket = Self::Tcp(socket.into());
        socket.prepare()?;
        Ok(socket)
    }

    /// # Errors
    /// When the socket is dead.
    pub fn prepare(&self) -> io::Result<()> {
        self.patience(PATIENCE)?;
        match self {
            Self::Tcp(tcp) => tcp.set_nodelay(true),
            Self::Unix(_) => Ok(()),
        }
    }

    /// How long reads and writes wait.
    ///
    /// # Errors
    /// When the socket is dead.
    pub fn patience(&self, wait: Duration) -> io::Result<()> {
        match self {
            Self::Tcp(tcp) => {
                tcp.set_read_timeout(Some(wait)).and_then(|()| tcp.set_write_timeout(Some(wait)))
            }
            Self::Unix(unix) => {
                unix.set_read_timeout(Some(wait)).and_then(|()| unix.set_write_timeout(Some(wait)))
            }
        }
    }

    /// # Errors
    /// When there is no descriptor left.
    pub fn try_clone(&self) -> io::Result<Self> {
        match self {
            Self::Tcp(tcp) => tcp.try_clone().map(Self::Tcp),
            Self::Unix(unix) => unix.try_clone().map(Self::Unix),
        }
    }

    /// Ends our direction, or both. A socket that is dead already stays so.
    pub fn shut_down(&self, how: Shutdown) {
        match self {
            Self::Tcp(tcp) => tcp.shutdown(how).ok(),
            Self::Unix(unix) => unix.shutdown(how).ok(),
        };
    }

    /// Makes the close of the last handle a reset.
    pub fn reset_on_close(&self) {
        if let Self::Tcp(tcp) = self {
            socket2::SockRef::from(&tcp.as_fd()).set_linger(Some(Duration::ZERO)).ok();
        }
    }

    /// Makes the kernel hold little, so that back-pressure is felt soon.
    pub fn shrink_buffers(&self, bytes: usize) {
        if let Self::Tcp(tcp) = self {
            let fd = tcp.as_fd();
            let socket = socket2::SockRef::from(&fd);
            socket.set_recv_buffer_size(bytes).ok();
            socket.set_send_buffer_size(bytes).ok();
        }
    }

    /// The port of our side; 0 for a Unix socket.
    pub fn port(&self) -> u16 {
        match self {
            Self::Tcp(tcp) => tcp.local_addr().map_or(0, |address| address.port()),
            Self::Unix(_) => 0,
        }
    }
}

impl Read for Socket {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        match self {
            Self::Tcp(tcp) => tcp.read(buffer),
            Self::Unix(unix) => unix.read(buffer),
        }
    }
}

impl Write for Socket {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        match self {
            Self::Tcp(tcp) => tcp.write(bytes),
            Self::Unix(unix) => unix.write(bytes),
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
