//! The connection of a probe: each step has its time, and says in words what went wrong.

use std::future::poll_fn;
use std::io::{self, IoSlice};
use std::time::Duration;

use fairwater_net::{Stream, dial_ip, dial_unix};
use fairwater_plan::Dial;

use crate::health::target::{Http2, Target};

const READ_BYTES: usize = 4096;

pub(super) struct Wire {
    stream: Stream,
    step: Duration,
}

impl Wire {
    /// Connects, says that nobody is behind it where that is wanted, and shakes hands.
    pub(super) async fn open(target: &Target) -> Result<Self, String> {
        let step = target.ask.step();
        let stream = connect(&target.dial, step).await?;
        let wire = Self { stream, step };
        wire.send(&target.header).await?;
        if let Some(tls) = &target.tls {
            let protocols: &[&str] = match target.http2 {
                Http2::No => &[],
                Http2::Always => &["h2"],
                Http2::Agreed => &["h2", "http/1.1"],
            };
            let session = tls.client.session(&tls.name, protocols);
            let session = session.ok_or_else(|| format!("`{}` is no name", tls.name))?;
            wire.stream.secure(session).map_err(|error| error.to_string())?;
            let shaken = in_time(step, poll_fn(|cx| wire.stream.poll_handshake(cx))).await;
            shaken.map_err(|error| match error.kind() {
                io::ErrorKind::TimedOut => format!("no handshake of TLS within {}", shown(step)),
                _ => {
                    let cause = fairwater_tls::cause(&error).replace('_', " ");
                    format!("the handshake of TLS failed: {cause}")
                }
            })?;
        }
        Ok(wire)
    }

    /// Whether HTTP/2 was agreed on.
    pub(super) fn speaks_http2(&self, target: &Target) -> bool {
        match target.http2 {
            Http2::No => false,
            Http2::Always => true,
            Http2::Agreed => self.stream.agreed().is_some_and(|agreed| agreed.alpn == "h2"),
        }
    }

    pub(super) async fn send(&self, mut bytes: &[u8]) -> Result<(), String> {
        while !bytes.is_empty() {
            let write = poll_fn(|cx| self.stream.poll_write(cx, &[IoSlice::new(bytes)]));
            let len = in_time(self.step, write).await.map_err(|error| match error.kind() {
                io::ErrorKind::TimedOut => format!("it takes nothing within {}", shown(self.step)),
                _ => broken(&error),
            })?;
            bytes = &bytes[len..];
        }
        poll_fn(|cx| self.stream.poll_flush(cx)).await.map_err(|error| broken(&error))
    }

    /// Appends what comes next. False at the end of the stream.
    pub(super) async fn receive(&self, into: &mut Vec<u8>) -> Result<bool, String> {
        let mut buffer = [0; READ_BYTES];
        let read = poll_fn(|cx| self.stream.poll_read(cx, &mut buffer));
        let len = in_time(self.step, read).await.map_err(|error| match error.kind() {
            io::ErrorKind::TimedOut => format!("no answer within {}", shown(self.step)),
            _ => broken(&error),
        })?;
        into.extend_from_slice(&buffer[..len]);
        Ok(len > 0)
    }
}

/// Connects to the first address that answers, as requests do.
async fn connect(dial: &Dial, step: Duration) -> Result<Stream, String> {
    let said = |error: io::Error| match error.kind() {
        io::ErrorKind::TimedOut => format!("no connection within {}", shown(step)),
        io::ErrorKind::ConnectionRefused => "the connection is refused".to_owned(),
        io::ErrorKind::NotFound => "there is no such socket".to_owned(),
        _ => format!("no connection: {}", why(&error)),
    };
    let addresses = match dial {
        Dial::Unix(path) => return in_time(step, dial_unix(path)).await.map_err(said),
        Dial::Ip(addresses) => addresses,
    };
    let mut last = "it has no address".to_owned();
    for address in addresses {
        match in_time(step, dial_ip(*address)).await {
            Ok(stream) => return Ok(stream),
            Err(error) => last = said(error),
        }
    }
    Err(last)
}

async fn in_time<T>(limit: Duration, step: impl Future<Output = io::Result<T>>) -> io::Result<T> {
    tokio::time::timeout(limit, step).await.unwrap_or_else(|_| Err(io::ErrorKind::TimedOut.into()))
}

fn broken(error: &io::Error) -> String {
    format!("the connection broke: {}", why(error))
}

/// Without the numbers of the system, which tell people nothing.
pub(super) fn why(error: &io::Error) -> String {
    match error.kind() {
        io::ErrorKind::ConnectionReset => "it was reset".to_owned(),
        _ => error.to_string().split(" (os error").next().unwrap_or_default().to_owned(),
    }
}

pub(super) fn shown(time: Duration) -> String {
    match time.as_millis() {
        ms if ms % 1000 == 0 => format!("{} s", ms / 1000),
        ms => format!("{ms} ms"),
    }
}
