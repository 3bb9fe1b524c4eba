//! One question to one server: over UDP, and over TCP when the answer is too long for that.

use std::io;
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr};
use std::time::Duration;

use fairwater_proto::dns::{
    DATAGRAM_BYTES_MAX, FORMAT_ERROR, Kind, NOT_IMPLEMENTED, Reply, Unfit, read_reply, write_query,
};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpStream, UdpSocket};

pub(super) struct Server {
    pub address: SocketAddr,
    /// For the whole of it, over each of the two ways.
    pub timeout: Duration,
    /// Ids that nobody else can guess.
    pub random: fn() -> u64,
}

impl Server {
    /// # Errors
    /// When the server does not answer in time, or cannot be reached.
    pub(super) async fn ask(&self, name: &str, kind: Kind) -> io::Result<Reply> {
        let mut reply = self.in_time(self.over_udp(name, kind, true)).await?;
        if matches!(reply, Reply::Refused(FORMAT_ERROR | NOT_IMPLEMENTED)) {
            reply = self.in_time(self.over_udp(name, kind, false)).await?;
        }
        if reply == Reply::Truncated {
            reply = self.in_time(self.over_tcp(name, kind)).await?;
        }
        Ok(reply)
    }

    async fn in_time(&self, asked: impl Future<Output = io::Result<Reply>>) -> io::Result<Reply> {
        let timed_out = |_| io::Error::new(io::ErrorKind::TimedOut, "it does not answer in time");
        tokio::time::timeout(self.timeout, asked).await.map_err(timed_out)?
    }

    async fn over_udp(&self, name: &str, kind: Kind, is_edns: bool) -> io::Result<Reply> {
        let (id, query) = self.query(name, kind, is_edns)?;
        // A port of its own for each question, which the kernel chooses: one thing more to guess.
        let any: SocketAddr = match self.address {
            SocketAddr::V4(_) => (Ipv4Addr::UNSPECIFIED, 0).into(),
            SocketAddr::V6(_) => (Ipv6Addr::UNSPECIFIED, 0).into(),
        };
        let socket = UdpSocket::bind(any).await?;
        socket.connect(self.address).await?;
        socket.send(&query).await?;
        let mut datagram = [0; DATAGRAM_BYTES_MAX];
        loop {
            let len = socket.recv(&mut datagram).await?;
            // What is no answer may be forged: the true one is waited for.
            if let Ok(reply) = read_reply(&datagram[..len], id, name, kind) {
                return Ok(reply);
            }
        }
    }

    async fn over_tcp(&self, name: &str, kind: Kind) -> io::Result<Reply> {
        let (id, query) = self.query(name, kind, false)?;
        let mut stream = TcpStream::connect(self.address).await?;
        // RFC 1035, section 4.2.2: behind its length. A question is far below 64 KiB.
        let mut message = (query.len() as u16).to_be_bytes().to_vec();
        message.extend(query);
        stream.write_all(&message).await?;
        let mut len = [0; 2];
        stream.read_exact(&mut len).await?;
        let mut reply = vec![0; usize::from(u16::from_be_bytes(len))];
        stream.read_exact(&mut reply).await?;
        let unfit = |unfit| {
            let what = match unfit {
                Unfit::Foreign => "it answers another question",
                Unfit::Malformed => "its answer is malformed",
            };
            io::Error::new(io::ErrorKind::InvalidData, what)
        };
        read_reply(&reply, id, name, kind).map_err(unfit)
    }

    fn query(&self, name: &str, kind: Kind, is_edns: bool) -> io::Result<(u16, Vec<u8>)> {
        let id = (self.random)() as u16;
        let unfit = || io::Error::new(io::ErrorKind::InvalidInput, "the name is too long");
        Ok((id, write_query(id, name, kind, is_edns).ok_or_else(unfit)?))
    }
}
