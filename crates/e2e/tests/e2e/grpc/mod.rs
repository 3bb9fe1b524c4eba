//! gRPC by the library of its makers on both sides, and frame by frame where that would not do what
//! is tested.

mod calls;
mod failures;
mod frames;

use fairwater_e2e::peer::{judge, python};
use fairwater_e2e::{Peer, Proxy, Setup};

use crate::tls::Pki;

/// A server by the name of `name`; over TLS with the certificate of the same name.
pub(crate) fn server(name: &str, pki: Option<&Pki>) -> Option<(Peer, String)> {
    let mut command = python(include_str!("server.py"))?;
    command.arg(name);
    if let Some(pki) = pki {
        command.args([pki.file("site.pem"), pki.file("site.key")]);
    }
    let peer = Peer::start(&mut command);
    let address = peer.word("listens on ");
    Some((peer, address))
}

/// A proxy for calls to these servers.
fn setup(addresses: &[&str]) -> Setup {
    Setup::of("http", addresses).listener("http2 = true").upstream("http2 = true")
}

/// Starts calls by their names; over TLS if there is somebody to trust.
fn calling(address: &str, trust: Option<&Pki>, names: &[&str]) -> Peer {
    let mut command = python(include_str!("client.py")).unwrap();
    command.arg(address).arg(trust.map(|pki| pki.file("ca.pem")).unwrap_or_default());
    Peer::start(command.args(names))
}

/// Makes calls, and compares what comes of them.
#[track_caller]
pub(crate) fn check(proxy: &Proxy, trust: Option<&Pki>, expected: &[(&str, &str)]) {
    let names: Vec<_> = expected.iter().map(|(name, _)| *name).collect();
    let said = calling(&proxy.address, trust, &names).finish();
    compare(&said, expected);
}

#[track_caller]
fn compare(said: &str, expected: &[(&str, &str)]) {
    let text: String = expected.iter().map(|(name, what)| format!("{name}: {what}\n")).collect();
    assert_eq!(said, text);
}

fn is_installed() -> bool {
    judge("bin/python").is_some()
}
