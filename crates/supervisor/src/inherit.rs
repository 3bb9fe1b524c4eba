//! Listening sockets that this process was started with (socket activation, sd_listen_fds(3)).

use std::env;
use std::io;
use std::os::fd::OwnedFd;

use fairwater_message::address::Listen;
use fairwater_sys::child;
use socket2::{Socket, Type};

use crate::bind::{BindError, Bound, Listening, Manner, bind};

/// Sockets that no listener has taken yet.
#[derive(Debug, Default)]
pub struct Inherited {
    sockets: Vec<(Bound, Socket)>,
}

/// More than anybody passes; the number comes from the environment.
const INHERITED_MAX: usize = 1024;

impl Inherited {
    /// Takes what a service manager has passed to this process. To be called once, before anything
    /// else opens descriptors.
    pub fn take() -> Self {
        let number = |name| env::var(name).ok().and_then(|text| text.parse::<u32>().ok());
        if number("LISTEN_PID") != Some(std::process::id()) {
            return Self::default();
        }
        let count = number("LISTEN_FDS").and_then(|count| usize::try_from(count).ok());
        Self::of(child::inherited(count.unwrap_or(0).min(INHERITED_MAX)))
    }

    fn of(fds: Vec<OwnedFd>) -> Self {
        let listening = |fd: OwnedFd| {
            let socket = Socket::from(fd);
            // Others may be passed as well, and are closed here.
            let address = socket.local_addr().ok()?;
            let bound = match socket.r#type().ok()? {
                Type::STREAM if socket.is_listener().ok()? => match address.as_pathname() {
                    Some(path) => Bound::Unix(path.to_owned()),
                    None => Bound::Ip(address.as_socket()?),
                },
                Type::DGRAM => Bound::Udp(address.as_socket()?),
                _ => return None,
            };
            Some((bound, socket))
        };
        Self { sockets: fds.into_iter().filter_map(listening).collect() }
    }

    /// Gives the sockets that were passed for an address, or else binds it.
    ///
    /// # Errors
    /// See [`BindError`].
    pub fn bind(&mut self, listen: &Listen, manner: Manner) -> Result<Listening, BindError> {
        let (taken, rest) = std::mem::take(&mut self.sockets)
            .into_iter()
            .partition::<Vec<_>, _>(|(bound, _)| is_for(bound, listen, manner.is_udp));
        self.sockets = rest;
        let Some((address, _)) = taken.first() else { return bind(listen, manner) };
        let address = address.clone();
        let failed = |error: io::Error| BindError::Io(address.to_string(), error);
        let sockets = taken.into_iter().map(|(_, socket)| socket).collect();
        Listening::inherited(address.clone(), sockets).map_err(failed)
    }

    /// The addresses that no listener has taken.
    pub fn left(&self) -> impl Iterator<Item = &Bound> {
        self.sockets.iter().map(|(bound, _)| bound)
    }
}

fn is_for(bound: &Bound, listen: &Listen, is_udp: bool) -> bool {
    let bound = match bound {
        Bound::Unix(bound) => return matches!(listen, Listen::Unix(path) if bound == path),
        Bound::Udp(bound) if is_udp => bound,
        Bound::Ip(bound) if !is_udp => bound,
        Bound::Udp(_) | Bound::Ip(_) => return false,
    };
    match listen {
        Listen::Ip(address) => bound == address,
        Listen::Any { port } => bound.ip().is_unspecified() && bound.port() == *port,
        Listen::Unix(_) => false,
    }
}

#[cfg(test)]
mod tests {
    use std::net::{TcpListener, UdpSocket};

    use super::*;

    const MANNER: Manner = Manner { threads: 2, backlog: 16, freebind: false, is_udp: false };

    #[test]
    fn a_socket_is_taken_by_its_address() {
        let passed = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = passed.local_addr().unwrap();
        let other = TcpListener::bind("127.0.0.1:0").unwrap();
        let left = other.local_addr().unwrap();
        let datagrams = UdpSocket::bind("127.0.0.1:0").unwrap();
        let of_datagrams = datagrams.local_addr().unwrap();
        let mut inherited = Inherited::of(vec![passed.into(), datagrams.into(), other.into()]);
        let listening = inherited.bind(&Listen::Ip(address), MANNER).unwrap();
        assert_eq!(listening.address, Bound::Ip(address));
        assert_eq!(listening.sockets().unwrap().len(), 1, "it is one, whatever the threads");
        assert!(inherited.left().eq([&Bound::Udp(of_datagrams), &Bound::Ip(left)]));
        let udp = Manner { is_udp: true, ..MANNER };
        let listening = inherited.bind(&Listen::Ip(of_datagrams), udp).unwrap();
        assert_eq!(listening.address, Bound::Udp(of_datagrams));
        assert!(inherited.left().eq([&Bound::Ip(left)]));
        let free = Listen::parse("127.0.0.1:0").unwrap();
        assert_eq!(inherited.bind(&free, MANNER).unwrap().sockets().unwrap().len(), 2);
    }

    #[test]
    fn all_addresses_are_an_address() {
        let any = Listen::parse(":80").unwrap();
        for (bound, expected) in
            [("0.0.0.0:80", true), ("[::]:80", true), ("[::]:81", false), ("127.0.0.1:80", false)]
        {
            let bound = bound.parse().unwrap();
            for is_udp in [true, false] {
                assert_eq!(is_for(&Bound::Ip(bound), &any, is_udp), expected && !is_udp, "{bound}");
                assert_eq!(is_for(&Bound::Udp(bound), &any, is_udp), expected && is_udp, "{bound}");
            }
        }
        let unix = Bound::Unix("/run/a".into());
        assert!(is_for(&unix, &Listen::Unix("/run/a".into()), false));
        assert!(!is_for(&unix, &any, false));
    }
}
