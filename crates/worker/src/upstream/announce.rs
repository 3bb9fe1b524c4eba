//! Whose connection it is, as an endpoint is told before anything else: the PROXY protocol with
//! endpoints.

use std::future::poll_fn;
use std::io::{self, IoSlice};
use std::net::{Ipv4Addr, SocketAddr};
use std::task::Poll;

use fairwater_net::{Peer, Stream, Timer};
use fairwater_plan::ProxyVersion;
use fairwater_proto::proxy_protocol::{Certificate, Client, Told, ToldTls, write_v1, write_v2};

use crate::accept::Accepted;
use crate::filter::hex;

/// The header for a connection to an endpoint that serves this one, under the id of its exchange.
pub(super) fn header(connection: &Accepted, version: ProxyVersion, id: u128) -> Vec<u8> {
    let mut out = Vec::new();
    let client = client(connection);
    if version == ProxyVersion::V1 {
        write_v1(&mut out, client);
        return out;
    }
    let unique_id = hex(id, &mut [0; 32]).as_bytes().to_vec();
    let agreed = connection.stream.agreed();
    let tls = agreed.as_deref().map(|agreed| ToldTls {
        version: agreed.version,
        alpn: said(&agreed.alpn).map(str::as_bytes),
        authority: said(&agreed.server_name),
        certificate: said(&agreed.peer.fingerprint).map(|_| Certificate {
            common_name: agreed.peer.common_name.as_deref(),
            is_resumed: agreed.is_resumed,
        }),
    });
    write_v2(&mut out, client, Told { unique_id: &unique_id, tls });
    out
}

fn said(text: &str) -> Option<&str> {
    (!text.is_empty()).then_some(text)
}

fn client(connection: &Accepted) -> Client {
    let Peer::Ip { ip, port } = connection.peer() else { return Client::Unix };
    let target = match connection.announced() {
        Some(announced) => announced.target,
        None => connection.stream.local_address(),
    };
    // Of a connection that is gone by now nobody knows where it came in.
    let target = target.unwrap_or_else(|| SocketAddr::new(Ipv4Addr::UNSPECIFIED.into(), 0));
    Client::Ip { source: SocketAddr::new(ip, port), target }
}

/// Sends a header, in what is left of the time to connect.
pub(super) async fn send(stream: &Stream, header: &[u8], timer: &Timer) -> io::Result<()> {
    let mut rest = header;
    poll_fn(|cx| {
        while !rest.is_empty() {
            match stream.poll_write(cx, &[IoSlice::new(rest)]) {
                Poll::Ready(Ok(len)) => rest = &rest[len..],
                Poll::Ready(Err(error)) => return Poll::Ready(Err(error)),
                Poll::Pending => {
                    return timer.poll_expired(cx).map(|()| Err(io::ErrorKind::TimedOut.into()));
                }
            }
        }
        Poll::Ready(Ok(()))
    })
    .await
}
