//! A listening socket in the hands of one thread.

use std::io;
use std::os::fd::AsFd;
use std::task::{Context, Poll, ready};

use socket2::{Domain, Socket};
use tokio::io::Interest;
use tokio::net::{TcpStream, UnixStream};

use crate::{Peer, Stream};

/// A listening socket in the hands of one thread's runtime.
///
/// It stands in the runtime's type for connected sockets: that one lets an operation of our own run
/// on readiness, while the type for listening sockets registers whatever it accepts, which would
/// cost every short connection two calls that it does not need.
#[derive(Debug)]
pub enum Acceptor {
    Tcp(TcpStream),
    Unix(UnixStream),
}

impl Acceptor {
    /// Registers a socket with the runtime of this thread.
    ///
    /// # Errors
    /// When the runtime cannot take it.
    pub fn new(socket: Socket) -> io::Result<Self> {
        if socket.domain()? == Domain::UNIX {
            UnixStream::from_std(socket.into()).map(Self::Unix)
        } else {
            TcpStream::from_std(socket.into()).map(Self::Tcp)
        }
    }

    /// Ready when there may be a connection to accept.
    pub fn poll_ready(&self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self {
            Self::Tcp(listener) => listener.poll_read_ready(cx),
            Self::Unix(listener) => listener.poll_read_ready(cx),
        }
    }

    /// Accepts the next connection.
    pub fn poll_accept(&self, cx: &mut Context<'_>) -> Poll<io::Result<(Stream, Peer)>> {
        loop {
            let accepted = match self {
                Self::Tcp(listener) => {
                    ready!(listener.poll_read_ready(cx))?;
                    let accept = || fairwater_sys::socket::accept(listener.as_fd());
                    listener.try_io(Interest::READABLE, accept)
                }
                Self::Unix(listener) => {
                    ready!(listener.poll_read_ready(cx))?;
                    let accept = || fairwater_sys::socket::accept(listener.as_fd());
                    listener.try_io(Interest::READABLE, accept)
                }
            };
            match accepted {
                Ok((fd, Some(address))) => {
                    let ip = address.ip().to_canonical();
                    let peer = Peer::Ip { ip, port: address.port() };
                    return Poll::Ready(Ok((Stream::fresh(fd.into()), peer)));
                }
                Ok((fd, None)) => {
                    let stream = Stream::unix(fd.into());
                    return Poll::Ready(stream.map(|stream| (stream, Peer::Unix)));
                }
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                Err(error) => return Poll::Ready(Err(error)),
            }
        }
    }
}
